"""Immutable versions of a stream's data: L0 as logged, L1 calibrated and flagged, L2 averaged; each with what changed since the last."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from vadose.errors import NotFoundError, VadoseInputError, unknown_name
from vadose.qc import FLAGS
from vadose.stream import judge
from vadose.stream.aggregate import aggregate, annual_cycle, plot_means
from vadose.stream.cube import write_cube
from vadose.stream.design import Design, read_design
from vadose.stream.flags import DROPPED, STREAM_FLAGS
from vadose.stream.root import settings
from vadose.stream.table import Table

LEVELS = ("L0", "L1", "L2")
FORMS = ("parquet", "csv", "zarr")
COLUMNS = {
    "L0": ["site", "plot", "sensor", "variable", "column", "time", "raw", "source"],
    "L1": ["site", "plot", "sensor", "variable", "time", "raw", "value", "standard_error", "flag", "source"],
}
MEANING = {
    "site": ("N/A", "Site code"), "plot": ("N/A", "Plot code"), "sensor": ("N/A", "Site, plot, instrument and number of the sensor"),
    "variable": ("N/A", "Measurement name; ends with the depth"), "column": ("N/A", "Column name in the logger's table"),
    "time": ("ISO 8601 UTC", "Time of the reading, or middle of the averaging step"), "raw": ("as logged", "Number that the logger wrote"),
    "value": ("see variables.csv", "Calibrated value; in L2 the mean of values without doubt"),
    "standard_error": ("as value", "Standard error of the calibration (1 sigma)"),
    "flag": ("1", "Bit mask: " + "; ".join(f"{r.mask} {r.code} {r.sentence}" for r in STREAM_FLAGS.rows)),
    "source": ("1", "Number of the source file; see sources.csv"), "n_avg": ("1", "Number of values in the mean; 0 with a value: interpolated"),
    "n_drop": ("1", "Number of values left out because of a flag"), "interpolated": ("1", "1 where a short gap was filled"),
    "annual_cycle": ("as value", "Median of that time of day within 7 days of that day of the year, over all years of the release; beside the values, never in their place"),
    "network_flag": ("1", "Checks of hourly soil moisture (M-T1.2), bit mask: " + "; ".join(f"{r.mask} {r.code} {r.sentence}" for r in FLAGS.rows)),
    "spread": ("as value", "Standard deviation between the sensors of the plot"), "sensors": ("1", "Number of sensors in the mean of the plot"),
    # of the tables beside the data
    "month": ("YYYY-MM", "Month of the readings (UTC)"), "values": ("1", "Number of readings in the month"), "in_doubt": ("1", "Number of them with a flag that speaks against the value"),
    "name": ("N/A", "Measurement name; ends with the depth"), "sensor_units": ("N/A", "Unit before the conversion"), "units": ("N/A", "Unit of the values"),
    "conversion": ("N/A", "Formula in x, or name of an equation, from the logger's number to the value"), "low": ("as value", "Least possible value"),
    "high": ("as value", "Greatest possible value"), "description": ("N/A", "What is measured"), "grouping": ("N/A", "Stretch of time whose median outliers are measured from"),
    "threshold": ("1", "How many scaled median distances make an outlier"), "sha256": ("N/A", "SHA-256 of the logger file"), "file": ("N/A", "Name of the logger file"),
    "rows": ("1", "Number of rows taken from it"), "bad_rows": ("1", "Number of rows or values that could not be read"), "first": ("ISO 8601", "First time in it (UTC)"),
    "last": ("ISO 8601", "Last time in it (UTC)"), "definition": ("N/A", "What a column holds"),
}  # fmt: skip


def release(root: str | Path, level: str, version: str, *, form: str = "parquet", step: str = "15min") -> Path:
    """Write `releases/<level>/<version>` of the table as it is now. A version that exists is never written again.

    One file a site, plot, variable and year, named as COMPASS-FME names its own; beside them variables.csv, sources.csv,
    columns.csv, README.txt, changes.json (against the last version of this level) and manifest-sha256.txt. The form "zarr",
    for L2, gives one store (sensor, time) a variable instead: what models read.
    """
    base = Path(root)
    if level not in LEVELS:
        raise unknown_name("level", level, LEVELS)
    if not re.fullmatch(r"v\d+-\d+", version):
        raise VadoseInputError(f"version {version!r}: write it as v<major>-<minor>, e.g. v1-0")
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    if form == "zarr" and level != "L2":
        raise VadoseInputError(
            f"form 'zarr' is for means on a common time axis, L2; {level} has rows: take parquet or csv"
        )
    final = base / "releases" / level / version
    if final.exists():
        raise VadoseInputError(f"{final} exists; a release is never changed, give the next version")
    table = Table(base)
    if not table.exists():
        raise NotFoundError(f"{base}: nothing committed yet; run `vadose stream run {base}` first")
    design = read_design(settings(base)["design"])
    work = final.with_name(f".{version}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)
    number = table.version()
    try:
        availability = _availability(table, number)
        groups = _groups(availability)
        if form == "zarr":
            _cubes(work, table, number, design, groups, step, version)
        else:
            _files(work, table, number, design, groups, level, step, version, form)
        _explain(base, work, level, version, number, design, [g[2] for g in groups], form)
        availability.to_csv(work / "availability.csv", index=False)
        _manifest(work)
        work.replace(final)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return final


def _files(work: Path, table: Table, number: int, design: Design, groups: list, level: str, step: str, version: str, form: str) -> None:  # fmt: skip
    """One file a site, plot, variable and year."""
    for (site, plot, variable), keys in itertools.groupby(groups, key=lambda g: g[:3]):
        years = [year for *_, year in keys]
        if level == "L2":
            for year, means in _means(table, number, design, site, plot, variable, years, step).items():
                plots = pa.Table.from_pandas(plot_means(means), preserve_index=False)
                _write(work, f"{site}_{plot}_{year}_{variable}_L2_plot-mean_{version}", plots, form)
                means["interpolated"] = means["interpolated"].astype("int8")
                out = pa.Table.from_pandas(means, preserve_index=False)
                _write(work, f"{site}_{plot}_{year}_{variable}_L2_{version}", out, form)
            continue
        for year in years:
            rows = _rows(table, number, site, plot, variable, year)
            _write(work, f"{site}_{plot}_{year}_{variable}_{level}_{version}", rows.select(COLUMNS[level]), form)


def _cubes(work: Path, table: Table, number: int, design: Design, groups: list, step: str, version: str) -> None:
    """One store a variable, with the sensors of all sites and plots."""
    by_variable = sorted(groups, key=lambda g: g[2])
    for variable, keys in itertools.groupby(by_variable, key=lambda g: g[2]):
        parts = [
            means
            for (site, plot), own in itertools.groupby(keys, key=lambda g: g[:2])
            for means in _means(table, number, design, site, plot, variable, [g[3] for g in own], step).values()
        ]
        store = work / "data" / f"{variable}_L2_{version}.zarr"
        write_cube(store, pd.concat(parts, ignore_index=True), design.variable(variable), step)


def _means(table: Table, number: int, design: Design, site: str, plot: str, variable: str, years: list[int], step: str) -> dict[int, pd.DataFrame]:  # fmt: skip
    """L2 rows by year: means with gaps filled, hourly soil moisture with the network's flags, the annual cycle where the tables ask for it."""
    row = design.variable(variable)
    out = {}
    for year in years:
        begin, end = np.datetime64(f"{year}-01-01"), np.datetime64(f"{year}-12-31T23:45")
        rows = _rows(table, number, site, plot, variable, year).to_pandas()
        means = aggregate(rows, step=step, max_gap={variable: row.max_gap}, start=begin, stop=end)
        if step == "hourly" and judge.judged(variable):
            beside = _rows(table, number, site, plot, variable.replace("-vwc-", "-temp-"), year).to_pandas()
            warm = aggregate(beside, step=step, start=begin, stop=end)
            means["network_flag"] = judge.network_flags(means, variable, warm)
        out[year] = means
    if row.annual_cycle:
        whole = pd.concat(out.values(), keys=out.keys(), names=["year"])
        measured = whole["value"].mask(whole["interpolated"].astype(bool))
        cycle = np.empty(len(whole))
        for at in whole.groupby("sensor").indices.values():
            cycle[at] = annual_cycle(whole["time"].to_numpy()[at], measured.to_numpy()[at])
        whole["annual_cycle"] = cycle
        parts = (part.droplevel("year") for _, part in whole.groupby(level="year"))
        out = dict(zip(years, parts, strict=True))
    return out


