"""Five-day means and what is usual for the time of year: the input of drought detectors (M-T2.3, M-X4)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.harmonize.climatology import day_of_year

PENTADS = 73
FLAGS = ("short_record",)
SHORT_RECORD = 5  # years


def pentad_index(time: xr.DataArray) -> np.ndarray:
    """Number of the pentad since the first year's first; 29 February belongs to pentad 12 of its year."""
    doy = day_of_year(time)
    noleap = np.where(doy > 60, doy - 2, np.minimum(doy - 1, 58))
    year = time.dt.year.values
    return (year - year[0]) * PENTADS + np.minimum(noleap // 5, PENTADS - 1)


def _flat(values):
    """(cells, time), contiguous; single precision stays single, so that nothing is copied without need."""
    kind = np.float32 if values.dtype == np.float32 else np.float64
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=kind)


@njit(cache=True, nogil=True)
def _means(values, edges, least, out):
    """Mean of the days from one edge to the next; `edges` has one more entry than `out` has steps."""
    for c in range(values.shape[0]):
        for k in range(out.shape[1]):
            total, count = 0.0, 0
            for t in range(edges[k], edges[k + 1]):
                v = values[c, t]
                if not np.isnan(v):
                    total += v
                    count += 1
            out[c, k] = total / count if count >= least else np.nan


def to_pentads(series: xr.DataArray, *, least: int = 3) -> xr.DataArray:
    """Means of five days, 73 a year (29 February joins 25 February - 1 March), from a daily series (time, ...).

    NaN with fewer than `least` valid days. Time becomes the first day of each pentad. Lazy in, lazy out.
    """
    cf.check_time(series)
    group = pentad_index(series.time)
    first, count = int(group[0]), int(group[-1] - group[0] + 1)
    starts = _first_days(np.arange(first, first + count), int(series.time.dt.year.values[0]))
    edges = np.searchsorted(group, np.arange(first, first + count + 1))

    def kernel(values):
        flat = _flat(values)
        out = np.empty((flat.shape[0], count))
        _means(flat, edges, max(least, 1), out)
        return out.reshape(*values.shape[:-1], count)

    out = along_time(kernel, series, output="pentad", size=count).rename(pentad="time")
    out = out.assign_coords(time=starts).transpose(*series.dims)
    return out.rename(series.name).assign_attrs({**series.attrs, "cell_methods": "time: mean (interval: 5 days)"})


