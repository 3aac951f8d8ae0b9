"""From new files to one committed table: per stream, in workers, safe to kill at any moment and to run again.

What the table holds is a function of the landed files and the design tables alone. Files may come late, twice, corrected or in any
order: each cell is taken from the file of highest rank that has it, and only months that change are written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import multiprocessing.context
import os
import resource
import time as clock
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np

from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.stream.derive import Layout, derive, layout, no_data
from vadose.stream.design import Design, read_design
from vadose.stream.formats import read
from vadose.stream.grid import SOURCE_MASK, Grid, from_rows, merge
from vadose.stream.landing import Landed, Landing
from vadose.stream.table import Table, months, statistics, to_arrow, to_grid, write_month

#: Cells that a worker gathers before it writes them (bounds its memory whatever the size of a file).
CELLS = 8_000_000
BAD_SHOWN = 10_000
MONTH = np.timedelta64(1, "M")


@dataclass(frozen=True)
class Source:
    """What became of one landed file."""

    landed: Landed
    state: str  # done, waiting (no design row), unreadable
    rows: int = 0
    bad: int = 0
    first: str = ""
    last: str = ""
    reason: str = ""


@dataclass
class Report:
    """What a run did, in numbers a person asks for."""

    landed: int = 0
    files: int = 0
    values: int = 0
    bad_rows: int = 0
    partitions: int = 0
    streams: int = 0
    late: int = 0  # values older than 48 hours before the newest of their stream
    waiting: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    version: int = -1
    seconds: float = 0.0
    worker_mb: float = 0.0  # largest memory of a process that read files, at any time

    def sentence(self) -> str:
        """One line for the terminal."""
        more = "".join(
            f"; {len(items)} {what}"
            for items, what in ((self.waiting, "waiting for a design row"), (self.unreadable, "not readable"))
            if items
        )
        return (
            f"{self.files} new files, {self.values:,} values, {self.bad_rows} bad rows, {self.partitions} partitions of {self.streams} "
            f"streams written in {self.seconds:.1f} s (table version {self.version}){more}"
        )


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
    new: dict[str, tuple[str, dict]] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    bad: list[dict] = field(default_factory=list)
    values: int = 0
    late: int = 0
    peak_mb: float = 0.0


_DESIGN_CACHE: dict[str, Design] = {}


def _design(folder: str) -> Design:
    if folder not in _DESIGN_CACHE:
        _DESIGN_CACHE[folder] = read_design(folder)
    return _DESIGN_CACHE[folder]


def process(work: Work, design: Design | None = None) -> Done:
    """Read a stream's new files, merge them with what is stored, derive, and write the months that changed."""
    design = design or _design(work.design)
    first = work.files[0]
    plan = layout(design, first.logger, first.table)
    if plan is None:
        reason = f"{first.logger}, {first.table}: no row with a research name in the design table"
        return Done(work.stream, "", sources=[Source(f, "waiting", reason=reason) for f in work.files])
    done = Done(work.stream, plan.fingerprint)
    writer = _Writer(Path(work.root) / "observations", work.stream, dict(work.stored), plan, design)
    place = {name: k for k, name in enumerate(plan.columns)}
    landing = Path(work.root) / "landing"
    pending: list[Grid] = []
    gathered = 0
    for landed in sorted(work.files, key=lambda f: (f.rank, f.sha256)):
        rows, times = 0, []
        bad: list[dict] = []
        n_bad = 0
        try:
            with (landing / landed.sha256[:2] / landed.sha256).open("rb") as file:
                for block in read(file, landed.name, lambda header: list(plan.columns)):
                    n_bad += len(block.bad)
                    bad += [
                        {"file": landed.name, "sha256": landed.sha256, **asdict(b)}
                        for b in block.bad[: BAD_SHOWN - len(bad)]
                    ]
                    if block.header.stream != work.stream:
                        if block.time.size:
                            n_bad += 1
                            bad.append({"file": landed.name, "sha256": landed.sha256, "line": 0, "cell": "", "text": "",
                                        "reason": f"{block.time.size} rows of another table ({block.header.stream}) in this file; split it"})  # fmt: skip
                        continue
                    if not block.time.size:
                        continue
                    columns = np.array([place[c] for c in block.columns], dtype=np.int64)
                    time = block.time - plan.shift
                    pending.append(
                        from_rows(
                            time,
                            block.values,
                            columns,
                            len(plan.columns),
                            landed.rank,
                            cut=block.cut,
                            no_data=no_data(block.values),
                        )
                    )
                    rows += time.size
                    times += [time.min(), time.max()]
                    done.values += block.values.size
                    gathered += time.size * len(plan.columns)
                    if gathered > work.cells:
                        done.late += writer.add(merge(pending, len(plan.columns)))
                        pending, gathered = [], 0
        except UnreadableFileError as error:
            done.sources.append(Source(landed, "unreadable", rows, n_bad, reason=str(error)))
            continue
        ends = (str(min(times)), str(max(times))) if times else ("", "")
        done.sources.append(Source(landed, "done", rows, n_bad, *ends))
        done.bad += bad
    if pending:
        done.late += writer.add(merge(pending, len(plan.columns)))
    done.new = writer.written
    done.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return done


