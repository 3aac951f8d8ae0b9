"""Emergent constraints, weights of models and relationships against arithmetic and known truth."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.benchmark import constraint as c
from vadose.benchmark import pace
from vadose.benchmark import relationship as r
from vadose.benchmark.recipe import Recipe, Relation
from vadose.benchmark.records import Record
from vadose.benchmark.relations import relation_rows
from vadose.errors import TooFewSamplesError, VadoseInputError, VadoseWarning

X, Y = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([1.1, 1.9, 3.2, 3.9, 5.1])
WHY = "wetter soils evaporate more today and tomorrow"


def test_c_t1_4_5_emergent_constraint_in_closed_form():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VadoseWarning)  # five models are few, as the check wants
        found = c.emergent_constraint(X, Y, observed=0.35, error=0.05, mechanism=WHY)
    assert found.slope == pytest.approx(10.0)
    assert found.intercept == pytest.approx(0.04)
    assert found.residual == pytest.approx(0.154919, abs=1e-6)  # sqrt(0.072 / 3)
    assert found.mean == pytest.approx(3.54)
    assert found.sd == pytest.approx(0.52915, abs=1e-5)  # sqrt(0.024 * (1 + .2 + .005/.1) + 100 * .0025)
    assert (found.prior_mean, found.prior_sd) == (pytest.approx(3.04), pytest.approx(1.5868, abs=1e-4))
    assert found.left_out.size == 5
    assert not found.trusted


def test_a_constraint_needs_a_mechanism_and_enough_models():
    with pytest.raises(VadoseInputError, match="mechanism"):
        c.emergent_constraint(X, Y, observed=0.3, error=0.1, mechanism="because")
    with pytest.warns(VadoseWarning, match="5 models"):
        c.emergent_constraint(X, Y, observed=0.3, error=0.1, mechanism=WHY)
    with pytest.raises(TooFewSamplesError):
        c.emergent_constraint(X[:3], Y[:3], observed=0.3, error=0.1, mechanism=WHY)


def test_c_t1_4_6_performance_and_independence():
    between = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0.0]])
    w = c.performance_independence([0.5, 1.0, 1.5], between, performance_radius=1.0, independence_radius=1.0)
    np.testing.assert_allclose(w, [0.661126, 0.249401, 0.089474], atol=1e-6)


def test_twins_share_their_weight():
    between = np.array([[0, 0, 5], [0, 0, 5], [5, 5, 0.0]])
    w = c.performance_independence([1, 1, 1], between, performance_radius=1.0, independence_radius=0.5)
    assert w[0] + w[1] == pytest.approx(w[2])


def test_the_perfect_model_test_finds_a_radius_among_the_candidates():
    rng = np.random.default_rng(0)
    y = rng.normal(size=12)
    between = np.abs(y[:, None] - y[None, :])
    radius = c.perfect_model_radius(between, y, independence_radius=0.3)
    assert 0 < radius <= 2.0 * np.median(between[~np.eye(12, dtype=bool)])


def world():
    rng = np.random.default_rng(4)
    truth = 0.25 + 0.05 * rng.normal(size=2000)
    models = np.stack([truth + 0.01 * rng.normal(size=2000), truth + 0.03 * rng.normal(size=2000), 0.25 + 0.05 * rng.normal(size=2000)], axis=1)  # fmt: skip
    return truth, models


def test_c_t1_4_7_bayesian_averaging_finds_the_good_member():
    truth, models = world()
    found = c.bayesian_average(truth, models)
    assert found.weights[0] > 0.95
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.sd[0] == pytest.approx(0.0102, abs=0.001)
    mean, variance = found.predict(models)
    inside = np.abs(truth - mean) < 1.645 * np.sqrt(variance)
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


def test_the_posterior_of_weights_agrees_with_least_squares_and_its_chains_agree():
    truth, models = world()
    found = c.weight_posterior(truth, models, error=0.01, draws=3000, rng=1)
    assert (found.r_hat < 1.05).all()
    # independent errors: weights as inverse error variances, 1e-4, 9e-4 and (of the unrelated one) 5e-3
    np.testing.assert_allclose(found.mean, [0.884, 0.098, 0.018], atol=0.04)
    np.testing.assert_allclose(found.draws.sum(axis=1), 1.0)


def made(rng, n=4000, *, top=1.0, slope=2.0):
    x = rng.uniform(0, top, n)
    return r.Samples(x, 1.0 + slope * x, np.ones(n), rng.integers(0, 20, n))


def test_the_same_relation_scores_one_even_where_the_model_covers_less_of_the_driver():
    rng = np.random.default_rng(0)
    whole, part, beyond = made(rng), made(rng, top=0.6), made(rng, top=2.0)
    # ilamb3 gives 0.41 and 0.84 here: its norm ignores the mask, and its limits come from the reference alone
    assert r.relate(whole, part).score > 0.97
    assert r.relate(whole, beyond).score > 0.97


def test_another_relation_scores_lower_and_its_curve_lies_outside_the_interval():
    rng = np.random.default_rng(0)
    found = r.relate(made(rng), made(rng, slope=-1.0))
    assert found.score < 0.6
    assert (found.low[0][-5:] > found.high[1][-5:]).all()


def test_the_hellinger_score_of_relations_that_never_meet_is_zero():
    rng = np.random.default_rng(0)
    a = made(rng)
    b = r.Samples(a.driver + 5, a.response, a.weight, a.block)
    assert r.relate(a, b).hellinger == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(r.relate(a, b).score)


def test_a_model_is_asked_for_its_answer_only_where_and_when_the_reference_has_one():
    """It evaporates twice as much in the south and in July, where nobody observed: its curve is that of the reference."""
    time, lat, lon = pd.date_range("2001-01-01", periods=12, freq="MS"), np.arange(0.5, 8), np.arange(0.5, 8)
    coords = {"time": time, "lat": lat, "lon": lon}
    water = xr.DataArray(
        np.random.default_rng(1).uniform(0.1, 0.4, (12, 8, 8)),
        coords,
        ("time", "lat", "lon"),
        attrs={"units": "m3 m-3"},
    )
    flux = (water * 1e-4).assign_attrs(units="kg m-2 s-1")
    seen = (water.lat > 4) & (water.time.dt.month != 7)
    wrong = flux.where(seen, 2 * flux).assign_attrs(flux.attrs)
    sides = [
        tuple(Record(v, None, None, ()) for v in pair)
        for pair in ((water.where(seen).assign_attrs(water.attrs), flux), (water, wrong))
    ]
    recipe = Recipe("t", (), (), draws=20)
    everywhere = {"all": lambda lat, lon: np.ones(lat.size, bool)}
    scores, _, _ = relation_rows(Relation("evapotranspiration_flux"), "soil_moisture", *sides, None, everywhere, recipe)
    assert set(scores.n) == {11 * 32}
    np.testing.assert_allclose(scores.value, 1.0, atol=1e-9)


def test_both_scores_of_a_relation_lie_in_their_intervals():
    rng = np.random.default_rng(0)
    found = r.relate(made(rng), made(rng, slope=1.5))
    # draws of blocks fill fewer bins alike than the whole and so score lower: their spread is laid around the score
    assert found.score_low < found.score < found.score_high
    assert found.hellinger_low < found.hellinger < found.hellinger_high
    assert found.hellinger_high - found.hellinger_low < 0.2


def test_a_relation_that_is_right_has_an_interval_that_reaches_its_score():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 400)  # few samples, much noise: drawn apart, the two sides are alike less than they are
    sides = [r.Samples(x, x + rng.normal(0, 0.3, 400), np.ones(400), np.arange(400) // 20) for _ in range(2)]
    found = r.relate(*sides, draws=200)
    assert found.score_low < found.score <= found.score_high <= 1


def test_the_interval_of_the_pace_of_drying_holds_the_ratio_of_known_time_scales():
    rng = np.random.default_rng(0)
    reference, model = (tau * np.exp(0.2 * rng.normal(size=200)) for tau in (5.0, 10.0))
    low, high = pace._interval(reference, model)
    assert low < 0.5 < high  # exp(-|ln 2|)
    assert high - low < 0.1
    assert np.isnan(pace._interval(reference[:4], model)).all()


def test_interaction_is_none_for_added_effects_and_found_for_a_product():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 20_000))
    added = r.interact(x, z, x + z, np.ones(x.size))
    product = r.interact(x, z, x * z, np.ones(x.size))
    assert added.interaction < 0.01
    assert product.interaction > 0.9


def test_partial_correlation_takes_the_common_cause_out():
    rng = np.random.default_rng(0)
    cause = rng.normal(size=3000)
    x, y = cause + 0.3 * rng.normal(size=3000), cause + 0.3 * rng.normal(size=3000)
    assert np.corrcoef(x, y)[0, 1] > 0.85
    assert abs(r.partial_correlation(x, y, cause[:, None])) < 0.06
