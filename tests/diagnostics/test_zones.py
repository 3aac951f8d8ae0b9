"""Climates that everybody can classify by hand, and tables that add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vadose import world
from vadose.diagnostics import zones
from vadose.errors import DimensionError, VadoseInputError


def year(values, **coords):
    return xr.DataArray(np.asarray(values, float), dims="month", coords={"month": np.arange(1, 13)}, **coords)


def name(temperature, precipitation, lat=45.0):
    number = int(zones.koppen_geiger(year(temperature), year(precipitation), lat))
    return zones.KOPPEN[number - 1]


def test_c_x15_1_hot_and_wet_all_year():
    assert name([27] * 12, [200] * 12, 0.0) == "Af"


def test_c_x15_2_one_dry_month_in_the_tropics():
    # 20 mm in the driest month; 100 - 1500 / 25 = 40 mm would be needed for a monsoon climate
    assert name([25] * 12, [20, *[1480 / 11] * 11], 0.0) == "Aw"


def test_c_x15_3_desert():
    assert name([22] * 12, [100 / 12] * 12) == "BWh"  # even rain: threshold 10 (2 22 + 14) = 580 mm, half of it is 290


def test_c_x15_4_tundra():
    assert name(np.linspace(-20, 8, 12), [30] * 12, 70.0) == "ET"


def cycle(mean, amplitude, *, coldest=0):
    return mean - amplitude * np.cos(2 * np.pi * (np.arange(12) - coldest) / 12)


@pytest.mark.parametrize(
    ("temperature", "precipitation", "lat", "expected"),
    [
        (cycle(16, 8), [110, 90, 70, 50, 30, 10, 5, 5, 30, 60, 100, 110], 38, "Csa"),  # Mediterranean
        (
            cycle(16, 8, coldest=6),
            [5, 5, 30, 60, 100, 110, 110, 90, 70, 50, 30, 10],
            -34,
            "Csa",
        ),  # the same in the south
        (cycle(10, 7), [80] * 12, 52, "Cfb"),  # western Europe
        (cycle(4, 14), [20, 20, 30, 50, 70, 90, 90, 70, 60, 40, 30, 20], 50, "Dfb"),
        (cycle(-12, 30), [8, 6, 8, 12, 20, 40, 60, 50, 30, 20, 14, 10], 62, "Dfd"),  # coldest month below -38
        (cycle(-1, 22), [2, 2, 4, 10, 30, 80, 150, 120, 50, 10, 5, 2], 48, "Dwb"),  # hottest month 21
        ([-30] * 12, [5] * 12, -80, "EF"),
        (cycle(9, 12), [18] * 12, 45, "BSk"),
        ([26] * 12, [300] * 9 + [50, 40, 45], 5, "Am"),  # driest 40 mm >= 100 - 2835 / 25 < 0
    ],
)
def test_known_climates(temperature, precipitation, lat, expected):
    assert name(temperature, precipitation, lat) == expected


@given(
    t=arrays(float, (20, 12), elements=st.floats(-60, 40)),
    p=arrays(float, (20, 12), elements=st.floats(0, 900)),
    lat=st.floats(-90, 90),
)
def test_c_x15_5_every_land_cell_gets_exactly_one_class(t, p, lat):
    out = zones.koppen_geiger(xr.DataArray(t, dims=("cell", "month")), xr.DataArray(p, dims=("cell", "month")), lat)
    assert bool(((out >= 1) & (out <= 30)).all())


def test_c_x15_5_on_the_synthetic_earth_and_missing_cells_get_none():
    truth = world.make((-120, 25, -80, 60), 5.0, "2017-01-01", "2018-12-31")
    climate = zones.monthly_climate(truth.air_temperature, truth.precipitation_flux)
    out = zones.koppen_geiger(climate.air_temperature, climate.precipitation, truth.lat)
    assert bool((out > 0).all())
    assert len(np.unique(out)) > 3
    hole = climate.air_temperature.where(truth.lat > 30)
    holed = zones.koppen_geiger(hole, climate.precipitation, truth.lat)
    assert bool((holed.where(truth.lat <= 30, drop=True) == 0).all())
    lazy = zones.koppen_geiger(climate.air_temperature.chunk(lat=2), climate.precipitation.chunk(lat=2), truth.lat)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.compute(), out)
    assert zones.names_of(out)[1] == "Af"
    letters = zones.main_group(out)
    assert int(letters.max()) <= 5
    assert zones.names_of(letters)[2] == "arid"


def test_monthly_climate_counts_millimetres_of_a_month():
    time = pd.date_range("2017-01-01", "2020-12-31")
    rain = xr.DataArray(
        np.full(time.size, 2.0 / 86400), dims="time", coords={"time": time}, attrs={"units": "kg m-2 s-1"}
    )
    air = xr.DataArray(np.full(time.size, 300.0), dims="time", coords={"time": time}, attrs={"units": "K"})
    out = zones.monthly_climate(air, rain)
    assert float(out.precipitation.sel(month=1)) == pytest.approx(62)
    assert float(out.precipitation.sel(month=2)) == pytest.approx(56.5)
    assert float(out.air_temperature[0]) == pytest.approx(26.85)
    with pytest.raises(VadoseInputError, match="twelve months"):
        zones.monthly_climate(air[:100], rain[:100])
    with pytest.raises(DimensionError, match="month"):
        zones.koppen_geiger(air, rain, 0.0)


def test_aridity_classes_of_the_united_nations():
    rain = xr.DataArray([0.04, 0.05, 0.3, 0.6, 0.65, np.nan], dims="cell", attrs={"units": "mm d-1"})
    out = zones.aridity(rain, xr.ones_like(rain).assign_attrs(units="mm d-1"))
    assert out.aridity_class.values.tolist() == [1, 2, 3, 4, 5, 0]


@pytest.fixture
def maps(rng):
    lat, lon = np.arange(30.5, 60, 1.0), np.arange(-110.5, -80, 1.0)
    classes = xr.DataArray(
        rng.integers(0, 4, (lat.size, lon.size)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon},
        attrs={"flag_values": np.arange(4), "flag_meanings": "none forest crop grass"},
    )  # fmt: skip
    field = xr.DataArray(
        rng.normal(0.2, 0.05, (2, lat.size, lon.size)), dims=("product", "lat", "lon"), coords={"product": ["a", "b"]}
    )
    return field.where(rng.random(field.shape) > 0.1), classes


def test_c_t1_3_4_zones_add_up_to_the_whole(maps):
    field, classes = maps
    table = zones.zone_table(field.to_dataset(name="bias"), classes)
    for product in "ab":
        part = table[(table["product"] == product) & (table.zone != "all")]
        whole = table[(table["product"] == product) & (table.zone == "all")].iloc[0]
        assert (part["mean"] * part.area_share).sum() == pytest.approx(whole["mean"], rel=1e-12)
        assert part.area_share.sum() == pytest.approx(1.0, rel=1e-12)
        assert part.cells.sum() == whole.cells
        kept = field.sel(product=product).where(classes != 0)
        direct = kept.weighted(np.cos(np.deg2rad(classes.lat))).mean()
        assert whole["mean"] == pytest.approx(float(direct), rel=1e-12)


def test_scores_by_class_come_with_intervals_that_know_neighbors(maps):
    field, classes = maps
    table = zones.performance_table(field.to_dataset(name="bias"), classes, block=5.0, rng=1)
    assert set(table.zone) == {"forest", "crop", "grass", "all"}
    assert ((table.low < table.value) & (table.value < table.high)).all()
    # a field constant over squares of five degrees is far less certain than one that changes from cell to cell
    squares = field.isel(product=0, drop=True).values[::5, ::5].repeat(5, 0).repeat(5, 1)[:30, :31]
    blocky = xr.DataArray(np.nan_to_num(squares, nan=0.2), dims=classes.dims, coords=classes.coords)
    rough = field.isel(product=0, drop=True)
    blocky = (blocky - blocky.mean()) / blocky.std() * rough.std() + rough.mean()
    wide = zones.performance_table(blocky.to_dataset(name="x"), classes, block=5.0).set_index("zone").loc["all"]
    narrow = zones.performance_table(rough.to_dataset(name="x"), classes, block=5.0).set_index("zone").loc["all"]
    assert (wide.high - wide.low) > 2 * (narrow.high - narrow.low)
