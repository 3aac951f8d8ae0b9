"""Scores equal to ilamb3's on the same records, through the engine that runs it in its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.benchmark import engine, read, score
from vadose.benchmark.compare import pair, table
from vadose.benchmark.export import export, sites_as_months
from vadose.benchmark.ilamb2 import configure
from vadose.benchmark.scores import scheme
from vadose.errors import PlatformError

#: Our score -> its name in ILAMB 2.
TWO = {
    "bias": "Bias Score",
    "rmse": "RMSE Score",
    "phase": "Seasonal Cycle Score",
    "distribution": "Spatial Distribution Score",
    "overall": "Overall Score",
}


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


#: bias, rmse, phase and distribution that ilamb3 2026.6.15 gives the two records of `torn`, by what was torn out of them.
TORN = {
    "winters of the north": (0.59645, 0.37952, 0.64294, 0.98572),
    "a corner of the reference": (0.58105, 0.35205, 0.65455, 0.74217),
    "a quarter of the reference": (0.58126, 0.35088, 0.63793, 0.96747),
    "Julys and the south of the model": (0.56677, 0.35399, 0.64169, 0.97723),
    "all of these": (0.56506, 0.35603, 0.64720, 0.78731),
}
#: The error's score alone differs: ilamb3 weights its months by the distances of their middles, not by their lengths.
TOLERANCES = {"bias": 2e-5, "rmse": 1e-3, "phase": 2e-5, "distribution": 2e-5}


def torn(what):
    """Two records on nested grids, of which one or the other has gaps."""
    a, b = fields(10, 10, seed=1), fields(20, 20, seed=2, offset=0.02)
    every = what == "all of these"
    if every or what.startswith("winters"):
        a = a.where(~a.time.dt.month.isin([12, 1, 2]) | (a.lat < 5))
    if every or what.startswith("a corner"):
        a = a.where(a.lat + 0.3 * a.lon < 13)
    if every or what.startswith("a quarter"):
        a = a.where(np.random.default_rng(5).random(a.shape) > 0.25)
    if every or what.startswith("Julys"):
        b = b.where((b.lon < 28) | (b.time.dt.month != 7)).where(b.lat > 1)
    return a, b


@pytest.mark.parametrize("what", TORN)
def test_with_gaps_the_scheme_ilamb3_takes_each_record_by_itself_as_ilamb3_does(what):
    found = score(*torn(what), scheme="ilamb3", draws=4)
    ours = found[found.kind == "score"].set_index("statistic")
    for (statistic, tolerance), theirs in zip(TOLERANCES.items(), TORN[what], strict=True):
        assert ours.value[statistic] == pytest.approx(theirs, abs=tolerance), statistic
        assert ours.low[statistic] <= ours.value[statistic] <= ours.high[statistic]


def test_the_stored_scores_of_records_with_gaps_are_those_of_ilamb3(python):
    theirs = engine._through(python, *torn("all of these"), "soil_moisture")["scores"]
    for words, stored in zip(engine.THEIRS.values(), TORN["all of these"], strict=True):
        assert next(v for k, v in theirs.items() if k.startswith(words)) == pytest.approx(stored, abs=1e-5), words


def field(seed):
    """A field of the whole Earth, uniform numbers from 0 to 1e-8 in the order of NumPy's old generator, at one time."""
    lat, lon = np.arange(-81.0, 90, 18), np.arange(-171.0, 180, 18)
    values = np.random.RandomState(seed).rand(1, lat.size, lon.size) * 1e-8
    coords = {"time": pd.to_datetime(["2000-01-01"]), "lat": lat, "lon": lon}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, attrs={"units": "kg m-2 s-1"})


@pytest.mark.parametrize(
    ("uncertain", "mass", "published"),
    [
        (True, False, 0.5037343625713414),
        (False, False, 0.49809129117395395),
        (True, True, 0.6211524133325482),
        (False, True, 0.6162697692652096),
    ],
)
def test_bias_scores_that_the_authors_of_ilamb3_expect_of_it(uncertain, mass, published):
    """rubisco-sfa/ilamb3, ilamb3/tests/test_bias.py, test_bias_collier2018: its inputs made again, its numbers to the last digits."""
    error = field(2) * 1e-2 if uncertain else None
    found = table(pair(field(1), field(3), error=error), scheme("ilamb3"), mass=mass)
    bias = found[(found.kind == "score") & (found.statistic == "bias")].value.item()
    assert bias == pytest.approx(published, abs=1e-12)


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


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A recipe of three levels with a relationship, boxes, stations and two models, written for ILAMB."""
    folder = tmp_path_factory.mktemp("exported")
    a, b = fields(10, 10, seed=1), fields(20, 20, seed=2, offset=0.02)
    for name, data in (("reference", a), ("model", b)):
        (data * 100.0).assign_attrs(units="kg m-2").to_dataset(name="mrsos").to_netcdf(folder / f"{name}-mrsos.nc")
        (data * 1e-4).assign_attrs(units="kg m-2 s-1").to_dataset(name="evspsbl").to_netcdf(folder / f"{name}-e.nc")
    (folder / "recipe.yaml").write_text(
        """\
