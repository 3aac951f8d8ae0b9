"""One stream's new files merged into its months: read, held until all are read, then each month that changes is written once.

Memory is bounded whatever the size of a file or the step of a logger: what is read waits on disk (spool.py), and months are made a
few at a time, or where even one is too large, a few columns at a time. Every check looks at one column and reaches less than a
month, so the bytes do not depend on how the work is cut.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from vadose.errors import UnreadableFileError
from vadose.stream.derive import Layout, derive, layout, no_data
from vadose.stream.design import Design, read_design
from vadose.stream.formats import read
from vadose.stream.grid import Grid, clock_marks, from_rows, merge, months
from vadose.stream.landing import Landed
from vadose.stream.ledger import WORK, BadRows, Source
from vadose.stream.spool import Spool
from vadose.stream.table import MonthFile, newest, to_arrow, to_grid
from vadose.stream.text import BadRow, Block

#: Values that a worker works on at a time (bounds its memory whatever the size of a file).
CELLS = 8_000_000
#: How far a check looks: the median of a month that is rounded to its nearest start reaches half a month.
REACH = np.timedelta64(17, "D")
#: What comes this long after newer values of its stream is counted as late.
LATE = np.timedelta64(48, "h")


@dataclass
class Work:
    """One stream's share of a run, as a worker gets it."""

    root: str
    design: str
    stream: str
    files: list[Landed]
    stored: dict[str, str]  # month -> path of the partition's file
    cells: int = CELLS


@dataclass
class Done:
    """What a worker hands back: files written, not yet committed."""

    stream: str
    fingerprint: str
    new: dict[str, tuple[str, dict]] = field(default_factory=dict)  # month -> (path, statistics)
    sources: list[Source] = field(default_factory=list)
    values: int = 0
    late: int = 0
    peak_mb: float = 0.0


#: Tables that a worker has read, by folder: one process does many streams of one run.
_DESIGNS: dict[str, Design] = {}


def remember(folder: str, design: Design) -> None:
    """The tables of a folder as they are now."""
    _DESIGNS[folder] = design


def process(work: Work) -> Done:
    """Read a stream's new files, merge them with what is stored, derive, and write the months that changed."""
    if work.design not in _DESIGNS:
        remember(work.design, read_design(work.design))
    design = _DESIGNS[work.design]
    first = work.files[0]
    plan = layout(design, first.logger, first.table)
    if plan is None:
        reason = _waits(work.files, design)
        return Done(work.stream, "", sources=[Source(f, "waiting", reason=reason) for f in work.files])
    root = Path(work.root)
    done = Done(work.stream, plan.fingerprint)
    spool = Spool(root / WORK / work.stream, len(plan.columns), work.cells)
    late = newest(root / "observations" / work.stored[max(work.stored)]) - LATE if work.stored else None
    for landed in sorted(work.files, key=lambda f: (f.rank, f.sha256)):
        try:
            done.sources.append(_read(root, landed, work.stream, plan, spool, done, late))
        except UnreadableFileError as error:
            done.sources.append(Source(landed, "unreadable", reason=str(error)))
    spool.close()
    done.new = _rebuild(root, work, spool, plan, design)
    spool.forget()
    done.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return done


def _waits(files: list[Landed], design: Design) -> str:
    """Why files wait: nothing says what their columns are."""
    first, others = files[0], len(files) - 1
    near = get_close_matches(f"{first.logger}, {first.table}", [", ".join(pair) for pair in design.tables()], n=1)
    return (
        f"{first.name}{f' and {others} more' if others else ''}: logger {first.logger}, table {first.table} has no row with a "
        f"research_name in design_table.csv{f' (it has {near[0]})' if near else ''}; add one and the file is read at the next run"
    )


def _read(root: Path, landed: Landed, stream: str, plan: Layout, spool: Spool, done: Done, late: np.datetime64 | None) -> Source:  # fmt: skip
    """One file into the spool, its bad rows into a file of their own."""
    place = {name: k for k, name in enumerate(plan.columns)}
    rows, ends = 0, []
    with (
        (root / "landing" / landed.sha256[:2] / landed.sha256).open("rb") as file,
        BadRows(root, landed) as bad,
    ):
        blocks = read(file, landed.name, lambda header: list(plan.columns))
        for block, clock in clock_marks(_of_stream(blocks, stream, bad)):
            time = block.time - plan.shift
            columns = np.array([place[c] for c in block.columns], dtype=np.int64)
            grid = from_rows(
                time, block.values, columns, len(place), landed.rank,
                cut=block.cut, no_data=no_data(block.values), clock=clock,
            )  # fmt: skip
            if late is not None:
                done.late += int((grid.rank[grid.time < late] >= 0).sum())
            spool.add(grid)
            rows += time.size
            ends += [time.min(), time.max()]
            done.values += block.values.size
        said = (str(min(ends)), str(max(ends))) if ends else ("", "")
        return Source(landed, "done", rows, bad.count, *said)


