"""The truth of the synthetic Earth: canonical already; the surface layer is its `soil_moisture`."""

from __future__ import annotations

import xarray as xr

from vadose import cf
from vadose.products.canonical import tidy


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """The first layer as `soil_moisture`, both as `soil_moisture_profile`."""
    out = dataset.drop_vars(["initial_soil_moisture", "depth_bnds", "depth"], errors="ignore")
    profile = out.soil_moisture.rename(depth="layer")
    out = out.drop_vars([v for v in out.data_vars if "depth" in out[v].dims])
    out["soil_moisture"] = cf.describe(profile.isel(layer=0), "soil_moisture")
    out["soil_moisture_profile"] = profile
    out = out.assign_coords(layer_bnds=(("layer", "bnds"), dataset.depth_bnds.values))
    return tidy(cf.with_depth(out, 0.0, 0.05), product="truth", source=dataset)
