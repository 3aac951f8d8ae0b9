"""Scores by their published formulas, states by plain numpy, intervals and baselines by what they must do."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.benchmark import scores as s
from vadose.benchmark import state
from vadose.benchmark.cells import Cells, meet
from vadose.benchmark.compare import baseline, pair, score, table
from vadose.benchmark.state import combine, common_months, measure
from vadose.errors import NotFoundError, TimeAxisError, VadoseInputError

#: ILAMB's public table, surface soil moisture against WangMao (ilamb.org, ELM/ilamb_e3sm_cbgcv2, HydrologyCycle): bias, rmse, phase,
#: distribution, overall of BCC-CSM2-MR, CanESM5, MeanCMIP6, MIROC-ES2L, two runs of E3SM's land, GFDL-ESM4.
PUBLISHED = [
    (0.191, 0.581, 0.740, 0.937, 0.606),
    (0.312, 0.401, 0.763, 0.907, 0.557),
    (0.517, 0.666, 0.811, 0.993, 0.731),
    (0.451, 0.555, 0.787, 0.941, 0.658),
    (0.543, 0.647, 0.775, 0.992, 0.721),
    (0.499, 0.636, 0.858, 0.994, 0.725),
    (0.497, 0.535, 0.782, 0.959, 0.662),
]
#: The same of evapotranspiration against MODIS with year-to-year variability (ilamb.org, ELM/ilamb_e3sm_cbgcv1): bias, rmse, phase,
#: iav, distribution, overall of bcc-csm1-1, CESM1-BGC, E3SMv1-CTC, IPSL-CM5A-LR, MeanCMIP5.
PUBLISHED_WITH_IAV = [
    (0.374, 0.269, 0.713, 0.457, 0.758, 0.473),
    (0.237, 0.249, 0.718, 0.503, 0.904, 0.476),
    (0.254, 0.286, 0.798, 0.459, 0.911, 0.499),
    (0.509, 0.325, 0.726, 0.652, 0.670, 0.534),
    (0.272, 0.374, 0.788, 0.677, 0.932, 0.569),
]


def record(
    years=3,
    rows=4,
    columns=6,
    *,
    seed=0,
    start="2001-01-01",
    units="m3 m-3",
    lat0=0.0,
    lon0=0.0,
    size=1.0,
    amplitude=0.05,
):
    """A monthly record with a season, noise and a pattern in space."""
    rng = np.random.default_rng(seed)
    time = pd.date_range(start, periods=12 * years, freq="MS")
    lat, lon = lat0 + size * (np.arange(rows) + 0.5), lon0 + size * (np.arange(columns) + 0.5)
    season = amplitude * np.cos(2 * np.pi * (time.month.values - 1.5) / 12)
    values = (
        0.25
        + season[:, None, None]
        + 0.02 * rng.normal(size=(time.size, rows, columns))
        + 0.03 * rng.normal(size=(rows, columns))
    )
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords={"time": time, "lat": lat, "lon": lon}, name="soil_moisture", attrs={"units": units})  # fmt: skip


def values_of(frame, kind="score", region="all"):
    part = frame[(frame.kind == kind) & (frame.region == region)]
    return dict(zip(part.statistic, part.value, strict=True))


@pytest.mark.parametrize("row", PUBLISHED)
def test_c_t1_4_1_overall_scores_of_the_published_table(row):
    bias, rmse, phase, distribution, overall = row
    found = s.overall({"bias": bias, "rmse": rmse, "phase": phase, "distribution": distribution})
    assert found == pytest.approx(overall, abs=1e-3)


@pytest.mark.parametrize("row", PUBLISHED_WITH_IAV)
def test_overall_scores_of_a_published_table_that_counts_years(row):
    found = s.overall(
        dict(zip(("bias", "rmse", "phase", "iav", "distribution"), row[:-1], strict=True)), "ilamb2018-iav"
    )
    assert found == pytest.approx(row[-1], abs=1e-3)


@pytest.mark.parametrize("scheme", list(s.SCHEMES))
def test_c_t1_4_2_a_model_that_is_the_reference_scores_one(scheme):
    data = record()
    found = values_of(score(data, data, scheme=scheme))
    for name in (*s.scheme(scheme).weights, "overall"):
        assert found[name] == pytest.approx(1.0, abs=1e-9), name


def test_c_t1_4_3_formulas_at_known_points():
    assert s.bias_score(0.05, 0.05) == pytest.approx(0.367879, abs=1e-6)  # exp(-1)
    assert s.phase_score(30.4) == pytest.approx(0.9331, abs=1e-4)
    assert s.phase_score(91.25) == pytest.approx(0.5)
    assert s.phase_score(182.5) == pytest.approx(0.0, abs=1e-12)
    assert s.distribution_score(1, 0.5) == pytest.approx(0.75)
    assert s.distribution_score(2, 1) == pytest.approx(0.64)
    assert s.distribution_score(0.5, 0.9) == pytest.approx(0.608)


def test_c_t1_4_4_hellinger_is_one_for_the_same_and_zero_for_disjoint_distributions():
    p = np.array([0.2, 0.3, 0.5, 0.0, 0.0])
    assert s.hellinger_score(p, p) == pytest.approx(1.0)
    assert s.hellinger_score(p, np.array([0, 0, 0, 0.4, 0.6])) == pytest.approx(0.0)


def test_the_phase_scores_of_both_conventions_differ_as_measured():
    # one month late: 0.935 in ILAMB, 0.833 in ilamb3
    assert s.phase_score(365 / 12) == pytest.approx(0.933, abs=2e-3)
    assert s.phase_score_months(1) == pytest.approx(0.8333, abs=1e-4)


def plain(reference, other):
    """The same quantities by plain weighted numpy."""
    days = reference.time.dt.days_in_month.values.astype(float)
    w = days[:, None, None] / days.sum()
    x, y = reference.values, other.values
    mx, my = (w * x).sum(0), (w * y).sum(0)
    spread = np.sqrt((w * (x - mx) ** 2).sum(0))
    crmse = np.sqrt((w * ((y - my) - (x - mx)) ** 2).sum(0))
    return my - mx, spread, crmse


def test_the_one_pass_state_gives_what_plain_numpy_gives():
    a, b = record(seed=1), record(seed=2) + 0.03
    b.attrs = a.attrs
    cells = meet(a, b)
    got = measure(a, b, cells, common_months(a, b))
    bias, spread, crmse = plain(a, b)
    np.testing.assert_allclose(got.mean(1) - got.mean(0), bias.ravel(), rtol=1e-12)
    np.testing.assert_allclose(got.crms(0), spread.ravel(), rtol=1e-10)
    np.testing.assert_allclose(got.crmse(), crmse.ravel(), rtol=1e-10)


def test_scores_do_not_depend_on_chunks_and_lazy_input_gives_the_same():
    a, b = record(seed=1), record(seed=2)
    one = score(a, b, scheme="vadose")
    two = score(a.chunk(time=5, lat=2), b.chunk(time=7), scheme="vadose")
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("gaps", [False, True])
def test_one_thread_or_many_give_the_same_to_the_last_digit(monkeypatch, gaps):
    """Slabs of 5 cells of 24 by threads, the next block read meanwhile; months of a cell, cells of a month and one cell are missing."""
    monkeypatch.setattr(state, "SLAB", 5)
    monkeypatch.setattr(state, "CPU_COUNT", 3)
    monkeypatch.setattr(state, "BLOCK_VALUES", 24 * 7)
    a, b = record(seed=1), record(seed=2)
    if gaps:
        a[3:9, 1, 2] = b[20, :2] = b[:, 3, 3] = np.nan
    cells, axis = meet(a, b), common_months(a, b)
    a, b = a.chunk(time=6), b.chunk(time=4)
    with dask.config.set(scheduler="synchronous"):
        one = measure(a, b, cells, axis, error=0 * a + 0.01, extremes=True)
    many = measure(a, b, cells, axis, error=0 * a + 0.01, extremes=True)
    for name in ("weight", "cycle", "within", "low", "high", "n", "error", "seen"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)
    assert np.isfinite(one.total).sum() == 24 - gaps


def test_a_read_that_fails_in_a_later_block_is_not_lost(monkeypatch):
    monkeypatch.setattr(state, "CPU_COUNT", 2)
    monkeypatch.setattr(state, "BLOCK_VALUES", 24 * 6)
    a, b = record(seed=1).chunk(time=6), record(seed=2)

    def torn(block, block_info):
        if block_info[0]["array-location"][0][0] == 24:
            raise OSError("truncated file")
        return block

    bad = a.copy(data=a.data.map_blocks(torn, dtype=a.dtype, meta=np.empty((0, 0, 0))))
    with pytest.raises(OSError, match="truncated file"):
        measure(bad, b, meet(a, b), common_months(a, b))


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 35), seed=st.integers(0, 50))
def test_states_of_two_parts_combine_to_the_state_of_the_whole(cut, seed):
    a, b = record(seed=seed), record(seed=seed + 100)
    cells = meet(a, b)
    whole = measure(a, b, cells, common_months(a, b))
    parts = []
    for steps in (slice(0, cut), slice(cut, None)):
        x, y = a.isel(time=steps), b.isel(time=steps)
        parts.append(measure(x, y, cells, common_months(x, y)))
    joined = combine(*parts)
    np.testing.assert_allclose(joined.crmse(), whole.crmse(), rtol=1e-9)
    np.testing.assert_allclose(joined.mean(1), whole.mean(1), rtol=1e-12)
    np.testing.assert_allclose(joined.within, whole.within, rtol=1e-8, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-0.1, 0.1), scale=st.floats(0.3, 3.0))
def test_every_score_lies_between_zero_and_one(shift, scale):
    a = record(seed=3)
    b = ((record(seed=4) - 0.25) * scale + 0.25 + shift).assign_attrs(a.attrs)
    for scheme in ("ilamb2018", "ilamb3", "vadose"):
        found = values_of(score(a, b, scheme=scheme))
        assert all(-1e-12 <= v <= 1 + 1e-12 for v in found.values() if np.isfinite(v)), found


def test_nested_grids_meet_on_the_union_of_their_edges_without_a_copy():
    coarse, fine = record(rows=2, columns=3, size=2.0), record(rows=4, columns=6, size=1.0, seed=5)
    cells = meet(coarse, fine)
    assert cells.shape == (4, 6)
    assert cells.reference.reshape(4, 6)[:2, :2].tolist() == [[0, 0], [0, 0]]
    assert cells.other.tolist() == list(range(24))
    # areas: a band's is proportional to the difference of the sines of its edges
    expected = np.diff(np.sin(np.deg2rad(np.arange(5.0))))[:, None] * np.deg2rad(1.0)
    np.testing.assert_allclose(cells.weight.reshape(4, 6), np.broadcast_to(expected, (4, 6)))


def test_longitudes_in_both_conventions_meet():
    a = record(lon0=-4.0, columns=4)
    b = a.assign_coords(lon=a.lon.values % 360).sortby("lon")
    found = values_of(score(a, b))
    assert found["overall"] == pytest.approx(1.0)


def test_a_mesh_is_sampled_at_the_nearest_center_and_stations_take_their_cell():
    grid = record(rows=10, columns=10)
    flat = grid.stack(ncol=("lat", "lon")).reset_index("ncol").reset_coords(drop=False)
    mesh = xr.DataArray(
        grid.values.reshape(grid.sizes["time"], -1), dims=("time", "ncol"),
        coords={"time": grid.time, "lat": ("ncol", flat.lat.values), "lon": ("ncol", flat.lon.values)}, attrs=grid.attrs, name="soil_moisture",
    )  # fmt: skip
    assert values_of(score(grid, mesh))["overall"] == pytest.approx(1.0)
    station = mesh.isel(ncol=[3, 47]).rename(ncol="station")
    assert values_of(score(station, grid))["bias"] == pytest.approx(1.0)


def test_a_station_says_nothing_of_the_cells_around_it_whichever_comes_first():
    grid = record(rows=6, columns=6)
    tower = grid.isel(lat=[2], lon=[3]).stack(station=("lat", "lon")).reset_index("station")
    for pairs in (meet(grid, tower), meet(tower, grid)):
        assert pairs.size == 1
        assert (pairs.lat[0], pairs.lon[0]) == (2.5, 3.5)
    elsewhere = tower.assign_coords(lat=tower.lat + 1.0)
    with pytest.raises(VadoseInputError, match="share no place"):
        meet(tower, elsewhere)


def test_one_place_has_no_interval():
    """Drawn again and again it is itself every time: an interval of no width would say that it is known exactly."""
    tower = record(seed=1).isel(lat=[2], lon=[3]).stack(station=("lat", "lon")).reset_index("station")
    found = score(tower, record(seed=2), draws=5)
    assert found.low.isna().all()
    assert found.high.isna().all()


def test_calendars_meet_by_year_and_month():
    a = record(years=2)
    b = a.assign_coords(time=xr.date_range("2001-01-01", periods=24, freq="MS", calendar="noleap", use_cftime=True))
    assert values_of(score(a, b))["overall"] == pytest.approx(1.0)


def test_records_without_a_common_month_say_what_each_spans():
    with pytest.raises(TimeAxisError, match="reference spans 2001-01 to 2003-12, the model 1990-01 to 1992-12"):
        score(record(), record(start="1990-01-01"))


def test_other_units_are_refused():
    with pytest.raises(VadoseInputError, match="kg m-2"):
        score(record(), record(units="kg m-2"))


def test_an_unknown_scheme_answers_with_the_right_ones():
    with pytest.raises(NotFoundError, match="ilamb2018"):
        score(record(), record(), scheme="ilamb2081")


def test_a_reference_that_does_not_vary_is_left_out_and_counted():
    a, b = record(), record(seed=9)
    a[:, 0, 0] = 0.25
    frame = score(a, b)
    assert values_of(frame, "quantity")["unscorable"] == pytest.approx(1 / 24, rel=1e-3)
    assert np.isfinite(values_of(frame)["bias"])


def test_uncertainty_of_the_reference_forgives_errors_inside_it_and_widens_the_interval():
    a = record(seed=1, rows=8, columns=8)
    b = (a + 0.02).assign_attrs(a.attrs)
    sure, doubtful = xr.full_like(a, 1e-6), xr.full_like(a, 0.03)
    bias = {
        k: values_of(score(a, b, scheme="ilamb3", error=e))["bias"] for k, e in (("sure", sure), ("doubtful", doubtful))
    }
    assert bias["doubtful"] == pytest.approx(1.0)
    assert bias["sure"] < 0.8
    width = {}
    for k, e in (("sure", sure), ("doubtful", doubtful)):
        frame = score(a, b, scheme="ilamb2018", error=e, draws=60, rng=1)
        row = frame[(frame.statistic == "bias") & (frame.kind == "score")].iloc[0]
        width[k] = row.high - row.low
        assert row.low <= row.value <= row.high
        assert row.low >= 0.0
        assert row.high <= 1.0
    assert width["doubtful"] > 3 * width["sure"]


def test_the_baseline_knows_season_and_latitude_only():
    a, b = record(seed=1, rows=12), record(seed=1, rows=12)
    measured = pair(a, b)
    simple = baseline(measured)
    found = values_of(table(simple, s.scheme("ilamb2018")))
    assert found["phase"] > 0.95  # the season is the same everywhere in this record
    assert found["distribution"] < 0.7  # nothing of place
    assert values_of(table(measured, s.scheme("ilamb2018")))["overall"] > found["overall"]


def test_memory_is_that_of_the_process():
    # AR(1) with coefficient 0.6: e-folding time -1 / ln 0.6 = 1.958 months
    rng = np.random.default_rng(0)
    a = record(years=60, rows=3, columns=3)
    noise = rng.normal(size=a.shape)
    for t in range(1, a.sizes["time"]):
        noise[t] = 0.6 * noise[t - 1] + noise[t]
    b = a.copy(data=0.25 + 0.01 * noise)
    found = values_of(score(b, a, scheme="vadose"), "quantity")
    assert found["reference_memory"] == pytest.approx(1.958, rel=0.1)
    assert found["model_memory"] < 0.6


def test_regional_quantiles_put_seven_of_ten_cells_above_zero():
    values = np.arange(1.0, 101.0)
    q = s.area_quantile(values, np.ones(100))
    assert q == 70.0
    assert (s.quantile_score(values, q) > 0).mean() == pytest.approx(0.69)


def test_where_seven_of_ten_cells_are_within_the_uncertainty_the_faultless_score_one():
    found = s.quantile_score(np.array([0.0, 0.0, 0.02, np.nan]), 0.0)
    np.testing.assert_array_equal(found, [1.0, 1.0, 0.0, np.nan])
    np.testing.assert_allclose(s.quantile_score(np.array([0.0, 0.01, 0.03]), 0.02), [1.0, 0.5, 0.0])


def test_mass_weighting_favors_wet_cells():
    a = record(seed=1)
    a[:, :2] += 0.3
    b = a.copy()
    b[:, :2] += 0.1
    b.attrs = a.attrs
    measured = pair(a, b)
    the = s.scheme("ilamb2018")
    assert values_of(table(measured, the, mass=True))["bias"] < values_of(table(measured, the))["bias"]


def test_cells_outside_the_model_lower_coverage_not_the_other_scores():
    a = record(rows=8, columns=8)
    b = a.where(a.lat < 4)
    found = values_of(score(a, b.assign_attrs(a.attrs), scheme="vadose"))
    assert found["coverage"] == pytest.approx(0.5, abs=0.01)
    assert found["bias"] == pytest.approx(1.0)


def test_cells_are_a_plain_value():
    assert Cells(*(np.zeros(1),) * 5).size == 1
