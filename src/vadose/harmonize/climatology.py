"""The expected seasonal cycle and what departs from it: climatology, anomaly, percentile, drought class (M-X4).

Days of year are counted in a leap-year calendar: 1 March is day 61 in every year; 29 February of a climatology lies between
its neighbors. Years of `360_day` calendars have 360 days throughout.

Which anomaly is which: `anomaly(x)` departs from the smoothed cycle of all years; `anomaly(x, kind="window")` from the window mean
of all years (the long-term anomaly of Gruber et al. 2020, doi:10.1016/j.rse.2020.111806); `short_term_anomaly(x, same_year=True)` from that
of the same year (their short-term anomaly); `short_term_anomaly(x)` from a moving mean that knows no years.
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
KINDS = ("two-window", "window", "harmonics")
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


def days_of_year(time: xr.DataArray) -> int:
    """How many days a cycle has in the calendar of a time axis: 366, or 360."""
    return 360 if getattr(time.dt, "calendar", "standard") == "360_day" else DAYS


@njit(cache=True, nogil=True)
def _two_window(values, doy, inner, outer, out):
    """values (cells, days): centered mean over `inner` days, mean per day of year, circular mean over `outer` days."""
    cells, days = values.shape
    length = out.shape[1]
    half, wide = inner // 2, outer // 2
    for c in range(cells):
        total = np.zeros(length + 1)
        count = np.zeros(length + 1)
        for t in range(days):
            s, n = 0.0, 0
            for k in range(max(0, t - half), min(days, t + half + 1)):
                if not np.isnan(values[c, k]):
                    s += values[c, k]
                    n += 1
            if n > 0:
                total[doy[t]] += s / n
                count[doy[t]] += 1.0
        mean = np.full(length + 1, np.nan)
        leap = 60 if length == 366 else 0
        for d in range(1, length + 1):
            if count[d] > 0 and d != leap:
                mean[d] = total[d] / count[d]
        if leap > 0 and not np.isnan(mean[59]) and not np.isnan(mean[61]):
            mean[60] = 0.5 * (mean[59] + mean[61])
        for d in range(1, length + 1):
            s, n = 0.0, 0
            for k in range(-wide, wide + 1):
                e = (d - 1 + k) % length + 1
                if not np.isnan(mean[e]):
                    s += mean[e]
                    n += 1
            out[c, d - 1] = s / n if n > 0 else np.nan


@njit(cache=True, nogil=True)
def _window(values, doy, wide, out):
    """values (cells, days): mean of all values of all years within `wide` days of each day of the year."""
    cells, days = values.shape
    length = out.shape[1]
    for c in range(cells):
        total, count = np.zeros(length), np.zeros(length)
        for t in range(days):
            if not np.isnan(values[c, t]):
                total[doy[t] - 1] += values[c, t]
                count[doy[t] - 1] += 1.0
        for d in range(length):
            s, n = 0.0, 0.0
            for k in range(-wide, wide + 1):
                s += total[(d + k) % length]
                n += count[(d + k) % length]
            out[c, d] = s / n if n > 0.0 else np.nan


def climatology(
    series: xr.DataArray, *, kind: str = "two-window", inner: int = 5, outer: int = 35, harmonics: int = 3
) -> xr.DataArray:
    """The seasonal cycle (dayofyear 1..366, ...) of a daily series (time, ...).

    `kind`: "two-window" (mean over 5 days, by day of year, smoothed over 35 days around the year), "window" (mean of all values of all
    years within 35 days centered on each day) or "harmonics" (mean and annual harmonics by least squares). Cut the series to
    its reference period first, if that is not all of it. Lazy in, lazy out. Raises where time is missing or unsorted.
    """
    cf.check_time(series)
    doy, length = day_of_year(series.time), days_of_year(series.time)
    if kind in ("two-window", "window"):

        def kernel(values):
            flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
            out = np.empty((flat.shape[0], length))
            if kind == "window":
                _window(flat, doy, outer // 2, out)
            else:
                _two_window(flat, doy, inner, outer, out)
            return out.reshape(*values.shape[:-1], length)

    elif kind == "harmonics":
        period = 365.25 if length == DAYS else float(length)
        basis, full = (_harmonic_basis(days, harmonics, period) for days in (doy, np.arange(1, length + 1)))

        def kernel(values):
            flat = values.reshape(-1, values.shape[-1])
            return np.stack([_fit(row, basis, full) for row in flat]).reshape(*values.shape[:-1], length)

    else:
        raise unknown_name("climatology", kind, KINDS)
    data = series.chunk(time=-1) if series.chunks is not None else series
    out = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["dayofyear"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"dayofyear": length}},
    )
    out = out.assign_coords(dayofyear=np.arange(1, length + 1)).transpose("dayofyear", ...)
    return cf.provenance(out.rename(series.name).assign_attrs(series.attrs), method="M-X4", step=f"climatology({kind})")


def _harmonic_basis(doy, count, period):
    angle = 2 * np.pi * np.asarray(doy)[:, None] * np.arange(1, count + 1)[None, :] / period
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


def short_term_anomaly(
    series: xr.DataArray, *, window: int = 35, minimum: int = 1, same_year: bool = False
) -> xr.DataArray:
    """Departure from the centered mean over `window` days: what remains when the season and slow changes are gone.

    `same_year` lets no window reach into another calendar year. `minimum` is the least number of values in a window.
    """
    cf.check_time(series)

    def departure(part):
        return part - part.rolling(time=window, center=True, min_periods=minimum).mean()

    out = series.groupby("time.year").map(departure) if same_year else departure(series)
    return out.transpose(*series.dims).assign_attrs(series.attrs)


def standardized_anomaly(
    series: xr.DataArray,
    cycle: xr.DataArray | None = None,
    *,
    window: int = WINDOW,
    n_min: int = MINIMUM_POOL,
    **options,
) -> xr.DataArray:
    """Anomalies over their own spread (1): the sample standard deviation of all years' anomalies within `window` days of the year.

    NaN where fewer than `n_min` anomalies make the spread, or it is zero. `cycle` and `options` as in `anomaly`. Lazy in, lazy out.
    """
    departure = anomaly(series, cycle, **options)
    doy, length = day_of_year(series.time), days_of_year(series.time)

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out = np.empty(flat.shape)
        _spread(flat, doy, length, window, n_min, out)
        return out.reshape(values.shape)

    data = departure.chunk(time=-1) if departure.chunks is not None else departure
    spread = xr.apply_ufunc(
        kernel, data, input_core_dims=[["time"]], output_core_dims=[["time"]], dask="parallelized", output_dtypes=[float]
    )  # fmt: skip
    out = departure / spread.where(spread > 0)
    return out.transpose(*series.dims).assign_attrs(units="1", long_name="standardized anomaly of soil moisture")


@njit(cache=True, nogil=True)
def _spread(values, doy, length, window, n_min, out):
    """values (cells, days) -> the sample sd of values of all years within `window` days of the year of each."""
    for c in range(values.shape[0]):
        total, square, count = np.zeros(length), np.zeros(length), np.zeros(length)
        for t in range(values.shape[1]):
            v = values[c, t]
            if not np.isnan(v):
                total[doy[t] - 1] += v
                square[doy[t] - 1] += v * v
                count[doy[t] - 1] += 1.0
        sd = np.full(length, np.nan)
        for d in range(length):
            s, q, n = 0.0, 0.0, 0.0
            for k in range(-window, window + 1):
                e = (d + k) % length
                s += total[e]
                q += square[e]
                n += count[e]
            if n >= max(n_min, 2):
                sd[d] = np.sqrt(max(q - s * s / n, 0.0) / (n - 1.0))
        for t in range(values.shape[1]):
            out[c, t] = sd[doy[t] - 1]


@njit(cache=True, nogil=True)
def _percentiles(values, doy, year, pool, starts, pool_year, own, window, n_min, hazen, leave_out, out, degenerate):
    """Ranks of values (cells, days) in the pool (cells, reference days sorted by day of year); `starts` are that order's edges."""
    length = starts.size - 1
    for c in range(values.shape[0]):
        for t in range(values.shape[1]):
            x = values[c, t]
            if np.isnan(x):
                continue
            below, equal, n = 0, 0, 0
            for step in range(-window, window + 1):
                day = (doy[t] - 1 + step) % length
                for k in range(starts[day], starts[day + 1]):
                    v = pool[c, k]
                    if np.isnan(v) or (leave_out and pool_year[k] == year[t]):
                        continue
                    n += 1
                    if v < x:
                        below += 1
                    elif v == x:
                        equal += 1
            if n < n_min:
                continue
            if not own[t]:  # the ranked value counts too
                equal += 1
                n += 1
            if equal == n:
                degenerate[c, t] = 1
            rank = below + 0.5 * (equal + 1)
            out[c, t] = 100.0 * (rank - 0.5) / n if hazen else 100.0 * rank / (n + 1)


