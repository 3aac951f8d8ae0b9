"""Collocation recovers error variances that are known: from exact covariances, and from samples."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose.errors import VadoseInputError
from vadose.metrics import covariance, extended, moments, triple_collocation
from vadose.metrics.collocation import instrumental, lagged_autocovariance


def state_of(matrix, names, n=1000):
    """A state whose covariance (ddof 1) is exactly `matrix`."""
    m = np.asarray(matrix, dtype=float)
    return xr.Dataset(
        {"n": float(n), "mean": ("product", np.zeros(len(names))), "comoment": (("product", "product_2"), m * (n - 1))},
        coords={"product": names, "product_2": names},
    )


def sample(rng, n, b, s, signal=None, errors=None):
    p = rng.normal(0, 0.05, n) if signal is None else signal
    e = rng.normal(size=(len(b), n)) * np.array(s)[:, None] if errors is None else errors
    return xr.DataArray(
        np.array(b)[:, None] * p + e, dims=("product", "time"), coords={"product": list("xyzu"[: len(b)])}
    )


def test_c_x7_1_population_covariance():
    out = triple_collocation(
        state_of([[0.0029, 0.002, 0.003], [0.002, 0.0025, 0.0024], [0.003, 0.0024, 0.0052]], list("xyz"))
    )
    np.testing.assert_allclose(out.error_variance, [0.0004, 0.0009, 0.0016], rtol=1e-9)
    np.testing.assert_allclose(out.beta, [1.0, 1.25, 0.833333], rtol=1e-6)
    np.testing.assert_allclose(out.snr_db, [7.959, 2.499, 3.522], atol=5e-4)


def test_c_x7_2_samples_recover_known_errors():
    rng = np.random.default_rng(7)
    bounds = np.array([[0.0155, 0.0234], [0.0276, 0.0323], [0.0364, 0.0434]])
    data = xr.concat([sample(rng, 1000, [1, 0.8, 1.2], [0.02, 0.03, 0.04]) for _ in range(4000)], "seed")
    sd = triple_collocation(moments(data)).error_sd
    inside = (sd >= xr.DataArray(bounds[:, 0], dims="product")) & (sd <= xr.DataArray(bounds[:, 1], dims="product"))
    assert float(inside.all("product").mean()) >= 0.97
    assert (inside.mean("seed") >= 0.99).all()
    many = triple_collocation(moments(sample(rng, 200_000, [1, 0.8, 1.2], [0.02, 0.03, 0.04])))
    np.testing.assert_allclose(many.correlation, [0.928, 0.800, 0.832], atol=0.005)


def test_c_x7_3_shared_errors_mislead_tc_in_a_known_way_and_eivd_finds_them():
    b, s, signal, rho = np.array([1, 0.8, 1.2]), np.array([0.02, 0.03, 0.04]), 0.0025, 0.6
    c = signal * np.outer(b, b) + np.diag(s**2)
    c[0, 1] = c[1, 0] = c[0, 1] + rho * s[0] * s[1]
    tc = triple_collocation(state_of(c, list("xyz")))
    raw = c[0, 0] - c[0, 1] * c[0, 2] / c[1, 2]
    assert raw == pytest.approx(-0.00005, abs=1e-6)
    assert np.isnan(tc.error_variance[0])
    assert int(tc.collocation_flag[0]) & 8
    np.testing.assert_allclose(tc.error_sd[1:], [0.0247, 0.0464], atol=5e-5)
    rng = np.random.default_rng(5)
    n, phi = 3000, 0.9
    p = np.empty(n)
    p[0] = rng.normal(0, 0.05)
    for t in range(1, n):
        p[t] = phi * p[t - 1] + np.sqrt(1 - phi**2) * rng.normal(0, 0.05)
    e = rng.normal(size=(3, n))
    e[1] = rho * e[0] + np.sqrt(1 - rho**2) * e[1]
    data = sample(rng, n, b, s, signal=p, errors=e * s[:, None])
    out = instrumental(covariance(moments(data)), lagged_autocovariance(data))
    np.testing.assert_allclose(np.sqrt(out.error_variance), s, atol=0.003)
    assert float(out.error_covariance / np.sqrt(out.error_variance[0] * out.error_variance[1])) == pytest.approx(
        0.6, abs=0.10
    )


def test_c_x7_4_relabelling_permutes_and_rescaling_leaves_skill():
    data = sample(np.random.default_rng(1), 4000, [1, 0.8, 1.2], [0.02, 0.03, 0.04])
    base = triple_collocation(moments(data))
    turned = triple_collocation(moments(data.isel(product=[2, 0, 1])))
    np.testing.assert_allclose(turned.error_variance.sel(product=list("xyz")), base.error_variance, rtol=1e-9)
    scaled = data.copy()
    scaled.loc[{"product": "y"}] = 3.0 * data.sel(product="y") + 0.2
    other = triple_collocation(moments(scaled))
    np.testing.assert_allclose(other.correlation, base.correlation, rtol=1e-9)
    np.testing.assert_allclose(other.snr_db, base.snr_db, rtol=1e-9)


def test_c_x7_5_declared_pair_gives_the_population_back():
    b, s = np.array([1, 0.8, 1.2, 0.9]), np.array([0.02, 0.03, 0.04, 0.025])
    c = 0.0025 * np.outer(b, b) + np.diag(s**2)
    c[0, 1] = c[1, 0] = c[0, 1] + 0.00036
    out = extended(state_of(c, list("xyzu")), correlated=[("x", "y")])
    np.testing.assert_allclose(out.error_variance, s**2, rtol=1e-9)
    assert float(out.error_covariance.sel(product="x", product_2="y")) == pytest.approx(0.00036, rel=1e-9)


def test_product_that_cannot_be_told_apart_is_named():
    with pytest.raises(VadoseInputError, match="'x'"):
        extended(state_of(np.eye(3), list("xyz")), correlated=[("x", "y")])


def test_too_few_samples_are_nan_with_the_reason():
    out = triple_collocation(moments(sample(np.random.default_rng(0), 50, [1, 1, 1], [0.02] * 3)))
    assert bool(out.error_variance.isnull().all())
    assert bool(((out.collocation_flag & 1) == 1).all())
