"""A unified product in a catalog: found, opened, whole; metadata that others can read."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import vadose
from vadose import merge
from vadose.access import store, validation
from vadose.access.catalog import open_catalog
from vadose.errors import DimensionError, StudyError, VadoseInputError
from vadose.study import compute, unified
from vadose.study.model import parse


def product(lazy=False):
    rng = np.random.default_rng(0)
    time, lat, lon = (
        pd.date_range("2015-01-01", periods=800),
        np.arange(40.125, 41, 0.25),
        np.arange(-100.875, -100, 0.25),
    )
    truth = 0.25 + 0.05 * np.cumsum(rng.normal(size=(800, 4, 4)), axis=0) / 30
    cube = xr.DataArray(
        np.stack([truth + rng.normal(0, s, truth.shape) for s in (0.01, 0.02, 0.03)]),
        dims=("product", "time", "lat", "lon"), coords={"product": ["a", "b", "c"], "time": time, "lat": lat, "lon": lon},
    )  # fmt: skip
    return merge.unified(cube.chunk(lat=2) if lazy else cube)


WORDS = {"title": "Unified soil moisture of a square", "description": "Three products merged.", "layer": (0.0, 0.05)}


def test_it_is_found_and_opened_as_it_was(tmp_path):
    made = product(lazy=True)
    home = unified.write(made, tmp_path, "square", license="CC-BY-4.0", **WORDS)
    assert sorted(p.name for p in home.iterdir()) == ["collection.json", "data.zarr", "items.parquet"]
    assert validation.validate_folder(tmp_path) == []
    found = open_catalog(tmp_path).search("unified", variable="soil_moisture", bbox=(-101, 40, -100, 41), time="2016")
    assert list(found.index) == ["square"]
    back = vadose.open("square", catalog=tmp_path)
    assert back.soil_moisture.chunks is not None
    for name in ("soil_moisture", "soil_moisture_standard_error", "weight", "error_sd"):
        np.testing.assert_allclose(back[name], made[name].astype("float32"), rtol=1e-6)
    assert back["product"].values.tolist() == ["a", "b", "c"]
    assert vadose.open("square", catalog=tmp_path, time="2016-02").sizes["time"] == 29


def test_metadata_say_what_it_is(tmp_path):
    home = unified.write(product(), tmp_path, "square", **WORDS)
    ds = xr.open_zarr(home / "data.zarr", consolidated=False)
    assert ds.attrs["Conventions"] == "CF-1.11, ACDD-1.3"
    assert [ds.attrs[f"geospatial_{k}"] for k in ("lon_min", "lat_min", "lon_max", "lat_max")] == [
        -101.0,
        40.0,
        -100.0,
        41.0,
    ]
    assert ds.depth_bnds.values.tolist() == [0.0, 0.05]
    sm = ds.soil_moisture
    assert sm.attrs["standard_name"] == "volume_fraction_of_condensed_water_in_soil"
    assert sm.attrs["grid_mapping"] == "crs"
    assert {"soil_moisture_standard_error", "n_products", "estimate_flag"} <= set(
        sm.attrs["ancillary_variables"].split()
    )
    assert [ds[n].attrs["axis"] for n in ("time", "lat", "lon")] == ["T", "Y", "X"]
    assert json.loads(ds.attrs["vadose_params"])["products"] == ["a", "b", "c"]
    collection = json.loads((home / "collection.json").read_text())
    assert collection["cube:dimensions"]["product"]["values"] == ["a", "b", "c"]
    assert collection["cube:variables"]["soil_moisture"] == {
        "dimensions": ["time", "lat", "lon"], "type": "data", "description": sm.attrs["long_name"], "unit": "m3 m-3"
    }  # fmt: skip
    (item,) = store.read_items(tmp_path, "square")
    assert item["bbox"] == [-101.0, 40.0, -100.0, 41.0]


def test_a_second_entry_stands_beside_the_first_and_an_old_one_is_replaced(tmp_path):
    made = product()
    unified.write(made, tmp_path, "one", **WORDS)
    unified.write(made, tmp_path, "two", **WORDS)
    unified.write(made.isel(time=slice(0, 100)), tmp_path, "one", **WORDS)
    assert sorted(store.read_collections(tmp_path)) == ["one", "two"]
    assert vadose.open("one", catalog=tmp_path).sizes["time"] == 100
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".part", ".old")]


def test_what_cannot_be_written_is_said(tmp_path):
    made = product()
    with pytest.raises(VadoseInputError, match="layer="):
        unified.write(made, tmp_path, "x", title="t", description="d")
    with pytest.raises(VadoseInputError, match="small letters"):
        unified.write(made, tmp_path, "My product", **WORDS)
    with pytest.raises(DimensionError, match="missing lat, lon"):
        unified.write(made.isel(lat=0, lon=0, drop=True), tmp_path, "x", **WORDS)
    with pytest.raises(StudyError, match="no soil moisture has a value"):
        unified.write(made.assign(soil_moisture=made.soil_moisture * np.nan), tmp_path, "x", **WORDS)
    assert not (tmp_path / "catalog.json").exists()


@pytest.mark.parametrize(
    ("lon", "west", "east"),
    [
        (np.arange(0.5, 360), -180, 180),
        (np.arange(200.5, 250), -160, -110),
        (np.arange(170.5, 190), 170, -170),
        (np.array([178.5, 179.5, -179.5, -178.5]), 178, -178),
        (np.arange(-180, 180, 0.25), -180, 180),
        (np.arange(-180, -170.0), -180, -170.5),
        (np.arange(109.5, 99, -1), 99, 110),
        (np.array([10.0]), 10, 10),
    ],
)
def test_the_box_of_longitudes_counted_from_either_end(lon, west, east):
    cells = xr.Dataset(coords={"lon": lon, "lat": np.arange(89.5, 60, -1)})
    assert unified.bounding_box(cells) == (west, 60, east, 90)


def test_sources_that_never_meet_are_told_apart_from_a_fault():
    study = parse(
        "title: t\nperiod: [2015-01-01, 2015-12-31]\nbbox: [0, 0, 1, 1]\nresolution: 1\n"
        "sources: {a: {collection: a}, b: {collection: b}, c: {collection: c}}\n"
    )
    time = pd.date_range("2015-01-01", periods=90)
    values = np.full((3, 90, 1, 1), np.nan)
    for k in range(3):
        values[k, k::3] = 0.2
    coords = {"product": ["a", "b", "c"], "time": time}
    with pytest.raises(StudyError, match="no common day"):
        compute.regional(xr.DataArray(values, dims=("product", "time", "lat", "lon"), coords=coords), study)
