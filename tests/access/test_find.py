"""`vadose catalog list|search|show`: what a newcomer types first, and what it answers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from vadose.access import build, datasets
from vadose.access.catalog import Catalog
from vadose.cli.catalog import command
from vadose.errors import NotFoundError, VadoseInputError


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """Runs a command as on a fresh installation: no catalog named, no demo world written."""
    monkeypatch.delenv("VADOSE_CATALOG", raising=False)
    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "cache"))
    return lambda *words: CliRunner().invoke(command, [str(w) for w in words])


def test_a_fresh_installation_lists_every_archive_and_writes_nothing(ask, tmp_path):
    done = ask("list")
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert set(datasets.table()["datasets"]) <= set(rows)
    for word in (
        "SMAP L3 radiometer daily, 36 km",
        "Earthdata token (free)",
        " daily ",
        "NASA Earth science data policy",
    ):
        assert word in rows["smap-l3"]
    assert "registration, own download" in rows["ismn"]
    assert f"{len(rows) - 2} of {len(rows) - 2} collections" in done.stderr  # all lines but the head and its rule
    assert not (tmp_path / "cache").exists()


def test_words_variable_time_and_region_narrow_a_search(ask):
    def ids(*words):
        return [row["id"] for row in json.loads(ask("search", *words, "--json").stdout)]

    assert ids("root", "zone") == sorted(ids("root zone"))
    assert "smap-l4" in ids("root", "zone")
    assert "smap-l3" not in ids("root", "zone")
    everywhere = ids("--variable", "soil_moisture", "--time", "2019")
    in_iowa = ids("--variable", "soil_moisture", "--time", "2019", "--bbox=-96,40,-90,44")
    assert {"smap-l3", "nldas2-noah"} <= set(in_iowa)
    assert "cygnss-l3" in set(everywhere) - set(in_iowa)  # its orbits stay within 38 degrees of the equator
    assert "smap-l3" not in ids("--variable", "soil_moisture", "--time", "1980/1990")


def test_json_says_what_the_table_says(ask):
    (row,) = json.loads(ask("search", "smos-ic", "--json").stdout)
    entry = datasets.table()["datasets"]["smos-ic"]
    assert row["title"] == entry["title"]
    assert row["cadence"] == entry["cadence"]
    assert row["variables"] == entry["variables"]
    assert row["license"] == datasets.table()["licenses"][entry["license"]]["title"]


def test_nothing_found_says_which_word_and_what_is_near(ask):
    done = ask("search", "smpa", "moisture")
    assert done.exit_code == 1
    assert "no collection mentions 'smpa': did you mean smap" in done.stderr
    assert "'moisture'" not in done.stderr
    assert ask("search", "qqqqqqqq", "--json").stdout.strip() == "[]"


def test_wrong_names_are_answered_with_near_ones(ask):
    done = ask("search", "--variable", "soil_moistur")
    assert isinstance(done.exception, NotFoundError)
    assert "did you mean 'soil_moisture'" in str(done.exception)
    assert "did you mean 'smap-l3'" in str(ask("show", "smapl3").exception)
    assert isinstance(ask("search", "--time", "yesterday").exception, VadoseInputError)


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "10,0,-10,5", "0,50,10,40", "0,-100,10,40"])
def test_a_wrong_box_says_how_one_is_written(ask, tmp_path, box):
    for words in (("search",), ("add", "x", "/data/*.nc", "--catalog", tmp_path)):
        done = ask(*words, f"--bbox={box}")
        assert done.exit_code == 2
        assert "west" in done.stderr
    assert not (tmp_path / "x").exists()


def test_one_data_set_is_shown_whole_with_the_way_in(ask):
    text = ask("show", "smap-l3").stdout
    for word in ("0 to 0.05 m", "36 km", "2019-06-20 to 2019-07-22", "https://doi.org/10.5067/4XXOGX0OOW1S", "not checked against the archive itself",
                 "vadose catalog write FOLDER --only smap-l3", "vadose catalog build smap-l3 --catalog FOLDER"):  # fmt: skip
        assert word in text
    assert json.loads(ask("show", "smap-l3", "--json").stdout) == datasets.collection("smap-l3")


@pytest.mark.parametrize("identifier", sorted(datasets.table()["datasets"]))
def test_the_way_in_is_one_that_exists(ask, tmp_path, identifier):
    """What `show` tells to type is known to the program: recipes that can be built, readers and products that are there."""
    import re

    text = ask("show", identifier).stdout.split("to open it:")[1]
    if re.search(r"vadose catalog build (\S+)", text):
        steps = datasets.recipe(identifier)
        assert steps is not None
        assert steps.get("source") or "--source PATH" in text or f"--source '{steps['search']}" in text
    if "vadose.open" in text and "build" not in text:
        how = datasets.collection(identifier)["assets"]["data"]["vadose:open"]
        assert how["reader"] in ("zarr", "icechunk")
    assert text.strip()


def test_ones_own_catalog_is_looked_into_and_tells_what_opens(ask, archive):
    folder = archive.catalog
    assert "not indexed yet" in ask("show", archive.id, "--catalog", folder).stdout
    build.build(folder, archive.id)
    text = ask("show", archive.id, "--catalog", folder).stdout
    assert f'vadose.open("{archive.id}", catalog="{folder}")' in text
    done = ask("list", "--catalog", folder)
    assert f"1 of 1 collections in {folder}" in done.stderr


def test_near_words_come_from_the_collections_themselves():
    place = Catalog("", {"x": {"title": "Peat depth", "summaries": {"vadose:variables": ["peat_depth"]}}})
    assert {word: near[:1] for word, near in place.near("peat dpeth lava").items()} == {"dpeth": ["depth"], "lava": []}


def test_the_page_puts_first_what_opens_and_tells_the_way_to_the_rest():
    import re

    from vadose.access.page import browse_page

    page = browse_page(
        {i: datasets.collection(i) for i in ("ameriflux", "era5", "smap-l3", "modis-landcover")}, {"smap-l3": 12}
    )
    lines = re.findall(r"<code>(.*?)</code>", page)
    assert lines == [
        "vadose.open(&quot;era5&quot;)",
        "vadose.open(&quot;smap-l3&quot;)",
        "vadose catalog build ameriflux --source FOLDER",
        "vadose catalog show modis-landcover",
    ]
    assert "2 open with one line" in page
    assert "1 are only described" in page
