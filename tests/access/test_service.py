"""A catalog folder behind its STAC API: what a build writes is there at once, and opens for who has no folder."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from smap_archive import name_of, smap_like

import vadose
from vadose.access import build, validation
from vadose.access.catalog import open_catalog
from vadose.access.series import build_series
from vadose.errors import NotFoundError, VadoseInputError
from vadose.hub import stacapi


@pytest.fixture
def service(archive, tmp_path, monkeypatch, serving):
    """The archive of twelve days, built, served; readers have a cache folder of their own and no copy of the catalog."""
    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(stacapi, "PAUSE", 0.0)
    build.build(archive.catalog, archive.id)
    build_series(archive.catalog, archive.id, ["soil_moisture"])
    app = stacapi.BehindProxy(stacapi.application(stacapi.Folder(archive.catalog).load(), "/services/stac"))
    with serving(app) as port:
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}/services/stac", archive=archive)


def test_a_built_collection_opens_through_the_service(service):
    ds = vadose.open("days", catalog=service.url, time="2017-01-03/2017-01-05")
    assert ds.sizes["time"] == 3
    np.testing.assert_array_equal(ds.soil_moisture[0].values, service.archive.truth[2])


def test_intake_stac_finds_and_opens_what_is_served(service):
    """An API has no links to its collections, which is what pystac and intake-stac look for."""
    from vadose.products.intake_front import open_vadose_stac

    catalog = open_vadose_stac(service.url)
    assert list(catalog) == ["days"]
    ds = catalog["days"].get_asset("references-0").to_dask()
    np.testing.assert_array_equal(ds.soil_moisture[4].values, service.archive.truth[4])


@pytest.mark.parametrize(("lat", "lon"), [("lat", "lon"), ("latitude", "longitude")])
def test_records_at_points_come_through_the_service(service, tmp_path, lat, lon):
    truth = np.random.default_rng(1).random((6, 20, 30)).astype("f4")
    for k in range(2):
        days = np.datetime64("2020-01-01", "ns") + np.arange(3 * k, 3 * k + 3) * np.timedelta64(1, "D")
        ds = xr.Dataset({"sm": (("time", lat, lon), truth[3 * k : 3 * k + 3])}, {"time": days, lat: 40 - np.arange(20.0), lon: 5 + np.arange(30.0)})  # fmt: skip
        ds.to_netcdf(
            tmp_path / f"part{k}.nc", engine="h5netcdf", encoding={"sm": {"chunksizes": (1, 10, 10), "zlib": True}}
        )
    build.add(service.archive.catalog, "grid", {"source": str(tmp_path / "part*.nc"), "format": "netcdf4"})
    assert build.build(service.archive.catalog, "grid").indexed == 2
    out = vadose.extract_points("grid", [33.1, 21.0], [16.2, 34.0], variables=["sm"], catalog=service.url)
    # 40 - 33.1 = 6.9 and 16.2 - 5 = 11.2: the nearest cell is row 7, column 11; the other is the last corner.
    np.testing.assert_array_equal(out.sm[:, 0].values, truth[:, 7, 11])
    np.testing.assert_array_equal(out.sm[:, 1].values, truth[:, 19, 29])


def test_the_copy_for_records_opens_through_the_service(service):
    ds = vadose.open("days", catalog=service.url, purpose="series")
    np.testing.assert_array_equal(
        ds.soil_moisture[:, 7, 11].values, [service.archive.truth[d][7, 11] for d in range(12)]
    )


def test_what_is_built_while_it_runs_is_seen_at_once(service):
    archive = service.archive
    before = open_catalog(service.url).collection("days")["version"]
    smap_like(archive.root / name_of(12), 12)
    build.build(archive.catalog, archive.id)
    place = open_catalog(service.url)
    assert place.collection("days")["version"] != before
    assert len(place.items("days")) == 13
    assert vadose.open("days", catalog=service.url).sizes["time"] == 13
    build.rollback(archive.catalog, archive.id)
    os.utime(archive.catalog / "days" / "collection.json")
    assert open_catalog(service.url).collection("days")["version"] == before
    assert vadose.open("days", catalog=service.url).sizes["time"] == 12


def test_a_copy_of_a_region_answers_questions_inside_it_and_only_those(service, tmp_path):
    days = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(1, "D")
    truth = np.random.default_rng(2).random((4, 20, 30)).astype("f4")
    ds = xr.Dataset({"sm": (("time", "lat", "lon"), truth)}, {"time": days, "lat": 40 - np.arange(20.0), "lon": 5 + np.arange(30.0)})  # fmt: skip
    ds.to_netcdf(tmp_path / "all.nc", engine="h5netcdf", encoding={"sm": {"chunksizes": (1, 10, 10), "zlib": True}})
    catalog = service.archive.catalog
    build.add(catalog, "grid", {"source": str(tmp_path / "all.nc"), "format": "netcdf4"})
    build.build(catalog, "grid")
    build_series(catalog, "grid", ["sm"], bbox=(10, 25, 20, 35))
    inside = vadose.open("grid", catalog=service.url, bbox=(12, 30, 14, 32))
    assert json.loads(inside.attrs["vadose_provenance"])["purpose"] == "series"
    np.testing.assert_array_equal(
        inside.sm.values, truth[:, 8:11, 7:10]
    )  # 32..30 N are rows 8..10, 12..14 E columns 7..9
    outside = vadose.open("grid", catalog=service.url, bbox=(8, 30, 11, 32))
    assert json.loads(outside.attrs["vadose_provenance"])["purpose"] == "map"
    np.testing.assert_array_equal(outside.sm.values, truth[:, 8:11, 3:7])
    with pytest.raises(NotFoundError, match=r"covers \[10"):
        vadose.open("grid", catalog=service.url, bbox=(8, 30, 11, 32), purpose="series")
    with pytest.raises(VadoseInputError, match="no cell lies in"):
        build_series(catalog, "grid", ["sm"], bbox=(100, 25, 120, 35))
    assert validation.validate_folder(catalog) == []


@pytest.mark.parametrize(
    "path", ["days/recipe.yaml", "days/.build/journal.sqlite", "days/refs/../recipe.yaml", "days/refs/%2e%2e/%2e%2e/catalog.json", "none/refs/x"]
)  # fmt: skip
def test_nothing_but_references_and_copies_is_handed_out(service, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{service.url}/references/{path}")
    assert caught.value.code == 404