class _Writer:
    """Merges grids into the months of a stream. Knows what is stored, by month."""

    def __init__(self, root: Path, stream: str, stored: dict[str, str], plan: Layout, design: Design):
        self.root, self.stream, self.stored, self.plan, self.design = root, stream, stored, plan, design
        self.written: dict[str, tuple[str, dict]] = {}
        self.mine: set[str] = set()  # files that this run made

    def add(self, grid: Grid) -> int:
        """Upsert a grid; gives how many of its values are late (older than 48 h before the newest stored)."""
        if not grid.time.size:
            return 0
        touched = np.unique(months(grid.time))
        near = {str(m + d * MONTH) for m in touched for d in (-2, -1, 0, 1, 2)} & set(self.stored)
        late = 0
        if self.stored and (newest := max(self.stored)) in near | set(self.stored):
            mark = to_grid(self.root / self.stored[newest], self.plan).time[-1] - np.timedelta64(48, "h")
            late = int((grid.rank[grid.time < mark] >= 0).sum())
        known = [to_grid(self.root / self.stored[m], self.plan) for m in sorted(near)]
        whole = merge([*known, grid], len(self.plan.columns))
        month = months(whole.time)
        again = np.unique(np.concatenate([touched, touched - MONTH, touched + MONTH]))
        for start, stop in _runs(month):
            part = whole.part(slice(start, stop))
            if not np.isin(month[start:stop], again).any():
                continue
            derived = derive(part, self.plan, self.design)
            for m in np.unique(month[start:stop]):
                if m in again:
                    self._write(str(m), part, derived, month[start:stop] == m)
        return late

    def _write(self, month: str, part: Grid, derived, rows: np.ndarray) -> None:
        at = np.flatnonzero(rows)
        cut = slice(int(at[0]), int(at[-1]) + 1)
        derived = replace(
            derived, value=derived.value[cut], error=derived.error[cut], flag=derived.flag[cut], link=derived.link[cut]
        )
        table = to_arrow(part.part(cut), derived, self.plan)
        if not table.num_rows:
            return
        path, new = write_month(self.root, self.stream, month, table)
        if self.stored.get(month) != path:
            if (older := self.stored.get(month)) in self.mine:  # no commit knows of it
                (self.root / older).unlink(missing_ok=True)
            if new:
                self.mine.add(path)
            self.written[month] = (path, statistics(table))
            self.stored[month] = path


