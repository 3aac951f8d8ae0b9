"""Series and their metadata in the layout of the International Soil Moisture Network, and back. doi:10.5194/hess-25-5749-2021.

A folder a station; in it one `.stm` file a sensor and variable (header line, then `YYYY/MM/DD HH:MM value flag provider-flag`) and one
`..._static_variables.csv` of named quantities. The network has no place for title, license or serial numbers: they are rows of the static
table whose source is `vadose-sm-1.0`, so that nothing required is lost and every ISMN reader still reads the rest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose import vocabulary
from vadose.archive.cf_series import FLAGS
from vadose.archive.profile import PROFILE
from vadose.archive.record import Record, flat, gathered, placed, slug
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.products import ismn

STATIC = ["quantity_name", "unit", "depth_from[m]", "depth_to[m]", "value", "description", "quantity_source_name"]
_SHORT = {row[0]: short for short, row in ismn.VARIABLES.items()}
#: The network's own quantities -> field of a site.
_NATIVE = {
    "clay fraction": "clay",
    "sand fraction": "sand",
    "silt fraction": "silt",
    "organic carbon": "organic_carbon",
}
_CELSIUS = {"degC", "celsius", "Celsius", "degree_Celsius"}


def write_ismn(data: xr.Dataset, record: Mapping[str, Any], folder: str | Path) -> Path:
    """Dataset (sensor, time, UTC) and its record -> a folder in ISMN's layout. Values are written in full.

    Raises VadoseInputError for a variable that the network does not know and for times that are not whole minutes.
    """
    base = Path(folder)
    unknown = [v["name"] for v in record["variables"] if v["name"] not in _SHORT]
    if unknown:
        raise VadoseInputError(f"ISMN has no name for {', '.join(unknown)}; it knows {', '.join(sorted(_SHORT))}")
    time = pd.DatetimeIndex(data["time"].values)
    if not (time == time.floor("min")).all():
        raise VadoseInputError("ISMN keeps whole minutes; average or round the times first")
    network = slug(record["dataset"].get("project") or record["dataset"]["institution"])
    stamps = time.strftime("%Y/%m/%d %H:%M").to_numpy()
    for sensor, site in placed(record):
        station = slug(site["site_id"])
        place = base / network / station
        place.mkdir(parents=True, exist_ok=True)
        name = f"{network}_{network}_{station}"
        head = f"{network} {network} {station} {site['lat']!r} {site['lon']!r} {site['elevation']!r} {sensor['depth_from']!r} {sensor['depth_to']!r} {slug(sensor['sensor_id'])}"
        for entry in record["variables"]:
            series = data[entry["name"]].sel(sensor=sensor["sensor_id"])
            marks = data[entry["name"] + FLAGS].sel(sensor=sensor["sensor_id"]) if entry["name"] + FLAGS in data else None  # fmt: skip
            days = f"{time[0]:%Y%m%d}_{time[-1]:%Y%m%d}"
            file = f"{name}_{_SHORT[entry['name']]}_{sensor['depth_from']:.6f}_{sensor['depth_to']:.6f}_{slug(sensor['sensor_id'])}_{days}.stm"
            (place / file).write_text(f"{head}\n{_lines(stamps, series.values, marks, entry)}", "utf-8")
        mine = {**record, "sites": [site], "sensors": [s for s in record["sensors"] if s["site_id"] == site["site_id"]]}
        (place / f"{name}_static_variables.csv").write_text(_static(mine), "utf-8")
    return base


def _lines(stamps: np.ndarray, values: np.ndarray, marks: xr.DataArray | None, entry: Mapping[str, Any]) -> str:
    _, factor, offset = ismn.VARIABLES[_SHORT[entry["name"]]]
    if entry["units"] in _CELSIUS:
        factor, offset = 1.0, 0.0
    numbers = values.astype(float) if (factor, offset) == (1.0, 0.0) else (values.astype(float) - offset) / factor
    words = np.full(values.shape, "U", object) if marks is None else marks.values
    if words.dtype.kind in "iu":
        flags = [f"{'U' if w else 'G'} {w}" for w in words.tolist()]
    else:
        flags = [str(w) or "U" for w in words.tolist()]
    shown = ["NaN" if np.isnan(v) else repr(v) for v in numbers.tolist()]
    return "".join(f"{t} {v} {f}\n" for t, v, f in zip(stamps, shown, flags))


def _static(record: Mapping[str, Any]) -> str:
    site = record["sites"][0]
    rows: list[list[str]] = [
        ["climate classification", "", "", "", str(site["climate_KG"]), "Koeppen-Geiger", "see vadose rows"],
        ["land cover classification", "", "", "", str(site["land_cover"]), "class (scheme)", "see vadose rows"],
    ]
    depth = {s["sensor_id"]: (repr(s["depth_from"]), repr(s["depth_to"])) for s in record["sensors"]}
    for group, key, field, text in flat(record):
        top, bottom = depth.get(key, ("", "")) if group == "sensors" else ("", "")
        rows.append([field, "", top, bottom, text, f"{group} {key}".strip(), PROFILE])
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow(STATIC)
    writer.writerows(rows)
    return out.getvalue()


def read_record(place: str | Path) -> Record:
    """The record of an ISMN folder or zip, ours or the network's own: what headers, names and static tables say, and nothing else."""
    rows = _own_rows(Path(place))
    return gathered(rows) if rows else _foreign(Path(place))


