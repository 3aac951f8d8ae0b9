"""The oscillation in made-up waves whose phase, lag and amplitude are known, and in the official index."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.diagnostics import mjo as m
from vadose.errors import DimensionError, TooFewSamplesError, UnreadableFileError, VadoseInputError
from vadose.products import rmm as file


def days(values, start="1990-01-01", extra=()):
    values = np.asarray(values, float)
    return xr.DataArray(values, dims=("time", *extra), coords={"time": pd.date_range(start, periods=values.shape[0])})


def test_c_t2_6_1_phases_by_angle():
    angle = np.deg2rad(np.arange(-157.5, 180, 45))
    assert m.phase(days(np.cos(angle)), days(np.sin(angle))).values.tolist() == list(range(1, 9))
    assert m.phase(days([-1.0, -1.0]), days([0.0, -0.0])).values.tolist() == [1, 1]
    assert m.phase(days([np.nan]), days([1.0])).values.tolist() == [0]


def wave_index(n=2400, period=48.0):
    lon = np.deg2rad(np.arange(0, 360, 2.5))
    t = np.arange(n)
    field = days(np.cos(lon[None, :] - 2 * np.pi * t[:, None] / period), extra=("lon",))
    eofs = xr.DataArray(np.stack([np.cos(lon), np.sin(lon)]), dims=("mode", "lon"))
    pcs = m.project(field, eofs)
    return xr.Dataset({"rmm1": pcs.isel(mode=0), "rmm2": pcs.isel(mode=1)})


def test_c_t2_6_2_a_wave_runs_through_the_phases():
    index = wave_index()
    size = m.amplitude(index.rmm1, index.rmm2)
    assert float(size.std()) < 1e-10
    number = m.phase(index.rmm1, index.rmm2).values
    change = np.diff(number)[np.diff(number) != 0]
    assert set(change.tolist()) == {1, -7}
    assert 2400 / (np.count_nonzero(change) + 1) == pytest.approx(6.0, abs=0.05)
    assert m.residence(index) == pytest.approx(6.0)


def test_c_t2_6_3_lanczos_response():
    w = m.lanczos_weights()
    k = np.arange(-100, 101)
    expected = {10: 0.0, 20: 0.500, 30: 1.001, 45: 0.997, 60: 1.000, 100: 0.500, 150: 0.150, 365: -0.004}
    for period, value in expected.items():
        response = float((w * np.cos(2 * np.pi * k / period)).sum())
        assert response == pytest.approx(value, abs=0.001 if period == 10 else 0.002)


def test_filter_keeps_the_band_and_bears_short_gaps():
    t = np.arange(1200)
    series = days(np.cos(2 * np.pi * t / 45) + np.cos(2 * np.pi * t / 8) + 3.0)
    out = m.lanczos_bandpass(series)
    assert np.isnan(out[:100]).all()
    assert np.isnan(out[-100:]).all()
    np.testing.assert_allclose(
        out[100:-100], 0.997 * np.cos(2 * np.pi * t[100:-100] / 45) + 3.0 * m.lanczos_weights().sum(), atol=0.01
    )
    short, long = series.copy(), series.copy()
    short[600:602], long[600:603] = np.nan, np.nan
    assert m.lanczos_bandpass(short)[100:-100].notnull().all()
    assert int(m.lanczos_bandpass(long)[100:-100].isnull().sum()) == 203
    lazy = m.lanczos_bandpass(series.expand_dims(lat=[1, 2]).transpose("time", "lat").chunk(lat=1))
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.isel(lat=0), out)
    with pytest.raises(TooFewSamplesError, match="odd"):
        m.lanczos_bandpass(series[:100])


def test_c_t2_6_4_soil_lags_rain():
    """a = exp(-1/8): lag atan(a sin w / (1 - a cos w)) / w = 5.531 d; amplitude ratio (1 - a) / |1 - a e^-iw| = .66755."""
    rng = np.random.default_rng(0)
    n, a, w = 12_000, np.exp(-1 / 8), 2 * np.pi / 45
    t = np.arange(n)
    rain = np.cos(w * t) + rng.normal(0, 1.0, n)
    soil = np.zeros(n)
    for k in range(1, n):
        soil[k] = a * soil[k - 1] + (1 - a) * rain[k]
    index = xr.Dataset({"rmm1": days(1.5 * np.cos(w * t)), "rmm2": days(1.5 * np.sin(w * t))})
    both = [m.phase_composite(m.lanczos_bandpass(m.without_season(days(v))), index) for v in (rain, soil)]
    ratio = float(both[1].cycle_amplitude / both[0].cycle_amplitude)
    lag = float((both[1].cycle_phase - both[0].cycle_phase + 4) % 8 - 4) * 45 / 8
    assert lag == pytest.approx(5.531, abs=1.0)
    assert ratio == pytest.approx(0.66755, abs=0.05)
    slopes = m.lag_regression(days(soil), index.rmm1, lags=range(12))
    assert int(slopes.slope.argmax("lag")) in (5, 6)
    assert float(slopes.p_value.min()) < 1e-6


def red_index(n, rng):
    """An index that wanders around the circle in about 48 days, with noise, like the real one."""
    angle = np.cumsum(rng.normal(2 * np.pi / 48, 0.15, n))
    size = 1.3 + 0.6 * np.sin(2 * np.pi * np.arange(n) / 97 + rng.random())
    return xr.Dataset({"rmm1": days(size * np.cos(angle)), "rmm2": days(size * np.sin(angle))})


def test_c_t2_6_5_noise_is_not_significant():
    rng = np.random.default_rng(3)
    n = 6000
    index = red_index(n, rng)
    noise = m.lanczos_bandpass(days(rng.normal(size=(n, 400)), extra=("cell",)))
    out = m.phase_composite(noise.isel(time=slice(100, -100)), index)
    assert 100 * float((out.p_value < 0.05).mean()) <= 7.0
    assert 100 * float(out.significant.mean()) <= 1.0


def test_c_t2_6_6_harmonics_take_the_year_and_leave_the_wave():
    n = 3285
    t = np.arange(n)
    year, wave = np.cos(2 * np.pi * t / 365), np.cos(2 * np.pi * t / 45)
    out = m.without_season(days(year + wave + 5), period=365.0)
    assert float(np.abs(out - wave).max()) < 1e-6
    assert float(np.abs(m.without_season(days(np.cos(2 * np.pi * np.arange(3650) / 365)), period=365.0)).max()) < 1e-6


def test_index_from_fields_follows_a_moving_disturbance():
    rng = np.random.default_rng(0)
    n, lon, lat = 1500, np.arange(0, 360, 10.0), np.array([-10.0, 0.0, 10.0, 30.0])
    center = 120 + 360 * np.arange(n) / 48.0
    shape = np.cos(np.deg2rad(lon[None, :] - center[:, None]))

    def field(v, noise):
        values = v[:, None, :] * np.ones((1, lat.size, 1)) + rng.normal(0, noise, (n, lat.size, lon.size))
        return xr.DataArray(
            values,
            dims=("time", "lat", "lon"),
            coords={"time": pd.date_range("2001-01-01", periods=n), "lat": lat, "lon": lon},
        )

    out = m.rmm(
        field(-15 * shape, 3), field(2 * np.roll(shape, 9, axis=1), 0.3), field(-5 * np.roll(shape, 9, axis=1), 1)
    )
    assert m.residence(out) == pytest.approx(6.0, abs=0.1)
    assert float(out.amplitude.mean()) == pytest.approx(np.sqrt(2), rel=0.05)
    at_120 = (np.arange(120, n) % 48) == 0  # convection at 120E: the first pattern, angle 0, between phases 4 and 5
    number = out.phase.values[at_120]
    assert np.isin(number, (4, 5)).mean() > 0.9


def test_official_index_agrees_with_its_phase_column(shared_data):
    out = file.open(shared_data / "mjo/rmm.74toRealtime_to_2021-04-30.txt")
    good = out.rmm1.notnull()
    assert int(good.sum()) == 16846
    assert int((~good).sum()) == 290
    assert (m.phase(out.rmm1, out.rmm2)[good.values] == out.phase[good.values]).all()
    assert m.residence(out.sel(time=slice("1979", "2020"))) == pytest.approx(6.9, abs=0.2)


def test_crossings_see_a_planted_control():
    rng = np.random.default_rng(2)
    one, two, theta = [], [], []
    for _ in range(90):
        wet = rng.normal()
        stops = rng.random() < 1 / (1 + np.exp(-2.5 * wet))  # wet land stops the oscillation
        angle = np.linspace(-np.pi, np.pi, 48, endpoint=False)
        size = np.where(stops & (angle > np.deg2rad(20)), 0.4, 1.5)
        one.append(size * np.cos(angle))
        two.append(size * np.sin(angle))
        theta.append(np.full(48, wet))
    index = xr.Dataset({"rmm1": days(np.concatenate(one)), "rmm2": days(np.concatenate(two))})
    table, result = m.crossings(index, days(np.concatenate(theta)), draws=300)
    assert len(table) >= 80
    assert result["wet"] < result["dry"]
    assert result["p_value"] < 0.02
    assert result["odds_ratio"] < 0.3


def test_bad_input(tmp_path):
    index = wave_index(300)
    with pytest.raises(VadoseInputError, match="NDJFM"):
        m.phase_composite(index.rmm1, index, season="winter")
    with pytest.raises(TooFewSamplesError, match="100"):
        m.phase_composite(index.rmm1[:50], index)
    bad = tmp_path / "x.txt"
    bad.write_text("a\nb\nc d e f g h i j\n")
    with pytest.raises(UnreadableFileError, match="RMM1"):
        file.open(bad)
    assert m.false_discovery(np.array([0.001, 0.5, 0.9, np.nan])).tolist() == [True, False, False, False]


def test_fields_on_other_longitudes_are_refused_and_days_meet_by_date():
    rng = np.random.default_rng(0)
    lon = np.arange(0.0, 360, 30)
    fields = [
        xr.DataArray(rng.normal(size=(400, 3, 12)), dims=("time", "lat", "lon"),
                     coords={"time": pd.date_range("2000-01-01", periods=400), "lat": [-10.0, 0, 10], "lon": lon})
        for _ in range(3)
    ]  # fmt: skip
    late = [fields[0].isel(time=slice(0, 380)), fields[1], fields[2].transpose("lon", "time", "lat")]
    assert m.rmm(*late).sizes["time"] == 260
    turned = fields[1].assign_coords(lon=(lon + 180) % 360 - 180)
    with pytest.raises(DimensionError, match="same longitudes"):
        m.rmm(fields[0], turned, fields[2])
