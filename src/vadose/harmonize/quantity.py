"""One quantity, many ways to write it: volumetric, mass, saturation, gravimetric (M-X1). First-order uncertainty on request."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf, constants, units
from vadose.errors import VadoseInputError


def _positive(value, name):
    if not getattr(value, "chunks", None) and bool(np.any(np.asarray(value) <= 0)):
        raise VadoseInputError(f"{name} must be positive, found {np.min(np.asarray(value)):g}")
    return value


@units.declare(content="kg m-2")
def from_mass(content: xr.DataArray, thickness: float | xr.DataArray) -> xr.DataArray:
    """Volumetric moisture [m3 m-3] of a layer `thickness` [m] that holds `content` [kg m-2]."""
    out = content / (constants.WATER_DENSITY * _positive(thickness, "thickness"))
    return cf.describe(out, "soil_moisture")


@units.declare(moisture="m3 m-3")
def to_mass(moisture: xr.DataArray, thickness: float | xr.DataArray) -> xr.DataArray:
    """Water [kg m-2] in a layer `thickness` [m]."""
    return cf.describe(
        moisture * (constants.WATER_DENSITY * _positive(thickness, "thickness")), "soil_moisture_content"
    )


def porosity(
    bulk_density: float | xr.DataArray, *, particle_density: float = constants.MINERAL_DENSITY
) -> float | xr.DataArray:
    """1 - bulk density / particle density (both kg m-3)."""
    return 1.0 - _positive(bulk_density, "bulk density") / particle_density


@units.declare(moisture="m3 m-3")
def to_saturation(
    moisture: xr.DataArray,
    porosity: float | xr.DataArray,
    *,
    error: xr.DataArray | None = None,
    porosity_error: float | xr.DataArray = 0.0,
) -> xr.Dataset:
    """Degree of saturation (1), not clipped: above 1.05 the flag `above_saturation` is set.

    With `error` (1 sigma of moisture) the standard error follows to first order: var(S) = var(th)/phi2 + S2 var(phi)/phi2.
    """
    saturation = moisture / _positive(porosity, "porosity")
    out = xr.Dataset({"soil_saturation": cf.describe(saturation, "soil_saturation")})
    out["soil_saturation_flag"] = (
        ((saturation > 1.05) * 1).astype("uint8").assign_attrs(cf.flag_attrs(("above_saturation",)))
    )
    linked = ["soil_saturation_flag"]
    if error is not None:
        error = units.taken_as(error, "m3 m-3")
        out["soil_saturation_standard_error"] = np.sqrt(error**2 + (saturation * porosity_error) ** 2) / porosity
        linked.append("soil_saturation_standard_error")
    return cf.link(out, "soil_saturation", *linked)


def from_saturation(saturation: xr.DataArray, porosity: float | xr.DataArray) -> xr.DataArray:
    """Volumetric moisture of a degree of saturation (1, or percent by its units)."""
    return cf.describe(units.convert(saturation, "1") * _positive(porosity, "porosity"), "soil_moisture")


@units.declare(moisture="m3 m-3")
def to_gravimetric(moisture: xr.DataArray, bulk_density: float | xr.DataArray) -> xr.DataArray:
    """Mass of water over mass of dry soil (kg kg-1); `bulk_density` in kg m-3."""
    return (moisture * constants.WATER_DENSITY / _positive(bulk_density, "bulk density")).assign_attrs(
        units="kg kg-1", long_name="gravimetric soil moisture"
    )


def from_gravimetric(gravimetric: xr.DataArray, bulk_density: float | xr.DataArray) -> xr.DataArray:
    """Volumetric moisture of a gravimetric one."""
    return cf.describe(
        units.convert(gravimetric, "kg kg-1") * (_positive(bulk_density, "bulk density") / constants.WATER_DENSITY),
        "soil_moisture",
    )


@units.declare(moisture="m3 m-3")
def relative_extractable(
    moisture: xr.DataArray, wilting_point: float | xr.DataArray, field_capacity: float | xr.DataArray
) -> xr.DataArray:
    """(th - th_wp) / (th_fc - th_wp), not clipped."""
    span = _positive(field_capacity - wilting_point, "field capacity minus wilting point")
    return ((moisture - wilting_point) / span).assign_attrs(units="1", long_name="relative extractable water")
