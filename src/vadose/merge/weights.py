"""Merging weights from error covariances (M-X8): minimum variance, correlated errors, never negative, renewed for each subset.

w = C^-1 1 / (1' C^-1 1), merged variance 1 / (1' C^-1 1). Gruber et al. 2017, doi:10.1109/TGRS.2017.2734070.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose.errors import DimensionError, VadoseInputError
from vadose.metrics.moments import OTHER, PRODUCT


def minimum_variance(c: np.ndarray, *, nonneg: bool = True) -> tuple[np.ndarray, float]:
    """Weights and merged variance of one error covariance matrix; NaN where it cannot be inverted.

    With `nonneg` the most negative weight is set to zero and the rest solved again, until none is negative.
    """
    active = np.isfinite(np.diag(c)) & (np.diag(c) > 0)
    while active.any():
        at = np.flatnonzero(active)
        try:
            raw = np.linalg.solve(c[np.ix_(at, at)], np.ones(at.size))
        except np.linalg.LinAlgError:
            break
        weights = np.zeros(c.shape[0])
        weights[at] = raw / raw.sum()
        if not nonneg or weights.min() >= 0:
            return weights, float(weights[at] @ c[np.ix_(at, at)] @ weights[at])
        active[np.argmin(weights)] = False
    return np.full(c.shape[0], np.nan), np.nan


def weights(error_covariance: xr.DataArray, *, nonneg: bool = True, shrinkage: float = 0.0) -> xr.Dataset:
    """`weight` (product) and `merged_variance` from an error covariance (…, product, product_2), for all products together.

    `shrinkage` a replaces C by (1 - a) C + a diag(C). For time-varying subsets use `vadose.merge.blend`. Raises DimensionError
    without the two product dimensions, VadoseInputError for a shrinkage outside 0 to 1.
    """
    if {PRODUCT, OTHER} - set(error_covariance.dims):
        raise DimensionError(
            f"an error covariance has dimensions {PRODUCT!r} and {OTHER!r}; got {error_covariance.dims}"
        )
    check_shrinkage(shrinkage)

    def solve(matrix):
        flat = matrix.reshape(-1, *matrix.shape[-2:])
        solved = [minimum_variance(shrunk(m, shrinkage), nonneg=nonneg) for m in flat]
        weight, variance = (np.array(part) for part in zip(*solved, strict=True))
        return weight.reshape(matrix.shape[:-1]), variance.reshape(matrix.shape[:-2])

    w, v = xr.apply_ufunc(
        solve,
        error_covariance,
        input_core_dims=[[PRODUCT, OTHER]],
        output_core_dims=[[PRODUCT], []],
        dask="parallelized",
        output_dtypes=[float, float],
    )
    return xr.Dataset({"weight": w, "merged_variance": v})


def check_shrinkage(shrinkage: float) -> None:
    """Raise VadoseInputError for a share that is none."""
    if not 0 <= shrinkage <= 1:
        raise VadoseInputError(f"shrinkage must lie between 0 and 1, got {shrinkage}")


def shrunk(c: np.ndarray, a: float) -> np.ndarray:
    """A covariance drawn toward its diagonal by share `a`."""
    return (1 - a) * c + a * np.diag(np.diag(c))


def diagonal(error_variance: xr.DataArray) -> xr.DataArray:
    """A covariance matrix without correlations from variances (…, product)."""
    other = error_variance.rename({PRODUCT: OTHER})
    same = xr.DataArray(
        error_variance[PRODUCT].values[:, None] == error_variance[PRODUCT].values[None, :],
        dims=(PRODUCT, OTHER),
        coords={PRODUCT: error_variance[PRODUCT].values, OTHER: error_variance[PRODUCT].values},
    )
    return xr.where(same, error_variance, 0.0 * other)
