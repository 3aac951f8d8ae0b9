"""Is an index still right? Compare it with what lies there now, and its bytes with what the format's own reader reads."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vadose.access import build, files, remote, store, stores, validation
from vadose.access.blocks import BlockFile
from vadose.access.credentials import Access
from vadose.access.parquet import References
from vadose.access.recipe import Recipe, load
from vadose.errors import AccessDeniedError, NotFoundError, PlatformError, VadoseError

Level = Literal["fast", "sample", "full"]
#: Who reads each format besides us.
READER = {"hdf5": "h5py", "netcdf4": "h5py", "netcdf3": "scipy", "grib": "ecCodes", "tiff": "Pillow"}


@dataclass
class Difference:
    """What changed at the source since it was indexed; `replaced` have the same size and another etag."""

    new: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    checked: int = 0

    @property
    def any(self) -> bool:
        return bool(self.new or self.missing or self.resized or self.replaced)


def _home(folder: Path, identifier: str) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    collection = store.read_collections(folder).get(identifier)
    if collection is None:
        raise NotFoundError(f"no collection {identifier!r} in {folder}; there are {', '.join(store.folders(folder))}")
    how = collection["assets"]["data"].get("vadose:open", {})
    if not how.get("eras") and not how.get("stores") and not how.get("join"):
        raise NotFoundError(f"{identifier} is not indexed yet: `vadose catalog build {identifier}`")
    return folder / identifier, collection, how


def diff(folder: str | Path, identifier: str) -> Difference:
    """Sources that are new, missing, resized or replaced. Listings and HEAD requests only; no data is read."""
    home, collection, how = _home(Path(folder), identifier)
    access, recipe = Access.of(how), load(home)
    rewritten: list[str] = []
    if how.get("join"):
        kept, aside = store.read_items(home.parent, identifier), _set_aside(home)
        known = files.sources(kept)
        if files.is_items(recipe.source):
            theirs = files.adopted(files.items_of(recipe.source), collection)
            now, rewritten = files.sources(theirs), files.rewritten(kept, theirs)
        else:
            now = {s.href: s for s in build.sources(recipe, home, access)}
    else:
        known = (
            stores.known(Path(folder), identifier)
            if how.get("stores")
            else {
                s.href: s
                for e in how["eras"]
                for s in References(str(home / e["references"]), how.get("locations")).sources.values()
            }
        )
        now = {s.href: s for s in build.sources(recipe, home, access)}
        with build.Journal(home / ".build" / "journal.sqlite") as journal:
            aside = journal.quarantine()
    out = Difference(checked=len(now))
    out.new = sorted(h for h in now if h not in known and h not in aside)
    out.missing = sorted(h for h in known if h not in now)
    for href in sorted(known.keys() & now.keys()):
        if known[href].size != now[href].size:
            out.resized.append(href)
        elif known[href].etag != now[href].etag or href in rewritten:
            out.replaced.append(href)
    return out


def _set_aside(home: Path) -> dict[str, str]:
    path = home / "quarantine.json"
    return {row["href"]: row["reason"] for row in json.loads(path.read_text())} if path.exists() else {}


def validate(
    folder: str | Path, identifier: str, *, level: Level = "sample", n: int = 32, rng: np.random.Generator | int = 0
) -> list[str]:
    """Everything wrong with an indexed collection, one sentence each; the result is noted in the collection.

    fast: documents, schema, every chunk has a reference, references lie within their files. sample: also n random chunks
    through the references against h5py. full: also every source as it is now, and a chunk of every file.
    """
    folder = Path(folder)
    home, collection, how = _home(folder, identifier)
    access = Access.of(how)
    found = [f"{identifier}: {t}" for t in validation.collection_errors(collection)]
    generator = np.random.default_rng(rng)
    recipe = load(home)
    for era in how.get("eras", []):
        references = References(str(home / era["references"]), how.get("locations"))
        found += complete(references)
        if level != "fast":
            found += compare(references, recipe, access, n=n, rng=generator, every_file=level == "full")
    if level == "full":
        changes = diff(folder, identifier)
        found += [f"{h}: is gone" for h in changes.missing] + [
            f"{h}: changed" for h in changes.resized + changes.replaced
        ]
    collection.setdefault("vadose:quality", {})["checked"] = {
        "on": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "level": level,
        "faults": len(found),
    }
    store.write_collection(home, collection, [])
    return found


def complete(references: References) -> list[str]:
    """Chunks without a reference, and references that point beyond their file."""
    out = []
    for name in references.variables:
        try:
            table = references.table(name)
        except VadoseError as error:
            out.append(str(error))
            continue
        total = int(np.prod(references.grid(name), dtype=np.int64))
        has = np.array([p is not None for p in table["path"]])
        if "raw" in table:
            has |= np.array([r is not None for r in table["raw"]])
        lost = np.flatnonzero(~has)
        if len(lost) or len(has) < total:
            where = np.unravel_index(int(lost[0]), references.grid(name)) if len(lost) else ("the last page",)
            out.append(
                f"{name}: {len(lost) + total - len(has)} of {total} chunks have no reference, first {tuple(map(str, where))}"
            )
        sizes = np.array(
            [
                references.sources[references.moved(p)].size
                if p is not None and references.moved(p) in references.sources
                else 2**62
                for p in table["path"]
            ]
        )
        beyond = np.flatnonzero(table["offset"] + table["size"] > sizes)
        if len(beyond):
            out.append(f"{name}: {len(beyond)} references point beyond their file, first {table['path'][beyond[0]]}")
    return out


def compare(
    references: References,
    recipe: Recipe,
    access: Access,
    *,
    n: int,
    rng: np.random.Generator,
    every_file: bool = False,
) -> list[str]:
    """Random chunks decoded through the references against the same cells read by the format's own reader."""
    tables = {v: references.table(v) for v in references.variables}
    tables = {v: t for v, t in tables.items() if any(p is not None for p in t["path"])}
    names = sorted(tables)
    if not names:
        return []
    picks: list[tuple[str, str | None]] = [(names[int(rng.integers(len(names)))], None) for _ in range(n)]
    if every_file:
        picks += [(names[int(rng.integers(len(names)))], s) for s in references.sources]
    out = []
    for name, source in picks:
        rows = np.flatnonzero(
            [p is not None and (source is None or references.moved(p) == source) for p in tables[name]["path"]]
        )
        if len(rows):
            text = one_chunk(references, name, int(rng.choice(rows)), tables[name], recipe, access)
            out += [text] if text else []
    return out


