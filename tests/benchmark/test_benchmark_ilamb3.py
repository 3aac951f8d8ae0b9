"""Scores equal to ilamb3's on the same records, through the engine that runs it in its own environment."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.benchmark import engine, read, score
from vadose.benchmark.export import export
from vadose.errors import PlatformError


def fields(rows, columns, *, seed, offset=0.0):
    """Three years of months over ten by ten degrees, with a season, a pattern and noise."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=36, freq="MS")
    lat, lon = (np.arange(n) * (10 / n) + 5 / n for n in (rows, columns))
    season = 0.05 * np.cos(2 * np.pi * (time.month.values - 2 - 2 * (seed % 2)) / 12)
    values = (
        0.25 + offset + season[:, None, None] + 0.004 * lat[None, :, None] + 0.01 * rng.normal(size=(36, rows, columns))
    )
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": lat, "lon": lon + 20},
        attrs={"units": "m3 m-3"},
        name="soil_moisture",
    )


@pytest.fixture(scope="module")
def python(pytestconfig):
    import os

    path = pytestconfig.rootpath / ".side" / "ilamb" / "bin" / "python"
    if os.environ.get(engine.VARIABLE):
        return os.environ[engine.VARIABLE]
    if not path.exists():
        pytest.skip(
            "cannot run here: ilamb3 needs Python 3.12 or newer in an environment of its own (bash benchmarks/peers-ilamb)"
        )
    return str(path)


def test_scores_equal_those_of_ilamb3_on_nested_grids(python):
    """Tolerances: the months' weights (leap days) differ by 2e-5; the rest is the same arithmetic."""
    a, b = fields(10, 10, seed=1), fields(20, 20, seed=2, offset=0.02)
    theirs = engine._through(python, a, b, "soil_moisture")
    ours = score(a, b, scheme="ilamb3")
    ours = ours[ours.kind == "score"].set_index("statistic").value
    for statistic, words in engine.THEIRS.items():
        value = next(v for k, v in theirs["scores"].items() if k.startswith(words))
        assert ours[statistic] == pytest.approx(value, abs=2e-3), (statistic, theirs)


def test_a_recipe_exported_for_ilamb3_is_scored_by_it_as_by_us(python, tmp_path):
    """The study's own run (files, table of models, YAML) gives the scores that our scheme gives on the arrays."""
    a, b = fields(10, 10, seed=1), fields(20, 20, seed=2, offset=0.02)
    for name, data in (("reference", a), ("model", b)):
        # 0.1 m of soil: m3 m-3 as kg m-2
        (data * 100.0).assign_attrs(units="kg m-2").to_dataset(name="mrsos").to_netcdf(tmp_path / f"{name}.nc")
    (tmp_path / "recipe.yaml").write_text(
        """\
title: exported
models:
  M: {files: model.nc, product: cmip6}
pages:
  Water:
    Surface:
      variable: soil_moisture
      layer: [0.0, 0.1]
      references:
        R: {files: reference.nc, product: cmip6}
"""
    )
    folder, skipped = export(read(tmp_path / "recipe.yaml"), tmp_path / "study")
    assert skipped == []
    done = subprocess.run([python, "run.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    tables = [pd.read_csv(p) for p in (folder / "_build").rglob("*.csv")]
    found = pd.concat(tables)
    found = found[(found["type"] == "score") & (found["source"] == "M")].drop_duplicates("name").set_index("name").value
    ours = score(a, b, scheme="ilamb3")
    ours = ours[ours.kind == "score"].set_index("statistic").value
    for statistic, words in engine.THEIRS.items():
        value = next(v for k, v in found.items() if k.startswith(words))
        assert ours[statistic] == pytest.approx(value, abs=2e-3), (statistic, found)


def test_without_ilamb3_one_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    with pytest.raises(PlatformError, match="peers-ilamb"):
        engine.interpreter()
