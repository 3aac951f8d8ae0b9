"""What every product's `standardize` does at the end: coordinates in their canonical form, soil moisture bounded and linked."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf

#: Values outside become NaN and set this bit of the range flag.
OUT_OF_RANGE = "out_of_range"


def coordinates(dataset: xr.Dataset) -> xr.Dataset:
    """lat and lon by those names, longitudes -180..180 and increasing, latitudes increasing, time without a zone."""
    names = {"latitude": "lat", "longitude": "lon", "locations": "location"}
    out = dataset.rename(
        {k: v for k, v in names.items() if k in dataset.dims or (k in dataset.variables and v not in dataset.variables)}
    )
    if "lon" in out.variables and bool((out.lon > 180).any()):
        out = out.assign_coords(lon=((out.lon + 180.0) % 360.0 - 180.0).assign_attrs(out.lon.attrs))
    for name in ("lat", "lon"):
        if name in out.dims:
            values = out[name].values
            if not (np.diff(values) > 0).all():
                out = out.sortby(name)
        if name in out.variables:
            standard = {"lat": "latitude", "lon": "longitude"}[name]
            out[name].attrs = {"standard_name": standard, "units": f"degrees_{'north' if name == 'lat' else 'east'}"}
    return out


def soil_moisture(
    values: xr.DataArray,
    *,
    top: float,
    bottom: float,
    error: xr.DataArray | None = None,
    flag: xr.DataArray | None = None,
    extra: dict[str, xr.DataArray] | None = None,
) -> xr.Dataset:
    """A canonical Dataset of one layer: impossible values become NaN, error and flag are linked, bounds are in m."""
    possible = (values >= 0.0) & (values <= 1.0)
    out = xr.Dataset({"soil_moisture": cf.describe(values.where(possible), "soil_moisture")})
    linked = []
    if error is not None:
        out["soil_moisture_standard_error"] = error.where(possible & (error > 0)).assign_attrs(
            units="m3 m-3", long_name="standard error of soil moisture"
        )
        linked.append("soil_moisture_standard_error")
    if flag is not None:
        out["soil_moisture_flag"] = flag
        linked.append("soil_moisture_flag")
    for name, array in (extra or {}).items():
        out[name] = array
    out = coordinates(out)
    out = cf.with_depth(out, top, bottom)
    return cf.link(out, "soil_moisture", *linked) if linked else out


def tidy(dataset: xr.Dataset, *, product: str, source: xr.Dataset) -> xr.Dataset:
    """The last touches: provenance of the opening is kept, the product is named."""
    kept = {k: source.attrs[k] for k in ("vadose_provenance", "title", "source", "planted_faults") if k in source.attrs}
    return cf.provenance(
        dataset.assign_attrs({"Conventions": cf.CONVENTIONS, "product": product, **kept}),
        step=f"vadose.products.{product}.standardize",
    )
