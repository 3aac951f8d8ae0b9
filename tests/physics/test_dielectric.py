"""Permittivity of moist soil against published equations worked out by hand, and laws that must hold."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import NotFoundError, VadoseInputError
from vadose.physics import dielectric as d


def moisture(values):
    return xr.DataArray(np.atleast_1d(np.asarray(values, float)), dims="x", attrs={"units": "m3 m-3"})


def test_c_x12_1_topp_polynomial():
    """-.053 + .0292 e - .00055 e^2 + .0000043 e^3, for example e = 10: -.053 + .292 - .055 + .0043 = .1883."""
    out = d.moisture_from_permittivity(xr.DataArray([3.0, 5, 10, 20, 30, 40], dims="x"), model="topp")
    np.testing.assert_allclose(
        out.soil_moisture, [0.029766, 0.0797875, 0.1883, 0.3454, 0.4441, 0.5102], atol=6e-7, rtol=0
    )


# clay -> real parts at m = .05, .10, .20, .30, .40 and dry, 1.4 GHz
MIRONOV = {
    0.10: ([3.8187, 5.7053, 10.7979, 17.5001, 25.8119], 2.5041),
    0.20: ([3.5562, 5.0831, 9.9356, 16.3974, 24.4687], 2.3620),
    0.40: ([3.1268, 4.3010, 7.9759, 13.8493, 21.3316], 2.1380),
}


@pytest.mark.parametrize("clay", MIRONOV)
def test_c_x12_2_mironov_reference_values(clay):
    wet, dry = MIRONOV[clay]
    out = d.permittivity(moisture([0.05, 0.10, 0.20, 0.30, 0.40, 0.0]), clay, frequency=1.4e9)
    np.testing.assert_allclose(out.relative_permittivity, [*wet, dry], rtol=1e-4)
    if clay == 0.20:
        np.testing.assert_allclose(
            out.dielectric_loss, [0.2487, 0.4554, 1.1061, 2.0242, 3.2097, 0.0967], rtol=1e-3, atol=6e-5
        )


def test_c_x12_3_dobson_and_peplinski_reference_values():
    options = {"sand": 0.4, "bulk_density": 1300.0, "temperature": 296.15, "particle_density": 2660.0}
    out = d.permittivity(moisture([0.05, 0.10, 0.20, 0.30, 0.40]), 0.2, model="peplinski", frequency=1.4e9, **options)
    np.testing.assert_allclose(out.relative_permittivity, [4.2037, 6.5823, 12.4183, 19.5153, 27.7372], rtol=1e-4)
    np.testing.assert_allclose(out.dielectric_loss, [0.3349, 0.5845, 1.1071, 1.6901, 2.3383], rtol=2e-4)
    high = d.permittivity(moisture(0.20), 0.2, model="dobson", frequency=6e9, **options)
    assert float(high.relative_permittivity[0]) == pytest.approx(10.7598, rel=1e-4)
    assert float(high.dielectric_loss[0]) == pytest.approx(1.7123, rel=1e-4)


@pytest.mark.parametrize("model", ["mironov", "peplinski", "dobson"])
def test_c_x12_4_increasing_continuous_and_invertible(model):
    theta = moisture(np.linspace(0.001, 0.5, 400))
    out = d.permittivity(theta, 0.25, model=model)
    assert (np.diff(out.relative_permittivity) > 0).all()
    assert (np.diff(out.dielectric_loss) > 0).all()
    back = d.moisture_from_permittivity(out.relative_permittivity, 0.25, model=model)
    assert float(np.abs(back.soil_moisture - theta).max()) < 1e-8
    table = d.lookup_table(0.25, model=model)
    looked = np.interp(out.relative_permittivity, table.relative_permittivity, table)
    assert np.abs(looked - theta.values).max() < 1e-5
    if model == "mironov":
        bound = 0.02863 + 0.30673 * 0.25
        around = d.permittivity(moisture([bound - 1e-9, bound + 1e-9]), 0.25).relative_permittivity.values
        assert abs(around[1] - around[0]) < 1e-6


@settings(max_examples=40, deadline=None)
@given(theta=st.floats(0.01, 0.6), clay=st.floats(0.0, 0.6), f=st.floats(0.5e9, 10e9))
def test_any_soil_round_trips(theta, clay, f):
    eps = d.complex_permittivity(moisture(theta), clay, frequency=f)
    assert eps.values.imag[0] >= 0
    back = d.moisture_from_permittivity(eps, clay, frequency=f).soil_moisture
    assert float(back[0]) == pytest.approx(theta, abs=1e-8)


def test_dry_soil_loses_nothing_and_stogryn_is_another_water():
    assert float(d.permittivity(moisture(0.0), 0.2, model="dobson").dielectric_loss[0]) == 0.0
    a = d.permittivity(moisture(0.3), 0.2, model="dobson").relative_permittivity
    b = d.permittivity(moisture(0.3), 0.2, model="dobson", water="stogryn").relative_permittivity
    assert 0.0 < abs(float(a[0] - b[0])) < 0.5


def test_frozen_percent_and_unknown():
    out = d.permittivity(
        moisture([0.2, 0.2]), 0.2, temperature=xr.DataArray([270.0, 280.0], dims="x", attrs={"units": "K"})
    )
    assert np.isnan(out.relative_permittivity[0])
    assert not np.isnan(out.relative_permittivity[1])
    assert out.permittivity_flag.values.tolist() == [2, 0]
    with pytest.raises(VadoseInputError, match="mass fraction"):
        d.permittivity(moisture(0.2), 20.0)
    with pytest.raises(VadoseInputError, match="m3 m-3"):
        d.permittivity(moisture(20.0), 0.2)
    out = d.permittivity(moisture([20.0, 0.2, 0.3]), 0.2)
    assert np.isnan(out.relative_permittivity[0])
    assert int(out.permittivity_flag[0]) == 1
    percent = moisture(20.0).assign_attrs(units="%")
    np.testing.assert_allclose(
        d.permittivity(percent, 0.2).relative_permittivity, d.permittivity(moisture(0.2), 0.2).relative_permittivity
    )
    with pytest.raises(NotFoundError, match="mironov"):
        d.permittivity(moisture(0.2), 0.2, model="mirnov")


def test_negative_conductivity_is_clipped_and_said():
    out = d.permittivity(moisture(0.2), 0.05, sand=0.9, bulk_density=1000.0, model="dobson", frequency=6e9)
    assert int(out.permittivity_flag[0]) == 4  # -1.645 + 1.939 - 2.25622 * .9 + 1.594 * .05 = -1.66


def test_lazy_in_lazy_out_and_errors_travel():
    theta = moisture(np.linspace(0.05, 0.45, 50))
    lazy = d.permittivity(theta.chunk(x=7), 0.2)
    assert lazy.relative_permittivity.chunks is not None
    np.testing.assert_array_equal(lazy.relative_permittivity, d.permittivity(theta, 0.2).relative_permittivity)
    out = d.moisture_from_permittivity(xr.DataArray([10.0], dims="x"), 0.2, error=1.0)
    # slope between .20 (9.9356) and .30 (16.3974) is about .0155 per unit; locally a little steeper
    assert 0.014 < float(out.soil_moisture_standard_error[0]) < 0.02
