"""Particles: weights instead of covariances, for states that jump (irrigation, thaw). Sequential importance resampling.

Gordon et al. 1993, doi:10.1049/ip-f-2.1993.0015; Kitagawa 1996, doi:10.2307/1390750 (systematic resampling).
"""

from __future__ import annotations

import numpy as np

from vadose.errors import VadoseInputError
from vadose.typing import Rng


def reweigh(weight: np.ndarray, seen: np.ndarray, observation: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Weights (..., member) after a Gaussian observation (...) of `seen` (..., member); NaN observations change nothing."""
    if np.any(~(np.asarray(variance)[np.isfinite(observation)] > 0)):
        raise VadoseInputError("observation error variances must be positive; pass the squared standard error")
    y = np.asarray(observation, float)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(weight) - 0.5 * (y - seen) ** 2 / np.asarray(variance, float)[..., None]
    log = np.where(np.isfinite(y), log, np.log(np.where(weight > 0, weight, 1e-300)))
    log -= log.max(axis=-1, keepdims=True)
    out = np.exp(log)
    return out / out.sum(axis=-1, keepdims=True)


def effective(weight: np.ndarray) -> np.ndarray:
    """Effective number of particles (...): 1 / sum of squared weights."""
    return 1.0 / np.sum(weight**2, axis=-1)


def systematic(weight: np.ndarray, *, rng: Rng = 0) -> np.ndarray:
    """Ancestors (..., member) by one random comb a cell: a particle of weight w has floor or ceil of w N children."""
    n = weight.shape[-1]
    flat = weight.reshape(-1, n)
    comb = (np.arange(n) + np.random.default_rng(rng).random((flat.shape[0], 1))) / n
    out = np.empty(flat.shape, int)
    for c in range(flat.shape[0]):
        edges = np.cumsum(flat[c])
        edges[-1] = 1.0
        out[c] = np.searchsorted(edges, comb[c])
    return out.reshape(weight.shape)


def filter_step(
    particles: np.ndarray,
    weight: np.ndarray,
    seen: np.ndarray,
    observation: np.ndarray,
    variance: np.ndarray,
    *,
    jitter: float = 0.005,
    rng: Rng = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Reweigh, and where fewer than half are effective resample with a jitter: particles (..., state, member) and weights.

    Returns the new particles and weights; resampled cells have equal weights again.
    """
    rng = np.random.default_rng(rng)
    weight = reweigh(weight, seen, observation, variance)
    n = weight.shape[-1]
    poor = effective(weight) < n / 2
    ancestor = np.where(poor[..., None], systematic(weight, rng=rng), np.arange(n))
    moved = np.take_along_axis(particles, ancestor[..., None, :], axis=-1)
    moved = np.where(poor[..., None, None], moved + jitter * rng.normal(size=moved.shape), moved)
    return moved, np.where(poor[..., None], 1.0 / n, weight)