def one_chunk(
    references: References, name: str, number: int, table: dict[str, np.ndarray], recipe: Recipe, access: Access
) -> str:
    """What is wrong with one chunk, or nothing."""
    import h5py
    import numcodecs

    meta = references.metadata[f"{name}/.zarray"]
    address = references.moved(table["path"][number])
    index = np.unravel_index(number, references.grid(name))
    try:
        stat = references.sources[address]
        data: Any = remote.read(
            address, int(table["offset"][number]), int(table["size"][number]), access=access, expect=stat
        )
        for config in reversed(meta["filters"] or []):
            data = numcodecs.get_codec(dict(config)).decode(data)
        ours = np.frombuffer(data, np.dtype(meta["dtype"])).reshape(meta["chunks"])
        theirs: np.ndarray
        if recipe.format in ("hdf5", "netcdf4"):
            source: Any = remote.local_path(address) if remote.is_local(address) else BlockFile(stat, access)
            with h5py.File(source, "r") as file:
                theirs = _theirs(file, recipe.groups, name, meta, index, references, address)
        else:
            body = remote.read(address, access=access, expect=stat)
            theirs = _other(body, recipe.format, name, meta, index, references, address, int(table["offset"][number]))
    except VadoseError as error:
        return str(error)
    except NotImplementedError:
        return ""  # nobody to compare with: it was read whole, and its source is the one that was indexed
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        return f"{address}: {name} is not decoded as it was indexed: {error}"
    cut = tuple(slice(0, k) for k in theirs.shape)
    mine = ours[cut] if ours.ndim == theirs.ndim else ours[0][cut]
    same = np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
    return (
        ""
        if same
        else f"{address}: chunk {tuple(map(int, index))} of {name} differs from what {READER[recipe.format]} reads"
    )


def _theirs(
    file: Any, groups: Sequence[str], name: str, meta: dict[str, Any], index: Any, references: References, address: str
) -> np.ndarray:
    dataset = next((file[g][n] for g in groups for n in _names(name, g) if n in file[g]), None)
    if dataset is None:
        raise KeyError(f"no {name} in {', '.join(groups)}")
    return _part(dataset, meta, index, references, name, address)


