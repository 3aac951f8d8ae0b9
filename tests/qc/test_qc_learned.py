"""Planted faults: what rules and the learned judge together must find, and what they must leave alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import qc
from vadose.errors import NotFoundError, TooFewSamplesError, VadoseInputError
from vadose.qc.faults import KINDS
from vadose.qc.flags import FLAGS

RULES = ("C01", "C02", "C03", "D06", "D07", "D08", "D09", "D10")


def clean_year(stations=4, seed=0, hours=8760):
    """Hourly rain in storms, water that reaches the sensor over some hours, dry-downs, and a sensor that is good to 0.0004."""
    rng = np.random.default_rng(seed)
    rain, x = np.zeros((stations, hours)), np.empty((stations, hours))
    for k in range(stations):
        for s in rng.integers(0, hours - 12, 110):
            length = rng.integers(1, 9)
            rain[k, s : s + length] += rng.exponential(6.0) / length
        water, wet = 0.25, 0.0
        for t in range(hours):
            wet = 0.6 * wet + rain[k, t]
            dry = 0.0035 * (water - 0.08) * (1 + 0.5 * np.sin(2 * np.pi * t / 8760))
            water += 0.4 * wet / 1000 / 0.10 * (1 - water / 0.45) - dry
            x[k, t] = water
    x = np.round(x + rng.normal(0, 0.0004, x.shape), 4)
    return xr.Dataset(
        {"soil_moisture": (("station", "time"), x, {"units": "m3 m-3"}),
         "precipitation_flux": (("station", "time"), rain, {"units": "mm h-1"})},
        coords={"time": pd.date_range("2017-01-01", periods=hours, freq="h"), "station": [f"s{k}" for k in range(stations)]},
    )  # fmt: skip


def hit(dataset, *codes):
    return (dataset.soil_moisture_flag.values & FLAGS.mask(*codes)) != 0


@pytest.mark.slow
def test_c_t1_2_5_planted_faults_are_found_and_rain_is_left_alone():
    clean = clean_year()
    planted = qc.inject(clean, rng=1)
    flagged = qc.flag(planted, depth=0.05)
    model = qc.learn(flagged, rng=2)
    out = qc.flag_unusual(flagged, model)
    for kind in ("spike", "break"):
        at = (out.fault.values & (1 << KINDS.index(kind))) != 0
        assert at.sum() > 50
        assert hit(out, *RULES, "M01")[at].mean() >= 0.90, kind
        assert hit(out, *RULES, "M01")[at].mean() >= hit(out, *RULES)[at].mean()
    untouched = qc.flag_unusual(qc.flag(clean, depth=0.05), model)
    raining = clean.precipitation_flux.rolling(time=24, min_periods=1).sum().values > 1.0
    assert hit(untouched, *RULES, "M01")[raining].mean() <= 0.02


def test_the_same_seed_learns_the_same():
    one = qc.flag(clean_year(1), depth=0.05)
    a, b = (qc.flag_unusual(one, qc.learn(one, rng=2, epochs=1)) for _ in range(2))
    np.testing.assert_array_equal(a.soil_moisture_oddness, b.soil_moisture_oddness)


def test_inject_marks_exactly_what_it_touched():
    clean = clean_year(2)
    out = qc.inject(clean, kinds=("spike", "plateau"), rng=3)
    moved = out.soil_moisture.values != out.clean_soil_moisture.values
    assert not (moved & (out.fault.values == 0)).any()
    spikes = (out.fault.values & 1) != 0
    assert np.abs(out.soil_moisture.values - clean.soil_moisture.values)[spikes & (out.fault.values == 1)].min() >= 0.05
    assert 0.005 < (out.fault.values != 0).mean() < 0.03
    np.testing.assert_array_equal(out.clean_soil_moisture, clean.soil_moisture)
    same = qc.inject(clean, kinds=("spike", "plateau"), rng=3)
    np.testing.assert_array_equal(same.soil_moisture, out.soil_moisture)


def test_learning_says_what_it_needs():
    short = clean_year(1, hours=24 * 31).isel(time=slice(0, 24 * 20))
    with pytest.raises(VadoseInputError, match=r"qc\.flag"):
        qc.learn(short)
    with pytest.raises(TooFewSamplesError, match="720"):
        qc.learn(qc.flag(short))
    with pytest.raises(NotFoundError, match="spike"):
        qc.inject(short, kinds=("spikes",))


def test_series_shorter_than_a_week_are_refused_not_wrapped_around():

    short = qc.flag(clean_year(1, hours=100), depth=0.05)
    with pytest.raises(TooFewSamplesError, match="100 hours are shorter than the 168"):
        qc.learned._windows(short.soil_moisture.values, short.precipitation_flux.values)
