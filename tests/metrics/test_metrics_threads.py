"""Splitting rows over cores changes no result, and is not done inside other threads."""

from __future__ import annotations

import threading

import numpy as np
import xarray as xr
from scipy import stats

from vadose.harmonize import rescale
from vadose.metrics import compare, rank_scores, threads


def test_rows_are_covered_once_whatever_the_cores(monkeypatch):
    for cores in (1, 2, 3, 16):
        monkeypatch.setattr(threads, "cores", lambda n=cores: n)
        seen = np.zeros(7, int)

        def add(part, seen=seen):
            seen[part] += 1

        threads.by_rows(add, 7, threads.ALONE)
        assert seen.tolist() == [1] * 7


def test_small_arrays_and_workers_of_others_are_not_split(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 4)
    parts: list[slice] = []
    threads.by_rows(parts.append, 8, threads.ALONE - 1)
    worker = threading.Thread(target=threads.by_rows, args=(parts.append, 8, threads.ALONE))
    worker.start()
    worker.join()
    assert parts == [slice(0, 8), slice(0, 8)]


def test_scores_and_ranks_do_not_depend_on_threads(monkeypatch):
    rng = np.random.default_rng(5)
    x, y = (xr.DataArray(rng.normal(size=(6, 300)).round(1), dims=("cell", "time")) for _ in range(2))
    x[0, 3], x[1, :], y[2, 5:9] = np.nan, np.nan, np.nan
    found = []
    for least in (10**9, 1):
        monkeypatch.setattr(threads, "ALONE", least)
        found.append((compare(x, y), rank_scores(x, y, kendall=False), rescale.fit(x, y)))
    for one, two in zip(*found, strict=True):
        xr.testing.assert_identical(one, two)
    good = np.isfinite(x[2]) & np.isfinite(y[2])
    expected = stats.spearmanr(x[2][good], y[2][good]).statistic
    np.testing.assert_allclose(found[0][1].spearman[2], expected, rtol=1e-12)


def test_infinite_values_keep_their_rank_among_missing_ones():
    x = xr.DataArray([[1.0, np.inf, 2.0, np.nan, 3.0]], dims=("cell", "time"))
    y = xr.DataArray([[1.0, 9.0, 2.0, 7.0, 4.0]], dims=("cell", "time"))
    for kendall in (True, False):
        assert float(rank_scores(x, y, kendall=kendall).spearman[0]) == 1.0
