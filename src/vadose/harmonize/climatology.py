"""The expected seasonal cycle and what departs from it: climatology, anomaly, percentile, drought class (M-X4).

Days of year are counted in a leap-year calendar: 1 March is day 61 in every year; 29 February of a climatology lies between
its neighbors.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit
from scipy.special import ndtri

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name

DAYS = 366
LEAP_DAY = 60  # 29 February
WINDOW = 15  # days to each side for spread and percentiles
MINIMUM_POOL = 60
#: US Drought Monitor classes: percentile at or below -> class.
DROUGHT = ((2.0, 5), (5.0, 4), (10.0, 3), (20.0, 2), (30.0, 1))


def day_of_year(time: xr.DataArray) -> np.ndarray:
    """Day of year in a leap-year calendar (1..366) for datetime64 and cftime axes; `360_day` calendars count 1..360."""
    month, day = time.dt.month.values, time.dt.day.values
    if getattr(time.dt, "calendar", "standard") == "360_day":
        return (month - 1) * 30 + day
    starts = np.cumsum([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    return starts[month - 1] + day


@njit(cache=True, nogil=True)
def _two_window(values, doy, inner, outer, out):
    """values (cells, days): centered mean over `inner` days, mean per day of year, circular mean over `outer` days."""
    cells, days = values.shape
    half, wide = inner // 2, outer // 2
    for c in range(cells):
        total = np.zeros(367)
        count = np.zeros(367)
        for t in range(days):
            s, n = 0.0, 0
            for k in range(max(0, t - half), min(days, t + half + 1)):
                if not np.isnan(values[c, k]):
                    s += values[c, k]
                    n += 1
            if n > 0:
                total[doy[t]] += s / n
                count[doy[t]] += 1.0
        mean = np.full(367, np.nan)
        for d in range(1, 367):
            if count[d] > 0 and d != 60:
                mean[d] = total[d] / count[d]
        if not np.isnan(mean[59]) and not np.isnan(mean[61]):
            mean[60] = 0.5 * (mean[59] + mean[61])
        for d in range(1, 367):
            s, n = 0.0, 0
            for k in range(-wide, wide + 1):
                e = (d - 1 + k) % 366 + 1
                if not np.isnan(mean[e]):
                    s += mean[e]
                    n += 1
            out[c, d - 1] = s / n if n > 0 else np.nan


def climatology(
    series: xr.DataArray, *, kind: str = "two-window", inner: int = 5, outer: int = 35, harmonics: int = 3
) -> xr.DataArray:
    """The seasonal cycle (dayofyear 1..366, ...) of a daily series (time, ...).

    `kind`: "two-window" (mean over 5 days, by day of year, smoothed over 35 days around the year) or "harmonics" (mean and
    annual harmonics by least squares). Lazy in, lazy out. Raises where time is missing or unsorted.
    """
    cf.check_time(series)
    doy = day_of_year(series.time)
    if kind == "two-window":

        def kernel(values):
            flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
            out = np.empty((flat.shape[0], DAYS))
            _two_window(flat, doy, inner, outer, out)
            return out.reshape(*values.shape[:-1], DAYS)

    elif kind == "harmonics":
        basis, full = _harmonic_basis(doy, harmonics), _harmonic_basis(np.arange(1, DAYS + 1), harmonics)

        def kernel(values):
            flat = values.reshape(-1, values.shape[-1])
            return np.stack([_fit(row, basis, full) for row in flat]).reshape(*values.shape[:-1], DAYS)

    else:
        raise unknown_name("climatology", kind, ("two-window", "harmonics"))
    data = series.chunk(time=-1) if series.chunks is not None else series
    out = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["dayofyear"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"dayofyear": DAYS}},
    )
    out = out.assign_coords(dayofyear=np.arange(1, DAYS + 1)).transpose("dayofyear", ...)
    return cf.provenance(out.rename(series.name).assign_attrs(series.attrs), method="M-X4", step=f"climatology({kind})")


def _harmonic_basis(doy, count):
    angle = 2 * np.pi * np.asarray(doy)[:, None] * np.arange(1, count + 1)[None, :] / 365.25
    return np.concatenate([np.ones((len(doy), 1)), np.cos(angle), np.sin(angle)], axis=1)


def _fit(row, basis, full):
    good = np.isfinite(row)
    if good.sum() < basis.shape[1]:
        return np.full(full.shape[0], np.nan)
    solution, *_ = np.linalg.lstsq(basis[good], row[good], rcond=None)
    return full @ solution


def expected(cycle: xr.DataArray, time: xr.DataArray) -> xr.DataArray:
    """The cycle on the days of a time axis."""
    index = xr.DataArray(day_of_year(time) - 1, dims="time")
    return cycle.drop_vars("dayofyear").isel(dayofyear=index).assign_coords(time=time)


def anomaly(series: xr.DataArray, cycle: xr.DataArray | None = None, **options) -> xr.DataArray:
    """Departure from the seasonal cycle: `cycle`, or the series' own climatology (`options` go to `climatology`)."""
    base = climatology(series, **options) if cycle is None else cycle
    out = (series - expected(base, series.time)).transpose(*series.dims)
    return out.rename(series.name).assign_attrs(
        {**series.attrs, "long_name": f"anomaly of {series.attrs.get('long_name', series.name)}"}
    )