def _runs(month: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of consecutive months: rows further apart than a month know nothing of each other."""
    if not month.size:
        return []
    edges = np.flatnonzero(np.diff(month.astype(np.int64)) > 1) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), month.size]))


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Only one run at a time works on a root; the lock goes with the process that held it."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise VadoseInputError(f"{root}: another run is at work here; wait for it or stop it") from error
        yield


class Ledger:
    """What is known of each landed file: `sources.json`, replaced atomically. It can be lost: a run makes it again from the landing."""

    def __init__(self, root: Path):
        self.file = root / "sources.json"
        found = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self.sources: dict[str, Source] = {
            k: Source(Landed(**v.pop("landed")), **v) for k, v in found.get("sources", {}).items()
        }
        self.fingerprints: dict[str, str] = found.get("fingerprints", {})

    def save(self) -> None:
        """Write it down."""
        sources = {k: vars(v) | {"landed": vars(v.landed)} for k, v in sorted(self.sources.items())}
        body = {"sources": sources, "fingerprints": self.fingerprints}
        temporary = self.file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(body))
        temporary.replace(self.file)


def settings(root: str | Path) -> dict[str, Any]:
    """`stream.json` of a root: inputs, design folder, workers."""
    path = Path(root) / "stream.json"
    if not path.is_file():
        raise VadoseInputError(f"{root}: not a stream; make one with `vadose stream init {root} --input FOLDER`")
    return json.loads(path.read_text())


def init(root: str | Path, *, inputs: Iterable[str | Path], design: str | Path, workers: int = 2) -> Path:
    """Make a stream root: a folder that knows where files come from and which tables explain them. Existing roots are updated."""
    base = Path(root)
    base.mkdir(parents=True, exist_ok=True)
    read_design(design)
    where = [str(p) if "://" in str(p) else str(Path(p).absolute()) for p in inputs]
    body = {"inputs": where, "design": str(Path(design).absolute()), "workers": workers}
    temporary = base / f".stream.{os.getpid()}"
    temporary.write_text(json.dumps(body, indent=1))
    temporary.replace(base / "stream.json")
    return base


def run(
    root: str | Path,
    *,
    workers: int | None = None,
    storage_options: dict | None = None,
    tell: Callable[[str], None] = lambda text: None,
    cells: int = CELLS,
    commit_every: float = 30.0,
) -> Report:
    """Land, read, calibrate, flag and commit everything new below the inputs of a stream. Running again does nothing.

    `workers` processes work on different streams (0: in this process). `cells` bounds the memory of each. Every
    `commit_every` seconds finished streams are committed, so that a killed run keeps them.
    """
    began = clock.monotonic()
    base, chosen = Path(root), settings(root)
    design = read_design(chosen["design"])
    _DESIGN_CACHE[chosen["design"]] = design
    with locked(base):
        landing, ledger, table = Landing(base), Ledger(base), Table(base)
        report = Report()
        if not ledger.sources:
            landing.seen.clear()
        processes = workers if workers is not None else chosen.get("workers", 2)
        for landed in landing.land(chosen["inputs"], storage_options=storage_options):
            report.landed += 1
            if report.landed == 2 and processes > 1:
                _workers_context()  # they import what they need while files land
            known = ledger.sources.get(landed.sha256)
            if known is None or known.landed.rank < landed.rank:
                ledger.sources[landed.sha256] = Source(
                    landed, "unreadable" if landed.problem else "new", reason=landed.problem
                )
        ledger.save()
        landing.save()
        stored = table.files()
        jobs = _jobs(base, chosen["design"], design, ledger, stored, cells)
        tell(f"{report.landed} files landed, {len(jobs)} streams to do")
        _carry_out(
            jobs,
            design,
            processes,
            _Committer(base, table, ledger, stored, report, commit_every),
            tell,
        )
        report.version = table.version()
        report.waiting = sorted({s.reason for s in ledger.sources.values() if s.state == "waiting"})
        report.unreadable = sorted(s.reason for s in ledger.sources.values() if s.state == "unreadable")
        report.seconds = clock.monotonic() - began
        if report.files or not (base / "runs.jsonl").is_file():
            with (base / "runs.jsonl").open("a") as file:
                file.write(
                    json.dumps({"ended": clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime()), **asdict(report)}) + "\n"
                )
    return report


def _jobs(
    base: Path, folder: str, design: Design, ledger: Ledger, stored: dict[tuple[str, str], str], cells: int
) -> list[Work]:
    by_stream: dict[str, list[Source]] = {}
    for source in ledger.sources.values():
        if source.landed.stream:
            by_stream.setdefault(source.landed.stream, []).append(source)
    jobs = []
    for stream, sources in sorted(by_stream.items()):
        plan = layout(design, sources[0].landed.logger, sources[0].landed.table)
        now = plan.fingerprint if plan else ""
        changed = ledger.fingerprints.get(stream, now) != now
        # A design that changed makes all its files new, and what was stored is not looked at.
        take = [s.landed for s in sources if changed or s.state == "new" or (s.state == "waiting" and plan)]
        if take:
            have = {} if changed else {m: p for (name, m), p in stored.items() if name == stream}
            jobs.append(Work(str(base), folder, stream, take, have, cells))
    return sorted(jobs, key=lambda j: -sum(f.size for f in j.files))


def _carry_out(
    jobs: list[Work], design: Design, workers: int, committer: _Committer, tell: Callable[[str], None]
) -> None:
    if workers < 2 or len(jobs) < 2:
        for number, job in enumerate(jobs, 1):
            committer.take(process(job, design))
            tell(f"{number} of {len(jobs)} streams")
        committer.commit()
        return
    pool: Executor
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=_workers_context()) as pool:
        futures: list[Future[Done]] = [pool.submit(process, job) for job in jobs]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                committer.take(future.result())
                tell(f"{number} of {len(jobs)} streams")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    committer.commit()


def _workers_context() -> multiprocessing.context.ForkServerContext:
    """How workers are started: from one server that has imported what they need, and that begins to do so now."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vadose.stream.ingest"])
    forkserver.ensure_running()
    return context


