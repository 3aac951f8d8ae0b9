"""What a soil-moisture record is like at each place: mean, spread, season, memory and trend (M-T1.3).

Trend: Sen 1968, doi:10.1080/01621459.1968.10480934, with the Mann-Kendall test after trend-free prewhitening
(Yue et al. 2002, doi:10.1002/hyp.1095): annual means with memory would otherwise show trends that are not there.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit
from scipy import stats

from vadose import cf
from vadose.harmonize.climatology import climatology
from vadose.metrics.uncertainty import lag_one


@njit(cache=True, nogil=True)
def _sen(x, y):
    slopes = np.empty(x.size * (x.size - 1) // 2)
    k = 0
    for i in range(x.size):
        for j in range(i + 1, x.size):
            slopes[k] = (y[j] - y[i]) / (x[j] - x[i])
            k += 1
    return np.median(slopes)


@njit(cache=True, nogil=True)
def _kendall(y):
    total = 0.0
    for i in range(y.size):
        for j in range(i + 1, y.size):
            total += np.sign(y[j] - y[i])
    return total


def _trend_of(row, years):
    """Slope a year and two-sided p of one series of annual means; NaN with fewer than eight years."""
    good = np.isfinite(row)
    x, y = years[good], row[good]
    if x.size < 8:
        return np.nan, np.nan
    slope = _sen(x, y)
    rest = y - slope * x
    rest = rest - rest.mean()
    variance = (rest**2).mean()
    r = (rest[:-1] * rest[1:]).sum() / (x.size - 1) / variance if variance > 0 else 0.0
    significant = abs(r) > 1.96 / np.sqrt(x.size)
    tested = (rest[1:] - r * rest[:-1] + slope * x[1:]) if significant else y
    n = tested.size
    _, ties = np.unique(tested, return_counts=True)
    s = _kendall(tested)
    spread = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    z = (s - np.sign(s)) / np.sqrt(spread) if spread > 0 else 0.0
    return slope, 2 * stats.norm.sf(abs(z))


def trend(annual: xr.DataArray, *, dim: str = "year") -> xr.Dataset:
    """Theil-Sen slope [a decade] of annual means and the p value of the Mann-Kendall test after trend-free prewhitening."""
    years = annual[dim].values.astype(float)

    def kernel(values):
        flat = values.reshape(-1, values.shape[-1])
        found = np.array([_trend_of(row, years) for row in flat])
        return found[:, 0].reshape(values.shape[:-1]), found[:, 1].reshape(values.shape[:-1])

    data = annual.chunk({dim: -1}) if annual.chunks is not None else annual
    slope, p = xr.apply_ufunc(
        kernel, data.astype(float), input_core_dims=[[dim]], output_core_dims=[[], []], dask="parallelized", output_dtypes=[float, float]
    )  # fmt: skip
    units = annual.attrs.get("units", "1")
    return xr.Dataset({"trend": (10 * slope).assign_attrs(units=f"{units} per decade"), "trend_p_value": p})


def characterize(series: xr.DataArray) -> xr.Dataset:
    """`mean`, `standard_deviation`, `coefficient_of_variation`, `seasonal_amplitude` (half the range of the climatology),
    `lag_one`, `n` of a daily record (time, ...), and `trend` with its p value where there are eight years or more."""
    cf.check_time(series)
    mean, sd = series.mean("time"), series.std("time", ddof=1)
    cycle = climatology(series)
    annual = series.groupby("time.year").mean()
    units = series.attrs.get("units", "1")
    out = xr.Dataset(
        {
            "mean": mean.assign_attrs(units=units),
            "standard_deviation": sd.assign_attrs(units=units),
            "coefficient_of_variation": (sd / mean.where(mean > 0)).assign_attrs(units="1"),
            "seasonal_amplitude": ((cycle.max("dayofyear") - cycle.min("dayofyear")) / 2).assign_attrs(units=units),
            "lag_one": lag_one(series).assign_attrs(units="1"),
            "n": series.count("time"),
        }
    )
    return cf.provenance(out.merge(trend(annual.assign_attrs(units=units))), method="M-T1.3")
