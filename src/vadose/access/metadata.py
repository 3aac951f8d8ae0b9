"""An era's variables as Zarr metadata, version 2 (kerchunk) and version 3 (icechunk): the same meaning in both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vadose import ease
from vadose.access.cube import Era, Table, seconds

#: Attributes that Zarr's conventions give a place of their own.
TIME_ATTRS = {"units": "seconds since 1970-01-01", "calendar": "standard", "standard_name": "time", "axis": "T"}


def coordinates(
    era: Era, grid: str | None, stacks: bool
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Coordinates that the files do not hold: times from names, centers of an EASE-Grid 2.0."""
    out: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {}
    if stacks:
        out[era.dim] = ((era.dim,), seconds(era.times), dict(TIME_ATTRS))
    if grid:
        lat, lon = ease.centers(grid)
        g = ease.grid(grid)
        out |= {
            "lat": (("y",), lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": (("x",), lon, {"standard_name": "longitude", "units": "degrees_east"}),
            "y": (("y",), g.y(), {"standard_name": "projection_y_coordinate", "units": "m"}),
            "x": (("x",), g.x(), {"standard_name": "projection_x_coordinate", "units": "m"}),
        }
    return out


def dims_of(table: Table, era: Era, stacks: bool) -> tuple[str, ...]:
    """Dimensions of a variable in the cube."""
    return (era.dim, *table.form.dims) if stacks and table.form.grows else table.form.dims


def attributes(table: Table, era: Era, stacks: bool) -> dict[str, Any]:
    """Attributes of a variable as JSON can hold them; a loaded time axis is in seconds since 1970."""
    attrs = dict(table.form.attrs)
    if table.form.loaded and table.form.grows and table.form.name == era.dim == "time" and not stacks:
        attrs |= TIME_ATTRS
        attrs.pop("_FillValue", None)
    attrs.pop("coordinates", None) if str(attrs.get("coordinates", "")).startswith("/") else None
    return attrs


def zarray(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, filters: Any, fill: Any) -> dict[str, Any]:
    """Metadata of version 2. `fill` is the declared _FillValue or None: readers mask it."""
    if isinstance(fill, float) and not math.isfinite(fill):
        fill = "NaN" if math.isnan(fill) else ("Infinity" if fill > 0 else "-Infinity")
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype,
        "order": "C",
        "fill_value": fill,
        "compressor": None,
        "filters": list(filters) or None,
    }
