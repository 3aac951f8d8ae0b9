"""Flash droughts: dry spells that come within weeks, by five definitions with one kind of answer (M-T2.3, part A).

Definitions differ in what must fall and how fast; none is the truth. `drop`: percentile from 40 to 20 in 20 days (Ford and
Labosier 2017, doi:10.1016/j.agrformet.2017.08.031). `decline`: at least five percentiles a pentad and a month of dryness (Yuan et
al. 2019, doi:10.1038/s41467-019-12692-7; 2023, doi:10.1126/science.abn6301). `volatility`: the 5-day mean falls below the 20-day
mean (SMVI; Osman et al. 2021, doi:10.5194/hess-25-565-2021). `evaporative_stress`: standardized ET/PET (Christian et al. 2019,
doi:10.1175/JHM-D-18-0198.1). `stress_drydown`: stress times speed of drying (FDSI; Sehgal et al. 2021; equations not seen,
experimental).

Events come as arrays (event, ...) padded with missing values; `vadose.diagnostics.events.event_table` makes rows of them.
They carry no standard error: add the error of the series to it, detect again, and count what stays (`events.event_skill`).
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf
from vadose.diagnostics.events import find_events
from vadose.diagnostics.pentads import PENTADS, along_time, calendar_quantile, pentad_index, pentad_percentile
from vadose.errors import ExperimentalWarning, VadoseInputError


@njit(cache=True, nogil=True)
def _keep(p, s, e, rate, threshold, out, k):
    if k >= out.shape[0]:
        return k
    low, total = s, 0.0
    for j in range(s, e + 1):
        if p[j] < p[low]:
            low = j
        total += max(threshold - p[j], 0.0)
    out[k, 0], out[k, 1], out[k, 2], out[k, 3], out[k, 4], out[k, 5] = s, low, e, p[low], rate, total
    return k + 1


@njit(cache=True, nogil=True)
def _drop(percentiles, longest, out):
    """From 40 or more to 20 or less within `longest` pentads; over when above 20 for two pentads."""
    for c in range(percentiles.shape[0]):
        p, k, above, onset, reached, calm = percentiles[c], 0, -1, -1, -1, 0
        for j in range(p.size):
            if np.isnan(p[j]):
                above, onset, calm = -1, -1, 0
                continue
            if onset < 0:
                if p[j] >= 40.0:
                    above = j
                elif p[j] <= 20.0 and above >= 0:
                    if j - above <= longest:
                        onset, reached, calm = above, j, 0
                    above = -1
            else:
                calm = calm + 1 if p[j] > 20.0 else 0
                if calm == 2 or j == p.size - 1:
                    end = j - calm
                    rate = (p[onset] - p[reached]) / (reached - onset)
                    k = _keep(p, onset, end, rate, 40.0, out[c], k)
                    above = j if p[j] >= 40.0 else -1
                    onset = -1


@njit(cache=True, nogil=True)
def _close(p, s, e, onset_end, least, k, out):
    """Keep an event of at least `least` pentads that reached 20 and stayed below it for three."""
    low, dry = p[s], 0
    for j in range(s, e + 1):
        low = min(low, p[j])
        dry += 1 if p[j] < 20.0 else 0
    if e - s + 1 >= least and low <= 20.0 and dry >= 3:
        rate = (40.0 - p[onset_end]) / (onset_end - s + 1)
        return _keep(p, s, e, rate, 40.0, out, k)
    return k


@njit(cache=True, nogil=True)
def _decline(percentiles, speed, least, out):
    """Idle (0), onset (1), recovery (2); the steps in the order of the published code's rules."""
    for c in range(percentiles.shape[0]):
        p, k, state, s, onset_end, m = percentiles[c], 0, 0, 0, 0, 0.0
        n = p.size
        for j in range(n):
            if np.isnan(p[j]):
                state = 0
                continue
            if state == 0:
                if j > 0 and p[j - 1] >= 40.0 and p[j] < 40.0:
                    state, s, onset_end, m = 1, j, j, p[j]
                continue
            if state == 1:
                if p[j] >= 40.0:
                    k = _close(p, s, j - 1, onset_end, least, k, out[c])
                    state = 0
                    continue
                if 40.0 - p[j] >= speed * (j - s + 1):
                    if m <= 20.0 and p[j] >= p[j - 1]:
                        state = 2
                    else:
                        onset_end, m = j, min(m, p[j])
                        continue
                elif m <= 20.0:
                    state = 2
                else:
                    state = 0
                    continue
            if p[j] > 20.0:
                k = _close(p, s, j - 1, onset_end, least, k, out[c])
                state = 0
        if state > 0:
            k = _close(p, s, n - 1, onset_end, least, k, out[c])


