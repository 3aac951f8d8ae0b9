"""Sensitivities across and within sites whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from vadose.diagnostics import sensitivity as s
from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError
from vadose.physics.bucket import two_layer


def panel(values):
    values = np.asarray(values, float)
    return xr.DataArray(
        values,
        dims=("site", "year"),
        coords={"site": np.arange(values.shape[0]), "year": 2001 + np.arange(values.shape[1])},
    )


def world(seed, spatial=1.5, temporal=0.6, sites=100, years=15):
    rng = np.random.default_rng(seed)
    normal = rng.normal(800, 250, sites)
    x = normal[:, None] + rng.normal(0, 120, (sites, years))
    y = (
        200
        + spatial * normal[:, None]
        + temporal * (x - normal[:, None])
        + rng.normal(0, 60, (sites, years))
        + rng.normal(0, 40, (sites, 1))
    )
    return panel(y), panel(x)


def test_c_t2_5_1_slopes_are_recovered_and_corrected():
    between, within, fixed = [], [], []
    for seed in range(12):
        y, x = world(seed)
        fit = s.within_between(y, x)
        between.append(fit.between)
        within.append(fit.within)
        fixed.append(s.corrected_between(y, x, fit)[0])
        assert fit.within == pytest.approx(0.6, abs=0.07)
    assert np.mean(within) == pytest.approx(0.600, abs=0.025)
    # attenuation: reliability 250^2 / (250^2 + 120^2 / 15) = .98487; 1.5 r + .6 (1 - r) = 1.4864
    assert np.mean(between) == pytest.approx(1.4864, abs=0.08)
    assert np.mean(fixed) == pytest.approx(1.50, abs=0.08)
    assert np.mean(fixed) > np.mean(between)


def test_c_t2_5_2_balanced_data_equal_separate_regressions():
    y, x = world(1)
    fit = s.within_between(y, x)
    a, b = x.values - x.values.mean(1, keepdims=True), y.values - y.values.mean(1, keepdims=True)
    assert fit.within == pytest.approx((a * b).sum() / (a * a).sum(), abs=1e-8)
    assert fit.between == pytest.approx(np.polyfit(x.values.mean(1), y.values.mean(1), 1)[0], abs=1e-8)


def test_c_t2_5_3_equality_test_is_calibrated():
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(800, 250, (40, 1)) + rng.normal(0, 120, (40, 10))
        y = 1.0 * x + rng.normal(0, 50, (40, 1)) + rng.normal(0, 60, (40, 10))
        p.append(s.within_between(panel(y), panel(x)).p_equal)
    assert stats.kstest(p, "uniform").pvalue > 0.05


def test_c_t2_5_4_elasticity_does_not_see_units():
    y, x = world(2)
    one = s.spatial_temporal_sensitivity(y, {"P": x}, draws=0)
    two = s.spatial_temporal_sensitivity(y * 1000, {"P": x / 25.4}, draws=0)
    for name in ("E_spatial", "E_temporal", "discrepancy"):
        assert one[name][0] == pytest.approx(two[name][0], rel=1e-6)


def bucket_sites(seed, sites=60, years=14):
    """Sites from 200 to 900 mm a year; rain of each year times a lognormal; productivity follows moisture."""
    rng = np.random.default_rng(seed)
    annual = np.linspace(200, 900, sites)
    year_factor = rng.lognormal(-(0.22**2) / 2, 0.22, (sites, years))
    days = 365 * years
    share = rng.gamma(0.6, 1.0, (sites, days)) * (rng.random((sites, days)) < 0.25)
    rain = share / share.reshape(sites, years, 365).sum(-1).repeat(365, axis=1).reshape(sites, days)
    rain = rain * (annual[:, None] * year_factor).repeat(365, axis=1).reshape(sites, days)
    time = pd.date_range("2001-01-01", periods=days)
    a = {"dims": ("site", "time"), "coords": {"time": time}, "attrs": {"units": "mm d-1"}}
    demand = 3.3 - 1.8 * np.cos(2 * np.pi * (np.arange(days) % 365) / 365)
    out = two_layer(
        xr.DataArray(rain, **a).transpose("time", "site"), xr.DataArray(np.tile(demand, (sites, 1)), **a).transpose("time", "site"),
        porosity=0.46, field_capacity=0.28, wilting_point=0.12, conductivity=372.0, exponent=5.35,
    )  # fmt: skip
    theta = out.soil_moisture.isel(depth=1).transpose("site", "time").values.reshape(sites, years, 365)
    gpp = (np.maximum(theta - 0.12, 0.0) ** 0.7).mean(-1) * 10 + rng.normal(0, 0.05, (sites, years))
    drop = slice(2, None)  # spin-up
    return (panel(v[:, drop]) for v in (gpp + 0.5, theta.mean(-1), rain.reshape(sites, years, 365).sum(-1)))


def test_c_t2_5_5_moisture_brings_space_and_time_together():
    closer, gaps = 0, []
    for seed in range(20):
        gpp, theta, rain = bucket_sites(seed)
        table = s.spatial_temporal_sensitivity(gpp, {"moisture": theta, "rain": rain}, draws=0).set_index("driver")
        closer += table.discrepancy["moisture"] < table.discrepancy["rain"]
        gaps.append((table.discrepancy["moisture"], table.discrepancy["rain"]))
    assert closer >= 19, gaps
    assert (s.buffering_index(theta, rain) > 0).mean() > 0.9


def test_groups_bootstrap_and_pixels():
    y, x = world(3)
    group = xr.DataArray(np.where(np.arange(100) < 95, "grass", "forest"), dims="site")
    table = s.spatial_temporal_sensitivity(y, {"P": x}, group=group, draws=30)
    grass = table[table.group == "grass"].iloc[0]
    assert grass.discrepancy_low < grass.discrepancy < grass.discrepancy_high
    assert np.isnan(table[table.group == "forest"].iloc[0].spatial)
    lazy = s.temporal_slopes(y.chunk(site=20), x.chunk(site=20))
    assert lazy.slope.chunks is not None
    assert float(lazy.slope.mean()) == pytest.approx(0.6, abs=0.05)
    line = s.temporal_slopes(2 * x, x, detrend=False)
    np.testing.assert_allclose(line.slope, 2.0)
    assert np.isnan(s.temporal_slopes(y.isel(year=slice(0, 5)), x.isel(year=slice(0, 5))).slope).all()


def test_bad_panels():
    y, x = world(4)
    with pytest.raises(DimensionError, match="site"):
        s.within_between(y.rename(year="time"), x)
    with pytest.raises(TooFewSamplesError, match="10"):
        s.within_between(y.isel(site=slice(0, 5)), x.isel(site=slice(0, 5)))
    with pytest.raises(VadoseInputError, match="positive"):
        s.spatial_temporal_sensitivity(-y, {"P": x})


def test_transfer_function_of_a_reservoir():
    """Moisture that keeps 60 % a month: weights .6^lag."""
    rng = np.random.default_rng(0)
    p = rng.normal(size=600)
    m = np.zeros(600)
    for t in range(1, 600):
        m[t] = 0.6 * m[t - 1] + p[t]
    axis = {"time": pd.date_range("1970-01-01", periods=600, freq="MS")}
    a, b = (xr.DataArray(v, dims="time", coords=axis) for v in (p, m))
    out = s.transfer_function(a, b, smooth=0.0)
    np.testing.assert_allclose(out, 0.6 ** np.arange(12), atol=0.02)
    assert s.transfer_function(a.expand_dims(x=2).chunk(x=1), b).chunks is not None


def test_years_and_sites_are_matched_by_name():
    rng = np.random.default_rng(6)
    coords = {"site": np.arange(30), "year": np.arange(2000, 2014)}
    x = xr.DataArray(rng.uniform(0.5, 1.5, (30, 14)), dims=("site", "year"), coords=coords)
    y = 2.0 + 3.0 * x + rng.normal(0, 0.1, x.shape)
    wanted = s.within_between(y.isel(year=slice(2, 12)), x.isel(year=slice(2, 12)))
    got = s.within_between(y.isel(year=slice(0, 12)), x.isel(year=slice(2, 14), site=slice(None, None, -1)))
    assert got.within == pytest.approx(wanted.within, rel=1e-9)
    assert got.n == wanted.n == 300
