"""The unified ensemble of a region as something to hand on: a Zarr store with CF metadata and the STAC entry that finds and opens it.

`vadose.open(identifier, catalog=folder)` reads it back, as does any STAC client and any reader of Zarr 3. Attributes for discovery
follow ACDD 1.3; dimensions and variables are told by the STAC datacube extension 2.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.access import store
from vadose.errors import DimensionError, StudyError, VadoseInputError
from vadose.study.writing import zarr_store

DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
STORE = "data.zarr"
#: Chunks for both maps and series: about three years of 32 x 32 cells.
CHUNKS = {"time": 1024, "lat": 32, "lon": 32}
_AXES = {
    "time": {"standard_name": "time", "axis": "T"},
    "lat": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "lon": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}


def write(
    product: xr.Dataset,
    catalog: str | Path,
    identifier: str,
    *,
    title: str,
    description: str,
    layer: tuple[float, float] | None = None,
    license: str = "other",
    providers: Sequence[Mapping[str, Any]] = (),
    chunks: Mapping[str, int] | None = None,
) -> Path:
    """Write what `vadose.merge.unified` (or `blend`) gave into a catalog folder; returns the folder of the entry.

    Parameters
    ----------
    product : `soil_moisture` (time, lat, lon) [m3 m-3] and whatever stands beside it: its standard error, weights, flags. Lazy data is
        streamed, chunk by chunk; numbers are stored in single precision.
    catalog : a folder with a STAC catalog, or one that is made now. Other entries in it stay.
    identifier : small letters, digits, hyphens and underscores.
    layer : top and bottom of the moisture [m]; needed where the product has no `depth_bnds`.
    license : SPDX identifier or "other".
    providers : STAC providers, such as [{"name": "...", "roles": ["producer"]}].
    chunks : other than `CHUNKS`.

    The entry takes its place only when the store is whole; an older store of the same name is replaced.
    Raises DimensionError without time, lat and lon, VadoseInputError for a bad identifier or an unknown layer, StudyError for a store without a value.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", identifier):
        raise VadoseInputError(f"identifier {identifier!r}: use small letters, digits, hyphens and underscores")
    ready = described(product, title=title, description=description, layer=layer, license=license)
    folder = Path(catalog)
    home = folder / identifier
    home.mkdir(parents=True, exist_ok=True)
    sizes = {d: min(n, ready.sizes[d]) for d, n in {**CHUNKS, **(chunks or {})}.items() if d in ready.sizes}
    lazy = {n: v.chunk({d: sizes.get(str(d), -1) for d in v.dims}) for n, v in ready.data_vars.items()}
    zarr_store(ready.assign(lazy), home / STORE)
    with xr.open_zarr(home / STORE, consolidated=False) as kept:
        if not bool(kept["soil_moisture"].notnull().any()):
            raise StudyError(f"{home / STORE}: no soil moisture has a value; look at estimate_flag of the product")
    entry, item = entries(ready, identifier, title=title, description=description, license=license, providers=providers)
    store.write_collection(home, entry, [item])
    root = json.loads((folder / "catalog.json").read_text()) if (folder / "catalog.json").exists() else {}
    store.write_root(
        folder,
        store.folders(folder),
        title=root.get("title", "Unified soil moisture"),
        description=root.get("description", "Ensembles of soil-moisture products with their uncertainty."),
    )
    return home


def described(
    product: xr.Dataset,
    *,
    title: str,
    description: str,
    layer: tuple[float, float] | None = None,
    license: str = "other",
) -> xr.Dataset:
    """The product with CF axes, layer bounds, a grid mapping and ACDD attributes; floats in single precision, places in degrees."""
    values = product.get("soil_moisture")
    missing = [d for d in ("time", "lat", "lon") if values is None or d not in values.dims]
    if values is None or missing:
        raise DimensionError(
            f"a unified product needs soil_moisture (time, lat, lon); missing {', '.join(missing)} in {dict(product.sizes)}"
        )
    if layer is None and "depth_bnds" not in product.variables:
        raise VadoseInputError("the product does not say which layer it is of; give layer=(top, bottom) in m")
    out = (
        product if layer is None else cf.with_depth(product.drop_vars(["depth", "depth_bnds"], errors="ignore"), *layer)
    )
    out = out.assign(
        {n: v.astype("float32", keep_attrs=True) for n, v in out.data_vars.items() if v.dtype == "float64"}
    )
    for name, attrs in _AXES.items():
        out[name].attrs = {**out[name].attrs, **attrs}
    out = out.assign_coords(crs=xr.DataArray(np.int32(0), attrs=dict(_MAPPING)))
    for variable in out.data_vars.values():
        if {"lat", "lon"} <= set(variable.dims):
            variable.attrs["grid_mapping"] = "crs"
    span = pd.DatetimeIndex(out["time"].values)
    west, south, east, north = bounding_box(out)
    extent = {
        "geospatial_lat_min": south, "geospatial_lat_max": north, "geospatial_lon_min": west, "geospatial_lon_max": east,
        "time_coverage_start": _stamp(span[0]), "time_coverage_end": _stamp(span[-1]),
    }  # fmt: skip
    return out.assign_attrs(
        {**out.attrs, "Conventions": f"{cf.CONVENTIONS}, ACDD-1.3", "title": title, "summary": description, "license": license, **extent}
    )  # fmt: skip


