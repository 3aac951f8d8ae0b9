"""What a stream release says of itself, as the beginning of a metadata record: its tables, file names and data columns, and nothing else."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.dataset as arrow_dataset

from vadose.archive.record import Record
from vadose.errors import UnreadableFileError

_DEPTH = re.compile(r"-(\d+)cm$")
#: Beginnings of measurement names -> CF standard name.
_STANDARD = {
    "soil-vwc": "volume_fraction_of_condensed_water_in_soil", "soil-temp": "soil_temperature", "soil-EC": "soil_electrical_conductivity",
}  # fmt: skip


def read_record(folder: str | Path) -> Record:
    """The record of a release (`releases/LEVEL/VERSION`), without what only people know: place, maker, serial number, license."""
    base = Path(folder)
    try:
        about = json.loads((base / "release.json").read_text("utf-8"))
    except ValueError as error:
        raise UnreadableFileError(f"{base / 'release.json'}: not what a release writes there ({error})") from error
    files = sorted([*(base / "data").glob("*.parquet"), *(base / "data").glob("*.csv")])
    if not files:
        raise UnreadableFileError(f"{base}: release.json is there and no data; pack or check the whole release")
    seen = _sensors(files)
    record: Record = {
        "dataset": {"processing_level": about["level"], "version": about["version"], "doi": "pending"},
        "sites": [{"site_id": s} for s in sorted({site for site, _, _ in seen})],
        "sensors": [],
        "variables": [_variable(row) for row in _rows(base / "variables.csv")],
        "provenance": {
            "sources": [{"file": r["file"], "sha256": r["sha256"]} for r in _rows(base / "sources.csv")],
            "methods": ["M-T1.7"],
        },
    }
    period = [t for _, _, facts in seen for t in facts["period"]]
    record["dataset"] |= {"time_coverage_start": min(period)[:10], "time_coverage_end": max(period)[:10]}
    for site, sensor, facts in seen:
        entry: dict[str, Any] = {"sensor_id": sensor, "site_id": site}
        depths = {int(m[1]) / 100 for v in facts["variables"] if (m := _DEPTH.search(v))}
        if len(depths) == 1:
            entry |= {"depth_from": min(depths), "depth_to": max(depths)}
        record["sensors"].append(entry)
    return record


def _sensors(files: list[Path]) -> list[tuple[str, str, dict[str, Any]]]:
    """(site, sensor, its variables and period) of every sensor in the data files."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in (p for p in files if "plot-mean" not in p.name):
        table = arrow_dataset.dataset(path, format=path.suffix[1:]).to_table(columns=["site", "sensor", "variable", "time"])  # fmt: skip
        sums = table.group_by(["site", "sensor", "variable"]).aggregate([("time", "min"), ("time", "max")])
        for row in sums.to_pylist():
            facts = found.setdefault((row["site"], row["sensor"]), {"variables": [], "period": []})
            facts["variables"].append(row["variable"])
            facts["period"] += [str(row["time_min"]), str(row["time_max"])]
    return [(site, sensor, facts) for (site, sensor), facts in sorted(found.items())]


def _variable(row: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": row["name"], "units": row["units"].replace("m3/m3", "m3 m-3"), "time_zone": "UTC", "missing_value": -9999,
        "flag_scheme": "vadose sensor stream, bits in columns.csv", "qc_method": "M-T1.7", "uncertainty_variable": "standard_error",
    }  # fmt: skip
    standard = next((s for start, s in _STANDARD.items() if row["name"].startswith(start)), None)
    return out | ({"standard_name": standard} if standard else {})


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
