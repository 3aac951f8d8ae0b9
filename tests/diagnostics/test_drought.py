"""Flash-drought detectors on series short enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.diagnostics import drought as d
from vadose.diagnostics.events import event_skill, event_table, onset_composite
from vadose.diagnostics.pentads import calendar_quantile, pentad_percentile, to_pentads
from vadose.errors import ExperimentalWarning, TimeAxisError, TooFewSamplesError, VadoseInputError


def pentads(values, start="2001-01-01"):
    time = pd.Timestamp(start) + pd.to_timedelta(5 * np.arange(len(values)), "D")
    return xr.DataArray(np.asarray(values, float), dims="time", coords={"time": time}, attrs={"units": "1"})


def daily(values, start="2001-01-01", unit="m3 m-3"):
    time = pd.date_range(start, periods=len(values))
    return xr.DataArray(np.asarray(values, float), dims="time", coords={"time": time}, attrs={"units": unit})


FAST = [60, 55, 45, 38, 25, 15, 12, 18, 30, 45]
SLOW = [60, 50, 42, 38, 35, 31, 28, 24, 21, 19]


def test_c_t2_3_1_drop_from_40_to_20():
    out = d.drop(pentads(FAST))
    assert int(out["count"]) == 1
    assert int(out.onset_position[0]) == 2
    row = event_table(out).iloc[0]
    assert row.onset == pd.Timestamp("2001-01-11")
    assert row.rate == pytest.approx((45 - 15) / 3)  # from 45 to 15 in 15 days
    assert int(d.drop(pentads(SLOW))["count"]) == 0


def test_c_t2_3_1_decline_of_five_percentiles_a_pentad():
    out = d.decline(pentads(FAST))
    assert int(out["count"]) == 1
    assert (int(out.onset_position[0]), int(out.end_position[0])) == (3, 7)
    assert float(out.duration[0]) == 25.0
    assert float(out.severity[0]) == 92.0  # 2 + 15 + 25 + 28 + 22
    assert float(out.rate[0]) == 7.0  # (40 - 12) / 4
    assert float(out.minimum[0]) == 12.0
    assert int(d.decline(pentads(SLOW))["count"]) == 0


def test_missing_pentads_end_an_event_without_keeping_it():
    values = list(FAST)
    values[6] = np.nan
    assert int(d.decline(pentads(values))["count"]) == 0
    values = [60, 55, 45, 38, 25, 15, 12, 18]
    assert int(d.decline(pentads(values))["count"]) == 1  # still dry when the record ends


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 99.5), min_size=10, max_size=120))
def test_every_event_keeps_its_own_rules(values):
    p = pentads(values)
    for detect in (d.drop, d.decline):
        out = detect(p)
        for k in range(int(out["count"])):
            s, e = int(out.onset_position[k]), int(out.end_position[k])
            part = np.asarray(values[s : e + 1])
            assert part.min() <= 20
            assert float(out.minimum[k]) == pytest.approx(part.min())
            if detect is d.decline:
                assert values[s - 1] >= 40 > values[s]
                assert e - s + 1 >= 4
                assert (part < 20).sum() >= 3


def test_c_t2_3_2_volatility_of_a_linear_decline():
    """Falling all the time: the 5-day mean is below the 20-day mean once both are full, so the threshold decides alone."""
    theta = daily(np.linspace(0.40, 0.20, 120))
    below_for = lambda days: daily(np.where(np.arange(120) >= 120 - days, 1.0, 0.0))  # noqa: E731
    assert int(d.volatility(theta, threshold=below_for(20))["count"]) == 1
    assert int(d.volatility(theta, threshold=below_for(19))["count"]) == 0
    out = d.volatility(theta, threshold=below_for(40))
    assert float(out.duration[0]) == 40.0
    cold = xr.full_like(theta, 270.0)
    assert int(d.volatility(theta, threshold=below_for(40), temperature=cold)["count"]) == 0
    assert int(d.volatility(theta, threshold=below_for(40), bowen_ratio=xr.full_like(theta, 9.0))["count"]) == 0


@pytest.mark.parametrize(("apart", "events"), [(15, 1), (16, 2)])
def test_c_t2_3_2_events_near_each_other_are_one(apart, events):
    """First day of the next minus last day of the previous."""
    theta = daily(np.linspace(0.60, 0.20, 160))
    threshold = np.zeros(160)
    threshold[30:60] = 1.0  # last day 59
    threshold[59 + apart : 59 + apart + 30] = 1.0
    assert int(d.volatility(theta, threshold=daily(threshold))["count"]) == events


def stress_world(exceptions, changes):
    """Percentiles of changes with so many exceptions inside a run; levels end below 20."""
    n = 40
    fall, level, z = np.full((1, n), 80.0), np.full((1, n), 60.0), np.zeros((1, n))
    fall[0, 10 : 10 + changes] = 30.0
    for k in range(exceptions):
        fall[0, 12 + k] = 70.0
    level[0, 10 + changes - 1] = 10.0
    z[0, 10 : 10 + changes] = -np.arange(1, changes + 1) * 0.5
    z[0, 10 + changes :] = z[0, 10 + changes - 1]
    return level, fall, z


@pytest.mark.parametrize(("exceptions", "changes", "found"), [(0, 5, 1), (1, 6, 1), (2, 7, 0), (0, 4, 0)])
def test_c_t2_3_3_evaporative_stress_rules(exceptions, changes, found):
    level, fall, z = stress_world(exceptions, changes)
    # three quiet years before and after, so that the mean change is extreme for its time of year
    quiet = np.zeros((1, 73 * 3 - 40))
    z = np.concatenate([z, quiet + 0.0, z * 0, quiet[:, :33], z * 0], axis=1)[:, : 73 * 4]
    z = np.concatenate([z, np.zeros((1, 73 * 8))], axis=1)
    pad = z.shape[1] - level.shape[1]
    level = np.pad(level, ((0, 0), (0, pad)), constant_values=60.0)
    fall = np.pad(fall, ((0, 0), (0, pad)), constant_values=80.0)
    out = np.full((1, 5, 6), np.nan)
    d._stress_runs(level, fall, z, np.arange(z.shape[1]), 5, out)
    assert int(np.isfinite(out[0, :, 0]).sum()) == found


def test_evaporative_stress_finds_a_planted_spell():
    rng = np.random.default_rng(0)
    n = 73 * 20
    time = np.concatenate([np.datetime64(f"{y}-01-01") + 5 * np.arange(73) for y in range(2001, 2021)])
    season = 0.6 + 0.2 * np.sin(2 * np.pi * np.arange(n) / 73)
    wander = np.zeros(n)
    for t in range(1, n):
        wander[t] = 0.8 * wander[t - 1] + rng.normal(0, 0.03)
    planted = 73 * 10 + 30
    wander[planted : planted + 8] = np.linspace(0.0, -0.45, 8)
    a = {"dims": "time", "coords": {"time": time.astype("datetime64[ns]")}, "attrs": {"units": "mm d-1"}}
    pet = xr.DataArray(np.full(n, 5.0), **a)
    et = xr.DataArray(5.0 * (season + wander).clip(0.01), **a)
    out = d.evaporative_stress(et, pet)
    table = event_table(out)
    assert ((table.onset >= time[planted - 3]) & (table.onset <= time[planted + 3])).any()
    assert len(table) < 25
    with pytest.raises(VadoseInputError, match="convert"):
        d.evaporative_stress(et, pet.assign_attrs(units="kg m-2 s-1"))


def test_c_t2_3_4_stress_drydown_index():
    assert d.stress_drydown_index(0.71, 0.71) == pytest.approx(0.71)
    assert d.stress_drydown_index(0.0, 0.9) == 0.0
    assert d.stress_drydown_index(0.9, 0.0) == 0.0
    grid = np.linspace(0.01, 1, 30)
    index = d.stress_drydown_index(grid[:, None], grid[None, :])
    assert (np.diff(index, axis=0) > 0).all()
    assert (np.diff(index, axis=1) > 0).all()


def test_stress_drydown_is_experimental_and_runs():
    n = 365 * 4
    theta = daily(0.25 + 0.1 * np.cos(2 * np.pi * np.arange(n) / 365.25))
    with pytest.warns(ExperimentalWarning, match="FDSI"):
        out = d.stress_drydown(theta, critical_point=0.30, wilting_point=0.12, threshold=0.5)
    assert int(out["count"]) >= 3
    assert float(out["index"].max()) <= 1.0


def test_pentads_of_leap_years():
    """29 February joins pentad 12 (25 February to 1 March): 73 pentads in every year."""
    series = daily(np.arange(366.0 + 365), start="2020-01-01")
    out = to_pentads(series)
    assert out.sizes["time"] == 146
    assert float(out[11]) == pytest.approx(np.mean(np.arange(55, 61)))
    assert float(out[12]) == pytest.approx(np.mean(np.arange(61, 66)))
    assert pd.Timestamp(out.time.values[12]) == pd.Timestamp("2020-03-02")
    assert pd.Timestamp(out.time.values[73]) == pd.Timestamp("2021-01-01")
    assert float(out[84]) == pytest.approx(366 + 57)  # 25 Feb - 1 Mar 2021
    gappy = series.copy()
    gappy[0:3] = np.nan
    assert np.isnan(to_pentads(gappy)[0])


def test_pentad_percentile_counts_ranks():
    """Three years, window 0: the lowest of three has rank 1 of 3, 100 / 4."""
    n = 73 * 3
    values = np.repeat([3.0, 1.0, 2.0], 73)
    time = np.concatenate([np.datetime64(f"{y}-01-01") + 5 * np.arange(73) for y in (2001, 2002, 2003)])
    p = xr.DataArray(values, dims="time", coords={"time": time.astype("datetime64[ns]")}, attrs={"units": "1"})
    out = pentad_percentile(p, window=0, n_min=3)
    np.testing.assert_allclose(out.percentile[[0, 73, 146]], [75.0, 25.0, 50.0])
    assert (out.percentile_flag == 1).all()
    wide = pentad_percentile(p, window=2, n_min=3)  # pool of 15 with ties: 1 + (5 + 1) / 2 - 1 = 3 of 15
    assert float(wide.percentile[80]) == pytest.approx(100 * 3 / 16)
    assert n == wide.sizes["time"]
    assert pentad_percentile(p).percentile.notnull().all()


@pytest.mark.parametrize("percent", [2.0, 20.0, 90.0])
def test_calendar_quantile_is_the_order_statistic(percent):
    """Against the definition, day by day: gaps, ties, a year that is cut off and 29 February are in the pool or not as they should."""
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(365 * 4 + 90, 2)), 1)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 1][np.arange(len(values)) % 7 > 0] = (
        np.nan
    )  # about 18 values in 31 days of four years: below n_min = 40 in places
    time = pd.date_range("2001-03-10", periods=len(values))
    series = xr.DataArray(values, dims=("time", "cell"), coords={"time": time}, attrs={"units": "1"})
    out = calendar_quantile(series, percent, n_min=18)
    shown = time.day_of_year + ((time.day_of_year > 59) & ~time.is_leap_year)  # place in a leap year
    for day in (1, 10, 59, 60, 61, 180, 360, 366):
        apart = np.abs(shown - day)
        near = np.minimum(apart, 366 - apart) <= 15
        for cell in (0, 1):
            pool = np.sort(values[near, cell][~np.isnan(values[near, cell])])
            rank = percent / 100 * (pool.size + 1) - 1
            expected = np.interp(rank, np.arange(pool.size), pool) if pool.size >= 18 else np.nan
            here = out.values[shown == day, cell]
            np.testing.assert_allclose(here, expected, atol=1e-12)
    lazy = calendar_quantile(series.chunk(time=500, cell=1), percent, n_min=18)
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.compute(), out)
    with pytest.raises(VadoseInputError, match="0 to 182"):
        calendar_quantile(series, percent, window=200)


def test_lazy_cubes_and_unsorted_time():
    rng = np.random.default_rng(1)
    phase = 2 * np.pi * (np.arange(300)[:, None, None] / 16 + rng.random((1, 3, 4)))
    values = 50 + 42 * np.sin(phase) + rng.uniform(-5, 5, (300, 3, 4))
    cube = (
        pentads(np.zeros(300))
        .expand_dims(lat=[1.0, 2, 3], lon=[1.0, 2, 3, 4])
        .transpose("time", "lat", "lon")
        .copy(data=values)
    )
    lazy = d.decline(cube.chunk(lat=1))
    eager = d.decline(cube)
    assert lazy.severity.chunks is not None
    xr.testing.assert_equal(lazy.compute(), eager)
    assert int(eager["count"].sum()) == len(event_table(eager)) > 0
    with pytest.raises(TimeAxisError, match="sort"):
        d.drop(cube.isel(time=slice(None, None, -1)))


def test_shares_in_place_of_percentiles_are_refused():
    for detect in (d.drop, d.decline):
        with pytest.raises(VadoseInputError, match="0 to 100"):
            detect(pentads(np.tile(FAST, 10)) / 100.0)


def test_skill_against_a_catalog():
    t = pd.Timestamp
    catalog = pd.DataFrame({"onset": [t("2001-05-01"), t("2002-05-01")], "end": [t("2001-06-15"), t("2002-06-01")]})
    found = pd.DataFrame({"onset": [t("2001-05-06"), t("2003-07-01")], "end": [t("2001-06-10"), t("2003-08-01")]})
    skill = event_skill(catalog, found)
    assert skill["pod"] == 0.5
    assert skill["far"] == 0.5
    assert skill["onset_error"] == 5.0


@pytest.mark.parametrize("leave", [False, True])
def test_pentad_percentile_against_the_slow_definition(leave):
    rng = np.random.default_rng(0)
    series = daily(np.round(rng.normal(size=365 * 6), 1), start="2001-03-10")
    series[rng.random(series.size) < 0.2] = np.nan
    p = to_pentads(series)
    out = pentad_percentile(p, leave_year_out=leave, n_min=5).percentile.values
    number, v = np.arange(p.size) + 13, p.values  # 10 March lies in the fourteenth pentad
    for k in range(0, v.size, 5):
        if np.isnan(v[k]):
            assert np.isnan(out[k])
            continue
        apart = np.abs(number % 73 - number[k] % 73)
        near = np.minimum(apart, 73 - apart) <= 2
        others = near & ~np.isnan(v) & ((number // 73 != number[k] // 73) if leave else True)
        pool = np.append(v[others], v[k]) if leave else v[others]
        rank = (pool < v[k]).sum() + 0.5 * ((pool == v[k]).sum() + 1)
        assert out[k] == pytest.approx(100 * rank / (pool.size + 1), abs=1e-9)


def test_composite_around_onsets():
    """A field that jumps by one on the onset of each of two events."""
    p = pentads([60, 55, 45, 38, 25, 15, 12, 18, 30, 45, 60, 60, 55, 45, 38, 25, 15, 12, 18, 30, 45, 60])
    found = d.decline(p)
    field = daily(np.zeros(110), unit="mm d-1")
    for k in range(2):
        start = int(found.onset_position[k]) * 5
        field[start : start + 10] = 1.0
    out = onset_composite(found, field, before=5, after=9)
    np.testing.assert_allclose(out["mean"], np.r_[np.zeros(5), np.ones(10)])
    assert int(out.n[5]) == 2
    with pytest.raises(TooFewSamplesError, match="no event"):
        onset_composite(d.decline(pentads(SLOW)), field)
