"""Gas response functions against hand-worked values of their published forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

from vadose.errors import NotFoundError, VadoseInputError
from vadose.physics import greenhouse as g


def test_c_t2_2_1_damm():
    t = 293.15
    theta = np.array([0.1, 0.2, 0.3, 0.5])
    np.testing.assert_allclose(g.damm(theta, t), [2.49255e-4, 1.25802e-3, 2.01172e-3, 1.46389e-3], rtol=2e-5)
    assert g.per_area(g.damm(0.3, t)) == pytest.approx(201.17, abs=0.01)
    assert g.damm(0.3, 283.15) == pytest.approx(7.06076e-4, rel=2e-5)
    assert g.damm(0.3, 303.15) == pytest.approx(5.34916e-3, rel=2e-5)
    porosity = 1 - 0.80 / 2.52
    assert g.damm(0.0, t) == 0.0
    assert g.damm(porosity, t) == pytest.approx(0.0, abs=1e-18)
    best = minimize_scalar(lambda x: -g.damm(x, t), bounds=(0.05, 0.65), method="bounded", options={"xatol": 1e-9}).x
    assert best == pytest.approx(0.34687, abs=1e-5)
    with pytest.raises(NotFoundError, match="k_oxygen"):
        g.damm(0.3, t, k_oxigen=0.1)


def test_c_t2_2_2_yan():
    expected = {
        0.1: (0.65385, 0.19465, 0.06190),
        0.2: (0.87179, 0.52925, 0.33015),
        0.325: (1, 1, 1),
        0.4: (0.65724,) * 3,
        0.5: (0, 0, 0),
    }
    for theta, values in expected.items():
        for clay, value in zip((0.01, 0.20, 0.40), values, strict=True):
            assert float(g.yan(theta, 0.5, clay)) == pytest.approx(value, abs=6e-6)
    assert float(g.yan_protection(0.20)) == pytest.approx(0.514)


def test_c_t2_2_3_orchidee():
    s = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    np.testing.assert_allclose(g.orchidee(s), [0.25, 0.331, 0.635, 0.851, 0.979, 1.0], atol=1e-12)


def test_c_t2_2_4_nitrogen():
    w = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(g.nitrification(w), [0.19323, 0.72303, 1, 0.73477, 0.23811], atol=6e-6)
    assert g.nitrification(0.55, coarse=True) == pytest.approx(1.0)
    assert g.nitrification(0.2, coarse=True) == pytest.approx(0.2415, abs=6e-5)
    assert g.nitrification(0.8, coarse=True) == pytest.approx(0.64677, abs=6e-6)
    assert g.n2o_to_no(0.638462) == pytest.approx(1.0, abs=1e-5)  # 1.66 / 2.6
    np.testing.assert_allclose(g.nox_to_n2o(np.array([0.0, 0.186, 0.3])), [0.2360, 15.2, 28.547], atol=6e-4)
    assert g.nitrification_acidity(5.0) == pytest.approx(0.56)
    assert g.nitrification_temperature(0.0) == pytest.approx(0.07)


def test_c_t2_2_5_methane_uptake():
    np.testing.assert_allclose(g.methane_uptake(np.array([0.2, 1, 10, 100])), [1, 0.786802, 0.451899, 0], atol=6e-7)
    np.testing.assert_allclose(g.methane_uptake(np.array([-0.01, -500.0])), [1.0, 0.0])


def test_c_t2_2_6_pools_reach_balance():
    """dC/dt = I - k f C reaches I / (k f); after 20 / (k f) what is missing is e^-20."""
    f = 0.6
    steps = np.full(400, 1.0)
    out = g.carbon_pools(2.0 * steps, f * steps, rates=(0.1, 0.1), transfer=0.4)
    assert out[-1, 0] == pytest.approx(g.steady_carbon(2.0, 0.1, f), rel=1e-6)
    assert out[-1, 1] == pytest.approx(0.4 * 2.0 / (0.1 * f), rel=1e-6)


def test_pools_lose_no_carbon():
    rng = np.random.default_rng(0)
    litter, response = rng.gamma(1, 1, 200), rng.random(200)
    out = g.carbon_pools(litter, response, transfer=1.0, rates=(0.5, 0.0))
    assert out[-1].sum() == pytest.approx(litter.sum(), rel=1e-12)  # nothing respires


def test_other_shapes():
    assert g.moyano(3.11 / (2 * 2.42)) == pytest.approx(0.9992, abs=5e-5)
    assert g.century(1.0) == pytest.approx(1.0)
    assert g.century(0.01) == 0.0
    assert g.lloyd_taylor(283.15) == pytest.approx(1.0, rel=1e-3)
    assert g.q10(298.15) == pytest.approx(2.0)
    assert g.denitrification(0.8) == pytest.approx(0.25)
    assert g.methane_production(0.85) == pytest.approx(0.5)
    assert g.gas_diffusivity(0.45, 0.45) == 0.0
    assert g.gas_diffusivity(0.0, 0.45) == pytest.approx(0.45 ** (4 / 3))


def test_pulse_fades():
    s = xr.DataArray([0.1, 0.3, 0.3, 0.3], dims="time", coords={"time": pd.date_range("2020-01-01", periods=4)})
    np.testing.assert_allclose(g.rewetting_pulse(s), [0, 0.2, 0.2 * np.exp(-0.5), 0.2 * np.exp(-1.0)])
    assert g.rewetting_pulse(s.expand_dims(lat=[1]).chunk(lat=1)).chunks is not None


@pytest.mark.parametrize("name", g.RESPONSES)
def test_every_response_stays_in_range_and_lazy(name):
    theta = xr.DataArray(np.array([0.0, 0.1, 0.3, 0.45, 0.6, np.nan]), dims="x", attrs={"units": "m3 m-3"})
    t = xr.DataArray([280.0, 270, 280, 280, 280, 280], dims="x", attrs={"units": "K"})
    out = g.moisture_response(name, theta.chunk(x=2), 0.45, soil_temperature=t)
    assert out.response.chunks is not None
    values = out.response.compute()
    assert float(values.min()) >= 0
    assert float(values.max()) <= 1.0 + 1e-9
    assert np.isnan(values[-1])
    assert out.response_flag.values.tolist() == [0, 2, 0, 0, 1, 0]
    assert float(values[3]) == float(values[4])


def test_bad_input_of_the_door():
    theta = xr.DataArray([0.2], dims="x", attrs={"units": "m3 m-3"})
    with pytest.raises(NotFoundError, match="yan"):
        g.moisture_response("yann", theta, 0.45)
    with pytest.raises(VadoseInputError, match="porosity"):
        g.moisture_response("yan", theta, 45.0)


def test_carbon_gains_where_respiration_slows():
    """f = theta^2: d ln C / d theta = -2 / theta."""
    assert g.carbon_sensitivity(lambda x: x**2, 0.25) == pytest.approx(-8.0, rel=1e-6)


def test_clay_of_a_map_meets_moisture_by_the_names_of_its_dimensions():
    clay = xr.DataArray([[0.01, 0.2], [0.3, 0.5]], dims=("lon", "lat"))
    theta = xr.DataArray(np.full((3, 2, 2), 0.1), dims=("time", "lat", "lon"))
    out = g.moisture_response("yan", theta.assign_attrs(units="m3 m-3"), 0.5, clay=clay).response
    for i in range(2):
        for j in range(2):
            wanted = float(g.yan(0.1, 0.5, float(clay[j, i])))
            np.testing.assert_allclose(out.isel(lat=i, lon=j), wanted, rtol=1e-12)
