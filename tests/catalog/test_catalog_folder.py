"""The static catalog: complete, valid against STAC 1.1 and our schema, the same as the table, searchable offline."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest

from vadose.access import datasets, store, validation
from vadose.access.catalog import open_catalog
from vadose.errors import NotFoundError, UnreadableFileError

CATALOG = Path(__file__).parents[2] / "catalog"
#: What the platform promises to describe, by the words of its own design table.
PROMISED = {
    "smap-l2", "smap-l3", "smap-l3e", "smap-l4", "smap-l4-constants", "smap-sentinel1", "smos-ic", "smos-l2", "ascat-hsaf",
    "amsr2-lprm", "esa-cci-combined", "esa-cci-active", "esa-cci-passive", "c3s-combined", "cygnss-l3", "sentinel1-grd",
    "sentinel1-rtc", "hls-l30", "hls-s30", "ecostress-et", "ecostress-esi", "modis-vegetation", "modis-evapotranspiration",
    "modis-landcover", "grace-mascon", "era5", "era5-land", "gldas-noah", "nldas2-noah", "nldas2-mosaic", "nldas2-vic",
    "nldas3-forcing", "merra2-land", "nwm-retrospective", "cmip6", "cmip6-esgf", "e3sm", "ismn", "uscrn", "ameriflux", "neon",
    "compass-fme", "soilgrids",
}  # fmt: skip


def test_every_promised_data_set_is_described():
    assert set(datasets.table()["datasets"]) >= PROMISED


def test_the_committed_folder_is_what_the_table_writes(tmp_path):
    ids = datasets.write(tmp_path)
    for identifier in ids:
        ours = json.loads((CATALOG / identifier / "collection.json").read_text())
        assert ours == json.loads((tmp_path / identifier / "collection.json").read_text()), (
            f"{identifier} differs from the table: run `vadose catalog write catalog`"
        )
    assert store.folders(CATALOG) == sorted(ids)
    for page in ("index.html", "schemas/vadose-open.schema.json"):
        assert (CATALOG / page).read_text() == (tmp_path / page).read_text(), (
            f"{page}: run `vadose catalog write catalog`"
        )


def test_the_committed_folder_is_valid():
    assert validation.validate_folder(CATALOG) == []


def test_pystac_reads_it_and_finds_every_collection():
    root = pystac.Catalog.from_file(str(CATALOG / "catalog.json"))
    found = {c.id: c for c in root.get_children()}
    assert set(found) == set(datasets.table()["datasets"])
    assert found["smap-l3"].license == "other"
    assert found["era5-land"].extent.spatial.bboxes == [[-180, -90, 180, 90]]


@pytest.mark.parametrize("identifier", sorted(datasets.table()["datasets"]))
def test_each_row_says_what_a_user_needs(identifier):
    entry = datasets.collection(identifier)
    facts = entry["vadose:facts"]
    for key in ("cadence", "latency", "address", "confidence", "units", "grid"):
        assert facts[key], key
    assert "verified_on" in facts
    assert facts["confidence"] in ("high", "medium", "low")
    assert any(link["rel"] == "license" for link in entry["links"])
    assert all(0 <= top <= bottom for top, bottom in facts["layers"])


def test_variables_are_words_of_the_vocabulary():
    from vadose.vocabulary import VARIABLES

    for identifier, entry in datasets.table()["datasets"].items():
        assert set(entry["variables"]) <= set(VARIABLES), identifier


def test_products_named_in_the_table_exist():
    from vadose.products import PRODUCTS

    named = {e["product"] for e in datasets.table()["datasets"].values()} - {None}
    assert named <= set(PRODUCTS)


def test_search_answers_by_variable_place_time_and_word():
    place = open_catalog(CATALOG)
    assert "grace-mascon" not in place.search(variable="soil_moisture").index
    here = place.search(variable="soil_moisture", bbox=(-100, 35, -90, 45), time="2019")
    assert {"smap-l3", "era5-land", "nldas2-noah"} <= set(here.index)
    assert "cgls-ssm1km" not in here.index  # Europe only
    assert "nldas3-forcing" in place.search("forcing").index
    assert "esa-cci-combined" in place.search("soil moisture", time="1980").index
    assert "smap-l3" not in place.search("soil moisture", time="1980").index


def test_an_unknown_collection_answers_with_the_nearest():
    with pytest.raises(NotFoundError, match="smap-l3"):
        open_catalog(CATALOG).collection("smap-l33")


def test_writing_again_keeps_what_was_built(tmp_path):
    datasets.write(tmp_path, ["smap-l3"])
    path = tmp_path / "smap-l3" / "collection.json"
    built = json.loads(path.read_text())
    built["assets"]["data"]["vadose:open"]["eras"] = [{"id": "0" * 16, "references": "./refs/0.parq"}]
    built["vadose:quality"] = {"level": "full"}
    path.write_text(json.dumps(built))
    datasets.write(tmp_path, ["smap-l3"])
    after = json.loads(path.read_text())
    assert after["assets"]["data"]["vadose:open"]["eras"] == built["assets"]["data"]["vadose:open"]["eras"]
    assert after["vadose:quality"] == {"level": "full"}


def test_a_broken_collection_is_named(tmp_path):
    datasets.write(tmp_path, ["smap-l3", "uscrn"])
    path = tmp_path / "uscrn" / "collection.json"
    bad = json.loads(path.read_text())
    del bad["extent"]
    bad["assets"]["data"]["vadose:open"]["reader"] = "carrier-pigeon"
    path.write_text(json.dumps(bad))
    found = validation.validate_folder(tmp_path)
    assert any("uscrn" in text and "extent" in text for text in found)
    assert any("carrier-pigeon" in text for text in found)
    assert not any(text.startswith("smap-l3") for text in found)


def test_a_folder_without_a_catalog_says_so(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"no catalog\.json"):
        open_catalog(tmp_path)
