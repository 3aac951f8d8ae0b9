"""Stations, footprints and downscaled maps whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.errors import TooFewSamplesError
from vadose.metrics import representativeness as rep


def test_c_x11_1_sensors_needed():
    assert rep.required_samples(0.05, 0.03) == 11  # (1.96 .05 / .03)^2 = 10.67
    assert rep.required_samples(0.0, 0.03) == 1


def test_c_x11_2_downscaled_map_keeps_its_coarse_mean():
    rng = np.random.default_rng(3)
    coarse = xr.DataArray(
        rng.uniform(0.1, 0.4, (5, 2, 3)),
        dims=("time", "lat", "lon"),
        coords={"lat": [40.5, 41.5], "lon": [-100.5, -99.5, -98.5]},
        name="soil_moisture",
    )
    lat, lon = np.arange(40.05, 42, 0.1), np.arange(-100.95, -98, 0.1)
    field = rng.normal(0, 0.05, (5, lat.size, lon.size))
    field[rng.random(field.shape) < 0.2] = np.nan
    predictor = xr.DataArray(field, dims=("time", "lat", "lon"), coords={"lat": lat, "lon": lon})
    fine = rep.downscale(coarse, predictor)
    back = fine.coarsen(lat=10, lon=10).mean()
    np.testing.assert_allclose(back.values, coarse.values, rtol=0, atol=1e-12)
    assert bool((fine.notnull() == predictor.notnull()).all())
    lazy = rep.downscale(coarse.chunk(time=2), predictor.chunk(time=2, lat=7))
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute(), fine, atol=1e-15)
    weight = np.cos(np.deg2rad(predictor.lat)) * xr.ones_like(predictor.lon)
    area = rep.downscale(coarse, predictor, weight=weight)
    share = weight.where(predictor.notnull())
    total = (area * share).coarsen(lat=10, lon=10).sum() / share.coarsen(lat=10, lon=10).sum()
    np.testing.assert_allclose(total.transpose(*coarse.dims).values, coarse.values, atol=1e-12)


def test_c_x11_2_a_grid_from_north_to_south_and_cells_outside():
    coarse = xr.DataArray([[0.3, 0.2], [0.1, 0.4]], dims=("lat", "lon"), coords={"lat": [1.5, 0.5], "lon": [0.5, 1.5]})
    fine = xr.zeros_like(coarse).reindex(lat=[0.25, 0.75, 1.25, 1.75, 2.5], lon=[0.5, 1.5]).fillna(0.0)
    out = rep.downscale(coarse, fine)
    np.testing.assert_allclose(out.values, [[0.1, 0.4], [0.1, 0.4], [0.3, 0.2], [0.3, 0.2], [np.nan, np.nan]])


def test_c_x11_3_sites_that_are_always_wetter_by_the_same_share():
    k = np.array([-0.2, 0.05, 0.15])
    mean = np.random.default_rng(0).uniform(0.1, 0.4, 200)
    data = xr.DataArray((1 + k)[:, None] * mean, dims=("station", "time"), coords={"station": ["dry", "middle", "wet"]})
    out = rep.temporal_stability(data)
    np.testing.assert_allclose(out.mean_relative_difference, k, atol=1e-12)
    np.testing.assert_allclose(out.sd_relative_difference, 0, atol=1e-12)
    assert str(out.representative.values) == "middle"
    assert out.n.values.tolist() == [200, 200, 200]


@given(k=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=6))
def test_relative_differences_sum_to_zero(k):
    mean = np.linspace(0.1, 0.3, 20)
    data = xr.DataArray((1 + np.array(k))[:, None] * mean, dims=("station", "time"))
    assert float(rep.temporal_stability(data).mean_relative_difference.sum()) == pytest.approx(0, abs=1e-9)


def test_a_changing_set_of_stations_does_not_count():
    data = xr.DataArray([[0.1, np.nan, 0.2], [0.3, 0.3, 0.4]], dims=("station", "time"))
    assert rep.temporal_stability(data).n.values.tolist() == [2, 2]
    with pytest.raises(TooFewSamplesError, match="minimum_share"):
        rep.temporal_stability(data.where(data.station == 0))


def test_voronoi_weights_are_areas():
    # two stations at a quarter and three quarters of a unit square share it; one in a corner of a strip has its own part
    np.testing.assert_allclose(rep.area_weights(np.array([0.25, 0.75]), np.array([0.5, 0.5]), (0, 0, 1, 1)), 0.5)
    np.testing.assert_allclose(
        rep.area_weights(np.array([0.1, 0.3]), np.array([0.5, 0.5]), (0, 0, 1, 1)), [0.2, 0.8], atol=0.02
    )


def field(rng, n, length, times, sill=0.0025):
    x, y = rng.uniform(0, 30, n), rng.uniform(0, 30, n)
    gx, gy = np.meshgrid(np.arange(1, 30, 2.0), np.arange(1, 30, 2.0))
    px, py = np.append(x, gx.ravel()), np.append(y, gy.ravel())
    c = sill * np.exp(-np.hypot(px[:, None] - px, py[:, None] - py) / length)
    z = 0.25 + np.linalg.cholesky(c + 1e-10 * np.eye(px.size)) @ rng.normal(size=(px.size, times))
    return x, y, xr.DataArray(z[:n], dims=("station", "time")), z[n:].mean(0)


def test_block_kriging_states_its_own_error():
    rng = np.random.default_rng(11)
    x, y, values, truth = field(rng, 8, 10.0, 3000)
    known = {"nugget": 0.0, "sill": 0.0025, "length": 10.0}
    out = rep.footprint_mean(values, x, y, (0, 0, 30, 30), variogram=known)
    error = float((out.soil_moisture - truth).std())
    stated = float(out.soil_moisture_standard_error.mean())
    assert error == pytest.approx(stated, rel=0.08)
    plain = float((values.mean("station") - truth).std())
    assert error <= plain
    fitted = rep.footprint_mean(values, x, y, (0, 0, 30, 30))
    assert fitted.attrs["variogram_length"] == pytest.approx(10.0, rel=0.6)
    assert float((fitted.soil_moisture - truth).std()) == pytest.approx(error, rel=0.1)


def test_footprint_renews_its_weights_when_a_station_fails():
    x, y = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    values = xr.DataArray([[0.1, 0.1, np.nan], [0.3, np.nan, np.nan]], dims=("station", "time"))
    out = rep.footprint_mean(values, x, y, (0, 0, 1, 1), method="voronoi")
    np.testing.assert_allclose(out.soil_moisture, [0.2, 0.1, np.nan])
    assert out.n.values.tolist() == [2, 1, 0]


def test_station_representativeness_is_its_squared_correlation_with_the_cell():
    rng = np.random.default_rng(5)
    cell = rng.normal(0, 0.05, 50_000)
    a, b, c = (xr.DataArray(g * cell + rng.normal(0, s, cell.size), dims="time") for g, s in ((1, 0.05), (0.8, 0.03), (0.7, 0.02)))  # fmt: skip
    out = rep.station_representativeness(a, b, c)
    assert float(out.representativeness) == pytest.approx(0.5, abs=0.02)  # s_P^2 / (s_P^2 + s_e^2) with both .05
    assert float(out.error_sd) == pytest.approx(0.05, abs=0.001)


def test_two_sensors_at_one_place_share_their_weight():
    rng = np.random.default_rng(8)
    values = xr.DataArray(rng.random((20, 4)), dims=("time", "station"))
    x, y, box = np.array([0.5, 0.5, 1.5, 2.5]), np.array([0.5, 0.5, 2.0, 1.0]), (0.0, 0.0, 3.0, 3.0)
    bare, noisy = {"nugget": 0.0, "sill": 1.0, "length": 1.0}, {"nugget": 0.2, "sill": 1.0, "length": 1.0}
    for model in (bare, noisy):
        out = rep.footprint_mean(values, x, y, box, variogram=model)
        turned = rep.footprint_mean(
            values[:, [1, 0, 2, 3]].drop_vars("station", errors="ignore"), x, y, box, variogram=model
        )
        np.testing.assert_allclose(out.soil_moisture, turned.soil_moisture, rtol=1e-9)
    merged = values[:, 1:].copy()
    merged[:, 0] = values[:, :2].mean("station")
    alone = rep.footprint_mean(merged, x[1:], y[1:], box, variogram=bare)
    np.testing.assert_allclose(
        rep.footprint_mean(values, x, y, box, variogram=bare).soil_moisture, alone.soil_moisture, rtol=1e-9
    )


def test_longitudes_of_map_and_predictor_may_be_counted_from_either_end():
    rng = np.random.default_rng(9)
    lat, lon = np.arange(0.5, 4), np.arange(180.5, 188)
    fine = xr.DataArray(rng.random((4, 8)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    coarse = fine.coarsen(lat=2, lon=2).mean() + 0.1
    west = fine.assign_coords(lon=lon - 360.0)
    np.testing.assert_allclose(rep.downscale(coarse, west).coarsen(lat=2, lon=2).mean(), coarse)
