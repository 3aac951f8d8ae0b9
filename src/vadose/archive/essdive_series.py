"""Series and their metadata in ESS-DIVE's hydrologic monitoring format (1.0), and back. doi:10.15485/1822940.

One data file a sensor, with the header rows that the format asks for; InstallationMethods.csv, FLMD.csv and dd.csv as its templates have
them; DatasetMetadata.csv for what ESS-DIVE asks for in its own form. The format was made for water bodies and says that other variables may
be included: soil sensors are such an extension. Missing numbers are -9999, missing words N/A, times UTC.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.archive.cf_series import FLAGS
from vadose.archive.forms import written
from vadose.archive.record import FIELDS, Record, as_value, flat, gathered, placed, slug
from vadose.errors import UnreadableFileError, VadoseInputError

STANDARD = "ESS-DIVE Hydrologic Monitoring v1"
#: Columns of the installation template -> (group, field) of the record.
INSTALLATION = {
    "InstallationMethod_ID": ("sensors", "sensor_id"), "Latitude": ("sites", "lat"), "Longitude": ("sites", "lon"), "Site_ID": ("sites", "site_id"),
    "Elevation": ("sites", "elevation"), "Elevation_Reference": ("sites", "datum"), "Site_Name": ("sites", "site_name"),
    "DateTime_Start": ("sensors", "install_date"), "DateTime_End": ("sensors", "removal_date"),
}  # fmt: skip
#: Columns of the template in its order; Water_Name is left out, as there is no water body.
INSTALLATION_HEAD = [
    "InstallationMethod_ID", "InstallationMethod_Description", "Latitude", "Longitude", "Site_ID", "Depth", "Depth_Reference", "Elevation",
    "Elevation_Reference", "Site_Name", "Site_Type", "Configuration", "DateTime_Start", "DateTime_End", "UTC_Offset",
]  # fmt: skip
FLMD_HEAD = [
    "File_Name", "File_Description", "Standard", "UTC_Offset", "File_Version", "Contact", "Start_Date", "End_Date", "Northwest_Latitude_Coordinate",
    "Northwest_Longitude_Coordinate", "Southeast_Latitude_Coordinate", "Southeast_Longitude_Coordinate", "Latitude", "Longitude",
    "Missing_Value_Codes", "Header_Orientation", "Notes",
]  # fmt: skip
DICTIONARY_HEAD = ["Name", "Unit", "Definition", "Column_Long_Name", "Data_Type"]
_OWN = [(g, f) for g in ("sensors", "sites") for f in FIELDS[g] if (g, f) not in INSTALLATION.values() and (g, f) != ("sensors", "site_id")]  # fmt: skip


def column(group: str, field: str) -> str:
    """The name of a column that the templates do not have: letters, numbers and underscores."""
    return f"{'Sensor' if group == 'sensors' else 'Site'}_{field}"


def write_essdive(data: xr.Dataset, record: Mapping[str, Any], folder: str | Path) -> Path:
    """Dataset (sensor, time, UTC) and its record -> a folder in ESS-DIVE's hydrologic monitoring format. Values are written in full."""
    base = Path(folder)
    base.mkdir(parents=True, exist_ok=True)
    pairs = placed(record)
    files: dict[str, tuple[dict, dict]] = {}
    for sensor, site in pairs:
        name = f"{slug(site['site_id'])}_{slug(sensor['sensor_id'])}.csv".replace("-", "_").replace(".csv", "")
        file = name.replace(".", "_") + ".csv"
        if file in files:
            raise VadoseInputError(
                f"sensors {files[file][0]['sensor_id']} and {sensor['sensor_id']} would both be {file}; give one another id"
            )
        files[file] = (sensor, site)
    for name, (sensor, _) in files.items():
        _data_file(base / name, data.sel(sensor=sensor["sensor_id"]), record, sensor)
    _table(base / "InstallationMethods.csv", [*INSTALLATION_HEAD, *(column(g, f) for g, f in _OWN)], map(_installation, pairs))  # fmt: skip
    kept = list(flat(record, ("dataset", "variables", "provenance")))
    _table(base / "DatasetMetadata.csv", ["Group", "Name", "Field", "Value"], ([g, k or "N/A", f, v] for g, k, f, v in kept))  # fmt: skip
    _table(base / "dd.csv", DICTIONARY_HEAD, _dictionary(record, data))
    _table(base / "FLMD.csv", FLMD_HEAD, _file_rows(record, files))
    return base


