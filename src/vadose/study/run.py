"""Run a study: prepare, collocate, merge, validate, write. Each step leaves a file under its fingerprint, so a re-run goes on where one stopped."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

import vadose
from vadose.access.catalog import configured, open_catalog
from vadose.access.local import demo_folder
from vadose.errors import PlatformError, StudyError, VadoseError
from vadose.study import compute, prepare
from vadose.study.model import Source, Study, known_collections, read
from vadose.study.writing import zarr_store

#: Raise when a step's meaning changes: its old files are then not taken up again.
STEPS_VERSION = 4

Tell = Callable[[str, str], None]


def run(study: Study | str | Path, output: str | Path, *, fresh: bool = False, tell: Tell | None = None) -> Path:
    """Run `study` (a `Study` or the path of its file) and return the folder of its results.

    The folder holds `merged.zarr`, `collocation.zarr`, `tables/*.parquet`, `provenance.json`, `failures.json`, `study.yaml`;
    `vadose.report.write` makes the page. `tell(step, state)` hears of progress ("start", "done", "kept").

    Raises StudyError when fewer than three collocated sources, or not the reference, can be read (another that cannot is
    reported in the results instead), PlatformError when the folder cannot be written or another run is in it.
    """
    the = read(study) if not isinstance(study, Study) else study
    folder = Path(output)
    with _locked(folder):
        if fresh:
            shutil.rmtree(folder / "steps", ignore_errors=True)
            (folder / "steps").mkdir()
        try:
            return _Run(the, folder, tell or (lambda *_: None)).all()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            raise PlatformError(
                f"cannot write into {folder}: {error.strerror}; finished steps are kept, make room and run again, or choose another folder with --output"
            ) from error


@contextlib.contextmanager
def _locked(folder: Path):
    """One run a folder at a time; a lock of a process that is gone is taken over."""
    import psutil

    try:
        (folder / "steps").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlatformError(
            f"cannot write into {folder}: {error.strerror}; choose another folder with --output"
        ) from error
    lock = folder / ".lock"
    mine = f"{os.getpid()} {psutil.Process().create_time():.2f}"
    try:
        _claim(lock, mine)
    except FileExistsError:
        pid, _, since = lock.read_text().strip().partition(" ")
        if _runs(pid, since):
            raise PlatformError(
                f"{folder} is in use by process {pid}; wait for it, or choose another folder with --output"
            ) from None
        lock.unlink(missing_ok=True)
        try:
            _claim(lock, mine)
        except FileExistsError:
            raise PlatformError(f"{folder} was taken by another run this moment; wait for it") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _claim(lock: Path, owner: str) -> None:
    """Make the lock with its owner's name; FileExistsError where there is one."""
    handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(handle, owner.encode())
    os.close(handle)


def _runs(pid: str, since: str) -> bool:
    """Whether the process that made a lock is still there. After a restart its number may be another's, who began at another time."""
    import psutil

    try:
        process = psutil.Process(int(pid))
        begun = process.create_time()
        return process.status() != psutil.STATUS_ZOMBIE and (not since or abs(begun - float(since)) < 2.0)
    except (ValueError, psutil.NoSuchProcess):
        return False


