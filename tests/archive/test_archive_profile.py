"""The metadata profile: a good record passes, and each single defect gives its own rule and no other."""

from __future__ import annotations

import pytest
from golden_record import GOLDEN, mutant

from vadose.archive.profile import RULES, validate

#: (group, field, wrong value, rule): one defect each.
WRONG = [
    ("dataset", "title", "Too short", "D01"), ("dataset", "summary", "word " * 99, "D02"), ("dataset", "Conventions", "none", "D03"),
    ("dataset", "license", "free for all", "D04"), ("dataset", "creator_orcid", "0000-0002-1825-0098", "D06"), ("dataset", "date_created", "17.5.26", "D08"),
    ("dataset", "doi", "soon", "D10"), ("dataset", "geospatial_lat_max", 141.2, "D14"), ("dataset", "keywords", ["soil"], "D20"),
    ("dataset", "time_coverage_end", "2023-08-05", "X01"), ("dataset", "geospatial_lat_min", 43.0, "X02"), ("dataset", "geospatial_lon_max", -83.6, "X07"),
    ("sites", "lat", "41 30 N", "S03"), ("sites", "lon", 276.5, "S04"), ("sites", "land_cover", "forest", "S07"), ("sites", "climate_KG", "humid", "S08"),
    ("sensors", "site_id", "B", "X05"), ("sensors", "principle", "magic", "N05"), ("sensors", "depth_from", -0.05, "N07"), ("sensors", "depth_to", 0.01, "X03"),
    ("sensors", "orientation", "sideways", "N09"), ("sensors", "removal_date", "2022-01-01", "X04"), ("sensors", "sensor_id", "A2", "X06"),
    ("variables", "standard_name", "Soil Moisture", "V02"), ("variables", "units", "%", "X08"), ("variables", "accuracy", "good", "V04"),
    ("variables", "sampling_interval", "15 min", "V05"), ("variables", "time_zone", "EDT", "V07"), ("provenance", "sources", [{"file": "a"}], "P01"),
    ("provenance", "software", "a script", "P02"),
]  # fmt: skip


def test_c_x16_1_the_golden_record_has_no_finding():
    found = validate(GOLDEN)
    assert found.issues == ()
    assert found.score == 1.0


@pytest.mark.parametrize(("group", "field", "value", "rule"), WRONG, ids=[f"{w[3]}-{w[1]}" for w in WRONG])
def test_c_x16_1_a_wrong_value_gives_exactly_its_rule(group, field, value, rule):
    assert [i.rule for i in validate(mutant(group, field, value)).issues] == [rule]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_c_x16_1_a_missing_field_gives_exactly_its_rule(rule):
    found = validate(mutant(rule.group, rule.field, None))
    assert [i.rule for i in found.issues] == [rule.id]
    assert (found.issues[0].level == "error") == rule.required
    assert (found.score < 1.0) == rule.required


def test_an_empty_record_scores_zero_and_says_what_to_write():
    found = validate({})
    assert found.score == 0.0
    assert all("write" in i.message for i in found.issues)


def test_the_command_names_file_field_and_cure(tmp_path):
    import yaml
    from click.testing import CliRunner

    from vadose.cli.metadata import command

    path = tmp_path / "record.yaml"
    path.write_text(yaml.safe_dump(mutant("sites", "lat", 141.2)))
    done = CliRunner().invoke(command, ["check", str(path)])
    assert done.exit_code == 1
    assert "S03  sites[0].lat: lat is '141.2'; write decimal degrees" in done.output
    assert yaml.safe_load(CliRunner().invoke(command, ["template"]).output).keys() == GOLDEN.keys()
