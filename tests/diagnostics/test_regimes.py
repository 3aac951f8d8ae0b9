"""Where water limits evaporation is known in worlds that were built so."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose.diagnostics import regimes
from vadose.errors import VadoseInputError


def series(values):
    return xr.DataArray(values, dims="time")


def test_evaporation_that_follows_moisture_is_water_limited():
    rng = np.random.default_rng(0)
    sm, rn = rng.normal(size=2000), rng.normal(size=2000)
    out = regimes.water_limited(series(sm + 0.3 * rn + 0.3 * rng.normal(size=2000)), series(sm), series(rn))
    assert float(out.water_limited) == 1
    # partial correlation of et and sm given rn: 1 / sqrt(1 + .3^2)
    assert float(out.partial_correlation) == pytest.approx(1 / np.sqrt(1.09), abs=0.01)
    energy = regimes.water_limited(series(0.2 * sm + rn + 0.3 * rng.normal(size=2000)), series(sm), series(rn))
    assert float(energy.water_limited) == 0
    assert float(energy.correlation_radiation) > float(energy.correlation_moisture)


def test_chance_is_called_limited_in_no_more_than_its_share_of_records_with_memory():
    rng = np.random.default_rng(1)
    n, cells = 400, 1500
    data = np.zeros((3, cells, n))
    for t in range(1, n):
        data[:, :, t] = 0.9 * data[:, :, t - 1] + rng.normal(size=(3, cells))
    et, sm, rn = (xr.DataArray(d, dims=("cell", "time")) for d in data)
    out = regimes.water_limited(et, sm, rn)
    assert float((out.p_value < 0.05).mean()) < 0.075
    assert float(out.n_eff.mean()) < n / 5


def test_missing_and_constant_records_are_unknown():
    x = series(np.r_[np.random.default_rng(2).normal(size=50)])
    out = regimes.water_limited(x, xr.full_like(x, 0.2), x)
    assert np.isnan(float(out.water_limited))
    assert np.isnan(float(regimes.water_limited(x * np.nan, x, x).water_limited))


def test_dryness_index():
    rain = xr.DataArray([1.0, 3.0, 0.0], dims="cell", attrs={"units": "mm d-1"})
    demand = xr.DataArray([2.0, 2.0, 2.0], dims="cell", attrs={"units": "mm d-1"})
    out = regimes.budyko_dryness(rain, demand)
    assert out.water_limited.values.tolist() == [1, 0, 1]
    assert float(out.dryness_index[0]) == 2


def test_dry_transitional_wet():
    out = regimes.soil_moisture_regime(series([0.05, 0.10, 0.2, 0.25, 0.3, np.nan]), 0.1, 0.25)
    assert out.values.tolist() == [1, 2, 2, 2, 3, 0]
    with pytest.raises(VadoseInputError, match="critical point"):
        regimes.soil_moisture_regime(series([0.1]), 0.3, 0.2)
