"""The table of observations: Delta Lake, one partition a stream and month, written so that equal rows give equal bytes."""

from __future__ import annotations

import hashlib
import json
import operator
import time as clock
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from vadose.stream.derive import Derived, Layout
from vadose.stream.grid import Grid

TEXTS = ("site", "plot", "sensor", "variable", "column")
SCHEMA = pa.schema([
    ("stream", pa.string()), ("month", pa.string()),
    *((name, pa.string()) for name in TEXTS),
    ("time", pa.timestamp("us", "UTC")), ("raw", pa.float64()), ("value", pa.float64()),
    ("standard_error", pa.float32()), ("flag", pa.int32()), ("source", pa.int64()),
])  # fmt: skip
PARTITION = ["stream", "month"]
NULLABLE = ("raw", "value", "standard_error")
ROWS_A_GROUP = 1 << 20


def to_arrow(grid: Grid, derived: Derived, plan: Layout, first: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Rows of one month, column after column, sorted by time in each: what one sensor said lies together.

    The grid holds columns of the layout from number `first` on. Also gives how many rows each of them has.
    """
    n, k = grid.raw.shape
    present = (grid.rank >= 0).T & (derived.link.T >= 0)
    whole = bool(present.all())

    def long(array: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(array.T)
        return flat.ravel() if whole else flat[present]

    starts = np.cumsum([0, *(len(links) for links in plan.links)])[first : first + k]
    one = whole and not derived.link.any()  # every column is one sensor throughout, as most are
    code = None if one else long(starts[None, :] + derived.link)
    time = np.broadcast_to(grid.time.astype("datetime64[us]").astype(np.int64), (k, n))
    columns: dict[str, Any] = {}
    for name, (words, lookup) in _texts(plan).items():
        indices = np.repeat(lookup[starts], n) if one else lookup[code]
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(indices), words, safe=False)
    columns["time"] = pa.array(time.ravel() if whole else time[present]).view(pa.timestamp("us", "UTC"))
    for name, array in (("raw", grid.raw), ("value", derived.value), ("standard_error", derived.error)):
        columns[name] = _with_missing(long(array))
    columns["flag"] = pa.array(long(derived.flag))
    columns["source"] = pa.array(long(grid.rank))
    # Columns that are always there are declared so: a third less work for the writer.
    kinds = [pa.field(name, array.type, nullable=name in NULLABLE) for name, array in columns.items()]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(kinds)), present.sum(axis=1)


@lru_cache(maxsize=64)
def _texts(plan: Layout) -> dict[str, tuple[pa.Array, np.ndarray]]:
    """What each text column may say, and which of it each link of a layout says."""
    out = {}
    for name in TEXTS:
        said = [getattr(link, name) for links in plan.links for link in links]
        words = list(dict.fromkeys(said))
        out[name] = pa.array(words, pa.string()), np.array([words.index(word) for word in said], np.int32)
    return out


def _with_missing(values: np.ndarray) -> pa.Array:
    """Numbers as an Arrow array without copying them; NaN is missing."""
    missing = np.isnan(values)
    count = int(np.count_nonzero(missing))
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if count else None
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, values.size, [valid, pa.py_buffer(values)], null_count=count)


def to_grid(path: Path, plan: Layout, columns: slice = slice(None)) -> Grid:
    """A partition's file -> its grid (what derives from raw values is left out), of some of the layout's columns."""
    names = plan.columns[columns]
    table = _read(path, names)
    stamps = table.column("time").to_numpy().astype("datetime64[us]")
    text = table.column("column").combine_chunks()
    text = text.chunk(0) if isinstance(text, pa.ChunkedArray) else text
    place = {name: k for k, name in enumerate(names)}
    lookup = np.array([place[name] for name in text.dictionary.to_pylist()])
    column = lookup[text.indices.to_numpy()]
    starts = np.r_[0, np.flatnonzero(np.diff(column)) + 1] if column.size else np.empty(0, np.int64)
    n = column.size // max(starts.size, 1)
    if starts.size == len(names) and (starts == n * np.arange(starts.size)).all():
        by_column = stamps.reshape(-1, n)
        if (by_column == by_column[0]).all() and (np.diff(by_column[0]) > np.timedelta64(0, "ns")).all():
            # Every column has every time, as most months do: nothing need be sorted.
            order = np.argsort(column[starts])
            raw, rank, flag = (
                table.column(name).to_numpy().reshape(-1, n)[order].T for name in ("raw", "source", "flag")
            )
            return Grid(by_column[0], raw, rank, flag)
    time, row = np.unique(stamps, return_inverse=True)
    grid = Grid.empty(time, len(names))
    grid.raw[row, column] = table.column("raw").to_numpy()
    grid.rank[row, column] = table.column("source").to_numpy()
    grid.flag[row, column] = table.column("flag").to_numpy()
    return grid


def _read(path: Path, names: tuple[str, ...]) -> pa.Table:
    """The rows of some of the logger's columns; row groups without any of them are not read."""
    with pq.ParquetFile(path, read_dictionary=["column"]) as file:
        held = _columns_of_groups(path) if file.num_row_groups > 1 else [frozenset(names)]
        wanted = [k for k, inside in enumerate(held) if inside & set(names)]
        table = file.read_row_groups(wanted, columns=["column", "time", "raw", "flag", "source"])
    table = table.unify_dictionaries()
    words = table.column("column").chunk(0).dictionary if table.num_rows else pa.array([], pa.string())
    if table.num_rows and not set(words.to_pylist()) <= set(names):
        table = table.filter(compute.is_in(table.column("column").cast(pa.string()), pa.array(names)))
        table = table.set_column(0, "column", table.column("column").cast(pa.string()).dictionary_encode())
    return table


@lru_cache(maxsize=64)
def _columns_of_groups(path: Path) -> list[frozenset[str]]:
    """Which of the logger's columns each row group holds. A partition's file never changes: its name is its hash."""
    out = []
    with pq.ParquetFile(path, read_dictionary=["column"]) as file:
        for k in range(file.num_row_groups):
            text = file.read_row_group(k, columns=["column"]).column("column").combine_chunks()
            text = text.chunk(0) if isinstance(text, pa.ChunkedArray) else text
            words = text.dictionary.to_pylist()
            out.append(frozenset(words[k] for k in np.unique(text.indices.to_numpy())))
    return out


def newest(path: Path) -> np.datetime64:
    """The last time in a partition's file, from its statistics."""
    about = pq.read_metadata(path)
    at = about.schema.names.index("time")
    last = max(about.row_group(k).column(at).statistics.max for k in range(about.num_row_groups))
    return np.datetime64(last.replace(tzinfo=None), "us")


class MonthFile:
    """One partition's file, written column after column; equal rows give equal bytes, whose hash is its name.

    Columns share a row group up to ROWS_A_GROUP rows, and no column is spread over row groups of others: of a logger that writes each
    second, one column can be read without the others.
    """

    def __init__(self, root: Path, stream: str, month: str, work: Path):
        self.root, self.folder = root, f"stream={stream}/month={month}"
        self.temporary = work / f"{stream}-{month}.parquet"
        self.writer: pq.ParquetWriter | None = None
        self.waiting: list[pa.Table] = []
        self.rows = 0
        self.statistics: dict[str, Any] = {}

    def add(self, rows: pa.Table, counts: np.ndarray) -> None:
        """The rows of the next columns; `counts`: how many each of them has."""
        start = stop = 0
        for count in counts.tolist():
            if self.rows and self.rows + count > ROWS_A_GROUP:
                self.waiting.append(rows.slice(start, stop - start))
                self._flush()
                start = stop
            stop += count
            self.rows += count
        self.waiting.append(rows.slice(start, stop - start))

    def _flush(self) -> None:
        parts = [part for part in self.waiting if part.num_rows]
        self.waiting, self.rows = [], 0
        if not parts:
            return
        rows = parts[0] if len(parts) == 1 else pa.concat_tables(parts).combine_chunks()
        if self.writer is None:
            self.writer = pq.ParquetWriter(
                self.temporary, rows.schema, compression="zstd", compression_level=1, store_schema=False, version="2.6",
                use_dictionary=[*TEXTS, "flag", "source", "standard_error"], write_statistics=["time", "raw", "value", "flag"],
                column_encoding={"time": "DELTA_BINARY_PACKED", "raw": "BYTE_STREAM_SPLIT", "value": "BYTE_STREAM_SPLIT"},
            )  # fmt: skip
        self.writer.write_table(rows, row_group_size=ROWS_A_GROUP)
        self.statistics = _together(self.statistics, statistics(rows))

    def close(self) -> tuple[str, dict[str, Any]] | None:
        """Path below the root and statistics, or None where no row came."""
        self._flush()
        if self.writer is None:
            return None
        self.writer.close()
        with self.temporary.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        path = f"{self.folder}/{name}.parquet"
        final = self.root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        self.temporary.replace(final)
        return path, self.statistics


def statistics(rows: pa.Table) -> dict[str, Any]:
    """Row count, missing values and range of every column: a column without them reads as all missing, and is skipped."""
    out: dict[str, Any] = {"numRecords": rows.num_rows, "nullCount": {}, "minValues": {}, "maxValues": {}}
    for name in rows.column_names:
        column = rows.column(name)
        out["nullCount"][name] = column.null_count
        if name in TEXTS:
            words = column.chunk(0).dictionary.to_pylist()
            low, high = min(words), max(words)
        elif column.null_count == rows.num_rows:
            continue
        else:
            numbers = column.to_numpy()
            low, high = np.fmin.reduce(numbers).item(), np.fmax.reduce(numbers).item()
        if name == "time":
            ends = np.array([numbers.min(), numbers.max()]).astype("datetime64[us]")
            low, high = (f"{end}Z" for end in np.datetime_as_string(ends))
        out["minValues"][name], out["maxValues"][name] = low, high
    return out


def _together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Statistics of two parts of a file as those of the file."""
    if not one:
        return other
    out: dict[str, Any] = {"numRecords": one["numRecords"] + other["numRecords"]}
    for key, choose in (("nullCount", operator.add), ("minValues", min), ("maxValues", max)):
        a, b = one[key], other[key]
        out[key] = {n: choose(a[n], b[n]) if n in a and n in b else a.get(n, b.get(n)) for n in {**a, **b}}
    return out


class Table:
    """The Delta table of a stream root. Every commit is atomic: readers see the rows before it or after it, nothing between."""

    def __init__(self, root: str | Path):
        self.root = Path(root) / "observations"

    def exists(self) -> bool:
        """Whether anything was ever committed."""
        return (self.root / "_delta_log").is_dir() and any((self.root / "_delta_log").glob("*.json"))

    def open(self, version: int | None = None) -> Any:
        """The deltalake.DeltaTable, of an earlier version when asked."""
        from deltalake import DeltaTable

        return DeltaTable(str(self.root), version=version)

    def version(self) -> int:
        """Number of the newest commit, -1 when there is none."""
        return self.open().version() if self.exists() else -1

    def files(self, version: int | None = None) -> dict[tuple[str, str], str]:
        """(stream, month) -> path below the root of its file."""
        if not self.exists():
            return {}
        actions = pa.table(self.open(version).get_add_actions(flatten=True))
        columns = [actions.column(c).to_pylist() for c in ("partition.stream", "partition.month", "path")]
        return {(s, m): p for s, m, p in zip(*columns)}

    def commit(
        self,
        new: dict[tuple[str, str], tuple[str, dict]],
        gone: Iterable[tuple[str, str]],
        old: dict[tuple[str, str], str],
        *,
        note: dict | None = None,
    ) -> None:
        """Replace partitions by new files in one transaction; `gone` are partitions that have no rows any more."""
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import AddAction, create_table_with_add_actions

        schema = Schema.from_arrow(SCHEMA)
        now = int(clock.time() * 1000)
        adds = [
            AddAction(
                path,
                (self.root / path).stat().st_size,
                {"stream": key[0], "month": key[1]},
                now,
                True,
                json.dumps(stats),
            )
            for key, (path, stats) in sorted(new.items())
            if old.get(key) != path
        ]
        removed = [old[key] for key in sorted({*(k for k in new if old.get(k) != new[k][0]), *gone}) if key in old]
        if not adds and not removed:
            return
        properties = CommitProperties(custom_metadata={k: str(v) for k, v in (note or {}).items()})
        if not self.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            create_table_with_add_actions(str(self.root), schema, adds, mode="error", partition_by=PARTITION, commit_properties=properties,
                                          name="observations", configuration={"delta.checkpointInterval": "20"})  # fmt: skip
            return
        actions = [*adds, *(_remove(path, now) for path in removed)]
        self.open().create_write_transaction(actions, "append", schema, PARTITION, commit_properties=properties)

    def read(self, *, columns: list[str] | None = None, filters: Any = None, version: int | None = None) -> pa.Table:
        """Rows as an Arrow table; `filters` is an expression of pyarrow.dataset. Files that cannot match are not opened."""
        return self.open(version).to_pyarrow_dataset().to_table(columns=columns, filter=filters)


def _remove(path: str, now: int) -> Any:
    from deltalake.transaction import RemoveAction

    return RemoveAction(path=path, deletion_timestamp=now, data_change=True)
