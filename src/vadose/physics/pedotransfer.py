"""Soil hydraulic limits from texture (M-X3)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import VadoseInputError

#: One standard deviation of the regression, vadose's choice [m3 m-3].
STANDARD_ERROR = {"saturation_moisture": 0.05, "field_capacity": 0.04, "wilting_point": 0.04}
QUALITY = ("outside_ptf",)


@units.declare(sand="1", clay="1", organic_matter="1")
def saxton_rawls(sand: xr.DataArray, clay: xr.DataArray, organic_matter: xr.DataArray | float = 0.025) -> xr.Dataset:
    """Hydraulic limits from texture by the regressions of Saxton & Rawls (2006).

    Parameters
    ----------
    sand, clay, organic_matter : mass fractions (0 to 1), any dims. The regression was fitted up to 8 % organic matter;
        beyond, 8 % is used and the flag `outside_ptf` is set: for peat use a measured porosity.

    Returns
    -------
    Dataset with `wilting_point` (1500 kPa), `field_capacity` (33 kPa), `saturation_moisture` [m3 m-3], each with a
    `_standard_error`; `conductivity` [mm h-1], `exponent` (Clapp-Hornberger b, 1) and `hydraulics_flag`.

    Raises
    ------
    VadoseInputError where sand + clay exceeds 1 or a fraction is outside 0 to 1 (percent given as a fraction).

    References
    ----------
    Saxton and Rawls 2006, Soil Sci. Soc. Am. J. 70:1569, doi:10.2136/sssaj2005.0117
    """
    sand, clay, organic_matter = xr.broadcast(
        *(v if isinstance(v, xr.DataArray) else xr.DataArray(v) for v in (sand, clay, organic_matter))
    )
    if sand.chunks is None:
        _refuse_impossible(sand, clay)
    s, c = sand, clay
    om = (organic_matter * 100.0).clip(0.0, 8.0)
    wp1 = -0.024 * s + 0.487 * c + 0.006 * om + 0.005 * s * om - 0.013 * c * om + 0.068 * s * c + 0.031
    wp = wp1 + (0.14 * wp1 - 0.02)
    fc1 = -0.251 * s + 0.195 * c + 0.011 * om + 0.006 * s * om - 0.027 * c * om + 0.452 * s * c + 0.299
    fc = fc1 + (1.283 * fc1**2 - 0.374 * fc1 - 0.015)
    gap1 = 0.278 * s + 0.034 * c + 0.022 * om - 0.018 * s * om - 0.027 * c * om - 0.584 * s * c + 0.078
    gap = gap1 + (0.636 * gap1 - 0.107)
    sat = fc + gap - 0.097 * s + 0.043
    slope = (np.log(fc) - np.log(wp)) / (np.log(1500.0) - np.log(33.0))
    conductivity = 1930.0 * (sat - fc) ** (3.0 - slope)
    out = {
        "wilting_point": cf.describe(wp, "wilting_point"),
        "field_capacity": cf.describe(fc, "field_capacity"),
        "saturation_moisture": cf.describe(sat, "saturation_moisture"),
        "conductivity": conductivity.rename("conductivity").assign_attrs(
            units="mm h-1", long_name="saturated hydraulic conductivity"
        ),
        "exponent": (1.0 / slope).rename("exponent").assign_attrs(units="1", long_name="Clapp-Hornberger exponent b"),
        "hydraulics_flag": ((organic_matter > 0.08) * 1)
        .astype("uint8")
        .assign_attrs(cf.flag_attrs(QUALITY, long_name="quality of the soil hydraulic limits")),
    }
    for name, sigma in STANDARD_ERROR.items():
        out[f"{name}_standard_error"] = xr.full_like(wp, sigma).assign_attrs(
            units="m3 m-3", long_name=f"standard error of {name}"
        )
        out[name].attrs["ancillary_variables"] = f"{name}_standard_error hydraulics_flag"
    return cf.provenance(xr.Dataset(out), method="M-X3", references="doi:10.2136/sssaj2005.0117")


def _refuse_impossible(sand, clay):
    for name, field in (("sand", sand), ("clay", clay)):
        worst = float(field.max())
        if worst > 1.0 or float(field.min()) < 0.0:
            raise VadoseInputError(
                f"{name} must be a mass fraction from 0 to 1, found {worst:g}; give percent with units '%'"
            )
    total = float((sand + clay).max())
    if total > 1.0 + 1e-9:
        raise VadoseInputError(
            f"sand + clay must not exceed 1, found {total:.3f}; check that both are mass fractions of the mineral soil"
        )
