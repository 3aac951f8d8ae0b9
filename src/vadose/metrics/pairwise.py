"""Pairwise scores from a state: bias, rmsd, ubrmsd, correlation, slope, NSE, KGE, and the split of the mean squared difference.

Sign: bias = other - reference. All are pure functions of moments, so they hold for any union of months or regions.
KGE after Gupta et al. 2009, doi:10.1016/j.jhydrol.2009.08.003; MSE split as there.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr
from numba import njit

from vadose import units
from vadose.errors import DimensionError, unknown_name
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.metrics.threads import by_rows, native
from vadose.metrics.uncertainty import correlation_interval, effective_size, mean_interval, variance_interval

#: A spread below this share of the mean is rounding: the series is constant.
ROUNDING = 1e-10
UNITS_OF_DATA = ("bias", "rmsd", "ubrmsd", "mae", "standard_deviation_reference", "standard_deviation_other")


def scores(state: xr.Dataset, reference: Hashable, other: Hashable) -> xr.Dataset:
    """All scores of the pair (reference, other) in a state; NaN where there are fewer than two samples or no variance."""
    for name in (reference, other):
        if name not in state[PRODUCT].values:
            raise unknown_name("product", name, state[PRODUCT].values)
    return _scores(
        state.n,
        *(state["mean"].sel({PRODUCT: name}, drop=True) for name in (reference, other)),
        *(_element(state, *pair) for pair in ((reference, reference), (other, other), (reference, other))),
    )


def _scores(n, mean_r, mean_o, var_r, var_o, cov):
    var_r, var_o = (v.where(~(v <= (ROUNDING * m) ** 2), 0.0) for v, m in ((var_r, mean_r), (var_o, mean_o)))
    bias = mean_o - mean_r
    ub = np.sqrt((var_r + var_o - 2 * cov).clip(min=0.0))
    sd_r, sd_o = np.sqrt(var_r), np.sqrt(var_o)
    pearson = (cov / (sd_r * sd_o)).where((sd_r > 0) & (sd_o > 0))
    out = xr.Dataset(
        {
            "n": n,
            "bias": bias,
            "rmsd": np.sqrt(bias**2 + ub**2),
            "ubrmsd": ub,
            "pearson": pearson,
            "slope": (cov / var_r).where(var_r > 0),
            "nse": (1 - (bias**2 + ub**2) / var_r).where(var_r > 0),
            "kge": 1 - np.sqrt((pearson - 1) ** 2 + (sd_o / sd_r - 1) ** 2 + (mean_o / mean_r - 1) ** 2),
            "mse_bias": bias**2,
            "mse_variance": (sd_o - sd_r) ** 2,
            "mse_correlation": 2 * sd_o * sd_r * (1 - pearson),
            "standard_deviation_reference": sd_r,
            "standard_deviation_other": sd_o,
        }
    )
    return out.where(n >= 2).assign(n=n)


def _element(state, a, b):
    """Population covariance of two products (divided by n: the moments of the difference then add up exactly)."""
    value = state.comoment.sel({PRODUCT: a, OTHER: b}, drop=True)
    return value / state.n.where(state.n > 0)


@njit(cache=True, nogil=True)
def _pairs(x, y, out):
    """x, y (cells, samples) -> n, two means, two variances, covariance, and lag-1 correlations of x, y and y - x, in two passes."""
    cells, samples = x.shape
    for c in range(cells):
        n, sum_x, sum_y = 0, 0.0, 0.0
        for t in range(samples):
            a, b = float(x[c, t]), float(y[c, t])
            if not (np.isnan(a) or np.isnan(b)):
                n += 1
                sum_x += a
                sum_y += b
        for k in range(9):
            out[k, c] = np.nan
        out[0, c] = n
        mean_x, mean_y = (sum_x / n, sum_y / n) if n > 0 else (0.0, 0.0)
        xx, yy, xy, lag_x, lag_y, lag_d, pairs = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
        last_a, last_b = np.nan, np.nan
        for t in range(samples):
            a, b = float(x[c, t]) - mean_x, float(y[c, t]) - mean_y
            if np.isnan(a) or np.isnan(b):
                last_a = np.nan
                continue
            xx += a * a
            yy += b * b
            xy += a * b
            if not np.isnan(last_a):
                lag_x += a * last_a
                lag_y += b * last_b
                lag_d += (b - a) * (last_b - last_a)
                pairs += 1
            last_a, last_b = a, b
        if n > 0:
            out[1, c], out[2, c], out[3, c], out[4, c], out[5, c] = mean_x, mean_y, xx / n, yy / n, xy / n
        dd = max(xx + yy - 2.0 * xy, 0.0)
        for k, lag, square in ((6, lag_x, xx), (7, lag_y, yy), (8, lag_d, dd)):
            r = (lag / pairs) / (square / n) if pairs >= 3 and square > 0.0 else 0.0
            if n > 4:
                r += (1.0 + 4.0 * r) / n
            out[k, c] = min(max(r, -0.99), 0.99)


def _pair_state(reference, other, dim):
    """The nine numbers of `_pairs` as arrays; only samples where both have a value count."""

    def kernel(a, b):
        a, b = np.broadcast_arrays(a, b)
        flat = [native(v.reshape(-1, v.shape[-1])) for v in (a, b)]
        flat = [v if v.dtype.kind == "f" else v.astype(float) for v in flat]
        out = np.empty((9, flat[0].shape[0]))
        by_rows(lambda p: _pairs(flat[0][p], flat[1][p], out[:, p]), flat[0].shape[0], flat[0].size)
        return tuple(out.reshape(9, *a.shape[:-1]))

    return xr.apply_ufunc(
        kernel, reference, other, input_core_dims=[[dim], [dim]], output_core_dims=[[]] * 9, dask="parallelized", output_dtypes=[float] * 9
    )  # fmt: skip


def compare(reference: xr.DataArray, other: xr.DataArray, *, dim: str = "time", level: float = 0.95) -> xr.Dataset:
    """Scores of `other` against `reference` along `dim` with n, n_eff and intervals that hold under autocorrelation.

    Returns each score, `n_eff`, and `<score>_low`, `<score>_high` for bias, ubrmsd and pearson. Series must share `dim`;
    samples where either is missing are left out. `other` is brought to the units of `reference` where both say theirs (m3 m-3 and %).
    Lazy in, lazy out. Raises DimensionError without `dim`.
    """
    for array in (reference, other):
        if dim not in array.dims:
            raise DimensionError(f"no dimension {dim!r}; the array has {array.dims}")
    unit = reference.attrs.get("units")
    other = units.like(other, reference)
    reference, other = xr.align(reference, other, join="inner", copy=False)
    reference, other = (a.chunk({dim: -1}) if a.chunks is not None else a for a in (reference, other))
    n, mean_r, mean_o, var_r, var_o, cov, r_ref, r_oth, r_difference = _pair_state(reference, other, dim)
    out = _scores(n, mean_r, mean_o, var_r, var_o, cov)
    out["n_eff"] = effective_size(n, r_ref, r_oth)
    n_difference = effective_size(n, r_difference, r_difference, of_mean=True)
    out["bias_low"], out["bias_high"] = mean_interval(out.bias, out.ubrmsd, n_difference, level=level)
    # squares of a series with lag-1 correlation r have r squared: their mean is known better than the series' own
    n_spread = effective_size(n, r_difference, r_difference)
    out["ubrmsd_low"], out["ubrmsd_high"] = variance_interval(out.ubrmsd, n_spread, level=level)
    out["pearson_low"], out["pearson_high"] = correlation_interval(out.pearson, out.n_eff, level=level)
    for name in out.data_vars:
        stem = str(name).removesuffix("_low").removesuffix("_high")
        out[name].attrs = {"units": unit if stem in UNITS_OF_DATA and unit else "1"}
    out.attrs["sign"] = "bias = other - reference"
    return out
