"""What a modeller gets wrong: names, units, files, calendars, grids. Each is told in words, or put right, and the rest of a run goes on."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import report
from vadose.access.opening import cut_time
from vadose.benchmark import engine, run
from vadose.benchmark.once import Once
from vadose.benchmark.output import slug
from vadose.benchmark.recipe import parse
from vadose.benchmark.runner import compute
from vadose.errors import PlatformError, StudyError, VadoseError

LAT, LON = np.arange(-37.5, 40.0, 15.0), np.arange(-165.0, 180.0, 30.0)
MONTHS = 36
SOURCE = "{{files: {0}, product: cmip6}}"


def water(steps=MONTHS, lat=LAT, lon=LON, *, seed=1):
    """Soil moisture with a season, a pattern and weather [m3 m-3]."""
    season = 0.05 * np.cos(2 * np.pi * np.arange(steps) / 12)[:, None, None]
    pattern = 0.2 + 0.1 * np.cos(np.deg2rad(2 * lat))[:, None] * np.cos(np.deg2rad(lon))[None, :]
    return season + pattern + 0.01 * np.random.default_rng(seed).standard_normal((steps, lat.size, lon.size))


def save(path, values=None, *, times=None, lat=LAT, lon=LON, name="mrsos", units="kg m-2"):
    """A file as CMIP6 has them: water of the top 0.1 m."""
    values = 100.0 * water(lat=lat, lon=lon) if values is None else values
    times = pd.date_range("2001-01-16", periods=len(values), freq="MS") if times is None else times
    data = xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units})}, coords={"time": times, "lat": lat, "lon": lon}
    )
    data[name].encoding["_FillValue"] = None
    data.to_netcdf(path)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "reference.nc")
    return tmp_path


def recipe(folder, model, *, more="", **models):
    """A recipe of one page, by models and their files."""
    lines = "".join(
        f"  {n}: {b if b.startswith('{') else SOURCE.format(b)}\n" for n, b in {"m": model, **models}.items()
    )
    page = "pages:\n  Top:\n    variable: soil_moisture\n    layer: [0, 0.1]\n    references:\n"
    text = f"title: a day\ndraws: 0\n{more}models:\n{lines}{page}      r: {SOURCE.format('reference.nc')}\n"
    return parse(text, name="day.yaml", folder=folder)


def overall(results, model="m"):
    s = results.scores
    return float(s[(s.model == model) & (s.statistic == "overall") & (s.kind == "score")].value.iloc[0])


SMALL = """\
title: a day
models:
  a: {files: a.nc, product: cmip6}
  b: {files: b.nc, product: cmip6}
pages:
  Top:
    variable: soil_moisture
    references:
      r: {files: r.nc, product: cmip6}
