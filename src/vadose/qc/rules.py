"""The hourly rules of the International Soil Moisture Network on one series: rises without rain, spikes, breaks, plateaus.

Values come in whole millionths of m3 m-3 (`scaled`), so that differences, ratios of curvatures and "equal" are exact and do
not depend on whether a file held single or double precision. Thresholds are those of Dorigo et al. 2013,
doi:10.2136/vzj2012.0097, in percent by volume, with the refinements of the network's operational code.
"""

from __future__ import annotations

import numpy as np
from numba import njit

PERCENT = 1e4  # scaled units in one percent by volume
RAIN = 0.2  # mm in 24 h: less is no rain for a sensor at the surface
SURFACE = 0.10  # m: sensors at this depth and below are not asked for rain


def scaled(moisture: np.ndarray) -> np.ndarray:
    """Soil moisture [m3 m-3] in whole millionths, NaN kept."""
    return np.rint(np.asarray(moisture, dtype=float) * 1e6)


def minimum_rain(depth: float) -> float:
    """Least rain in 24 h [mm] that can wet a sensor at `depth` [m]: half of 5 % of the column above it, 0.2 mm at the surface."""
    return RAIN if not depth > 0 else depth * 0.05 * 0.5 * 1000.0


@njit(cache=True, nogil=True)
def derivatives(x):
    """First and second derivative per hour: a parabola through three neighbors (Savitzky-Golay, window 3, order 2)."""
    n = x.size
    first, second = np.empty(n), np.empty(n)
    for t in range(n):
        before, after = x[max(t - 1, 0)], x[min(t + 1, n - 1)]
        first[t] = 0.5 * (after - before)
        second[t] = after - 2.0 * x[t] + before
    return first, second


@njit(cache=True, nogil=True)
def _spread(x, start, stop, skip):
    """Count, mean and sample variance of x[start:stop] without position `skip`; missing values are left out."""
    n, mean, total = 0, 0.0, 0.0
    for k in range(start, stop):
        if k != skip and not np.isnan(x[k]):
            n += 1
            mean += x[k]
    if n == 0:
        return 0, np.nan, np.nan
    mean /= n
    for k in range(start, stop):
        if k != skip and not np.isnan(x[k]):
            total += (x[k] - mean) ** 2
    return n, mean, total / (n - 1) if n > 1 else np.nan


@njit(cache=True, nogil=True)
def _close(a, b):
    return abs(a - b) <= 1e-8 * 1e4 + 1e-5 * abs(b)


@njit(cache=True, nogil=True)
def _rain_in_a_day(rain, t, bridged):
    """Rain of the 24 samples up to t [mm]; NaN where none is known. `bridged`: of the last 24 known samples, if t is known."""
    total, n = 0.0, 0
    if bridged:
        if np.isnan(rain[t]):
            return np.nan
        k = t
        while k >= 0 and n < 24:
            if not np.isnan(rain[k]):
                total += rain[k]
                n += 1
            k -= 1
        return total
    for k in range(max(0, t - 23), t + 1):
        if not np.isnan(rain[k]):
            total += rain[k]
            n += 1
    return total if n > 0 else np.nan


@njit(cache=True, nogil=True)
def rises_without_rain(x, rain, least, rounded, bridged):
    """D04, D05: up in the last hour, up in 24 h by more than two standard deviations of those hours, and hardly any rain."""
    out = np.zeros(x.size, np.bool_)
    for t in range(24, x.size):
        rise = x[t] - x[t - 24]
        if not (x[t] > x[t - 1] and rise > 0):
            continue
        _, _, variance = _spread(x, t - 24, t + 1, -1)
        twice = 2.0 * np.sqrt(variance)
        if not rise > twice or _close(rise, twice):
            continue
        fallen = _rain_in_a_day(rain, t, bridged)
        if rounded:
            fallen = np.rint(fallen * 10.0) / 10.0
        out[t] = fallen < least - 1e-9  # a sum of 1.25 is 1.25, however it was added up
    return out


@njit(cache=True, nogil=True)
def _peak(x, t):
    """1: x[t] lies above or below both neighbors; 2: x[t] and x[t + 1] do together; else 0."""
    if t < 1 or t + 1 >= x.size:
        return 0
    a, b, c = x[t - 1], x[t], x[t + 1]
    if (a < b and b > c) or (a > b and b < c):
        return 1
    if t + 2 < x.size and b == c and ((a < b and c > x[t + 2]) or (a > b and c < x[t + 2])):
        return 2
    return 0


@njit(cache=True, nogil=True)
def spikes(x, second):
    """D06: a step of 15 % up or down, undone by as much an hour or two later, in a day that is quiet otherwise."""
    n = x.size
    out = np.zeros(n, np.bool_)
    for t in range(12, n - 12):
        kind = _peak(x, t)
        if kind == 0:
            continue
        if x[t - 1] == 0.0:
            ratio = np.inf if x[t] != 0.0 else np.nan
        else:
            ratio = np.rint(x[t] / x[t - 1] * 1e3) / 1e3
        if not (ratio > 1.15 or ratio < 0.85) or second[t + 1] == 0.0:
            continue
        balance = np.rint(abs(second[t - 1] / second[t + 1]) * 1e3) / 1e3
        if not 0.8 < balance < 1.2:
            continue
        count, mean, variance = _spread(x, t - 12, t + 13, t)
        if count < 24 or mean == 0.0 or not abs(variance) / mean / 1e4 < 1.0:
            continue
        out[t] = True
        if kind == 2:
            out[t + 1] = True
    return out


