"""Which samples may teach and which may test: folds by place, by time, by station, and at random.

Neighbors know each other's answer. A random split tests a model on samples whose neighbors taught it, and its score is
the optimist's: on maps of clustered stations it was 2.7 times too good (Roberts et al. 2017, doi:10.1111/ecog.02881).
Every function gives one fold number a sample, so that splits can be stored, counted and compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError
from vadose.typing import Rng

EARTH_RADIUS_KM = 6371.2
MINIMUM_BLOCK_KM, FALLBACK_BLOCK_KM = 1.0, 5.0


def plane(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Local plane coordinates (sample, 2) [km] of degrees; distances are good to 1 % within some 1000 km."""
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    middle = np.rad2deg(np.angle(np.mean(np.exp(1j * np.deg2rad(lon)))))
    turn = np.deg2rad((lon - middle + 180.0) % 360.0 - 180.0)
    return EARTH_RADIUS_KM * np.column_stack([turn * np.cos(np.deg2rad(lat.mean())), np.deg2rad(lat)])


def random_folds(n: int, *, k: int = 10, rng: Rng = 0) -> np.ndarray:
    """Fold number (n,) at random, folds of equal size to one: the optimist's split, to be shown beside an honest one."""
    _enough(n, k, "samples")
    return np.random.default_rng(rng).permutation(np.arange(n) % k)


def group_folds(groups: np.ndarray, *, k: int | None = None, rng: Rng = 0) -> np.ndarray:
    """Fold number by group (station, region, year): one fold a group, or `k` folds of whole groups of like size."""
    names, member, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if k is None or k >= names.size:
        _enough(names.size, 2, "groups")
        return member
    rng = np.random.default_rng(rng)
    load, fold = np.zeros(k), np.empty(names.size, int)
    for g in np.lexsort((rng.random(names.size), -counts)):  # large groups first, each to the emptiest fold
        fold[g] = np.argmin(load)
        load[fold[g]] += counts[g]
    return fold[member]


def block_folds(xy: np.ndarray, *, size: float, k: int | None = 10, rng: Rng = 0) -> np.ndarray:
    """Fold number by square blocks of side `size` in the units of `xy` (sample, 2), the grid's origin drawn at random."""
    if size <= 0:
        raise VadoseInputError(f"block size must be positive, got {size}; see vadose.learn.splits.block_size")
    rng = np.random.default_rng(rng)
    cell = np.floor((xy - np.min(xy, axis=0)) / size + rng.random(2)).astype(int)
    block = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    if np.unique(block).size < 2:
        raise TooFewSamplesError(f"all samples lie in one block of side {size:g}; a spatial split needs smaller blocks")
    return group_folds(block, k=k, rng=rng)


def time_folds(time: np.ndarray, *, k: int = 5) -> np.ndarray:
    """Fold number by `k` consecutive stretches of time that hold as many samples each; a time is in one fold only."""
    values, member, counts = np.unique(np.asarray(time), return_inverse=True, return_counts=True)
    _enough(values.size, k, "times")
    middle = np.cumsum(counts) - counts / 2
    return np.minimum((middle / counts.sum() * k).astype(int), k - 1)[member]


def pairs(
    folds: np.ndarray, *, xy: np.ndarray | None = None, gap: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(train, test) index pairs; with `xy` and a `gap` > 0, training samples nearer than `gap` to a test sample are left out."""
    from scipy.spatial import cKDTree

    for f in np.unique(folds):
        test, train = np.flatnonzero(folds == f), np.flatnonzero(folds != f)
        if gap > 0:
            if xy is None:
                raise DimensionError("a gap between training and test needs the coordinates: pass xy")
            near, _ = cKDTree(xy[test]).query(xy[train])
            train = train[near >= gap]
        if train.size == 0:
            raise TooFewSamplesError(f"fold {f} leaves nothing to train on; use a smaller gap or smaller blocks")
        yield train, test


def refuse_leak(train: np.ndarray, test: np.ndarray, *, what: str = "station") -> None:
    """Raise when the same group (station, block, time) is in both parts."""
    both = np.intersect1d(np.asarray(train), np.asarray(test))
    if both.size:
        raise VadoseInputError(
            f"leaking split: {what} {', '.join(map(str, both[:5]))}{' ...' if both.size > 5 else ''} teaches and tests; "
            f"split with vadose.learn.splits.group_folds({what})"
        )


def variogram_range(xy: np.ndarray, values: np.ndarray, *, bins: int = 15, most: int = 2000, rng: Rng = 0) -> float:
    """Range of a spherical variogram fitted to `values` (sample) at `xy` (sample, 2), in units of `xy`; NaN where none fits.

    Pairs up to half the largest distance, weighted by their number (Cressie 1985, doi:10.1007/BF01032109).
    """
    from scipy.optimize import least_squares
    from scipy.spatial.distance import pdist

    good = np.flatnonzero(np.isfinite(values))
    if good.size > most:
        good = np.random.default_rng(rng).choice(good, most, replace=False)
    if good.size < 30:
        return float("nan")
    distance, half = pdist(xy[good]), 0.5 * pdist(np.asarray(values, float)[good, None], "sqeuclidean")
    inside = (distance > 0) & (distance <= distance.max() / 2)
    if not inside.any() or half[inside].max() == 0:
        return float("nan")
    edges = np.linspace(0, distance.max() / 2, bins + 1)
    at = np.clip(np.digitize(distance[inside], edges) - 1, 0, bins - 1)
    n = np.bincount(at, minlength=bins)
    use = n >= 10
    h = np.bincount(at, distance[inside], bins)[use] / n[use]
    gamma = np.bincount(at, half[inside], bins)[use] / n[use]
    if h.size < 4:
        return float("nan")

    def misfit(p):
        s = np.minimum(h / p[2], 1.0)
        return np.sqrt(n[use]) * (p[0] + p[1] * (1.5 * s - 0.5 * s**3) - gamma)

    top = gamma.max()
    fit = least_squares(misfit, [0.1 * top, 0.9 * top, h.mean()], bounds=([0, 0, h[0] / 4], [top, 2 * top, 2 * h[-1]]))
    none = fit.x[1] < 0.05 * top or fit.x[2] > 1.99 * h[-1]
    return float("nan") if none else float(fit.x[2])


def block_size(xy: np.ndarray, values: np.ndarray, *, rng: Rng = 0) -> float:
    """Side of spatial blocks [km]: twice the variogram's range of the target, at least 1 km, 5 km where no range can be fitted."""
    reach = variogram_range(xy, values, rng=rng)
    return FALLBACK_BLOCK_KM if not np.isfinite(reach) else max(2.0 * reach, MINIMUM_BLOCK_KM)


def _enough(n: int, k: int, what: str) -> None:
    if k < 2 or n < k:
        raise TooFewSamplesError(f"{k} folds need at least {max(k, 2)} {what}, got {n}")