"""
CONSTRAINT = "constraint: {page: Top, values: {a: 1.0}, mechanism: wet is wet, error: 0.1}"


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("title: a day", "title: a day\nperiod: [January 2000, May 2001]", r"line 2: key 'period': expected two months"),
        ("title: a day", "title: a day\nperiod: [2000-13, 2001-05]", r"line 2: key 'period': expected two months"),
        ("title: a day", "title: a day\ndraws: many", r"line 2: key 'draws': expected a whole number"),
        ("title: a day", "title: a day\nmass: 'no'", r"line 2: key 'mass': expected true or false, got 'no'"),
        ("title: a day", "title: a day\nregions: {x: {bbox: [a, b, c, d]}}", r"key 'bbox': expected \[west, south, east, north\]"),
        ("title: a day", "title: a day\nregions: {x: {sites: [3, 4]}}", r"key 'sites': expected at least 1 \[lon, lat\] pairs"),
        ("title: a day", "title: a day\n" + CONSTRAINT.replace("0.1", "small"), r"key 'error': expected a number .* got 'small'"),
        ("title: a day", "title: a day\n" + CONSTRAINT.replace("1.0", "one"), r"key 'a': expected a number, got 'one'"),
        ("title: a day", "title: a day\n" + CONSTRAINT.replace("}\n", "").replace("error", "region: mars, error"), r"'mars' is no region of the recipe; .*there are: all"),
        ("title: a day", "title: a day\nweights: {page: Top, methods: bma}", r"key 'methods': expected a list"),
        ("soil_moisture", "gpp", r"line 7: key 'variable': 'gpp' is called 'gross_primary_productivity' here"),
        ("references:", "layer: [0, 100]\n    references:", r"line 8: key 'layer': expected m; .*centimeters\?"),
        ("  b: {files", "  A: {files", r"key 'models': 'a' and 'A' are one name"),
        ("  Top:", "  Top / soil:", r"line 6: key 'Top / soil': a page's name cannot hold ' / '"),
        ("{files: a.nc, product: cmip6}", "{files: [], product: cmip6}", r"line 3: key 'files': expected a path, a pattern"),
        ("{files: a.nc, product: cmip6}", "{files: a, product: cmip6, column_depth: 2 m}", r"line 3: key 'column_depth': .*without its unit"),
        ("{files: a.nc, product: cmip6}", "{collection: x, where: CESM2}", r"line 3: key 'where': expected property: value"),
        ("{files: r.nc, product: cmip6}", "{files: r, product: fluxnet, places: [1, 2]}", r"line 9: key 'places': expected station: \[lon, lat\]"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_with_line_key_and_what_is_expected(old, new, answer):
    assert old in SMALL
    with pytest.raises(StudyError, match=answer):
        parse(SMALL.replace(old, new, 1))


def test_a_recipe_that_is_no_text_says_so(tmp_path):
    from vadose.benchmark import read

    (tmp_path / "r.yaml").write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(StudyError, match="not a text"):
        read(tmp_path / "r.yaml")


def test_longitudes_from_0_to_360_are_understood_in_regions():
    text = "regions: {us: {bbox: [235, 25, 293, 50]}, world: {bbox: [0, -90, 360, 90]}, islands: {bbox: [170, -9, 200, 9]}, s: {sites: [[262, 40]]}, p: {polygon: [[200, 1], [210, 1], [205, 9]]}}"
    us, world, islands, sites, polygon = parse(SMALL.replace("title: a day", f"title: a day\n{text}")).regions
    assert us.bbox == (-125.0, 25.0, -67.0, 50.0)
    assert world.bbox == (-180.0, -90.0, 180.0, 90.0)
    assert islands.bbox == (170.0, -9.0, -160.0, 9.0)  # across the date line
    assert sites.sites == ((-98.0, 40.0),)
    assert polygon.polygon == ((-160.0, 1.0), (-150.0, 1.0), (-155.0, 9.0))


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "julian"])
def test_any_calendar_longitudes_from_0_to_360_and_latitudes_from_the_north_are_the_same_model(folder, calendar):
    times = xr.date_range("2001-01-16", periods=MONTHS, freq="MS", calendar=calendar, use_cftime=True)
    order = np.argsort(LON % 360)
    values = 100.0 * water()[:, ::-1][..., order]
    save(folder / "m.nc", values, times=times, lat=LAT[::-1], lon=(LON % 360)[order])
    assert overall(compute(recipe(folder, "m.nc", more="period: [2001-01, 2003-12]\n"))) == pytest.approx(
        1.0, abs=1e-12
    )


@pytest.mark.filterwarnings("error")
def test_a_period_cuts_days_of_a_calendar_that_has_a_30th_of_february():
    times = xr.date_range("2001-01-01", periods=720, freq="D", calendar="360_day", use_cftime=True)
    days = xr.Dataset({"a": ("time", np.arange(720))}, coords={"time": times})
    cut = cut_time(days, ("2001-02", "2001-04"), "x")
    assert cut.a.values.tolist() == list(range(30, 120))


def test_rows_and_columns_that_are_no_axes_are_a_mesh(folder):
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    xr.Dataset(
        {"mrsos": (("time", "y", "x"), 100.0 * water(), {"units": "kg m-2"})},
        coords={
            "time": pd.date_range("2001-01-16", periods=MONTHS, freq="MS"),
            "lat": (("y", "x"), lat),
            "lon": (("y", "x"), lon),
        },
    ).to_netcdf(folder / "m.nc")
    assert overall(compute(recipe(folder, "m.nc"))) == pytest.approx(1.0, abs=1e-6)


def test_units_are_those_that_the_file_states(folder):
    save(folder / "m.nc", 1000.0 * 0.1 * water() / 1000.0, units="m")  # a depth of water
    assert overall(compute(recipe(folder, "m.nc"))) == pytest.approx(1.0, abs=1e-6)
    save(folder / "m.nc", water(), units="m3 m-3")
    with pytest.raises(StudyError, match=r"m\.nc: variable 'mrsos' is in 'm3 m-3', which cannot become 'kg m-2'"):
        compute(recipe(folder, "m.nc"))


def broken(folder, kind):
    """A model's file with one thing wrong."""
    path = folder / "m.nc"
    if kind == "another time":
        save(path, times=pd.date_range("1951-01-16", periods=MONTHS, freq="MS"))
    elif kind == "years":
        save(path, 100.0 * water(4), times=pd.date_range("2001-07-01", periods=4, freq="YS-JUL"))
    elif kind == "no netCDF":
        path.write_bytes(b"<html>404</html>" * 40)
    elif kind == "half a file":
        save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty":
        save(path, np.full((MONTHS, LAT.size, LON.size), np.nan))
    elif kind == "in percent":
        save(path, 1000.0 * 100.0 * water())
    elif kind == "a folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("another time", r"no common month: the reference spans 2001-02 to 2004-01, the model 1951-02 to 1954-01"),
        ("years", r"source 'm' has values of 2001-07-01, 2002-07-01, 2003-07-01 \.\.\.; give months or days"),
        ("no netCDF", r"m\.nc cannot be read as netCDF or Zarr \(its content is of another kind\)"),
        ("half a file", r"m\.nc cannot be read as netCDF or Zarr \(.*\); compare its size"),
        ("empty", r"no place and month where both have values: the reference has \d+, the model has 0"),
        ("in percent", r"the model has 0 .*only what lies within 0 and 1 m3 m-3 counts"),
        ("a folder", r"m\.nc is a folder and no Zarr store; name its files, such as .*\*\.nc"),
        ("missing", r"source 'm': no file matches .*m\.nc"),
    ],
)
def test_a_model_that_cannot_be_compared_is_told_in_words_and_the_others_go_on(folder, kind, answer):
    broken(folder, kind)
    save(folder / "good.nc")
    results = compute(recipe(folder, "m.nc", good="good.nc"))
    assert overall(results, "good") == pytest.approx(1.0)
    (failure,) = results.failures
    assert failure["model"] == "m"
    assert re.search(answer, failure["why"]), failure["why"]
    assert "\n" not in failure["why"]


