"""Soil and convection: profiles worked out analytically, feedbacks planted in samples, identities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import signal

from vadose.diagnostics import convection as c
from vadose.diagnostics import coupling as g
from vadose.errors import DimensionError, TooFewSamplesError


def array(values, units, dims="level", **coords):
    return xr.DataArray(np.asarray(values, float), dims=dims, coords=coords, attrs={"units": units})


def scalar(value, units):
    return xr.DataArray(float(value), attrs={"units": units})


def profile(gamma, step=5.0):
    """T = 300 (p / ps)^(R_d Gamma / g) on levels from 1000 hPa."""
    p = np.arange(1000.0 - step, 500.0, -step)
    t = 300.0 * (p / 1000.0) ** (287.04 * gamma / 1000.0 / 9.81)
    return array(t, "K", level=p), array(np.full(p.size, 0.010), "1", level=p)


def column(t, q, surface_t=300.0, surface_q=0.010):
    return c.ctp_hilow(t, q, scalar(1000.0, "hPa"), scalar(surface_t, "K"), scalar(surface_q, "1"))


def test_c_t2_4_1_environment_on_the_same_adiabat():
    p, t, x = [1000.0], [300.0], np.log(1e5)
    for _ in range(6000):  # Euler with tiny steps, independent of the module's integrator
        slope = c._moist_slope.py_func(t[-1], np.exp(x)) if x < np.log(0.9e5) else 287.04 * 300 / 9.81 * 0.005
        t.append(t[-1] - 1e-4 * slope)
        x -= 1e-4
        p.append(np.exp(x) / 100)
    level = np.arange(998.0, 560.0, -2.0)
    env = np.interp(-level, -np.array(p), t)
    out = column(array(env, "K", level=level), array(np.full(level.size, 0.01), "1", level=level))
    assert abs(float(out.ctp)) < 1.0


@pytest.mark.parametrize(("gamma", "ctp"), [(9.8, 402.54), (6.5, 181.49), (5.0, 77.45), (0.0, -285.94)])
def test_c_t2_4_2_ctp_of_constant_lapse_rates(gamma, ctp):
    fine = float(column(*profile(gamma, step=1.0)).ctp)
    assert fine == pytest.approx(ctp, rel=0.005)
    coarse = float(column(*profile(gamma, step=25.0)).ctp)
    assert coarse == pytest.approx(ctp, rel=0.02)


def test_c_t2_4_3_humidity_index():
    level = np.array([950.0, 850.0, 750, 650, 600.0])
    t = np.array([295.0, 290.0, 285, 280, 275])
    q = np.array([0.012, 0.010, 0.008, 0.006, 0.005])
    out = column(array(t, "K", level=level), array(q, "1", level=level), 298.0, 0.013)
    assert float(out.hi_low) == pytest.approx(11.1736, abs=6e-5)
    saturated = np.array([c._saturation.py_func(a, b * 100) for a, b in zip(t, level, strict=True)])
    wet = column(array(t, "K", level=level), array(saturated, "1", level=level), 298.0, 0.013)
    assert float(wet.hi_low) == pytest.approx(0.0, abs=1e-9)


def test_profiles_that_cannot_be_used():
    t, q = profile(6.5)
    short = column(t.sel(level=slice(1000, 750)), q.sel(level=slice(1000, 750)))
    assert np.isnan(short.ctp)
    assert int(short.convection_class) == -1
    gap = t.copy()
    gap[(t.level < 880) & (t.level > 760)] = np.nan
    assert np.isnan(column(gap, q).ctp)
    with pytest.raises(DimensionError, match="level"):
        column(t.rename(level="p"), q)


def test_profiles_lazy_unordered_and_in_pascal():
    t, q = profile(6.5)
    many = [a.expand_dims(x=4).copy() for a in (t, q)]
    ground = [
        xr.full_like(many[0].isel(level=0, drop=True), v).assign_attrs(units=u)
        for v, u in ((1e5, "Pa"), (300.0, "K"), (0.01, "1"))
    ]
    lazy = c.ctp_hilow(many[0].chunk(x=2), many[1].chunk(x=2), *[g.chunk(x=2) for g in ground])
    assert lazy.ctp.chunks is not None
    np.testing.assert_allclose(lazy.ctp, float(column(t, q).ctp))
    up = t.sortby("level")
    up = up.assign_coords(level=("level", up.level.values * 100, {"units": "Pa"}))
    np.testing.assert_allclose(column(up, q.sortby("level").assign_coords(level=up.level)).ctp, column(t, q).ctp)


def test_classes_partition_the_plane():
    ctp = xr.DataArray([-10.0, 50, 50, 50, 200, 100, np.nan], dims="x")
    hi = xr.DataArray([8.0, 3, 20, 8, 12, 12, 8], dims="x")
    assert c.convection_class(ctp, hi).values.tolist() == [0, 1, 2, 3, 4, 5, -1]


def test_c_t2_4_4_terrestrial_leg():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=500)
    theta = 0.25 + 0.05 * (theta - theta.mean()) / theta.std(ddof=1)
    x = xr.DataArray(theta, dims="time")
    assert float(g.coupling_index(x, 80 + 600 * (x - 0.25))) == pytest.approx(30.0, rel=1e-12)
    y = xr.DataArray(80 + 600 * (theta - 0.25) + rng.normal(0, 20, 500), dims="time")
    r = np.corrcoef(theta, y)[0, 1]
    assert float(g.coupling_index(x, y)) == pytest.approx(r * y.values.std(ddof=1), rel=1e-12)
    assert float(g.two_legged_index(x, y, -2.0 * y)) == pytest.approx(-2.0 * float(g.coupling_index(x, y)), rel=1e-12)
    assert np.isnan(g.coupling_index(x[:10], y[:10]))


def test_the_interval_of_a_coupling_covers_the_known_leg_under_memory():
    """AR(1) moisture (phi 0.8, sd 0.05) and flux 600 x moisture + AR(1) noise (phi 0.5): the leg is 0.05 x 600 = 30."""
    rng = np.random.default_rng(3)
    cells, days = 400, 900

    def memory(phi, sd):
        noise = rng.normal(0, sd * np.sqrt(1 - phi**2), (cells, days))
        noise[:, 0] = rng.normal(0, sd, cells)
        return signal.lfilter([1.0], [1.0, -phi], noise, axis=1)

    theta = xr.DataArray(memory(0.8, 0.05), dims=("cell", "time"))
    flux = (600 * theta + xr.DataArray(memory(0.5, 20.0), dims=("cell", "time"))).assign_attrs(units="W m-2")
    out = g.coupling_interval(theta, flux, rng=1)
    assert out.coupling_index_low.attrs["units"] == "W m-2"
    np.testing.assert_array_equal(out.n, days)
    inside = ((out.coupling_index_low < 30) & (out.coupling_index_high > 30)).mean()
    # Two sd of the share of 400 intervals around the nominal 95 %, and two points for what a block cuts.
    assert 0.91 <= float(inside) <= 0.975
    assert bool(
        (out.coupling_index_low < out.coupling_index).all() & (out.coupling_index < out.coupling_index_high).all()
    )


def test_c_t2_4_5_triggering_strength():
    rng = np.random.default_rng(1)
    ef = rng.beta(4, 3, 200_000)
    rain = np.where(rng.random(ef.size) < 1 / (1 + np.exp(3 - 4 * ef)), 5.0, 0.0)
    out = c.feedback_strength(ef, rain, draws=0)
    assert out["tfs"] == pytest.approx(0.1434, abs=0.006)
    assert c.feedback_strength(rng.permutation(ef), rain, draws=0)["tfs"] == pytest.approx(0.0, abs=0.005)
    small = c.feedback_strength(ef[:4000], rain[:4000], draws=50)
    assert small["tfs_low"] < 0.1434 < small["tfs_high"]
    with pytest.raises(TooFewSamplesError, match="200"):
        c.feedback_strength(ef[:100], rain[:100])


def test_c_t2_4_6_memory_of_an_autoregression():
    assert g._acf_crossing(0.9 ** np.arange(30), np.exp(-1)) == pytest.approx(9.5044, abs=6e-5)
    rng = np.random.default_rng(0)
    from scipy.signal import lfilter

    values = lfilter([1], [1, -0.9], rng.normal(size=(16, 10_000)), axis=1)
    series = xr.DataArray(values, dims=("x", "time"), coords={"time": pd.date_range("1990-01-01", periods=10_000)})
    out = g.memory(series.chunk(x=1))
    assert out.chunks is not None
    # one series of this length has a sampling error near 7 %: hold the mean to 10 %, each to what 4 such errors allow
    assert float(out.mean()) == pytest.approx(9.5044, rel=0.10)
    np.testing.assert_allclose(out, 9.5044, rtol=0.28)
    gappy = series.where(rng.random(series.shape) > 0.3)
    assert float(g.memory(gappy).mean()) == pytest.approx(9.5044, rel=0.10)


def test_c_t2_4_7_ensemble_similarity():
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(1, 1000)), rng.normal(size=(16, 1000))

    def omega(values):
        return float(g.ensemble_similarity(xr.DataArray(values, dims=("member", "time"))))

    assert omega(np.repeat(signal, 16, axis=0)) == pytest.approx(1.0)
    assert omega(noise) == pytest.approx(0.0, abs=0.01)
    values = [
        omega(np.random.default_rng(k).normal(size=(1, 1000)) + np.random.default_rng(k + 99).normal(size=(16, 1000)))
        for k in range(20)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(TooFewSamplesError, match="2 members"):
        g.ensemble_similarity(xr.DataArray(noise[:1], dims=("member", "time")))


def test_c_t2_4_8_rain_that_does_not_listen_to_the_soil():
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(20):
        rain = rng.gamma(0.5, 4.0, 3000)
        theta = np.zeros(3000)
        for t in range(1, 3000):
            theta[t] = 0.9 * theta[t - 1] + rain[t]
        axis = {"time": pd.date_range("2000-01-01", periods=3000)}
        a, b = (xr.DataArray(v, dims="time", coords=axis) for v in (theta, rain))
        out = g.lagged_partial_correlation(a, b, lags=(1, 5))
        inside += bool((np.abs(out.correlation) < 3 * out.correlation_standard_error).all())
    assert inside >= 19


def test_mornings_years_and_anomalies():
    time = pd.date_range("2020-01-01", periods=16, freq="6h")
    values = xr.DataArray(np.arange(16.0), dims="time", coords={"time": time})
    out = c.morning(values, -90.0)  # six in the morning is noon UTC
    assert (out.time.dt.hour == 12).all()
    classes = xr.DataArray(np.array([3, 3, 4, 5] * 4), dims="time", coords={"time": time})
    assert int(c.dry_minus_wet(classes).sel(year=2020)) == -4
    days = pd.date_range("2001-01-01", periods=365 * 8)
    season = xr.DataArray(
        np.sin(2 * np.pi * days.day_of_year / 365) + 0.001 * np.arange(days.size), dims="time", coords={"time": days}
    )
    assert float(np.abs(g.seasonal_anomaly(season)).max()) < 0.25


def test_variance_that_doubles():
    rng = np.random.default_rng(0)
    time = pd.date_range("1980-01-01", periods=40 * 12, freq="MS")
    values = rng.normal(size=(3, time.size)) * np.where(time.year < 2000, 1.0, 2**0.5)
    series = xr.DataArray(values, dims=("cell", "time"), coords={"time": time})
    out = g.variance_change(series, "2000-01-01")
    np.testing.assert_allclose(out.variance_ratio, 2.0, rtol=0.35)
    assert (out.p_value < 0.05).all()
    from scipy.stats import levene

    early, late = values[0, time.year < 2000], values[0, time.year >= 2000]
    assert float(out.p_value[0]) == pytest.approx(levene(early, late, center="median").pvalue)
    with pytest.raises(TooFewSamplesError, match="10"):
        g.variance_change(series, "2019-12-01")


def test_rain_over_dry_spots_is_seen():
    rng = np.random.default_rng(0)
    theta = rng.normal(0.25, 0.03, (200, 12, 12))
    listens = np.where(theta < 0.22, 10.0, 0.0) * (rng.random(theta.shape) < 0.05)
    deaf = 10.0 * (rng.random(theta.shape) < 0.01)
    time = pd.date_range("2001-06-01", periods=200)
    a, b, none = (xr.DataArray(v, dims=("time", "y", "x"), coords={"time": time}) for v in (theta, listens, deaf))
    out = c.rain_over_gradient(a, b)
    assert out["difference"] < -0.03
    assert out["percentile"] < 1
    assert 1 < c.rain_over_gradient(a, none)["percentile"] < 99


def test_a_missing_pixel_takes_itself_from_the_map_not_its_row():
    rng = np.random.default_rng(3)
    moisture = xr.DataArray(rng.normal(0.2, 0.02, (60, 20, 20)), dims=("time", "y", "x"))
    rain = xr.DataArray(10.0 * (rng.random((60, 20, 20)) < 0.05), dims=moisture.dims)
    whole = c.rain_over_gradient(moisture, rain, draws=50)
    turned = c.rain_over_gradient(moisture.transpose("x", "y", "time"), rain, draws=50)
    assert (turned["events"], turned["difference"]) == pytest.approx((whole["events"], whole["difference"]), rel=1e-9)
    holed = c.rain_over_gradient(moisture.where((moisture.x != 0) | (moisture.y % 2 == 0)), rain, draws=50)
    assert holed["events"] == whole["events"]  # the holes lie at the edge, where no event is counted
    assert holed["difference"] == pytest.approx(whole["difference"], abs=2e-4)