title: exported
regions:
  all:
  corner: {bbox: [20, 0, 25, 5]}
  field: {polygon: [[20, 0], [25, 0], [25, 5]]}
models:
  M: {files: model-*.nc, product: cmip6}
  "N, again": {files: model-*.nc, product: cmip6, ensemble: pair}
pages:
  Water:
    weight: 2
    Soil:
      weight: 3
      Surface:
        variable: soil_moisture
        layer: [0.0, 0.1]
        references:
          R: {files: reference-*.nc, product: cmip6, weight: 4}
        relationships:
          evapotranspiration_flux:
          precipitation_flux: {role: driver}
    Evaporation:
      weight: 1
      variable: evapotranspiration_flux
      references:
        R: {files: reference-*.nc, product: cmip6}
"""
    )
    return (*export(read(folder / "recipe.yaml"), folder / "study"), a, b)


def parsed(text):
    """Headings and their keys of an ILAMB 2 configure file, in order."""
    out = []
    for line in text.splitlines():
        if line.startswith("["):
            out.append((line.strip("[]"), {}))
        elif "=" in line and not line.startswith("#"):
            key, value = (part.strip().strip('"') for part in line.split("=", 1))
            out[-1][1][key] = value
    return out


def test_the_configure_file_of_ilamb2_has_the_tree_its_weights_and_the_relationship(exported):
    folder, skipped, *_ = exported
    found = parsed((folder / "ilamb.cfg").read_text())
    assert [name for name, _ in found] == ["h1: Water", "h2: Soil - Surface", "R", "h2: Evaporation", "R"]
    keys = [k for _, k in found]
    assert keys[0] == {"weight": "2"}
    assert (keys[1]["variable"], keys[1]["weight"]) == ("soil_moisture_0_0p1m", "0.75")
    assert (keys[2]["weight"], keys[3]["weight"]) == ("4", "0.25")
    # evaporation answers to the soil: ILAMB 2 writes the driver beside the response
    assert keys[4]["relationships"] == "Soil-Surface/R"
    assert "relationships" not in keys[2]
    for part in (keys[2], keys[4]):
        assert (folder / part["source"]).exists()
    assert (folder / "ilamb-models.txt").read_text() == "M, MODELS/m, \nN again, MODELS/n-again, pair\n"
    assert (folder / "ilamb-regions.txt").read_text() == "corner,corner,0,5,20,25\n"
    assert any("precipitation_flux" in line for line in skipped)
    assert any("region field" in line for line in skipped)


@pytest.mark.parametrize(("name", "counted"), [("ilamb2018", False), ("ilamb2018-iav", True)])
def test_ilamb2_counts_years_where_the_scheme_does(exported, name, counted):
    recipe = replace(read(exported[0].parent / "recipe.yaml"), scheme=name)
    text, _ = configure(recipe, {("Water / Soil / Surface", "R"): ("mrsos", "DATA/R.nc")})
    assert ("skip_iav = False" in text) is counted


def test_stations_are_written_as_ilamb2_reads_them():
    stations = fields(2, 2, seed=1).stack(station=("lat", "lon")).reset_index("station")
    stations = stations.assign_coords(station=["a", "b", "c, d", "e"])
    out = sites_as_months(stations.where(stations.station != "b"), "soil_moisture")
    assert out.soil_moisture.dims == ("time", "data")
    assert out.attrs["site_name"] == "a,b,c  d,e"
    np.testing.assert_allclose(out.lat, stations.lat)
    np.testing.assert_allclose(out.soil_moisture.isel(data=0), stations.isel(station=0), rtol=1e-6)
    assert out.soil_moisture.isel(data=1).isnull().all()


def test_ilamb2_itself_runs_what_was_written_and_scores_it_as_we_do(exported):
    """Formulas, weights and grids are the same; the phase differs, for ILAMB 2 counts months of 28 to 31 days and we twelfths."""
    program = os.environ.get("ILAMB2_RUN") or shutil.which("ilamb-run")
    if program is None:
        pytest.skip("cannot run here: ilamb-run is not on the path (the benchmark image has it; or set ILAMB2_RUN)")
    folder, _, a, b = exported
    environment = {**os.environ, "PATH": f"{os.path.dirname(program)}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "ilamb.sh", "--skip_plots"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    built = folder / "_build_ilamb2" / "Water"
    with xr.open_dataset(built / "Soil-Surface" / "R" / "R_M.nc", group="MeanState/scalars") as raw:
        theirs = {name: float(raw[name]) for name in raw.data_vars}
    assert "Bias Score corner" in theirs
    ours = score(a, b, scheme="ilamb2018")
    ours = ours[ours.kind == "score"].set_index("statistic").value
    for statistic, words in TWO.items():
        assert ours[statistic] == pytest.approx(
            theirs[f"{words} global"], abs=0.01 if statistic == "phase" else 5e-3
        ), statistic


def test_without_ilamb3_one_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    with pytest.raises(PlatformError, match="peers-ilamb"):
        engine.interpreter()
