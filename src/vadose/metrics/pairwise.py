"""Pairwise scores from a state: bias, rmsd, ubrmsd, correlation, slope, NSE, KGE, and the split of the mean squared difference.

Sign: bias = other - reference. All are pure functions of moments, so they hold for any union of months or regions.
KGE after Gupta et al. 2009, doi:10.1016/j.jhydrol.2009.08.003; MSE split as there.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr

from vadose.errors import unknown_name
from vadose.metrics.moments import OTHER, PRODUCT, moments, stack
from vadose.metrics.uncertainty import correlation_interval, effective_size, lag_one, mean_interval, variance_interval

UNITS_OF_DATA = ("bias", "rmsd", "ubrmsd", "mae", "standard_deviation_reference", "standard_deviation_other")


def scores(state: xr.Dataset, reference: Hashable, other: Hashable) -> xr.Dataset:
    """All scores of the pair (reference, other) in a state; NaN where there are fewer than two samples or no variance."""
    for name in (reference, other):
        if name not in state[PRODUCT].values:
            raise unknown_name("product", name, state[PRODUCT].values)
    r, o = {PRODUCT: reference}, {PRODUCT: other}
    n = state.n
    var_r = _element(state, reference, reference)
    var_o = _element(state, other, other)
    cov = _element(state, reference, other)
    mean_r, mean_o = state["mean"].sel(r, drop=True), state["mean"].sel(o, drop=True)
    bias = mean_o - mean_r
    ub = np.sqrt((var_r + var_o - 2 * cov).clip(min=0.0))
    sd_r, sd_o = np.sqrt(var_r), np.sqrt(var_o)
    pearson = (cov / (sd_r * sd_o)).where((sd_r > 0) & (sd_o > 0))
    rmsd = np.sqrt(bias**2 + ub**2)
    out = xr.Dataset(
        {
            "n": n,
            "bias": bias,
            "rmsd": rmsd,
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


def compare(reference: xr.DataArray, other: xr.DataArray, *, dim: str = "time", level: float = 0.95) -> xr.Dataset:
    """Scores of `other` against `reference` along `dim` with n, n_eff and intervals that hold under autocorrelation.

    Returns each score, `n_eff`, and `<score>_low`, `<score>_high` for bias, ubrmsd and pearson. Series must share `dim`;
    samples where either is missing are left out. Lazy in, lazy out.
    """
    data = stack(reference, other, names=["reference", "other"])
    out = scores(moments(data, dim=dim), "reference", "other")
    difference = other - reference
    valid = difference.notnull()
    r_ref, r_oth = lag_one(reference.where(valid), dim=dim), lag_one(other.where(valid), dim=dim)
    out["n_eff"] = effective_size(out.n, r_ref, r_oth)
    n_difference = effective_size(out.n, lag_one(difference, dim=dim), lag_one(difference, dim=dim), of_mean=True)
    out["bias_low"], out["bias_high"] = mean_interval(out.bias, out.ubrmsd, n_difference, level=level)
    out["ubrmsd_low"], out["ubrmsd_high"] = variance_interval(out.ubrmsd, n_difference, level=level)
    out["pearson_low"], out["pearson_high"] = correlation_interval(out.pearson, out.n_eff, level=level)
    units = reference.attrs.get("units")
    for name in out.data_vars:
        stem = str(name).removesuffix("_low").removesuffix("_high")
        out[name].attrs = {"units": units if stem in UNITS_OF_DATA and units else "1"}
    out.attrs["sign"] = "bias = other - reference"
    return out
