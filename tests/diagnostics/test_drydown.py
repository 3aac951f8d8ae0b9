"""Drydowns, regimes and root zones whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.diagnostics import drydown as d
from vadose.diagnostics import limitation as lim
from vadose.errors import VadoseInputError
from vadose.physics.bucket import two_layer
from vadose.physics.exponential import exponential_filter


def series(values, unit="m3 m-3", start="2010-01-01"):
    time = pd.date_range(start, periods=len(values))
    return xr.DataArray(np.asarray(values, float), dims="time", coords={"time": time}, attrs={"units": unit})


def test_c_t2_3_5_decay_without_noise_is_exact():
    t = np.arange(30.0)
    amplitude, tau, limit, *_, r2 = d.fit_decay(t, 0.15 * np.exp(-t / 8.0) + 0.08)
    assert (amplitude, tau, limit) == pytest.approx((0.15, 8.0, 0.08), rel=1e-6)
    assert r2 == pytest.approx(1.0)


def test_c_t2_3_5_decay_with_noise():
    rng = np.random.default_rng(2)
    t = np.arange(30.0)
    fits = np.array([d.fit_decay(t, 0.15 * np.exp(-t / 8.0) + 0.08 + rng.normal(0, 0.01, 30)) for _ in range(1000)])
    tau, limit = fits[:, 1], fits[:, 2]
    assert tau.mean() == pytest.approx(8.1, abs=0.2)
    assert ((tau > 6.2) & (tau < 11.1)).mean() >= 0.96
    assert (np.abs(limit - 0.08) < 0.015).mean() >= 0.96
    assert np.median(fits[:, 4]) == pytest.approx(tau.std(), rel=0.25)


def test_drydowns_are_found_between_rains():
    t = np.arange(25.0)
    one = 0.15 * np.exp(-t / 8.0) + 0.08
    values = np.concatenate([np.full(5, 0.10), one, one])
    rain = np.zeros(values.size)
    rain[[5, 30]] = 20.0
    out = d.drydowns(series(values), series(rain, "mm d-1"))
    assert int(out["count"]) == 2
    np.testing.assert_allclose(out.time_scale[:2], 8.0, rtol=1e-5)
    np.testing.assert_allclose(out.lower_limit[:2], 0.08, atol=1e-6)
    assert pd.Timestamp(out.start.values[0]) == pd.Timestamp("2010-01-06")
    flux = series(rain / 86400, "kg m-2 s-1")
    xr.testing.assert_allclose(d.drydowns(series(values), flux), out)
    lazy = d.drydowns(series(values).expand_dims(lat=[0.0, 1.0]).chunk(lat=1), series(rain, "mm d-1"))
    assert lazy.time_scale.chunks is not None
    assert lazy["count"].values.tolist() == [2, 2]


def test_c_t2_3_6_regimes_are_recovered():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        theta = rng.uniform(0.05, 0.38, 500)
        ef = 0.75 * np.clip((theta - 0.08) / 0.14, 0, 1) + rng.normal(0, 0.08, 500)
        out = lim.fit_regimes(series(theta), series(ef, "1"))
        assert bool(out.supported)
        found.append([float(out.critical_point), float(out.plateau), float(out.critical_point_standard_error)])
    critical, plateau, error = np.array(found).T
    assert critical.std() <= 0.005
    assert abs(critical.mean() - 0.22) <= 0.003
    assert plateau.std() <= 0.01
    assert error.mean() == pytest.approx(critical.std(), rel=0.4)


def test_regime_classes_and_missing():
    theta = series([0.05, 0.15, 0.30, np.nan])
    limits = xr.Dataset({"lower_point": 0.08, "critical_point": 0.22})
    np.testing.assert_array_equal(lim.regime(theta, limits), [0, 1, 2, np.nan])
    few = lim.fit_regimes(series([0.1, 0.2]), series([0.3, 0.4], "1"))
    assert np.isnan(few.critical_point)
    assert not bool(few.supported)


def test_constant_evaporative_fraction_has_no_break():
    rng = np.random.default_rng(0)
    theta = rng.uniform(0.05, 0.38, 400)
    out = lim.fit_regimes(series(theta), series(0.6 + rng.normal(0, 0.05, 400), "1"))
    assert not bool(out.supported)


def test_coupling_strength_of_a_noiseless_line():
    theta = series(0.1 + 0.1 * np.abs(np.sin(np.arange(200) / 9)))
    limits = xr.Dataset({"lower_point": 0.05, "critical_point": 0.5})
    out = lim.coupling(theta, theta * 2, limits)
    assert float(out.coupling_strength) == pytest.approx(1.0)
    np.testing.assert_allclose(out.correlation.dropna("time"), 1.0, atol=1e-6)


def test_c_t2_3_7_depth_of_a_bucket():
    """300 mm that lose 4 mm d-1 times linear stress: ET over fall of moisture is the depth."""
    theta, et, w = [0.22], [0.0], 0.22
    for _ in range(60):
        loss = 4.0 * np.clip((w - 0.08) / 0.14, 0, 1)
        w -= loss / 300.0
        theta.append(w)
        et.append(loss)
    out = lim.active_depth(series(theta), series(et, "mm d-1"), series(np.zeros(61), "mm d-1"), 0.25, error=0.001)
    assert float(out.active_depth.sel(season="DJF")) == pytest.approx(300.0, abs=1e-6)
    noisy = lim.active_depth(series(theta), series(et, "mm d-1"), series(np.zeros(61), "mm d-1"), 0.25, error=0.2)
    assert np.isnan(noisy.active_depth).all()


def test_c_t2_3_8_evaporation_tells_more_of_the_root_zone_than_memory():
    rng = np.random.default_rng(4)
    n = 365 * 5
    doy = np.arange(n) % 365
    rain = rng.gamma(0.6, 10.0, n) * (rng.random(n) < 0.22 + 0.10 * np.cos(2 * np.pi * doy / 365))
    demand = 3.8 - 1.8 * np.cos(2 * np.pi * (doy - 20) / 365)
    limits = {"wilting_point": 0.137, "field_capacity": 0.2796, "critical_point": 0.24}
    out = two_layer(
        series(rain, "mm d-1"), series(demand, "mm d-1"), porosity=0.46, conductivity=372.0, exponent=5.35, **limits
    )
    truth = out.soil_moisture.isel(depth=1, drop=True)
    surface = out.soil_moisture.isel(depth=0, drop=True) + rng.normal(0, 0.02, n)
    stress = ((truth - 0.137) / (0.24 - 0.137)).clip(0, 1)
    ef = (0.75 * stress + rng.normal(0, 0.08, n)).clip(0, 1).assign_attrs(units="1")
    fitted = lim.fit_regimes(truth + rng.normal(0, 0.005, n), ef)
    best = lim.coupled_root_zone(surface, ef, fitted, depth=950.0, potential_evaporation=3.8)
    memory = exponential_filter(surface, 20.0).soil_water_index
    season = (truth < 0.24) & (truth > 0.137) & memory.notnull()

    def ubrmse(x):
        x = x.where(season)
        scaled = (x - x.mean()) / x.std() * truth.where(season).std()
        return float((scaled - truth.where(season)).std())

    assert ubrmse(best.soil_moisture) <= ubrmse(memory)
    assert float((best.soil_moisture - truth).where(season).std()) <= float((memory - truth).where(season).std())
    assert float(xr.corr(best.soil_moisture, truth)) >= 0.8
    stated = best.soil_moisture_standard_error
    z2 = ((best.soil_moisture - truth) / stated) ** 2  # 1 where the stated error is the error
    wet = (truth > 0.24) & best.soil_moisture.notnull()  # evaporation says only "enough" there
    assert 0.5 < float(z2.where(season).mean()) < 3.0
    assert float(z2.where(wet).mean()) < 9.0
    assert float(stated.where(wet).median()) > 2 * float(stated.where(season).median())
    with pytest.raises(VadoseInputError, match="one series"):
        lim.coupled_root_zone(surface.expand_dims(lat=[1]), ef, fitted, depth=950.0, potential_evaporation=3.8)


def test_percent_called_a_fraction_is_refused():
    wet = series(np.linspace(35.0, 20.0, 60), "m3 m-3")
    with pytest.raises(VadoseInputError, match="percent"):
        d.drydowns(wet, series(np.zeros(60), "mm d-1"))
    with pytest.raises(VadoseInputError, match="percent"):
        lim.fit_regimes(wet, series(np.full(60, 0.5), "1"))


def test_no_drydown_is_lost_where_they_follow_one_another():
    """A shower every fourth day: each falls from 0.35 by the same law."""
    fall = 0.2 * np.exp(-np.arange(4) / 2.0) + 0.15
    theta, rain = series(np.tile(fall, 50)), series(np.tile([5.0, 0, 0, 0], 50), "mm d-1")
    assert int(d.drydowns(theta, rain)["count"]) >= 49


def test_a_soil_that_stands_still_has_no_correlation():
    """0.1 for two months, as a frozen sensor reads: windows within them know nothing."""
    rng = np.random.default_rng(0)
    theta = series(np.concatenate([rng.uniform(0.1, 0.3, 60), np.full(60, 0.1), rng.uniform(0.1, 0.3, 60)]))
    limits = xr.Dataset({"lower_point": 0.05, "critical_point": 0.5})
    out = lim.coupling(theta, series(rng.uniform(0.2, 0.8, 180), "1"), limits)
    assert out.correlation[80:100].isnull().all()
    assert out.correlation[15:45].notnull().all()
    assert float(abs(out.correlation).max()) <= 1.0 + 1e-9
