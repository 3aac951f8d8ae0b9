"""Kerchunk references in parquet: written from an era's tables, read a page at a time.

The layout is kerchunk's (`.zmetadata`, `NAME/refs.N.parq`), so that fsspec and other readers open it too. Two additions:
`sources.parquet` says what each source looked like when it was indexed, and no chunk is without a reference.
"""

from __future__ import annotations

import json
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vadose.access import metadata
from vadose.access.cube import Era, Table, fill_chunk
from vadose.access.recipe import Recipe
from vadose.access.remote import Stat
from vadose.errors import UnreadableFileError

#: References a page.
PAGE = 10_000


def write(era: Era, recipe: Recipe, folder: Path) -> None:
    """Write an era; the folder appears only when it is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    paths = pa.array([s.href for s in era.files], pa.string())
    meta: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": {}}
    for name, table in era.tables.items():
        dims = metadata.dims_of(table, era, recipe.stacks)
        attrs = metadata.attributes(table, era, recipe.stacks)
        (partial / name).mkdir()
        if table.values is not None:
            _inline(meta, partial, name, dims, table.values, attrs)
            continue
        meta[f"{name}/.zarray"] = metadata.zarray(
            table.shape, table.chunks, table.form.dtype, table.form.filters, attrs.get("_FillValue")
        )
        meta[f"{name}/.zattrs"] = {**attrs, "_ARRAY_DIMENSIONS": list(dims)}
        _pages(table, paths, partial / name)
    for name, (dims, values, attrs) in metadata.coordinates(era, recipe.grid, recipe.stacks).items():
        (partial / name).mkdir(exist_ok=True)
        _inline(meta, partial, name, dims, values, attrs)
    sources = {
        "href": [s.href for s in era.files],
        "size": [s.size for s in era.files],
        "etag": [s.etag for s in era.files],
        "modified": [s.modified for s in era.files],
    }
    pq.write_table(pa.table(sources), partial / "sources.parquet")
    (partial / ".zmetadata").write_text(
        json.dumps({"metadata": meta, "record_size": PAGE, "zarr_consolidated_format": 1})
    )
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def _pages(table: Table, paths: Any, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    absent = table.file < 0
    filler = fill_chunk(table.form, table.chunks) if absent.any() else b""
    for page, start in enumerate(range(0, len(table.file), PAGE)):
        part = slice(start, start + PAGE)
        gone = absent[part]
        index = pa.array(np.where(gone, 0, table.file[part]), pa.int32(), mask=gone)
        columns = {
            "path": pa.DictionaryArray.from_arrays(index, paths).cast(pa.string()),
            "offset": table.offset[part],
            "size": table.length[part],
        }
        if gone.any():
            columns["raw"] = pa.array([filler if g else None for g in gone], pa.binary())
        pq.write_table(pa.table(columns), folder / f"refs.{page}.parq", compression="zstd")


def _inline(meta: dict[str, Any], root: Path, name: str, dims: Any, values: np.ndarray, attrs: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = np.array(values, order="C")
    fill = attrs.get("_FillValue") if plain.dtype.kind in "iuf" else None
    meta[f"{name}/.zarray"] = metadata.zarray(plain.shape, plain.shape or (), plain.dtype.str, (), fill)
    meta[f"{name}/.zattrs"] = {**attrs, "_ARRAY_DIMENSIONS": list(dims)}
    pq.write_table(
        pa.table(
            {
                "path": pa.array([None], pa.string()),
                "offset": [0],
                "size": [0],
                "raw": pa.array([plain.tobytes()], pa.binary()),
            }
        ),
        root / name / "refs.0.parq",
    )


def _again(folder: str, locations: dict[str, str], origin: str | None) -> References:
    if origin is not None:
        from vadose.access.chunkstore import mirror

        folder = str(mirror(origin))
    return References(folder, locations, origin)


class References:
    """A reference set opened: metadata at once, pages when asked for. Can be pickled; a copy reads its own pages.

    `origin` is where `folder` was copied from: a worker on another machine makes its own copy.
    """

    def __init__(self, folder: str, locations: dict[str, str] | None = None, origin: str | None = None) -> None:
        self.folder, self.locations, self.origin = folder, dict(locations or {}), origin
        try:
            whole = json.loads((Path(folder) / ".zmetadata").read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise UnreadableFileError(f"{folder}: not a whole set of references: {error}; build it again") from error
        self.metadata: dict[str, Any] = whole["metadata"]
        self.page_size: int = whole["record_size"]
        self._page = lru_cache(maxsize=256)(self._read_page)
        self._sources: dict[str, Stat] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.folder, self.locations, self.origin)

    @property
    def variables(self) -> list[str]:
        return [k.removesuffix("/.zarray") for k in self.metadata if k.endswith("/.zarray")]

    @property
    def sources(self) -> dict[str, Stat]:
        """What each source looked like when it was indexed, by the address where it lies now."""
        if self._sources is None:
            import pyarrow.parquet as pq

            path = Path(self.folder) / "sources.parquet"
            rows = pq.read_table(path).to_pylist() if path.exists() else []
            self._sources = {
                self.moved(r["href"]): Stat(self.moved(r["href"]), r["size"], r["etag"], r["modified"]) for r in rows
            }
        return self._sources

    def moved(self, address: str) -> str:
        """An address after `locations`, for archives that moved since they were indexed."""
        for old, new in self.locations.items():
            if address.startswith(old):
                return new + address[len(old) :]
        return address

    def _read_page(self, name: str, page: int) -> dict[str, np.ndarray]:
        import pyarrow.parquet as pq

        path = Path(self.folder) / name / f"refs.{page}.parq"
        try:
            found = pq.read_table(path)
        except (OSError, ValueError) as error:
            raise UnreadableFileError(
                f"{path}: references are missing or damaged: {error}; build {self.folder} again"
            ) from error
        return {c: found[c].to_numpy(zero_copy_only=False) for c in found.column_names}

    def grid(self, name: str) -> tuple[int, ...]:
        """Chunks along each dimension of a variable."""
        meta = self.metadata[f"{name}/.zarray"]
        return tuple(max(1, -(-n // c)) for n, c in zip(meta["shape"], meta["chunks"], strict=True))

    def chunk(self, name: str, index: tuple[int, ...]) -> bytes | tuple[str, int, int]:
        """Where a chunk is: its bytes, or address, offset and length. UnreadableFileError names one without a reference."""
        grid = self.grid(name)
        number = int(np.ravel_multi_index(index, grid)) if grid else 0
        page, row = divmod(number, self.page_size)
        columns = self._page(name, page)
        if row < len(columns["offset"]):
            if "raw" in columns and columns["raw"][row] is not None:
                return columns["raw"][row]
            if columns["path"][row] is not None:
                return self.moved(columns["path"][row]), int(columns["offset"][row]), int(columns["size"][row])
        raise UnreadableFileError(
            f"{self.folder}: chunk {index} of {name} has no reference: it is lost, not empty; build it again with `vadose catalog build`"
        )

    def table(self, name: str) -> dict[str, np.ndarray]:
        """All references of a variable in one: `path`, `offset`, `size` (and `raw`)."""
        total = int(np.prod(self.grid(name), dtype=np.int64))
        pages = [self._page(name, p) for p in range(-(-total // self.page_size))]
        out = {c: np.concatenate([p[c] for p in pages]) for c in ("path", "offset", "size")}
        if any("raw" in p for p in pages):
            out["raw"] = np.concatenate([p.get("raw", np.full(len(p["offset"]), None, object)) for p in pages])
        return out
