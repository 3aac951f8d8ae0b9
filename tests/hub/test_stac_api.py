"""The catalog as a real STAC API on loopback, asked with pystac-client; and its page for people."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pystac_client
import pytest

from vadose.access import datasets, store
from vadose.access.catalog import open_catalog
from vadose.access.page import browse_page
from vadose.hub.stacapi import BehindProxy, Folder, application


def item(k):
    box = [-100.0 + k, 35.0, -99.0 + k, 36.0]
    west, south, east, north = box
    stamp = f"{np.datetime64('2017-01-01') + np.timedelta64(k, 'D')}T00:00:00Z"
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": f"day-{k:02d}", "collection": "uscrn", "bbox": box,
        "geometry": {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]]},
        "properties": {"datetime": stamp, "start_datetime": stamp, "end_datetime": stamp}, "assets": {"data": {"href": f"/x/{k}.csv", "roles": ["data"]}},
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory, serving):
    folder = tmp_path_factory.mktemp("catalog")
    datasets.write(folder)
    store.write_collection(folder / "uscrn", datasets.collection("uscrn"), [item(k) for k in range(25)])
    with serving(BehindProxy(application(Folder(folder).load(), "/services/stac"))) as port:
        yield f"http://127.0.0.1:{port}/services/stac"


def test_pystac_client_finds_every_collection(api):
    client = pystac_client.Client.open(api)
    assert {c.id for c in client.get_collections()} == set(datasets.table()["datasets"])
    assert client.get_collection("smap-l3").license == "other"
    assert client.conforms_to("ITEM_SEARCH")
    assert client.conforms_to("COLLECTIONS")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_search_pages_through_and_repeats_nothing(api, method):
    found = list(pystac_client.Client.open(api).search(collections=["uscrn"], limit=7, method=method).items_as_dicts())
    assert sorted(i["id"] for i in found) == [f"day-{k:02d}" for k in range(25)]


def test_search_narrows_by_place_time_and_shape(api):
    client = pystac_client.Client.open(api)
    ids = lambda **q: sorted(i["id"] for i in client.search(collections=["uscrn"], **q).items_as_dicts())  # noqa: E731
    assert ids(datetime="2017-01-03/2017-01-05") == ["day-02", "day-03", "day-04"]
    assert ids(bbox=[-100.0, 35.2, -99.5, 35.4]) == ["day-00"]
    point = {"type": "Point", "coordinates": [-90.5, 35.5]}
    assert ids(intersects=point) == ["day-09"]
    assert ids(ids=["day-20"]) == ["day-20"]
    assert ids(datetime="1990") == []


def test_vadose_asks_the_api_like_a_folder(api):
    place = open_catalog(api)
    assert "smap-l3" in place.search(variable="soil_moisture", bbox=(-100, 35, -90, 45)).index
    assert [i["id"] for i in place.items("uscrn", time="2017-01-02/2017-01-03")] == ["day-01", "day-02"]


def test_what_is_not_there_is_404_with_a_reason(api):
    for path in ("/collections/none", "/collections/uscrn/items/none", "/references/uscrn/..%2F..%2Fcatalog.json"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(api + path)
        assert caught.value.code == 404


def test_documents_of_the_api_pass_the_core_schema(api):
    from vadose.access.validation import core_errors

    for path in ("/collections/era5-land", "/collections/uscrn/items/day-03"):
        document = json.loads(urllib.request.urlopen(api + path).read())
        assert core_errors(document) == []


def test_every_link_of_the_first_document_answers(api):
    links = json.loads(urllib.request.urlopen(api).read())["links"]
    asked = {link["href"] for link in links if link.get("method", "GET") == "GET"}
    assert len(asked) >= 6
    for href in asked:
        assert urllib.request.urlopen(href).status == 200, href


def test_the_page_about_the_api_needs_nothing_from_outside(api):
    """A classroom without a line sees it: every address in it is this service's own, and no script runs."""
    page = urllib.request.urlopen(api + "/api.html").read().decode()
    named = re.findall(r"""(?:href|src)=["']([^"']+)|url\(([^)]+)""", page)
    assert named
    assert all("".join(address).startswith(api) for address in named), named
    assert "<script" not in page
    document = json.loads(urllib.request.urlopen(api + "/api").read())
    for path in document["paths"]:
        assert path.removeprefix("/services/stac") in page
    assert "uscrn/items?limit=2" in page, "shown with a collection that has items"


def test_the_outside_suite_for_stac_apis_finds_no_fault(api):
    """stac-api-validator: core, collections, features and item search, by GET and POST, right and wrong questions."""
    python = Path(__file__).parents[2] / ".side" / "stac_api_validator" / "bin" / "python"
    if not python.exists():
        pytest.skip("stac-api-validator is not installed: `bash tests/deploy/install` makes its side environment")
    square = {"type": "Polygon", "coordinates": [[[-100, 35], [-90, 35], [-90, 36], [-100, 36], [-100, 35]]]}
    suite = Path(__file__).with_name("stac_api_suite.py")
    done = subprocess.run(
        [python, suite, api, "uscrn", json.dumps(square)], capture_output=True, text=True, timeout=240
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert re.search(r"Errors: none", said), said[-6000:]


def test_questions_that_make_no_sense_are_refused(api):
    shape = '{"type":"Point","coordinates":[0,0]}'
    for question, words in (
        (f"bbox=0,0,1,1&intersects={urllib.parse.quote(shape)}", "leave one out"),
        ("bbox=100,1,105,0", "west,south,east,north"),
        ("intersects=nothing", "no GeoJSON"),
        (f"intersects={urllib.parse.quote(json.dumps({'type': 'Heart'}))}", "no GeoJSON"),
        ("token=seven", "the link `next`"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{api}/search?{question}")
        assert caught.value.code == 400
        assert words in caught.value.read().decode()


def test_a_box_over_the_date_line_is_two_boxes(api):
    found = json.loads(urllib.request.urlopen(f"{api}/search?collections=uscrn&limit=50&bbox=170,30,-98.5,40").read())
    # Items are one degree wide from 100 W on: those of 100 to 99 W and 99 to 98 W touch the western side.
    assert sorted(i["id"] for i in found["features"]) == ["day-00", "day-01"]


def test_the_page_lists_every_collection_and_runs_no_foreign_text(api):
    page = urllib.request.urlopen(api + "/browse").read().decode()
    assert page.count("<article") == len(datasets.table()["datasets"])
    evil = {
        "x": {
            **datasets.collection("uscrn"),
            "title": "<script>alert(1)</script>",
            "description": '"><img src=x onerror=alert(1)>',
        }
    }
    assert "<script>alert" not in browse_page(evil, {})
    assert "<img" not in browse_page(evil, {})
