"""The metadata profile: a good record passes, and each single defect gives its own rule and no other."""

from __future__ import annotations

import copy

import pytest

from vadose.archive.profile import RULES, validate

GOLDEN = {
    "dataset": {
        "title": "Hourly soil moisture at two made-up places in Ohio", "summary": "word " * 100, "Conventions": "CF-1.11 ACDD-1.3", "license": "CC-BY-4.0",
        "creator_name": "Carberry, Josiah", "creator_orcid": "0000-0002-1825-0097", "institution": "Example University", "date_created": "2026-05-17",
        "version": "1.0", "doi": "pending", "time_coverage_start": "2023-08-06", "time_coverage_end": "2023-09-02", "geospatial_lat_min": 41.0,
        "geospatial_lat_max": 42.0, "geospatial_lon_min": -84.0, "geospatial_lon_max": -83.0, "processing_level": "L1", "funder": "nobody",
        "project": "test", "keywords": ["soil", "moisture", "sensor"],
    },
    "sites": [{"site_id": "A", "site_name": "Upland", "lat": 41.5, "lon": -83.5, "elevation": 175.0, "datum": "NAVD88", "land_cover": "forest (IGBP)",
               "climate_KG": "Dfa", "texture_source": "SSURGO", "irrigated": "no"}],
    "sensors": [{"sensor_id": f"A{k}", "site_id": "A", "maker": "METER", "model": "TEROS 12", "principle": "capacitance", "serial": f"1{k}",
                 "depth_from": 0.05, "depth_to": 0.10, "orientation": "horizontal", "install_date": "2023-01-01", "removal_date": "in place",
                 "measurement_volume": 1.0, "calibration_id": "mineral", "firmware": "1.0"} for k in (1, 2)],
    "variables": [{"name": "soil_moisture", "standard_name": "volume_fraction_of_condensed_water_in_soil", "units": "m3 m-3", "accuracy": 0.03,
                   "sampling_interval": "PT15M", "averaging_interval": "instantaneous", "time_zone": "UTC-05:00", "missing_value": -9999,
                   "flag_scheme": "ISMN 1", "qc_method": "M-T1.2", "uncertainty_variable": "soil_moisture_standard_error"}],
    "provenance": {"sources": [{"file": "a.dat", "sha256": "0" * 64}], "software": "vadose 0.1.0", "methods": ["M-T1.7"]},
}  # fmt: skip

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


def mutant(group, field, value):
    record = copy.deepcopy(GOLDEN)
    entry = record[group][0] if isinstance(record[group], list) else record[group]
    if value is None:
        del entry[field]
    else:
        entry[field] = value
    return record


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
