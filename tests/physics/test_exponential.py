"""The exponential filter against its definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.physics.exponential import exponential_filter


def series(values, days=None):
    days = np.arange(len(values)) if days is None else np.asarray(days)
    return xr.DataArray(
        np.asarray(values, float),
        dims="time",
        coords={"time": pd.Timestamp("2017-01-01") + pd.to_timedelta(days, "D")},
        attrs={"units": "m3 m-3"},
    )


def unmasked(out):
    return out.soil_water_index.values


def test_c_x6_1_constant_stays_constant():
    out = exponential_filter(series(np.full(200, 0.23)), 5.0)
    assert np.nanmax(np.abs(unmasked(out) - 0.23)) < 1e-12


def test_c_x6_2_four_values_by_hand():
    import vadose.physics.exponential as module

    s = series([0.10, 0.20, 0.30, 0.25], [0, 1, 2, 5])
    out, sigma, quality = (np.full((1, 4), np.nan) for _ in range(3))
    module._filter(s.values[None], 0.0, np.array([0.0, 1, 2, 5]), 10.0, 0.0, out, sigma, quality)
    np.testing.assert_allclose(out[0], [0.1, 0.152498, 0.206656, 0.221019], atol=5e-7)
    # gain of the fourth value: K = 1 / sum of weights
    weights = np.exp(-np.array([5, 4, 3, 0]) / 10)
    assert 1 / weights.sum() == pytest.approx(0.331382, abs=5e-7)


def test_c_x6_3_gain_settles():
    """With daily data 1 / sum of weights tends to 1 - exp(-1/T): a unit step moves the index by that much on its first day."""
    values = np.zeros(400)
    values[300] = 1.0
    out = exponential_filter(series(values), 10.0)
    assert float(out.soil_water_index[300]) == pytest.approx(0.0951626, abs=5e-8)


def test_c_x6_4_recursion_equals_the_direct_sum():
    rng = np.random.default_rng(0)
    days = np.cumsum(rng.integers(1, 25, 300))
    values = rng.uniform(0.05, 0.4, 300)
    out = exponential_filter(series(values, days), 8.0).soil_water_index.values
    direct = []
    for n in range(300):
        since = n
        while since > 0 and days[since] - days[since - 1] <= 24:
            since -= 1
        w = np.exp(-(days[n] - days[since : n + 1]) / 8.0)
        direct.append((w * values[since : n + 1]).sum() / w.sum())
    good = np.isfinite(out)
    np.testing.assert_allclose(out[good], np.array(direct)[good], rtol=1e-12)


def test_uncertainty_of_the_time_scale_is_the_finite_difference():
    rng = np.random.default_rng(1)
    s = series(rng.uniform(0.05, 0.4, 100))
    out = exponential_filter(s, 10.0, time_scale_error=1.0)
    slope = (
        exponential_filter(s, 10.0 + 1e-4).soil_water_index - exponential_filter(s, 10.0 - 1e-4).soil_water_index
    ) / 2e-4
    np.testing.assert_allclose(out.soil_water_index_standard_error[20:], np.abs(slope[20:]), rtol=1e-5)


def test_unknown_time_scale_is_refused():
    with pytest.raises(ValueError, match="positive"):
        exponential_filter(series([0.1, 0.2]), 0.0)