def _table(path: Path, head: list[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows([("N/A" if cell in (None, "") else cell) for cell in row] for row in rows)


def _plain(text: Any) -> str:
    """Text for a header row, whose parts lie between semicolons, in a file whose cells lie between commas."""
    return " ".join(str(text).replace(";", " ").replace(",", " ").split())


def _data_file(path: Path, series: xr.Dataset, record: Mapping[str, Any], sensor: Mapping[str, Any]) -> None:
    table = pd.DataFrame({"DateTime": pd.DatetimeIndex(series["time"].values).strftime("%Y-%m-%d %H:%M:%S")})
    instrument = _plain(f"{sensor['maker']} {sensor['model']}")
    method = _plain(sensor["sensor_id"])
    heads = [f"# DateTime; YYYY-MM-DD hh:mm:ss UTC+00:00; {method}; {instrument}"]
    for entry in record["variables"]:
        name = entry["name"]
        values = series[name].values.astype(float)
        table[name] = ["-9999" if np.isnan(v) else repr(v) for v in values.tolist()]
        heads.append(f"# {name}; {_plain(entry['units'])}; {method}; {instrument}")
        if name + FLAGS in series:
            table[f"{name}_DataFlag"] = [str(w) or "N/A" for w in series[name + FLAGS].values.tolist()]
    above = [f"# HeaderRows_{len(heads) + 3}", "# HeaderRows_Format: Column_Header; Unit; InstallationMethod_ID; Instrument_Summary", *heads]  # fmt: skip
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\n".join(above) + "\n")
        table.to_csv(file, index=False, lineterminator="\n")


def _installation(pair: tuple[dict, dict]) -> list[Any]:
    sensor, site = pair
    entries = {"sensors": sensor, "sites": site}
    where = f"buried between {sensor['depth_from']:g} and {sensor['depth_to']:g} m below the ground surface"
    row: dict[str, Any] = {
        "InstallationMethod_Description": f"{sensor['maker']} {sensor['model']} ({sensor['principle']}), {sensor['orientation']}, {where}, serial {sensor['serial']}",
        "Depth": repr((sensor["depth_from"] + sensor["depth_to"]) / 2), "Depth_Reference": "meters below ground surface", "UTC_Offset": "+00:00",
        "Site_Type": "soil [ENVO:00001998]", "Configuration": "Buried in sediment or soil",
    }  # fmt: skip
    for name, (group, field) in INSTALLATION.items():
        row[name] = written(entries[group].get(field, ""))
    if row["DateTime_End"] == "in place":
        row["DateTime_End"] = "N/A"
    return [*(row[name] for name in INSTALLATION_HEAD), *(written(entries[g].get(f, "")) for g, f in _OWN)]


def _dictionary(record: Mapping[str, Any], data: xr.Dataset) -> list[list[str]]:
    from vadose.archive.profile import RULES

    units = {"lat": "decimal_degrees_WGS84", "lon": "decimal_degrees_WGS84", "elevation": "m", "depth_from": "m", "depth_to": "m", "slope": "degrees",
             "measurement_volume": "L", "sand": "percent", "silt": "percent", "clay": "percent", "organic_carbon": "percent"}  # fmt: skip
    said = {(r.group, r.field): r for r in RULES}
    rows = [
        [
            "DateTime",
            "YYYY-MM-DD hh:mm:ss",
            "Time of the reading (UTC, no daylight saving time)",
            "Date and time",
            "datetime",
        ]
    ]
    for entry in record["variables"]:
        words = f"{entry['standard_name']}, {entry['averaging_interval']} every {entry['sampling_interval']}; one standard deviation {entry['accuracy']}; missing {entry['missing_value']} (here -9999)"
        rows.append([entry["name"], entry["units"], words, entry["name"].replace("_", " "), "numeric"])
        if entry["name"] + FLAGS in data:
            words = f"Flag of {entry['name']}: {entry['flag_scheme']}, set by {entry['qc_method']}"
            rows.append([f"{entry['name']}_DataFlag", "N/A", words, "Quality flag", "text"])
    fixed = {
        "InstallationMethod_Description": "How the sensor is installed", "Depth": "Middle of the layer that the sensor sees", "Depth_Reference": "What depth is counted from",
        "Site_Type": "Environment, a term of ENVO", "Configuration": "How the sensor is deployed", "UTC_Offset": "Offset of DateTime_Start and DateTime_End",
    }  # fmt: skip
    for name in INSTALLATION_HEAD:
        group, field = INSTALLATION.get(name, ("", ""))
        words = fixed.get(name) or said[group, field].expected
        unit = units.get(field, "m" if name == "Depth" else "N/A")
        rows.append([name, unit, words, name.replace("_", " "), "numeric" if unit != "N/A" else "text"])
    for group, field in _OWN:
        unit = units.get(field, "N/A")
        rows.append([column(group, field), unit, said[group, field].expected, field.replace("_", " "), "numeric" if unit != "N/A" else "text"])  # fmt: skip
    for name, words in (("Group", "Part of the metadata"), ("Name", "Variable that the row is about"), ("Field", "Field of the metadata profile"), ("Value", "What it holds")):  # fmt: skip
        rows.append([name, "N/A", words, name, "text"])
    for name in (*FLMD_HEAD, *DICTIONARY_HEAD):
        if name not in {r[0] for r in rows}:
            rows.append([name, "N/A", f"{name.replace('_', ' ')}, as ESS-DIVE's template has it", name.replace("_", " "), "text"])  # fmt: skip
    return rows


def _file_rows(record: Mapping[str, Any], files: Mapping[str, tuple[dict, dict]]) -> list[list[Any]]:
    d = record["dataset"]
    box = [d["geospatial_lat_max"], d["geospatial_lon_min"], d["geospatial_lat_min"], d["geospatial_lon_max"]]
    period = [str(d["time_coverage_start"])[:10], str(d["time_coverage_end"])[:10]]
    codes, rows = "-9999; N/A", []
    for name, (sensor, site) in files.items():
        words = f"Readings of sensor {sensor['sensor_id']} at {site['site_name']}, {sensor['depth_from']:g} to {sensor['depth_to']:g} m deep"
        rows.append([name, words, STANDARD, "+00:00", d["version"], d["creator_name"], *period, *[-9999] * 4, site["lat"], site["lon"], codes, "vertical", "N/A"])  # fmt: skip
    for name, words, standard in (
        ("InstallationMethods.csv", "How and where each sensor is installed", STANDARD),
        ("DatasetMetadata.csv", "Title, summary, license, variables and provenance of the whole data set", "ESS-DIVE CSV v1"),
        ("dd.csv", "Data dictionary: every column of every table", "ESS-DIVE FLMD v1"), ("FLMD.csv", "This list of files", "ESS-DIVE FLMD v1"),
    ):  # fmt: skip
        rows.append([name, words, standard, "+00:00", d["version"], d["creator_name"], *period, *box, -9999, -9999, codes, "vertical", "N/A"])  # fmt: skip
    return rows


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{k: v for k, v in row.items() if k and v not in ("N/A", "", None)} for row in csv.DictReader(file)]


def read_record(folder: str | Path) -> Record:
    """The record of a folder in this format, ours or anybody's: what its tables say, and nothing else."""
    base = Path(folder)
    path = base / "InstallationMethods.csv"
    if not path.is_file():
        raise UnreadableFileError(
            f"{base}: no InstallationMethods.csv; expected ESS-DIVE's hydrologic monitoring format"
        )
    own = {column(g, f): (g, f) for g, f in _OWN}
    rows: list[tuple[str, str, str, str]] = []
    meta = base / "DatasetMetadata.csv"
    rows += [(r["Group"], r.get("Name", ""), r["Field"], r.get("Value", "")) for r in (_rows(meta) if meta.is_file() else [])]  # fmt: skip
    found = gathered(rows)
    sites: dict[str, dict] = {}
    for row in _rows(path):
        entries: dict[str, dict] = {"sensors": {}, "sites": {}}
        for name, value in row.items():
            group, field = INSTALLATION.get(name) or own.get(name) or ("", "")
            if group:
                entries[group][field] = as_value(group, field, value)
        sensor, site = entries["sensors"], entries["sites"]
        site.setdefault("site_id", sensor.get("sensor_id", ""))
        sensor["site_id"] = site["site_id"]
        if "install_date" in sensor:
            sensor.setdefault("removal_date", "in place")
        found["sensors"].append({f: sensor[f] for f in FIELDS["sensors"] if f in sensor})
        sites.setdefault(site["site_id"], {}).update({f: site[f] for f in FIELDS["sites"] if f in site})
    found["sites"] = list(sites.values())
    return found


def read_essdive(folder: str | Path) -> tuple[xr.Dataset, Record]:
    """What `write_essdive` wrote -> data (sensor, time) and record. Raises UnreadableFileError naming the file that is missing or unlike it."""
    base, record = Path(folder), read_record(folder)
    tables: dict[str, pd.DataFrame] = {}
    if not (base / "FLMD.csv").is_file():
        raise UnreadableFileError(f"{base}: no FLMD.csv, the list of its files; without it no series can be read")
    for row in _rows(base / "FLMD.csv"):
        path = base / row["File_Name"]
        if not path.resolve().is_relative_to(base.resolve()) or not path.is_file():
            raise UnreadableFileError(f"{base / 'FLMD.csv'}: names {row['File_Name']}, which is not in the folder")
        with path.open(encoding="utf-8") as file:
            first = file.readline()
            heads = [file.readline() for _ in range(2)]
        if not first.startswith("# HeaderRows_"):
            continue
        table = pd.read_csv(path, skiprows=int(first.strip().removeprefix("# HeaderRows_")) - 1, keep_default_na=False)
        table.index = pd.DatetimeIndex(table.pop("DateTime"))
        tables[heads[1].split("; ")[2]] = table
    ids = [s["sensor_id"] for s in record["sensors"]]
    without = [
        i
        for i in ids
        if _plain(i) not in tables or any(v["name"] not in tables[_plain(i)] for v in record["variables"])
    ]
    if without or not ids:
        raise UnreadableFileError(
            f"{base}: no data file with {', '.join(v['name'] for v in record['variables']) or 'variables'} of sensor {', '.join(without[:3]) or '(none is listed)'}; "
            "expected one file a sensor whose header rows name it, as `vadose metadata convert --to essdive` writes them"
        )
    time = pd.DatetimeIndex(sorted(set().union(*(t.index for t in tables.values()))))
    out = xr.Dataset(coords={"time": time.to_numpy(), "sensor": ids})
    for entry in record["variables"]:
        name = entry["name"]
        values = [tables[_plain(i)][name].reindex(time).to_numpy(float) for i in ids]
        out[name] = (("sensor", "time"), np.where(np.stack(values) == -9999, np.nan, np.stack(values)))
        if f"{name}_DataFlag" in tables[_plain(ids[0])]:
            marks = np.stack([tables[_plain(i)][f"{name}_DataFlag"].reindex(time, fill_value="N/A").to_numpy() for i in ids])  # fmt: skip
            out[name + FLAGS] = (("sensor", "time"), np.where(marks == "N/A", "", marks) if marks.dtype.kind == "O" else marks)  # fmt: skip
    return out, record