def _own_rows(place: Path) -> list[tuple[str, str, str, str]]:
    """What `write_ismn` added to the static tables; nothing in files of the network."""
    rows = []
    for _, text in _statics(place):
        for row in csv.DictReader(io.StringIO(text), delimiter=";"):
            if row.get("quantity_source_name") == PROFILE:
                group, _, key = row["description"].partition(" ")
                rows.append((group, key, row["quantity_name"], row["value"]))
    return rows


def _foreign(place: Path) -> Record:
    record: Record = {"dataset": {}, "sites": [], "sensors": [], "variables": [], "provenance": {}}
    soil = {_station(name): _native(text) for name, text in _statics(place)}
    for name, text in ismn.texts(place):
        header, _ = ismn.parse("\n".join(text.splitlines()[:2]), name)
        station = f"{header['network']}_{header['station']}"
        record["dataset"].setdefault("project", header["network"])
        if station not in {s["site_id"] for s in record["sites"]}:
            site = {"site_id": station, "site_name": header["station"], "lat": header["lat"], "lon": header["lon"], "elevation": header["elevation"]}  # fmt: skip
            record["sites"].append(site | soil.get(station, {}))
        sensor = {
            "sensor_id": _sensor_id(header), "site_id": station, "model": header["sensor"],
            "depth_from": header["top"], "depth_to": header["bottom"],
        }  # fmt: skip
        if sensor not in record["sensors"]:
            record["sensors"].append(sensor)
        ours = ismn.VARIABLES.get(ismn.variable_of(name), ("",))[0]
        if ours and ours not in {v["name"] for v in record["variables"]}:
            known = vocabulary.VARIABLES.get(ours)
            entry = {
                "name": ours,
                "time_zone": "UTC",
                "missing_value": -9999,
                "flag_scheme": "ISMN C01-C03, D01-D10, G",
                "qc_method": "M-T1.2",
            }
            record["variables"].append(entry | ({"standard_name": known.standard_name, "units": known.units} if known else {}))  # fmt: skip
    if not record["sensors"]:
        raise UnreadableFileError(f"{place}: no ISMN file (.stm) found here")
    return record


def _sensor_id(header: Mapping[str, Any]) -> str:
    """What the network's files of one sensor have in common."""
    return f"{header['network']}_{header['station']}_{header['sensor']}_{header['top']:g}_{header['bottom']:g}"


def _station(name: str) -> str:
    return "_".join(Path(name).name.split("_static_variables")[0].split("_")[1:])