class _Committer:
    """Gathers finished streams and commits them together: first the table, then the ledger that says so."""

    def __init__(
        self, base: Path, table: Table, ledger: Ledger, stored: dict[tuple[str, str], str], report: Report, every: float
    ):
        self.base, self.table, self.ledger, self.stored, self.report, self.every = (
            base,
            table,
            ledger,
            stored,
            report,
            every,
        )
        self.done: list[Done] = []
        self.last = clock.monotonic()

    def take(self, done: Done) -> None:
        self.done.append(done)
        if clock.monotonic() - self.last > self.every:
            self.commit()

    def commit(self) -> None:
        new: dict[tuple[str, str], tuple[str, dict]] = {}
        gone: set[tuple[str, str]] = set()
        for done in self.done:
            new |= {(done.stream, month): entry for month, entry in done.new.items()}
            if done.fingerprint and self.ledger.fingerprints.get(done.stream, done.fingerprint) != done.fingerprint:
                gone |= {key for key in self.stored if key[0] == done.stream and key[1] not in done.new}
        self.table.commit(new, gone, self.stored, note={"streams": len(self.done)})
        self.stored |= {key: entry[0] for key, entry in new.items()}
        for key in gone:
            self.stored.pop(key, None)
        for done in self.done:
            if done.fingerprint:
                self.ledger.fingerprints[done.stream] = done.fingerprint
            for source in done.sources:
                self.ledger.sources[source.landed.sha256] = source
                self.report.files += source.state == "done"
                self.report.bad_rows += source.bad
            self._keep_bad(done)
            self.report.values += done.values
            self.report.late += done.late
            self.report.worker_mb = max(self.report.worker_mb, done.peak_mb)
            self.report.partitions += len(done.new)
            self.report.streams += bool(done.new)
        self.ledger.save()
        self.done, self.last = [], clock.monotonic()

    def _keep_bad(self, done: Done) -> None:
        """One file a source with its bad rows, under its hash: replaced, never appended to."""
        by_source: dict[str, list[dict]] = {}
        for row in done.bad:
            by_source.setdefault(row["sha256"], []).append(row)
        for sha, rows in by_source.items():
            path = self.base / "bad-rows" / f"{sha}.jsonl"
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
            temporary.replace(path)


def bad_rows(root: str | Path) -> list[dict]:
    """Every bad row of a stream: file, line, reason, how it begins; `cell` where only one value of the row is missing."""
    return [
        json.loads(line)
        for path in sorted((Path(root) / "bad-rows").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def source_hash(source: int) -> int:
    """What of a row's `source` names the file: its rank without the two bits of quality."""
    return int(source) & int(SOURCE_MASK)
