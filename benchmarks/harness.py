"""Run a job and its peer alternately in fresh processes; report the best time of each, peak memory and how far results differ.

A job's module is imported in both processes, the peer's possibly in an environment that has no vadose: import inside the
functions. `prepare` is not timed; neither is what it returns counted as a result.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.json")
SIDES = ("ours", "theirs")


@dataclass(frozen=True)
class Job:
    """One measurement: what is done, on how much, by whom else.

    `ours(data)` and `theirs(data)` return what `agreement(our_result, their_result)` compares in words; results travel as
    pickles, so return numpy arrays or numbers. `warm(data)` runs before the clock in our process (compilation). `packages` are
    the distributions whose versions matter; `environment` names the folder in .side/ in which the peer lives, "" for ours.
    """

    id: str
    job: str
    size: str
    peer: str
    prepare: Callable[[], Any]
    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]
    agreement: Callable[[Any, Any], str]
    warm: Callable[[Any], Any] | None = None
    packages: tuple[str, ...] = ()
    environment: str = ""
    repeats: int = 3
    their_repeats: int | None = None


def jobs() -> dict[str, tuple[str, Job]]:
    """Every job of every `jobs_*.py`: id -> (module, job)."""
    found: dict[str, tuple[str, Job]] = {}
    for path in sorted(Path(__file__).parent.glob("jobs_*.py")):
        module = f"benchmarks.{path.stem}"
        for job in importlib.import_module(module).JOBS:
            if job.id in found:
                raise ValueError(f"benchmark {job.id!r} is in {found[job.id][0]} and in {module}")
            found[job.id] = (module, job)
    return found


def python_of(environment: str) -> str:
    """The interpreter of a side environment; raises FileNotFoundError with the command that makes it."""
    if not environment:
        return sys.executable
    path = ROOT / ".side" / environment / "bin" / "python"
    if not path.exists():
        raise FileNotFoundError(
            f"the peer lives in .side/{environment}, which is not there: bash benchmarks/{environment}"
        )
    return str(path)


def measure(module: str, job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Alternate both sides; the best time and the smallest peak of each."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    counts = {"ours": job.repeats, "theirs": job.their_repeats or job.repeats}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(max(counts.values())):
            for side in SIDES:
                if number < counts[side]:
                    say(f"{job.id}: {side} {number + 1} of {counts[side]}")
                    runs[side].append(_run(module, job, side, Path(scratch) / f"{side}.pickle"))
        results = [pickle.loads((Path(scratch) / f"{side}.pickle").read_bytes()) for side in SIDES]
    best = {side: min(r["seconds"] for r in runs[side]) for side in SIDES}
    peak = {side: min(r["peak_mb"] for r in runs[side]) for side in SIDES}
    return {
        "id": job.id,
        "job": job.job,
        "size": job.size,
        "ours_s": _round(best["ours"]),
        "peer": job.peer,
        "peer_s": _round(best["theirs"]),
        "ratio": _round(best["theirs"] / best["ours"]),
        "ours_peak_mb": round(peak["ours"]),
        "peer_peak_mb": round(peak["theirs"]),
        "agreement": job.agreement(*results),
        "versions": {**runs["ours"][0]["versions"], **runs["theirs"][0]["versions"]},
    }


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _run(module: str, job: Job, side: str, target: Path) -> dict[str, Any]:
    python = python_of(job.environment if side == "theirs" else "")
    command = [python, "-m", "benchmarks.harness", module, job.id, side, str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"})
    if done.returncode:
        raise RuntimeError(f"{job.id}: {side} failed\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return float(line.split()[1]) / 1024
    raise OSError("VmHWM not found in /proc/self/status")


def _work(module: str, name: str, side: str, target: str) -> None:
    """In the fresh process: prepare, warm, reset the high-water mark, time once."""
    job: Job = next(j for j in importlib.import_module(module).JOBS if j.id == name)
    data = job.prepare()
    if side == "ours" and job.warm is not None:
        job.warm(data)
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    result = (job.ours if side == "ours" else job.theirs)(data)
    seconds = time.perf_counter() - start
    peak = _peak_mb()
    Path(target).write_bytes(pickle.dumps(result))
    versions = {}
    for package in job.packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "versions": versions}))


if __name__ == "__main__":
    _work(*sys.argv[1:5])
