"""Sites that freeze: each flag on a series where its hours can be counted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from test_qc_series import N, flat, hourly, hours

from vadose import qc
from vadose.errors import VadoseInputError
from vadose.qc import boreal
from vadose.qc.flags import FLAGS


def test_c_t1_2_4_liquid_share_below_freezing():
    t = xr.DataArray([272.15, 270.15, 263.15, 273.15, 280.0])
    share = qc.liquid_fraction(t, exponent=5.0, suction=200.0)
    np.testing.assert_allclose(share, [0.275928, 0.221173, 0.172932, 1.0, 1.0], atol=5e-7)
    with pytest.raises(VadoseInputError, match="suction"):
        qc.liquid_fraction(t, exponent=5.0, suction=0.0)


def test_frozen_needs_three_cold_hours_and_half_a_degree_to_leave():
    t = np.full(N, 3.0)
    t[10:12] = -1.0  # two hours are not three
    t[100:105] = -1.0
    t[105:110] = 0.3  # not above +0.5: still frozen
    out = qc.flag(hourly(flat(), soil_temperature=t))
    assert hours(out, "B01") == list(range(100, 110))
    assert not out.liquid_valid.values[100:110].any()


def test_frozen_state_outlives_a_day_without_temperature_but_says_nothing_there():
    t = np.full(N, -2.0)
    t[100:110] = np.nan
    t[300:400] = np.nan
    t[400:] = 0.2  # between the thresholds: frozen only if it was frozen before
    found = set(hours(qc.flag(hourly(flat(), soil_temperature=t)), "B01"))
    assert found == set(range(300)) - set(range(100, 110))


def test_zero_curtain_lasts_a_day_or_is_none():
    t = np.full(N, 3.0)
    t[100:124] = 0.1
    t[200:223] = 0.1
    out = qc.flag(hourly(flat(), soil_temperature=t))
    # hour 100 itself changed by 2.9 degrees, so the calm hours are 101..123: one short of a day
    assert hours(out, "B02") == []
    t[124] = 0.1
    assert hours(qc.flag(hourly(flat(), soil_temperature=t)), "B02") == list(range(101, 125))


def test_snow_by_mass_or_depth():
    s, d = np.zeros(N), np.zeros(N)
    s[10], s[11], d[20], d[21] = 10.1, 10.0, 0.051, 0.05
    assert hours(qc.flag(hourly(flat(), snow_amount=s, snow_depth=d)), "B03") == [10, 20]


def test_melt_explains_a_rise_without_rain():
    x = flat()
    x[100:] = 22.0
    snow = np.full(N, 50.0)
    dry = {"precipitation_flux": 0.0, "reanalysis_precipitation_flux": 0.0}
    steady = qc.flag(hourly(x, snow_amount=snow, **dry))
    assert hours(steady, "D04") == hours(steady, "D05") == [100]
    snow[95:] = 40.0
    melting = qc.flag(hourly(x, snow_amount=snow, **dry))
    assert hours(melting, "B04") == [100]
    assert hours(melting, "D04") == hours(melting, "D05") == []


def test_more_liquid_than_can_stay_liquid():
    x, t = flat(30.0), np.full(N, 5.0)
    t[100:105] = -10.0
    x[102:105] = 5.0
    soil = {"sand": ((), 0.4, {"units": "1"}), "clay": ((), 0.2, {"units": "1"})}
    out = qc.flag(hourly(x, soil_temperature=t).assign(soil))
    # loam at -10 degC holds a few percent liquid: 30 % is too much, 5 % is not
    assert hours(out, "B05") == [100, 101]


def test_organic_soil_has_its_own_limit():
    x = flat()
    x[10], x[20] = 80.0, 96.0
    peat = {"organic_matter": ((), 0.6, {"units": "1"}), "porosity": ((), 0.93, {"units": "1"})}
    out = qc.flag(hourly(x).assign(peat))
    assert hours(out, "C02") == hours(out, "C03") == [20]  # min(95, 93 + 5)
    assert len(hours(out, "B06")) == N
    peat["porosity"] = ((), 0.70, {"units": "1"})
    assert hours(qc.flag(hourly(x).assign(peat)), "C02") == [10, 20]


def test_a_step_within_a_day_of_thaw_is_kept_and_marked():
    t, x = np.full(N, -0.3), flat()
    t[200:] = 0.2
    x[224:], x[230:] = 25.0, 30.0
    out = qc.flag(hourly(x, soil_temperature=t))
    assert hours(out, "B07") == [224]  # 24 hours after the crossing at 200; 230 is later
    # a jump (D08) is doubted as before: B07 adds, it does not remove
    assert hours(out, "D08") == hours(qc.flag(hourly(x)), "D08")


def test_shoulder_seasons_are_recovered_and_unknown_temperature_is_not_warm():
    t = np.full(N, 3.0)
    t[50] = -0.3  # D01, but not frozen
    t[60] = -0.6  # one hour: not B01, yet below -0.5
    out = qc.flag(hourly(flat(), soil_temperature=t))
    assert hours(out, "D01") == [50, 60]
    assert bool(out.liquid_valid[50])
    assert not bool(out.liquid_valid[60])
    air = qc.flag(hourly(flat(), air_temperature=np.where(np.arange(N) == 50, -1.0, 3.0)))
    assert not bool(air.liquid_valid[50])  # without soil temperature the network's flag stands


def test_without_soil_temperature_frost_is_not_judged_and_that_is_said():
    out = qc.flag(hourly(flat()))
    assert len(hours(out, "no_temp")) == N
    plain = qc.flag(hourly(flat()), frost=False)
    assert not (plain.soil_moisture_flag.values & FLAGS.mask("no_temp")).any()


def test_suction_at_saturation_lies_on_the_retention_curve():
    # psi(th) = psi_s (th / th_s)^-b must give 33 kPa = 3365 mm of water at field capacity
    fc, sat, b = xr.DataArray(0.28), xr.DataArray(0.46), xr.DataArray(5.3)
    psi_s = boreal.saturation_suction(fc, sat, b)
    assert float(psi_s * (fc / sat) ** -b) == pytest.approx(33e3 / 9806.65 * 1000, rel=1e-12)
