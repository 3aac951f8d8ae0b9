"""Spectra of series whose period or noise is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose.diagnostics import wavelet as w
from vadose.errors import VadoseInputError


def test_c_t1_3_2_a_sinusoid_peaks_at_its_own_period():
    assert pytest.approx(1.033044, abs=5e-7) == w.FOURIER_FACTOR
    x = np.sin(2 * np.pi * np.arange(8192) / 64)
    periods = np.arange(60, 68, 0.01)
    power = (np.abs(w.transform(x, periods)) ** 2).mean(1)
    assert periods[power.argmax()] == pytest.approx(64.0, abs=0.011)
    rectified = power / (periods / w.FOURIER_FACTOR)
    assert periods[rectified.argmax()] == pytest.approx(63.1, abs=0.05)
    default = w.default_periods(8192)
    assert default[np.abs(default - 64).argmin()] == pytest.approx(66.11, abs=0.01)


def test_white_noise_has_mean_power_one_and_red_noise_its_spectrum():
    rng = np.random.default_rng(0)
    periods = np.array([4.0, 16.0, 64.0])
    white = np.mean([(np.abs(w.transform(rng.normal(size=2048), periods)) ** 2).mean(1) for _ in range(40)], axis=0)
    np.testing.assert_allclose(white, 1.0, atol=0.12)
    red = np.zeros((40, 4096))
    for t in range(1, 4096):
        red[:, t] = 0.7 * red[:, t - 1] + rng.normal(size=40)
    red = red / np.sqrt(1 / (1 - 0.49))
    power = np.mean([(np.abs(w.transform(row, periods)) ** 2).mean(1) for row in red], axis=0)
    np.testing.assert_allclose(power, w.red_noise(0.7, periods), rtol=0.15)


def test_red_noise_is_called_significant_as_rarely_as_it_says():
    rng = np.random.default_rng(1)
    x = np.zeros((60, 1200))
    for t in range(1, 1200):
        x[:, t] = 0.8 * x[:, t - 1] + rng.normal(size=60)
    out = w.wavelet_spectrum(xr.DataArray(x, dims=("cell", "time")), periods=np.array([8.0, 16.0, 32.0]))
    safe = out.cone > out.period
    share = float((out.power > out.significance).where(safe).mean())
    assert 0.035 < share < 0.065


def test_gaps_are_bridged_and_too_many_are_not():
    rng = np.random.default_rng(2)
    x = np.sin(2 * np.pi * np.arange(1024) / 90) + 0.1 * rng.normal(size=1024)
    some, many = x.copy(), x.copy()
    some[rng.random(1024) < 0.1] = np.nan
    many[rng.random(1024) < 0.5] = np.nan
    data = xr.DataArray([x, some, many], dims=("cell", "time"))
    out = w.wavelet_spectrum(data)
    peak = out.period[out.global_power.isel(cell=slice(2)).argmax("period")]
    np.testing.assert_allclose(peak, 90, rtol=0.06)
    assert bool((out.global_power > out.global_significance).isel(cell=0).sel(period=90, method="nearest"))
    assert bool(out.global_power.isel(cell=2).isnull().all())
    lazy = w.wavelet_spectrum(data.chunk(cell=1, time=200))
    assert lazy.power.chunks is not None
    np.testing.assert_allclose(lazy.global_power.compute(), out.global_power)
    assert float(w.band_share(out, 60, 130)[0]) > 0.9
    assert float(w.band_share(out, 0, np.inf)[0]) == pytest.approx(1)


def test_too_short_a_record_says_so():
    with pytest.raises(VadoseInputError, match="32 samples"):
        w.wavelet_spectrum(xr.DataArray(np.zeros(10), dims="time"))
