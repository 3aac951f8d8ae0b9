"""What a filter is given: turned to the places and days of the weather, or named; never read at another place, never past its end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import assimilate
from vadose.assimilate import Perturbation, inflation, twin
from vadose.assimilate.localization import Neighbors
from vadose.errors import DimensionError, TimeAxisError, VadoseInputError

DAY, HOURS = np.timedelta64(1, "D"), np.timedelta64(17, "h")


def gridded(array):
    place = {"time": array.time, "lat": [40.0, 40.1, 40.2], "lon": [-90.0, -89.9, -89.8, -89.7]}
    values = array.values.reshape(*array.shape[:-1], 3, 4)
    return xr.DataArray(values, dims=(*array.dims[:-1], "lat", "lon"), attrs=array.attrs, coords=place)


@pytest.fixture(scope="module")
def world():
    """Weather of 90 days on 3 x 4 cells, the surface seen every third day."""
    forcing = twin.weather(12, years=1, rng=5).isel(time=slice(0, 90))
    seen = twin.observe(gridded(twin.truth(forcing)), layers=1).isel(depth=0, drop=True)
    return gridded(forcing.precipitation_flux), gridded(forcing.potential_evaporation_flux), seen


def filtered(world, seen=None, error=0.03, **options):
    rain, demand, given = world
    return assimilate.run(
        rain,
        demand,
        given if seen is None else seen,
        error,
        **{"members": 8, "initial": (0.25, 0.25), **twin.LOAM, **options},
    )


def turned(array):
    return array.isel(lat=slice(None, None, -1), lon=slice(None, None, -1))


def test_fields_that_lie_another_way_are_turned_to_the_weather(world):
    rain, demand, seen = world
    soil = xr.DataArray(
        np.linspace(0.25, 0.31, 12).reshape(3, 4), dims=("lat", "lon"), coords={d: rain[d] for d in ("lat", "lon")}
    )
    soil.attrs["units"] = "m3 m-3"
    start = xr.concat([soil - 0.02, soil], "depth")
    frozen = (rain.lat > 40.1).broadcast_like(rain) & (rain.time.dt.day == 7)
    error = xr.full_like(seen, 0.02) + 0.01 * (seen.lat - 40.0)
    want = filtered(world, error=error, field_capacity=soil, initial=start, frozen=frozen)
    got = assimilate.run(
        rain, turned(demand), turned(seen), turned(error), members=8, initial=turned(start), frozen=turned(frozen),
        **{**twin.LOAM, "field_capacity": turned(soil)},
    )  # fmt: skip
    xr.testing.assert_identical(got, want)
    wider = seen.pad(lat=(2, 1)).assign_coords(lat=np.arange(39.8, 40.35, 0.1))
    xr.testing.assert_identical(filtered(world, wider, error=0.03), filtered(world))


def test_observations_come_by_their_date(world):
    late = world[2].assign_coords(time=world[2].time + DAY)
    out = filtered(world, late)
    there = out.innovation.isel(observation=0, lat=0, lon=0).notnull().values
    assert np.flatnonzero(there)[:3].tolist() == [
        1,
        4,
        7,
    ]  # a day later than they were; the last lies beyond the weather
    few = world[2].isel(time=[9, 3])  # in any order
    there = filtered(world, few).innovation.isel(observation=0, lat=0, lon=0).notnull().values
    assert np.flatnonzero(there).tolist() == [3, 9]


def test_what_lies_elsewhere_or_at_another_time_is_named(world):
    rain, demand, seen = world
    with pytest.raises(DimensionError, match=r"observation does not hold lat = 40\.0"):
        filtered(world, seen.assign_coords(lat=seen.lat + 0.05))
    with pytest.raises(DimensionError, match="broadcast the weather"):
        filtered(world, seen.expand_dims(layer=2))
    with pytest.raises(DimensionError, match="2 places along 'lon'"):
        filtered(world, seen.isel(lon=slice(0, 2)).drop_vars("lon"))
    with pytest.raises(DimensionError, match="field_capacity does not hold"):
        filtered(world, field_capacity=xr.full_like(rain.isel(time=0, lat=[0]), 0.28).assign_attrs(units="m3 m-3"))
    for other in (seen.assign_coords(time=seen.time + HOURS), seen.isel(time=[0, 3]).assign_coords(time=[seen.time[0].values + HOURS, seen.time[3].values])):  # fmt: skip
        with pytest.raises(TimeAxisError, match="17:00:00 is of no day of the weather"):
            filtered(world, other)
    with pytest.raises(TimeAxisError, match="no day in common"):
        filtered(world, seen.assign_coords(time=seen.time + 400 * DAY))
    with pytest.raises(TimeAxisError, match="more than once"):
        filtered(world, seen.isel(time=[0, 0, 3]))
    with pytest.raises(TimeAxisError, match="frozen lacks 2015-01-31"):
        filtered(world, frozen=xr.zeros_like(rain, dtype=bool).isel(time=slice(0, 30)))
    late = rain.isel(time=[*range(20), *range(25, 90)])
    with pytest.raises(TimeAxisError, match="2015-01-26 00:00:00 follows 2015-01-20"):
        assimilate.run(late, demand.sel(time=late.time), **twin.LOAM)
    hourly = pd.date_range("2015-01-01", periods=90, freq="h")
    with pytest.raises(TimeAxisError, match="daily"):
        assimilate.run(rain.assign_coords(time=hourly), demand.assign_coords(time=hourly), **twin.LOAM)


def test_years_without_29_february_are_daily_too():
    forcing = (
        twin.weather(2, years=2, rng=0)
        .isel(time=slice(0, 500))
        .assign_coords(time=pd.date_range("2015-12-01", periods=500))
    )
    without = forcing.convert_calendar("noleap")
    leap = (forcing.time.dt.month == 2) & (forcing.time.dt.day == 29)
    for other in (without, forcing.isel(time=~leap.values)):
        assert other.sizes["time"] == 499
        out = assimilate.run(
            other.precipitation_flux, other.potential_evaporation_flux, method="open_loop", members=4, **twin.LOAM
        )
        assert bool(out.soil_moisture.notnull().all())


def test_errors_keep_their_units_and_must_be_positive_also_when_lazy(world):
    percent = xr.full_like(world[2], 3.0).assign_attrs(units="percent")
    xr.testing.assert_identical(filtered(world, error=percent), filtered(world))
    with pytest.raises(VadoseInputError, match="positive everywhere"):
        filtered(world, error=xr.full_like(world[2], -0.03))
    lazy = filtered(tuple(a.chunk(lat=1) for a in world), error=xr.full_like(world[2], -0.03).chunk(lat=1))
    with pytest.raises(VadoseInputError, match="positive everywhere"):
        lazy.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": 10.0}, "whole number of at least 2"), ({"members": 1}, "at least 2"), ({"lag": -1}, "0 to filter"),
        ({"lag": 2.5}, "0 to filter"), ({"operator": (1.0, 0.0)}, "two observations"), ({"operator": ((1.0, 0.0),)}, "two observations"),
        ({"parameter_sd": (0.01,)}, "three numbers"), ({"initial_sd": -1}, "initial_sd"), ({"jitter": "much"}, "jitter"),
        ({"initial": (0.25,)}, "both layers"), ({"depths": (5, 95)}, "in m"), ({"depths": (0.05,)}, "in m"),
        ({"perturbation": {"rain_cv": 1.0}}, "Perturbation"), ({"irrigated": xr.DataArray(True)}, "pass both or none"),
        ({"perturbation": Perturbation(irrigation_chance=0.1)}, "pass both or none"),
    ],
)  # fmt: skip
def test_options_that_compiled_code_would_misread_are_named(world, options, words):
    with pytest.raises(VadoseInputError, match=words):
        filtered(world, **options)


def test_values_of_options_are_checked_where_they_are_made():
    for wrong, words in (({"rain_cv": -1}, "rain_cv"), ({"missed_chance": 3}, "0 to 1"), ({"rain_memory": 1.0}, "below 1"), ({"demand_cv": "x"}, "demand_cv")):  # fmt: skip
        with pytest.raises(VadoseInputError, match=words):
            Perturbation(**wrong)
    for make in (
        lambda: inflation.Relax("0.5"), lambda: inflation.Adaptive(limits=2.0), lambda: inflation.Adaptive(limits=(1.0,)),
        lambda: inflation.Adaptive(limits=(1.0, np.inf)), lambda: inflation.Adaptive("30"), lambda: Neighbors("500"), lambda: Neighbors(np.nan),
    ):  # fmt: skip
        with pytest.raises(VadoseInputError, match="got"):
            make()
    assert Neighbors(20_000.0, cells=np.int64(2)).cells == 2
