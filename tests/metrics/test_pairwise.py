"""Scores against arithmetic; intervals against their promise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from vadose.metrics import block_bootstrap, compare, moments, scores, stack


def series(values, **attrs):
    return xr.DataArray(np.asarray(values, dtype=float), dims="time", attrs={"units": "m3 m-3", **attrs})


def test_c_x9_1_identities():
    rng = np.random.default_rng(1)
    obs = series(rng.uniform(0.1, 0.4, 500))
    same = compare(obs, obs + 0.05)
    assert float(same.bias) == pytest.approx(0.05, abs=1e-12)
    assert float(same.ubrmsd) == pytest.approx(0.0, abs=1e-7)
    assert float(same.pearson) == pytest.approx(1.0, abs=1e-12)
    assert float(compare(obs, obs).kge) == pytest.approx(1.0, abs=1e-12)
    assert float(compare(obs, xr.full_like(obs, float(obs.mean()))).nse) == pytest.approx(0.0, abs=1e-12)
    other = compare(obs, series(rng.uniform(0.1, 0.4, 500)))
    assert float(other.rmsd**2) == pytest.approx(float(other.bias**2 + other.ubrmsd**2), abs=1e-12)
    assert float(other.rmsd**2) == pytest.approx(
        float(other.mse_bias + other.mse_variance + other.mse_correlation), abs=1e-12
    )


def test_scores_agree_with_scipy_and_numpy():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=300), rng.normal(size=300)
    out = scores(moments(stack(series(a), series(b), names=["a", "b"])), "a", "b")
    assert float(out.pearson) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-12)
    assert float(out.rmsd) == pytest.approx(np.sqrt(np.mean((b - a) ** 2)), abs=1e-12)
    assert float(out.slope) == pytest.approx(stats.linregress(a, b).slope, abs=1e-12)


def ar1(rng, n, phi, draws):
    noise = rng.normal(size=(n, draws))
    out = np.empty_like(noise)
    out[0] = noise[0]
    for t in range(1, n):
        out[t] = phi * out[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    return out


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.9])
def test_nominal_95_percent_intervals_cover_92_to_97_under_autocorrelation(phi):
    """Known truth: bias 0.03, correlation 0.6, both series AR(1). 1500 series of 1000 days."""
    rng = np.random.default_rng(int(phi * 10))
    draws = 1500
    x, e = ar1(rng, 1000, phi, draws), ar1(rng, 1000, phi, draws)
    y = 0.6 * x + 0.8 * e + 0.03
    out = compare(xr.DataArray(x, dims=("time", "draw")), xr.DataArray(y, dims=("time", "draw")))
    bias = float(((out.bias_low <= 0.03) & (out.bias_high >= 0.03)).mean())
    r = float(((out.pearson_low <= 0.6) & (out.pearson_high >= 0.6)).mean())
    assert 0.92 <= bias <= 0.97, bias
    assert 0.92 <= r <= 0.97, r
    spread = np.sqrt(0.4**2 + 0.8**2)  # of y - x = -0.4 x + 0.8 e
    ub = float(((out.ubrmsd_low <= spread) & (out.ubrmsd_high >= spread)).mean())
    assert 0.92 <= ub <= 0.97, ub


def test_block_bootstrap_covers_the_mean_of_a_persistent_series():
    rng = np.random.default_rng(3)
    hits = 0
    for k in range(200):
        x = ar1(rng, 1200, 0.7, 1)[:, 0]
        low, high = block_bootstrap(lambda s: s.mean(0), x, block=40, draws=300, rng=k)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize("n", [10, 365, 10_000])
def test_a_constant_series_has_no_correlation_whatever_its_mean_rounds_to(n):
    """0.1 added up n times is not n times 0.1: the spread that is left is rounding, and no score may be made of it."""
    stuck, alive = series(np.full(n, 0.1)), series(np.random.default_rng(0).uniform(0.1, 0.4, n))
    for reference, other in ((stuck, alive), (alive, stuck), (stuck, stuck * 1.1)):
        out = compare(reference, other)
        assert np.isnan([float(out[name]) for name in ("pearson", "kge")]).all()
    assert np.isnan([float(compare(stuck, alive)[name]) for name in ("slope", "nse")]).all()
    assert float(compare(stuck, stuck * 1.1).bias) == pytest.approx(0.01)


def test_percent_is_compared_with_fractions_and_departures_in_degrees_stay():
    one = series(np.random.default_rng(0).uniform(0.1, 0.4, 100))
    for other in (one, (100 * one).assign_attrs(units="%"), (100 * one).assign_attrs(units="vol.%")):
        out = compare(one, other)
        assert float(out.bias) == pytest.approx(0.0, abs=1e-12)
        assert out.bias.attrs["units"] == "m3 m-3"
        assert float(scores(moments(stack(one, other, names=["a", "b"])), "a", "b").bias) == pytest.approx(0, abs=1e-12)
    departure = one.assign_attrs(units="K")
    assert float(compare(departure, departure.assign_attrs(units="degC")).bias) == 0.0


@pytest.mark.parametrize("kind", [">f4", ">f8", "float16", "float32", "int64"])
def test_numbers_of_any_kind_and_byte_order_give_the_scores_of_double_precision(kind):
    rng = np.random.default_rng(3)
    a, b = (series(np.round(1000 * rng.uniform(0.1, 0.4, 200))) for _ in range(2))
    wanted, got = compare(a, b), compare(a.astype(kind), b.astype(kind))
    for name in ("bias", "ubrmsd", "pearson", "n_eff"):
        assert float(got[name]) == pytest.approx(float(wanted[name]), rel=1e-12)
