"""Days, overpasses and calendars, on series where the answer can be read off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.errors import DimensionError, TimeAxisError
from vadose.harmonize import at_overpass, best_hour, daily_mean, solar_hour, to_standard_calendar
from vadose.harmonize.days import one_a_day


def hourly(n=96, start="2017-06-01", values=None, **coords):
    values = np.arange(n, dtype=float) if values is None else values
    return xr.DataArray(
        values, dims="time", coords={"time": pd.date_range(start, periods=n, freq="h"), **coords}, name="soil_moisture", attrs={"units": "m3 m-3"}
    )  # fmt: skip


def test_daily_means_need_enough_of_the_day():
    x = hourly(48)
    x[:13] = np.nan  # 11 of 24 hours are left: below one half
    out = daily_mean(x)
    assert np.isnan(out.soil_moisture[0])
    assert float(out.soil_moisture[1]) == np.arange(24, 48).mean()
    np.testing.assert_allclose(out.coverage, [11 / 24, 1.0])
    assert float(daily_mean(x, minimum=0.4).soil_moisture[0]) == np.arange(13, 24).mean()
    assert out.soil_moisture.attrs["cell_methods"] == "time: mean"
    west = daily_mean(hourly(48), shift=-6)  # local days begin at 06 UTC
    assert float(west.soil_moisture[1]) == np.arange(6, 30).mean()
    with pytest.raises(TimeAxisError, match="longer than a day"):
        daily_mean(xr.DataArray(np.zeros(3), dims="time", coords={"time": pd.date_range("2017", periods=3, freq="5D")}))


def test_overpass_in_local_solar_time():
    utc = hourly()
    assert at_overpass(utc.assign_coords(lon=0.0), 6).values.tolist() == [6, 30, 54, 78]
    assert at_overpass(utc.assign_coords(lon=-90.0), 6).values.tolist() == [12, 36, 60, 84]  # 6 h behind
    east = at_overpass(utc.assign_coords(lon=150.0), 6)  # 10 h ahead: 06 local is 20 UTC of the day before
    assert east.dropna("time").values.tolist() == [20, 44, 68, 92]
    assert pd.Timestamp(east.dropna("time").time.values[0]) == pd.Timestamp("2017-06-02")
    np.testing.assert_allclose(solar_hour(utc.time[:2], xr.DataArray(-90.0)), [18.0, 19.0])


def test_overpass_takes_what_is_near_and_nothing_else():
    x = hourly().assign_coords(lon=0.0)
    x[[5, 6, 7]] = np.nan
    assert np.isnan(at_overpass(x, 6)[0])
    assert float(at_overpass(x, 6, window=2)[0]) in (4.0, 8.0)
    two = xr.concat([hourly(), hourly() + 1000], "station").assign_coords(lon=("station", [0.0, -90.0]))
    out = at_overpass(two, 6)
    assert out.dims == ("station", "time")
    np.testing.assert_array_equal(out, [[6, 30, 54, 78], [1012, 1036, 1060, 1084]])
    lazy = at_overpass(two.chunk(station=1, time=24), 6)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.compute().dropna("time", how="all"), out)
    with pytest.raises(DimensionError, match="lon"):
        at_overpass(hourly(), 6)


def test_the_hour_at_which_two_series_meet():
    days = pd.date_range("2017-06-01", periods=10)
    a = xr.DataArray(np.ones(10), dims="time", coords={"time": days + pd.Timedelta("13h")})
    b = xr.DataArray(np.ones(10), dims="time", coords={"time": days + pd.Timedelta("15h")})
    assert best_hour(a, b, window=np.timedelta64(1, "h")) == 14
    with pytest.raises(TimeAxisError, match="overlap"):
        best_hour(a, b.assign_coords(time=b.indexes["time"] + pd.Timedelta("400D")))


@pytest.mark.parametrize(("calendar", "days"), [("noleap", 365), ("360_day", 360)])
def test_calendars_of_models(calendar, days):
    time = xr.date_range("2016-01-01", periods=2 * days, calendar=calendar, use_cftime=True)
    x = xr.DataArray(np.arange(2.0 * days), dims="time", coords={"time": time}, name="mrsos")
    out = to_standard_calendar(x)
    assert np.issubdtype(out.time.dtype, np.datetime64)
    assert out.indexes["time"].is_monotonic_increasing
    assert out.indexes["time"].is_unique
    assert pd.Timestamp(out.time.values[-1]).year == 2017
    if calendar == "noleap":
        assert pd.Timestamp("2016-02-29") not in out.indexes["time"]
        assert float(out.sel(time="2016-03-01")) == 59.0
    assert out.dropna("time").size >= 2 * days - 2
    same = hourly()
    assert to_standard_calendar(same) is same


def test_one_value_a_day_is_the_mean_of_what_the_day_has():
    x = hourly(72).isel(time=[2, 20, 30, 71])  # two samples on the first day, one on each of the others
    out = one_a_day(x)
    np.testing.assert_array_equal(out, [11.0, 30.0, 71.0])
    np.testing.assert_array_equal(out.time, pd.date_range("2017-06-01", periods=3))
    xr.testing.assert_identical(one_a_day(x.isel(time=[3, 1, 0, 2])), out)
    np.testing.assert_array_equal(one_a_day(x.isel(time=[0, 2])), [2.0, 30.0])
    assert one_a_day(x.chunk(time=2)).chunks is not None
