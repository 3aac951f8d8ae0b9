"""The command: a page's path on success, one clear sentence where the recipe is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from click.testing import CliRunner

from vadose.cli.benchmark import command
from vadose.errors import StudyError


def write(folder, scheme="ilamb2018"):
    time = pd.date_range("2001-01-01", periods=24, freq="MS")
    rng = np.random.default_rng(0)
    season = 2e-5 + 1e-5 * np.cos(2 * np.pi * np.arange(24) / 12)
    rain = season[:, None, None] * (1 + 0.3 * rng.random((24, 6, 8)))
    data = xr.Dataset(
        {"pr": (("time", "lat", "lon"), rain, {"units": "kg m-2 s-1"})},
        coords={"time": time, "lat": np.arange(6) + 0.5, "lon": np.arange(8) + 0.5},
    )
    data.to_netcdf(folder / "pr.nc")
    source = "{files: pr.nc, product: cmip6}"
    text = f"title: rain\nscheme: {scheme}\nmodels:\n  a: {source}\npages:\n  Rain:\n    variable: precipitation_flux\n    references:\n      b: {source}\n"
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def test_the_command_writes_a_page_and_prints_its_path(tmp_path):
    done = CliRunner().invoke(command, [str(write(tmp_path)), "--output", str(tmp_path / "out"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert done.output.strip().endswith("index.html")
    assert (tmp_path / "out" / "index.html").exists()


def test_a_wrong_recipe_is_one_sentence(tmp_path):
    done = CliRunner().invoke(command, [str(write(tmp_path, "ilamb")), "--output", str(tmp_path / "out")])
    assert isinstance(done.exception, StudyError)
    assert "line 2: key 'scheme'" in str(done.exception)