def _first_days(group, year0):
    """First day of each pentad counted from the first of `year0`; after 29 February of a leap year one day later."""
    year = (year0 - 1970 + group // PENTADS).astype("datetime64[Y]")
    january, december = year.astype("datetime64[D]"), (year + np.timedelta64(1, "Y")).astype("datetime64[D]")
    day = group % PENTADS * 5
    leap = (december - january).astype(int) == 366
    return (january + (day + (leap & (day > 58))).astype("timedelta64[D]")).astype("datetime64[ns]")


def along_time(kernel, *series, output="time", size=None, outputs=1, dtypes=(float,)):
    """Apply `kernel` over whole series, (cells..., time) in and (cells..., output) out; time becomes one chunk."""
    arrays = [s.chunk(time=-1) if s.chunks is not None else s for s in series]
    return xr.apply_ufunc(
        kernel,
        *arrays,
        input_core_dims=[["time"]] * len(arrays),
        output_core_dims=[[output]] * outputs,
        dask="parallelized",
        output_dtypes=list(dtypes) * (outputs if len(dtypes) == 1 else 1),
        join="exact",
        dask_gufunc_kwargs={} if output == "time" else {"output_sizes": {output: size}},
    )


@njit(cache=True, nogil=True)
def _pentad_percentiles(values, index, window, n_min, leave_out, out):
    """Mid-rank percentile of each pentad among those of all years within `window` pentads of the year (circular)."""
    cells, steps = values.shape
    years = index[-1] // 73 + 1
    wide = 2 * window + 1
    table = np.empty((73, years))
    place = np.full((73, years), -1)
    for t in range(steps):
        place[index[t] % 73, index[t] // 73] = t
    pool = np.empty(wide * years)
    for c in range(cells):
        table[:] = np.nan
        for t in range(steps):
            table[index[t] % 73, index[t] // 73] = values[c, t]
        for p in range(73):
            size = 0
            for k in range(-window, window + 1):
                for y in range(years):
                    v = table[(p + k) % 73, y]
                    pool[k * years + window * years + y] = v
                    size += 0 if np.isnan(v) else 1
            for y in range(years):
                t = place[p, y]
                if t < 0:
                    continue
                x = values[c, t]
                if np.isnan(x):
                    continue
                below, equal, n = 0, 0, size  # comparisons with NaN are false
                for i in range(pool.size):
                    below += pool[i] < x
                    equal += pool[i] == x
                if leave_out:
                    for k in range(wide):
                        v = pool[k * years + y]
                        below -= v < x
                        equal -= v == x
                        n -= 0 if np.isnan(v) else 1
                    equal += 1
                    n += 1
                if n >= n_min:
                    out[c, t] = 100.0 * (below + 0.5 * (equal + 1)) / (n + 1)


def pentad_percentile(
    pentads: xr.DataArray, *, window: int = 2, n_min: int = 15, leave_year_out: bool = False
) -> xr.Dataset:
    """Percentile (0..100) of each pentad among those of the same time of year (Weibull, mid-rank for ties).

    Returns `percentile` and `percentile_flag`: `short_record` where fewer than 5 years stand behind it.
    """
    cf.check_time(pentads)
    index = pentad_index(pentads.time)
    years = index[-1] // PENTADS + 1

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out = np.full(flat.shape, np.nan)
        _pentad_percentiles(flat, index, window, n_min, leave_year_out, out)
        return out.reshape(values.shape)

    p = along_time(kernel, pentads).transpose(*pentads.dims)
    out = xr.Dataset({"percentile": cf.describe(p, "percentile")})
    short = xr.full_like(p, 1 if years < SHORT_RECORD else 0, dtype="uint8")
    out["percentile_flag"] = short.assign_attrs(cf.flag_attrs(FLAGS))
    return cf.provenance(cf.link(out, "percentile", "percentile_flag"), method="M-X4", step="pentad_percentile")


@njit(cache=True, nogil=True)
def _slide(pool, size, leaving, gone, entering, come, out):
    """Merge sorted lists: `pool` without `leaving` (all of which it holds) and with `entering`; returns the new size."""
    i, j, k, n = 0, 0, 0, 0
    while i < size or k < come:
        if i < size and j < gone and pool[i] == leaving[j]:
            i += 1
            j += 1
        elif k >= come or (i < size and pool[i] <= entering[k]):
            out[n] = pool[i]
            i += 1
            n += 1
        else:
            out[n] = entering[k]
            k += 1
            n += 1
    return n


@njit(cache=True, nogil=True)
def _calendar_quantiles(values, doy, window, share, n_min, out):
    """Quantile within `window` days of each calendar day (circular); the sorted pool slides through the year."""
    cells, days = values.shape
    most = 0
    for d in range(1, 367):
        most = max(most, np.sum(doy == d))
    table, size = np.empty((366, most)), np.empty(366, np.int64)
    pool, other = np.empty(days), np.empty(days)
    for c in range(cells):
        size[:] = 0
        for t in range(days):
            v = values[c, t]
            if not np.isnan(v):
                d = doy[t] - 1
                table[d, size[d]] = v
                size[d] += 1
        for d in range(366):
            table[d, : size[d]].sort()
        n = 0
        for k in range(-window, window + 1):
            d = k % 366
            n = _slide(pool, n, table[d], 0, table[d], size[d], other)
            pool, other = other, pool
        for d in range(366):
            if d > 0:
                old, new = (d - window - 1) % 366, (d + window) % 366
                n = _slide(pool, n, table[old], size[old], table[new], size[new], other)
                pool, other = other, pool
            if n < n_min:
                out[c, d] = np.nan
                continue
            rank = share * (n + 1) - 1.0
            low = min(max(int(np.floor(rank)), 0), n - 1)
            high = min(low + 1, n - 1)
            out[c, d] = pool[low] + (pool[high] - pool[low]) * min(max(rank - low, 0.0), 1.0)


def calendar_quantile(series: xr.DataArray, percent: float, *, window: int = 15, n_min: int = 60) -> xr.DataArray:
    """The `percent`-th percentile (Weibull) of each day's calendar neighborhood, on the days of the series (time, ...)."""
    cf.check_time(series)
    if not 0 <= window < 183:
        raise VadoseInputError(f"window is half a neighborhood in days, 0 to 182; got {window}")
    doy = np.asarray(day_of_year(series.time))

    def kernel(values):
        flat = _flat(values)
        out = np.empty((flat.shape[0], 366))
        _calendar_quantiles(flat, doy, window, percent / 100.0, n_min, out)
        return out[:, doy - 1].reshape(values.shape)

    return along_time(kernel, series).transpose(*series.dims).assign_attrs(series.attrs)
