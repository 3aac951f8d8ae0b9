"""Blend products into one with its uncertainty: weights are renewed for every subset of products that is there on a day."""

from __future__ import annotations

from itertools import product as cartesian

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError
from vadose.merge.weights import check_shrinkage, minimum_variance, shrunk
from vadose.metrics.moments import OTHER, PRODUCT


def _blend(data, covariance, nonneg, shrinkage):
    """data (..., time, product), covariance (..., product, product) -> value, variance, count, weights."""
    products = data.shape[-1]
    flat = data.reshape(-1, *data.shape[-2:])
    matrices = np.broadcast_to(covariance, (*data.shape[:-2], products, products)).reshape(-1, products, products)
    value = np.full(flat.shape[:2], np.nan)
    variance = np.full(flat.shape[:2], np.nan)
    used = np.zeros(flat.shape)
    code = np.isfinite(flat) @ (1 << np.arange(products))
    subsets = [np.array(bits[::-1], dtype=bool) for bits in cartesian((0, 1), repeat=products)]
    for cell in range(flat.shape[0]):
        known = np.isfinite(np.diag(matrices[cell]))
        for number in np.unique(code[cell]):
            here = subsets[number] & known
            if not here.any():
                continue
            at = np.flatnonzero(here)
            w, v = minimum_variance(shrunk(matrices[cell], shrinkage)[np.ix_(at, at)], nonneg=nonneg)
            days = code[cell] == number
            value[cell, days] = flat[cell][np.ix_(days, at)] @ w
            variance[cell, days] = v
            used[np.ix_(np.array([cell]), np.flatnonzero(days), at)] = w
    shape = data.shape[:-1]
    return (
        value.reshape(shape),
        variance.reshape(shape),
        (used > 0).sum(-1).reshape(shape).astype("int8"),
        used.reshape(data.shape),
    )


def blend(
    data: xr.DataArray,
    error_covariance: xr.DataArray,
    *,
    nonneg: bool = True,
    shrinkage: float = 0.0,
    dim: str = "time",
) -> xr.Dataset:
    """Merge `data` (product, time, ...), already on a common scale, with an error covariance (…, product, product_2).

    Returns `soil_moisture`, `soil_moisture_standard_error` (propagated from the covariance), `n_products`, and `weight`
    (product, time, ...): which product made which value. A day without any product is NaN. `nonneg` and `shrinkage` as for
    `vadose.merge.weights`. Lazy in, lazy out. Raises DimensionError without product or time, VadoseInputError for a shrinkage
    outside 0 to 1.
    """
    check_shrinkage(shrinkage)
    for name in (PRODUCT, dim):
        if name not in data.dims:
            raise DimensionError(f"no dimension {name!r} in the data; it has {data.dims}")
    if data.chunks is not None:
        data = data.chunk({dim: -1, PRODUCT: -1})
    covariance = error_covariance.sel({PRODUCT: data[PRODUCT].values, OTHER: data[PRODUCT].values})
    value, variance, count, weight = xr.apply_ufunc(
        _blend,
        data,
        covariance,
        kwargs={"nonneg": nonneg, "shrinkage": shrinkage},
        input_core_dims=[[dim, PRODUCT], [PRODUCT, OTHER]],
        output_core_dims=[[dim], [dim], [dim], [dim, PRODUCT]],
        dask="parallelized",
        output_dtypes=[float, float, "int8", float],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    out = xr.Dataset({"soil_moisture": cf.describe(value, "soil_moisture")})
    out["soil_moisture_standard_error"] = np.sqrt(variance).assign_attrs(
        units="m3 m-3", long_name="standard error of the merged soil moisture"
    )
    out["n_products"] = count.assign_attrs(units="1", long_name="number of products in the value")
    out["weight"] = weight.assign_attrs(units="1", long_name="weight of the product in the value")
    out = out.transpose(dim, ...)
    return cf.provenance(
        cf.link(out, "soil_moisture", "soil_moisture_standard_error", "n_products"),
        method="M-X8",
        references="doi:10.1109/TGRS.2017.2734070",
    )