def test_a_fill_value_that_is_not_declared_is_no_water(folder):
    values = 100.0 * water()
    values[:, 0] = 1e20
    save(folder / "m.nc", values)
    s = compute(recipe(folder, "m.nc")).scores
    s = s[(s.model == "m") & (s.kind == "score")].set_index("statistic").value
    assert s["distribution"] == pytest.approx(1.0)
    assert s["coverage"] < 0.9


def test_files_of_one_source_are_of_one_grid_and_no_month_is_in_two(folder):
    whole = 100.0 * water()
    times = pd.date_range("2001-01-16", periods=MONTHS, freq="MS")
    save(folder / "part1.nc", whole[:20], times=times[:20])
    save(folder / "part2.nc", whole[20:], times=times[20:], lat=LAT + 1e-6)  # rounding of another writer
    assert overall(compute(recipe(folder, "'part*.nc'"))) == pytest.approx(1.0, abs=1e-6)
    save(folder / "part2.nc", whole[12:], times=times[12:])
    with pytest.raises(StudyError, match=r"files have the same months: part1\.nc \(2001-02 to 2002-09\), part2\.nc"):
        compute(recipe(folder, "'part*.nc'"))
    save(folder / "part2.nc", whole[20:, ::2], times=times[20:], lat=LAT[::2])
    with pytest.raises(StudyError, match=r"part2\.nc is on another grid than part1\.nc \(lat: 3 values"):
        compute(recipe(folder, "'part*.nc'"))


