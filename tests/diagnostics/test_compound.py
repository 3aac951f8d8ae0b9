"""Hazards together: copulas by their closed forms, factors by theory, events by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.diagnostics import compound as c
from vadose.diagnostics import copula as k
from vadose.errors import NotFoundError, TooFewSamplesError, VadoseInputError


@pytest.mark.parametrize(("rho", "factor"), [(0.0, 1), (0.3, 2.16165), (0.5, 3.24015), (0.8, 5.62427), (-0.5, 0.07386)])
def test_c_t2_1_1_gaussian_factor(rho, factor):
    assert k.multiplication_factor("gaussian", (rho,), 0.1) == pytest.approx(factor, abs=6e-6)


def test_c_t2_1_2_clayton():
    """C(.1, .1) = (2 * .1^-2 - 1)^(-1/2) = 199^-.5; K(t) = t + t (1 - t^2) / 2 = .1 + .0495."""
    clayton = k.Fitted("clayton", (2.0,), 0, 0, 0)
    assert float(clayton.cdf(0.1, 0.1)) == pytest.approx(0.0708881, abs=6e-8)
    assert k.multiplication_factor("clayton", (2.0,), 0.1) == pytest.approx(7.08881, abs=6e-6)
    assert k.family("clayton").kendall(0.1, (2.0,)) == pytest.approx(0.1495)


def test_c_t2_1_3_gumbel_return_periods():
    gumbel = k.Fitted("gumbel", (2.0,), 0, 0, 0)
    assert float(gumbel.cdf(0.95, 0.95)) == pytest.approx(0.930029, abs=6e-7)
    periods = k.return_periods(gumbel, 0.95, 0.95)
    assert periods["and"] == pytest.approx(33.301, abs=6e-4)
    assert periods["or"] == pytest.approx(14.2916, abs=6e-5)
    free = k.return_periods(k.Fitted("gaussian", (0.0,), 0, 0, 0), 0.95, 0.95)
    assert free["and"] == pytest.approx(400, rel=1e-6)  # 1 / .05^2
    assert free["or"] == pytest.approx(10.2564, abs=6e-5)
    assert gumbel.tails[1] == pytest.approx(0.585786, abs=6e-7)  # 2 - sqrt 2


def test_c_t2_1_4_parameters_from_tau():
    assert k.family("clayton").from_tau(0.5) == pytest.approx(2.0)
    assert k.family("gumbel").from_tau(0.5) == pytest.approx(2.0)
    assert k.family("gaussian").from_tau(0.5) == pytest.approx(0.707107, abs=6e-7)


TRUTH = {"gaussian": (0.6,), "clayton": (2.0,), "gumbel": (2.0,), "frank": (5.0,), "student": (0.5, 4.0)}


@pytest.mark.parametrize("name", TRUTH)
def test_c_t2_1_5_family_and_parameter_are_recovered(name):
    chosen = 0
    for seed in range(4):
        u, v = k.family(name).draw(5000, TRUTH[name], np.random.default_rng(seed))
        best = k.fit_copula(u, v)
        chosen += best.family == name
        own = k.fit_family(k.ranks(u), k.ranks(v), name)
        assert own.parameters[0] == pytest.approx(TRUTH[name][0], rel=0.08)
    assert chosen == 4


def test_c_t2_1_5_empirical_factor_matches_theory():
    """Clayton joins small values: the hazards 1 - u, 1 - v exceed their upper tenth 7.09 times as often together."""
    time = pd.date_range("1990-01-01", periods=5000)
    u, v = k.family("clayton").draw(5000, (2.0,), np.random.default_rng(3))
    x, y = (xr.DataArray(1 - a, dims="time", coords={"time": time}) for a in (u, v))
    out = c.likelihood_multiplication(x, y, draws=200)
    assert float(out.multiplication_factor) == pytest.approx(7.08881, rel=0.15)
    assert float(out.multiplication_factor_low) < 7.09 < float(out.multiplication_factor_high) * 1.1
    assert float(out.p_value) < 0.01
    assert float(out.risk_ratio) == pytest.approx(float(out.multiplication_factor), rel=0.02)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(TRUTH)), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_c_t2_1_6_order_of_return_periods(name, u, v):
    t = k.return_periods(k.Fitted(name, TRUTH[name], 0, 0, 0), u, v)
    tiny = 1 + 1e-6
    assert t["or"] <= min(t["first"], t["second"]) * tiny
    assert max(t["first"], t["second"]) <= t["and"] * tiny


def test_c_t2_1_7_shuffled_years_know_nothing_of_each_other():
    rng = np.random.default_rng(0)
    time = pd.date_range("1980-01-01", "2019-12-31")
    x = rng.normal(size=time.size)
    factors = []
    for _ in range(60):
        order = rng.permutation(40)
        years = [x[time.year == 1980 + o][:365] for o in order]
        y = np.concatenate(years)
        base = np.concatenate([x[time.year == 1980 + o][:365] for o in range(40)])
        axis = pd.date_range("1980-01-01", periods=y.size)
        a, b = (xr.DataArray(w, dims="time", coords={"time": axis}) for w in (base, y))
        if (order == np.arange(40)).any():
            continue
        factors.append(float(c.likelihood_multiplication(a, b, draws=2).multiplication_factor))
    assert np.mean(factors) == pytest.approx(1.0, abs=0.05)


def test_all_families_are_distributions():
    """C(u, 1) = u; density integrates to one; draws have uniform margins."""
    grid = (np.arange(400) + 0.5) / 400
    a, b = np.meshgrid(grid, grid)
    for name in k.FAMILIES:
        p = TRUTH.get(name, (2.0,))
        assert float(k.Fitted(name, p, 0, 0, 0).cdf(0.3, 1 - 1e-9)) == pytest.approx(0.3, abs=1e-4)
        density = np.exp(k.family(name).log_density(a, b, p))
        assert density.mean() == pytest.approx(1.0, abs=0.03)
        below = density[(a < 0.4) & (b < 0.7)].sum() / 400**2
        assert below == pytest.approx(float(k.family(name).cdf(np.array(0.4), np.array(0.7), p)), abs=0.01)
        u, v = k.family(name).draw(4000, p, np.random.default_rng(0))
        assert abs(u.mean() - 0.5) < 0.02
        assert abs(v.mean() - 0.5) < 0.02


def test_frank_kendall_function():
    """K(t) = t - phi / phi' with phi = -ln((e^-at - 1) / (e^-a - 1)); compare with a large sample's copula values."""
    u, v = k.family("frank").draw(200000, (5.0,), np.random.default_rng(1))
    w = k.family("frank").cdf(u, v, (5.0,))
    for t in (0.1, 0.3, 0.6):
        assert float(k.family("frank").kendall(t, (5.0,))) == pytest.approx((w <= t).mean(), abs=0.005)


def test_goodness_accepts_its_own_and_refuses_another():
    u, v = k.family("clayton").draw(300, (3.0,), np.random.default_rng(5))
    u, v = k.ranks(u), k.ranks(v)
    assert k.goodness(k.fit_family(u, v, "clayton"), u, v, draws=40)[1] > 0.05
    assert k.goodness(k.fit_family(u, v, "gumbel"), u, v, draws=40)[1] < 0.05


def cube(values, start="2001-06-01"):
    values = np.asarray(values, float)
    dims = ("time", "lat", "lon")[: values.ndim]
    return xr.DataArray(values, dims=dims, coords={"time": pd.date_range(start, periods=values.shape[0])})


def test_spells_by_hand():
    mask = cube([1, 1, 0, 1, 1, 1, 0, 0, 0, 1]) > 0
    np.testing.assert_array_equal(c.spells(mask, least=2), [1, 1, 0, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(c.spells(mask, least=2, gap=1), [1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    assert c.spells(mask.expand_dims(lat=[1]).chunk(lat=1), least=2).chunks is not None


def test_compound_days():
    dry = cube(np.r_[np.full(5, 50), np.full(12, 10), np.full(5, 50)])
    hot = cube(np.r_[np.full(8, 50), np.full(3, 95), [50], np.full(3, 95), np.full(7, 50)])
    out = c.drought_with_heat(dry, hot)
    assert out.values.nonzero()[0].tolist() == list(range(8, 15))  # the pause of one day is filled
    assert int(c.drought_with_heat(dry, cube(np.full(22, 50))).sum()) == 0
    p = cube([50, 15, 40, 60, 85, 90, 50, 85])
    assert c.whiplash(p, days=4).values.nonzero()[0].tolist() == [4]
    rain = cube([0, 0, 10, 1, 1, 1, 1, 1, 1, 10.0])
    wet = cube([95, 95, 95, 50, 50, 50, 50, 50, 50, 50])
    assert c.rain_on_wet_soil(wet, rain, heavy=0.7).values.nonzero()[0].tolist() == [2]


@pytest.mark.parametrize("block", [2, 3, 365])
def test_events_are_joined_across_blocks(block):
    """Two events: one moves diagonally through five days, another stands apart; a third only touches the first by a corner in time."""
    mask = np.zeros((6, 6, 6))
    for t in range(5):
        mask[t, t, t] = 1
    mask[5, 0, 5] = 1
    table = c.label_events(cube(mask) > 0, block=block)
    assert table["duration"].tolist() == [5, 1]
    assert table["cell_days"].tolist() == [5, 1]
    both = mask.copy()
    both[4, 3, 3] = 1
    table = c.label_events(cube(both) > 0, cube(2 * both), cell_area=10.0, block=block)
    assert table["severity"].tolist() == [12, 2]
    assert table["area"].iloc[0] == 20.0
    assert c.label_events(cube(mask) > 5).empty


def test_never_together_has_an_upper_bound():
    x = cube(
        np.r_[np.ones(365 * 6), np.zeros(365 * 6)] + np.random.default_rng(0).normal(0, 0.1, 365 * 12),
        start="2001-01-01",
    )
    out = c.likelihood_multiplication(x, -x, draws=50)
    assert float(out.multiplication_factor) == 0.0
    # 3 / n over p1 p2 = 3 / 4380 / .01
    assert float(out.multiplication_factor_high) == pytest.approx(3 / 4380 / 0.01, rel=0.02)
    lazy = c.likelihood_multiplication(x.expand_dims(lat=[1, 2]).chunk(lat=1), -x, draws=50)
    assert lazy.p_value.chunks is not None
    assert lazy.multiplication_factor.values.tolist() == [0, 0]


def test_antecedent_moisture_controls_floods():
    rng = np.random.default_rng(0)
    rain, theta = rng.gamma(2, 10, 3000), rng.uniform(0.1, 0.4, 3000)
    z = (rain - rain.mean()) / rain.std() + 1.5 * (theta - theta.mean()) / theta.std() - 1
    flood = rng.random(3000) < 1 / (1 + np.exp(-z))
    shares, table = c.antecedent_control(flood, rain, theta)
    assert table.loc["moisture", "estimate"] == pytest.approx(1.5, abs=3 * table.loc["moisture", "standard_error"])
    assert shares.iloc[-1, -1] > shares.iloc[0, 0]


def test_bad_input():
    with pytest.raises(TooFewSamplesError, match="20"):
        k.fit_copula(np.arange(5), np.arange(5))
    with pytest.raises(NotFoundError, match="gumbel"):
        k.family("gumbl")
    with pytest.raises(VadoseInputError, match="shares"):
        c.likelihood_multiplication(cube(np.zeros(40)), cube(np.zeros(40)), p_first=10)
    assert len(set(k.ranks(np.zeros(50)))) == 50


def test_dependence_that_grows_is_seen_and_constant_dependence_is_not():
    rng = np.random.default_rng(0)
    t = np.arange(1500) / 15 + 1920
    rho = 0.1 + 0.7 * np.arange(1500) / 1500
    z = rng.standard_normal((2, 1500))
    x, y = z[0], rho * z[0] + np.sqrt(1 - rho**2) * z[1]
    out = k.dependence_trend(k.ranks(x), k.ranks(y), t)
    assert out["p_value"] < 1e-6
    assert out["start"] == pytest.approx(0.1, abs=0.1)
    assert out["end"] == pytest.approx(0.8, abs=0.1)
    p = []
    for seed in range(60):
        u, v = k.family("clayton").draw(300, (1.5,), np.random.default_rng(seed))
        p.append(k.dependence_trend(k.ranks(u), k.ranks(v), np.arange(300), name="clayton")["p_value"])
    assert np.mean(np.array(p) < 0.05) <= 0.15
    with pytest.raises(NotFoundError):
        k.dependence_trend(k.ranks(x), k.ranks(y), t, name="student")


def test_copula_of_each_cell():
    u, v = k.family("gumbel").draw(800, (2.5,), np.random.default_rng(0))
    x = xr.DataArray(np.stack([u, u]), dims=("cell", "year")).chunk(cell=1)
    y = xr.DataArray(np.stack([v, np.where(np.arange(800) < 10, v, np.nan)]), dims=("cell", "year")).chunk(cell=1)
    out = c.dependence_map(x, y)
    assert out.parameter.chunks is not None
    out = out.compute()
    name = out.family.attrs["flag_meanings"].split()[int(out.family[0])]
    assert name in ("gumbel", "survival_clayton", "student")
    assert name == "gumbel"
    assert float(out.parameter[0]) == pytest.approx(2.5, rel=0.08)
    assert int(out.family[1]) == -1
    assert float(out.return_period_or[0]) <= 10.0 <= float(out.return_period_and[0])


def test_a_missing_value_of_a_mask_is_no_hazard():
    time = pd.date_range("2001-01-01", periods=8)
    mask = xr.DataArray([1.0, 1, np.nan, 0, np.nan, 1, 1, 1], dims="time", coords={"time": time})
    np.testing.assert_array_equal(c.spells(mask, least=2), [True, True, False, False, False, True, True, True])
    field = mask.expand_dims(lat=1, lon=1).transpose("time", "lat", "lon")
    assert c.label_events(field).cell_days.tolist() == [3, 2]


def test_severity_and_area_find_their_cells_in_any_order_of_dimensions():
    time = pd.date_range("2001-01-01", periods=3)
    rng = np.random.default_rng(1)
    mask = xr.DataArray(np.ones((3, 4, 4), bool), dims=("time", "lat", "lon"), coords={"time": time})
    mask[:, 2, :] = False  # two events: rows 0 and 1, and row 3
    severity = xr.DataArray(rng.random((3, 4, 4)), dims=mask.dims, coords={"time": time})
    area = xr.DataArray(np.arange(1.0, 5.0), dims="lat")
    wanted = sorted([float(severity[:, :2].sum()), float(severity[:, 3].sum())], reverse=True)
    for s in (severity, severity.transpose("lon", "time", "lat")):
        table = c.label_events(mask, s, cell_area=area)
        np.testing.assert_allclose(table.severity, wanted)
        assert sorted(table.area) == [4 * (1 + 2), 4 * 4]
