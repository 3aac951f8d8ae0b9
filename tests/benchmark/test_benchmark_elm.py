"""E3SM land history on a mesh against a grid, through a recipe: layers, stamps at the end of the month, cells without rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import products
from vadose.benchmark import run
from vadose.products.elm import THICKNESS


def field(lat, lon, months):
    """A smooth moisture with a season [m3 m-3]: (month, place)."""
    season = 0.05 * np.cos(2 * np.pi * (months % 12) / 12)
    return 0.25 + season[:, None] + 0.05 * np.sin(np.deg2rad(6 * lat)) + 0.03 * np.cos(np.deg2rad(6 * lon))


@pytest.fixture
def files(tmp_path):
    months = np.arange(24)
    starts = pd.date_range("2001-01-01", periods=25, freq="MS")
    axis = np.arange(1.0, 20.0, 2.0)
    lat, lon = (a.ravel() for a in np.meshgrid(axis, axis + 200.0, indexing="ij"))
    values = field(lat, lon - 360.0, months)
    elm = xr.Dataset(
        {
            "H2OSOI": (("time", "levgrnd", "lndgrid"), np.repeat(values[:, None], 15, axis=1), {"units": "mm3/mm3"}),
            "SOILWATER_10CM": (("time", "lndgrid"), values * 100.0, {"units": "kg/m2"}),
            "RAIN": (("time", "lndgrid"), np.full_like(values, 2e-5), {"units": "mm/s"}),
            "SNOW": (("time", "lndgrid"), np.full_like(values, 1e-5), {"units": "mm/s"}),
            "GPP": (("time", "lndgrid"), np.full_like(values, 1e-4), {"units": "gC/m^2/s"}),
            "time_bounds": (("time", "nbnd"), np.stack([starts[:-1], starts[1:]], axis=1)),
            "lat": ("lndgrid", lat),
            "lon": ("lndgrid", lon),
        },
        coords={"time": ("time", starts[1:], {"bounds": "time_bounds"})},
    )
    elm.to_netcdf(tmp_path / "case.elm.h0.nc")
    grid = xr.Dataset(
        {
            "mrsos": (
                ("time", "lat", "lon"),
                field(*(a.ravel() for a in np.meshgrid(axis, axis - 160.0, indexing="ij")), months).reshape(24, 10, 10)
                * 100.0,
                {"units": "kg m-2"},
            )
        },
        coords={"time": starts[:-1], "lat": axis, "lon": axis - 160.0},
    )
    grid.to_netcdf(tmp_path / "reference.nc")
    return tmp_path


def test_months_layers_and_units_of_a_history_file(files):
    with xr.open_dataset(files / "case.elm.h0.nc") as raw:
        out = products.standardize(raw, "elm").load()
    assert out.time.dt.month.values[:3].tolist() == [1, 2, 3]  # stamped February 1st in the file
    np.testing.assert_allclose(out.layer_bnds.values[:, 1], np.cumsum(THICKNESS))
    np.testing.assert_allclose(out.precipitation_flux, 3e-5)
    np.testing.assert_allclose(out.gross_primary_productivity, 1e-7)  # 1e-4 g
    assert float(out.lon.min()) == -159.0


def test_a_mesh_scores_one_against_the_grid_it_was_taken_from(files):
    (files / "recipe.yaml").write_text(
        """\
title: mesh
draws: 0
models:
  elm: {files: case.elm.h0.nc, product: elm}
pages:
  Surface:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      grid: {files: reference.nc, product: cmip6}
"""
    )
    out = run(files / "recipe.yaml", files / "out")
    found = pd.read_parquet(out / "tables" / "scores.parquet")
    row = found[(found.model == "elm") & (found.kind == "score")].set_index("statistic").value
    for name in ("bias", "rmse", "phase", "distribution", "coverage"):
        assert row[name] == pytest.approx(1.0, abs=1e-6), name
