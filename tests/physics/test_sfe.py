"""Surface flux equilibrium against hand-worked numbers, its own limit of saturated air, and a bucket whose moisture is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from vadose import constants
from vadose.errors import ExperimentalWarning, NotFoundError, UnitsError, VadoseInputError
from vadose.physics import sfe
from vadose.physics.bucket import two_layer


def kelvin(values):
    return xr.DataArray(np.atleast_1d(np.asarray(values, float)), dims="x", attrs={"units": "K"})


def humidity(values):
    return xr.DataArray(np.atleast_1d(np.asarray(values, float)), dims="x", attrs={"units": "1"})


def test_c_t1_6_1_evaporative_fraction_by_hand():
    """298.15 K: lambda = 2.501e6 - 2361 * 25 = 2441975; B = 461.5 * 1005 * 298.15^2 / (lambda^2 * .010) = .691393."""
    assert constants.vaporization_heat(298.15) == pytest.approx(2441975.0)
    ef = sfe.evaporative_fraction(kelvin([298.15, 288.15, 303.15, 273.15]), humidity([0.010, 0.006, 0.018, 0.003]))
    np.testing.assert_allclose(ef, [0.591229, 0.486427, 0.713793, 0.351601], atol=6e-7)
    assert 1 / float(ef[0]) - 1 == pytest.approx(0.691393, abs=6e-7)


def test_c_t1_6_2_saturated_air_gives_equilibrium_evaporation():
    t = kelvin([283.15, 298.15, 303.15])
    q = humidity(constants.VAPOR_RATIO * constants.saturation_vapor_pressure(t.values) / 1e5)
    ef = sfe.evaporative_fraction(t, q)
    np.testing.assert_allclose(ef, sfe.equilibrium_fraction(t, 1e5), rtol=1e-12)
    np.testing.assert_allclose(ef, [0.557489, 0.740228, 0.785356], atol=6e-7)
    np.testing.assert_allclose(sfe.surface_flux_equilibrium(t, q).stress_ratio, 1.0, rtol=1e-12)
    exact = sfe.specific_humidity(humidity([1.0, 1.0, 1.0]), t, 1e5)
    np.testing.assert_allclose(sfe.evaporative_fraction(t, exact), [0.558636, 0.742537, 0.788070], atol=6e-7)
    out = sfe.surface_flux_equilibrium(t, exact)
    assert (out.stress_ratio == 1.0).all()
    assert (out.evaporative_fraction_flag == 8).all()


@settings(max_examples=50, deadline=None)
@given(t=st.floats(250, 315), q=st.floats(1e-4, 0.04))
def test_c_t1_6_3_monotone_in_humidity_and_temperature(t, q):
    ef = sfe.evaporative_fraction(kelvin([t, t, t + 1.0, t]), humidity([q, q * 1.01, q, 1e-12])).values
    assert ef[1] > ef[0] > ef[2]
    assert ef[3] < 1e-6


def test_c_t1_6_4_stress_and_the_moisture_of_a_loam():
    t, q = kelvin(298.15), humidity(0.010)
    out = sfe.surface_flux_equilibrium(t, q, pressure=1e5)
    assert float(out.stress_ratio[0]) == pytest.approx(0.798712, abs=6e-7)
    pt = sfe.surface_flux_equilibrium(t, q, pressure=1e5, alpha=1.26)
    assert float(pt.stress_ratio[0]) == pytest.approx(0.633898, abs=6e-7)
    series = xr.DataArray([0.798712], dims="time", coords={"time": pd.date_range("2020-06-01", periods=1)})
    theta = sfe.moisture_from_stress(series, method="stress", wilting_point=0.137, field_capacity=0.2796, memory=None)
    assert float(theta[0]) == pytest.approx(0.250896, abs=1e-6)  # .137 + .798712 * .1426


def bucket_world(seed=3):
    """Five years of loam: rain with seasons of storms, moisture of the lower layer and REW^.7 with noise."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2015-01-01", periods=5 * 365, freq="D")
    doy = np.arange(time.size) % 365
    rain = rng.gamma(0.7, 9.0, time.size) * (rng.random(time.size) < 0.28 + 0.12 * np.cos(2 * np.pi * doy / 365))
    demand = 3.4 - 1.6 * np.cos(2 * np.pi * (doy - 20) / 365)
    a = {"coords": {"time": time}, "dims": "time", "attrs": {"units": "mm d-1"}}
    wp, fc = 0.137, 0.2796
    out = two_layer(xr.DataArray(rain, **a), xr.DataArray(demand, **a), porosity=0.46, field_capacity=fc, wilting_point=wp,
                    conductivity=372.0, exponent=5.35)  # fmt: skip
    theta = out.soil_moisture.isel(depth=1, drop=True)
    rew = ((theta - wp) / (fc - wp)).clip(0, 1)
    b = (rew**0.7 + rng.normal(0, 0.05, time.size)).clip(0, 1)
    return theta, b, wp, fc


def ubrmsd(a, b):
    return float((a - b).std())


def test_c_t1_6_5_bucket_moisture_is_recovered():
    theta, b, wp, fc = bucket_world()
    assert 0.025 < float(theta.std()) < 0.042  # the world the tolerances were made for
    limits = {"wilting_point": wp, "field_capacity": fc}
    filtered = sfe.exponential_filter(b, 5.0, minimum_quality=0.0).soil_water_index
    assert spearmanr(filtered, theta).statistic >= 0.95
    percentile = sfe.moisture_from_stress(b, method="percentile", **limits)
    stress = sfe.moisture_from_stress(b, method="stress", **limits)
    assert ubrmsd(percentile, theta) <= 0.02
    assert ubrmsd(stress, theta) <= 0.01


