"""Series of sensors as CF discrete sampling geometry, and the metadata record of any netCDF file.

One instance of `timeSeries` is one sensor: sensors of a site may share a depth (replicates) and differ in number from site to site, which
`timeSeriesProfile` could hold only with made-up gaps. Its depth and the edges of its layer are coordinates of the instance.
CF conventions 1.11, chapter 9; Attribute Convention for Data Discovery 1.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose.archive.forms import written
from vadose.archive.record import FIELDS, Record, as_value, placed
from vadose.errors import VadoseInputError

FLAGS = "_flag"
#: Fields of a site or sensor that have a coordinate of their own.
_COORDINATES = {"lat", "lon", "elevation", "depth_from", "depth_to"}
#: Attributes that other files use for a field.
_ALSO = {
    "version": ("product_version",), "doi": ("id", "identifier_product_doi", "metadata_link"), "summary": ("abstract", "comment"), "creator_orcid": ("creator_url",),
    "creator_name": ("creator", "author"), "funder": ("acknowledgement", "acknowledgment"), "date_created": ("creation_date", "date_issued"),
    "institution": ("creator_institution",), "software": ("source",), "methods": ("history",), "processing_level": ("product_level",),
}  # fmt: skip


def to_cf(data: xr.Dataset, record: Mapping[str, Any]) -> xr.Dataset:
    """Dataset (sensor, time) with `NAME` and maybe `NAME_flag` of each variable, and its record -> a Dataset in CF, ready to be written.

    `data.sensor` holds the sensor_id of the record, `data.time` is UTC. Lazy arrays stay lazy. Flags may be numbers (bit masks) or words.
    Raises VadoseInputError when data and record do not name the same sensors and variables.
    """
    pairs = {sensor["sensor_id"]: (sensor, site) for sensor, site in placed(record)}
    ids = [str(s) for s in data["sensor"].values]
    if set(ids) != set(pairs):
        raise VadoseInputError(f"sensors of the data and of the record differ: {sorted(set(ids) ^ set(pairs))}")
    out = xr.Dataset(coords={"time": ("time", data["time"].values, {"standard_name": "time", "long_name": "time (UTC)", "axis": "T", "units_metadata": "leap_seconds: none"})})  # fmt: skip
    out["time"].encoding = {
        "units": "seconds since 1970-01-01 00:00:00",
        "calendar": "standard",
        "dtype": "f8",
        "_FillValue": None,
    }
    _instances(out, [pairs[i] for i in ids])
    for entry in record["variables"]:
        _variable(out, data, entry)
    out.attrs = _global(record) | {"featureType": "timeSeries", "metadata_profile": "vadose-sm-1.0"}
    return out


def _instances(out: xr.Dataset, pairs: list[tuple[dict, dict]]) -> None:
    def numbers(group: int, field: str) -> np.ndarray:
        return np.array([float(pair[group][field]) for pair in pairs])

    place = {
        "lat": (1, {"standard_name": "latitude", "units": "degrees_north", "long_name": "latitude (WGS84)"}),
        "lon": (1, {"standard_name": "longitude", "units": "degrees_east", "long_name": "longitude (WGS84)"}),
        "elevation": (1, {"standard_name": "surface_altitude", "units": "m", "long_name": "elevation of the site"}),
    }
    for name, (group, attrs) in place.items():
        out.coords[name] = ("sensor", numbers(group, name), attrs)
    top, bottom = numbers(0, "depth_from"), numbers(0, "depth_to")
    out.coords["depth"] = ("sensor", (top + bottom) / 2, {"standard_name": "depth", "long_name": "middle of the layer", "units": "m", "positive": "down", "axis": "Z", "bounds": "depth_bounds"})  # fmt: skip
    out["depth_bounds"] = (("sensor", "bounds"), np.stack([top, bottom], axis=1))
    for group, name in ((0, "sensors"), (1, "sites")):
        for field in FIELDS[name]:
            words = [written(pair[group][field]) if field in pair[group] else "" for pair in pairs]
            if field in _COORDINATES or not any(words) or (group == 1 and field == "site_id"):
                continue
            label = field if field in ("sensor_id", "site_id") else f"{name[:-1]}_{field}"
            out[label] = ("sensor", np.array(words, dtype=object), {"long_name": f"{name[:-1]}: {field.replace('_', ' ')}"})  # fmt: skip
            out[label].encoding = {"dtype": "S1"}
    out["sensor_id"].attrs["cf_role"] = "timeseries_id"


def _variable(out: xr.Dataset, data: xr.Dataset, entry: Mapping[str, Any]) -> None:
    name = entry["name"]
    if name not in data:
        raise VadoseInputError(f"the record names variable {name!r}; the data hold {sorted(map(str, data.data_vars))}")
    attrs = {k: v for k, v in entry.items() if k not in ("name", "missing_value")}
    attrs |= {"long_name": data[name].attrs.get("long_name", name.replace("_", " ")), "missing_value_code": written(entry["missing_value"])}  # fmt: skip
    at_once = entry.get("averaging_interval") == "instantaneous"
    attrs |= {"coverage_content_type": "physicalMeasurement", "cell_methods": f"time: {'point' if at_once else 'mean'}"}
    array = data[name].transpose("sensor", "time")
    try:
        fill = float(entry["missing_value"])
    except (TypeError, ValueError):
        fill = float("nan")
    if name + FLAGS in data:
        out[name + FLAGS] = _flags(data[name + FLAGS].transpose("sensor", "time"), name)
        attrs["ancillary_variables"] = name + FLAGS
    out[name] = (("sensor", "time"), array.data, attrs)
    out[name].encoding = {"_FillValue": fill, "dtype": "f8", "zlib": True, "complevel": 4, "coordinates": "lat lon elevation depth sensor_id"}  # fmt: skip


def _flags(flags: xr.DataArray, name: str) -> xr.Variable:
    """Flags as integers; words become numbers with meanings (`C01,D04` -> `C01+D04`, an empty word -> `none`)."""
    attrs: dict[str, Any] = {"long_name": f"quality flag of {name.replace('_', ' ')}", "standard_name": "quality_flag"}
    for key in ("flag_masks", "flag_values", "flag_meanings"):
        if key in flags.attrs:
            attrs[key] = flags.attrs[key]
    if flags.dtype.kind in "iu":
        return xr.Variable(("sensor", "time"), flags.data, attrs, {"zlib": True, "complevel": 4})
    words, codes = np.unique(flags.values.astype(str), return_inverse=True)
    attrs["flag_values"] = np.arange(words.size, dtype=np.int16)
    attrs["flag_meanings"] = " ".join(w.replace(",", "+") or "none" for w in words)
    return xr.Variable(
        ("sensor", "time"), codes.reshape(flags.shape).astype(np.int16), attrs, {"zlib": True, "complevel": 4}
    )


def _global(record: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for group in ("dataset", "provenance"):
        for field, value in record[group].items():
            if isinstance(value, list | tuple):
                plain = all(isinstance(v, str) and "," not in v for v in value)
                out[field] = ", ".join(value) if plain else json.dumps(value)
            else:
                out[field] = value
    depths = [float(n[k]) for n in record["sensors"] for k in ("depth_from", "depth_to")]
    out |= {"geospatial_vertical_min": min(depths), "geospatial_vertical_max": max(depths), "geospatial_vertical_positive": "down",
            "geospatial_vertical_units": "m", "geospatial_bounds_crs": "EPSG:4326", "standard_name_vocabulary": "CF Standard Name Table"}  # fmt: skip
    for name, field in (("id", "doi"), ("publisher_name", "institution"), ("acknowledgement", "funder"), ("program", "project"), ("product_version", "version")):  # fmt: skip
        if field in record["dataset"]:
            out[name] = record["dataset"][field]
    out["source"] = "in situ soil sensors"
    out["history"] = f"{record['provenance'].get('software', '')}: {out.get('methods', '')}"
    return out


def write_cf(data: xr.Dataset, record: Mapping[str, Any], path: str | Path) -> Path:
    """Write `to_cf` as netCDF-4."""
    made = to_cf(data, record)
    for name in made.variables:
        if made[name].dtype.kind == "f":
            made[name].encoding.setdefault("_FillValue", None)
    made.to_netcdf(path, engine="netcdf4")
    return Path(path)


def from_cf(dataset: xr.Dataset) -> tuple[xr.Dataset, Record]:
    """What `to_cf` made -> data and record."""
    record = record_of(dataset)
    out = xr.Dataset(coords={"time": dataset["time"].values, "sensor": [s["sensor_id"] for s in record["sensors"]]})
    for entry in record["variables"]:
        name = entry["name"]
        out[name] = (("sensor", "time"), dataset[name].transpose("sensor", "time").data)
        if name + FLAGS in dataset:
            flags = dataset[name + FLAGS].transpose("sensor", "time")
            values = flags.values
            if "flag_values" in flags.attrs:
                words = np.array([w.replace("+", ",") for w in flags.attrs["flag_meanings"].split()], dtype=object)
                words[words == "none"] = ""
                values = words[values.astype(int)]
            out[name + FLAGS] = (("sensor", "time"), values)
    return out, record


def record_of(dataset: xr.Dataset) -> Record:
    """The metadata record of a netCDF file, ours or anybody's: what its attributes and coordinates say, and nothing else.

    A file with neither stations nor one place is taken for a grid, which needs no sites and no sensors.
    """
    record: Record = {group: {} for group in ("dataset", "provenance")}
    for group, found in record.items():
        for field in FIELDS[group]:
            value = next((dataset.attrs[k] for k in (field, *_ALSO.get(field, ())) if str(dataset.attrs.get(k, "")).strip()), None)  # fmt: skip
            if value is not None:
                found[field] = as_value(group, field, value) if isinstance(value, str) else _plain(value)
    ids = next((v for v in dataset.variables if dataset[v].attrs.get("cf_role") == "timeseries_id"), None)
    if ids is None:
        record["grid"] = _is_grid(dataset)
    sensors, sites = ([], []) if ids is None else _places(dataset, str(ids))
    record |= {"sites": sites, "sensors": sensors}
    record["variables"] = [_entry(dataset, str(n)) for n in dataset.data_vars if _measured(dataset, str(n))]
    return record


def _is_grid(dataset: xr.Dataset) -> bool:
    kinds = {str(dataset[v].attrs.get("standard_name", v)).lower() for v in dataset.dims if v in dataset.variables}
    projected = {"projection_x_coordinate", "projection_y_coordinate"} <= kinds
    return projected or bool(kinds & {"lat", "latitude"}) or bool({"x", "y"} <= set(map(str, dataset.dims)))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and np.size(value) == 1 else value


def _text(dataset: xr.Dataset, name: str) -> list[str]:
    return [
        v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in np.atleast_1d(dataset[name].values)
    ]


def _places(dataset: xr.Dataset, ids: str) -> tuple[list[dict], list[dict]]:
    """Sensors and sites of the instances."""
    names = _text(dataset, ids)
    of = {dataset[v].attrs.get("standard_name", str(v)): str(v) for v in dataset.variables}
    sensors: list[dict] = [{} for _ in names]
    sites: dict[str, dict] = {}
    for field in FIELDS["sensors"]:
        label = field if field in ("sensor_id", "site_id") else f"sensor_{field}"
        for k, word in enumerate(_text(dataset, label) if label in dataset else []):
            if word:
                sensors[k][field] = as_value("sensors", field, word)
    places = {"lat": of.get("latitude", "lat"), "lon": of.get("longitude", "lon")}
    places["elevation"] = next((of[s] for s in ("surface_altitude", "altitude", "height") if s in of), "elevation")
    for k, name in enumerate(names):
        sensors[k].setdefault("sensor_id", name)
        site = sites.setdefault(sensors[k].setdefault("site_id", name), {})
        site["site_id"] = sensors[k]["site_id"]
        for field in FIELDS["sites"]:
            label = f"site_{field}"
            if label in dataset and (word := _text(dataset, label)[k]):
                site[field] = as_value("sites", field, word)
        for field, label in places.items():
            if label in dataset and np.size(dataset[label].values) in (1, len(names)):
                site[field] = float(np.ravel(dataset[label].values)[k if np.size(dataset[label].values) > 1 else 0])
        if "depth_bounds" in dataset:
            sensors[k] |= dict(zip(("depth_from", "depth_to"), map(float, dataset["depth_bounds"].values[k])))
    order = FIELDS["sites"]
    return sensors, [{f: s[f] for f in order if f in s} for s in sites.values()]


def _measured(dataset: xr.Dataset, name: str) -> bool:
    array = dataset[name]
    bounds = {dataset[v].attrs.get("bounds") for v in dataset.variables}
    return (
        array.dtype.kind == "f"
        and array.ndim > 0
        and name not in bounds
        and not name.endswith((FLAGS, "_qc"))
        and "cf_role" not in array.attrs
        and ("units" in array.attrs or "standard_name" in array.attrs)
    )


def _entry(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    attrs = dataset[name].attrs
    out: dict[str, Any] = {"name": name}
    for field in FIELDS["variables"][1:]:
        if field in attrs:
            out[field] = _plain(attrs[field])
    code = attrs.get("missing_value_code", dataset[name].encoding.get("_FillValue"))
    if code is not None:
        out["missing_value"] = as_value("variables", "missing_value", code) if isinstance(code, str) else _plain(code)
    return out
