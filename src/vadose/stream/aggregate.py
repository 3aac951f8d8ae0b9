"""Means over steps of time, a complete time axis, short gaps filled and said so, and the mean annual cycle beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vadose.stream.checks import medians
from vadose.stream.flags import DROPPED

STEPS = {"15min": np.timedelta64(15, "m"), "hourly": np.timedelta64(60, "m"), "daily": np.timedelta64(1440, "m")}


@dataclass(frozen=True)
class Means:
    """Means on a complete axis: how many values each is of, how many were left out, and where it was interpolated."""

    time: np.ndarray
    value: np.ndarray
    n_avg: np.ndarray
    n_drop: np.ndarray
    interpolated: np.ndarray


def bin_mean(
    time: np.ndarray,
    value: np.ndarray,
    dropped: np.ndarray,
    *,
    step: np.timedelta64,
    start: np.datetime64 | None = None,
    stop: np.datetime64 | None = None,
) -> Means:
    """Mean of the values that are neither missing nor dropped, by the nearest step (halfway goes to the later one).

    The axis is complete from `start` to `stop` (default: first to last step), so missing steps are there with NaN and N 0.
    A missing value counts in neither number.
    """
    width = step.astype("timedelta64[us]").astype(np.int64)
    at = (time.astype("datetime64[us]").astype(np.int64) + width // 2) // width
    first = int(at.min()) if start is None else int(start.astype("datetime64[us]").astype(np.int64) // width)
    last = int(at.max()) if stop is None else int(stop.astype("datetime64[us]").astype(np.int64) // width)
    size = last - first + 1
    inside = (at >= first) & (at <= last) & ~np.isnan(value)
    slot, kept = at[inside] - first, ~dropped[inside]
    n_avg = np.bincount(slot[kept], minlength=size)
    total = np.bincount(slot[kept], weights=value[inside][kept], minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n_avg > 0, total / n_avg, np.nan)
    axis = ((first + np.arange(size)) * width).astype("datetime64[us]")
    return Means(axis, mean, n_avg, np.bincount(slot[~kept], minlength=size), np.zeros(size, bool))


def fill_short_gaps(means: Means, max_gap: np.timedelta64) -> Means:
    """Interpolate linearly over gaps of at most `max_gap` (missing steps x step); ends are never extrapolated."""
    if means.time.size < 3:
        return means
    step = means.time[1] - means.time[0]
    missing = np.isnan(means.value)
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False].astype(np.int8)))
    filled, marks = means.value.copy(), np.zeros(missing.shape, bool)
    for a, b in zip(edges[::2], edges[1::2]):
        if a > 0 and b < missing.size and (b - a) * step <= max_gap:
            filled[a:b] = np.interp(np.arange(a, b), [a - 1, b], [means.value[a - 1], means.value[b]])
            marks[a:b] = True
    return Means(means.time, filled, means.n_avg, means.n_drop, marks)


def annual_cycle(time: np.ndarray, value: np.ndarray, *, window: int = 7) -> np.ndarray:
    """Median of the same time of day within `window` days of the same day of the year, over all years; kept apart from the data.

    `time` is a regular axis of whole minutes, as `bin_mean` gives it. NaN where no year has a value.
    """
    dates, row = np.unique(time.astype("datetime64[D]"), return_inverse=True)
    slots, column = np.unique(time.astype("datetime64[m]") - dates[row], return_inverse=True)
    days = pd.DatetimeIndex(dates).day_of_year.to_numpy()
    by_date = np.full((dates.size, slots.size), np.nan)
    by_date[row, column] = value
    cycle = np.full((367, slots.size), np.nan)
    for day in np.unique(days):
        distance = np.abs(days - day)
        cycle[day] = medians(by_date[np.minimum(distance, 366 - distance) <= window])[0]
    return cycle[days[row], column]


def aggregate(
    rows: pd.DataFrame, *, step: str = "15min", max_gap: dict[str, np.timedelta64] | None = None, start=None, stop=None
) -> pd.DataFrame:
    """Rows of the table -> means by site, plot, sensor, variable and step: value, n_avg, n_drop, interpolated.

    `max_gap` by variable (see Design.variables) lets short gaps be filled.
    """
    out = []
    for keys, group in rows.groupby(["site", "plot", "sensor", "variable"], sort=True, observed=True):
        time = (
            group["time"].dt.tz_localize(None).to_numpy()
            if group["time"].dt.tz is not None
            else group["time"].to_numpy()
        )
        dropped = (group["flag"].to_numpy() & DROPPED) != 0
        means = bin_mean(time, group["value"].to_numpy(float), dropped, step=STEPS[step], start=start, stop=stop)
        if max_gap and (gap := max_gap.get(str(keys[3]))) is not None:
            means = fill_short_gaps(means, gap)
        out.append(
            pd.DataFrame(
                dict(zip(("site", "plot", "sensor", "variable"), keys))
                | {
                    "time": means.time,
                    "value": means.value,
                    "n_avg": means.n_avg,
                    "n_drop": means.n_drop,
                    "interpolated": means.interpolated,
                }
            )
        )
    columns = ["site", "plot", "sensor", "variable", "time", "value", "n_avg", "n_drop", "interpolated"]
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame(columns=columns)


def plot_means(means: pd.DataFrame) -> pd.DataFrame:
    """Mean over the sensors of a plot at each step, their spread (standard deviation) and number."""
    valid = means.dropna(subset=["value"])
    grouped = valid.groupby(["site", "plot", "variable", "time"], sort=True, observed=True)["value"]
    return grouped.agg(value="mean", spread="std", sensors="size").reset_index()
