"""Splits keep neighbors together, and say so when they do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import TooFewSamplesError, VadoseInputError
from vadose.learn import splits


@settings(deadline=None, max_examples=50)
@given(n=st.integers(20, 300), k=st.integers(2, 10), seed=st.integers(0, 99))
def test_random_folds_are_of_equal_size_to_one(n, k, seed):
    counts = np.bincount(splits.random_folds(n, k=k, rng=seed), minlength=k)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 999), groups=st.integers(3, 30), k=st.integers(2, 6))
def test_a_group_is_in_one_fold_only(seed, groups, k):
    member = np.random.default_rng(seed).integers(0, groups, 200)
    fold = splits.group_folds(member, k=k, rng=seed)
    for g in np.unique(member):
        assert np.unique(fold[member == g]).size == 1


def test_blocks_keep_neighbors_together_and_far_samples_apart():
    rng = np.random.default_rng(0)
    centers = rng.uniform(0, 1000, (12, 2))
    xy = np.repeat(centers, 20, axis=0) + rng.normal(0, 0.01, (240, 2))
    fold = splits.block_folds(xy, size=50.0, k=6, rng=1)
    assert np.unique(fold).size == 6
    mixed = sum(np.unique(fold[20 * i : 20 * (i + 1)]).size > 1 for i in range(12))
    assert mixed <= 1  # a cluster may straddle a block edge, hardly more than one does


def test_pairs_cover_every_sample_once_and_keep_the_gap():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (300, 2))
    fold = splits.block_folds(xy, size=20.0, k=5, rng=1)
    seen = np.zeros(300, int)
    for train, test in splits.pairs(fold, xy=xy, gap=5.0):
        seen[test] += 1
        nearest = np.min(np.linalg.norm(xy[train][:, None] - xy[test][None], axis=-1))
        assert nearest >= 5.0
    assert (seen == 1).all()


def test_time_folds_are_stretches():
    time = np.repeat(np.arange(100), 3)
    fold = splits.time_folds(time, k=5)
    assert (np.diff(fold) >= 0).all()
    assert np.bincount(fold).tolist() == [60, 60, 60, 60, 60]


def test_a_leaking_split_is_named():
    splits.refuse_leak(np.array(["a", "b"]), np.array(["c"]))
    with pytest.raises(VadoseInputError, match="station b teaches and tests"):
        splits.refuse_leak(np.array(["a", "b"]), np.array(["b", "c"]))


def test_variogram_range_of_a_known_field():
    # Moving average over a square window of side 20 has a correlation that falls to zero at lag 20 along an axis.
    from scipy.ndimage import uniform_filter

    rng = np.random.default_rng(3)
    field = uniform_filter(rng.normal(size=(300, 300)), 20, mode="wrap")
    at = rng.integers(0, 300, (1500, 2))
    reach = splits.variogram_range(at.astype(float), field[at[:, 0], at[:, 1]])
    assert 12 < reach < 32
    assert np.isnan(splits.variogram_range(at[:20].astype(float), np.ones(20)))
    assert splits.block_size(at[:20].astype(float), np.ones(20)) == splits.FALLBACK_BLOCK_KM


def test_plane_distances_are_kilometers():
    # One degree of latitude is 6371.2 pi / 180 = 111.2 km; a degree of longitude shrinks by the cosine of the middle latitude.
    xy = splits.plane(np.array([60.0, 61.0, 60.5]), np.array([10.0, 10.0, 11.0]))
    assert np.hypot(*(xy[1] - xy[0])) == pytest.approx(111.2, abs=0.1)
    assert abs(xy[2, 0] - xy[0, 0]) == pytest.approx(111.2 * np.cos(np.deg2rad(60.5)), rel=1e-3)
    across = splits.plane(np.array([0.0, 0.0]), np.array([179.5, -179.5]))
    assert np.hypot(*(across[1] - across[0])) == pytest.approx(111.2, abs=0.1)  # the date line is no border


def test_too_few_is_an_error():
    with pytest.raises(TooFewSamplesError):
        splits.random_folds(1, k=2)
    with pytest.raises(TooFewSamplesError, match="one block"):
        splits.block_folds(np.zeros((10, 2)), size=1.0)
