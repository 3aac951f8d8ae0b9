"""The catalog of the demo world: STAC collections and items made from its manifest, references made from its files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vadose import ease
from vadose.access import references, scan, store

LICENSE = "CC0-1.0"
SMAP_GROUPS = ("Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM")


def write_catalog(
    manifest: dict[str, Any],
    root: str,
    folder: str | Path,
    *,
    storage_options: dict[str, Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Write `folder/catalog.json`, a collection with items.parquet for each of the manifest's, and the SMAP references."""
    folder = Path(folder)
    ids = [c["id"] for c in manifest["collections"]]
    for number, entry in enumerate(manifest["collections"], 1):
        items = [_item(entry, href, root) for href in entry["hrefs"]]
        how: dict[str, Any] = {"version": 1, "reader": entry["reader"], "product": PRODUCTS[entry["id"]]}
        if entry["id"] == "demo-smap-l3":
            target = folder / entry["id"] / "references.json"
            _smap_references(entry, root, target, storage_options)
            how |= {"reader": "kerchunk", "references": "./references.json", "chunks": {"time": 90}}
        if entry["id"] == "demo-cmip6":
            how["alike"] = ["cmip6:source_id"]
        store.write_collection(folder / entry["id"], _collection(entry, root, how), items)
        if progress:
            progress(number, len(ids), entry["id"])
    store.write_root(
        folder,
        ids,
        title="vadose demo catalog",
        description="The synthetic Earth: small, open, and its truth is known.",
    )


#: Demo collection -> the product that gives its files meaning.
PRODUCTS = {
    "demo-smap-l3": "smap_l3",
    "demo-cci": "esa_cci",
    "demo-era5-land": "era5_land",
    "demo-gldas": "gldas",
    "demo-cmip6": "cmip6",
    "demo-ismn": "ismn",
    "demo-ameriflux": "ameriflux",
    "demo-truth": "truth",
}


#: The references as other readers of STAC know them.
REFERENCES = {
    "references": {
        "href": "./references.json",
        "title": "Kerchunk references",
        "type": "application/json",
        "roles": ["references", "index"],
    }
}


def _collection(entry: dict[str, Any], root: str, how: dict[str, Any]) -> dict[str, Any]:
    start, end = (f"{t}T00:00:00Z" for t in entry["time"])
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": entry["id"],
        "title": entry["title"],
        "description": entry["description"][:1].upper()
        + entry["description"][1:]
        + ". Not real data: the synthetic Earth of vadose.",
        "keywords": ["soil moisture", "synthetic", *entry["variables"]],
        "license": LICENSE,
        "providers": [{"name": "vadose", "roles": ["producer", "host"]}],
        "extent": {"spatial": {"bbox": [entry["bbox"]]}, "temporal": {"interval": [[start, end]]}},
        "summaries": {"vadose:variables": entry["variables"]},
        "assets": {
            "data": {
                "href": f"{root}/{entry['hrefs'][0].split('/')[0]}",
                "title": "The files",
                "roles": ["data"],
                "vadose:open": how,
            },
            **(REFERENCES if "references" in how else {}),
        },
        "links": [],
    }


def _item(entry: dict[str, Any], href: str, root: str) -> dict[str, Any]:
    name = Path(href).stem
    west, south, east, north = entry["bbox"]
    start, end = _span(name, entry["time"])
    properties: dict[str, Any] = {
        "datetime": start if start == end else None,
        "start_datetime": start,
        "end_datetime": end,
    }
    if entry["id"] == "demo-cmip6":
        variable, _, model, *_ = name.split("_")
        properties |= {"cmip6:variable_id": variable, "cmip6:source_id": model}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"{href.split('/')[1]}-{name}" if entry["id"] == "demo-cmip6" else name,
        "collection": entry["id"],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "bbox": [west, south, east, north],
        "properties": properties,
        "assets": {
            "data": {
                "href": f"{root}/{href}",
                "roles": ["data"],
                "type": MEDIA.get(Path(href).suffix, "application/octet-stream"),
            }
        },
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
    }


MEDIA = {
    ".h5": "application/x-hdf5",
    ".nc": "application/x-netcdf",
    ".nc4": "application/x-netcdf",
    ".csv": "text/csv",
    ".stm": "text/plain",
}


def _span(name: str, whole: list[str]) -> tuple[str, str]:
    """First and last time of a file from its name: a day, a month, or the whole record."""
    day = re.search(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)", name)
    month = re.search(r"(?<!\d)(\d{4})(\d{2})(?!\d)", name)
    spans = re.findall(r"(?<!\d)(\d{6,8})[-_](\d{6,8})(?!\d)", name)
    if not spans and day and not name.endswith(day.group()):
        stamp = f"{day[1]}-{day[2]}-{day[3]}T00:00:00Z"
        return stamp, stamp
    if not spans and month:
        first = np.datetime64(f"{month[1]}-{month[2]}", "M")
        last = (first + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
        return f"{first.astype('datetime64[D]')}T00:00:00Z", f"{last}T00:00:00Z"
    return f"{whole[0]}T00:00:00Z", f"{whole[1]}T00:00:00Z"


def _smap_references(entry: dict[str, Any], root: str, target: Path, storage_options: dict[str, Any] | None) -> None:
    """All days of both passes as one virtual cube on the 36 km grid; time comes from the file names."""
    fs, _ = store.filesystem(root, storage_options)
    paths = [f"{root}/{href}" for href in entry["hrefs"]]
    found = fs.cat([fs._strip_protocol(p) for p in paths])
    files, days = [], []
    for path in paths:
        data = found[fs._strip_protocol(path)]
        merged: dict[str, scan.Variable] = {}
        for group in SMAP_GROUPS:
            merged |= scan.scan(data, group=group, name=path)
        files.append((path, merged))
        stamp = re.search(r"_(\d{8})_", path)
        assert stamp is not None, path
        days.append(np.datetime64(f"{stamp[1][:4]}-{stamp[1][4:6]}-{stamp[1][6:]}"))
    lat, lon = ease.centers("M36")
    g = ease.grid("M36")
    coords = {
        "time": (
            ("time",),
            (np.array(days) - np.datetime64("1970-01-01")).astype("int64"),
            {"units": "days since 1970-01-01", "calendar": "standard", "standard_name": "time"},
        ),
        "lat": (("y",), lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": (("x",), lon, {"standard_name": "longitude", "units": "degrees_east"}),
        "y": (("y",), g.y(), {"standard_name": "projection_y_coordinate", "units": "m"}),
        "x": (("x",), g.x(), {"standard_name": "projection_x_coordinate", "units": "m"}),
    }
    references.write_json(references.stack(files, dim="time", dims={"*": ("y", "x")}, coords=coords), target)
