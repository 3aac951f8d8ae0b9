"""Where a map may be trusted: how unlike the training data a place is, and whether cross-validation covered such places.

Meyer and Pebesma 2021, doi:10.1111/2041-210X.13650: predictors are standardized and weighted by their importance; the
dissimilarity index DI is the distance to the nearest training sample over the mean distance between training samples;
the limit is the upper whisker (75 % + 1.5 interquartile ranges) of the DI that the cross-validation itself met.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vadose.errors import TooFewSamplesError, VadoseInputError

MOST_PAIRS = 2000


@dataclass(frozen=True)
class Area:
    """The fitted area of applicability: scaling, weights, mean training distance and limit."""

    center: np.ndarray
    scale: np.ndarray
    train: np.ndarray
    mean_distance: float
    limit: float
    tree: Any = field(repr=False, compare=False, default=None)

    def dissimilarity(self, x: np.ndarray) -> np.ndarray:
        """DI (row,) of predictors `x` (row, predictor); rows with a missing predictor are NaN."""
        good = np.isfinite(x).all(axis=1)
        out = np.full(x.shape[0], np.nan)
        out[good] = self.tree.query((x[good] - self.center) * self.scale)[0] / self.mean_distance
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """The numbers to store."""
        return {
            "center": self.center,
            "scale": self.scale,
            "train": self.train,
            "numbers": np.array([self.mean_distance, self.limit]),
        }


def restore(arrays: dict[str, np.ndarray]) -> Area:
    """The area from `Area.arrays`."""
    from scipy.spatial import cKDTree

    mean, limit = (float(v) for v in arrays["numbers"])
    return Area(arrays["center"], arrays["scale"], arrays["train"], mean, limit, cKDTree(arrays["train"]))


def fit(x: np.ndarray, *, folds: np.ndarray, importance: np.ndarray | None = None, rng: int = 0) -> Area:
    """The area of applicability of training rows `x` (row, predictor) under the cross-validation `folds` (row,).

    `importance` (predictor,) weighs the axes; negative ones count as zero. Missing values are replaced by the mean.
    """
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import pdist

    x = np.asarray(x, float)
    if x.shape[0] < 3:
        raise TooFewSamplesError(f"an area of applicability needs at least 3 training rows, got {x.shape[0]}")
    if folds.shape != x.shape[:1]:
        raise VadoseInputError(f"one fold number a row is needed, got {folds.shape} for {x.shape[0]} rows")
    center, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    weight = np.ones(x.shape[1]) if importance is None else np.maximum(np.asarray(importance, float), 0.0)
    if not weight.any():
        weight = np.ones(x.shape[1])
    scale = np.where(spread > 0, weight / weight.max() / np.where(spread > 0, spread, 1.0), 0.0)
    points = (np.where(np.isfinite(x), x, center) - center) * scale
    few = points
    if points.shape[0] > MOST_PAIRS:
        few = points[np.random.default_rng(rng).choice(points.shape[0], MOST_PAIRS, replace=False)]
    mean = float(pdist(few).mean())
    if not mean > 0:
        raise VadoseInputError("all training rows have the same predictors; nothing tells places apart")
    met = np.empty(points.shape[0])
    for f in np.unique(folds):
        test = folds == f
        met[test] = cKDTree(points[~test]).query(points[test])[0] / mean if (~test).any() else np.nan
    low, high = np.nanquantile(met, [0.25, 0.75])
    limit = float(min(high + 1.5 * (high - low), np.nanmax(met)))
    return Area(center, scale, points, mean, limit, cKDTree(points))
