"""How much to believe each observer: offsets and scatter of many people who looked at the same places, estimated together with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from vadose.errors import VadoseInputError

#: An observer's scatter is not believed to be smaller [m3 m-3]: else one observer can take all weight.
SMALLEST = 0.005
#: A scatter below this is good [m3 m-3].
GOOD = 0.04


@dataclass(frozen=True)
class Observers:
    """What was found: `value` a site and moment, `offset`, `scatter` and `trust` an observer, all in the order of their numbers."""

    value: np.ndarray
    offset: np.ndarray
    scatter: np.ndarray
    trust: np.ndarray  # probability that the scatter is below GOOD; NaN where nothing can be said
    rounds: int


def estimate(
    observed: np.ndarray,
    site: np.ndarray,
    observer: np.ndarray,
    *,
    reference: np.ndarray | None = None,
    tolerance: float = 1e-6,
    most: int = 2000,
) -> Observers:
    """y_ij = x_i + b_j + e_ij with e_ij ~ N(0, s_j^2), by turns, until no offset changes by `tolerance`.

    x_i = sum_j (y - b_j) / s_j^2 / sum_j 1 / s_j^2;  b_j = mean_i (y - x_i);  s_j^2 = mean_i r^2 / (1 - h), h the leverage of the observation
    at its site. A site seen once says nothing about its observer. Where `reference` has a value for a site, x_i is that; else sum_j b_j = 0.

    observed : values [m3 m-3], one an observation
    site, observer : number of the site-and-moment and of the observer of each observation, from 0
    reference : by site, NaN where there is no reference sensor
    """
    if not (observed.shape == site.shape == observer.shape) or observed.ndim != 1 or not np.isfinite(observed).all():
        raise VadoseInputError("observed, site and observer must be finite and of one length, one entry an observation")
    sites, people = int(site.max()) + 1, int(observer.max()) + 1
    known = np.full(sites, np.nan) if reference is None else np.asarray(reference, float)
    anchored = ~np.isnan(known)
    seen = np.bincount(site, minlength=sites)
    tells = (seen[site] > 1) | anchored[site]
    count = np.bincount(observer[tells], minlength=people)
    offset, scatter = np.zeros(people), np.full(people, 0.03)
    for rounds in range(1, most + 1):  # noqa: B007
        weight = scatter[observer] ** -2
        total = np.bincount(site, weight, sites)
        with np.errstate(invalid="ignore"):
            value = np.where(anchored, known, np.bincount(site, weight * (observed - offset[observer]), sites) / total)
        away = observed - value[site]
        new = _mean(away[tells], observer[tells], people, count)
        if not anchored.any():
            new -= new[count > 0].mean() if (count > 0).any() else 0.0
        new[count == 0] = 0.0
        residual = away - new[observer]
        leverage = np.where(anchored[site], 0.0, weight / total[site])
        free = 1 - np.clip(leverage, 0, 1 - 1e-9)
        square = _mean((residual**2 / free)[tells], observer[tells], people, count)
        scatter = np.maximum(np.sqrt(np.where(count > 0, square, 0.03**2)), SMALLEST)
        change, offset = np.abs(new - offset).max(), new
        if change < tolerance:
            break
    degrees = np.bincount(observer[tells], free[tells], people) - 1
    with np.errstate(invalid="ignore"):
        trust = np.where(degrees > 0, chdtrc(np.maximum(degrees, 1e-9), degrees * (scatter / GOOD) ** 2), np.nan)
    return Observers(value, offset, scatter, trust, rounds)


def _mean(values: np.ndarray, observer: np.ndarray, people: int, count: np.ndarray) -> np.ndarray:
    return np.bincount(observer, values, people) / np.maximum(count, 1)
