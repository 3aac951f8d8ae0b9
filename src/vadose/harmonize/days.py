"""Hours to days: daily means, values at an overpass in local solar time, the best reference hour, and calendars of models."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError, TimeAxisError, VadoseInputError
from vadose.harmonize.match import in_time

HOURS = 24
CALENDARS = ("standard", "noleap", "360_day", "all_leap")


def daily_mean(data: xr.DataArray, *, minimum: float = 0.5, shift: float = 0.0) -> xr.Dataset:
    """Means of whole days (time at 00:00) from a regular sub-daily series, with `coverage` (share of the day's steps with values).

    `minimum` is the least coverage for a value. `shift` [h] moves the day: -6 makes days of six hours west of Greenwich begin at
    06:00 UTC. The step is the median one. Lazy in, lazy out. Raises TimeAxisError where steps are longer than a day.
    """
    cf.check_time(data)
    if not 0 < minimum <= 1:
        raise VadoseInputError(f"minimum must lie in (0, 1], got {minimum}")
    step = _step_hours(data)
    if step > HOURS + 1e-6:
        raise TimeAxisError(
            f"{data.name or 'data'}: steps of {step:g} h are longer than a day; there is no daily mean to take"
        )
    moved = data.assign_coords(time=data.indexes["time"] + np.timedelta64(round(shift * 3600), "s"))
    days = moved.resample(time="1D")
    coverage = (days.count() * (step / HOURS)).clip(max=1.0)
    name = str(data.name or "data")
    mean = days.mean().where(coverage >= minimum - 1e-9)
    mean.attrs = {**data.attrs, "cell_methods": "time: mean"}
    out = xr.Dataset(
        {name: mean, "coverage": coverage.assign_attrs(units="1", long_name="share of the day with values")}
    )
    return cf.provenance(cf.link(out, name, "coverage"), step=f"daily mean, coverage >= {minimum:g}")


def one_a_day(values: xr.DataArray) -> xr.DataArray:
    """One value a UTC day, stamped 00:00: the mean of the samples that the day has, however many; for hours use `daily_mean`.

    `values` (time, ...) at any times in any order. Days without a sample are not made. Lazy in, lazy out.
    """
    stamps = values.indexes["time"].floor("D")
    dated = values.assign_coords(time=stamps)
    return dated if stamps.is_unique else dated.groupby("time").mean()


def _step_hours(data):
    index = data.indexes["time"]
    if len(index) < 2:
        raise TimeAxisError("a single time has no step; give two or more")
    return float(np.median(np.asarray((index[1:] - index[:-1]) / np.timedelta64(1, "h"), dtype=float)))


def solar_hour(time: xr.DataArray, lon: xr.DataArray) -> xr.DataArray:
    """Local mean solar hour (0 to 24) of UTC times at longitudes [degrees east]."""
    utc = time.dt.hour + time.dt.minute / 60 + time.dt.second / 3600
    return ((utc + lon / 15.0) % 24).assign_attrs(units="h", long_name="local mean solar time")


def at_overpass(data: xr.DataArray, hour: float, *, window: float = 1.5) -> xr.DataArray:
    """The value of each local solar day nearest to `hour` (6 for a morning pass), within `window` hours; NaN where there is none.

    `data` (time, ...) is sub-daily in UTC with a coordinate `lon` [degrees east], of any shape. Returns (time, ...) with time at
    00:00 of the local day. Lazy in, lazy out. Raises DimensionError without `lon`.
    """
    cf.check_time(data)
    if "lon" not in data.coords:
        raise DimensionError("local solar time needs a coordinate 'lon' [degrees east]")
    if not 0 < window <= 12:
        raise VadoseInputError(f"window must lie in (0, 12] h, got {window}")
    utc = data.indexes["time"]
    start = utc[0].floor("D")
    since = np.asarray((utc - start) / np.timedelta64(1, "h"), dtype=float)
    lon = data["lon"]
    offset = ((lon.drop_vars([c for c in lon.coords if c not in lon.dims]) + 180) % 360 - 180) / 15.0
    last = int(np.floor((since[-1] + 12) / HOURS))
    first = int(np.floor((since[0] - 12) / HOURS))
    days = np.arange(first, last + 1)

    def kernel(values, hours_east):
        shape = np.broadcast_shapes(values.shape[:-1], np.shape(hours_east))
        flat = np.broadcast_to(values, (*shape, values.shape[-1])).reshape(-1, values.shape[-1])
        east = np.broadcast_to(hours_east, shape).ravel()
        out = np.full((flat.shape[0], days.size), np.nan)
        for k in range(flat.shape[0]):
            good = np.isfinite(flat[k])
            if not good.any():
                continue
            t, v = since[good], flat[k, good]
            want = days * HOURS + hour - east[k]
            right = np.clip(np.searchsorted(t, want), 1, max(t.size - 1, 1))
            right = np.minimum(right, t.size - 1)
            left = np.maximum(right - 1, 0)
            at = np.where(np.abs(t[right] - want) < np.abs(want - t[left]), right, left)
            out[k] = np.where(np.abs(t[at] - want) <= window + 1e-9, v[at], np.nan)
        return out.reshape(*shape, days.size)

    whole = data.chunk(time=-1) if data.chunks is not None else data
    out = xr.apply_ufunc(
        kernel, whole, offset, input_core_dims=[["time"], []], output_core_dims=[["time"]], exclude_dims={"time"},
        dask="parallelized", output_dtypes=[float], dask_gufunc_kwargs={"output_sizes": {"time": days.size}},
    )  # fmt: skip
    stamps = start + days.astype("timedelta64[D]")
    out = out.assign_coords(time=stamps, lon=lon).transpose(*data.dims).rename(data.name)
    out = out.isel(time=slice(int(days[0] < 0 and not _any(out, 0)), out.sizes["time"] - int(not _any(out, -1))))
    return out.assign_attrs({**data.attrs, "cell_methods": f"time: point (local solar hour {hour:g})"})


def _any(out, at):
    """Whether a first or last day may hold values; lazy data is not looked at."""
    return out.chunks is not None or bool(out.isel(time=at).notnull().any())


def best_hour(data: xr.DataArray, other: xr.DataArray, *, window: np.timedelta64 | None = None) -> int:
    """The hour of the day (0 to 23, UTC) at which daily samples of `data` and `other` (time, ...) meet most often.

    Each series gives, for every day, its sample nearest to the hour within `window` (default 12 h); the first of equals wins.
    """
    window = window if window is not None else np.timedelta64(12, "h")
    first = max(data.indexes["time"][0], other.indexes["time"][0]).floor("D")
    last = min(data.indexes["time"][-1], other.indexes["time"][-1]).floor("D")
    if last < first:
        raise TimeAxisError(
            f"the series do not overlap: one begins on {first:%Y-%m-%d}, the other ends on {last:%Y-%m-%d}"
        )
    days = np.arange(first.to_datetime64(), last.to_datetime64() + np.timedelta64(1, "D"), np.timedelta64(1, "D"))
    joint = []
    for hour in range(HOURS):
        at = xr.DataArray(days + np.timedelta64(hour, "h"), dims="time")
        both = [in_time(series, at, window=window, method="unique_nearest").notnull() for series in (data, other)]
        joint.append(int((both[0] & both[1]).sum()))
    return int(np.argmax(joint))


def to_standard_calendar(data: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    """A model's `noleap`, `360_day` ... axis as datetime64 in the standard calendar; standard axes pass through.

    Dates that exist keep their values. 360-day years are stretched evenly over the real year; 29 February of a model
    without it is missing, not invented. Lazy in, lazy out.
    """
    calendar = getattr(data["time"].dt, "calendar", "standard")
    if calendar in ("standard", "gregorian", "proleptic_gregorian") and np.issubdtype(
        data["time"].dtype, np.datetime64
    ):
        return data
    align: Literal["year", "date"] = "year" if calendar == "360_day" else "date"
    out = data.convert_calendar("standard", align_on=align, use_cftime=False)
    return cf.provenance(out, step=f"calendar {calendar} -> standard (aligned on {align})")
