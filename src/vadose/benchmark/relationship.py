"""How one variable answers to another: response curves with intervals, in the reference and in a model, and how alike they are.

Samples are cells and calendar months of the mean annual cycle. Bins span what both have; a bin counts where it holds at least
0.3 % of the samples of a side. Bins that only one side fills are left out of the comparison of curves and of its norm, and count
in the Hellinger score of the joint distribution (Collier et al. 2018, doi:10.1029/2018MS001354, with the masks taken seriously).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadose.benchmark.scores import hellinger_score
from vadose.errors import DimensionError, TooFewSamplesError
from vadose.typing import Rng

BINS = 25
LEAST_SHARE = 3e-3


@dataclass(frozen=True)
class Samples:
    """Driver and response of one side, flat, with weights and the spatial block of each sample (for intervals)."""

    driver: np.ndarray
    response: np.ndarray
    weight: np.ndarray
    block: np.ndarray


@dataclass(frozen=True)
class Relationship:
    """Curves (2, bin) of reference and model on bin `centers` with `low`, `high`, the `share` of samples in each bin, and scores."""

    centers: np.ndarray
    curve: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    score: float
    hellinger: float
    overlap: float
    score_low: float
    score_high: float
    hellinger_low: float
    hellinger_high: float


def samples(
    driver: np.ndarray, response: np.ndarray, weight: np.ndarray, block: np.ndarray, inside: np.ndarray
) -> Samples:
    """Flat samples of cycles (month, cell): cells inside, both values known."""
    if driver.shape != response.shape:
        raise DimensionError(f"driver and response have shapes {driver.shape} and {response.shape}")
    use = np.isfinite(driver) & np.isfinite(response) & inside[None, :] & (weight > 0)[None, :]
    w, b = np.broadcast_to(weight, driver.shape), np.broadcast_to(block, driver.shape)
    return Samples(driver[use], response[use], w[use], b[use])


def relate(reference: Samples, model: Samples, *, bins: int = BINS, draws: int = 100, rng: Rng = 0) -> Relationship:
    """Curves, scores and 90 % intervals (by drawing spatial blocks with replacement; those of scores are laid around the score)."""
    if min(reference.driver.size, model.driver.size) < 10:
        raise TooFewSamplesError("a relationship needs at least ten samples on each side")
    lowest, highest = _limits(reference.driver, model.driver)
    edges = np.linspace(lowest, highest, bins + 1)
    sides = (reference, model)
    counts = [_by_block(s, edges) for s in sides]
    curve, share = _curves([c.sum(axis=1) for c in counts])
    score = _score(curve)
    generator = np.random.default_rng(rng)
    joint = _joint(reference, model, edges, bins)
    held, scores, alike = np.empty((draws, 2, bins)), np.empty(draws), np.empty(draws)
    for k in range(draws):
        times = [np.bincount(generator.integers(0, n, n), minlength=n) for n in (c.shape[1] for c in counts)]
        held[k], _ = _curves([c @ t for c, t in zip(counts, times, strict=True)])
        scores[k] = _score(np.where(np.isfinite(curve), held[k], np.nan))
        alike[k] = hellinger_score(*(j @ t for j, t in zip(joint, times, strict=True)))
    low, high = _percentiles(held) if draws else (np.full_like(curve, np.nan),) * 2
    both = np.isfinite(curve).all(axis=0)
    hellinger = hellinger_score(*(j.sum(axis=1) for j in joint))
    return Relationship(
        (edges[:-1] + edges[1:]) / 2, curve, np.where(np.isfinite(curve), low, np.nan), np.where(np.isfinite(curve), high, np.nan),
        share, score, hellinger, float(share[0][both].sum()), *_around(score, scores), *_around(hellinger, alike),
    )  # fmt: skip


def _around(score, drawn):
    """The spread of 90 % of the draws about their median, laid around the score: two sides drawn apart are alike less often than the two at hand."""
    if not np.isfinite(drawn).any():
        return np.nan, np.nan
    low, middle, high = np.nanpercentile(drawn, [5, 50, 95])
    return tuple(float(np.clip(score + end - middle, 0.0, 1.0)) for end in (low, high))


def _percentiles(held):
    """Of every bin that some draw fills, 5 and 95 % of the draws."""
    out = np.full((2, *held.shape[1:]), np.nan)
    filled = np.isfinite(held).any(axis=0)
    out[:, filled] = np.nanpercentile(held[:, filled], [5, 95], axis=0)
    return out


def _limits(a, b):
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(values, edges):
    return np.clip(((values - edges[0]) / (edges[-1] - edges[0]) * (edges.size - 1)).astype(int), 0, edges.size - 2)


def _by_block(side, edges):
    """Sums of weight and of weight times response by bin and block: (2, block, bin) as (2 bins, block)."""
    _, block = np.unique(side.block, return_inverse=True)
    n, bins = int(block.max()) + 1, edges.size - 1
    at = _place(side.driver, edges) * n + block
    sums = [np.bincount(at, w, minlength=bins * n).reshape(bins, n) for w in (side.weight, side.weight * side.response)]
    return np.concatenate(sums)


def _curves(totals):
    curve, share = [], []
    for total in totals:
        weight, value = np.split(total, 2)
        part = weight / weight.sum() if weight.sum() > 0 else weight
        curve.append(np.where(part >= LEAST_SHARE, value / np.where(weight > 0, weight, 1.0), np.nan))
        share.append(part)
    return np.stack(curve), np.stack(share)


def _score(curve):
    both = np.isfinite(curve).all(axis=0)
    norm = np.linalg.norm(curve[0][both])
    return float(np.exp(-np.linalg.norm(curve[0][both] - curve[1][both]) / norm)) if both.any() and norm > 0 else np.nan


def _joint(reference, model, edges, bins):
    """Joint distribution of driver and response by spatial block, of either side: (bin x bin, block)."""
    lowest, highest = _limits(reference.response, model.response)
    other = np.linspace(lowest, highest, bins + 1)
    tables = []
    for s in (reference, model):
        _, block = np.unique(s.block, return_inverse=True)
        n = int(block.max()) + 1
        at = (_place(s.driver, edges) * bins + _place(s.response, other)) * n + block
        tables.append(np.bincount(at, s.weight, minlength=bins * bins * n).reshape(bins * bins, n))
    return tables


@dataclass(frozen=True)
class Interaction:
    """A response to two drivers: mean (bin, bin), and the share of its explained variance that adding both effects cannot explain."""

    first: np.ndarray
    second: np.ndarray
    mean: np.ndarray
    explained: float
    interaction: float


def interact(
    first: np.ndarray, second: np.ndarray, response: np.ndarray, weight: np.ndarray, *, bins: int = 8
) -> Interaction:
    """Mean response by bins of equal counts of two drivers.

    `explained`: share of the variance between bins; `interaction`: share of that which no sum of one function of each driver
    explains (weighted least squares on the table), 0 for additive effects.
    """
    use = np.isfinite(first) & np.isfinite(second) & np.isfinite(response) & (weight > 0)
    if use.sum() < bins * bins:
        raise TooFewSamplesError(f"{int(use.sum())} samples for {bins * bins} bins; take fewer bins")
    x, z, y, w = first[use], second[use], response[use], weight[use]
    edges = [np.unique(np.quantile(v, np.linspace(0, 1, bins + 1))) for v in (x, z)]
    at = [np.clip(np.searchsorted(e, v, side="right") - 1, 0, e.size - 2) for e, v in zip(edges, (x, z), strict=True)]
    shape = (edges[0].size - 1, edges[1].size - 1)
    flat = at[0] * shape[1] + at[1]
    count = np.bincount(flat, w, minlength=shape[0] * shape[1])
    mean = np.where(
        count > 0,
        np.bincount(flat, w * y, minlength=count.size) / np.where(count > 0, count, 1.0),
        np.nan,
    )
    middle = (w * y).sum() / w.sum()
    total = (w * (y - middle) ** 2).sum()
    filled = count > 0
    between = (count[filled] * (mean[filled] - middle) ** 2).sum()
    rows, columns = np.unravel_index(np.flatnonzero(filled), shape)
    design = np.concatenate([np.eye(shape[0])[rows], np.eye(shape[1])[columns]], axis=1)
    root = np.sqrt(count[filled])
    solution = np.linalg.lstsq(design * root[:, None], (mean[filled] - middle) * root, rcond=None)[0]
    rest = (count[filled] * (mean[filled] - middle - design @ solution) ** 2).sum()
    centers = [(e[:-1] + e[1:]) / 2 for e in edges]
    return Interaction(
        centers[0],
        centers[1],
        mean.reshape(shape),
        float(between / total) if total > 0 else np.nan,
        float(rest / between) if between > 0 else np.nan,
    )


def partial_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Correlation of what a linear regression on `given` (sample, variable) leaves of x and of y."""
    use = np.isfinite(x) & np.isfinite(y) & np.isfinite(given).all(axis=1)
    if use.sum() < given.shape[1] + 4:
        return np.nan
    design = np.column_stack([np.ones(use.sum()), given[use]])
    rest = [v[use] - design @ np.linalg.lstsq(design, v[use], rcond=None)[0] for v in (x, y)]
    return float(np.corrcoef(*rest)[0, 1])
