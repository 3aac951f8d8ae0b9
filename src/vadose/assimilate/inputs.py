"""What a filter is given, brought to the places and days of the weather: the compiled loops read everything by position.

An observation that lies upside down, or a day late, would be assimilated without a word; here it is turned, or named.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import DimensionError, TimeAxisError, VadoseInputError

CLOSE = 1e-3  # of a cell: coordinates that differ by less are the same, computed twice
DEEPEST = 10.0  # m
DAY = pd.Timedelta(1, "D")


def placed(array: xr.DataArray, like: xr.DataArray, what: str) -> xr.DataArray:
    """`array` at the places of `like` in their order, `time` and `depth` left alone; a place that it lacks is an error."""
    for dim in map(str, array.dims):
        if dim in ("time", "depth"):
            continue
        if dim not in like.dims:
            others = ", ".join(str(d) for d in like.dims) or "none"
            raise DimensionError(
                f"{what} has the dimension {dim!r}, the weather has {others}; broadcast the weather to it"
            )
        if dim in array.indexes and dim in like.indexes:
            at = _found(array.indexes[dim], like.indexes[dim])
            if (at < 0).any():
                raise DimensionError(
                    f"{what} does not hold {dim} = {like.indexes[dim][int(np.argmin(at))]} of the weather; regrid it first (vadose.harmonize)"
                )
            if at.size != array.sizes[dim] or (np.diff(at) != 1).any():
                array = array.isel({dim: at})
            array = array.assign_coords({dim: like[dim]})
        elif array.sizes[dim] != like.sizes[dim]:
            raise DimensionError(f"{what} has {array.sizes[dim]} places along {dim!r}, the weather {like.sizes[dim]}")
    return array


def _found(have: pd.Index, want: pd.Index) -> np.ndarray:
    """Positions in `have` of each of `want`, -1 where there is none."""
    if not have.is_unique:
        raise DimensionError(f"coordinate {have.name!r} holds a place more than once")
    numbers = all(i.dtype.kind in "fiu" for i in (have, want))
    if have.equals(want) or not numbers or not (have.is_monotonic_increasing or have.is_monotonic_decreasing):
        return have.get_indexer(want)
    steps = np.abs(np.diff(np.asarray(want, float)))
    return have.get_indexer(want, method="nearest", tolerance=CLOSE * steps.min() if steps.size else 1e-6)


def dated(array: xr.DataArray, time: xr.DataArray, what: str, *, whole: bool = False) -> xr.DataArray:
    """`array` on the days `time`, NaN on days it does not have; with `whole` it must have all of them.

    A value between the first and the last day that is of none of them (of another hour) would be lost, so it is an error.
    """
    if "time" not in array.dims:
        return array
    have, want = array.indexes["time"], time.indexes["time"]
    if have.equals(want):
        return array
    if not have.is_unique:
        raise TimeAxisError(f"{what} holds {have[have.duplicated()][0]} more than once; average or drop duplicates")
    known = have.isin(want)
    try:
        lost = ~known & (have >= want[0]) & (have < want[-1] + DAY)
    except TypeError as error:
        raise TimeAxisError(
            f"{what} has times of another kind ({have.dtype}) than the weather ({want.dtype})"
        ) from error
    if lost.any():
        raise TimeAxisError(
            f"{what} of {have[lost][0]} is of no day of the weather, whose days are at {want[0]} and so on; give both the same hour, "
            "for example array.assign_coords(time=array.time.dt.floor('D'))"
        )
    if have.size and not known.any():
        raise TimeAxisError(
            f"{what} ({have[0]} to {have[-1]}) and weather ({want[0]} to {want[-1]}) have no day in common"
        )
    if whole and not want.isin(have).all():
        raise TimeAxisError(f"{what} lacks {want[~want.isin(have)][0]}; it must cover every day of the weather")
    return array.reindex(time=time)


def daily(array: xr.DataArray, what: str) -> None:
    """Raise where `time` does not go on by one day each, 29 February left out in calendars without it."""
    index = array.indexes["time"]
    if len(index) < 2:
        return
    steps = np.asarray(index[1:] - index[:-1])
    leap = (
        np.array([t.month == 2 and t.day == 28 for t in index[:-1]])
        if hasattr(index[0], "month")
        else np.zeros(steps.size, bool)
    )
    wrong = (steps != DAY) & ~((steps == 2 * DAY) & leap)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise TimeAxisError(
            f"{what} must be daily and gap-free, but {index[at + 1]} follows {index[at]}; see vadose.harmonize for daily sums"
        )


def numbers(
    *, members: Any, lag: Any, operator: Any, initial: Any, initial_sd: Any, parameter_sd: Any, jitter: Any, depths: Any
) -> None:
    """Raise where an option is not what its place expects: compiled code would read beyond its end, or run on."""
    if not _whole(members) or members < 2:
        raise VadoseInputError(f"an ensemble needs a whole number of at least 2 members, got {members!r}")
    if not _whole(lag) or lag < 0:
        raise VadoseInputError(f"lag is a whole number of days, 0 to filter; got {lag!r}")
    if np.shape(operator) != (2, 2) or not np.isfinite(np.asarray(operator, float)).all():
        raise DimensionError(
            f"operator says what two observations see of two layers, ((1, 0), (0, 1)); got {operator!r}"
        )
    if np.shape(parameter_sd) != (3,) or not (np.asarray(parameter_sd, float) >= 0).all():
        raise VadoseInputError(
            f"parameter_sd are three numbers of 0 or more (field capacity, log10 of conductivity, infiltration shape); got {parameter_sd!r}"
        )
    if np.shape(depths) != (2,) or not all(0 < d <= DEEPEST for d in depths):
        raise VadoseInputError(f"depths are the thicknesses of the two layers in m, (0.05, 0.95); got {depths!r}")
    for name, value in (("initial_sd", initial_sd), ("jitter", jitter)):
        if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
            raise VadoseInputError(f"{name} must be a number of 0 m3 m-3 or more, got {value!r}")
    if isinstance(initial, xr.DataArray):
        if initial.sizes.get("depth") != 2:
            raise DimensionError(f"initial needs the dimension 'depth' of length 2, it has {dict(initial.sizes)}")
    elif initial is not None and len(initial) != 2:
        raise VadoseInputError(f"initial is the soil moisture of both layers, (0.25, 0.25); got {initial!r}")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