def test_a_land_fraction_of_another_grid_is_refused(folder):
    for name, lat in (("good", LAT), ("shifted", LAT + 7.5)):
        share = np.full((LAT.size, LON.size), 60.0)
        xr.Dataset({"sftlf": (("lat", "lon"), share, {"units": "%"})}, coords={"lat": lat, "lon": LON}).to_netcdf(
            folder / f"{name}.nc"
        )
    source = "{{files: reference.nc, product: cmip6, land_fraction: {0}}}"
    assert overall(compute(recipe(folder, source.format("good.nc")))) == pytest.approx(1.0)
    with pytest.raises(StudyError, match="is on another grid than its data"):
        compute(recipe(folder, source.format("shifted.nc")))
    with pytest.raises(StudyError, match=r"none\.nc is not there"):
        compute(recipe(folder, source.format("none.nc")))


def test_what_fails_for_all_models_is_one_line_and_a_region_without_places_is_told(folder):
    the = recipe(
        folder, "a.nc", n="b.nc", good="reference.nc", more="regions: {all: , nowhere: {bbox: [1, 88, 2, 89]}}\n"
    )
    results = compute(the)
    assert {(f["page"], f["reference"], f["model"]) for f in results.failures} == {
        ("Top", "r", "m"),
        ("Top", "r", "n"),
        ("regions", "nowhere", ""),
    }
    (folder / "reference.nc").rename(folder / "gone.nc")
    with pytest.raises(StudyError) as told:
        compute(recipe(folder, "gone.nc", n="gone.nc"))
    assert str(told.value).count("no file matches") == 1


def test_a_second_run_into_a_folder_leaves_nothing_of_the_first(folder):
    weights = "weights: {page: Top, methods: [bma]}\nlicense: CC0-1.0\n"
    save(folder / "other.nc", 100.0 * water(seed=2))
    out = run(recipe(folder, "reference.nc", old="other.nc", more=weights), folder / "out")
    first = json.loads((out / "ro-crate-metadata.json").read_text())["@graph"]
    assert (out / "tables" / "weights.parquet").exists()
    assert next(n for n in first if n["@id"] == "./")["license"] == {"@id": "https://spdx.org/licenses/CC0-1.0"}
    run(recipe(folder, "reference.nc"), out)
    page = report.write_benchmark(out).read_text()
    assert not (out / "tables" / "weights.parquet").exists()
    assert [p.name for p in (out / "maps").iterdir()] == ["top-r-m.zarr"]
    assert "Weights of models" not in page
    second = json.loads((out / "ro-crate-metadata.json").read_text())["@graph"]
    assert not any("old" in n["@id"] or "weights" in n["@id"] for n in second)


def test_the_page_names_models_that_were_not_compared_and_means_that_lack_a_page(folder):
    save(folder / "north.nc", 100.0 * water())
    text = recipe(folder, "north.nc", lost="nothing.nc").text
    rain = SOURCE.format("rain.nc")
    save(folder / "rain.nc", 1e-5 + 1e-5 * water(), name="pr", units="kg m-2 s-1")
    text = text.replace("models:\n", "models:\n  both: {files: ['north.nc', 'rain.nc'], product: cmip6}\n")
    text += f"  Rain:\n    variable: precipitation_flux\n    references:\n      rain: {rain}\n"
    out = run(parse(text, folder=folder), folder / "out")
    page = report.write_benchmark(out).read_text()
    assert "Not compared at all: lost" in page
    assert "without Rain" in page  # of m, which has no rain
    assert page.count("†</span>") == 1