@njit(cache=True, nogil=True)
def breaks(x, first, second):
    """D07 and D08: a drop, a jump: a large step that the curvature shows as one clean edge. Also drops of more than 5 % to zero."""
    n = x.size
    drop, jump = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for t in range(1, n):
        step = x[t] - x[t - 1]
        if x[t] == 0.0:
            drop[t] = abs(step) > 5e4
            continue
        if not (abs(step / x[t]) > 0.1 and abs(step) > 1e4) or second[t] == 0.0 or t + 2 >= n:
            continue
        known, total = 0, 0.0
        for k in range(max(0, t - 12), min(n, t + 13)):
            if not np.isnan(first[k]):
                known += 1
                total += first[k]
        if known < 4:
            continue
        usual = abs(total / known * 10.0)
        if not abs(first[t]) > usual or _close(abs(first[t]), usual):
            continue
        if np.rint(abs(second[t - 1] / second[t]) * 10.0) != 10.0:
            continue
        after = second[t + 2]
        if np.isnan(after) or not (after == 0.0 or abs(second[t] / after) > 10.0):
            continue
        drop[t], jump[t] = first[t] < 0.0, first[t] > 0.0
    return drop, jump


@njit(cache=True, nogil=True)
def _window_variance(x, width, rounded):
    """Variance [percent squared] of x[t:t + width], NaN where the window is not complete; with `rounded`, relative to the mean."""
    n = x.size
    out = np.full(n, np.nan)
    for t in range(n - width + 1):
        count, mean, variance = _spread(x, t, t + width, -1)
        if count < width:
            continue
        if not rounded:
            out[t] = variance / 1e8
            continue
        level = np.rint(mean / 1e4 * 1e4) / 1e4
        change = np.rint(variance / 1e8 * 1e4) / 1e4
        if level != 0.0:
            out[t] = change / level
        elif change > 0.0:
            out[t] = np.inf
    return out


@njit(cache=True, nogil=True)
def low_plateau(x, drop, until_rise):
    """D09: constant for 13 hours or more after a drop, for as long as the relative variance of the hours ahead stays small.

    `until_rise` ends it as the network's code does: only where that variance rises by 0.001 from one hour to the next, which a
    smooth series may not do for weeks.
    """
    n = x.size
    relative = _window_variance(x, 13, True)
    out = np.zeros(n, np.bool_)
    inside, last = False, -1
    for t in range(n):
        if np.isnan(relative[t]) and x[t] == 0.0:
            relative[t] = 0.0
        if drop[t] and relative[t] < 0.001:
            inside = True
        elif until_rise:
            if t > 0 and relative[t] - relative[t - 1] >= 0.001:
                inside = False
        elif not relative[t] < 0.001:
            inside = False
            if np.isnan(x[t]):
                last = -1
        if inside:
            last = t
        out[t] = last >= 0 and t - last <= 12 and t >= 12
    return out


@njit(cache=True, nogil=True)
def _extreme(first, start, stop, sign):
    best = np.nan
    for k in range(max(0, start), min(first.size, stop)):
        v = sign * first[k]
        if not np.isnan(v) and not v <= best:
            best = v
    return sign * best


@njit(cache=True, nogil=True)
def saturated_plateau(x, first, highest):
    """D10: 12 hours or more without change, between a rise and a fall, near the highest level known by then (`highest`)."""
    n = x.size
    out = np.zeros(n, np.bool_)
    variance = _window_variance(x, 12, False)
    t = 0
    while t < n:
        if not variance[t] <= 0.05:
            t += 1
            continue
        start = t
        while t < n and variance[t] <= 0.05:
            t += 1
        _one_plateau(x, first, highest, start, t, out)
    return out


@njit(cache=True, nogil=True)
def _one_plateau(x, first, highest, start, stop, out):
    """The low-variance windows that begin in start:stop; marks hours from the rise to the fall if the level is high enough."""
    n = x.size
    rise, fall = np.nan, np.nan
    for t in range(start, min(stop, n - 12)):
        rise = _extreme(first, t - 12, t + 13, 1.0)
        if not np.isnan(rise):
            break
    for t in range(min(stop, n - 24) - 1, start - 1, -1):
        fall = _extreme(first, t, t + 25, -1.0)
        if not np.isnan(fall):
            break
    rise, fall = np.rint(rise / 10.0), np.rint(fall / 10.0)  # to 0.001 percent per hour
    if not (rise >= 250.0 and fall < 0.0):
        return
    low, high = start, min(stop + 11, n)
    begin, end = low, high
    for t in range(low, high):
        if np.rint(first[t] / 10.0) == rise:
            begin = t
            break
    for t in range(low, high):
        if np.rint(first[t] / 10.0) == fall:
            end = t + 1
            break
    count, mean, limit = 0, 0.0, 0.0
    for t in range(begin, end):
        if not np.isnan(x[t]):
            count += 1
            mean += x[t]
            limit += highest[t]
    if count > 0 and mean > 0.95 * limit:
        for t in range(begin, end):
            out[t] = not np.isnan(x[t])


@njit(cache=True, nogil=True)
def highest_so_far(x, hours):
    """Highest value below 60 % in the `hours` up to each one (0: of the whole series)."""
    n = x.size
    out = np.full(n, np.nan)
    if hours <= 0:
        top = np.nan
        for t in range(n):
            if x[t] < 6e5 and not x[t] <= top:
                top = x[t]
        out[:] = top
        return out
    queue = np.empty(n, np.int64)  # positions of falling values: the first is the highest in the window
    head, tail = 0, 0
    for t in range(n):
        if x[t] < 6e5:
            while tail > head and x[queue[tail - 1]] <= x[t]:
                tail -= 1
            queue[tail] = t
            tail += 1
        while tail > head and queue[head] <= t - hours:
            head += 1
        if tail > head:
            out[t] = x[queue[head]]
    return out
