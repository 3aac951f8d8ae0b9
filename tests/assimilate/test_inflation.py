"""Inflation in the filter: a spread that is too small is found by the innovations, one that is right is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import assimilate, cf
from vadose.assimilate import Perturbation, inflation, innovations, spread, twin
from vadose.errors import VadoseInputError

TOO_SURE = Perturbation(rain_cv=0.1, demand_cv=0.05, surface_sd=0.002, root_sd=0.0005)


@pytest.fixture(scope="module")
def season():
    forcing = twin.weather(8, rng=5, years=2)
    truth = twin.truth(forcing)
    return twin.degrade(forcing), twin.observe(truth, standard_error=0.03), truth


def filtered(season, **options):
    bad, seen, _ = season
    call = {"initial": (0.25, 0.25), "perturbation": TOO_SURE, **options}
    return assimilate.run(bad.precipitation_flux, bad.potential_evaporation_flux, seen, 0.03, **{**twin.LOAM, **call})


def test_adaptive_inflation_makes_a_filter_that_is_too_sure_consistent(season):
    """The rain is wrong by a factor and has missing events, the ensemble believes in 10 %: squared innovations tell."""
    _, _, truth = season
    found = {}
    for name, rule in (("none", 1.0), ("adaptive", inflation.Adaptive(memory=15.0, limits=(1.0, 4.0)))):
        out = filtered(season, inflation=rule)
        nis = innovations.diagnose(out.innovation, out.innovation_standard_error).nis.mean("cell").values
        found[name] = nis, twin.score(out, xr.zeros_like(truth), truth).mean("cell"), out
    assert (found["none"][0] > 1.5).all()
    assert (np.abs(found["adaptive"][0] - 1) < 0.25).all()
    assert (found["adaptive"][1].rmsd < 0.8 * found["none"][1].rmsd).all()
    assert (found["adaptive"][1].spread_skill > 2 * found["none"][1].spread_skill).all()
    assert (found["adaptive"][2].inflation_factor.mean(("time", "cell")) > 1.1).all()
    assert (found["none"][2].inflation_factor.isel(time=slice(0, None, 3)) == 1).all()


def test_adaptive_inflation_leaves_a_layer_alone_that_nothing_observes(season):
    bad, seen, _ = season
    surface = seen.where(xr.DataArray([True, False], dims="depth")).assign_attrs(seen.attrs)
    factor = filtered((bad, surface, None), inflation=inflation.Adaptive()).inflation_factor
    assert float(factor.isel(depth=0).mean()) > 1.1
    np.testing.assert_array_equal(factor.isel(depth=1).dropna("time", how="all"), 1.0)


def test_rules_that_do_nothing_give_the_plain_filter(season):
    plain = filtered(season, inflation=1.0, members=20)
    for rule in (inflation.Relax(0.0), inflation.Adaptive(limits=(1.0, 1.0))):
        xr.testing.assert_identical(filtered(season, inflation=rule, members=20), plain)
    xr.testing.assert_identical(filtered(season), filtered(season, inflation=1.02))


def test_relaxation_restores_the_spread_of_the_forecast(season):
    """With all of it restored, the analysis is as wide as the forecast was, wherever no member left the soil."""
    bad, seen, _ = season
    still = Perturbation(rain_cv=0.0, demand_cv=0.0, surface_sd=1e-9, root_sd=1e-9)
    kept, shrunk = (
        filtered((bad * 0, seen.where(seen.time == seen.time[0]).assign_attrs(seen.attrs), None), inflation=rule, perturbation=still)
        for rule in (inflation.Relax(1.0), 1.0)
    )  # fmt: skip
    first = kept.soil_moisture_standard_error.isel(time=0)
    np.testing.assert_allclose(first, 0.03, rtol=0.35)  # as drawn at the start: 0.03 of 50 members
    # K = .0009 / (.0009 + .0009) = 1/2, so the plain analysis keeps the root of a half of the variance
    np.testing.assert_allclose(shrunk.soil_moisture_standard_error.isel(time=0) / first, np.sqrt(0.5), atol=0.12)
    np.testing.assert_allclose(
        kept.inflation_factor.isel(time=0) * shrunk.soil_moisture_standard_error.isel(time=0), first
    )


def test_the_compiled_factor_is_that_of_the_function():
    """Innovations with variance 2.25 P + R: both say that anomalies must be 1.5 times as wide."""
    rng = np.random.default_rng(0)
    d, sums = rng.normal(size=6000) * np.sqrt(2.25 * 4e-4 + 9e-4), np.zeros(2)
    for value in d:
        factor = spread.learn_factor(sums, 0.0, 4e-4, value, 9e-4, (1000.0, 1.0, 3.0))
    assert factor == pytest.approx(1.5, abs=0.1)
    whole = inflation.adaptive_factor(d, np.full_like(d, 4e-4), np.full_like(d, 9e-4), limits=(1.0, 3.0))
    assert whole == pytest.approx(1.5, abs=0.1)


def test_a_collapsed_ensemble_is_revived_and_says_so(season):
    """Members that all agree would never listen again; they get 0.001 m3 m-3 of doubt, and the flag tells."""
    bad, seen, _ = season
    sure = {"initial_sd": 0.0, "perturbation": Perturbation(rain_cv=0.0, demand_cv=0.0, surface_sd=1e-9, root_sd=1e-9)}
    first = seen.isel(time=slice(0, 6)), bad.isel(time=slice(0, 6))
    out = filtered((first[1], first[0], None), inflation=1.0, **sure)
    collapsed = cf.has_flag(out.soil_moisture_flag, "collapsed")
    assert bool(collapsed.isel(time=0).all())
    assert not bool(collapsed.isel(time=[1, 2]).any())  # nothing was seen then
    spread_then = np.sqrt(out.innovation_standard_error.isel(time=0, observation=0) ** 2 - 0.03**2)
    np.testing.assert_allclose(spread_then, 0.001, rtol=0.4)


@pytest.mark.parametrize("method", ["etkf", "enkf"])
def test_water_is_accounted_for_under_every_rule(season, method):
    for rule in (inflation.Relax(), inflation.Adaptive()):
        out = filtered(season, inflation=rule, method=method, members=20)
        water = out.soil_moisture.isel(depth=0) * 50 + out.soil_moisture.isel(depth=1) * 950
        flow = out.water_flux - out.evapotranspiration_flux - out.runoff_flux - out.drainage_flux + out.increment_flux
        assert float(abs(water.diff("time") - (flow * 86400.0).isel(time=slice(1, None))).max()) < 1e-6


def test_rules_that_make_no_sense_are_named(season):
    for wrong in (0.9, float("nan"), "adaptive", True, None):
        with pytest.raises(VadoseInputError, match="at least 1"):
            filtered(season, inflation=wrong)
    with pytest.raises(VadoseInputError, match="0 to 1"):
        inflation.Relax(1.5)
    with pytest.raises(VadoseInputError, match="memory"):
        inflation.Adaptive(memory=1)
    with pytest.raises(VadoseInputError, match="in order"):
        inflation.Adaptive(limits=(2.0, 1.0))
    with pytest.raises(VadoseInputError, match="jitter"):
        filtered(season, inflation=inflation.Adaptive(), method="particle")
