"""Options chosen by blocked error, and the error of having chosen: tuning inside the training part of every fold (M-T1.1).

A model tuned on the samples that score it flatters itself once more; nested folds do not. Cawley and Talbot 2010, JMLR 11:2079.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.learn import evaluate, splits
from vadose.learn.forest import Forest
from vadose.typing import Rng


def forests(*, trees: int = 200, threads: int | None = 1) -> dict[str, Forest]:
    """The usual candidates of a random forest: a third or all of the predictors a split, leaves of 2, 5 or 15 samples."""
    return {
        f"leaf {leaf}, {word}": Forest(trees=trees, leaf=leaf, share=share, threads=threads)
        for leaf in (2, 5, 15)
        for share, word in ((1 / 3, "a third"), (1.0, "all"))
    }


def choose(
    table: xr.Dataset,
    candidates: Mapping[str, Any],
    folds: np.ndarray,
    *,
    target: str = "soil_moisture",
    predictors: tuple[str, ...],
    rng: int = 0,
) -> xr.DataArray:
    """Error out of fold (candidate,) in the target's units, best first; every candidate with the same folds and seed."""
    if not candidates:
        raise VadoseInputError("nothing to choose from: candidates is empty; see vadose.learn.tuning.forests")
    y = np.asarray(table[target].values, float)
    errors = [
        evaluate.score(
            y, evaluate.out_of_fold(table, folds, target=target, predictors=predictors, estimator=c, rng=rng)
        )["rmsd"]
        for c in candidates.values()
    ]
    order = np.argsort(errors, kind="stable")
    out = xr.DataArray(
        np.array(errors)[order], dims="candidate", coords={"candidate": np.array(list(candidates))[order]}, name="rmsd"
    )
    return out.assign_attrs(units=str(table[target].attrs.get("units", "m3 m-3")), long_name="error out of fold")


def nested(
    table: xr.Dataset,
    candidates: Mapping[str, Any],
    folds: np.ndarray,
    *,
    target: str = "soil_moisture",
    predictors: tuple[str, ...],
    inner: int = 3,
    rng: Rng = 0,
) -> xr.Dataset:
    """Out-of-fold predictions where each fold's candidate was chosen without that fold.

    Returns
    -------
    Dataset: `predicted` (sample), and by `fold` which candidate was `chosen`. The inner folds are whole outer folds (blocks,
    stations), `inner` groups of them.
    """
    if np.unique(folds).size < 3:
        raise VadoseInputError(f"nested tuning needs at least 3 folds, got {np.unique(folds).size}")
    predicted, chosen = np.full(folds.size, np.nan), []
    for train, test in splits.pairs(folds):
        inside = splits.group_folds(folds[train], k=inner, rng=rng)
        part = table.isel(sample=train)
        best = str(choose(part, candidates, inside, target=target, predictors=predictors).candidate.values[0])
        chosen.append(best)
        left = folds == folds[test[0]]
        predicted[test] = evaluate.held_out(
            table, left, target=target, predictors=predictors, estimator=candidates[best]
        )
    out = xr.Dataset(
        {"predicted": ("sample", predicted), "chosen": ("fold", np.array(chosen))}, coords={"fold": np.unique(folds)}
    )
    return cf.provenance(out, method="M-T1.1")
