"""`vadose catalog build`: list, scan, sort into eras, write references and commit them. It can be stopped at any moment.

Order of writing: the journal (a batch at a time), then the new references beside the old ones, then the items, and last
collection.json, which is what readers look at. Files that cannot be indexed are set aside with a reason and stop nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vadose.access import blocks, files, parquet, remote, store, stores, virtual
from vadose.access.catalog import way_of
from vadose.access.credentials import Access
from vadose.access.cube import Era, FileScan, assemble, scan_file
from vadose.access.journal import Journal
from vadose.access.recipe import Recipe, keep, load, parse, pointed
from vadose.access.remote import Stat
from vadose.access.scan import Learned
from vadose.errors import NotFoundError, PlatformError, UnreadableFileError, VadoseError, VadoseInputError

#: Files between two entries in the journal: what a stop can lose.
BATCH = 64
#: More layouts than this are no eras but files packed each in its own way.
MOST_ERAS = 16
#: Older versions that stay for `rollback`.
KEEP = 3
Progress = Callable[[int, int, str], None]


@dataclass
class Outcome:
    """What a build did."""

    id: str
    listed: int = 0
    scanned: int = 0
    indexed: int = 0
    eras: list[str] = field(default_factory=list)
    quarantine: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    changed: bool = False
    skipped: dict[str, str] = field(default_factory=dict)


def build(
    folder: str | Path,
    identifier: str,
    *,
    source: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    client: Any = None,
) -> Outcome:
    """Index the files of a collection where they lie; what was indexed before and did not change is kept.

    `source` says where one's own copy is: a folder, a glob, `@FILE` with addresses; the recipe keeps it from then on.
    `client` (a Dask client) scans batches on its workers. Raises PlatformError while another build of the same collection
    runs, VadoseInputError for a wrong recipe, NotFoundError when the source lists nothing.
    """
    folder = Path(folder)
    home = folder / identifier
    collection = store.read_collections(folder).get(identifier)
    if collection is None:
        raise NotFoundError(f"no collection {identifier!r} in {folder}; there are {', '.join(store.folders(folder))}")
    if (
        source is None
        and not (home / "recipe.yaml").exists()
        and (way := way_of(collection, 0)) in ("opens", "described")
    ):
        raise VadoseInputError(
            f"{identifier} needs no build: it opens as it is, vadose.open({identifier!r}, catalog={str(folder)!r})"
            if way == "opens"
            else f"{identifier} cannot be built; `vadose catalog show {identifier}` says why, and what to take instead"
        )
    own = None if source is None else pointed(home, source, collection)
    recipe = load(home) if own is None else parse(own, where=str(home / "recipe.yaml"))
    access = Access.of(next((a["vadose:open"] for a in collection["assets"].values() if "vadose:open" in a), None))
    with alone(home), Journal(home / ".build" / "journal.sqlite") as journal:
        if fresh:
            journal.keep_only(())
        outcome = Outcome(identifier)
        others = files.adopted(files.items_of(recipe.source), collection) if recipe.join and files.is_items(recipe.source) else None  # fmt: skip
        found = sources(recipe, home, access) if others is None else []
        if others is None and not found:
            raise NotFoundError(f"{identifier}: {_nothing_there(recipe.source)}")
        if own is not None:
            keep(home, own, collection)
        if others is not None:
            return _items(home, collection, recipe, others, {}, outcome)
        outcome.listed = len(found)
        if recipe.format == "zarr":
            return _stores(home, collection, recipe, access, found, outcome)
        if recipe.join:
            items, aside = files.made(found, recipe, collection, access)
            return _items(home, collection, recipe, items, aside, outcome)
        chosen = choose(found, recipe, journal)
        journal.keep_only([*(s.href for s in chosen), *journal.quarantine()])
        todo = journal.missing(chosen)
        outcome.scanned = len(todo)
        scan_all(todo, recipe, access, journal, progress=progress, client=client)
        commit(home, collection, recipe, access, journal, outcome)
        return outcome


def _nothing_there(source: str) -> str:
    """Why a source lists nothing, where that can be told."""
    if remote.is_local(source) and not source.startswith("@"):
        path = Path(remote.local_path(source))
        if path.is_dir():
            return f"{source} is a folder; say which of its files: '{source.rstrip('/')}/*.nc', or '**/*.nc' for folders below"
        top = Path(remote.local_path(source.split("*", 1)[0].split("?", 1)[0]).rsplit("/", 1)[0] or "/")
        if not top.exists():
            return f"nothing matches {source}: there is no folder {top}"
    return f"nothing matches {source}"


def _stores(home: Path, collection: dict[str, Any], recipe: Recipe, access: Access, found: list[Stat], outcome: Outcome) -> Outcome:  # fmt: skip
    """Stores need no references: which there are is all that is kept."""
    kept, outcome.quarantine = stores.scan(found, recipe, access)
    outcome.scanned, outcome.indexed = len(found), len(kept)
    _write_quarantine(home, outcome.quarantine)
    if {s.stat.href: s.stat.etag for s in kept} == {h: s.etag for h, s in stores.known(home.parent, home.name).items()}:
        outcome.tag = collection.get("version", "")
        return outcome
    if kept:
        outcome.tag, outcome.changed = next_tag(home), True
        stores.commit(home, collection, recipe, kept, len(outcome.quarantine), outcome.tag)
        _keep_version(home, outcome.tag, collection, store.read_items(home.parent, home.name))
        _forget_old(home)
    return outcome


def _items(home: Path, collection: dict[str, Any], recipe: Recipe, items: list[dict[str, Any]], aside: dict[str, str], outcome: Outcome) -> Outcome:  # fmt: skip
    """Files that are read one by one: which there are is all that is kept."""
    outcome.listed = outcome.listed or len(items)
    outcome.quarantine, outcome.scanned, outcome.indexed = aside, outcome.listed, len(items)
    _write_quarantine(home, aside)
    same = files.states(items) == files.states(store.read_items(home.parent, home.name))
    if not items or (same and "join" in collection["assets"]["data"].get("vadose:open", {})):
        outcome.tag = collection.get("version", "")
        return outcome
    outcome.tag, outcome.changed = next_tag(home), True
    files.describe(collection, recipe, items, len(aside), outcome.tag)
    _keep_version(home, outcome.tag, collection, items)
    _make_current(home, outcome.tag)
    _forget_old(home)
    return outcome


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Only one writer a collection: a lock that ends with the process."""
    (home / ".build").mkdir(parents=True, exist_ok=True)
    with open(home / ".build" / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError(f"{home.name} is being built by another process; wait for it, or stop it") from error
        yield


def sources(recipe: Recipe, home: Path, access: Access) -> list[Stat]:
    """What the source lists now. `@FILE` names a text file with one address a line; relative globs start at the catalog."""
    if not recipe.source:
        raise NotFoundError(
            f"{home.name}: these files are your own download; say where they are: vadose catalog build {home.name} --source FOLDER "
            f"(looks for {recipe.files} in it and below), a glob, or @FILE with one address a line"
            + (
                f"; or which scenes: --source '{recipe.search}&bbox=W,S,E,N&datetime=2020-05-01/2020-05-31'"
                if recipe.search
                else ""
            )
        )
    if recipe.source.startswith("@"):
        path = home / recipe.source[1:]
        return [remote.stat(line.strip(), access) for line in path.read_text().splitlines() if line.strip()]
    source = recipe.source
    if remote.is_local(source) and not source.startswith(("/", "file://")):
        source = str(home.parent.resolve() / source)
    return stores.listing(source, access) if recipe.format == "zarr" else remote.listing(source, access)


def choose(found: list[Stat], recipe: Recipe, journal: Journal) -> list[Stat]:
    """One file a time: of several revisions the highest; files without a time in their name are set aside."""
    if not recipe.stacks:
        return found
    best: dict[np.datetime64, Stat] = {}
    for stat in found:
        try:
            moment = recipe.time_of(stat.href)
        except VadoseError as error:
            journal.set_aside(stat, str(error))
            continue
        other = best.get(moment)
        if other is None or (recipe.keep and recipe.revision_of(stat.href) > recipe.revision_of(other.href)):
            if other is not None:
                journal.set_aside(other, f"an older revision of {moment}: {stat.href} replaces it")
            best[moment] = stat
        else:
            reason = (
                f"an older revision of {moment}: {other.href} replaces it"
                if recipe.keep
                else f"the same time as {other.href}: {moment}"
            )
            journal.set_aside(stat, reason)
    return [best[t] for t in sorted(best)]


def scan_all(
    todo: list[Stat],
    recipe: Recipe,
    access: Access,
    journal: Journal,
    *,
    progress: Progress | None = None,
    client: Any = None,
) -> None:
    """Scan files into the journal, a batch at a time, here or on Dask workers."""
    results = (
        _on_dask(todo, recipe, access, client) if client is not None else _here(todo, recipe, access, journal.eras())
    )
    batch: list[FileScan] = []
    for number, (stat, result) in enumerate(results, 1):
        if isinstance(result, Exception):
            if not isinstance(result, VadoseError):
                known = type(result).__module__.startswith("obstore")
                result = (
                    remote.explain(result, stat.href, access)
                    if known
                    else UnreadableFileError(f"{stat.href}: {result}")
                )
            journal.set_aside(stat, str(result))
        else:
            batch.append(result)
        if len(batch) >= BATCH:
            journal.put(batch)
            batch.clear()
        if progress:
            progress(number, len(todo), stat.href)
    journal.put(batch)


def _here(
    todo: list[Stat], recipe: Recipe, access: Access, known: set[str]
) -> Iterator[tuple[Stat, FileScan | Exception]]:
    learned: Learned = {}

    def work(file: Any, stat: Stat) -> FileScan:
        out = scan_file(file, stat, recipe, known, learned)
        known.add(out.era)
        return out

    return blocks.each(todo, work, access=access)


def scan_batch(todo: list[Stat], recipe: Recipe, access: Access) -> list[tuple[Stat, FileScan | Exception]]:
    """One task on a worker: a batch of files, packed into few arrays."""
    return list(_here(todo, recipe, access, set()))


def _on_dask(
    todo: list[Stat], recipe: Recipe, access: Access, client: Any
) -> Iterator[tuple[Stat, FileScan | Exception]]:
    from distributed import as_completed

    parts = [todo[k : k + BATCH // 2] for k in range(0, len(todo), BATCH // 2)]
    futures = [client.submit(scan_batch, part, recipe, access, pure=False) for part in parts]
    for future in as_completed(futures):
        yield from future.result()


def eras(journal: Journal, recipe: Recipe, outcome: Outcome) -> list[tuple[Era, list[FileScan]]]:
    """Scans as eras in order of time; files whose grid or time clashes are set aside."""
    scans = sorted(journal.scans(), key=lambda s: s.stat.href if recipe.places else s.times[0])
    if recipe.places:
        starts = np.cumsum([0, *(len(s.times) for s in scans)])
        for start, scanned in zip(starts, scans, strict=False):
            scanned.times = (start + np.arange(len(scanned.times))).astype("datetime64[ns]")
    places = [s.place for s in scans]
    usual = max(set(places), key=places.count) if places else ""
    kept: list[FileScan] = []
    for scanned in scans:
        if scanned.place != usual:
            journal.set_aside(scanned.stat, "its coordinates differ from those of the other files")
        elif kept and scanned.times[0] <= kept[-1].times[-1]:
            journal.set_aside(scanned.stat, f"its times repeat those of {kept[-1].stat.href}")
        else:
            kept.append(scanned)
    groups: dict[str, list[FileScan]] = {}
    for scanned in kept:
        groups.setdefault(scanned.era, []).append(scanned)
        outcome.skipped |= scanned.skipped
    if len(groups) > MOST_ERAS:
        raise VadoseInputError(
            f"{outcome.id}: {len(groups)} different layouts in {len(kept)} files (scale, offset, fill, chunks or units change from file to file); "
            "such files are read one by one: add `join: time` to recipe.yaml and build it again"
        )
    out = []
    for era, members in groups.items():
        out.append((assemble(members, journal.forms(era), recipe), members))
    return sorted(out, key=lambda pair: pair[0].times[0])


def commit(
    home: Path, collection: dict[str, Any], recipe: Recipe, access: Access, journal: Journal, outcome: Outcome
) -> None:
    """Write the references of all eras, the items, and last the collection."""
    made = eras(journal, recipe, outcome)
    outcome.quarantine = journal.quarantine()
    outcome.indexed = sum(len(m) for _, m in made)
    _write_quarantine(home, outcome.quarantine)
    how = collection["assets"]["data"].setdefault("vadose:open", {"version": 1, "reader": "kerchunk"})
    state = _state(made)
    if not made or (how.get("eras") and collection.get("vadose:quality", {}).get("state") == state):
        outcome.eras = [e["id"] for e in how.get("eras", [])]
        outcome.tag = collection.get("version", "")
        return
    outcome.tag, outcome.changed = next_tag(home), True
    entries: list[dict[str, Any]] = []
    for era, members in made:
        name = f"refs/{era.id}-{outcome.tag}.parq"
        parquet.write(era, recipe, home / name)
        ice: dict[str, str] = {}
        if virtual.fits(era):
            place = f"refs/{era.id}.icechunk"
            words = f"{len(members)} files"
            snapshot = virtual.write(era, recipe, str(home / place), message=words, tag=outcome.tag, access=access)
            ice = {"icechunk": f"./{place}", "snapshot": snapshot}
        entries.append(
            {
                "id": era.id,
                "references": f"./{name}",
                **ice,
                **({} if recipe.places else {"start": _stamp(era.times[0]), "end": _stamp(era.times[-1])}),
                "files": len(members),
            }
        )
    outcome.eras = [e["id"] for e in entries]
    how |= {"reader": "kerchunk", "eras": entries}
    if recipe.dim != "time":
        how["dim"] = recipe.dim
    if recipe.chunks:
        how["chunks"] = dict(recipe.chunks)
    collection["version"] = outcome.tag
    collection["vadose:quality"] = {
        "built": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "files": outcome.indexed,
        "quarantined": len(outcome.quarantine),
        "state": state,
    }
    _reference_assets(collection, entries)
    _describe(collection, made, recipe)
    items = [_item(collection, era, scanned, recipe) for era, members in made for scanned in members]
    _keep_version(home, outcome.tag, collection, items)
    _make_current(home, outcome.tag)
    _forget_old(home)


def _reference_assets(collection: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Each era as an asset of its own, in the forms that other readers of STAC know."""
    kept = {k: v for k, v in collection["assets"].items() if not k.startswith(("references", "icechunk"))}
    for k, entry in enumerate(entries):
        period = f"{entry['start'][:10]} to {entry['end'][:10]}" if "start" in entry else f"{entry['files']} files"
        kept[f"references-{k}"] = {
            "href": entry["references"],
            "title": f"Kerchunk references, {period}",
            "type": "application/vnd.apache.parquet",
            "roles": ["references", "index"],
        }
        if "icechunk" in entry:
            kept[f"icechunk-{k}"] = {
                "href": entry["icechunk"],
                "title": f"Virtual icechunk store, {period}",
                "type": "application/vnd.zarr+icechunk",
                "roles": ["data", "virtual"],
            }
    collection["assets"] = kept


def _stamp(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")) + "Z"


def _state(made: list[tuple[Era, list[FileScan]]]) -> str:
    import hashlib

    rows = [(era.id, s.stat.href, s.stat.size, s.stat.etag) for era, members in made for s in members]
    return hashlib.blake2b(json.dumps(sorted(rows)).encode(), digest_size=8).hexdigest()


def next_tag(home: Path) -> str:
    """YYYYMMDD-n, n counting the builds of a day."""
    today = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
    taken = {p.name for p in (home / "versions").glob(f"{today}-*")}
    return next(f"{today}-{n}" for n in range(1, 10_000) if f"{today}-{n}" not in taken)


def _write_quarantine(home: Path, quarantine: dict[str, str]) -> None:
    path = home / "quarantine.json"
    if quarantine:
        store.replace_text(path, json.dumps([{"href": h, "reason": r} for h, r in quarantine.items()], indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


def _describe(collection: dict[str, Any], made: list[tuple[Era, list[FileScan]]], recipe: Recipe) -> None:
    """The cube's dimensions and variables (datacube extension), and the period that the files cover."""
    newest = made[-1][0]
    sizes: dict[str, int] = {}
    for era, _ in made:
        from vadose.access.metadata import dims_of

        for table in era.tables.values():
            for dim, n in zip(dims_of(table, era, recipe.stacks), table.shape, strict=False):
                sizes[dim] = n
    stamp = collection["extent"]["temporal"]["interval"][0]
    if not recipe.places:
        stamp = [_stamp(made[0][0].times[0]), _stamp(newest.times[-1])]
        collection["extent"]["temporal"]["interval"] = [stamp]
    collection["cube:dimensions"] = {
        d: {"type": "temporal", "extent": stamp} if d == "time" else {"type": "other", "extent": [0, n]}
        for d, n in sizes.items()
    }
    collection["cube:variables"] = {
        name: {
            "type": "auxiliary" if table.values is not None else "data",
            "dimensions": list(dims_of(table, newest, recipe.stacks)),
            **({"unit": str(table.form.attrs["units"])} if "units" in table.form.attrs else {}),
        }
        for name, table in newest.tables.items()
    }


def _item(collection: dict[str, Any], era: Era, scanned: FileScan, recipe: Recipe) -> dict[str, Any]:
    first, last = _stamp(scanned.times[0]), _stamp(scanned.times[-1])
    if recipe.places:
        first, last = (t or "9999-12-31T00:00:00Z" for t in collection["extent"]["temporal"]["interval"][0])
    stat = scanned.stat
    said = {
        "vadose:era": era.id,
        "vadose:etag": stat.etag,
        "vadose:modified": datetime.datetime.fromtimestamp(stat.modified, datetime.UTC).isoformat(),
    }
    file = {"href": stat.href, "roles": ["data"], "type": store.MEDIA[recipe.format], "file:size": stat.size}
    return store.item(collection, Path(stat.href).name, (first, last), said, {"data": file})


def _keep_version(home: Path, tag: str, collection: dict[str, Any], items: list[dict[str, Any]]) -> None:
    store.write_collection(home / "versions" / tag, collection, items)


def _make_current(home: Path, tag: str) -> None:
    """Copy a version's items and collection to where readers look, the collection last."""
    source = home / "versions" / tag
    if (source / "items.parquet").exists():
        shutil.copy(source / "items.parquet", home / "items.parquet.part")
        (home / "items.parquet.part").replace(home / "items.parquet")
    store.replace_text(home / "collection.json", (source / "collection.json").read_text())


def _forget_old(home: Path) -> None:
    """Keep the newest versions; references that none of them names are removed."""
    kept = sorted((home / "versions").iterdir(), key=lambda p: p.stat().st_mtime)
    for old in kept[:-KEEP]:
        shutil.rmtree(old)
    named = "".join((v / "collection.json").read_text() for v in kept[-KEEP:])
    for refs in (home / "refs").glob("*.parq"):
        if refs.name not in named:
            shutil.rmtree(refs)


def versions(folder: str | Path, identifier: str) -> list[str]:
    """Tags one can go back to, oldest first."""
    return [p.name for p in sorted((Path(folder) / identifier / "versions").glob("*"), key=lambda p: p.stat().st_mtime)]


def rollback(folder: str | Path, identifier: str, tag: str | None = None) -> str:
    """Make an earlier version the current one (the one before, if none is named). Its references were never touched."""
    from vadose.errors import unknown_name

    home = Path(folder) / identifier
    known = versions(folder, identifier)
    current = json.loads((home / "collection.json").read_text()).get("version", "")
    if tag is None:
        earlier = [t for t in known if t != current]
        if not earlier:
            raise NotFoundError(f"{identifier} has no earlier version to go back to")
        tag = earlier[-1]
    if tag not in known:
        raise unknown_name("version", tag, known)
    with alone(home):
        _make_current(home, tag)
    return tag


def add(
    folder: str | Path,
    identifier: str,
    steps: dict[str, Any],
    *,
    title: str = "",
    description: str = "",
    license: str = "other",
    product: str | None = None,
    variables: tuple[str, ...] = (),
    bbox: tuple[float, float, float, float] = (-180.0, -90.0, 180.0, 90.0),
) -> Path:
    """Describe one's own files as a collection with a recipe; `build` indexes them. Returns the collection's folder."""
    import re

    import yaml

    from vadose.access.recipe import parse

    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", identifier):
        raise VadoseInputError(f"collection id {identifier!r}: use small letters, digits, - and _")
    folder = Path(folder)
    parse(steps, where=identifier)
    if remote.is_local(steps["source"]) and Path(remote.local_path(steps["source"])).is_dir():
        raise VadoseInputError(f"{identifier}: {_nothing_there(steps['source'])}")
    home = folder / identifier
    if (home / "collection.json").exists():
        raise VadoseInputError(
            f"{identifier} exists already in {folder}; remove its folder, or edit {home / 'recipe.yaml'} and build it"
        )
    collection: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": identifier,
        "title": title or identifier,
        "description": description or f"Files of {steps['source']}",
        "keywords": list(variables),
        "license": license,
        "extent": {"spatial": {"bbox": [list(bbox)]}, "temporal": {"interval": [[None, None]]}},
        "summaries": {"vadose:variables": list(variables)} if variables else {},
        "assets": {
            "data": {
                "href": steps["source"].split("*")[0].lstrip("@"),
                "roles": ["data"],
                "vadose:open": {"version": 1, "reader": "kerchunk", "product": product},
            }
        },
        "links": [],
    }
    collection["extent"]["temporal"]["interval"] = [["1970-01-01T00:00:00Z", None]]
    store.replace_text(home / "recipe.yaml", yaml.safe_dump(steps, sort_keys=False))
    store.write_collection(home, collection, [])
    root = folder / "catalog.json"
    known = json.loads(root.read_text()) if root.exists() else {}
    store.write_root(
        folder,
        store.folders(folder),
        title=known.get("title", "My archives"),
        description=known.get("description", "Files indexed where they lie."),
    )
    return home
