"""Predictors of any resolution onto the map's grid, each averaged as its kind asks (M-T1.1).

Finer fields become area means, coarser ones are interpolated, backscatter is averaged in linear units, classes become shares of
the cell. Fields of a projection come to latitude and longitude first (`vadose.harmonize`, `vadose.products.thermal.to_grid100`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from vadose import units
from vadose.errors import DimensionError, UnitsError, VadoseInputError
from vadose.harmonize import Grid, regrid
from vadose.learn import features

COARSER = 1.5  # a source cell more than this many target cells wide is interpolated


def onto(grid: Grid, fields: xr.Dataset | Mapping[str, xr.DataArray], *, minimum: float = 0.5) -> xr.Dataset:
    """All `fields` (lat, lon, any other dims) on `grid`, ready for `samples` and `predict_map`.

    Fields in dB are averaged in linear units. Cells of which less than `minimum` is known are NaN. How a field came to the grid is
    in its attribute `regridding`. Classes (fields with `flag_values`) are refused: see `cover_fractions`. Lazy stays lazy.
    """
    out = {}
    for name, field in fields.items():
        field = field.rename(str(name))
        if "flag_values" in field.attrs or "flag_masks" in field.attrs:
            raise VadoseInputError(
                f"{name!r} holds classes, which have no mean; use vadose.learn.stack.cover_fractions"
            )
        source = Grid.of(field)
        wide = _cell(source.lat) / _cell(grid.lat)
        method = "bilinear" if wide > COARSER else "conservative"
        linear = field.attrs.get("units") == "dB"
        moved = regrid(
            features.from_decibel(field) if linear else field, grid, method=method, minimum=minimum, source=source
        )[str(name)]
        moved = features.to_decibel(moved) if linear else moved
        out[str(name)] = moved.assign_attrs(field.attrs).assign_attrs(regridding=method)
    return xr.Dataset(out)


def _cell(centers: np.ndarray) -> float:
    return float(np.median(np.abs(np.diff(centers))))


def cover_fractions(classes: xr.DataArray, grid: Grid, codes: Mapping[int, str], *, minimum: float = 0.5) -> xr.Dataset:
    """Share of each cell that a class covers [1], one variable a name of `codes` (several codes may share a name).

    `classes` (lat, lon) holds codes; a code that `codes` does not name counts as covered by none of them; NaN is unknown.
    """
    known = classes.notnull()
    out = {}
    for name in dict.fromkeys(codes.values()):
        members = [code for code, word in codes.items() if word == name]
        here = classes.isin(members).astype(float).where(known).rename(f"cover_{name}")
        share = regrid(here, grid, method="conservative", minimum=minimum)[f"cover_{name}"]
        out[f"cover_{name}"] = share.assign_attrs(units="1", long_name=f"share covered by {name.replace('_', ' ')}")
    return xr.Dataset(out)


def thermal(day: xr.DataArray, air_temperature: xr.DataArray, night: xr.DataArray | None = None) -> xr.Dataset:
    """Dry ground is hot ground: surface minus air temperature, and day minus night where both are given [K].

    Temperatures in any unit of temperature, on one grid.
    """
    parts = {"day": day, "air": air_temperature} | ({} if night is None else {"night": night})
    kelvin = {n: units.convert(a, "K") for n, a in parts.items()}
    out = {"surface_minus_air": (kelvin["day"] - kelvin["air"], "surface minus air temperature")}
    if night is not None:
        out["surface_range"] = (kelvin["day"] - kelvin["night"], "day minus night surface temperature")
    return xr.Dataset({n: v.assign_attrs(units="K", long_name=text).rename(n) for n, (v, text) in out.items()})


def accumulated(flux: xr.DataArray, *, windows: tuple[int, ...] = (7,)) -> xr.Dataset:
    """Sums of a daily water flux over the last `windows` days [mm], today included: `<name>_7d`, for example of demand."""
    if "time" not in flux.dims:
        raise DimensionError(f"{flux.name!r} has no dimension 'time'; it has {flux.dims}")
    try:
        daily = units.convert(flux, "mm d-1")
    except UnitsError as error:
        raise UnitsError(f"{flux.name!r} must be a flux of water, for example in kg m-2 s-1 or mm d-1") from error
    name = str(flux.name or "flux").removesuffix("_flux")
    sums = {f"{name}_{n}d": daily.rolling(time=n, min_periods=n).sum() for n in windows}
    return xr.Dataset({k: v.assign_attrs(units="mm", long_name=k.replace("_", " ")).rename(k) for k, v in sums.items()})