def test_ilamb3_that_is_not_here_or_stops_costs_no_results(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    with pytest.raises(PlatformError, match="peers-ilamb"):
        run(recipe(folder, "reference.nc"), folder / "out", engine="ilamb3")
    assert not (folder / "out").exists()
    (folder / "python").write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 3\n")
    (folder / "python").chmod(0o755)
    monkeypatch.setenv(engine.VARIABLE, str(folder / "python"))
    out = run(recipe(folder, "reference.nc"), folder / "out", engine="ilamb3")
    (failure,) = json.loads((out / "failures.json").read_text())
    assert failure["why"] == "ilamb3 stopped: out of luck"
    assert (out / "tables" / "scores.parquet").exists()


def test_crates_have_one_node_for_each_id_and_every_part_is_there(folder):
    text = recipe(folder, "reference.nc").text
    text += "  Again:\n    variable: soil_moisture\n    references:\n      r: {files: m.nc, product: cmip6}\n"
    save(folder / "m.nc")
    out = run(parse(text, folder=folder), folder / "out")
    graph = json.loads((out / "ro-crate-metadata.json").read_text())["@graph"]
    ids = [n["@id"] for n in graph]
    assert len(ids) == len(set(ids))
    root = next(n for n in graph if n["@id"] == "./")
    for part in root["hasPart"]:
        assert part["@id"] in ids
        assert part["@id"].startswith("#") or (out / part["@id"]).exists()
    assert root["conformsTo"]["@id"] in ids
    assert root["license"]["@id"] in ids
    run_ = next(n for n in graph if n["@id"] == "#run")
    assert {o["@id"] for o in run_["object"]} <= set(ids)
    assert len(run_["object"]) == 3  # the model, and two references of one name that are different files


def test_names_in_any_script_have_files_of_their_own():
    assert slug("模型 1") == "模型-1"
    assert slug("É3SM_v2") == "é3sm-v2"


def test_threads_that_ask_for_one_thing_get_it_from_one_making():
    made = []
    started = threading.Barrier(4, timeout=10)

    def slow(key):
        made.append(key)
        time.sleep(0.05)
        return object()

    once = Once(slow, 8)

    def ask(_):
        started.wait()
        return once("a")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert made == ["a"]
    assert all(f is found[0] for f in found)
    once.forget()
    assert once("a") is not found[0]


def test_what_could_not_be_made_is_tried_again():
    tries = []

    def make(key):
        tries.append(key)
        if len(tries) == 1:
            raise VadoseError("not yet")
        return key

    once = Once(make, 2)
    with pytest.raises(VadoseError):
        once("a")
    assert once("a") == "a"


def test_a_worker_with_two_threads_gives_what_one_process_gives(folder):
    """Two comparisons of one source at once, by workers that read an older file of the same name before."""
    from distributed import Client, LocalCluster

    save(folder / "m.nc", 100.0 * water(seed=5))
    the = recipe(folder, "m.nc", again="m.nc", other="reference.nc", more="regions: {all: , tropics: }\n")
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        compute(the, client=client)
        save(folder / "new.nc", 100.0 * water(seed=6))
        (folder / "new.nc").replace(folder / "m.nc")
        there = compute(the, client=client)
    here = compute(the)
    assert not there.failures
    assert dask.config.get("scheduler", None) is None
    pd.testing.assert_frame_equal(there.scores, here.scores)


def test_no_path_of_this_machine_is_in_the_crate(folder):
    out = run(recipe(folder, "reference.nc"), folder / "out")
    assert str(folder) not in (out / "ro-crate-metadata.json").read_text()