_MAPPING = {
    "grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563, "long_name": "WGS 84",
}  # fmt: skip


def bounding_box(dataset: xr.Dataset) -> tuple[float, float, float, float]:
    """West, south, east, north of the cells, half a cell beyond the outermost centers; longitudes from -180 to 180.

    West is greater than east where the region lies across 180 degrees, as GeoJSON has it.
    """
    west, east = _outer(np.unwrap(dataset["lon"].values.astype(float), period=360.0))
    south, north = _outer(dataset["lat"].values.astype(float))
    middle = (west + east) / 2 % 360.0
    turn = (middle if middle <= 180.0 else middle - 360.0) - (west + east) / 2
    west, east = west + turn, east + turn
    if east - west >= 360.0 - 1e-6:
        west, east = -180.0, 180.0
    cell = (east - west) / dataset["lon"].size
    west, east = (_within(edge, cell) for edge in (west, east))
    return round(west, 9), round(max(south, -90.0), 9), round(east, 9), round(min(north, 90.0), 9)


def _outer(centers):
    ordered = np.sort(centers)
    half = (ordered[1] - ordered[0]) / 2 if ordered.size > 1 else 0.0
    return float(ordered[0] - half), float(ordered[-1] + half)


def _within(edge, cell):
    """A longitude from -180 to 180: less than a cell beyond is cut off, more goes on at the other side."""
    if abs(edge) <= 180.0 + 0.75 * cell:
        return min(max(edge, -180.0), 180.0)
    return edge - 360.0 if edge > 0 else edge + 360.0


def entries(
    ready: xr.Dataset,
    identifier: str,
    *,
    title: str,
    description: str,
    license: str = "other",
    providers: Sequence[Mapping[str, Any]] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The STAC collection and its one item of a store that lies beside them."""
    box = list(bounding_box(ready))
    west, south, east, north = box
    first, last = (_stamp(t) for t in pd.DatetimeIndex(ready["time"].values)[[0, -1]])
    asset = {"href": f"./{STORE}", "type": "application/vnd.zarr; version=3", "roles": ["data"], "title": title}
    cube = _cube(ready, box, (first, last))
    collection = {
        "type": "Collection", "stac_version": "1.1.0", "stac_extensions": [DATACUBE], "id": identifier, "title": title,
        "description": description, "keywords": ["soil moisture", "ensemble", "uncertainty"], "license": license,
        "providers": [dict(p) for p in providers],
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[first, last]]}},
        "summaries": {"vadose:variables": [str(n) for n in ready.data_vars]},
        "vadose:provenance": {k: str(v) for k, v in ready.attrs.items() if k.startswith("vadose_") or k in ("history", "references")},
        **cube,
        "assets": {"data": {**asset, "vadose:open": {"version": 1, "reader": "zarr", "product": None, "store": {"auth": "environment"}}}},
    }  # fmt: skip
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [DATACUBE], "id": f"{identifier}-cube", "collection": identifier,
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": box,
        "properties": {"datetime": None, "start_datetime": first, "end_datetime": last, **cube},
        "assets": {"data": asset},
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
    }  # fmt: skip
    return collection, item


def _cube(ready: xr.Dataset, box: list[float], span: tuple[str, str]) -> dict[str, Any]:
    west, south, east, north = box
    dimensions: dict[str, Any] = {
        "time": {"type": "temporal", "extent": list(span)},
        "lat": {"type": "spatial", "axis": "y", "extent": [south, north], "reference_system": 4326},
        "lon": {"type": "spatial", "axis": "x", "extent": [west, east], "reference_system": 4326},
    }
    for name in ready.sizes:
        if str(name) not in dimensions and any(name in v.dims for v in ready.data_vars.values()):
            labels = ready[name].values.tolist() if name in ready.coords else list(range(ready.sizes[name]))
            dimensions[str(name)] = {"type": "other", "values": labels}
    variables = {
        str(name): {
            "dimensions": [str(d) for d in v.dims],
            "type": "data" if name == "soil_moisture" else "auxiliary",
            "description": str(v.attrs.get("long_name", name)),
            **({"unit": str(v.attrs["units"])} if "units" in v.attrs else {}),
        }
        for name, v in ready.data_vars.items()
    }
    return {"cube:dimensions": dimensions, "cube:variables": variables}


def _stamp(moment: pd.Timestamp) -> str:
    return pd.Timestamp(moment).strftime("%Y-%m-%dT%H:%M:%SZ")
