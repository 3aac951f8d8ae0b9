"""Events by counting on paper; probabilistic scores by their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import DimensionError, NotFoundError, VadoseInputError
from vadose.metrics import contingency, crps_ensemble, crps_normal, event_scores, events, interval_scores
from vadose.metrics.events import overlap_of_spells


def series(values):
    return xr.DataArray(np.asarray(values, dtype=float), dims="time", attrs={"units": "m3 m-3"})


def test_scores_of_the_finley_table():
    """Tornado forecasts of 1884: 28 hits, 23 misses, 72 false alarms, 2680 correct negatives (Jolliffe & Stephenson, table 1.1)."""
    counts = xr.Dataset({"hits": 28, "misses": 23, "false_alarms": 72, "correct_negatives": 2680})
    out = event_scores(counts)
    assert float(out.pod) == pytest.approx(28 / 51)
    assert float(out.far) == pytest.approx(0.72)
    assert float(out.csi) == pytest.approx(28 / 123)
    assert float(out.hss) == pytest.approx(0.355, abs=5e-4)  # the published value
    assert float(out.frequency_bias) == pytest.approx(100 / 51)


def test_counts_leave_out_what_is_missing():
    obs = events(series([0.1, 0.1, 0.3, 0.3, np.nan, 0.1]), 0.2)
    sim = events(series([0.1, 0.3, 0.1, 0.3, 0.1, np.nan]), 0.2)
    out = contingency(obs, sim)
    assert [int(out[c]) for c in ("hits", "misses", "false_alarms", "correct_negatives")] == [1, 1, 1, 1]
    assert float(event_scores(out).hss) == 0.0
    wet = events(series([0.1, 0.2, 0.3]), 0.2, side="above")
    assert wet.values.tolist() == [0, 1, 1]
    none = event_scores(contingency(series([0, 0.0]), series([0, 0.0])))
    assert np.isnan(float(none.pod))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 49))
def test_counts_add_up_over_parts(seed, cut):
    rng = np.random.default_rng(seed)
    a, b = series(rng.integers(0, 2, 50)), series(rng.integers(0, 2, 50))
    first, second = slice(None, cut), slice(cut, None)
    parts = contingency(a[first], b[first]) + contingency(a[second], b[second])
    xr.testing.assert_equal(parts, contingency(a, b))
    out = event_scores(parts)
    assert -1 <= float(out.hss.fillna(0)) <= 1


def test_spells_that_meet():
    ref = [0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
    sim = [0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0]
    out = overlap_of_spells(np.array(ref), np.array(sim))
    assert out == {"found": 0.5, "invented": 0.5, "delay": 1.0}


def test_c_x9_1_crps_of_a_normal_at_its_mean():
    s = 0.03
    expected = s * (np.sqrt(2) - 1) / np.sqrt(np.pi)
    assert float(crps_normal(series([0.2]), series([0.2]), series([s]))[0]) == pytest.approx(expected, rel=1e-12)
    draws = np.random.default_rng(0).normal(0.2, s, (1, 40_000))
    ensemble = xr.DataArray(draws, dims=("time", "member"))
    assert float(crps_ensemble(series([0.2]), ensemble)[0]) == pytest.approx(expected, rel=0.02)


def test_crps_of_an_ensemble_is_the_double_sum():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 5)), rng.normal(size=7)
    x[2, 3] = np.nan
    plain = crps_ensemble(series(y), xr.DataArray(x, dims=("time", "member")))
    fair = crps_ensemble(series(y), xr.DataArray(x, dims=("time", "member")), fair=True)
    for t in range(7):
        m = x[t][np.isfinite(x[t])]
        first, pairs = np.mean(np.abs(m - y[t])), np.abs(m[:, None] - m[None, :]).sum()
        assert float(plain[t]) == pytest.approx(first - pairs / (2 * m.size**2), abs=1e-12)
        assert float(fair[t]) == pytest.approx(first - pairs / (2 * m.size * (m.size - 1)), abs=1e-12)
    one = crps_ensemble(series(y), xr.DataArray(x[:, :1], dims=("time", "member")))
    np.testing.assert_allclose(one, np.abs(x[:, 0] - y))  # one member: the absolute error


def test_interval_coverage_width_and_fine():
    out = interval_scores(series([0.1, 0.2, 0.3, np.nan]), series([0.0] * 4), series([0.25] * 4), level=0.9)
    assert float(out.coverage) == pytest.approx(2 / 3)
    assert float(out.width) == pytest.approx(0.25)
    assert float(out.interval_score) == pytest.approx(0.25 + 2 / 0.1 * 0.05 / 3)
    assert int(out.n) == 3


def test_wrong_input_says_what_to_do():
    with pytest.raises(VadoseInputError, match="events"):
        contingency(series([0.2]), series([0.0]))
    with pytest.raises(NotFoundError, match="below"):
        events(series([0.2]), 0.1, side="under")
    with pytest.raises(DimensionError, match="member="):
        crps_ensemble(series([0.2]), series([0.2]))
    with pytest.raises(VadoseInputError, match="correct_negatives"):
        event_scores(xr.Dataset({"hits": 1, "misses": 1, "false_alarms": 1}))
