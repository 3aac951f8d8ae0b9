"""Conversions against arithmetic; layers that conserve water."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.errors import UnitsError, VadoseInputError
from vadose.harmonize import layers_to_layer, sensors_to_layer
from vadose.harmonize import quantity as q


def moisture(value):
    return xr.DataArray(value, attrs={"units": "m3 m-3"}, name="soil_moisture")


def test_c_x1_1_numbers_by_hand():
    assert float(q.to_mass(moisture(0.25), 0.10)) == pytest.approx(25.0)
    assert q.porosity(1325.0) == pytest.approx(0.5)
    s = q.to_saturation(moisture(0.25), 0.5).soil_saturation
    assert float(s) == pytest.approx(0.5)
    assert 100 * float(s) == pytest.approx(50.0)
    assert float(q.to_gravimetric(moisture(0.25), 1325.0)) == pytest.approx(0.188679, abs=5e-7)


@given(theta=st.floats(0.01, 0.6), thickness=st.floats(0.01, 3), phi=st.floats(0.2, 0.9), density=st.floats(200, 2000))
def test_c_x1_2_inverse_conversions_round_trip(theta, thickness, phi, density):
    m = moisture(theta)
    assert float(q.from_mass(q.to_mass(m, thickness), thickness)) == pytest.approx(theta, rel=1e-12)
    assert float(q.from_saturation(q.to_saturation(m, phi).soil_saturation, phi)) == pytest.approx(theta, rel=1e-12)
    assert float(q.from_gravimetric(q.to_gravimetric(m, density), density)) == pytest.approx(theta, rel=1e-12)


def test_c_x1_3_published_table_value():
    assert float(q.from_mass(xr.DataArray(26.4, attrs={"units": "kg m-2"}), 0.1)) == pytest.approx(0.264)


def test_percent_and_wrong_kind():
    assert float(q.to_mass(xr.DataArray(25.0, attrs={"units": "%"}), 0.1)) == pytest.approx(25.0)
    with pytest.raises(UnitsError, match="argument 'moisture'"):
        q.to_mass(xr.DataArray(25.0, attrs={"units": "K"}), 0.1)
    with pytest.raises(VadoseInputError, match="thickness must be positive"):
        q.to_mass(moisture(0.2), 0.0)


def test_above_saturation_is_flagged_not_clipped():
    out = q.to_saturation(moisture(0.5), 0.4)
    assert float(out.soil_saturation) == pytest.approx(1.25)
    assert int(out.soil_saturation_flag) == 1


def test_c_x2_1_sensors_by_hand():
    v = xr.DataArray([0.10, 0.15, 0.20, 0.30], dims="depth", attrs={"units": "m3 m-3"})
    z = np.array([0.05, 0.10, 0.20, 0.50])
    assert float(sensors_to_layer(v, z, 0.0, 0.05).soil_moisture) == pytest.approx(0.1000)
    assert float(sensors_to_layer(v, z, 0.0, 0.10).soil_moisture) == pytest.approx(0.1125)
    assert np.isnan(sensors_to_layer(v, z, 0.0, 1.0).soil_moisture)
    deep = sensors_to_layer(v, z, 0.0, 1.0, extrapolate=True)
    assert float(deep.soil_moisture) == pytest.approx(0.25375)
    assert int(deep.soil_moisture_flag) == 1


@given(values=st.lists(st.floats(0.01, 0.6), min_size=4, max_size=4))
def test_c_x2_2_water_is_conserved_when_layers_tile_the_target(values):
    bounds = np.array([[0, 0.07], [0.07, 0.28], [0.28, 0.6], [0.6, 1.0]])
    out = layers_to_layer(xr.DataArray(values, dims="depth"), bounds, 0.0, 1.0)
    water = float(np.sum(np.array(values) * np.diff(bounds, axis=1)[:, 0]))
    assert float(out.soil_moisture) * 1.0 == pytest.approx(water, abs=1e-12)
    assert float(out.coverage) == pytest.approx(1.0)


@given(theta=st.floats(0.01, 0.6), top=st.floats(0, 0.3), thickness=st.floats(0.02, 0.5))
def test_c_x2_3_constant_profile_is_invariant(theta, top, thickness):
    z = np.array([0.05, 0.1, 0.2, 0.5, 1.0])
    v = xr.DataArray(np.full(5, theta), dims="depth")
    assert float(sensors_to_layer(v, z, top, top + thickness).soil_moisture) == pytest.approx(theta, abs=1e-12)
    bounds = np.array([[0, 0.5], [0.5, 1.0]])
    assert float(layers_to_layer(v[:2], bounds, top, top + thickness).soil_moisture) == pytest.approx(theta, abs=1e-12)


def test_too_little_known_is_nan():
    out = layers_to_layer(xr.DataArray([0.2, np.nan], dims="depth"), np.array([[0, 0.5], [0.5, 1.0]]), 0.0, 1.0)
    assert np.isnan(out.soil_moisture)
    assert float(out.coverage) == pytest.approx(0.5)


def test_error_of_two_equal_layers_lies_between_one_and_independent():
    e = xr.DataArray([0.04, 0.04], dims="depth")
    out = layers_to_layer(xr.DataArray([0.2, 0.2], dims="depth"), np.array([[0, 0.5], [0.5, 1.0]]), 0.0, 1.0, error=e)
    r = np.exp(-0.5 / 0.3)
    assert float(out.soil_moisture_standard_error) == pytest.approx(0.04 * np.sqrt(0.5 * (1 + r)))


def test_where_there_is_no_mean_there_is_no_error():
    e = xr.DataArray([0.04, 0.04], dims="depth")
    below = sensors_to_layer(xr.DataArray([0.2, 0.2], dims="depth"), np.array([0.05, 0.5]), 0.0, 1.0, error=e)
    half = layers_to_layer(
        xr.DataArray([0.2, np.nan], dims="depth"), np.array([[0, 0.5], [0.5, 1.0]]), 0.0, 1.0, error=e
    )
    for out in (below, half):
        assert np.isnan(out.soil_moisture)
        assert np.isnan(out.soil_moisture_standard_error)


def test_a_layer_that_takes_no_part_need_not_know_its_error():
    bounds = np.array([[0.0, 0.1], [0.1, 0.12], [0.12, 0.3], [0.3, 1.0]])
    v = xr.DataArray([0.2, np.nan, 0.3, 0.4], dims="depth")
    out = layers_to_layer(v, bounds, 0.0, 0.3, error=xr.DataArray([0.02, np.nan, 0.02, np.nan], dims="depth"))
    # shares 0.1 / 0.28 and 0.18 / 0.28, middles 0.16 m apart, correlation exp(-0.16 / 0.3)
    a, b, rho = 10 / 28, 18 / 28, np.exp(-0.16 / 0.30)
    wanted = 0.02 * np.sqrt(a**2 + b**2 + 2 * rho * a * b)
    assert float(out.soil_moisture_standard_error) == pytest.approx(wanted, rel=1e-12)
    unknown = layers_to_layer(v, bounds, 0.0, 0.3, error=xr.DataArray([np.nan, np.nan, 0.02, np.nan], dims="depth"))
    assert np.isnan(unknown.soil_moisture_standard_error)


def test_layers_in_percent_become_fractions():
    v = xr.DataArray([10.0, 30.0], dims="depth", attrs={"units": "%"})
    error = xr.DataArray([2.0, 2.0], dims="depth", attrs={"units": "%"})
    bounds, z = np.array([[0.0, 0.1], [0.1, 0.2]]), np.array([0.05, 0.15])
    out = layers_to_layer(v, bounds, 0.0, 0.2, error=error)
    assert float(out.soil_moisture) == pytest.approx(0.2)
    assert 0.01 < float(out.soil_moisture_standard_error) < 0.02
    assert float(sensors_to_layer(v, z, 0.05, 0.15).soil_moisture) == pytest.approx(0.2)
    with pytest.raises(UnitsError, match="different kind"):
        layers_to_layer(v.assign_attrs(units="K"), bounds, 0.0, 0.2)
