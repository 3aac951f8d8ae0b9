"""Regridding conserves; matching in time and space finds what is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import DimensionError, NotFoundError
from vadose.harmonize import Grid, at_points, in_time, regrid


def globe(resolution, rng, steps=2):
    grid = Grid.regular((-180, -90, 180, 90), resolution)
    return xr.DataArray(
        rng.normal(size=(steps, grid.lat.size, grid.lon.size)),
        dims=("time", "lat", "lon"),
        coords={"lat": grid.lat, "lon": grid.lon},
        name="soil_moisture",
    ), grid


@pytest.mark.parametrize("target", [Grid.regular((-180, -90, 180, 90), 4.0), Grid.regular((0, -90, 360, 90), 7.5)])
def test_c_t1_3_1_area_integral_and_constants_are_kept(target):
    data, grid = globe(1.0, np.random.default_rng(0))
    out = regrid(data, target)
    before, after = (data.values * grid.area).sum((1, 2)), (out.soil_moisture.values * target.area).sum((1, 2))
    np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-12)
    same = regrid(xr.full_like(data, 0.3), target).soil_moisture
    np.testing.assert_allclose(same, 0.3, rtol=1e-14)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), gap=st.floats(0, 0.9))
def test_gaps_are_left_out_and_counted(seed, gap):
    rng = np.random.default_rng(seed)
    data, grid = globe(5.0, rng, 1)
    data = data.where(xr.DataArray(rng.random(data.shape) > gap, dims=data.dims))
    target = Grid.regular((-180, -90, 180, 90), 15.0)
    out = regrid(data, target, minimum=0.3)
    a = grid.area.reshape(12, 3, 24, 3)
    v = data.values[0].reshape(12, 3, 24, 3)
    known = np.where(np.isfinite(v), a, 0).sum((1, 3))
    np.testing.assert_allclose(out.valid_fraction[0], known / target.area, atol=1e-9)
    expected = np.where(
        known / target.area >= 0.3, np.nansum(v * a, axis=(1, 3)) / np.where(known > 0, known, 1), np.nan
    )
    unsure = np.abs(known / target.area - 0.3) < 1e-9
    np.testing.assert_allclose(out.soil_moisture.values[0][~unsure], expected[~unsure], atol=1e-9)


def test_ease_grid_to_regular_keeps_the_integral():
    grid = Grid.ease2("M36")
    rng = np.random.default_rng(1)
    data = xr.DataArray(
        rng.normal(size=(grid.lat.size, grid.lon.size)),
        dims=("y", "x"),
        coords={"lat": ("y", grid.lat), "lon": ("x", grid.lon)},
        name="soil_moisture",
    )
    target = Grid.regular((-180, -90, 180, 90), 2.0)
    out = regrid(data, target, source=grid, minimum=1e-9)
    known = out.valid_fraction.values * target.area
    assert np.nansum(out.soil_moisture.values * known) == pytest.approx((data.values * grid.area).sum(), rel=1e-9)


def test_bilinear_is_exact_on_a_plane_and_nearest_on_itself():
    grid = Grid.regular((-20, 30, 20, 60), 2.0)
    plane = xr.DataArray(
        grid.lat[:, None] * 0.01 + grid.lon[None, :] * 0.002,
        dims=("lat", "lon"),
        coords={"lat": grid.lat, "lon": grid.lon},
        name="v",
    )
    fine = Grid.regular((-10, 40, 10, 50), 0.5)
    out = regrid(plane, fine, method="bilinear").v
    np.testing.assert_allclose(out, fine.lat[:, None] * 0.01 + fine.lon[None, :] * 0.002, atol=1e-12)
    np.testing.assert_array_equal(regrid(plane, grid, method="nearest").v, plane)


def test_lazy_in_lazy_out():
    data, _ = globe(2.0, np.random.default_rng(2), 6)
    target = Grid.regular((-180, -90, 180, 90), 10.0)
    lazy = regrid(data.chunk(time=2, lat=30), target).soil_moisture
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute(), regrid(data, target).soil_moisture)


def test_unknown_method_and_scattered_input():
    data, _ = globe(10.0, np.random.default_rng(3))
    with pytest.raises(NotFoundError, match="conservative"):
        regrid(data, Grid.regular((-180, -90, 180, 90), 20.0), method="conserve")
    with pytest.raises(DimensionError, match="at_points"):
        Grid.of(
            xr.DataArray(
                np.zeros(3),
                dims="location",
                coords={"lat": ("location", [1.0, 2, 3]), "lon": ("location", [1.0, 2, 3])},
            )
        )


def hourly(values, start="2017-01-01"):
    return xr.DataArray(
        np.asarray(values, float), dims="time", coords={"time": pd.date_range(start, periods=len(values), freq="h")}
    )


def test_matching_in_time():
    s = hourly([1, 2, np.nan, 4, 5, 6])
    at = xr.DataArray(pd.to_datetime(["2017-01-01 00:40", "2017-01-01 02:05", "2017-01-01 09:00"]), dims="time")
    hour = np.timedelta64(1, "h")
    np.testing.assert_array_equal(in_time(s, at, window=hour), [2, 4, np.nan])
    two = xr.DataArray(pd.to_datetime(["2017-01-01 00:50", "2017-01-01 01:05"]), dims="time")
    np.testing.assert_array_equal(in_time(s, two, window=hour, method="unique_nearest"), [np.nan, 2])
    np.testing.assert_array_equal(in_time(s, at, window=hour, method="window_mean"), [1.5, 4, np.nan])


def test_points_take_their_cell_and_nothing_far_away():
    grid = Grid.regular((0, 40, 10, 50), 1.0)
    data = xr.DataArray(
        np.arange(100.0).reshape(10, 10), dims=("lat", "lon"), coords={"lat": grid.lat, "lon": grid.lon}
    )
    lat, lon = xr.DataArray([42.3, 70.0], dims="station"), xr.DataArray([3.9, 3.9], dims="station")
    out = at_points(data, lat, lon)
    assert float(out[0]) == 23.0
    assert np.isnan(out[1])


def test_points_on_curvilinear_and_scattered_centers():
    """A turned grid of 20 x 30 cells, as it is and as one long row of cells; the nearest center by brute force on the sphere."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.arange(30.0), np.arange(20.0))
    glat, glon = 50 + 0.4 * y + 0.1 * x, (175 + 0.5 * x - 0.2 * y + 180) % 360 - 180  # over the date line
    dims = ("y", "x")
    data = xr.DataArray(
        rng.normal(size=(3, 20, 30)), dims=("time", *dims), coords={"lat": (dims, glat), "lon": (dims, glon)}, name="v"
    )  # fmt: skip
    i, j = rng.integers(0, 20, 9), rng.integers(0, 30, 9)
    lat = xr.DataArray(np.r_[glat[i, j] + 0.05, 0.0], dims="station")
    lon = xr.DataArray(np.r_[glon[i, j] - 0.05, 10.0], dims="station")
    out = at_points(data.chunk(time=1), lat, lon)
    assert out.chunks is not None
    np.testing.assert_array_equal(out[:, :9], data.values[:, i, j])
    assert bool(out[:, 9].isnull().all())
    row = data.stack(cell=dims, create_index=False)
    np.testing.assert_array_equal(at_points(row, lat, lon), out.compute())


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
@pytest.mark.parametrize("west", [-20, 160])
def test_longitudes_turned_by_hand_and_not_sorted_mean_the_same_places(method, west):
    """0 to 359 written as 0 to 179 and -180 to -1, as `(lon + 180) % 360 - 180` leaves it."""
    data, _ = globe(3.0, np.random.default_rng(5), 1)
    turned = data.roll(lon=60, roll_coords=True)
    target = Grid.regular((west, -20, west + 40, 20), 5)
    xr.testing.assert_allclose(regrid(turned, target, method=method), regrid(data, target, method=method))
    np.testing.assert_allclose(Grid.of(turned).area.sum(), 4 * np.pi, rtol=1e-12)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_a_region_across_the_date_line_says_nothing_of_greenwich(method):
    data, _ = globe(2.0, np.random.default_rng(6), 1)
    region = data.roll(lon=90, roll_coords=True).isel(lon=slice(80, 100))  # 161 E to 161 W
    assert region.lon.values[0] > 0 > region.lon.values[-1]
    assert regrid(region, Grid.regular((-20, -20, 20, 20), 4), method=method)["soil_moisture"].isnull().all()
    inside = Grid.regular((170, -20, 190, 20), 4)
    wanted = regrid(data, inside, method=method)["soil_moisture"]
    np.testing.assert_allclose(regrid(region, inside, method=method)["soil_moisture"], wanted, rtol=1e-12)


