"""A study file that is wrong answers with the line, the key and what is allowed; one that is right says what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vadose.errors import StudyError
from vadose.study import parse, read
from vadose.study.model import KEYS, known_collections

GOOD = """\
title: Three products
period: [2017-01-01, 2017-12-31]
bbox: [-100, 35, -90, 45]
resolution: 1.0
sources:
  a: {collection: demo-smap-l3, family: remote-sensing}
  b: {collection: demo-cci}
  c:
    collection: demo-gldas
    family: model
correlated: [[b, c]]
"""
STUDIES = Path(__file__).parents[2] / "studies"


def test_a_good_file_gives_its_values_and_the_documented_defaults():
    study = parse(GOOD)
    assert study.period == ("2017-01-01", "2017-12-31")
    assert study.bbox == (-100.0, 35.0, -90.0, 45.0)
    assert [s.name for s in study.sources] == ["a", "b", "c"]
    assert [s.family for s in study.sources] == ["remote-sensing", "other", "model"]
    assert study.reference == "a"
    assert study.collocate == ("a", "b", "c")
    assert study.correlated == (("b", "c"),)
    assert study.climatology == "kept"


@pytest.mark.parametrize("name", ["demo.yaml", "hawaii.yaml"])
def test_the_studies_that_ship_are_read(name):
    assert len(read(STUDIES / name).sources) == 4


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("resolution: 1.0", "resolutoin: 1.0", 4, ["'resolutoin'", "'resolution'", "allowed"]),
        ("period: [2017-01-01, 2017-12-31]", "period: 2017", 2, ["'period'", "two dates"]),
        ("period: [2017-01-01, 2017-12-31]", "period: [2018-01-01, 2017-12-31]", 2, ["'period'", "before it starts"]),
        ("bbox: [-100, 35, -90, 45]", "bbox: [-90, 35, -100, 45]", 3, ["'bbox'", "west < east"]),
        ("bbox: [-100, 35, -90, 45]", "bbox: [-100, 35, -90]", 3, ["'bbox'", "4 numbers"]),
        ("resolution: 1.0", "resolution: fine", 4, ["'resolution'", "number"]),
        ("family: remote-sensing}", "family: satelite}", 6, ["'family'", "remote-sensing", "reanalysis"]),
        ("b: {collection: demo-cci}", "b: {colection: demo-cci}", 7, ["'colection'", "'collection'"]),
        ("b: {collection: demo-cci}", "b: {collection: x, files: y}", 7, ["'b'", "either"]),
        ("b: {collection: demo-cci}", "b: {files: y.nc, product: smapp}", 7, ["'product'", "smap"]),
        ("b: {collection: demo-cci}", "b: demo-cci", 7, ["'b'", "collection: ID"]),
        ("    family: model", "    family: models", 10, ["'family'", "model"]),
        ("correlated: [[b, c]]", "correlated: [[b, d]]", 11, ["'correlated'", "a, b, c"]),
        ("correlated: [[b, c]]", "reference: d", 11, ["'reference'", "a, b, c"]),
        ("correlated: [[b, c]]", "collocate: [a, b, z]", 11, ["'collocate'", "'z'"]),
        ("correlated: [[b, c]]", "regrid: conservatve", 11, ["'regrid'", "'conservative'"]),
        ("correlated: [[b, c]]", "climatology: gone", 11, ["'climatology'", "removed"]),
        ("correlated: [[b, c]]", "title: again", 11, ["'title'", "twice"]),
        ("correlated: [[b, c]]", "collocate: [a, b]", 11, ["'collocate'", "three sources or more", "found 2: a, b"]),
        ("correlated: [[b, c]]", "layer: [0.5, 0.1]", 11, ["'layer'", "top < bottom", "[0.5, 0.1]"]),
        ("correlated: [[b, c]]", "bootstrap: 0", 11, ["'bootstrap'", "at least 1", "got 0"]),
        ("2017-12-31", "2017-13-31", 2, ["'period'", "2017-01-01, 2018-12-31", "2017-13-31"]),
        ("2017-12-31", "last year", 2, ["'period'", "last year"]),
        ("[-100, 35, -90, 45]", "[35, -100, 45, -90]", 3, ["'bbox'", "latitudes within 90", "[-100, 35, -90, 45]?"]),
        ("resolution: 1.0", "resolution: 0", 4, ["'resolution'", "above zero"]),
        ("resolution: 1.0", "resolution: 0.7", 4, ["'resolution'", "whole number of 0.7 degree cells"]),
        ("title: Three products\n", "", 1, ["'title'", "missing"]),
        ("correlated: [[b, c]]", "correlated: [[b, c]", 12, ["not valid YAML"]),
    ],
)
def test_what_is_wrong_is_told_with_line_key_and_allowed_values(old, new, line, words):
    assert old in GOOD
    with pytest.raises(StudyError) as caught:
        parse(GOOD.replace(old, new), name="my.yaml")
    message = str(caught.value)
    assert message.startswith(f"my.yaml: line {line}")
    for word in words:
        assert word in message


def test_a_study_with_one_source_is_refused():
    with pytest.raises(StudyError, match="three sources or more"):
        parse(GOOD[: GOOD.index("  b:")])


def test_an_empty_file_and_a_missing_file_say_what_to_give(tmp_path):
    with pytest.raises(StudyError, match="expected keys such as title"):
        parse("")
    with pytest.raises(StudyError, match=r"studies/demo\.yaml"):
        read(tmp_path / "none.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG")
    with pytest.raises(StudyError, match=r"picture\.yaml: not a text"):
        read(tmp_path / "picture.yaml")


def test_paths_start_at_the_file_and_take_environment_variables(tmp_path, monkeypatch):
    text = GOOD.replace("b: {collection: demo-cci}", 'b: {files: "${PLACE:-sub}/x.nc", product: esa_cci}')
    file = tmp_path / "study.yaml"
    file.write_text(text)
    monkeypatch.delenv("PLACE", raising=False)
    assert read(file).sources[1].files == (str(tmp_path / "sub/x.nc"),)
    monkeypatch.setenv("PLACE", "/elsewhere")
    assert read(file).sources[1].files == ("/elsewhere/x.nc",)
    monkeypatch.delenv("PLACE")
    file.write_text(text.replace(":-sub", ""))
    with pytest.raises(StudyError, match="PLACE is not set"):
        read(file)


def test_a_misspelled_collection_is_told_with_its_line_and_what_the_catalog_has():
    known = ["demo-smap-l3", "demo-cci", "demo-gldas", "demo-ismn"]
    known_collections(parse(GOOD), known)
    for old, line in (("demo-cci", 7), ("demo-gldas", 9)):
        with pytest.raises(StudyError) as caught:
            known_collections(parse(GOOD.replace(old, f"{old}x"), name="my.yaml"), known)
        message = str(caught.value)
        assert message.startswith(f"my.yaml: line {line}: key 'collection': '{old}x'")
        assert f"did you mean '{old}'" in message
        assert "it has: demo-cci, demo-gldas, demo-ismn, demo-smap-l3" in message
    with pytest.raises(StudyError, match="line 12: key 'collection': 'demo-ism'"):
        known_collections(parse(GOOD + "stations: {collection: demo-ism}\n", name="my.yaml"), known)


def test_the_page_about_studies_has_every_key_and_an_example_that_is_read():
    page = (STUDIES.parent / "docs" / "study.md").read_text()
    for key, (value, needed, meaning) in KEYS.items():
        assert f"| `{key}` | {value.replace('|', 'or')} | {'yes' if needed else ''} | {meaning} |" in page
    assert len(parse(re.search(r"```yaml\n(.*?)```", page, re.S)[1]).sources) == 3
