"""The page of a study opens from disk with nothing from elsewhere, and says what the tables say."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import xarray as xr

from vadose import report, study
from vadose.errors import UnreadableFileError
from vadose.report import figures


class Page(HTMLParser):
    """Ids, images, links and headings of a page; void elements aside, every tag must be closed."""

    VOID = ("meta", "img", "br", "link", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.images, self.links = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(shared_data, tmp_path_factory):
    """A real study's folder and the text of its page; the tests only read."""
    folder = study.run(Path(__file__).parents[2] / "studies" / "hawaii.yaml", tmp_path_factory.mktemp("study") / "out")
    return folder, report.write(folder).read_text()


def test_the_page_is_whole_needs_nothing_from_elsewhere_and_every_figure_has_words(written):
    _, text = written
    page = Page(text)
    assert page.open == []
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert len(page.images) >= 3
    for image in page.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 20
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= page.ids


def test_the_page_carries_the_numbers_of_the_tables_with_n_and_intervals_methods_and_citations(written):
    folder, text = written
    data = json.loads(re.search(r'id="results">(.*)</script>', text, re.S)[1])
    table = pd.read_parquet(folder / "tables" / "errors.parquet")
    assert [r["product"] for r in data["tables"]["errors"]] == list(table["product"])
    for row in table.itertuples():
        for number in (row.error_sd, row.low, row.high):
            assert f"{number:.4f}" in text
        assert f"{row.n:,}" in text
    for citation in (
        "10.1029/97JC03180",
        "10.1002/2015JD024027",
        "10.1109/TGRS.2017.2734070",
        "10.1016/j.rse.2017.07.001",
    ):
        assert citation in text


def test_series_are_means_over_places_that_have_a_merged_value_and_the_page_counts_them(written):
    folder, text = written
    merged = xr.open_zarr(folder / "merged.zarr", consolidated=False).soil_moisture.notnull().any("time").values
    products = xr.open_zarr(folder / "products.zarr", consolidated=False).soil_moisture
    assert 0 < merged.sum() < merged.size  # the satellites see a part of this island
    assert f"Mean over the {merged.sum()} of {merged.size} places that have a merged value" in text
    assert f"{merged.size - merged.sum()} of {merged.size} places have no merged value" in text
    assert f"n = {int(products.isel(location=merged).notnull().sum()):,} product values" in text
    assert int(products.sel(product="smap").isel(location=merged).notnull().sum()) == 0
    assert "Not drawn, for it has no value there: smap." in text


def test_stations_outside_the_period_are_no_failure_and_the_page_says_why_nothing_is_validated(written):
    folder, text = written
    # The sample of USCRN holds one station of this island (19.6 N, 155.1 W), with the year 2020 only.
    assert "the 1 station(s) in the region have no reading from 2017-01-01 to 2018-12-31" in text
    assert json.loads((folder / "failures.json").read_text()) == []
    assert "Nothing: every file and station was read." in text


def test_words_of_the_study_are_escaped(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("VADOSE_SHARED_DATA", str(shared_data))
    source = (Path(__file__).parents[2] / "studies" / "hawaii.yaml").read_text()
    file = tmp_path / "s.yaml"
    evil = "<script>alert(1)</script> & who?"
    file.write_text(re.sub(r"^title:.*$", f"title: '{evil}'", source, flags=re.M))
    text = report.write(study.run(file, tmp_path / "out")).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_folder_without_a_finished_study_is_told_how_to_get_one(tmp_path):
    with pytest.raises(UnreadableFileError, match="vadose run"):
        report.write(tmp_path)


def test_a_report_leaves_a_notebook_its_own_style():
    plt.rcParams["font.size"] = 17.0
    try:
        field = xr.DataArray([[0.1, 0.2], [0.3, 0.4]], dims=("lat", "lon"), coords={"lat": [0, 1], "lon": [0, 1]})
        assert figures.maps([("map", field, "viridis")], units="m3 m-3").startswith("data:image/png;base64,")
        assert plt.rcParams["font.size"] == 17.0
    finally:
        plt.rcdefaults()
