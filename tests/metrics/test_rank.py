"""Ranks against scipy; their intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vadose.metrics import rank_scores


def series(values):
    return xr.DataArray(np.asarray(values, dtype=float), dims="time")


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 200), steps=st.integers(2, 50), gaps=st.floats(0, 0.4))
def test_rho_and_tau_are_those_of_scipy_with_ties_and_gaps(seed, n, steps, gaps):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, steps, n).astype(float)
    y = np.round(0.5 * x + rng.normal(0, steps / 4, n))
    x[rng.random(n) < gaps] = np.nan
    good = np.isfinite(x)
    out = rank_scores(series(x), series(y))
    if good.sum() < 3 or np.ptp(x[good]) == 0 or np.ptp(y[good]) == 0:
        return
    assert float(out.spearman) == pytest.approx(stats.spearmanr(x[good], y[good]).statistic, abs=1e-12)
    assert float(out.kendall) == pytest.approx(stats.kendalltau(x[good], y[good]).statistic, abs=1e-12)
    assert int(out.n) == good.sum()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_ranks_do_not_change_under_growing_functions_and_swap_sign_with_the_order(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=60), rng.normal(size=60)
    a, b = rank_scores(series(x), series(y)), rank_scores(series(np.exp(x)), series(y**3))
    c = rank_scores(series(-x), series(y))
    for name in ("spearman", "kendall"):
        assert float(a[name]) == pytest.approx(float(b[name]), abs=1e-12)
        assert float(a[name]) == pytest.approx(-float(c[name]), abs=1e-12)


def ar1(rng, n, phi, draws):
    out = rng.normal(size=(n, draws))
    for t in range(1, n):
        out[t] = phi * out[t - 1] + np.sqrt(1 - phi**2) * out[t]
    return out


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_intervals_of_ranks_cover_92_to_97_percent_under_autocorrelation(phi):
    """Normal pairs with correlation r: rho = 6 / pi asin(r / 2), tau = 2 / pi asin(r)."""
    rng = np.random.default_rng(int(10 * phi) + 1)
    r, draws = 0.6, 1500
    x, e = ar1(rng, 600, phi, draws), ar1(rng, 600, phi, draws)
    y = r * x + np.sqrt(1 - r**2) * e
    out = rank_scores(xr.DataArray(x, dims=("time", "draw")), xr.DataArray(y, dims=("time", "draw")))
    rho, tau = 6 / np.pi * np.arcsin(r / 2), 2 / np.pi * np.arcsin(r)
    for name, truth in (("spearman", rho), ("kendall", tau)):
        inside = float(((out[f"{name}_low"] <= truth) & (out[f"{name}_high"] >= truth)).mean())
        assert 0.92 <= inside <= 0.975, (name, inside)


def test_lazy_and_in_memory_agree_and_tau_can_be_left_out():
    rng = np.random.default_rng(5)
    x = xr.DataArray(rng.normal(size=(80, 3, 4)), dims=("time", "lat", "lon"))
    y = x + rng.normal(size=x.shape)
    lazy = rank_scores(x.chunk(time=20, lat=1), y.chunk(time=20, lat=1))
    assert lazy.spearman.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), rank_scores(x, y))
    assert np.isnan(rank_scores(x, y, kendall=False).kendall).all()
    assert np.isnan(rank_scores(x, xr.zeros_like(x)).spearman).all()
