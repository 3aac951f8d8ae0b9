"""Neighbors in the filter: they help where errors are alike, far cells stay apart, and without them nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import assimilate
from vadose.assimilate import Perturbation, field, localization, twin
from vadose.assimilate.localization import Neighbors
from vadose.errors import DimensionError, UnitsError, VadoseInputError

SIDE, SPACING = 5, 1000.0
WIDE = Perturbation(rain_cv=1.0, missed_chance=0.05)


def grid(days, seed):
    """One sky over 5 x 5 cells of 1 km: the same weather everywhere, so what is wrong with it is wrong for all."""
    lat = 44.0 + np.arange(SIDE) * SPACING / localization.DEGREE
    lon = -95.0 + np.arange(SIDE) * SPACING / (localization.DEGREE * np.cos(np.deg2rad(44.0)))
    cells = xr.DataArray(np.ones((SIDE, SIDE)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    one = twin.weather(1, years=1, rng=seed).isel(time=slice(0, days))
    worse = twin.degrade(one, rng=seed + 1)
    true, told = (
        xr.Dataset({n: (w[n].isel(cell=0) * cells).assign_attrs(units="mm d-1") for n in w.data_vars}) for w in (one, worse)
    )  # fmt: skip
    return told, twin.truth(true)


@pytest.fixture(scope="module")
def scene():
    told, truth = grid(200, 0)
    seen = twin.observe(truth, standard_error=0.06, layers=1)
    blind = xr.zeros_like(seen.isel(time=0, depth=0, drop=True), dtype=bool)
    blind[2, 2] = True
    return told, seen.where(~blind).assign_attrs(seen.attrs), truth


def filtered(told, seen, error=0.06, **options):
    call = {"initial": (0.25, 0.25), "perturbation": WIDE, "members": 30, **options}
    return assimilate.run(
        told.precipitation_flux, told.potential_evaporation_flux, seen, error, **{**twin.LOAM, **call}
    )


def error_of(out, truth):
    late = slice(twin.SPIN_UP, None)
    return np.sqrt(((out.soil_moisture - truth).isel(time=late, depth=0) ** 2).mean("time"))


def test_neighbors_beat_the_column_where_errors_are_shared(scene):
    told, seen, truth = scene
    column = error_of(filtered(told, seen), truth)
    near = filtered(told, seen, localization=Neighbors(5000.0, cells=2))
    shared = error_of(near, truth)
    assert float(shared.mean()) < 0.85 * float(column.mean())
    assert float(shared[2, 2]) < 0.8 * float(column[2, 2])  # the cell without a probe
    held = (near.soil_moisture_q05 <= truth) & (truth <= near.soil_moisture_q95)
    assert 0.8 <= float(held.isel(depth=0, time=slice(twin.SPIN_UP, None)).mean()) <= 0.98


def test_an_observation_changes_its_neighborhood_and_nothing_beyond():
    told, truth = grid(40, 3)
    alone = xr.zeros_like(truth.isel(time=0, depth=0, drop=True), dtype=bool)
    alone[0, 0] = True
    seen = twin.observe(truth, standard_error=0.03, layers=1).where(alone)
    runs = [
        filtered(told, (seen + shift).assign_attrs(units="m3 m-3"), 0.03, localization=Neighbors(1500.0, cells=3))
        for shift in (0.0, 0.1)
    ]
    moved = abs(runs[1].soil_moisture - runs[0].soil_moisture).max(("time", "depth")).values
    # distances from the corner: 0, 1000, 1414 m lie within 1500 m; 2000 m does not
    assert moved[0, 0] > moved[0, 1] > moved[1, 1] > 0
    moved[:2, :2] = 0.0
    np.testing.assert_array_equal(moved, 0.0)


def test_without_neighbors_in_reach_and_without_shared_errors_it_is_the_column(scene):
    """A radius that just contains the next cell gives it no weight: the same numbers as without a grid, smoother included."""
    told, seen, _ = scene
    dull = Perturbation(rain_cv=0.5, bias_sd=0.01, bias_drift=0.0005)
    for lag in (0, 4):
        options = {"perturbation": dull, "members": 12, "lag": lag}
        apart = filtered(told, seen, localization=Neighbors(1010.0, correlation=0.0), **options)
        column = filtered(told, seen, **options)
        for name in ("soil_moisture", "soil_moisture_q95", "increment_flux", "innovation_standard_error", "bias"):
            np.testing.assert_allclose(apart[name], column[name], rtol=1e-9, atol=1e-12)
        assert apart.soil_moisture.dims == column.soil_moisture.dims


def test_chunks_gaps_and_frost(scene):
    told, seen, _ = scene
    rain = told.precipitation_flux.copy()
    rain[{"time": 5, "lat": 0, "lon": 4}] = np.nan
    told = told.assign(precipitation_flux=rain).isel(time=slice(0, 60))
    seen = seen.isel(time=slice(0, 60))
    frozen = (told.time.dt.dayofyear < 20).broadcast_like(told.precipitation_flux)
    options = {"localization": Neighbors(2500.0), "frozen": frozen, "members": 10}
    whole = filtered(told, seen, **options)
    lazy = filtered(told.chunk(lat=2, lon=3, time=30), seen.chunk(lat=2, lon=3, time=30), **options)
    assert lazy.soil_moisture.chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)
    assert bool(whole.soil_moisture[:, :, 0, 4].isnull().all())
    assert int(whole.soil_moisture.isnull().sum()) == 60 * 2
    assert bool(whole.innovation.isel(time=slice(0, 19)).isnull().all())


def test_water_is_accounted_for_among_neighbors(scene):
    told, seen, _ = scene
    out = filtered(told, seen, localization=Neighbors(2500.0), inflation=assimilate.inflation.Relax(), members=12)
    water = out.soil_moisture.isel(depth=0) * 50 + out.soil_moisture.isel(depth=1) * 950
    flow = out.water_flux - out.evapotranspiration_flux - out.runoff_flux - out.drainage_flux + out.increment_flux
    assert float(abs(water.diff("time") - (flow * 86400.0).isel(time=slice(1, None))).max()) < 1e-6


def test_errors_are_alike_over_the_length_asked_for():
    """Correlation exp(-(d / L)^2 / 2) and unit variance, at the edges too."""
    at = np.arange(12) * 1000.0
    mix = localization.weights(at, at, Neighbors(3000.0), degrees=False)
    z = np.random.default_rng(0).normal(size=(144, 4000))
    field.alike(z, np.empty_like(z), mix["down"], mix["across"])
    z = z.reshape(12, 12, -1)
    np.testing.assert_allclose(z.std(axis=-1), 1.0, atol=0.06)
    for steps, expected in ((1, np.exp(-1 / 18)), (3, np.exp(-0.5)), (8, np.exp(-32 / 9))):
        assert np.corrcoef(z[2, 2], z[2, 2 + steps])[0, 1] == pytest.approx(expected, abs=0.06)
        assert np.corrcoef(z[2, 2], z[2 + steps, 2])[0, 1] == pytest.approx(expected, abs=0.06)
    white = np.random.default_rng(1).normal(size=(144, 3))
    same = white.copy()
    alone = localization.weights(at, at, Neighbors(3000.0, correlation=0.0), degrees=False)
    field.alike(same, np.empty_like(same), alone["down"], alone["across"])
    np.testing.assert_array_equal(same, white)


def test_weights_know_that_meridians_converge():
    option = Neighbors(25_000.0, cells=1)
    at = np.arange(3) * 0.2  # 22.2 km along a meridian, 11.1 km along the parallel of 60 degrees
    got = localization.weights(60.0 + at, at, option, degrees=True)
    middle = dict(zip(got["near"][4], got["share"][4], strict=True))
    assert middle[4] == 1.0
    assert middle[1] == pytest.approx(float(localization.gaspari_cohn(np.array(22239.0), 25_000.0)))
    assert middle[5] > 0.15 > middle[1]
    assert (got["near"][0] >= 0).sum() < (got["near"][4] >= 0).sum()


def test_what_makes_no_sense_is_named(scene):
    told, seen, _ = scene
    with pytest.raises(VadoseInputError, match="nearest is 999 m away"):  # meridians converge
        filtered(told, seen, localization=Neighbors(500.0))
    with pytest.raises(VadoseInputError, match="square-root"):
        filtered(told, seen, localization=Neighbors(2500.0), method="enkf")
    with pytest.raises(VadoseInputError, match="Neighbors"):
        filtered(told, seen, localization=2500.0)
    flat = twin.weather(3, years=1)
    with pytest.raises(DimensionError, match="grid of lat and lon"):
        filtered(flat, twin.observe(twin.truth(flat)), localization=Neighbors())
    names = {"lat": "y", "lon": "x"}
    far = [a.rename(names).assign_coords(x=("x", np.arange(5.0), {"units": "km"})) for a in (told, seen)]
    with pytest.raises(UnitsError, match="km"):
        filtered(*far, localization=Neighbors())
    for wrong in ({"radius": 0.0}, {"cells": 0}, {"correlation": -1.0}):
        with pytest.raises(VadoseInputError, match=next(iter(wrong))):
            Neighbors(**wrong)