def test_places_in_no_order_are_refused_and_bounds_are_taken():
    data, _ = globe(10.0, np.random.default_rng(7), 1)
    with pytest.raises(DimensionError, match="sortby"):
        Grid.of(data.isel(lat=[3, 1, 2]))
    uneven = np.array([-90.0, -80, -30, 0, 10])
    both = data.isel(lat=slice(0, 4)).assign_coords(lat=[-85.0, -55, -15, 5]).to_dataset()
    for order in (slice(None), slice(None, None, -1)):
        bounds = ("lat", "bnds"), np.stack([uneven[:-1], uneven[1:]], axis=1)
        np.testing.assert_allclose(Grid.of(both.assign(lat_bnds=bounds).isel(lat=order)).lat_edges, uneven[order])


@pytest.mark.parametrize("resolution", [0.9, 0.45, 1.5])
def test_a_whole_cell_is_whole_however_its_parts_add_up(resolution):
    grid = Grid.regular((0, 0, 9, 9), 0.3)
    data = xr.DataArray(np.ones((30, 30), ">f4"), dims=("lat", "lon"), coords={"lat": grid.lat, "lon": grid.lon})
    for method in ("conservative", "bilinear"):
        out = regrid(data, Grid.regular((0, 0, 9, 9), resolution), method=method, minimum=1.0)
        np.testing.assert_allclose(out["data"], 1.0, rtol=1e-12)
    holed = data.where((data.lat > 0.2) | (data.lon > 0.2))
    assert int(regrid(holed, Grid.regular((0, 0, 9, 9), 0.9), minimum=1.0)["data"].isnull().sum()) == 1


def test_points_on_a_single_row_and_points_without_a_place():
    lon = np.arange(0.5, 10)
    row = xr.DataArray(lon[None], dims=("lat", "lon"), coords={"lat": [20.0], "lon": lon})
    lat, east = xr.DataArray([20.1, 25.0, np.nan], dims="station"), xr.DataArray([3.4, 3.4, 3.4], dims="station")
    np.testing.assert_array_equal(at_points(row, lat, east), [3.5, np.nan, np.nan])
    scattered = xr.DataArray(lon, dims="cell", coords={"lat": ("cell", np.full(10, 20.0)), "lon": ("cell", lon)})
    np.testing.assert_array_equal(at_points(scattered, lat, east), [3.5, np.nan, np.nan])


def test_a_column_that_is_there_twice_is_refused():
    """Plotting adds the first column again behind the last: it would count twice."""
    data, _ = globe(10.0, np.random.default_rng(8), 1)
    again = xr.concat([data, data.isel(lon=[0]).assign_coords(lon=[185.0])], "lon")
    with pytest.raises(DimensionError, match="more than once"):
        Grid.of(again)
    assert Grid.of(again.isel(lon=slice(None, -1))).lon_edges[-1] == 180.0
