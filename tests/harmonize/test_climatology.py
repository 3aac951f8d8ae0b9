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
    short_term_anomaly,
    standardized_anomaly,
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


def test_window_climatology_is_the_pooled_mean_of_all_years():
    rng = np.random.default_rng(7)
    s = series(rng.normal(size=1461)).where(series(rng.random(1461)) > 0.2)
    doy = day_of_year(s.time)
    for day in (1, 60, 200, 366):
        distance = np.minimum(np.abs(doy - day), 366 - np.abs(doy - day))
        assert float(climatology(s, kind="window").sel(dayofyear=day)) == pytest.approx(float(s[distance <= 17].mean()))


def test_short_term_anomaly_of_the_same_year_knows_no_neighbor():
    s = series(np.r_[np.zeros(365), np.ones(365)])  # two years at different levels
    assert float(abs(short_term_anomaly(s, same_year=True)).max()) == 0.0
    # the first of January sees 17 days of the year before among its 35
    assert float(abs(short_term_anomaly(s)).max()) == pytest.approx(17 / 35)
    lazy = short_term_anomaly(s.chunk(time=100), same_year=True)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.time, s.time)


def test_standardized_anomalies_have_the_spread_of_their_season():
    """Noise of 0.01 in the first half of the year and 0.04 in the second: both come out with a spread of 1."""
    time = pd.date_range("2001-01-01", "2030-12-31")
    rng = np.random.default_rng(8)
    sd = np.where(time.month <= 6, 0.01, 0.04)
    s = xr.DataArray(
        0.2 + sd * rng.normal(size=time.size), dims="time", coords={"time": time}, attrs={"units": "m3 m-3"}
    )
    z = standardized_anomaly(s)
    assert z.attrs["units"] == "1"
    for month in (3, 9):
        assert float(z.where(z.time.dt.month == month).std()) == pytest.approx(1.0, abs=0.05)
    doy = day_of_year(s.time)
    near = np.abs(doy - 100) <= 15
    departure = anomaly(s)
    at = int(np.flatnonzero(doy == 100)[0])
    expected = float(departure[at]) / float(departure[near].std(ddof=1))
    assert float(z[at]) == pytest.approx(expected, rel=1e-9)
    assert bool(np.isnan(standardized_anomaly(s[:365])).all())


def test_percentiles_in_a_reference_period():
    """Day t of 2021 among 2001 to 2020: 20 years x 31 days and itself; checked against counting."""
    rng = np.random.default_rng(9)
    s = series(rng.normal(size=7670))
    past, now = s.sel(time=slice(None, "2020")), s.sel(time="2021")
    assert past.sizes["time"] == 7305
    p = percentile(now, reference=past).percentile
    doy = day_of_year(past.time)
    pool = past.values[np.abs(doy - 200) <= 15]
    at = int(np.flatnonzero(day_of_year(now.time) == 200)[0]) if 200 in day_of_year(now.time) else None
    assert at is not None
    assert pool.size == 620
    assert float(p[at]) == pytest.approx(100 * ((pool < float(now[at])).sum() + 1) / 622)
    lazy = percentile(now.chunk(time=50), reference=past.chunk(time=900)).percentile
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.compute(), p)


def test_years_of_360_days():
    time = xr.date_range("2000-01-01", periods=3600, calendar="360_day", use_cftime=True)
    doy = np.tile(np.arange(1, 361), 10)
    s = xr.DataArray(np.cos(2 * np.pi * doy / 360), dims="time", coords={"time": time}, name="x")
    assert float(abs(anomaly(s, kind="harmonics")).max()) < 1e-10
    cycle = climatology(s)
    assert cycle.sizes["dayofyear"] == 360
    damp = np.prod([np.sin(np.pi * m / 360) / (m * np.sin(np.pi / 360)) for m in (5, 35)])
    np.testing.assert_allclose(
        cycle, damp * np.cos(2 * np.pi * np.arange(1, 361) / 360), atol=2e-4
    )  # both ends of the year, too
    assert float(percentile(s).percentile[1800:1830].std()) < 30
