"""Questions that make no sense, or that nothing answers: each is refused by name, none opens an empty or another Dataset."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import vadose
from vadose.access import build, datasets, files, quality, store
from vadose.access.catalog import Catalog, described, halves, region, span
from vadose.errors import NotFoundError, PlatformError, UnreadableFileError, VadoseInputError


def grids(folder, days):
    """A file a day on a regular grid of 10 x 12 cells, 30 to 39 N and 100 to 89 W."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        moment = pd.Timestamp("2017-01-01") + pd.Timedelta(days=day)
        values = np.full((1, 10, 12), 0.1 + day / 100, "float32")
        ds = xr.Dataset({"sm": (("time", "lat", "lon"), values)}, {"time": [moment.to_datetime64()], "lat": np.arange(30.0, 40.0), "lon": np.arange(-100.0, -88.0)})  # fmt: skip
        ds.to_netcdf(folder / f"sm_{moment:%Y%m%d}.nc", engine="h5netcdf")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Days 0, 1, 2 and 6 to 9 of January 2017 as one cube called `grid`."""
    root = tmp_path_factory.mktemp("asked")
    grids(root / "files", [0, 1, 2, 6, 7, 8, 9])
    build.add(root / "catalog", "grid", {"source": str(root / "files" / "*.nc"), "format": "netcdf4"})
    assert build.build(root / "catalog", "grid").indexed == 7
    return root / "catalog"


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        ({"bbox": (-95, 39, -90, 31)}, VadoseInputError, "south 39 lies above its north 31"),
        ({"bbox": (31, -95, 39, -90)}, VadoseInputError, "not latitude first"),
        ({"bbox": (-95, 31, -90)}, VadoseInputError, "four numbers"),
        ({"bbox": "-95,31,-90,39"}, VadoseInputError, "four numbers"),
        ({"bbox": (np.nan, 31, -90, 39)}, VadoseInputError, "west, south, east, north"),
        ({"bbox": (10, 31, 12, 33)}, NotFoundError, "its places lie within -100, 30, -89, 39"),
        ({"time": "1999"}, NotFoundError, "nothing for time='1999'"),
        ({"time": "2017-01-04/2017-01-05"}, NotFoundError, "7 steps from 2017-01-01"),
        ({"time": "last year"}, VadoseInputError, "not understood"),
        ({"time": ("2017", "2018", "2019")}, VadoseInputError, "not understood"),
        ({"time": ("2018", "2017")}, VadoseInputError, "ends before it starts"),
        ({"purpose": "timeseries"}, VadoseInputError, "allowed: auto, map, series"),
        ({"purpose": "series"}, NotFoundError, "vadose catalog series grid"),
        ({"variables": ["sn"]}, NotFoundError, "did you mean 'sm'"),
        ({"variables": "sn"}, NotFoundError, "did you mean 'sm'"),
        ({"where": {"cmip6:source_id": "A"}}, VadoseInputError, "one cube"),
    ],
)
def test_a_wrong_question_is_refused_with_what_is_right(place, question, error, words):
    with pytest.raises(error, match=words):
        vadose.open("grid", catalog=str(place), **question)


@pytest.mark.parametrize(
    ("time", "days"),
    [
        (2017, 7),
        (pd.Timestamp("2017-01-02"), 1),
        (np.datetime64("2017-01-02"), 1),
        (datetime.date(2017, 1, 2), 1),
        ((datetime.date(2017, 1, 2), np.datetime64("2017-01-07")), 3),
        (["2017-01-02", "2017-01-07"], 3),
        ("2017-01-02T00:00:00Z/2017-01-07T00:00:00Z", 3),
        (slice("2017-01-08", None), 3),
        ("../2017-01-02", 2),
    ],
)
def test_times_of_every_usual_kind_are_understood(place, time, days):
    assert vadose.open("grid", catalog=str(place), time=time).sizes["time"] == days


def test_a_time_with_a_zone_is_taken_to_utc():
    assert span("2017-01-02T01:00:00+02:00")[0] == pd.Timestamp("2017-01-01T23:00")


def test_one_variable_may_be_named_without_a_list(place):
    assert list(vadose.open("grid", catalog=str(place), variables="sm").data_vars) == ["sm"]


def test_a_box_over_the_date_line_is_both_sides_of_it_everywhere():
    assert halves([170.0, 0.0, -170.0, 1.0]) == [[170.0, 0.0, 180.0, 1.0], [-180.0, 0.0, -170.0, 1.0]]
    assert region((190, 0, 200, 1)) == (-170.0, 0.0, -160.0, 1.0)
    assert region((0, -90, 360, 90)) == (-180.0, -90.0, 180.0, 90.0)
    place = Catalog("", {"fiji": {"extent": {"spatial": {"bbox": [[176, -20, 179, -15]]}, "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]}}}})  # fmt: skip
    assert list(place.search(bbox=(170, -25, -170, 0)).index) == ["fiji"]
    assert list(place.search(bbox=(-170, -25, 170, 0)).index) == []


def test_an_archive_that_this_catalog_lacks_is_told_apart_from_a_wrong_name(place):
    with pytest.raises(NotFoundError, match="vadose catalog write FOLDER --only smap-l3"):
        vadose.open("smap-l3", catalog=str(place))
    with pytest.raises(NotFoundError, match="unknown collection 'gird': did you mean 'grid'"):
        vadose.open("gird", catalog=str(place))


def test_what_is_not_indexed_says_the_first_step_that_leads_there(tmp_path):
    ways = {"smap-l3": "build smap-l3`, or a copy", "ismn": "download what you need", "hls-l30": "--source SEARCH", "modis-landcover": "says why"}  # fmt: skip
    datasets.write(tmp_path, list(ways))
    for identifier, words in ways.items():
        with pytest.raises(NotFoundError, match=words):
            vadose.open(identifier, catalog=str(tmp_path))
    assert set(ways) <= set(described().collections)


def test_the_engine_names_the_options_it_has(place):
    with pytest.raises(TypeError, match=r"no option 'tiem'.*it takes .*time, bbox"):
        xr.open_dataset("grid", engine="vadose", catalog=str(place), tiem="2017")


def test_references_that_are_gone_say_that_they_are_built_again(tmp_path):
    grids(tmp_path / "files", [0, 1])
    build.add(tmp_path / "catalog", "g", {"source": str(tmp_path / "files" / "*.nc"), "format": "netcdf4"})
    build.build(tmp_path / "catalog", "g")
    (refs,) = (tmp_path / "catalog" / "g" / "refs").glob("*.parq")
    refs.rename(refs.with_suffix(".lost"))
    with pytest.raises(UnreadableFileError, match="build it again"):
        vadose.open("g", catalog=str(tmp_path / "catalog"))


def test_a_source_that_is_none_changes_nothing(tmp_path):
    """A slip in --source must not leave a collection that points to nowhere."""
    grids(tmp_path / "files", [0, 1])
    build.add(tmp_path / "catalog", "g", {"source": str(tmp_path / "files" / "*.nc"), "format": "netcdf4"})
    build.build(tmp_path / "catalog", "g")
    recipe = (tmp_path / "catalog" / "g" / "recipe.yaml").read_text()
    for wrong, words in (("nowhere/*.nc", "there is no folder"), ("files", "nothing matches")):
        with pytest.raises(NotFoundError, match=words):
            build.build(tmp_path / "catalog", "g", source=str(tmp_path / wrong / "x*.nc"))
    assert (tmp_path / "catalog" / "g" / "recipe.yaml").read_text() == recipe
    assert not quality.diff(tmp_path / "catalog", "g").any
    with pytest.raises(VadoseInputError, match="is a folder; say which of its files"):
        build.add(tmp_path / "catalog", "h", {"source": str(tmp_path / "files"), "format": "netcdf4"})


def scene(k, href, **more):
    box = [10.0 + k, 50.0, 10.5 + k, 50.5]
    ring = [[box[0], 50.0], [box[2], 50.0], [box[2], 50.5], [box[0], 50.5], [box[0], 50.0]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"scene-{k}", "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": box,
        "properties": {"datetime": f"2020-05-0{k + 1}T05:06:07.123456Z", "updated": "2020-06-01T00:00:00Z", **more},
        "assets": {"vv": {"href": href, "type": "image/tiff; application=geotiff"}}, "links": [],
    }  # fmt: skip


def test_items_of_others_that_were_written_anew_are_taken_in_anew(tmp_path):
    """The same ids with other addresses, or the same addresses with other contents: `diff` tells it and `update` sees it."""
    source = tmp_path / "scenes.json"

    def write(*features):
        source.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))

    datasets.write(tmp_path / "catalog", ["sentinel1-rtc"])
    again = lambda: build.build(tmp_path / "catalog", "sentinel1-rtc")  # noqa: E731
    write(scene(0, "https://old.example/0.tif"), scene(1, "https://old.example/1.tif"))
    assert build.build(tmp_path / "catalog", "sentinel1-rtc", source=str(source)).changed
    assert not again().changed, "nothing was written anew"
    assert not quality.diff(tmp_path / "catalog", "sentinel1-rtc").any

    write(scene(0, "https://new.example/0.tif"), scene(1, "https://old.example/1.tif"))
    found = quality.diff(tmp_path / "catalog", "sentinel1-rtc")
    assert (found.new, found.missing) == (["https://new.example/0.tif"], ["https://old.example/0.tif"])
    assert again().changed
    hrefs = [i["assets"]["vv"]["href"] for i in store.read_items(tmp_path / "catalog", "sentinel1-rtc")]
    assert hrefs == ["https://new.example/0.tif", "https://old.example/1.tif"]

    write(scene(0, "https://new.example/0.tif", updated="2020-07-01T00:00:00Z"), scene(1, "https://old.example/1.tif"))
    assert quality.diff(tmp_path / "catalog", "sentinel1-rtc").replaced == ["https://new.example/0.tif"]
    assert again().changed
    assert not again().changed
    assert files.rewritten([scene(0, "a")], [scene(0, "a", datetime="2021-05-01T00:00:00Z", start_datetime="2021-05-01T00:00:00Z")]) == ["a"]  # fmt: skip


def test_models_that_hold_the_same_times_are_not_mixed(tmp_path):
    """Files beside each other with no word on what must be alike: five models in one time axis was what came."""
    for model in ("A", "B"):
        ds = xr.Dataset({"mrsos": ("time", np.arange(3.0))}, {"time": pd.date_range("2017-01-01", periods=3)})
        ds.to_netcdf(tmp_path / f"mrsos_{model}.nc", engine="h5netcdf")
    entry = {
        "type": "Collection", "id": "models", "description": "", "license": "other", "links": [],
        "extent": {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [["2017-01-01T00:00:00Z", None]]}},
        "assets": {"data": {"href": ".", "vadose:open": {"version": 1, "reader": "netcdf", "product": None}}},
    }  # fmt: skip
    made = [
        store.item(entry, f"mrsos_{m}", ("2017-01-01T00:00:00Z", "2017-01-03T00:00:00Z"), {"model": m}, {"data": {"href": str(tmp_path / f"mrsos_{m}.nc"), "roles": ["data"]}})
        for m in ("A", "B")
    ]  # fmt: skip
    store.write_collection(tmp_path / "models", entry, made)
    store.write_root(tmp_path, ["models"], title="", description="")
    with pytest.raises(VadoseInputError, match="would be mixed; choose with where"):
        vadose.open("models", catalog=str(tmp_path))
    assert vadose.open("models", catalog=str(tmp_path), where={"model": "B"}).sizes["time"] == 3
    with pytest.raises(NotFoundError, match="unknown value of model 'C'"):
        vadose.open("models", catalog=str(tmp_path), where={"model": "C"})
    with pytest.raises(NotFoundError, match="unknown property of the items of models 'source'"):
        vadose.open("models", catalog=str(tmp_path), where={"source": "B"})


def test_text_archives_are_cut_to_the_time_that_was_asked_for(tmp_path):
    """A station's file holds years; whoever asks for May gets May."""
    header = "TEST   NET  ST   40.00000  -97.00000  400.0 0.05 0.05 PROBE"
    hours = pd.date_range("2017-04-01", "2017-07-01", freq="h")
    lines = [header, *(f"{t:%Y/%m/%d %H:%M} 0.2500 G M" for t in hours)]
    folder = tmp_path / "TEST" / "ST"
    folder.mkdir(parents=True)
    (folder / "TEST_NET_ST_sm_0.050000_0.050000_PROBE_20170401_20170701.stm").write_text("\n".join(lines) + "\n")
    datasets.write(tmp_path / "catalog", ["ismn"])
    build.build(tmp_path / "catalog", "ismn", source=str(tmp_path / "TEST"))
    may = vadose.open("ismn", catalog=str(tmp_path / "catalog"), time="2017-05")
    assert may.sizes["time"] == 31 * 24
    with pytest.raises(NotFoundError, match="nothing for time='1999'"):
        vadose.open("ismn", catalog=str(tmp_path / "catalog"), time="1999")


def test_publishing_to_where_one_may_not_write_says_so(place, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PlatformError, match="not published to"):
        quality.publish(place, "grid", str(tmp_path / "file"))
