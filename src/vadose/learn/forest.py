"""A random forest that keeps its leaves: mean and conditional quantiles, the citable baseline (M-T1.1).

Breiman 2001, doi:10.1023/A:1010933404324; Meinshausen 2006, JMLR 7:983. The trees are scikit-learn's; the quantiles come
from a table of training ranks a leaf, summed into coarse bins first and resolved exactly inside the bin that matters, so
that a pixel costs the number of its leaf mates and not the number of training samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vadose.errors import TooFewSamplesError
from vadose.typing import Rng

FEWEST_ROWS = 30
COARSE = 256  # bins of ranks


@njit(cache=True, nogil=True)
def _quantiles(leaves, first, start, member, ordered, levels, coarse, fine, out):
    """Weighted quantiles of each row: mates of a leaf share a weight of one over the trees (Meinshausen's weights)."""
    rows, trees = leaves.shape
    width = (ordered.size + COARSE - 1) // COARSE
    for r in range(rows):
        coarse[:] = 0.0
        for t in range(trees):
            leaf = first[t] + leaves[r, t]
            a, b = start[leaf], start[leaf + 1]
            weight = 1.0 / ((b - a) * trees)
            for k in range(a, b):
                coarse[member[k] // width] += weight
        total, bin_, filled = 0.0, 0, -1
        for q in range(levels.size):
            while bin_ < COARSE - 1 and total + coarse[bin_] < levels[q] - 1e-12:
                total += coarse[bin_]
                bin_ += 1
            if filled != bin_:
                fine[:] = 0.0
                low = bin_ * width
                for t in range(trees):
                    leaf = first[t] + leaves[r, t]
                    a, b = start[leaf], start[leaf + 1]
                    weight = 1.0 / ((b - a) * trees)
                    for k in range(a, b):
                        if member[k] // width == bin_:
                            fine[member[k] - low] += weight
                filled = bin_
            reached, at = total, 0
            last = min(width, ordered.size - bin_ * width) - 1
            for i in range(last + 1):
                reached += fine[i]
                if fine[i] > 0:
                    at = i
                if reached >= levels[q] - 1e-12:
                    break
            out[r, q] = ordered[bin_ * width + at]


class Forest:
    """Random forest: `trees` trees, a third of the predictors a split, at least `leaf` samples a leaf."""

    kind = "forest"

    def __init__(self, *, trees: int = 500, leaf: int = 5, share: float = 1 / 3, threads: int | None = 1) -> None:
        self.options = {"trees": trees, "leaf": leaf, "share": share, "threads": threads}
        self.estimator: Any = None

    def fit(self, x: np.ndarray, y: np.ndarray, *, weight: np.ndarray | None = None, rng: Rng = 0) -> Forest:
        """Grow the trees on rows `x` (row, predictor; NaN allowed) and targets `y`, weighted by `weight`."""
        from sklearn.ensemble import RandomForestRegressor

        if y.size < FEWEST_ROWS:
            raise TooFewSamplesError(f"a forest needs at least {FEWEST_ROWS} rows, got {y.size}")
        state = int(np.random.default_rng(rng).integers(2**31))
        self.estimator = RandomForestRegressor(
            n_estimators=self.options["trees"], min_samples_leaf=self.options["leaf"], max_features=self.options["share"],
            bootstrap=True, random_state=state, n_jobs=self.options["threads"],
        ).fit(x, y, sample_weight=weight)  # fmt: skip
        self._tabulate(x, y)
        return self

    def _tabulate(self, x: np.ndarray, y: np.ndarray) -> None:
        """Ranks of the training targets in every leaf of every tree: `member[start[leaf]:start[leaf + 1]]`."""
        order = np.argsort(y, kind="stable")
        rank = np.empty(y.size, np.int32)
        rank[order] = np.arange(y.size)
        sizes = [t.tree_.node_count for t in self.estimator.estimators_]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        leaves = self.estimator.apply(x)
        start = np.zeros(first[-1] + 1, np.int64)
        member = np.empty(leaves.size, np.int32)
        for t, size in enumerate(sizes):
            count = np.bincount(leaves[:, t], minlength=size)
            start[first[t] + 1 : first[t + 1] + 1] = start[first[t]] + np.cumsum(count)
            member[t * y.size : (t + 1) * y.size] = rank[np.argsort(leaves[:, t], kind="stable")]
        self.table = {"first": first[:-1], "start": start, "member": member, "ordered": np.sort(y).astype(float)}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Mean (row,)."""
        return self.estimator.predict(x)

    def quantiles(self, x: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
        """Conditional quantiles (row, level) from all training samples in the leaves."""
        leaves = self.estimator.apply(x).astype(np.int32)
        out = np.empty((x.shape[0], len(levels)))
        asked = np.asarray(levels, float)
        order = np.argsort(asked)
        width = (self.table["ordered"].size + COARSE - 1) // COARSE
        result = np.empty_like(out)
        _quantiles(
            leaves, self.table["first"], self.table["start"], self.table["member"], self.table["ordered"], asked[order],
            np.zeros(COARSE), np.zeros(width), result,
        )  # fmt: skip
        out[:, order] = result
        return out
