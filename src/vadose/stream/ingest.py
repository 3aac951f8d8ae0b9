"""From new files to one committed table: per stream, in workers, safe to kill at any moment and to run again.

What the table holds is a function of the landed files and the design tables alone. Files may come late, twice, corrected or in any
order: each cell is taken from the file of highest rank that has it, and only months that change are written.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.context
import shutil
import time as clock
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import forkserver
from pathlib import Path

from vadose.stream.derive import layout
from vadose.stream.design import Design, read_design
from vadose.stream.landing import Landing
from vadose.stream.ledger import WORK, Ledger, Source
from vadose.stream.root import locked, settings
from vadose.stream.table import Table
from vadose.stream.upsert import CELLS, Done, Work, process, remember


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
    missing: dict[str, str] = field(default_factory=dict)  # input -> why nothing comes from it
    version: int = -1
    seconds: float = 0.0
    worker_mb: float = 0.0  # largest memory of a process that read files, at any time

    def sentence(self) -> str:
        """One line for the terminal."""
        more = "".join(
            f"; {len(items)} {what}"
            for items, what in (
                (self.waiting, "waiting for a design row"),
                (self.unreadable, "not readable"),
                (self.missing, "input gives nothing" if len(self.missing) == 1 else "inputs give nothing"),
            )
            if items
        )
        return (
            f"{self.files} new files, {self.values:,} values, {self.bad_rows} bad rows, {self.partitions} partitions of {self.streams} "
            f"streams written in {self.seconds:.1f} s (table version {self.version}){more}"
        )


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
    remember(chosen["design"], design)
    with locked(base):
        shutil.rmtree(base / WORK, ignore_errors=True)  # of a run that was killed
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
        ledger.missing = report.missing = landing.missing
        ledger.save()
        landing.save()
        stored = table.files()
        jobs = _jobs(base, chosen["design"], design, ledger, stored, cells)
        tell(f"{report.landed} files landed, {len(jobs)} streams to do")
        _carry_out(jobs, processes, _Committer(table, ledger, stored, report, commit_every), tell)
        shutil.rmtree(base / WORK, ignore_errors=True)
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


def _carry_out(jobs: list[Work], workers: int, committer: _Committer, tell: Callable[[str], None]) -> None:
    if workers < 2 or len(jobs) < 2:
        for number, job in enumerate(jobs, 1):
            committer.take(process(job))
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
    context.set_forkserver_preload(["vadose.stream.upsert"])
    forkserver.ensure_running()
    return context


class _Committer:
    """Gathers finished streams and commits them together: first the table, then the ledger that says so."""

    def __init__(self, table: Table, ledger: Ledger, stored: dict[tuple[str, str], str], report: Report, every: float):
        self.table, self.ledger, self.stored, self.report, self.every = table, ledger, stored, report, every
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
            self.report.values += done.values
            self.report.late += done.late
            self.report.worker_mb = max(self.report.worker_mb, done.peak_mb)
            self.report.partitions += len(done.new)
            self.report.streams += bool(done.new)
        self.ledger.save()
        self.done, self.last = [], clock.monotonic()