def _groups(availability: pd.DataFrame) -> list[tuple[str, str, str, int]]:
    """(site, plot, variable, year) of everything there is."""
    year = availability["month"].str[:4].astype(int)
    return sorted(set(zip(availability["site"], availability["plot"], availability["variable"], year)))


def _rows(table: Table, version: int, site: str, plot: str, variable: str, year: int) -> pa.Table:
    field = compute.field
    wanted = (field("site") == site) & (field("plot") == plot) & (field("variable") == variable)
    wanted &= (field("month") >= f"{year}-01") & (field("month") <= f"{year}-12")
    return table.read(filters=wanted, version=version).sort_by([("sensor", "ascending"), ("time", "ascending")])


def _write(work: Path, name: str, rows: pa.Table, form: str) -> None:
    if form == "parquet":
        pq.write_table(rows, work / "data" / f"{name}.parquet", compression="zstd", store_schema=False)
        return
    frame = rows.to_pandas()
    frame["time"] = pd.to_datetime(frame["time"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for column in frame.columns[frame.isna().any()]:
        frame[column] = frame[column].fillna("N/A" if frame[column].dtype == object else -9999)
    frame.to_csv(work / "data" / f"{name}.csv", index=False, lineterminator="\n", float_format="%.10g")


def _explain(base: Path, work: Path, level: str, version: str, number: int, design, used: list[str], form: str) -> None:
    names = [v for v in design.variables.values() if v.name in set(used)]
    fields = ("name", "sensor_units", "units", "conversion", "low", "high", "description", "grouping", "threshold")
    pd.DataFrame([{f: getattr(v, f) for f in fields} for v in names], columns=list(fields)).to_csv(
        work / "variables.csv", index=False
    )
    ledger = json.loads((base / "sources.json").read_text())["sources"]
    sources = [{"source": s["landed"]["rank"], "sha256": k, "file": s["landed"]["name"], "rows": s["rows"], "bad_rows": s["bad"], "first": s["first"], "last": s["last"]}
               for k, s in sorted(ledger.items()) if s["state"] == "done"]  # fmt: skip
    pd.DataFrame(sources).to_csv(work / "sources.csv", index=False)
    pd.DataFrame([(k, *v) for k, v in MEANING.items()], columns=["column", "units", "definition"]).to_csv(
        work / "columns.csv", index=False
    )
    digests = {p.name: _sha(p) for p in sorted((work / "data").iterdir())}
    (work / "changes.json").write_text(json.dumps(_changes(base / "releases" / level, version, digests), indent=1))
    (work / "release.json").write_text(
        json.dumps({"level": level, "version": version, "table_version": number, "files": digests}, indent=1)
    )
    said = {
        "L0": "as logged",
        "L1": "calibrated and flagged, nothing removed",
        "L2": "means of values without doubt on a complete time axis",
    }[level]
    layout = (
        f"One Zarr store (sensor, time) a variable: VARIABLE_{level}_{version}.zarr; open it with xarray.open_zarr."
        if form == "zarr"
        else f"One file a site, plot, year and variable: SITE_PLOT_YEAR_VARIABLE_{level}_{version}."
    )
    (work / "README.txt").write_text(
        f"Sensor stream, level {level} ({said}), version {version}.\n\n{layout}\n"
        "columns.csv says what each column is, variables.csv gives units and limits, sources.csv the logger files (sha256),\n"
        "availability.csv how many values each sensor has in each month and how many are in doubt,\n"
        "changes.json what differs from the version before. Times are UTC. Missing: empty in parquet, -9999 or N/A in CSV.\n"
        "manifest-sha256.txt holds the hash of every file; check it with: sha256sum -c manifest-sha256.txt\n"
    )


def _changes(folder: Path, version: str, digests: dict[str, str]) -> dict:
    def order(name: str) -> tuple[int, ...]:
        return tuple(int(k) for k in name.lstrip("v").split("-"))

    earlier = sorted(
        (p.name for p in folder.iterdir() if re.fullmatch(r"v\d+-\d+", p.name) and order(p.name) < order(version)),
        key=order,
    )
    if not earlier:
        return {"since": None, "added": sorted(digests), "removed": [], "changed": []}
    last = earlier[-1]
    before = json.loads((folder / last / "release.json").read_text())["files"]
    old = {k.replace(last, "*"): v for k, v in before.items()}
    new = {k.replace(version, "*"): v for k, v in digests.items()}
    changed = sorted(k for k in new if k in old and new[k] != old[k])
    return {"since": last, "added": sorted(new.keys() - old), "removed": sorted(old.keys() - new), "changed": changed}


def _availability(table: Table, version: int) -> pd.DataFrame:
    """How many readings each sensor has in each month, and how many of them are in doubt. One partition is read at a time."""
    keys = ["site", "plot", "sensor", "variable"]
    parts = []
    for (_, month), path in sorted(table.files(version).items()):
        rows = pq.read_table(
            table.root / path, columns=[*keys, "value", "flag"], read_dictionary=keys, partitioning=None
        )
        doubt = compute.greater(compute.bit_wise_and(rows["flag"], pa.scalar(DROPPED, pa.int32())), 0)
        counted = rows.append_column("doubt", doubt.cast(pa.int64())).group_by(keys)
        parts.append(counted.aggregate([("value", "count"), ("doubt", "sum")]).to_pandas().assign(month=month))
    sums = pd.concat(parts, ignore_index=True).astype(dict.fromkeys(keys, object))
    sums = sums.rename(columns={"value_count": "values", "doubt_sum": "in_doubt"})
    return sums[[*keys, "month", "values", "in_doubt"]].sort_values([*keys, "month"], ignore_index=True)


def _sha(path: Path) -> str:
    """Of a file its bytes; of a folder (a Zarr store) the names and hashes of what is in it."""
    if path.is_dir():
        inside = (f"{_sha(p)}  {p.relative_to(path)}\n" for p in sorted(path.rglob("*")) if p.is_file())
        return hashlib.sha256("".join(inside).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(work: Path) -> None:
    lines = [f"{_sha(p)}  {p.relative_to(work)}" for p in sorted(work.rglob("*")) if p.is_file()]
    (work / "manifest-sha256.txt").write_text("\n".join(lines) + "\n")
