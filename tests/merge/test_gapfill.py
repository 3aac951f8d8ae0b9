"""Filled values are as good as they say: known signals, hidden truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import world
from vadose.errors import VadoseInputError
from vadose.merge import fill
from vadose.merge.gapfill import parameters


def records(rng, cells=40, n=1461, phi=0.93, sd=0.04, noise=0.02):
    time = pd.date_range("2015-01-01", periods=n)
    a = np.zeros((n, cells))
    a[0] = rng.normal(0, sd, cells)
    for t in range(1, n):
        a[t] = phi * a[t - 1] + np.sqrt(1 - phi**2) * sd * rng.normal(size=cells)
    season = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(n) / 365.25)[:, None]
    coords = {"time": time, "cell": np.arange(cells)}
    truth = xr.DataArray(season + a, dims=("time", "cell"), coords=coords)
    seen = truth + noise * rng.normal(size=truth.shape)
    gaps = np.zeros(truth.shape, bool)
    for cell in range(cells):
        for start in rng.integers(0, n, 70):
            gaps[start : start + rng.integers(1, 15), cell] = True
    return truth, seen.where(~gaps), gaps


def test_memory_signal_and_noise_are_found():
    _, seen, _ = records(np.random.default_rng(0), cells=60)
    anomaly = (seen - seen.mean("time")).values - 0.08 * np.cos(2 * np.pi * np.arange(1461) / 365.25)[:, None]
    found = np.array([parameters(anomaly[:, k]) for k in range(60)])
    assert np.median(found[:, 0]) == pytest.approx(0.93, abs=0.02)
    assert np.median(np.sqrt(found[:, 1])) == pytest.approx(0.04, rel=0.1)
    assert np.median(np.sqrt(found[:, 2])) == pytest.approx(0.02, rel=0.15)


def test_intervals_of_filled_values_hold_the_hidden_truth():
    truth, seen, gaps = records(np.random.default_rng(1))
    out = fill(seen)
    error = (out.soil_moisture - truth).values[gaps]
    sigma = out.soil_moisture_standard_error.values[gaps]
    for level, z in ((0.68, 0.994), (0.90, 1.645), (0.95, 1.960)):
        assert np.mean(np.abs(error) <= z * sigma) == pytest.approx(level, abs=0.035)
    climate = float(np.std((truth - truth.mean("time")).values[gaps]))
    assert error.std() < 0.55 * climate
    # observed values are kept, and their stated error is that of the smoothed signal, below the noise
    kept = out.soil_moisture.where(~gaps)
    np.testing.assert_array_equal(kept.values[~gaps], seen.values[~gaps])
    smooth = fill(seen, keep_observed=False)
    better = (smooth.soil_moisture - truth).values[~gaps].std()
    assert better < 0.8 * (seen - truth).values[~gaps].std()


def test_intervals_hold_on_the_synthetic_earth_with_its_real_gaps():
    truth = world.make((-100, 35, -96, 39), 1.0, "2015-01-01", "2018-12-31")
    seen = world.observe.merged(truth).soil_moisture.drop_vars("depth")
    model = world.observe.reanalysis(truth).soil_moisture.drop_vars("depth")
    rng = np.random.default_rng(3)
    hide = xr.zeros_like(seen, dtype=bool)
    for start in rng.integers(0, seen.sizes["time"], 60):
        hide[start : start + rng.integers(2, 12)] = True
    hidden = hide & seen.notnull()
    covered = {}
    error = {}
    for name, more in (("alone", None), ("with a model", model.expand_dims(product=["reanalysis"]))):
        out = fill(seen.where(~hide).astype(float), predictors=more)
        # what comes back is the signal on the product's scale: a held-out reading also has its own noise
        rest = (out.soil_moisture - seen).where(hidden)
        noise = 0.034 * 1.1
        spread = np.sqrt(out.soil_moisture_standard_error**2 + noise**2)
        covered[name] = float((np.abs(rest) <= 1.645 * spread).where(rest.notnull()).mean())
        error[name] = float(np.sqrt((rest**2).mean()))
        assert bool(out.soil_moisture.notnull().all())
    assert covered["alone"] == pytest.approx(0.90, abs=0.05)
    assert covered["with a model"] == pytest.approx(0.90, abs=0.05)
    assert error["with a model"] < error["alone"]


def test_long_gaps_are_named_and_may_be_left():
    _, seen, _ = records(np.random.default_rng(2), cells=2)
    seen[300:420] = np.nan
    out = fill(seen)
    flag = out.soil_moisture_fill_flag
    assert bool(((flag[360] & 2) == 2).all())
    assert bool(((flag[300] & 3) == 1).all())
    assert bool((out.soil_moisture_standard_error[360] > out.soil_moisture_standard_error[300]).all())
    left = fill(seen, maximum_gap=30)
    assert bool(left.soil_moisture[300:420].isnull().all())
    assert bool(left.soil_moisture[:200].notnull().all())


def test_lazy_equals_eager_and_bad_axes_are_named():
    _, seen, _ = records(np.random.default_rng(4), cells=4, n=730)
    lazy = fill(seen.chunk(cell=1, time=200))
    assert lazy.soil_moisture.chunks is not None
    np.testing.assert_allclose(lazy.soil_moisture.compute(), fill(seen).soil_moisture, rtol=1e-10)
    with pytest.raises(VadoseInputError, match="reindex"):
        fill(seen.isel(time=np.r_[0:100, 105:300]))
    short = seen.where(seen.time < seen.time[40])
    assert bool(fill(short).soil_moisture[50:].isnull().all())
