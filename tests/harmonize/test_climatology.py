"""Seasonal cycle, anomalies, percentiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from vadose.errors import TimeAxisError
from vadose.harmonize.climatology import (
    anomaly,
    climatology,
    day_of_year,
    drought_class,
    percentile,
    standardized_index,
)


def series(values, start="2001-01-01"):
    return xr.DataArray(
        np.asarray(values, float),
        dims="time",
        coords={"time": pd.date_range(start, periods=len(values))},
        name="soil_moisture",
        attrs={"units": "m3 m-3"},
    )


def test_first_of_march_is_day_61_in_every_year():
    time = xr.DataArray(pd.to_datetime(["2001-03-01", "2004-03-01", "2004-02-29", "2001-12-31"]), dims="time")
    assert day_of_year(time).tolist() == [61, 61, 60, 366]


def test_c_x4_1_plotting_positions_of_ten_values():
    time = pd.to_datetime([f"{y}-06-15" for y in range(2001, 2011)])
    s = xr.DataArray(np.arange(10.0), dims="time", coords={"time": time})
    low = percentile(s, n_min=1, leave_year_out=False).percentile
    assert float(low[0]) == pytest.approx(9.0909, abs=5e-5)
    assert float(percentile(s, n_min=1, leave_year_out=False, plotting="hazen").percentile[0]) == pytest.approx(5.0)


def test_c_x4_2_annual_cosine():
    time = pd.date_range("2001-01-01", "2030-12-31")
    doy = day_of_year(xr.DataArray(time, dims="time"))
    s = xr.DataArray(0.25 + 0.1 * np.cos(2 * np.pi * doy / 365.25), dims="time", coords={"time": time})
    assert float(np.abs(anomaly(s, kind="harmonics")).max()) < 1e-10
    cycle = climatology(s)
    amplitude = float(cycle.max() - cycle.min()) / 2
    damp = 1.0
    for m in (5, 35):
        damp *= np.sin(np.pi * m / 365.25) / (m * np.sin(np.pi / 365.25))
    assert amplitude == pytest.approx(0.1 * damp, rel=0.005)


def test_c_x4_3_out_of_sample_percentiles_are_uniform():
    rng = np.random.default_rng(4)
    s = series(rng.normal(size=10957))
    p = percentile(s).percentile
    assert stats.kstest(p.values / 100, "uniform").statistic < 0.03


def test_c_x4_4_adding_a_constant_changes_nothing():
    rng = np.random.default_rng(5)
    s = series(rng.gamma(2.0, 0.05, 2000))
    np.testing.assert_array_equal(percentile(s).percentile, percentile(s + 8.0).percentile)


def test_equal_pool_is_degenerate_and_in_the_middle():
    out = percentile(series(np.full(1500, 0.2)))
    assert float(out.percentile[700]) == pytest.approx(50.0)
    assert int(out.percentile_flag[700]) == 1


def test_drought_classes_and_index():
    p = xr.DataArray([1.0, 4.0, 9.0, 15.0, 25.0, 60.0, np.nan], dims="time")
    assert drought_class(p).values[:6].tolist() == [5, 4, 3, 2, 1, 0]
    assert np.isnan(drought_class(p).values[6])
    assert float(standardized_index(xr.DataArray(50.0))) == 0.0


def test_lazy_and_chunks():
    rng = np.random.default_rng(6)
    cube = xr.DataArray(
        rng.normal(size=(800, 3, 2)),
        dims=("time", "lat", "lon"),
        coords={"time": pd.date_range("2001-01-01", periods=800)},
    )
    lazy = anomaly(cube.chunk(time=100, lat=1))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), anomaly(cube))


def test_unsorted_time_is_named():
    s = series(np.arange(10.0)).isel(time=[1, 0, 2])
    with pytest.raises(TimeAxisError, match="sortby"):
        climatology(s)
