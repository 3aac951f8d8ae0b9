"""Instruments err as declared: bias, error size, independence, the shared part, and gaps for a reason."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import cf, world
from vadose.errors import NotFoundError
from vadose.world import observe, stations

SATELLITES = ("lband", "cband", "merged")
MODELS = ("reanalysis", "land_model")


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return world.make((-104.0, 36.0, -84.0, 56.0), 1.0, "2017-01-01", "2018-12-31", seed=42)


@pytest.fixture(scope="module")
def errors(truth) -> dict[str, xr.DataArray]:
    out = {}
    for name in (*SATELLITES, *MODELS):
        kind, seen = observe.ERRORS[name], getattr(observe, name)(truth, seed=3)
        out[name] = seen.soil_moisture - kind.offset - kind.gain * observe.surface(truth, kind.bottom)
    return out


@pytest.mark.parametrize("name", [*SATELLITES, *MODELS])
def test_errors_have_the_size_that_the_standard_error_says(truth, errors, name):
    sigma = getattr(observe, name)(truth, seed=3).soil_moisture_standard_error
    ratio = float((errors[name] / sigma).std())
    assert ratio == pytest.approx(1.0, abs=0.03 if name in SATELLITES else 0.10)  # smooth errors: fewer free samples
    inside = float((np.abs(errors[name]) < sigma).where(errors[name].notnull()).mean())
    assert inside == pytest.approx(0.683, abs=0.03)


def test_collocation_assumptions_hold(truth, errors):
    top = observe.surface(truth)
    for name, error in errors.items():
        assert abs(float(error.mean())) < 0.002, name
        assert abs(float(xr.corr(error, top))) < (0.02 if name in SATELLITES else 0.06), name
    for a, b in (("lband", "cband"), ("lband", "land_model"), ("cband", "land_model"), ("lband", "reanalysis")):
        assert abs(float(xr.corr(errors[a], errors[b]))) < 0.02, (a, b)


def test_reanalysis_and_land_model_share_the_declared_part(errors):
    shared = float(xr.corr(errors["reanalysis"], errors["land_model"]))
    assert shared == pytest.approx(observe.SHARED_VARIANCE, abs=0.08)


def test_satellites_are_blind_where_frozen_snowy_or_not_overhead(truth):
    seen = observe.lband(truth, seed=3)
    blind = cf.has_flag(seen.soil_moisture_flag, "frozen", "snow", "no_overpass")
    assert bool(seen.soil_moisture.isnull().equals(blind)) or bool((seen.soil_moisture.isnull() == blind).all())
    share = float((~cf.has_flag(seen.soil_moisture_flag, "no_overpass")).mean())
    assert share == pytest.approx(4.5 / 7.0, abs=0.03)


@pytest.mark.parametrize("name", [*SATELLITES, *MODELS])
def test_instruments_do_not_depend_on_chunks_and_stay_lazy(truth, name):
    small = truth.isel(lat=slice(0, 6), lon=slice(0, 5), time=slice(0, 120))
    now = getattr(observe, name)(small, seed=3)
    lazy = getattr(observe, name)(small.chunk(lat=2, lon=3), seed=3)
    assert lazy.soil_moisture.chunks is not None
    xr.testing.assert_allclose(lazy.load(), now, rtol=1e-4, atol=1e-6)


def test_planted_faults_of_an_earth_system_model_are_there(truth):
    good = observe.earth_system_model(truth)
    dry = observe.earth_system_model(truth, faults=("dry_bias",))
    assert float((dry.soil_moisture - good.soil_moisture).median()) == pytest.approx(-0.06, abs=1e-3)
    late = observe.earth_system_model(truth, faults=("late_season",)).evapotranspiration_flux
    assert bool((late.isel(time=8) == good.evapotranspiration_flux.isel(time=6)).all())
    north = observe.earth_system_model(truth, faults=("missing_north",)).soil_moisture
    assert bool(north.where(north.lat > 50, drop=True).isnull().all())
    assert bool(north.where(north.lat < 50, drop=True).notnull().all())
    free = observe.earth_system_model(truth, faults=("wrong_relationship",)).evapotranspiration_flux
    demand = truth.potential_evaporation_flux.resample(time="MS").mean()
    assert float(xr.corr(free, demand)) > 0.999
    assert float(xr.corr(good.evapotranspiration_flux, demand)) < 0.95
    with pytest.raises(NotFoundError, match="dry_bias"):
        observe.earth_system_model(truth, faults=("dry_bais",))


def test_station_faults_are_labelled_where_they_were_planted(truth):
    cells = truth.isel(lat=slice(10, 20))
    clean = stations.network(cells, 4, rng=5, faults=False)
    faulty = stations.network(cells, 4, rng=5, faults=True)
    assert not clean.fault.any()
    touched = np.abs(faulty.soil_moisture - clean.soil_moisture) > 1e-6
    assert not bool((touched & (faulty.fault == 0)).any())
    for kind in stations.FAULT_KINDS:
        assert bool(cf.has_flag(faulty.fault, kind).any()), kind
    spikes = cf.has_flag(faulty.fault, "spike") & ~cf.has_flag(faulty.fault, "drop", "plateau", "frozen")
    assert float((faulty.soil_moisture - clean.soil_moisture).where(spikes).min()) >= 0.079


def test_hourly_rain_adds_up_to_the_day(truth):
    network = stations.network(truth, 3, rng=5)
    daily = network.precipitation_flux.resample(time="D").mean()
    at = truth.precipitation_flux.sel(lat=network.lat, lon=network.lon).transpose(*daily.dims)
    np.testing.assert_allclose(daily.values, at.values, rtol=1e-4, atol=1e-10)


def test_towers_do_not_close_the_energy_balance_as_real_ones_do_not(truth):
    towers = stations.flux_towers(truth, 4).mean("time")
    ratio = (towers.latent_heat_flux + towers.sensible_heat_flux) / (towers.net_radiation - towers.ground_heat_flux)
    assert bool(((ratio > 0.70) & (ratio < 0.95)).all())
