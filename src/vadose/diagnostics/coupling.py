"""How soil and air hold each other: coupling indices, memory, similarity of ensembles, changing variability (M-T2.4).

Terrestrial and atmospheric legs: Dirmeyer 2011, doi:10.1029/2011GL048268. Omega: Koster et al. 2006, doi:10.1175/JHM510.1.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import stats

from vadose import cf, metrics
from vadose.errors import TooFewSamplesError
from vadose.harmonize.climatology import day_of_year
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.typing import Rng


def coupling_index(driver: xr.DataArray, response: xr.DataArray, *, dim: str = "time", n_min: int = 20) -> xr.DataArray:
    """sd(driver) times the slope of response on driver: how much of the response the driver moves, in the response's units.

    Moisture and latent heat give the terrestrial leg; latent heat and cloud base the atmospheric one. Remove season and trend
    first. NaN with fewer than `n_min` pairs.
    """
    good = driver.notnull() & response.notnull()
    x, y = driver.where(good), response.where(good)
    n = good.sum(dim)
    dx, dy = x - x.mean(dim), y - y.mean(dim)
    variance = (dx * dx).sum(dim) / (n - 1)
    slope = (dx * dy).sum(dim) / (dx * dx).sum(dim)
    out = (variance**0.5 * slope).where((n >= n_min) & (variance > 0))
    return out.rename("coupling_index").assign_attrs(units=response.attrs.get("units", "1"))


def coupling_interval(
    driver: xr.DataArray,
    response: xr.DataArray,
    *,
    dim: str = "time",
    n_min: int = 20,
    block: int = 30,
    draws: int = 500,
    level: float = 0.95,
    rng: Rng = 0,
) -> xr.Dataset:
    """`coupling_index` with the number of pairs `n` and its interval `coupling_index_low`, `coupling_index_high` by moving blocks.

    block : length of blocks in samples, longer than the memory of both series. Season and trend removed first, the season's ends
    stay neighbors: blocks that cross from one year into the next are few. Loads the data; see `metrics.bootstrap` for errors.
    """
    index = coupling_index(driver, response, dim=dim, n_min=n_min)
    both = metrics.stack(driver, response, names=("driver", "response"))

    def leg(state: xr.Dataset) -> xr.Dataset:
        moment = state.comoment.sel({PRODUCT: "driver"}, drop=True)
        spread = (moment.sel({OTHER: "driver"}, drop=True) * (state.n - 1)) ** 0.5
        return (moment.sel({OTHER: "response"}, drop=True) / spread).to_dataset(name="coupling_index")

    bounds = metrics.bootstrap(both, leg, dim=dim, block=block, draws=draws, level=level, rng=rng).where(
        index.notnull()
    )
    for bound in bounds.data_vars.values():
        bound.attrs["units"] = index.attrs["units"]
    return bounds.assign(
        coupling_index=index, n=(driver.notnull() & response.notnull()).sum(dim).assign_attrs(units="1")
    )


def two_legged_index(
    moisture: xr.DataArray, latent: xr.DataArray, cloud_base: xr.DataArray, *, dim: str = "time"
) -> xr.DataArray:
    """sd(moisture) x dLE/dmoisture x dLCL/dLE, in the units of the cloud base."""
    first = coupling_index(moisture, latent, dim=dim)
    good = latent.notnull() & cloud_base.notnull()
    dx = latent.where(good) - latent.where(good).mean(dim)
    slope = (dx * cloud_base).sum(dim) / (dx * dx).sum(dim)
    return (first * slope).rename("two_legged_index").assign_attrs(units=cloud_base.attrs.get("units", "1"))


def _acf_crossing(acf, level):
    below = np.nonzero(acf < level)[0]
    if below.size == 0:
        return np.nan
    k = int(below[0])
    return k - 1 + (acf[k - 1] - level) / (acf[k - 1] - acf[k])


def memory(series: xr.DataArray, *, longest: int = 180, level: float = np.exp(-1.0)) -> xr.DataArray:
    """Lag [d] at which the autocorrelation of a daily series (time, ...) first falls below 1/e, between lags by a straight line."""
    cf.check_time(series)

    def kernel(values):
        shape = values.shape[:-1]
        flat = values.reshape(-1, values.shape[-1])
        out = np.full(flat.shape[0], np.nan)
        for c, row in enumerate(flat):
            if np.isfinite(row).sum() < 3 * 30:
                continue
            z = np.nan_to_num(row - np.nanmean(row))
            size = 2 ** int(np.ceil(np.log2(2 * z.size)))
            valid = np.fft.rfft(np.isfinite(row).astype(float), size)
            power = np.fft.rfft(z, size)
            total = np.fft.irfft(power * power.conj(), size)[: longest + 1]
            pairs = np.maximum(np.fft.irfft(valid * valid.conj(), size)[: longest + 1], 1.0)
            acf = (total / pairs) / (total[0] / pairs[0])
            out[c] = _acf_crossing(acf, level)
        return out.reshape(shape)

    data = series.chunk(time=-1) if series.chunks is not None else series
    out = xr.apply_ufunc(kernel, data, input_core_dims=[["time"]], dask="parallelized", output_dtypes=[float])
    return out.rename("memory").assign_attrs(units="d", long_name="lag at which autocorrelation falls below 1/e")


def lagged_partial_correlation(
    moisture: xr.DataArray, rain: xr.DataArray, *, lags: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 30)
) -> xr.Dataset:
    """Correlation of rain with moisture `lag` days before, given the rain of that day, and its standard error (time -> lag).

    The error uses the effective number of days n (1 - r1 r2) / (1 + r1 r2) with the lag-one autocorrelations of both series.
    """

    def residual(a, b):
        da, db = a - a.mean("time"), b - b.mean("time")
        return da - db * (da * db).mean("time") / (db * db).mean("time")

    def first_lag(a):
        return xr.corr(a.isel(time=slice(1, None)), a.isel(time=slice(None, -1)), dim="time")

    values, errors = [], []
    for lag in lags:
        later = rain.isel(time=slice(lag, None)).drop_vars("time")
        before = moisture.isel(time=slice(None, -lag)).drop_vars("time")
        then = rain.isel(time=slice(None, -lag)).drop_vars("time")
        a, b = residual(later, then), residual(before, then)
        r1 = first_lag(a) * first_lag(b)
        n = later.sizes["time"] * (1 - r1) / (1 + r1)
        values.append(xr.corr(a, b, dim="time"))
        errors.append(1.0 / n**0.5)
    lag_axis = xr.DataArray(list(lags), dims="lag", name="lag", attrs={"units": "d"})
    return xr.Dataset(
        {"correlation": xr.concat(values, lag_axis), "correlation_standard_error": xr.concat(errors, lag_axis)}
    )


def ensemble_similarity(values: xr.DataArray, *, member: str = "member", dim: str = "time") -> xr.DataArray:
    """Omega (m s2_mean - s2) / ((m - 1) s2): 1 where members are alike, 0 where they know nothing of each other.

    `values` (member, time, ...). Soil moisture's part is Omega with prescribed minus Omega with free soil moisture.
    """
    m = values.sizes[member]
    if m < 2:
        raise TooFewSamplesError(f"Omega needs at least 2 members, got {m}")
    mean = values.mean(member).var(dim)
    total = values.var([member, dim])
    return ((m * mean - total) / ((m - 1) * total)).rename("omega").assign_attrs(units="1")


def seasonal_anomaly(series: xr.DataArray) -> xr.DataArray:
    """Departure from the mean of the calendar day and from the linear trend (time, ...): what coupling indices need."""
    t = xr.DataArray(np.arange(series.sizes["time"], dtype=float), dims="time", coords={"time": series.time})
    t = (t - t.mean()).where(series.notnull())
    t = t - t.mean("time")
    straight = series - (series * t).mean("time") / (t * t).mean("time") * t
    day = xr.DataArray(day_of_year(series.time), dims="time", name="doy")
    out = straight.groupby(day).map(lambda x: x - x.mean("time"))
    return out.drop_vars("doy", errors="ignore").assign_attrs(series.attrs)


def variance_change(series: xr.DataArray, split: str, *, dim: str = "time") -> xr.Dataset:
    """Did variability change? Later over earlier variance, and the Brown-Forsythe p value (spread around medians).

    `series` (time, ...) without season and trend; `split`: the first day of the later part. Autocorrelated values are not independent:
    thin daily data to about the memory first.
    """
    before = (series[dim] < np.datetime64(split)).values
    early, late = series.isel({dim: before}), series.isel({dim: ~before})
    if min(early.sizes[dim], late.sizes[dim]) < 10:
        raise TooFewSamplesError(
            f"{early.sizes[dim]} values before and {late.sizes[dim]} after {split}; at least 10 are needed each"
        )

    def test(a, b):
        za, zb = (np.abs(x - np.nanmedian(x, axis=-1, keepdims=True)) for x in (a, b))
        n = [np.isfinite(z).sum(axis=-1) for z in (za, zb)]
        m = [np.nanmean(z, axis=-1) for z in (za, zb)]
        grand = (n[0] * m[0] + n[1] * m[1]) / (n[0] + n[1])
        between = n[0] * (m[0] - grand) ** 2 + n[1] * (m[1] - grand) ** 2
        within = sum(np.nansum((z - k[..., None]) ** 2, axis=-1) for z, k in zip((za, zb), m, strict=True))
        free = n[0] + n[1] - 2
        ratio = np.nanvar(b, axis=-1, ddof=1) / np.nanvar(a, axis=-1, ddof=1)
        return ratio, stats.f.sf(between / (within / free), 1, free)

    arrays = [a.rename({dim: name}).drop_vars(name, errors="ignore") for a, name in ((early, "early"), (late, "late"))]
    arrays = [
        a.chunk({name: -1}) if a.chunks is not None else a for a, name in zip(arrays, ("early", "late"), strict=True)
    ]
    ratio, p = xr.apply_ufunc(
        test, *arrays, input_core_dims=[["early"], ["late"]], output_core_dims=[[], []], dask="parallelized", output_dtypes=[float, float],
    )  # fmt: skip
    return xr.Dataset({"variance_ratio": ratio, "p_value": p})
