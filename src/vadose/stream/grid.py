"""Values of one stream as arrays (time, column), and the one rule that decides between files: the cell of higher rank wins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vadose.stream.checks import clock_set_back
from vadose.stream.flags import CLOCK, CUT, DUP
from vadose.stream.landing import CUT_BIT, VALID_BIT
from vadose.stream.text import Block

REVISION_SHIFT = 57


def months(time: np.ndarray) -> np.ndarray:
    """Calendar month (UTC) of each time."""
    return time.astype("datetime64[M]")


@dataclass
class Grid:
    """Raw values with, for each cell, the rank of the file it came from (-1: no row) and what is wrong with the row itself."""

    time: np.ndarray  # (n,) datetime64[us] UTC, sorted, unique
    raw: np.ndarray  # (n, columns), a column's values side by side in memory, as in the next two
    rank: np.ndarray  # (n, columns) int64
    flag: np.ndarray  # (n, columns) int32

    @classmethod
    def empty(cls, time: np.ndarray, columns: int) -> Grid:
        """Nothing yet on these times."""
        shape = (time.size, columns)
        return cls(
            time,
            np.full(shape, np.nan, order="F"),
            np.full(shape, -1, np.int64, order="F"),
            np.zeros(shape, np.int32, order="F"),
        )

    def part(self, keep: np.ndarray | slice) -> Grid:
        """Some of the rows."""
        return Grid(self.time[keep], self.raw[keep], self.rank[keep], self.flag[keep])


def from_rows(
    time: np.ndarray,
    values: np.ndarray,
    columns: np.ndarray,
    total: int,
    source: int,
    *,
    cut: bool,
    no_data: np.ndarray,
    clock: np.ndarray,
) -> Grid:
    """Rows of a file in file order -> a grid. `columns`: positions of the values in the stream; `no_data`: where there is no number;
    `clock`: rows in whose time the clock was set back (clock_marks)."""
    n = time.size
    flag = np.zeros(n, np.int32)
    flag[clock] |= CLOCK
    quality = np.full(n, CUT_BIT, np.int64)
    if cut and n:
        flag[-1] |= CUT
        quality[-1] = 0
    rank = np.int64(source) | quality[:, None] | np.where(no_data, np.int64(0), np.int64(VALID_BIT))
    if n < 2 or (time[1:] > time[:-1]).all():
        if columns.size == total and (columns == np.arange(total)).all():
            return Grid(time, values, rank, np.broadcast_to(flag[:, None], values.shape).copy(order="F"))
        out = Grid.empty(time, total)
        out.raw[:, columns], out.rank[:, columns], out.flag[:, columns] = values, rank, flag[:, None]
        return out
    unique, where = np.unique(time, return_inverse=True)
    out = Grid.empty(unique, total)
    order = np.argsort(where, kind="stable")
    position = np.arange(n) - np.searchsorted(
        where[order], where[order]
    )  # how often this time came before, in file order
    for turn in range(int(position.max()) + 1):
        rows = order[position == turn]
        layer = Grid.empty(unique[where[rows]], total)
        layer.raw[:, columns], layer.rank[:, columns], layer.flag[:, columns] = (
            values[rows],
            rank[rows],
            flag[rows, None],
        )
        _lay(out, layer, where[rows])
    return out


def clock_marks(blocks: Iterable[Block]) -> Iterator[tuple[Block, np.ndarray]]:
    """Each block of a file with its rows in whose time the clock was set back, looking into the block before and the one after it."""
    held: tuple[Block, np.ndarray] | None = None
    for block in blocks:
        marks = np.zeros(block.time.size, bool)
        both = [block] if held is None else [held[0], block]
        time = np.concatenate([b.time for b in both])
        if time.size > 1 and not (time[1:] > time[:-1]).all():
            unlike = ~_repeated(time, [b.values for b in both])
            found = np.zeros(time.size, bool)
            found[unlike] = clock_set_back(time[unlike])
            marks |= found[time.size - marks.size :]
            if held is not None:
                held = held[0], held[1] | found[: time.size - marks.size]
        if held is not None:
            yield held
        held = block, marks
    if held is not None:
        yield held


def _repeated(time: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
    """Rows that repeat an earlier row of the file exactly (a table that was written into the file twice)."""
    out = np.zeros(time.size, bool)
    rows = [row for block in values for row in block]
    _, where, often = np.unique(time, return_inverse=True, return_counts=True)
    seen: set[tuple[int, bytes]] = set()
    for k in np.flatnonzero(often[where] > 1).tolist():
        key = int(where[k]), rows[k].tobytes()
        out[k] = key in seen
        seen.add(key)
    return out


def _lay(under: Grid, over: Grid, at: np.ndarray) -> None:
    """Lay `over` on rows `at` of `under`, cell by cell. The result does not depend on the order of many such steps."""
    a_rank, b_rank = under.rank[at], over.rank
    a_raw, b_raw = under.raw[at], over.raw
    win = (b_rank >= a_rank) & (b_rank >= 0)
    both = (a_rank >= 0) & (b_rank >= 0)
    same_revision = both & ((a_rank >> REVISION_SHIFT) == (b_rank >> REVISION_SHIFT))
    whole = VALID_BIT | CUT_BIT
    valid = ((a_rank & whole) == whole) & ((b_rank & whole) == whole)
    differ = same_revision & valid & (a_raw != b_raw)
    flag = np.where(win, over.flag, under.flag[at])
    # One file that says the same twice (a table written into it again) leaves no doubt about its clock.
    again = (a_rank == b_rank) & ((a_raw == b_raw) | (np.isnan(a_raw) & np.isnan(b_raw)))
    flag = np.where(again & (over.flag & under.flag[at] & CLOCK == 0), flag & ~CLOCK, flag)
    inherited = np.where(same_revision & valid, (over.flag | under.flag[at]) & DUP, 0)
    under.flag[at] = flag | inherited | np.where(differ, DUP, 0)
    under.raw[at] = np.where(win, b_raw, a_raw)
    under.rank[at] = np.where(win, b_rank, a_rank)


def merge(grids: list[Grid], columns: int) -> Grid:
    """One grid of many."""
    grids = [g for g in grids if g.time.size]
    if not grids:
        return Grid.empty(np.empty(0, "datetime64[us]"), columns)
    if len(grids) == 1:
        return grids[0]
    ordered = sorted(grids, key=lambda g: g.time[0])
    if all(a.time[-1] < b.time[0] for a, b in itertools.pairwise(ordered)):
        return Grid(*(np.concatenate([getattr(g, f) for g in ordered]) for f in ("time", "raw", "rank", "flag")))
    out = Grid.empty(np.unique(np.concatenate([g.time for g in grids])), columns)
    for grid in grids:
        _lay(out, grid, np.searchsorted(out.time, grid.time))
    return out