def _part(
    dataset: Any, meta: dict[str, Any], index: Any, references: References, name: str, address: str
) -> np.ndarray:
    """The cells of one chunk of the cube in a variable of the source."""
    first = 0
    if len(dataset.shape) == len(meta["shape"]):
        # Joined along time: which step of this file the chunk begins at.
        rows = references.table(name)["path"].reshape(references.grid(name))
        column = rows.reshape(rows.shape[0], -1)[:, 0]
        first = int(np.flatnonzero(column == column[index[0]])[0]) if rows.ndim else 0
        starts = [
            (int(index[0]) - first) * meta["chunks"][0],
            *(int(i) * c for i, c in zip(index[1:], meta["chunks"][1:], strict=True)),
        ]
        return dataset[tuple(slice(a, a + c) for a, c in zip(starts, meta["chunks"], strict=True))]
    starts = [int(i) * c for i, c in zip(index[1:], meta["chunks"][1:], strict=True)]
    return dataset[tuple(slice(a, a + c) for a, c in zip(starts, meta["chunks"][1:], strict=True))]


def _other(body: bytes, form: str, name: str, meta: dict[str, Any], index: Any, references: References, address: str, offset: int) -> np.ndarray:  # fmt: skip
    """The same cells by scipy (netCDF-3), ecCodes (GRIB) or Pillow (TIFF)."""
    import io

    if form == "netcdf3":
        from scipy.io import netcdf_file

        with netcdf_file(io.BytesIO(body), mmap=False) as file:
            return _part(file.variables[name].data, meta, index, references, name, address)
    if form == "grib":
        import eccodes

        handle = eccodes.codes_new_from_message(body[offset:])
        try:
            values = eccodes.codes_get_values(handle)
            values[values == eccodes.codes_get_double(handle, "missingValue")] = np.nan
            return values.reshape(meta["chunks"][-2:])
        finally:
            eccodes.codes_release(handle)
    from PIL import Image, UnidentifiedImageError

    try:
        image = np.asarray(Image.open(io.BytesIO(body)))
    except UnidentifiedImageError as error:
        raise NotImplementedError("Pillow does not read this kind of TIFF") from error
    return _part(image, meta, index, references, name, address)


def _names(name: str, group: str) -> list[str]:
    suffix = f"_{group.rsplit('_', 1)[-1].lower()}"
    return [name, name.removesuffix(suffix)] if name.endswith(suffix) else [name]


def publish(folder: str | Path, identifier: str, target: str, *, access: Access = remote.DEFAULT) -> list[str]:
    """Copy a built collection to a bucket or folder: references first, collection.json last. Returns what was written.

    References become absolute there, so that the published collection opens from anywhere that reaches the bucket.
    AccessDeniedError or PlatformError where the target cannot be written.
    """
    try:
        return _published(folder, identifier, target)
    except VadoseError:
        raise
    except Exception as error:
        kind = AccessDeniedError if isinstance(error, PermissionError) else PlatformError
        raise kind(
            f"{identifier} is not published to {target}: {error}; check that the place is there and that you may write to it "
            "(for a bucket AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where it is not Amazon's, AWS_ENDPOINT_URL)"
        ) from error


def _published(folder: str | Path, identifier: str, target: str) -> list[str]:
    import fsspec

    from vadose.access.opening import storage_options

    home, collection, how = _home(Path(folder), identifier)
    base = f"{target.rstrip('/')}/{identifier}"
    fs, root = fsspec.core.url_to_fs(base, **storage_options(base))
    current = {e[k] for e in how.get("eras", []) for k in ("references", "icechunk") if k in e}
    wanted = [home / p for p in sorted(current)] + [
        home / n for n in ("items.parquet", "recipe.yaml", "quarantine.json", "series.zarr")
    ]
    written = []
    for top in wanted:
        parts = [p for p in top.rglob("*") if p.is_file()] if top.is_dir() else [top] if top.exists() else []
        for path in parts:
            there = f"{root}/{path.relative_to(home)}"
            if remote.is_local(base):  # a bucket has no folders, and is not made by the way
                fs.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
            fs.put_file(str(path), there)
            written.append(f"{base}/{path.relative_to(home)}")
    for era in how.get("eras", []):
        for key in ("references", "icechunk"):
            if key in era:
                era[key] = f"{base}/{era[key].removeprefix('./')}"
    if "series" in how:
        how["series"]["href"] = f"{base}/{how['series']['href'].removeprefix('./')}"
    fs.pipe_file(f"{root}/collection.json", json.dumps(collection, indent=1, ensure_ascii=False).encode())
    return [*written, f"{base}/collection.json"]