def _check_percentile(percentile):
    """Raise where a year or more of percentiles never exceeds 1: shares given as percent. Lazy fields are not looked at."""
    if percentile.chunks is None and percentile.sizes.get("time", 0) >= PENTADS and float(percentile.max()) <= 1.0:
        raise VadoseInputError(
            f"percentiles must run from 0 to 100, the largest is {float(percentile.max()):.3g}; multiply shares by 100"
        )


def drop(percentile: xr.DataArray, *, longest: int = 4) -> xr.Dataset:
    """Events that fall from the 40th percentile or above to the 20th or below within `longest` pentads.

    Onset is the last pentad at or above 40; an event ends before two pentads in a row above 20. `percentile`: (time, ...), pentads.
    Returns (event, ...): `onset`, `time_of_minimum`, `end`, `duration` [d], `minimum`, `rate` [percentile per pentad], `severity`
    (sum of 40 - P), and `count`. Raises VadoseInputError for shares from 0 to 1 in place of percentiles.
    """
    _check_percentile(percentile)
    return find_events(
        lambda p, out: _drop(p, longest, out), percentile, unit="1", threshold=40.0, per_year=6, method="M-T2.3",
        definition="drop", longest=longest,
    )  # fmt: skip


def decline(percentile: xr.DataArray, *, speed: float = 5.0, least: int = 4) -> xr.Dataset:
    """Events that start below 40, fall by `speed` percentiles a pentad on average, reach 20, and last `least` pentads.

    At least three pentads below 20; over when above 20. `rate` is (40 - P at the end of onset) / pentads of onset. A missing
    pentad ends an event without keeping it. Returns what `drop` does and refuses what it refuses.
    """
    _check_percentile(percentile)
    return find_events(
        lambda p, out: _decline(p, speed, least, out), percentile, unit="1", threshold=40.0, per_year=6, method="M-T2.3",
        definition="decline", speed=speed, least=least,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _volatility(theta, threshold, temperature, bowen, year, shortest, gap, most, out):
    """Runs in which the 5-day mean is below the 20-day mean and the value below its calendar threshold."""
    cells, n = theta.shape
    below = np.empty(n, np.bool_)
    starts, ends = np.empty(n, np.int64), np.empty(n, np.int64)
    for c in range(cells):
        x = theta[c]
        for t in range(n):
            below[t] = False
            if t < 19 or not x[t] < threshold[c, t]:  # false for NaN
                continue
            short, long, s, m = 0.0, 0.0, 0, 0
            for k in range(20):
                v = x[t - k]
                if not np.isnan(v):
                    long += v
                    m += 1
                    if k < 5:
                        short += v
                        s += 1
            below[t] = m >= 10 and short / s < long / m
        runs, t = 0, 0
        while t < n:
            if not below[t]:
                t += 1
                continue
            s = t
            while t < n and below[t]:
                t += 1
            if t - s < shortest:
                continue
            warm, b, good = 0.0, 0.0, 0
            for k in range(s, t):
                warm += temperature[c, k]
                b += bowen[c, k]
                good += 1
            if warm / good <= 273.15 or not 0.2 <= b / good <= 7.0:
                continue
            if runs > 0 and s - ends[runs - 1] <= gap:
                ends[runs - 1] = t - 1
            else:
                starts[runs], ends[runs] = s, t - 1
                runs += 1
        k, this_year, kept = 0, -1, 0
        for r in range(runs):
            if year[starts[r]] != this_year:
                this_year, kept = year[starts[r]], 0
            if kept >= most or k >= out.shape[1]:
                continue
            kept += 1
            s, e = starts[r], ends[r]
            low, total = s, 0.0
            for j in range(s, e + 1):
                if np.isnan(x[j]):
                    continue
                low = j if x[j] < x[low] else low
                total += max(threshold[c, j] - x[j], 0.0)
            rate = (x[s] - x[low]) / max(low - s, 1)
            out[c, k, 0], out[c, k, 1], out[c, k, 2], out[c, k, 3], out[c, k, 4], out[c, k, 5] = (
                s,
                low,
                e,
                x[low],
                rate,
                total,
            )
            k += 1


def volatility(
    soil_moisture: xr.DataArray,
    *,
    threshold: xr.DataArray | None = None,
    temperature: xr.DataArray | None = None,
    bowen_ratio: xr.DataArray | None = None,
    shortest: int = 20,
    gap: int = 15,
    most_per_year: int = 6,
) -> xr.Dataset:
    """SMVI events in daily root-zone moisture (time, ...).

    The trailing 5-day mean is below the trailing 20-day mean while moisture is below `threshold` (its 20th percentile of the
    calendar day by default) for `shortest` days; mean `temperature` [K] above freezing and mean `bowen_ratio` in 0.2 to 7 where
    given; events whose first day is at most `gap` days after the last day of the one before are one; the first
    `most_per_year` of a calendar year are kept. `severity` is the sum of threshold - moisture [m3 m-3 d].
    """
    limit = calendar_quantile(soil_moisture, 20.0) if threshold is None else threshold
    limit = limit.broadcast_like(soil_moisture).transpose(*soil_moisture.dims)
    warm = xr.full_like(soil_moisture, 300.0) if temperature is None else temperature.broadcast_like(soil_moisture)
    bowen = xr.full_like(soil_moisture, 1.0) if bowen_ratio is None else bowen_ratio.broadcast_like(soil_moisture)
    year = soil_moisture.time.dt.year.values
    return find_events(
        lambda x, q, t, b, out: _volatility(x, q, t, b, year, shortest, gap, most_per_year, out),
        soil_moisture, limit, warm, bowen, unit=str(soil_moisture.attrs.get("units", "1")), threshold=20.0,
        per_year=most_per_year, method="M-T2.3", definition="volatility", shortest=shortest, gap=gap,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _standardize(values, index, out):
    """Departure from the mean of the same pentad over its standard deviation (ddof 1)."""
    for c in range(values.shape[0]):
        total, square, count = np.zeros(73), np.zeros(73), np.zeros(73)
        for t in range(values.shape[1]):
            v = values[c, t]
            if not np.isnan(v):
                total[index[t] % 73] += v
                count[index[t] % 73] += 1.0
        mean = total / np.maximum(count, 1.0)
        for t in range(values.shape[1]):
            v = values[c, t]
            if not np.isnan(v):
                square[index[t] % 73] += (v - mean[index[t] % 73]) ** 2
        for t in range(values.shape[1]):
            p = index[t] % 73
            sd = np.sqrt(square[p] / (count[p] - 1.0)) if count[p] > 2 else 0.0
            out[c, t] = (values[c, t] - mean[p]) / sd if sd > 0 else np.nan


@njit(cache=True, nogil=True)
def _stress_runs(level, change, z, index, shortest, out):
    """Runs of changes at or below the 40th percentile with at most one exception, ending at or below the 20th."""
    n = z.shape[1]
    for c in range(z.shape[0]):
        k, t = 0, 1
        while t < n:
            if not change[c, t] <= 40.0:
                t += 1
                continue
            s, last, e, misses, j = t, t, -1, 0, t
            while j < n and not np.isnan(change[c, j]):
                if change[c, j] <= 40.0:
                    last = j
                    if level[c, j] <= 20.0 and j - s + 1 >= shortest:
                        e = j  # the run may end here
                else:
                    misses += 1
                    if misses == 2:
                        break
                j += 1
            if e >= 0:
                length = e - s + 1
                mean = (z[c, e] - z[c, s - 1]) / length
                below, equal, count = 0, 0, 0
                for u in range(length, n):
                    if index[u] % 73 == index[e] % 73:
                        other = (z[c, u] - z[c, u - length]) / length
                        if not np.isnan(other):
                            count += 1
                            below += 1 if other < mean else 0
                            equal += 1 if other == mean else 0
                rank = 100.0 * (below + 0.5 * (equal + 1)) / (count + 1)
                if rank <= 25.0 and k < out.shape[1]:
                    low, total = s, 0.0
                    for u in range(s, e + 1):
                        low = u if z[c, u] < z[c, low] else low
                        total += max(-z[c, u], 0.0)
                    out[c, k, 0], out[c, k, 1], out[c, k, 2] = s - 1, low, e
                    out[c, k, 3], out[c, k, 4], out[c, k, 5] = z[c, low], -mean, total
                    k += 1
            t = (e if e >= 0 else last) + 1


def evaporative_stress(evapotranspiration: xr.DataArray, potential: xr.DataArray, *, shortest: int = 5) -> xr.Dataset:
    """SESR events from pentads of ET and PET (time, ...), in one unit.

    ET / PET is standardized by pentad of the year, and so are its changes. An event has at least `shortest` changes in a row at or
    below their 40th percentile (one exception allowed, not at the ends), ends at or below the 20th percentile, and its mean change
    is at or below the 25th percentile of same-length changes at that time of year. `minimum`, `rate`, `severity` are in standard
    deviations. How ties of percentiles are ranked in the paper was not seen: mid-ranks here.
    """
    if evapotranspiration.attrs.get("units") != potential.attrs.get("units"):
        raise VadoseInputError(
            f"ET is in {evapotranspiration.attrs.get('units')!r} and PET in {potential.attrs.get('units')!r}; convert one with vadose.units.convert"
        )
    index = pentad_index(evapotranspiration.time)

    def standardize(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out = np.full(flat.shape, np.nan)
        _standardize(flat, index, out)
        return out.reshape(values.shape)

    ratio = (evapotranspiration / potential.where(potential > 0)).transpose(*evapotranspiration.dims)
    z = along_time(standardize, ratio).transpose(*ratio.dims)
    change = z.diff("time").reindex(time=z.time)
    change = along_time(standardize, change).transpose(*ratio.dims)
    level, fall = (pentad_percentile(a)["percentile"] for a in (z, change))
    return find_events(
        lambda p, d, v, out: _stress_runs(p, d, v, index, shortest, out),
        level, fall, z, unit="1", threshold=20.0, per_year=6, method="M-T2.3", definition="evaporative_stress",
        shortest=shortest,
    )  # fmt: skip


def stress_drydown_index(stress, drying):
    """FDSI of soil moisture stress and relative rate of drydown, both 0..1: their geometric mean (vadose's form)."""
    return (stress * drying) ** 0.5


def stress_drydown(
    soil_moisture: xr.DataArray,
    *,
    critical_point: xr.DataArray | float,
    wilting_point: xr.DataArray | float,
    threshold: float = 0.71,
    shortest: int = 30,
) -> xr.Dataset:
    """Events in which stress times speed of drying stays at or above 0.71 for more than `shortest` days. Experimental.

    Stress: (critical - moisture) / (critical - wilting), 0..1. Drying: fall over five days relative to the 95th percentile of
    falls in the same season and moisture tercile. The published equations were not seen; the alternatives are the other
    four definitions. `index` (time, ...) comes with the events.
    """
    warnings.warn(
        "FDSI: the published equations were not seen; this form is vadose's own", ExperimentalWarning, stacklevel=2
    )
    cf.check_time(soil_moisture)
    season = soil_moisture.time.dt.month.values % 12 // 3

    def drying(values):
        flat = values.reshape(-1, values.shape[-1])
        out = np.full(flat.shape, np.nan)
        for row, target in zip(flat, out, strict=True):
            rate = np.full(row.size, np.nan)
            rate[5:] = (row[:-5] - row[5:]) / 5.0
            edges = np.nanquantile(row, [1 / 3, 2 / 3]) if np.isfinite(row).any() else np.array([0.0, 0.0])
            tercile = np.digitize(row, edges)
            for s in range(4):
                for k in range(3):
                    part = (season == s) & (tercile == k) & np.isfinite(rate)
                    falls = rate[part & (rate > 0)]
                    if falls.size >= 10:
                        target[part] = np.clip(rate[part] / np.quantile(falls, 0.95), 0.0, 1.0)
        return out.reshape(values.shape)

    relative = along_time(drying, soil_moisture).transpose(*soil_moisture.dims)
    stress = ((critical_point - soil_moisture) / (critical_point - wilting_point)).clip(0.0, 1.0)
    index = stress_drydown_index(stress, relative).transpose(*soil_moisture.dims)

    out = find_events(
        lambda x, out: _runs_above(x, threshold, shortest, out),
        index, unit="1", threshold=threshold, per_year=6, method="M-T2.3", definition="stress_drydown",
        shortest=shortest,
    )  # fmt: skip
    out["index"] = index.assign_attrs(units="1", long_name="flash drought stress index")
    return out.assign_attrs(experimental="published equations not seen")


@njit(cache=True, nogil=True)
def _runs_above(values, threshold, shortest, out):
    for c in range(values.shape[0]):
        x, k, t = values[c], 0, 0
        while t < x.size:
            if not x[t] >= threshold:
                t += 1
                continue
            s, top, total = t, t, 0.0
            while t < x.size and x[t] >= threshold:
                top = t if x[t] > x[top] else top
                total += x[t] - threshold
                t += 1
            if t - s > shortest and k < out.shape[1]:
                out[c, k, 0], out[c, k, 1], out[c, k, 2], out[c, k, 3] = s, top, t - 1, x[top]
                out[c, k, 4], out[c, k, 5] = (x[top] - x[s]) / max(top - s, 1), total
                k += 1