def _native(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in csv.DictReader(io.StringIO(text), delimiter=";"):
        name, value = (row.get("quantity_name") or "").strip(), (row.get("value") or "").strip()
        if name == "climate classification":
            found.setdefault("climate_KG", value)
        elif name == "land cover classification":
            found.setdefault("land_cover", f"{value} ({(row.get('quantity_source_name') or 'scheme not named').strip()})")  # fmt: skip
        elif name in _NATIVE and _NATIVE[name] not in found:
            try:
                found[_NATIVE[name]] = float(value)
            except ValueError:  # an empty cell: nobody measured it
                continue
            found["texture_source"] = (row.get("quantity_source_name") or "").strip()
    return found


def _statics(place: Path) -> list[tuple[str, str]]:
    import zipfile

    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith("static_variables.csv"))
            return [(n, archive.read(n).decode("utf-8", "replace")) for n in names]
    folder = place if place.is_dir() else place.parent
    return [(str(p), p.read_text("utf-8", "replace")) for p in sorted(folder.rglob("*static_variables.csv"))]


def read_ismn(folder: str | Path) -> tuple[xr.Dataset, Record]:
    """Series of an ISMN folder or zip, ours or the network's own -> data (sensor, time) and record.

    Of the network's own files come the variables that vadose knows, and the sensors that have one of them; the network's flags stay words.
    """
    record, ours = read_record(folder), bool(_own_rows(Path(folder)))
    by_slug = {slug(s["sensor_id"]): s["sensor_id"] for s in record["sensors"]}
    units = {v["name"]: v.get("units") for v in record["variables"]}
    parts: dict[str, dict[str, list[pd.DataFrame]]] = {}  # the network cuts long series into several files
    for file, text in ismn.texts(folder):
        short = ismn.variable_of(file)
        if short not in ismn.VARIABLES:
            continue
        header, table = ismn.parse(text, file)
        name, factor, offset = ismn.VARIABLES[short]
        if units.get(name) not in _CELSIUS and (factor, offset) != (1.0, 0.0):
            table["value"] = table["value"] * factor + offset
        bits = [line.split()[4:5] for line in text.splitlines()[1:] if line.strip()] if ours else []
        if bits and all(bits):
            table["flag"] = [int(word[0]) for word in bits]
        sensor = by_slug.get(header["sensor"], header["sensor"]) if ours else _sensor_id(header)
        parts.setdefault(name, {}).setdefault(sensor, []).append(table)
    columns = {name: {sensor: _one(tables) for sensor, tables in own.items()} for name, own in parts.items()}
    if not columns:
        raise UnreadableFileError(f"{folder}: no variable that vadose knows ({', '.join(ismn.VARIABLES)})")
    if not ours:
        _keep_measured(record, set().union(*columns.values()))
    ids = [s["sensor_id"] for s in record["sensors"]]
    time = pd.DatetimeIndex(sorted(set().union(*(t.index for rows in columns.values() for t in rows.values()))))
    out = xr.Dataset(coords={"time": time.to_numpy(), "sensor": ids})
    nothing = pd.DataFrame({"value": [], "flag": np.array([], object)}, index=pd.DatetimeIndex([]))
    for name, tables in columns.items():
        frames = [tables.get(i, nothing).reindex(time) for i in ids]
        out[name] = (("sensor", "time"), np.stack([f["value"].to_numpy(float) for f in frames]))
        flags = np.stack([f["flag"].fillna("").to_numpy() for f in frames])
        if (flags != "U").any():
            out[name + FLAGS] = (("sensor", "time"), flags)
    return out, record


def _one(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of one series as one, each time once."""
    table = pd.concat(tables)
    return table[~table.index.duplicated(keep="last")]


def _keep_measured(record: Record, sensors: set[str]) -> None:
    """Leave out the sensors that measure nothing that vadose knows, and sites without any other."""
    record["sensors"] = [s for s in record["sensors"] if s["sensor_id"] in sensors]
    sites = {s["site_id"] for s in record["sensors"]}
    record["sites"] = [s for s in record["sites"] if s["site_id"] in sites]
