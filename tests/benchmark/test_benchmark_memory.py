"""What a benchmark holds in memory does not grow with the length of the records."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark import read, runner, state
from vadose.benchmark.runner import compute

ROWS, COLUMNS = 40, 60
YEARS, LONGER = 8, 4


def write(path, name, units, years, *, seed):
    """A record of months on disk, in chunks of four years."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("1920-01-01", periods=12 * years, freq="MS")
    values = (1.0 + rng.random((times.size, ROWS, COLUMNS))).astype("float32")
    xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units})},
        coords={"time": times, "lat": np.arange(ROWS) + 0.5, "lon": np.arange(COLUMNS) + 0.5},
    ).to_netcdf(path, encoding={name: {"chunksizes": (48, ROWS, COLUMNS)}})
    return values.nbytes


def recipe(folder, years):
    """Water against water and its answer to warmth, in two records of each."""
    folder.mkdir()
    sizes = [
        write(folder / f"{side}-{name}.nc", name, units, years, seed=seed)
        for seed, (side, name, units) in enumerate(
            (s, n, u) for s in ("reference", "model") for n, u in (("pr", "kg m-2 s-1"), ("tas", "K"))
        )
    ]
    (folder / "recipe.yaml").write_text(
        f"""\
title: long
scheme: vadose
draws: 0
models:
  M: {{files: {folder}/model-*.nc, product: cmip6}}
pages:
  Rain:
    variable: precipitation_flux
    references:
      R: {{files: {folder}/reference-*.nc, product: cmip6}}
    relationships:
      air_temperature:
"""
    )
    return read(folder / "recipe.yaml"), sum(sizes)


def peak(the):
    """Most that numpy and Python held at once beyond what they held before, in bytes."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        assert not compute(the).failures
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_record_four_times_as_long_takes_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "BLOCK_VALUES", 48 * ROWS * COLUMNS)
    short, _ = recipe(tmp_path / "short", YEARS)
    long, size = recipe(tmp_path / "long", LONGER * YEARS)
    with dask.config.set(scheduler="synchronous"):
        compute(short)  # imports and compiles
        peaks = [peak(the) for the in (short, long)]
    assert peaks[1] < 1.15 * peaks[0], peaks
    assert peaks[1] < 0.6 * size, (peaks, size)  # all four records at once would be the size


def test_comparisons_side_by_side_on_a_worker_read_in_their_own_threads(monkeypatch):
    """The first that ends does not hand the reads of the other back to the cluster, and nothing is left set."""
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def evaluate(task):
        if task.page == "first":
            first_is_in.set()
            assert second_is_in.wait(10)
        else:
            second_is_in.set()
            assert first_is_out.wait(10)
        seen.append((task.page, dask.config.get("scheduler", None)))

    monkeypatch.setattr(runner, "evaluate", evaluate)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(runner._alone, runner.Task(None, "first", None, None, {}), {})
        assert first_is_in.wait(10)
        second = pool.submit(runner._alone, runner.Task(None, "second", None, None, {}), {})
        first.result(10)
        first_is_out.set()
        second.result(10)
    assert seen == [("first", "synchronous"), ("second", "synchronous")]
    assert dask.config.get("scheduler", None) is None
