"""Copernicus 1 km soil moisture of Europe: surface (Sentinel-1) and soil water index (with ASCAT), percent of saturation.

Values above 100 % are codes (water mask, sensitivity mask, slope mask), never data; they become NaN and a flag.
doi:10.1109/TGRS.2018.2858004, doi:10.3390/rs10071030. Percent of saturation is not a volume: multiply by porosity
(`vadose.harmonize.quantity`) to compare with volumetric products.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, tidy

#: Stored code -> our flag bit. Codes are counts; decoded with the scale factor 0.5 they read 120.5 and more.
CODES = {241: 1, 242: 2, 251: 4, 252: 8, 253: 16, 254: 32}
FLAGS = ("below_minimum", "above_maximum", "water", "low_sensitivity", "steep_slope", "low_quality")
SCALE = 0.5
STATES = "unknown unfrozen frozen melting_or_surface_water"


def _saturation(values: xr.DataArray) -> xr.DataArray:
    """Percent -> fraction of saturation; codes and impossible values are NaN."""
    return cf.describe((values / 100.0).where((values >= 0.0) & (values <= 100.0)), "soil_saturation")


def _codes(values: xr.DataArray) -> xr.DataArray:
    out = xr.zeros_like(values, dtype="uint8")
    for code, bit in CODES.items():
        out = out + (abs(values - code * SCALE) < SCALE / 4) * bit
    return out.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS, long_name="why there is no value"))


def _standardize(dataset: xr.Dataset, name: str, noise: str | None, bottom: float, product: str) -> xr.Dataset:
    if name not in dataset:
        raise UnreadableFileError(f"not CGLS {name}: found {', '.join(map(str, dataset.data_vars))}")
    values = dataset[name]
    out = xr.Dataset({"soil_saturation": _saturation(values), "soil_saturation_flag": _codes(values)})
    linked = ["soil_saturation_flag"]
    if noise is not None and noise in dataset:
        out["soil_saturation_standard_error"] = (
            (dataset[noise] / 100.0)
            .where((dataset[noise] <= 100.0) & out.soil_saturation.notnull())
            .assign_attrs(units="1", long_name="standard error of soil saturation")
        )
        linked.append("soil_saturation_standard_error")
    if "SSF" in dataset:
        state = dataset.SSF.where((dataset.SSF >= 0) & (dataset.SSF <= 4))
        out["surface_state"] = state.assign_attrs(
            long_name="state of the surface", units="1", flag_values=np.arange(4, dtype="uint8"), flag_meanings=STATES
        )
    out = cf.with_depth(coordinates(out), 0.0, bottom)
    return tidy(cf.link(out, "soil_saturation", *linked), product=product, source=dataset)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """SSM1km (`ssm`, 0-5 cm) or SWI1km (`SWI_005`), whichever the file holds -> `soil_saturation` [1]."""
    if "ssm" in dataset:
        return _standardize(dataset, "ssm", "ssm_noise", 0.05, "cgls_ssm")
    name = next((str(n) for n in dataset.data_vars if str(n).startswith("SWI_")), "SWI_005")
    # The index with a characteristic time of 5 days stands for roughly the upper 20 cm.
    return _standardize(dataset, name, None, 0.2, "cgls_swi")
