"""Why the model says so: permutation importance on held-out blocks, grouped; Shapley values of trees.

Importance on the training data flatters predictors that were memorized, and a predictor whose twin is in the table looks
useless when permuted alone: so folds are held out and twins are permuted together (Strobl et al. 2008,
doi:10.1186/1471-2105-9-307; Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from vadose.errors import PlatformError, unknown_name
from vadose.learn import features, model, splits
from vadose.typing import Rng


def importance(
    table: xr.Dataset,
    folds: np.ndarray,
    *,
    target: str = "soil_moisture",
    predictors: tuple[str, ...],
    estimator: Any = "boosted",
    groups: Mapping[str, Sequence[str]] | None = None,
    repeats: int = 5,
    rng: Rng = 0,
) -> xr.Dataset:
    """How much the held-out error grows when a group of predictors is shuffled among the held-out samples.

    Returns a Dataset over `group` with `importance` = growth of the mean squared error over that of the intact
    predictions [1], and `importance_standard_error` over repeats; each predictor is its own group when left out.
    """
    names = dict(groups) if groups else {n: (n,) for n in predictors}
    for members in names.values():
        for n in members:
            if n not in predictors:
                raise unknown_name("predictor", n, predictors)
    x, y = features.columns(table, predictors), np.asarray(table[target].values, float)
    weight, rng = model.weights(table, target), np.random.default_rng(rng)
    prototype = model.make_estimator(estimator)
    intact, shuffled = 0.0, np.zeros((len(names), repeats))

    def rows(part: np.ndarray, medians: np.ndarray) -> np.ndarray:
        return model.with_surrogates(part, medians, np.empty(0, int)) if prototype.kind == "forest" else part

    for train, test in splits.pairs(folds):
        known = model.medians_of(x[train])
        fitted = model.make_estimator(prototype).fit(
            rows(x[train], known), y[train], weight=None if weight is None else weight[train], rng=rng
        )
        intact += float(np.sum((fitted.predict(rows(x[test], known)) - y[test]) ** 2))
        for g, members in enumerate(names.values()):
            index = [predictors.index(n) for n in members]
            for r in range(repeats):
                part = x[test].copy()
                part[:, index] = part[rng.permutation(test.size)][:, index]
                shuffled[g, r] += float(np.sum((fitted.predict(rows(part, known)) - y[test]) ** 2))
    growth = shuffled / intact - 1.0
    out = xr.Dataset(
        {
            "importance": (
                "group",
                growth.mean(axis=1),
                {"units": "1", "long_name": "growth of the squared error when shuffled"},
            ),
            "importance_standard_error": (
                "group",
                growth.std(axis=1, ddof=1) / np.sqrt(repeats) if repeats > 1 else growth[:, 0] * np.nan,
                {"units": "1"},
            ),
        },
        coords={"group": list(names)},
    )
    return out.sortby("importance", ascending=False)


def shapley(trained: model.Model, table: xr.Dataset) -> xr.Dataset:
    """Shapley values of every prediction: `shapley` (sample, predictor) and the `expected` value; they add up to the prediction.

    CatBoost computes them itself; the other trees need the package `shap`.
    """
    x = features.columns(trained.check(table), trained.predictors, dim="sample")
    estimator = trained.estimator
    if estimator.kind == "oblivious":
        from vadose.learn.boosted import catboost

        values = np.asarray(estimator.mean.get_feature_importance(catboost().Pool(x), type="ShapValues"))
        parts, expected = values[:, :-1], float(values[0, -1])
    else:
        try:
            import shap
        except ImportError as error:
            raise PlatformError(
                "Shapley values of scikit-learn trees need shap: pip install 'vadose[trees]'"
            ) from error
        rows = model.with_surrogates(x, trained.medians, trained.flagged) if estimator.kind == "forest" else x
        explainer = shap.TreeExplainer(estimator.estimator if estimator.kind == "forest" else estimator.mean)
        parts = np.asarray(explainer.shap_values(rows, check_additivity=False))[:, : len(trained.predictors)]
        expected = float(np.ravel(explainer.expected_value)[0])
    return xr.Dataset(
        {
            "shapley": (
                ("sample", "predictor"),
                parts,
                {"units": trained.target_units, "long_name": "contribution to the prediction"},
            ),
            "expected": ((), expected, {"units": trained.target_units}),
        },
        coords={"predictor": list(trained.predictors)},
    )
