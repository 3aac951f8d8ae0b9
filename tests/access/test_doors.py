"""Other doors to the same data: xarray's engine, intake-stac with today's intake, pystac, the command line."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import xarray as xr
from click.testing import CliRunner
from smap_archive import name_of, smap_like

from vadose.access import build
from vadose.cli.catalog import command


@pytest.fixture
def built(archive):
    build.build(archive.catalog, archive.id)
    return archive


def test_xarray_opens_a_collection_by_its_id(built, monkeypatch):
    ds = xr.open_dataset("days", engine="vadose", catalog=str(built.catalog), time="2017-01-02/2017-01-03")
    assert ds.sizes["time"] == 2
    np.testing.assert_array_equal(ds.soil_moisture[0].values, built.truth[1])
    monkeypatch.setenv("VADOSE_CATALOG", str(built.catalog))
    assert xr.open_dataset("vadose:days").sizes["time"] == 12
    assert "soil_moisture" not in xr.open_dataset("vadose:days", engine="vadose", drop_variables=["soil_moisture"])


def test_intake_stac_navigates_the_catalog_and_opens_references(built):
    from vadose.products.intake_front import open_vadose_stac

    catalog = open_vadose_stac(built.catalog)
    assert "days" in list(catalog)
    collection = catalog["days"]
    assets = pystac.Collection.from_file(str(built.catalog / "days" / "collection.json")).assets
    assert {"references-0", "icechunk-0"} <= set(assets)
    for asset in ("references-0", "icechunk-0"):
        ds = collection.get_asset(asset).to_dask()
        np.testing.assert_array_equal(ds.soil_moisture[4].values, built.truth[4])


def test_intake_finds_the_front_by_its_entry_point(built):
    import importlib.metadata

    names = {e.name for e in importlib.metadata.entry_points(group="intake.drivers")}
    assert {"vadose_stac", "vadose_virtual"} <= names


def test_pystac_client_and_stac_geoparquet_read_the_items(built):
    import pyarrow.parquet as pq
    from stac_geoparquet.arrow import stac_table_to_items

    items = list(stac_table_to_items(pq.read_table(built.catalog / "days" / "items.parquet")))
    assert len(items) == 12
    assert pystac.Item.from_dict(items[0]).assets["data"].href.endswith(name_of(0))


def run(*words):
    return CliRunner().invoke(command, [str(w) for w in words])


def test_a_folder_of_files_is_described_built_checked_and_rolled_back(tmp_path):
    for day in range(4):
        smap_like(tmp_path / "files" / name_of(day), day)
    catalog = tmp_path / "catalog"
    done = run("add", "mine", str(tmp_path / "files" / "*.h5"), "--catalog", catalog, "--format", "hdf5",
               "--group", "Soil_Moisture_Retrieval_Data_AM", "--time-pattern", r"_(\d{8})_R\d+_(\d{3})", "--dims", "y,x")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "vadose catalog build mine" in done.output
    done = run("build", "mine", "--catalog", catalog)
    assert done.exit_code == 0, done.output
    assert "4 indexed in 1 eras" in done.output
    assert run("diff", "mine", "--catalog", catalog).exit_code == 0
    assert run("validate", "mine", "--catalog", catalog, "--level", "full").exit_code == 0
    assert run("validate", "--catalog", catalog).exit_code == 0
    smap_like(tmp_path / "files" / name_of(4), 4)
    (tmp_path / "files" / name_of(5)).write_bytes(b"nothing")
    assert run("diff", "mine", "--catalog", catalog).exit_code == 1
    done = run("update", "mine", "--catalog", catalog)
    assert done.exit_code == 3  # one file was set aside
    assert "set aside" in done.output
    assert run("rollback", "mine", "--catalog", catalog).exit_code == 0
    assert run("series", "mine", "--catalog", catalog, "--variable", "soil_moisture").exit_code == 0
    assert run("publish", "mine", tmp_path / "public", "--catalog", catalog).exit_code == 0
    entry = json.loads((tmp_path / "public" / "mine" / "collection.json").read_text())
    assert entry["assets"]["data"]["vadose:open"]["eras"][0]["references"].startswith(str(tmp_path / "public"))


def test_the_table_is_written_by_the_command(tmp_path):
    done = run("write", tmp_path, "--only", "smap-l3", "--only", "ismn")
    assert done.exit_code == 0
    assert sorted(p.parent.name for p in tmp_path.glob("*/collection.json")) == ["ismn", "smap-l3"]


def test_opening_a_century_reads_no_item_but_ids_and_etags(tmp_path):
    """36,500 items of one collection: sources between two times come in order, without a document each."""
    from vadose.access import store
    from vadose.access.catalog import Catalog

    days = 36_500
    stamps = [f"{np.datetime64('1950-01-01') + np.timedelta64(k, 'D')}T00:00:00Z" for k in range(days)]
    template = {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "collection": "x", "bbox": [0.0, 0.0, 1.0, 1.0],
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}, "assets": {"data": {"href": "/x", "roles": ["data"]}},
        "links": [],
    }  # fmt: skip
    items = [{**template, "id": f"{k:05d}", "properties": {"datetime": s, "start_datetime": s, "end_datetime": s, "vadose:etag": f"e{k}"}} for k, s in enumerate(stamps)]  # fmt: skip
    store.write_collection(tmp_path / "x", {"type": "Collection", "id": "x", "links": []}, items[::-1])
    place = Catalog(str(tmp_path), {"x": {}})
    found = place.sources("x", time="1960-01-01/1960-01-03")
    # 1950 to 1959 hold two leap days: 3,652 days go before.
    assert found == [{"id": f"{k:05d}", "properties": {"vadose:etag": f"e{k}"}} for k in (3652, 3653, 3654)]
    assert [s["id"] for s in place.sources("x")] == [f"{k:05d}" for k in range(1000)]
