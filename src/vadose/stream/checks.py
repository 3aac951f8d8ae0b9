"""Checks of a logger's values: limits, service log, distance from the median, stuck sensors, gaps. Arrays (time, sensor)."""

from __future__ import annotations

import numpy as np

from vadose.errors import VadoseInputError

#: Values a group must have before its median says anything.
MAD_MINIMUM = 100
DAY = np.timedelta64(1, "D")


def groups(time: np.ndarray, grouping: str) -> np.ndarray:
    """Number of the group of each time: the nearest start of a "month" or of a "week" (weeks begin on Sunday), or the "day".

    Times are rounded to the nearest start, not cut down to it: a group reaches from the middle of one month to the middle of
    the next (COMPASS-FME, doi:10.15485/2439400). Halfway goes to the later start.
    """
    if grouping == "day":
        return (time + np.timedelta64(12, "h")).astype("datetime64[D]").astype(np.int64)
    if grouping == "week":
        # 1970-01-04 was a Sunday
        seconds = time.astype("datetime64[s]").astype(np.int64) - 3 * 86400
        return (seconds + 7 * 43200) // (7 * 86400)
    months = time.astype("datetime64[M]")
    start = months.astype("datetime64[s]").astype(np.int64)
    stop = (months + 1).astype("datetime64[s]").astype(np.int64)
    later = 2 * time.astype("datetime64[s]").astype(np.int64) >= start + stop
    return months.astype(np.int64) + later


def medians(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and number of valid values of each column, missing values left out."""
    ordered = np.sort(values, axis=0)  # missing values go last
    n = np.sum(~np.isnan(values), axis=0)
    column = np.arange(values.shape[1])
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, max(values.shape[0] - 1, 0))
    return np.where(n > 0, 0.5 * (ordered[low, column] + ordered[high, column]), np.nan), n


def far_from_median(
    values: np.ndarray, group: np.ndarray, *, threshold: float = 8.0, minimum: int = MAD_MINIMUM
) -> np.ndarray:
    """Where |x - median| > threshold x MAD within a group, MAD = 1.4826 median |x - median|; values (time, sensor).

    Groups of fewer than `minimum` valid values, and those whose MAD is zero, flag nothing.
    """
    out = np.zeros(values.shape, dtype=bool, order="F")
    edges = np.flatnonzero(np.diff(group)) + 1 if group.size else np.array([], int)
    if group.size and (np.diff(group) < 0).any():
        raise VadoseInputError("times must be sorted before groups of them are compared")
    for start, stop in zip(np.r_[0, edges], np.r_[edges, group.size]):
        part = values[start:stop]
        if part.shape[0] < minimum:
            continue
        middle, n = medians(part)
        distance = np.abs(part - middle)
        spread = 1.4826 * medians(distance)[0]
        limit = np.where((n >= minimum) & (spread > 0), threshold * spread, np.inf)
        with np.errstate(invalid="ignore"):
            out[start:stop] = distance > limit
    return out


def outside(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Where a value is below `low` or above `high` of its sensor; limits that are missing never flag."""
    with np.errstate(invalid="ignore"):
        return (values < low) | (values > high)


def stuck(time: np.ndarray, values: np.ndarray, *, hours: float = 24.0) -> np.ndarray:
    """Where a value belongs to a run of identical values that lasts at least `hours`; missing values end a run."""
    out = np.zeros(values.shape, dtype=bool, order="F")
    if values.shape[0] < 2:
        return out
    n = values.shape[0]
    limit = np.timedelta64(int(hours * 3600), "s")
    maybe = np.ones(values.shape[1], bool)
    step = np.diff(time)
    if (step[0] == step).all():
        need = int(np.ceil(limit / step[0]))
        if n <= need:
            return out
        if need >= 4:
            # A run that is long enough holds four probes in a row: most sensors never stand still and are done at once.
            same = (probe := values[:: need // 4])[1:] == probe[:-1]
            maybe = (same[2:] & same[1:-1] & same[:-2]).any(axis=0)
    for column in np.flatnonzero(maybe):
        change = values[1:, column] != values[:-1, column]  # NaN differs from everything, itself too
        edges = np.r_[0, np.flatnonzero(change) + 1, n]
        starts, stops = edges[:-1], edges[1:]
        long = (time[stops - 1] - time[starts] >= limit) & (stops - starts > 1)
        for a, b in zip(starts[long], stops[long]):
            out[a:b, column] = True
    return out


def after_gap(time: np.ndarray, values: np.ndarray, *, longest: np.timedelta64 = DAY) -> np.ndarray:
    """Valid values of a sensor with no other valid one in the `longest` before them (the first of a record among them)."""
    out = np.zeros(values.shape, dtype=bool, order="F")
    if not time.size:
        return out
    valid = ~np.isnan(values)
    if valid.all() and (np.diff(time) <= longest).all():
        out[0] = True
        return out
    for column in range(values.shape[1]):
        at = np.flatnonzero(valid[:, column])
        if at.size:
            out[at[0], column] = True
            out[at[1:][np.diff(time[at]) > longest], column] = True
    return out


def clock_set_back(time: np.ndarray) -> np.ndarray:
    """Rows of one file (in file order) whose time another stretch of the file claims as well, because the clock was set back.

    Which side is wrong cannot be known from the file, so both are marked; nothing is dropped.
    """
    out = np.zeros(time.shape, dtype=bool)
    if time.size < 2:
        return out
    highest = np.maximum.accumulate(time)
    back = np.flatnonzero(time[1:] < highest[:-1]) + 1
    if not back.size:
        return out
    out[back] = True  # rows that run behind the latest time seen
    lowest_after = np.minimum.accumulate(time[::-1])[::-1]
    out[:-1] |= time[:-1] > lowest_after[1:]
    return out
