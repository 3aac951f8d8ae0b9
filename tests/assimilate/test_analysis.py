"""The analysis step against the Kalman filter, by hand and by theory."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose import assimilate
from vadose.assimilate import analysis, inflation, innovations, localization, particle
from vadose.errors import DimensionError, NotFoundError, VadoseInputError

MEAN = np.array([0.25, 0.30])
COVARIANCE = np.array([[0.0016, 0.0008], [0.0008, 0.0009]])
H = np.array([[1.0, 0.0]])
Y, R = np.array([0.20]), np.array([0.0009])


def exact_ensemble(mean, covariance, members, seed=0):
    """Members whose sample mean and covariance are exactly the given ones."""
    z = np.random.default_rng(seed).normal(size=(len(mean), members))
    z -= z.mean(axis=1, keepdims=True)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(z)))
    return mean[:, None] + np.linalg.cholesky(covariance) @ np.linalg.solve(root, z)


def test_c_t1_5_1_kalman_by_hand():
    # K = .0016 / (.0016 + .0009) = .64; .25 + .64 x (.20 - .25) = .218; (1 - .64) x .0016 = .000576
    mean, variance = analysis.kalman(MEAN[:1], COVARIANCE[:1, :1], Y, np.eye(1), np.diag(R))
    assert mean[0] == pytest.approx(0.218)
    assert variance[0, 0] == pytest.approx(0.000576)
    mean, covariance = analysis.kalman(MEAN, COVARIANCE, Y, H, np.diag(R))
    np.testing.assert_allclose(mean, [0.218, 0.284])  # K = (.64, .32)
    assert covariance[1, 1] == pytest.approx(0.000644)  # .0009 - .32 x .0008


@pytest.mark.parametrize("name", ["etkf", "ensrf"])
def test_c_t1_5_1_square_root_filters_are_exact(name):
    ensemble = exact_ensemble(MEAN, COVARIANCE, 30)
    out = getattr(analysis, name)(ensemble, ensemble[:1], Y, R)
    np.testing.assert_allclose(out.mean(axis=1), [0.218, 0.284], atol=1e-10)
    np.testing.assert_allclose(np.cov(out), [[0.000576, 0.000288], [0.000288, 0.000644]], atol=1e-10)


def test_c_t1_5_1_stochastic_filter_within_two_percent():
    ensemble = exact_ensemble(MEAN, COVARIANCE, 20000)
    out = analysis.enkf(ensemble, ensemble[:1], Y, R, rng=1)
    np.testing.assert_allclose(out.mean(axis=1), [0.218, 0.284], rtol=0.02)
    np.testing.assert_allclose(np.cov(out), [[0.000576, 0.000288], [0.000288, 0.000644]], rtol=0.02)


@pytest.mark.parametrize("name", analysis.METHODS)
def test_c_t1_5_2_limits_of_trust(name):
    ensemble = exact_ensemble(MEAN, COVARIANCE, 40)
    call = getattr(analysis, name)
    np.testing.assert_allclose(
        call(ensemble, ensemble[:1], Y, np.array([1e12])), ensemble, atol=1e-4 if name == "enkf" else 1e-9
    )
    sure = call(ensemble, ensemble[:1], Y, np.array([1e-14]))
    np.testing.assert_allclose(sure[0], 0.20, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), states=st.integers(1, 5), seen=st.integers(1, 4), members=st.integers(8, 30))
def test_filters_equal_kalman_with_the_ensembles_own_covariance(seed, states, seen, members):
    rng = np.random.default_rng(seed)
    ensemble = rng.normal(size=(3, states, members))
    h = rng.normal(size=(seen, states))
    y, r = rng.normal(size=(3, seen)), rng.uniform(0.1, 2, (3, seen))
    y[1, 0] = np.nan
    for call in (analysis.etkf, analysis.ensrf):
        out = call(ensemble, h @ ensemble, y, r)
        for c in range(3):
            use = np.isfinite(y[c])
            if not use.any():
                np.testing.assert_allclose(out[c], ensemble[c], atol=1e-9)
                continue
            mean, covariance = analysis.kalman(
                ensemble[c].mean(1), np.atleast_2d(np.cov(ensemble[c])), y[c][use], h[use], np.diag(r[c][use])
            )
            np.testing.assert_allclose(out[c].mean(1), mean, atol=1e-8)
            np.testing.assert_allclose(np.atleast_2d(np.cov(out[c])), covariance, atol=1e-8)


def test_update_on_named_dims_lazy_and_equal():
    rng = np.random.default_rng(0)
    ensemble = xr.DataArray(rng.normal(size=(2, 20, 6, 5)), dims=("state", "member", "lat", "lon"))
    seen = ensemble.isel(state=[0]).rename(state="observation")
    y = xr.DataArray(rng.normal(size=(1, 6, 5)), dims=("observation", "lat", "lon"))
    whole = assimilate.update(ensemble, seen, y, 0.5)
    assert whole.dims == ensemble.dims
    lazy = assimilate.update(ensemble.chunk(lat=2), seen.chunk(lat=2), y.chunk(lat=2), 0.5, method="ensrf")
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.mean("member").compute(), whole.mean("member"))
    with pytest.raises(NotFoundError, match="etkf"):
        assimilate.update(ensemble, seen, y, 0.5, method="etfk")
    with pytest.raises(VadoseInputError, match="positive"):
        assimilate.update(ensemble, seen, y, 0.0)
    with pytest.raises(DimensionError, match="members"):
        analysis.etkf(np.zeros((2, 5)), np.zeros((1, 4)), Y, R)


def test_c_t1_5_5_particles_agree_with_kalman():
    rng = np.random.default_rng(0)
    n = 100_000
    particles = rng.multivariate_normal(MEAN, COVARIANCE, n).T
    moved, weight = particle.filter_step(particles, np.full(n, 1 / n), particles[0], Y[0], R[0], jitter=0.0, rng=1)
    np.testing.assert_allclose((moved * weight).sum(axis=1), [0.218, 0.284], atol=0.001)
    unseen, same = particle.filter_step(particles, np.full(n, 1 / n), particles[0], np.nan, R[0], rng=1)
    np.testing.assert_array_equal(unseen, particles)
    np.testing.assert_allclose(same, 1 / n)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60))
def test_systematic_resampling_is_fair(seed, n):
    weight = np.random.default_rng(seed).dirichlet(np.full(n, 0.3))
    children = np.bincount(particle.systematic(weight, rng=seed), minlength=n)
    assert children.sum() == n
    assert (np.abs(children - n * weight) <= 1 + 1e-9).all()


def test_effective_number_counts_equals():
    assert particle.effective(np.full(8, 1 / 8)) == pytest.approx(8)
    assert particle.effective(np.array([1.0, 0, 0])) == pytest.approx(1)


def test_inflation_keeps_the_mean_and_gives_the_spread():
    rng = np.random.default_rng(0)
    before, after = rng.normal(3, 2, (4, 30)), rng.normal(5, 1, (4, 30))
    np.testing.assert_allclose(inflation.multiply(after, 1.1).mean(-1), after.mean(-1))
    np.testing.assert_allclose(inflation.multiply(after, 1.1).std(-1), 1.1 * after.std(-1))
    np.testing.assert_allclose(inflation.relax(after, before, 1.0).std(-1), before.std(-1))
    np.testing.assert_allclose(inflation.relax(after, before, 0.0), after)
    # innovations with variance 2.25 P + R need anomalies 1.5 times as wide
    d = rng.normal(size=200_000) * np.sqrt(2.25 + 1.0)
    assert inflation.adaptive_factor(d, np.ones_like(d), np.ones_like(d), limits=(1, 3)) == pytest.approx(1.5, abs=0.02)


def test_gaspari_cohn_falls_from_one_to_zero():
    assert localization.gaspari_cohn(np.array(0.0), 500) == 1
    # at half the radius (z = 1): -1/4 + 1/2 + 5/8 - 5/3 + 1 = 5/24
    assert localization.gaspari_cohn(np.array(250.0), 500) == pytest.approx(5 / 24)
    assert localization.gaspari_cohn(np.array([500.0, 900.0]), 500).tolist() == [0, 0]
    assert (np.diff(localization.gaspari_cohn(np.linspace(0, 500, 50), 500)) <= 0).all()


def test_neighbors_fill_an_unseen_cell_and_far_cells_do_not():
    rng = np.random.default_rng(0)
    shared = rng.normal(0.25, 0.04, 60)
    ensemble = np.broadcast_to(shared, (5, 5, 1, 60)).copy() + rng.normal(0, 0.005, (5, 5, 1, 60))
    y, r = np.full((5, 5), np.nan), np.full((5, 5), 0.0004)
    y[2, 2] = 0.20
    out = localization.neighborhood(ensemble, ensemble[:, :, 0], y, r, spacing=100.0, radius=500.0)
    moved = np.abs(out.mean(-1) - ensemble.mean(-1))[..., 0]
    assert moved[2, 2] > moved[2, 3] > moved[3, 3] > 0.005
    np.testing.assert_allclose(moved[0], 0, atol=1e-12)
    alone = localization.neighborhood(ensemble, ensemble[:, :, 0], y, r, spacing=1000.0, radius=500.0)
    np.testing.assert_allclose(
        alone,
        analysis.etkf(ensemble, ensemble[:, :, :1, :].reshape(5, 5, 1, 60), y[..., None], r[..., None]),
        atol=1e-12,
    )


def test_diagnostics_know_an_honest_filter_from_a_wrong_one():
    time = np.arange(400)
    z = np.random.default_rng(0).normal(size=(400, 3))
    z[:, 1] *= 2.0  # R four times too small
    z[:, 2] += 0.5  # biased
    d = xr.DataArray(z, dims=("time", "cell"), coords={"time": time})
    out = innovations.diagnose(d, xr.ones_like(d))
    assert out.innovation_flag.values.tolist() == [0, 2, 1]
    assert float(out.nis[0]) == pytest.approx(1, abs=0.2)
    ar = np.zeros(400)
    for t in range(1, 400):
        ar[t] = 0.6 * ar[t - 1] + 0.8 * z[t, 0]
    memory = innovations.diagnose(xr.DataArray(ar, dims="time"), xr.DataArray(np.ones(400), dims="time"))
    assert float(memory.innovation_memory) == pytest.approx(0.6, abs=0.12)
    assert int(memory.innovation_flag) & 4


def test_ranks_of_an_honest_ensemble_are_flat():
    rng = np.random.default_rng(0)
    counts = innovations.ranks(rng.normal(size=(20000, 9)), rng.normal(size=20000))
    np.testing.assert_allclose(counts, 2000, atol=200)
