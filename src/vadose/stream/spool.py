"""Rows of one stream that wait to be merged into its table, month by month: in memory, or on disk when there are too many."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from vadose.stream.grid import Grid, merge, months


class Spool:
    """Takes grids in any order and gives them back by month and columns. Holds at most about `cells` values in memory."""

    def __init__(self, folder: Path, columns: int, cells: int):
        self.folder, self.columns, self.cells = folder, columns, cells
        self.pending: list[Grid] = []
        self.gathered = 0
        self.parts: dict[str, list[Grid | Path]] = {}
        self.sizes: dict[str, int] = {}
        self.written = 0

    def add(self, grid: Grid) -> None:
        """One more grid with all columns of the stream."""
        self.pending.append(grid)
        self.gathered += grid.raw.size
        if self.gathered > self.cells:
            self._sort(keep=False)

    def close(self) -> None:
        """No more grids come. What never reached the disk stays in memory."""
        self._sort(keep=not self.written)

    def _sort(self, *, keep: bool) -> None:
        whole = merge(self.pending, self.columns)
        self.pending, self.gathered = [], 0
        month = months(whole.time)
        edges = np.flatnonzero(np.diff(month.astype(np.int64))) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), month.size]):
            if start == stop:
                continue
            part = whole.part(slice(start, stop))
            name = str(month[start])
            self.parts.setdefault(name, []).append(part if keep else self._write(part))
            self.sizes[name] = self.sizes.get(name, 0) + part.raw.size

    def _write(self, part: Grid) -> Path:
        folder = self.folder / str(self.written)
        folder.mkdir(parents=True)
        self.written += 1
        np.save(folder / "time.npy", part.time)
        np.save(folder / "raw.npy", np.asfortranarray(part.raw))
        # Nearly all cells of a part have one rank and one flag: only the others are written down.
        for name, array in (("rank", part.rank), ("flag", part.flag)):
            flat = array.ravel(order="F")
            usual = flat[flat.size // 2]
            others = np.flatnonzero(flat != usual)
            np.savez(folder / f"{name}.npz", usual=usual, where=others, what=flat[others])
        return folder

    def read(self, month: str, columns: slice) -> list[Grid]:
        """What waits for a month, of some columns."""
        return [
            Grid(p.time, p.raw[:, columns], p.rank[:, columns], p.flag[:, columns]) if isinstance(p, Grid) else _load(p, columns)
            for p in self.parts.get(month, [])
        ]  # fmt: skip

    def forget(self) -> None:
        """Remove what is on disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _load(folder: Path, columns: slice) -> Grid:
    raw = np.load(folder / "raw.npy", mmap_mode="r")
    n, k = raw.shape
    first, stop, _ = columns.indices(k)

    def dense(name: str) -> Any:
        with np.load(folder / f"{name}.npz") as held:
            usual, where, what = held["usual"], held["where"], held["what"]
        out = np.full(n * (stop - first), usual)
        a, b = np.searchsorted(where, [first * n, stop * n])
        out[where[a:b] - first * n] = what[a:b]
        return out.reshape((n, stop - first), order="F")

    return Grid(np.load(folder / "time.npy"), np.asfortranarray(raw[:, columns]), dense("rank"), dense("flag"))