class _Run:
    def __init__(self, study: Study, folder: Path, tell: Tell) -> None:
        self.study, self.folder, self.tell = study, folder, tell
        self.failures = prepare.Failures()

    # -- steps that are kept ---------------------------------------------------------------------------------------------

    def fingerprint(self, name: str, *parts: Any) -> str:
        text = json.dumps([STEPS_VERSION, vadose.__version__, name, *parts], default=str, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def kept(self, name: str, key: str, make: Callable[[], xr.Dataset]) -> xr.Dataset:
        """The Dataset of a step: read when it was finished before, else made and written under its fingerprint at once."""
        path = self.folder / "steps" / f"{name}-{key}.nc"
        if path.exists():
            try:
                with xr.open_dataset(path) as found:
                    out = found.load()
                self.failures.rows += json.loads(out.attrs.pop("failures", "[]"))
                self.tell(name, "kept")
                return out
            except (OSError, ValueError):
                path.unlink()
        self.tell(name, "start")
        before = len(self.failures.rows)
        out = make()
        partial = path.with_suffix(".part")
        out.assign_attrs(failures=json.dumps(self.failures.rows[before:])).to_netcdf(partial, engine="netcdf4")
        os.replace(partial, path)
        self.tell(name, "done")
        return out

    def source_key(self, source: Source) -> tuple[str, ...]:
        s = self.study
        stamps = []
        for pattern in source.files:
            for name in sorted(glob.glob(pattern)):
                at = os.stat(name)
                stamps.append((name, at.st_size, at.st_mtime_ns))
        return (
            json.dumps(asdict(source), default=str),
            json.dumps([s.period, s.bbox, s.resolution, s.layer, s.regrid, os.environ.get("VADOSE_CATALOG", "")]),
            json.dumps(stamps),
        )

    # -- the run ---------------------------------------------------------------------------------------------------------

    def all(self) -> Path:
        study = self.study
        self.look_up()
        parts = self.sources()
        missing = [n for n in study.collocate if n not in parts]
        if len(study.collocate) - len(missing) < 3:
            reasons = "; ".join(f"{r['source']}: {r['why']}" for r in self.failures.rows[:4])
            raise StudyError(
                f"collocation needs three sources, {len(study.collocate) - len(missing)} of {len(study.collocate)} could be read. {reasons}"
            )
        if missing:
            study = self.study = replace(
                study,
                collocate=tuple(n for n in study.collocate if n in parts),
                sources=tuple(s for s in study.sources if s.name in parts),
            )
        data = compute.together(parts)
        key = self.fingerprint(
            "data",
            *[self.source_key(s) for s in study.sources if s.name in parts],
            study.collocate,
            study.correlated,
            study.reference,
            study.climatology,
        )
        estimates = self.kept("collocation", key, lambda: compute.collocate(data, study))
        product = self.kept("merge", key, lambda: compute.merged(data, estimates, study))
        tables = {
            "errors": self.table(
                "errors",
                self.fingerprint("errors", key, study.bootstrap, study.block_days),
                lambda: compute.regional(data, study),
            )
        }
        tables["discrepancies"] = self.table(
            "discrepancies",
            self.fingerprint("discrepancies", key, study.block_days),
            lambda: compute.discrepancies(data, study),
        )
        facts: dict[str, Any] = {}
        stations = (
            prepare.station_series(study.stations, study, self.failures, lambda text: facts.update(no_stations=text))
            if study.stations is not None
            else None
        )
        if stations is None and study.stations is not None:
            facts.setdefault("no_stations", "the stations could not be read")
        if stations is not None and study.stations is not None:
            tables["stations"] = self.table(
                "stations",
                self.fingerprint("stations", key, self.source_key(study.stations)),
                lambda: compute.against_stations(data, product, stations),
            )
        if study.truth is not None:
            truth = self.prepared(study.truth, None)
            tables["truth"], known = compute.against_truth(data, estimates, product, truth, study)
            facts.update(known)
        self.write(data, estimates, product, tables, facts, stations)
        return self.folder

    def look_up(self) -> None:
        """A misspelled collection is told before anything is computed. A catalog that does not answer is told by each source."""
        if not any(s.collection for s in self.study.sources):
            return
        written = bool(configured()) or (demo_folder() / "catalog.json").exists()
        step = "catalog" if written else "catalog (writing the demo world, once)"
        self.tell(step, "start")
        try:
            known = open_catalog().collections
        except VadoseError:
            self.tell(step, "failed")
            return
        known_collections(self.study, known)
        self.tell(step, "done")

    def sources(self) -> dict[str, xr.Dataset]:
        """Every source that can be read; the reference first, for places are taken from it where there is no grid."""
        study = self.study
        order = sorted(study.sources, key=lambda s: s.name != study.reference)
        parts: dict[str, xr.Dataset] = {}
        places = None
        for source in order:
            try:
                parts[source.name] = self.prepared(source, places)
            except VadoseError as error:
                if source.name == study.reference:
                    raise StudyError(f"the reference {source.name!r} cannot be read: {error}") from error
                self.failures.add(source.name, "whole source", error)
                self.tell(f"prepare-{source.name}", "failed")
                continue
            if study.resolution is None and places is None:
                places = parts[source.name]
        return {s.name: parts[s.name] for s in study.sources if s.name in parts}

    def prepared(self, source: Source, places: xr.DataArray | xr.Dataset | None) -> xr.Dataset:
        key = self.fingerprint(
            "prepare",
            *self.source_key(source),
            None if places is None else [places.lat.values.tolist(), places.lon.values.tolist()],
        )
        return self.kept(
            f"prepare-{source.name}", key, lambda: prepare.source_on_study(source, self.study, self.failures, places)
        )

    def table(self, name: str, key: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        path = self.folder / "steps" / f"{name}-{key}.parquet"
        if path.exists():
            self.tell(name, "kept")
            return pd.read_parquet(path)
        self.tell(name, "start")
        out = make()
        out.to_parquet(path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
        self.tell(name, "done")
        return out

    def write(self, data, estimates, product, tables, facts, stations) -> None:
        """The results, each complete before it takes its name."""
        self.tell("write", "start")
        (self.folder / "tables").mkdir(exist_ok=True)
        for name, table in tables.items():
            partial = self.folder / "tables" / f".{name}.part"
            table.to_parquet(partial)
            os.replace(partial, self.folder / "tables" / f"{name}.parquet")
        zarr_store(
            product.drop_vars("weight").assign(mean_weight=product.weight.mean("time")), self.folder / "merged.zarr"
        )
        zarr_store(estimates, self.folder / "collocation.zarr")
        products = data.to_dataset(name="soil_moisture").assign(
            count=data.notnull().sum("time"), mean=data.mean("time")
        )
        if stations is not None:
            zarr_store(stations, self.folder / "stations.zarr")
        zarr_store(products, self.folder / "products.zarr")
        _text(self.folder / "study.yaml", self.study.text)
        _text(self.folder / "failures.json", json.dumps(self.failures.rows, indent=1))
        _text(self.folder / "provenance.json", json.dumps({**self.provenance(), "facts": facts}, indent=1, default=str))
        self.tell("write", "done")

    def provenance(self) -> dict[str, Any]:
        import importlib.metadata as metadata

        versions = {n: metadata.version(n) for n in ("numpy", "xarray", "dask", "zarr", "pandas", "numba", "scipy")}
        inputs = []
        for source in [*self.study.sources, *filter(None, [self.study.stations, self.study.truth])]:
            files = [name for pattern in source.files for name in sorted(glob.glob(pattern))]
            sums = {Path(f).name: _sha256(f) for f in files}
            inputs.append(
                {
                    "name": source.name,
                    "collection": source.collection,
                    "product": source.product,
                    "family": source.family,
                    "citation": source.citation,
                    "sha256": sums,
                }
            )
        return {
            "study": self.study.title,
            "summary": self.study.summary,
            "period": self.study.period,
            "bbox": self.study.bbox,
            "layer_m": self.study.layer,
            "resolution_deg": self.study.resolution,
            "reference": self.study.reference,
            "collocated": self.study.collocate,
            "correlated": self.study.correlated,
            "software": {"vadose": vadose.__version__, "python": platform.python_version(), **versions},
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "inputs": inputs,
        }


def _sha256(file: str) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)