def _of_stream(blocks: Iterator[Block], stream: str, bad: BadRows) -> Iterator[Block]:
    """Blocks with rows of the stream; what is bad in any of them is written down."""
    for block in blocks:
        for row in block.bad:
            bad.add(row)
        if not block.time.size:
            continue
        if block.header.stream == stream:
            yield block
        else:
            bad.add(BadRow(0, f"{block.time.size} rows of another table ({block.header.stream}) in this file; split it", ""))  # fmt: skip


def _rebuild(root: Path, work: Work, spool: Spool, plan: Layout, design: Design) -> dict[str, tuple[str, dict]]:
    """Write each month that has new rows or neighbors one that has; gives what is not as it was."""
    base = root / "observations"
    touched = {np.datetime64(month) for month in spool.parts}
    beside = {month + d for month in touched for d in (-1, 1)} & {np.datetime64(month) for month in work.stored}
    sizes = dict(spool.sizes)
    near = {str(month + d) for month in touched for d in (-2, -1, 0, 1, 2)} & work.stored.keys()
    for name in near:
        sizes[name] = sizes.get(name, 0) + pq.read_metadata(base / work.stored[name]).num_rows
    written = {}
    for window in _windows(sorted(touched | beside), sizes, work.cells):
        for name, made in _months(base, root / WORK, window, sizes, work, spool, plan, design):
            if work.stored.get(name) != made[0]:
                written[name] = made
    return written


def _windows(wanted: list[np.datetime64], sizes: dict[str, int], cells: int) -> Iterator[list[np.datetime64]]:
    """Months in order, as many at a time as fit into `cells` with their neighbors; at least one."""
    window: list[np.datetime64] = []
    for month in wanted:
        if window and _load({*window, month}, sizes) > cells:
            yield window
            window = []
        window.append(month)
    if window:
        yield window


def _with_neighbors(window: set[np.datetime64]) -> list[str]:
    return sorted({str(month + d) for month in window for d in (-1, 0, 1)})


def _load(window: set[np.datetime64], sizes: dict[str, int]) -> int:
    return sum(sizes.get(name, 0) for name in _with_neighbors(window))


def _months(base: Path, work_folder: Path, window: list[np.datetime64], sizes: dict[str, int], work: Work, spool: Spool,
            plan: Layout, design: Design) -> Iterator[tuple[str, tuple[str, dict]]]:  # fmt: skip
    """The files of a window's months, as many columns at a time as fit into `cells`."""
    work_folder.mkdir(exist_ok=True)
    files = {str(month): MonthFile(base, work.stream, str(month), work_folder) for month in window}
    total = len(plan.columns)
    share = max(1, int(total * min(1.0, work.cells / max(_load(set(window), sizes), 1))))
    for first in range(0, total, share):
        columns = slice(first, min(first + share, total))
        mine = plan if share == total else plan.part(columns)
        grids: list[Grid] = []
        for name in _with_neighbors(set(window)):
            if name in work.stored:
                grids.append(to_grid(base / work.stored[name], plan, columns))
            grids += spool.read(name, columns)
        whole = merge(grids, len(mine.columns))
        del grids
        begin, end = window[0].astype("datetime64[us]") - REACH, (window[-1] + 1).astype("datetime64[us]") + REACH
        whole = whole.part(slice(*np.searchsorted(whole.time, [begin, end]).tolist()))
        month = months(whole.time)
        for start, stop in _runs(month):
            here = month[start:stop]
            if not np.isin(window, here).any():
                continue
            part = whole.part(slice(start, stop))
            derived = derive(part, mine, design)
            for m in np.intersect1d(here, window):
                a, b = np.searchsorted(here, [m, m + 1])
                cut = slice(int(a), int(b))
                values = replace(derived, value=derived.value[cut], error=derived.error[cut], flag=derived.flag[cut], link=derived.link[cut])  # fmt: skip
                files[str(m)].add(*to_arrow(part.part(cut), values, plan, first))
    for name, file in files.items():
        if made := file.close():
            yield name, made


def _runs(month: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of consecutive months: rows further apart than a month know nothing of each other."""
    if not month.size:
        return []
    edges = np.flatnonzero(np.diff(month.astype(np.int64)) > 1) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), month.size]))
