"""States merge exactly, whatever the cut; kernel, numpy and dask agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import DimensionError
from vadose.metrics import combine, covariance, moments, pooled


def cube(n=400, products=3, cells=4, seed=0, gaps=0.1):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.2, 0.05, (products, n, cells)) + rng.normal(0, 0.05, (1, n, cells))
    values[rng.random(values.shape) < gaps] = np.nan
    return xr.DataArray(values, dims=("product", "time", "cell"), coords={"product": list("xyzuv"[:products])})


def slow(values):
    """numpy on the collocated rows of one cell."""
    rows = values[np.isfinite(values).all(axis=1)]
    return len(rows), rows.mean(0), np.cov(rows.T, ddof=1)


def test_state_equals_numpy():
    data = cube()
    state = moments(data)
    for k in range(4):
        n, mean, cov = slow(data.isel(cell=k).transpose("time", "product").values)
        assert int(state.n[k]) == n
        np.testing.assert_allclose(state["mean"].isel(cell=k), mean, rtol=1e-12)
        np.testing.assert_allclose(covariance(state).isel(cell=k), cov, rtol=1e-10)


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 399), min_size=1, max_size=5, unique=True), seed=st.integers(0, 99))
def test_any_split_merges_to_the_same_state(cuts, seed):
    data = cube(seed=seed)
    edges = [0, *sorted(cuts), 400]
    parts = [moments(data.isel(time=slice(a, b))) for a, b in itertools.pairwise(edges)]
    xr.testing.assert_allclose(combine(*parts), moments(data), rtol=1e-9)
    xr.testing.assert_allclose(combine(*reversed(parts)), moments(data), rtol=1e-9)


def test_lazy_in_lazy_out_and_chunks_do_not_matter():
    data = cube(1000)
    lazy = moments(data.chunk(time=130, cell=2))
    assert lazy.n.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), moments(data), rtol=1e-9)


def test_pooling_cells_equals_one_long_series():
    data = cube()
    joined = data.stack(sample=("time", "cell"), create_index=False).rename(sample="time")
    xr.testing.assert_allclose(pooled(moments(data), "cell"), moments(joined), rtol=1e-9)


def test_all_missing_gives_zero_samples():
    state = moments(cube() * np.nan)
    assert int(state.n.max()) == 0
    assert bool(state["mean"].isnull().all())


def test_missing_dimension_is_named():
    with pytest.raises(DimensionError, match="stack"):
        moments(cube().rename(product="which"))