def percentile(
    series: xr.DataArray,
    *,
    reference: xr.DataArray | None = None,
    window: int = WINDOW,
    n_min: int = MINIMUM_POOL,
    plotting: str = "weibull",
    leave_year_out: bool = True,
) -> xr.Dataset:
    """Percentile (0..100) of each day among the days of all years within `window` days of the year.

    `reference` is the record that is ranked against (such as 1991 to 2020, on the same places); the series itself by default.
    Returns `percentile` and `percentile_flag` (`degenerate`: all values of the pool are equal). NaN with fewer than `n_min`
    values in the pool. `leave_year_out` keeps the evaluated year out of its own pool. Lazy in, lazy out.
    """
    cf.check_time(series)
    if plotting not in ("weibull", "hazen"):
        raise unknown_name("plotting position", plotting, ("weibull", "hazen"))
    base = series if reference is None else reference
    cf.check_time(base)
    length = days_of_year(series.time)
    if days_of_year(base.time) != length:
        raise VadoseInputError("series and reference have years of different length; bring them to one calendar first")
    doy, year = day_of_year(series.time), series.time.dt.year.values
    days = day_of_year(base.time)
    order = np.argsort(days, kind="stable")
    starts = np.searchsorted(days[order], np.arange(1, length + 2))
    pool_year = base.time.dt.year.values[order]
    own = np.isin(series.time.values, base.time.values) & (not leave_year_out)

    def kernel(values, pool):
        values, pool = (np.ascontiguousarray(v.reshape(-1, v.shape[-1]), dtype=float) for v in (values, pool))
        out, bad = np.full(values.shape, np.nan), np.zeros(values.shape, "uint8")
        options = (own, window, n_min, plotting == "hazen", leave_year_out)
        _percentiles(values, doy, year, pool[:, order], starts, pool_year, *options, out, bad)
        return out, bad

    def shaped(values, pool):
        shape = np.broadcast_shapes(values.shape[:-1], pool.shape[:-1])
        values, pool = (np.broadcast_to(v, (*shape, v.shape[-1])) for v in (values, pool))
        return tuple(v.reshape(*shape, values.shape[-1]) for v in kernel(values, pool))

    whole = [v.chunk(time=-1) if v.chunks is not None else v for v in (series, base)]
    p, bad = xr.apply_ufunc(
        shaped,
        whole[0],
        whole[1].rename(time="_pool"),
        input_core_dims=[["time"], ["_pool"]],
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
