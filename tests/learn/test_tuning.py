"""Tuning is judged where it did not look."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import learn
from vadose.errors import VadoseInputError
from vadose.learn import evaluate, splits, tuning

NAMES = ("a", "b", "c")
SHALLOW, DEEP = "shallow", "deep"
CANDIDATES = {DEEP: learn.Forest(trees=20, leaf=1, share=1.0), SHALLOW: learn.Forest(trees=20, leaf=30, share=1.0)}


def table(noise, seed=0, n=360):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = 0.25 + 0.05 * np.tanh(x[:, 0]) + noise * rng.normal(size=n)
    out = xr.Dataset({k: ("sample", x[:, j]) for j, k in enumerate(NAMES)})
    out["soil_moisture"] = ("sample", y, {"units": "m3 m-3"})
    return out


def test_noise_calls_for_large_leaves_and_its_absence_for_small_ones():
    folds = splits.random_folds(360, k=6)
    for noise, best in ((0.1, SHALLOW), (0.0, DEEP)):
        errors = tuning.choose(table(noise), CANDIDATES, folds, predictors=NAMES)
        assert errors.candidate.values[0] == best
        assert (np.diff(errors) >= 0).all()
        got = tuning.nested(table(noise), CANDIDATES, folds, predictors=NAMES)
        assert list(got.chosen.values) == [best] * 6
        plain = evaluate.out_of_fold(
            table(noise), folds, target="soil_moisture", predictors=NAMES, estimator=CANDIDATES[best]
        )
        a, b = (evaluate.score(table(noise).soil_moisture.values, v)["rmsd"] for v in (got.predicted.values, plain))
        assert a == pytest.approx(b, rel=0.2)  # other seeds, the same model


def test_the_scored_fold_has_no_say_in_the_choice():
    data, folds = table(0.1), splits.random_folds(360, k=4)
    poisoned = data.copy(deep=True)
    poisoned["soil_moisture"][folds == 0] = 99.0
    clean = tuning.nested(data, CANDIDATES, folds, predictors=NAMES)
    dirty = tuning.nested(poisoned, CANDIDATES, folds, predictors=NAMES)
    assert clean.chosen.values[0] == dirty.chosen.values[0]
    np.testing.assert_array_equal(clean.predicted[folds == 0], dirty.predicted[folds == 0])
    assert not np.array_equal(clean.predicted[folds == 1], dirty.predicted[folds == 1])


def test_bad_input_is_named():
    with pytest.raises(VadoseInputError, match="candidates is empty"):
        tuning.choose(table(0.0), {}, splits.random_folds(360, k=2), predictors=NAMES)
    with pytest.raises(VadoseInputError, match="at least 3 folds"):
        tuning.nested(table(0.0), CANDIDATES, splits.random_folds(360, k=2), predictors=NAMES)
    assert len(tuning.forests()) == 6
