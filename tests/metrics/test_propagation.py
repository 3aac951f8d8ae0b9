"""Uncertainty through a computation, against arithmetic and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.errors import DimensionError, VadoseInputError
from vadose.metrics import propagation


def sds(*values):
    names = list("abcdef"[: len(values)])
    return xr.DataArray(list(values), dims="product", coords={"product": names})


WEIGHT = sds(0.25, 0.25, 0.5)


def test_c_x10_1_weighted_mean_with_and_without_common_error():
    # r = .5: var = .0075^2 + .0075^2 + .02^2 + 2 (.5) (.0075 .0075 + 2 .0075 .02) = .00086875 -> .0294746
    s = sds(0.03, 0.03, 0.04)
    together = propagation.linear(WEIGHT, propagation.error_covariance(s, 0.5))
    apart = propagation.linear(WEIGHT, propagation.error_covariance(s))
    assert float(together) == pytest.approx(0.0294746, abs=5e-8)
    assert float(apart) == pytest.approx(0.0226385, abs=5e-8)


def test_c_x10_2_effective_number_of_a_month_with_memory():
    assert propagation.effective_count(30, 0.8) == pytest.approx(30 * 0.2 / 1.8)  # 3.3333
    assert propagation.effective_count(30, 0.8) == pytest.approx(3.3333, abs=5e-5)
    assert propagation.time_mean_error(0.03, 30, 0.8) == pytest.approx(0.03 / np.sqrt(10 / 3))


def test_c_x10_3_monte_carlo_agrees_with_the_linear_rule():
    s = {"a": 0.03, "b": 0.03, "c": 0.04}
    inputs = {k: (xr.DataArray(0.2), v) for k, v in s.items()}

    def mean(a, b, c):
        return 0.25 * a + 0.25 * b + 0.5 * c

    for r in (0.0, 0.5):
        mixing = np.full((3, 3), r) + (1 - r) * np.eye(3)
        sampled = propagation.monte_carlo(mean, inputs, draws=2000, rng=1, correlation=mixing)
        exact = propagation.linear(WEIGHT, propagation.error_covariance(sds(*s.values()), r))
        assert float(sampled.standard_error) == pytest.approx(float(exact), rel=0.05)
        straight = propagation.first_order(mean, inputs, correlation=mixing)
        assert float(straight.standard_error) == pytest.approx(float(exact), rel=1e-6)


def test_space_mean_keeps_what_distance_leaves_independent():
    lat, lon = np.array([40.0, 40.0]), np.array([-100.0, -99.0])
    d = propagation.distance(lat, lon)[0, 1]
    assert d == pytest.approx(6371 * np.deg2rad(1) * np.cos(np.deg2rad(40)), rel=1e-4)
    # two points: var = s^2 (2 + 2 exp(-d / l)) / 4
    assert propagation.space_mean_error(0.04, lat, lon, 50.0) == pytest.approx(
        0.04 * np.sqrt((1 + np.exp(-d / 50)) / 2)
    )
    assert propagation.space_mean_error(0.04, lat, lon, 1e9) == pytest.approx(0.04, rel=1e-6)
    assert propagation.space_mean_error(0.04, lat, lon, 1e-3) == pytest.approx(0.04 / np.sqrt(2), rel=1e-6)


def test_monte_carlo_is_lazy_seeded_and_follows_a_curved_function():
    theta = xr.DataArray(np.full((4, 3), 0.2), dims=("lat", "lon"))
    lazy = propagation.monte_carlo(lambda x: np.exp(5 * x), {"x": (theta.chunk(lat=2), 0.1)}, draws=2000)
    assert lazy["mean"].chunks is not None
    eager = propagation.monte_carlo(lambda x: np.exp(5 * x), {"x": (theta, 0.1)}, draws=2000)
    np.testing.assert_allclose(lazy["mean"].compute(), eager["mean"], rtol=1e-12)
    # log-normal: mean exp(mu + s^2 / 2), sd = mean sqrt(exp(s^2) - 1), s = .5
    mean = np.exp(1 + 0.125)
    assert float(eager["mean"][0, 0]) == pytest.approx(mean, rel=0.01)
    assert float(eager.standard_error[0, 0]) == pytest.approx(mean * np.sqrt(np.exp(0.25) - 1), rel=0.05)


def test_systematic_parts_add_up_and_random_parts_average():
    out = propagation.combine_errors(random=[0.03, 0.04], systematic=[0.01, 0.02])
    assert float(out.random) == pytest.approx(0.05)
    assert float(out.systematic) == pytest.approx(0.03)
    assert float(out.total) == pytest.approx(np.hypot(0.05, 0.03))


@given(s=st.lists(st.floats(0.001, 0.2), min_size=2, max_size=5), r=st.floats(0, 0.99))
def test_common_errors_never_shrink_a_mean(s, r):
    weight = sds(*[1 / len(s)] * len(s))
    apart = float(propagation.linear(weight, propagation.error_covariance(sds(*s))))
    together = float(propagation.linear(weight, propagation.error_covariance(sds(*s), r)))
    assert apart <= together + 1e-12 <= np.mean(s) + 2e-12


def test_wrong_arguments_say_what_is_needed():
    with pytest.raises(VadoseInputError, match="between -1 and 1"):
        propagation.effective_count(30, 1.0)
    with pytest.raises(DimensionError, match="product_2"):
        propagation.linear(WEIGHT, sds(1, 1, 1))
    with pytest.raises(VadoseInputError, match="positive definite"):
        propagation.hypercube(["a", "b"], correlation=np.array([[1.0, 2.0], [2.0, 1.0]]))
