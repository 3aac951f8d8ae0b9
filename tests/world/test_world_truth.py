"""The truth: same seed same world, however it is cut; water is neither made nor lost; climates look like climates."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import world
from vadose.errors import VadoseInputError

BBOX = (-104.0, 36.0, -84.0, 56.0)
DAY = 86400.0


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return world.make(BBOX, 2.0, "2017-01-01", "2018-12-31", seed=42)


def test_the_same_seed_makes_the_same_world_and_another_seed_another(truth):
    again = world.make(BBOX, 2.0, "2017-01-01", "2018-12-31", seed=42)
    xr.testing.assert_identical(truth, again)
    other = world.make(BBOX, 2.0, "2017-01-01", "2018-12-31", seed=43)
    assert float(np.abs(other.soil_moisture - truth.soil_moisture).mean()) > 0.01


@pytest.mark.parametrize("chunks", [{"lat": 3, "lon": 4}, {"lat": 10, "lon": 1}])
def test_the_world_does_not_depend_on_its_chunks(truth, chunks):
    lazy = world.make(BBOX, 2.0, "2017-01-01", "2018-12-31", seed=42, chunks=chunks)
    assert lazy.soil_moisture.chunks is not None
    # matrix products of other shapes sum in another order: equal to rounding of float32 storage
    xr.testing.assert_allclose(lazy.load(), truth, rtol=1e-5, atol=1e-9)


def test_a_part_of_the_region_is_the_same_as_the_region_there(truth):
    part = world.make((-96.0, 44.0, -90.0, 50.0), 2.0, "2017-01-01", "2018-12-31", seed=42)
    same = truth.sel(lat=part.lat, lon=part.lon)
    xr.testing.assert_allclose(part.soil_moisture, same.soil_moisture, rtol=1e-5, atol=1e-9)


def test_water_is_neither_made_nor_lost_in_the_dataset(truth):
    thickness = xr.DataArray([50.0, 950.0], dims="depth")  # mm
    store = (truth.soil_moisture.drop_vars("depth") * thickness).sum("depth").isel(time=-1)
    before = (truth.initial_soil_moisture.drop_vars("depth").astype(float) * thickness).sum("depth")
    out = (truth.evapotranspiration_flux + truth.runoff_flux + truth.drainage_flux).astype(float).sum("time") * DAY
    rain = truth.precipitation_flux.astype(float).sum("time") * DAY
    left = rain - out - (store - before) - truth.snow_amount.isel(time=-1)
    # the bucket closes to 1e-6 mm (tests/physics); fluxes here are stored in float32: 6e-8 of some 2000 mm in two years
    assert float(np.abs(left).max()) < 5e-3


def test_soil_moisture_stays_between_residual_and_porosity(truth):
    assert float(truth.soil_moisture.min()) > 0.0
    assert bool((truth.soil_moisture <= truth.porosity + 1e-6).all())
    for name in truth.data_vars:
        assert int(truth[name].isnull().sum()) == 0, name


def test_the_west_is_arid_the_east_humid_and_the_north_freezes(truth):
    rain = (truth.precipitation_flux.mean("time") * DAY * 365.25).mean("lat")  # mm a year
    assert float(rain.isel(lon=0)) < 350.0
    assert float(rain.isel(lon=-1)) > 600.0
    frozen = (truth.soil_temperature.isel(depth=0) < 273.15).mean(["time", "lon"])
    assert float(frozen.isel(lat=-1)) > 0.4
    assert float(frozen.isel(lat=0)) < 0.1
    july = truth.air_temperature.sel(time="2017-07").mean()
    january = truth.air_temperature.sel(time="2017-01").mean()
    assert float(july - january) > 15.0


def test_soil_dries_between_storms(truth):
    top = truth.soil_moisture.isel(depth=0)
    melted = truth.snow_amount.shift(time=1, fill_value=0.0)  # yesterday's snow may be today's water
    dry = (truth.precipitation_flux == 0) & (melted == 0)
    change = top.diff("time").where(dry)
    assert float((change > 1e-6).sum()) == 0.0
    assert float((change < -1e-3).mean()) > 0.05


def test_rain_is_correlated_in_space(truth):
    fine = world.make((-92.0, 38.0, -88.0, 42.0), 0.5, "2017-05-01", "2017-09-30", seed=42).precipitation_flux
    near = xr.corr(fine.isel(lat=4, lon=3), fine.isel(lat=4, lon=4))
    far = xr.corr(fine.isel(lat=0, lon=0), fine.isel(lat=7, lon=7))
    assert float(near) > 0.7
    assert float(near) > float(far) + 0.2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bbox": (10, 0, 5, 2)}, "west < east"),
        ({"resolution": 0}, "positive"),
        ({"start": "2018-01-02", "end": "2018-01-01"}, "before start"),
    ],
)
def test_bad_regions_and_periods_say_what_is_wrong(arguments, words):
    with pytest.raises(VadoseInputError, match=words):
        world.make(**arguments)


def test_a_world_written_band_by_band_is_the_world(tmp_path):
    box, period = (-100.0, 40.0, -94.0, 46.0), ("2017-01-01", "2017-03-31")
    heard = []
    world.write_truth(
        str(tmp_path / "truth.zarr"),
        bbox=box,
        resolution=1.0,
        start=period[0],
        end=period[1],
        cells=4,
        report=lambda done, bands: heard.append((done, bands)),
    )
    written = xr.open_zarr(tmp_path / "truth.zarr", consolidated=False)
    expected = world.make(box, 1.0, *period)
    xr.testing.assert_allclose(written.soil_moisture.load(), expected.soil_moisture, rtol=1e-5, atol=1e-9)
    assert heard == [(1, 2), (2, 2)]