def test_c_t1_6_5_percentiles_do_not_see_monotone_transforms():
    _, b, _, _ = bucket_world()
    plain = sfe.kernel_percentile(b)
    for transform in (np.exp, np.sqrt, lambda v: 3 * v + 1):
        np.testing.assert_allclose(sfe.kernel_percentile(transform(b)), plain, atol=1e-12)


def test_uncertainty_is_the_derivative():
    """dEF/dT at 298.15 K, q .010 is -.0020885 K-1; dEF/dq = EF (1 - EF) / q."""
    out = sfe.surface_flux_equilibrium(kelvin(298.15), humidity(0.010), temperature_error=1.0, humidity_error=0.0)
    assert float(out.evaporative_fraction_standard_error[0]) == pytest.approx(0.0020885, abs=6e-8)
    step = sfe.evaporative_fraction(kelvin([298.14, 298.16]), humidity([0.010, 0.010])).values
    assert (step[1] - step[0]) / 0.02 == pytest.approx(-0.0020885, rel=1e-3)


def daily_air(n=800, seed=0):
    rng = np.random.default_rng(seed)
    time = pd.date_range("2018-01-01", periods=n, freq="D")
    season = -np.cos(2 * np.pi * np.arange(n) / 365.25)
    a = {"dims": "time", "coords": {"time": time}}
    t = xr.DataArray(288 + 10 * season + rng.normal(0, 2, n), **a, attrs={"units": "K"})
    q = xr.DataArray(0.008 + 0.004 * season + rng.normal(0, 0.001, n), **a, attrs={"units": "1"})
    rn = xr.DataArray(100 + 80 * season, **a, attrs={"units": "W m-2"})
    return t, q, rn


def test_no_gap_where_the_air_was_measured():
    t, q, rn = daily_air()
    t[40:43] = np.nan
    q[100] = np.nan
    out = sfe.surface_flux_equilibrium(t, q, net_radiation=rn)
    with pytest.warns(ExperimentalWarning, match="kernel step"):
        rz = sfe.root_zone_moisture(out, wilting_point=0.137, field_capacity=0.28, net_radiation=rn)
    assert int(rz.soil_moisture.isnull().sum()) == 4
    assert int(rz.soil_moisture_standard_error.isnull().sum()) == 4
    assert float(rz.soil_moisture_standard_error.min()) >= 0.03
    assert float(rz.soil_moisture.min()) >= 0.137
    assert float(rz.soil_moisture.max()) <= 0.28
    assert rz.attrs["experimental"]


def test_kernel_method_learns_a_model_climatology():
    rng = np.random.default_rng(0)
    b = rng.uniform(0, 1, 3000)
    lai = rng.uniform(1, 4, 3000)
    training = xr.Dataset(
        {"stress_ratio": ("n", b), "leaf_area_index": ("n", lai), "soil_moisture": ("n", 0.1 + 0.2 * b)}
    )
    time = pd.date_range("2020-01-01", periods=50)
    series = xr.DataArray(np.linspace(0.2, 0.8, 50), dims="time", coords={"time": time})
    limits = {"wilting_point": 0.1, "field_capacity": 0.3}
    out = sfe.moisture_from_stress(series, method="kernel", training=training, leaf_area=2.0, memory=None, **limits)
    np.testing.assert_allclose(out, 0.1 + 0.2 * series, atol=0.01)
    with pytest.raises(NotFoundError, match="percentile"):
        sfe.moisture_from_stress(series, method="percentil", **limits)


def test_reference_distribution_is_taken_over():
    t, q, _ = daily_air()
    stress = sfe.surface_flux_equilibrium(t, q).stress_ratio
    reference = xr.DataArray(np.random.default_rng(0).normal(0.25, 0.03, t.size), dims="time", coords={"time": t.time})
    out = sfe.moisture_from_stress(stress, wilting_point=0.1, field_capacity=0.4, reference=reference)
    assert float(out.mean()) == pytest.approx(0.25, abs=0.003)
    assert float(out.std()) == pytest.approx(0.03, rel=0.1)


def test_lazy_and_units():
    t, q, rn = daily_air()
    cube_t, cube_q = (a.expand_dims(lat=[40.0, 41.0]).transpose("time", "lat") for a in (t, q))
    lazy = sfe.surface_flux_equilibrium(cube_t.chunk(lat=1), cube_q.chunk(lat=1))
    theta = sfe.moisture_from_stress(lazy.stress_ratio, wilting_point=0.1, field_capacity=0.3)
    assert theta.chunks is not None
    eager = sfe.moisture_from_stress(
        sfe.surface_flux_equilibrium(cube_t, cube_q).stress_ratio, wilting_point=0.1, field_capacity=0.3
    )
    np.testing.assert_allclose(theta, eager)
    celsius = (t - 273.15).assign_attrs(units="degC")
    np.testing.assert_allclose(sfe.evaporative_fraction(celsius, q), sfe.evaporative_fraction(t, q))
    with pytest.raises(VadoseInputError, match="fraction"):
        sfe.specific_humidity(xr.full_like(t, 80.0).assign_attrs(units="1"), t)
    with pytest.raises(UnitsError, match="air_temperature"):
        sfe.evaporative_fraction(rn, q)