def short_term_anomaly(series: xr.DataArray, *, window: int = 35, minimum: int = 1) -> xr.DataArray:
    """Departure from the centered mean over `window` days: what remains when the season and slow changes are gone."""
    cf.check_time(series)
    return (series - series.rolling(time=window, center=True, min_periods=minimum).mean()).assign_attrs(series.attrs)


@njit(cache=True, nogil=True)
def _percentiles(values, doy, year, window, n_min, hazen, leave_out, out, degenerate):
    cells, days = values.shape
    for c in range(cells):
        for t in range(days):
            x = values[c, t]
            if np.isnan(x):
                continue
            below, equal, n = 0, 0, 0
            for k in range(days):
                v = values[c, k]
                if np.isnan(v) or (leave_out and year[k] == year[t]):
                    continue
                distance = abs(doy[k] - doy[t])
                if min(distance, 366 - distance) > window:
                    continue
                n += 1
                if v < x:
                    below += 1
                elif v == x:
                    equal += 1
            if n < n_min:
                continue
            pool = n
            if leave_out:
                equal += 1
                pool += 1
            if equal == pool:
                degenerate[c, t] = 1
            rank = below + 0.5 * (equal + 1)
            out[c, t] = 100.0 * (rank - 0.5) / pool if hazen else 100.0 * rank / (pool + 1)


def percentile(
    series: xr.DataArray,
    *,
    window: int = WINDOW,
    n_min: int = MINIMUM_POOL,
    plotting: str = "weibull",
    leave_year_out: bool = True,
) -> xr.Dataset:
    """Percentile (0..100) of each day among the days of all years within `window` days of the year.

    Returns `percentile` and `percentile_flag` (`degenerate`: all values of the pool are equal). NaN with fewer than `n_min`
    values in the pool. `leave_year_out` keeps the evaluated year out of its own pool.
    """
    cf.check_time(series)
    if plotting not in ("weibull", "hazen"):
        raise unknown_name("plotting position", plotting, ("weibull", "hazen"))
    doy, year = day_of_year(series.time), series.time.dt.year.values

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out, bad = np.full(flat.shape, np.nan), np.zeros(flat.shape, "uint8")
        _percentiles(flat, doy, year, window, n_min, plotting == "hazen", leave_year_out, out, bad)
        return out.reshape(values.shape), bad.reshape(values.shape)

    data = series.chunk(time=-1) if series.chunks is not None else series
    p, bad = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"], ["time"]],
        dask="parallelized",
        output_dtypes=[float, "uint8"],
    )
    out = xr.Dataset({"percentile": cf.describe(p.transpose(*series.dims), "percentile")})
    out["percentile_flag"] = bad.transpose(*series.dims).assign_attrs(cf.flag_attrs(("degenerate",)))
    return cf.provenance(cf.link(out, "percentile", "percentile_flag"), method="M-X4")


def standardized_index(percentiles: xr.DataArray) -> xr.DataArray:
    """Standard normal value of a percentile: Z = Phi^-1(P / 100)."""
    return xr.apply_ufunc(
        lambda p: ndtri(p / 100.0), percentiles, dask="parallelized", output_dtypes=[float]
    ).assign_attrs(units="1", long_name="standardized soil-moisture index")


def drought_class(percentiles: xr.DataArray) -> xr.DataArray:
    """US Drought Monitor class: 0 none, 1..5 for D0 (at or below 30 %) to D4 (at or below 2 %); missing stays missing."""
    out = xr.zeros_like(percentiles)
    for limit, number in sorted(DROUGHT, reverse=True):
        out = xr.where(percentiles <= limit, float(number), out)
    return out.where(percentiles.notnull()).assign_attrs(
        units="1", flag_values=np.arange(6), flag_meanings="none D0 D1 D2 D3 D4"
    )


def require_years(series: xr.DataArray, years: float) -> None:
    """Raise unless the series spans `years` years."""
    span = float((series.time.values[-1] - series.time.values[0]) / np.timedelta64(1, "D")) / 365.25
    if span < years:
        raise VadoseInputError(f"the series spans {span:.1f} years, {years} are needed")
