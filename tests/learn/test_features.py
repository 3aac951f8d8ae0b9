"""Predictors: formulae by hand, averaging where it means something, samples that keep their place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.errors import NotFoundError, VadoseInputError
from vadose.learn import features


def field(values, **coords):
    return xr.DataArray(np.asarray(values, float), dims=("lat", "lon")[: np.ndim(values)], coords=coords, name="x")


def test_c_t1_1_1_optram_on_its_edges():
    # STR = (1 - .2)^2 / (2 x .2) = 1.6; W = (0 + 1 x .5 - 1.6) / (0 - 4 + (1 - 3) x .5) = 1.1 / 5 = .22
    s = features.transformed_reflectance(xr.DataArray(0.2))
    assert float(s) == pytest.approx(1.6)
    edges = {"dry_intercept": 0.0, "dry_slope": 1.0, "wet_intercept": 4.0, "wet_slope": 3.0}
    v = xr.DataArray(0.5)
    assert float(features.optram(s, v, **edges)) == pytest.approx(0.22)
    assert float(features.optram(xr.DataArray(0.5), v, **edges)) == pytest.approx(0.0)
    assert float(features.optram(xr.DataArray(5.5), v, **edges)) == pytest.approx(1.0)


def test_indices_of_light_by_hand():
    red, nir, swir = (xr.DataArray([v, 0.0]) for v in (0.1, 0.5, 0.3))
    np.testing.assert_allclose(
        features.ndvi(red, nir), [0.4 / 0.6, np.nan]
    )  # (.5 - .1) / (.5 + .1); 0 / 0 says nothing
    np.testing.assert_allclose(features.ndwi(nir, swir), [0.2 / 0.8, np.nan])
    assert features.ndvi(red, nir).attrs["units"] == features.ndwi(nir, swir).attrs["units"] == "1"


def test_optram_edges_are_found_in_a_scene():
    rng = np.random.default_rng(0)
    v, w = rng.uniform(0.1, 0.8, 200_000), rng.uniform(0, 1, 200_000)
    s = (0.5 + v) * (1 - w) + (4 + 3 * v) * w
    edges = features.optram_edges(xr.DataArray(s), xr.DataArray(v))
    # quantiles 2 and 98 % of a uniform mixture: 2 % inside the true edges
    assert edges["dry_slope"] == pytest.approx(1 + 0.02 * 2, abs=0.1)
    assert edges["wet_intercept"] == pytest.approx(4 - 0.02 * 3.5, abs=0.1)


def test_c_t1_1_6_backscatter_is_averaged_in_linear_units():
    # (10^-1 + 10^-2) / 2 = .055; 10 log10 .055 = -12.596
    mean = features.mean_decibel(xr.DataArray([-10.0, -20.0], dims="x"), "x")
    assert float(mean) == pytest.approx(-12.596, abs=5e-4)
    block = features.coarsen_decibel(field([[-10.0, -20.0], [-10.0, -20.0]]), lat=2, lon=2)
    assert float(block.squeeze()) == pytest.approx(-12.596, abs=5e-4)


def test_terrain_of_an_inclined_plane():
    y, x = np.mgrid[0:20, 0:30]
    z = xr.DataArray(
        100 - 2.0 * y, dims=("row", "column"), coords={"row": np.arange(20) * 10.0, "column": np.arange(30) * 10.0}
    )
    out = features.terrain(z, spacing=10.0)  # falls 2 m a 10 m towards growing rows (north)
    np.testing.assert_allclose(out.slope, np.arctan(0.2), rtol=1e-12)
    np.testing.assert_allclose(out.northness, 1.0)
    np.testing.assert_allclose(out.plan_curvature, 0.0, atol=1e-12)
    # all water runs down the columns: row r gathers r + 1 cells of 10 x 10 m over a contour of 10 m
    np.testing.assert_allclose(out.topographic_wetness[5], np.log(60 / 0.2), rtol=1e-9)
    sunny = features.terrain(z.isel(row=slice(None, None, -1)), spacing=10.0)
    np.testing.assert_allclose(sunny.northness, 1.0)  # turning the rows around does not turn the hill around
    assert x.shape == y.shape


def test_a_bowl_collects_and_a_dome_sheds():
    y, x = np.mgrid[-10:11, -10:11] * 10.0
    bowl = features.terrain(
        xr.DataArray(0.001 * (x**2 + y**2), dims=("a", "b"), coords={"a": np.arange(21), "b": np.arange(21)}),
        spacing=10.0,
    )
    dome = features.terrain(
        xr.DataArray(-0.001 * (x**2 + y**2), dims=("a", "b"), coords={"a": np.arange(21), "b": np.arange(21)}),
        spacing=10.0,
    )
    assert float(bowl.topographic_wetness[10, 10]) > float(dome.topographic_wetness[10, 10]) + 3
    assert float(bowl.topographic_position[10, 10]) < 0 < float(dome.topographic_position[10, 10])


def test_antecedent_precipitation_by_hand():
    rain = xr.DataArray(
        [10.0, 0.0, 5.0, 0.0],
        dims="time",
        coords={"time": pd.date_range("2020", periods=4)},
        attrs={"units": "mm d-1"},
        name="p",
    )
    out = features.antecedent(rain, windows=(1, 3))
    np.testing.assert_allclose(out.antecedent_precipitation, [10, 9, 13.1, 11.79])  # .9 x 10; .9 x 9 + 5; .9 x 13.1
    np.testing.assert_allclose(out.precipitation_3d, [np.nan, np.nan, 15, 5])
    si = features.antecedent((rain / 86400).assign_attrs(units="kg m-2 s-1"), windows=(1, 3))
    xr.testing.assert_allclose(si, out)
    lazy = features.antecedent(rain.chunk(time=2), windows=(1, 3))
    assert lazy.chunks
    xr.testing.assert_allclose(lazy.compute(), out)


def test_panel_turns_counts_into_reflectance():
    counts = xr.DataArray([100.0, 1100.0, 2100.0, 9000.0], dims="x", name="nir")
    out = features.panel_reflectance(counts, 2100.0, panel=0.5, dark_counts=100.0)
    np.testing.assert_allclose(out, [0.0, 0.25, 0.5, np.nan])  # 0.5 x 8900 / 2000 = 2.2 is glint
    assert out.attrs["units"] == "1"
    with pytest.raises(VadoseInputError, match=r"50 % is 0\.5"):
        features.panel_reflectance(counts, 2100.0, panel=50)
    with pytest.raises(VadoseInputError, match="exceed the dark"):
        features.panel_reflectance(counts, 100.0, panel=0.5, dark_counts=100.0)


def test_mosaic_keeps_the_share_of_valid_pixels():
    values = np.ones((4, 4))
    values[:2, :2] = [[1, 3], [np.nan, np.nan]]
    values[2:, 2:] = [[2, np.nan], [np.nan, np.nan]]
    out = features.from_mosaic(field(values).to_dataset(name="band"), factor=2)
    assert float(out.band[0, 0]) == 2.0
    assert float(out.valid_fraction[0, 0]) == 0.5
    assert np.isnan(float(out.band[1, 1]))  # a quarter valid
    with pytest.raises(VadoseInputError, match="co-registration"):
        features.from_mosaic(field(values).to_dataset(name="band"), factor=2, misfit=1.0)


def test_samples_take_the_nearest_cell_and_keep_place_and_time():
    time = pd.date_range("2020", periods=3)
    cube = xr.Dataset(
        {
            "warm": (("time", "lat", "lon"), np.arange(3 * 4 * 5.0).reshape(3, 4, 5), {"units": "K"}),
            "sand": (("lat", "lon"), np.arange(20.0).reshape(4, 5), {"units": "1"}),
        },
        coords={"time": time, "lat": [40, 41, 42, 43.0], "lon": [0, 1, 2, 3, 4.0]},
    )
    sm = xr.DataArray(
        [[0.1, np.nan, 0.3], [0.2, 0.2, 0.2]], dims=("station", "time"), name="soil_moisture",
        coords={"time": time, "station": ["a", "b"], "lat": ("station", [41.2, 42.9]), "lon": ("station", [0.9, 4.2])},
    )  # fmt: skip
    table = features.samples(sm, cube)
    assert table.sizes["sample"] == 5
    assert list(table.station.values) == ["a", "a", "b", "b", "b"]
    np.testing.assert_allclose(table.sand, [6, 6, 19, 19, 19])
    np.testing.assert_allclose(table.warm, [6, 46, 19, 39, 59])
    assert table.sand.attrs["units"] == "1"
    far = sm.assign_coords(lat=("station", [41.2, 55.0]))
    with pytest.raises(VadoseInputError, match="nearest predictor cell"):
        features.samples(far, cube)
    with pytest.raises(NotFoundError, match="sand"):
        features.columns(table, ("snad",))
