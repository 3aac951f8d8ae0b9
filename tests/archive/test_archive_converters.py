"""Series and metadata through ISMN, ESS-DIVE and CF and back; real files of all kinds are judged; independent checkers agree."""

from __future__ import annotations

import copy
import csv
import datetime
import hashlib
import json
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import xarray as xr
import yaml
from click.testing import CliRunner
from golden_record import GOLDEN, mutant

from vadose import stream
from vadose.archive import build_package, read_record, read_series, validate, write_series
from vadose.archive.profile import RULES, json_schema
from vadose.cli.metadata import command
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.products import ismn
from vadose.stream import network as maker
from vadose.stream.release import release

SIDE = Path(__file__).parents[2] / ".side" / "archive" / "bin"


@pytest.fixture
def series():
    """Two sensors, five quarter hours, a missing value, the network's letters as flags."""
    time = np.datetime64("2023-08-06T00:00", "ns") + np.arange(5) * np.timedelta64(15, "m")
    values = np.array([[0.1, 1 / 3, np.nan, 0.25, 0.3], [0.2, 0.21, 0.22, 0.23, 0.24]])
    flags = np.array([["G", "D01,D03", "U", "C02", "G"], ["G"] * 5], dtype=object)
    return xr.Dataset(
        {"soil_moisture": (("sensor", "time"), values), "soil_moisture_flag": (("sensor", "time"), flags)},
        {"sensor": ["A1", "A2"], "time": time},
    )


@pytest.mark.parametrize("form", ["ismn", "essdive", "cf"])
def test_c_x16_2_there_and_back_nothing_is_lost(series, tmp_path, form):
    """Every field, required or recommended, every value to the last bit and every flag."""
    path = write_series(series, GOLDEN, tmp_path / ("out.nc" if form == "cf" else "out"), form)
    data, record = read_series(path)
    assert record == GOLDEN
    assert validate(read_record(path)).issues == ()
    np.testing.assert_array_equal(data["soil_moisture"], series["soil_moisture"])
    np.testing.assert_array_equal(data["time"], series["time"])
    assert data["soil_moisture_flag"].values.tolist() == series["soil_moisture_flag"].values.tolist()


def test_c_x16_2_from_one_format_through_all_others(series, tmp_path):
    first = write_series(series, GOLDEN, tmp_path / "a.nc", "cf")
    for number, form in enumerate(("ismn", "essdive", "cf")):
        target = tmp_path / (f"{number}.nc" if form == "cf" else str(number))
        done = CliRunner().invoke(command, ["convert", str(first), str(target), "--to", form])
        assert done.exit_code == 0, done.output
        first = target
    data, record = read_series(first)
    assert record == GOLDEN
    np.testing.assert_array_equal(data["soil_moisture"], series["soil_moisture"])
    assert "exists" in str(CliRunner().invoke(command, ["convert", str(first), str(first), "--to", "cf"]).exception)


def test_the_networks_own_reader_reads_what_is_written(series, tmp_path):
    folder = write_series(series, GOLDEN, tmp_path / "out", "ismn")
    found = ismn.open(folder)
    np.testing.assert_allclose(np.sort(found["soil_moisture"].values[:, 0]), [0.1, 0.2])
    assert float(found["lat"].values[0]) == 41.5


def test_bit_masks_survive(series, tmp_path):
    marked = series.assign(soil_moisture_flag=(("sensor", "time"), np.arange(10).reshape(2, 5)))
    for form in ("ismn", "essdive", "cf"):
        path = write_series(marked, GOLDEN, tmp_path / (form + (".nc" if form == "cf" else "")), form)
        assert read_series(path)[0]["soil_moisture_flag"].values.tolist() == np.arange(10).reshape(2, 5).tolist()


def test_c_x16_3_the_cf_checker_finds_nothing(series, tmp_path):
    """compliance-checker, suite cf:1.11: the file and one with a planted defect."""
    checker = SIDE / "compliance-checker"
    if not checker.exists():
        pytest.skip("cannot run here: the environment with independent validators (.side/archive) is not installed")
    path = write_series(series, GOLDEN, tmp_path / "good.nc", "cf")
    with xr.open_dataset(path) as opened:
        wrong = opened.load()
    wrong["soil_moisture"].attrs["units"] = "furlongs"
    wrong.to_netcdf(tmp_path / "bad.nc")

    def findings(file):
        subprocess.run(
            [checker, "--test=cf:1.11", "--criteria=strict", "--format=json", "-o", tmp_path / "found.json", file], check=False, capture_output=True
        )  # fmt: skip
        told = json.loads((tmp_path / "found.json").read_text())
        rows = [row for part in told.values() for row in part["all_priorities"]]
        return [m for row in rows if row["value"][0] < row["value"][1] for m in row["msgs"]]

    assert findings(path) == []
    assert any("furlongs" in m for m in findings(tmp_path / "bad.nc"))


def test_essdive_templates_are_filled_as_their_guides_ask(series, tmp_path, shared_data):
    base = write_series(series, GOLDEN, tmp_path / "out", "essdive")
    folder = shared_data / "essdive_formats" / "hydrologic-monitoring" / "CSV-versions"

    def read(path):
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if row and not row[0].startswith("#")]

    def wanted(name, *, required_only=False):
        head, notes = read(folder / name)[:2]
        return [h for h, n in zip(head, notes) if h and (not required_only or n.startswith("Required"))]

    tables = {p.name: read(p) for p in base.iterdir()}
    for name, template in (("InstallationMethods.csv", "HydroRF_Template_InstallationMethods.csv"), ("FLMD.csv", "HydroRF_Template_FLMD.csv"), ("dd.csv", "HydroRF_Template_dd.csv")):  # fmt: skip
        head = tables[name][0]
        assert set(wanted(template, required_only=True)) <= set(head)
        asked = [h for h in wanted(template) if h in head]
        assert [h for h in head if h in asked] == asked, "in the order of the template"
    for name, table in tables.items():
        assert all(len(row) == len(table[0]) for row in table), f"{name} is not rectangular"
        assert all(cell for row in table for cell in row), f"{name} has empty cells"
        assert all(h.replace("_", "").isalnum() for h in table[0]), f"{name}: letters, numbers and underscores only"
    defined = {row[0] for row in tables["dd.csv"][1:]}
    assert {h for table in tables.values() for h in table[0]} <= defined, "every column is in the data dictionary"
    assert {row[0] for row in tables["FLMD.csv"][1:]} == set(tables), "every file is in the list of files"
    lines = (base / "A_A1.csv").read_text().splitlines()
    assert lines[0] == "# HeaderRows_5", "two lines about the header, one a column with readings, the column names"
    assert lines[1] == read_first(folder / "HydroRF_Template_DataFile.csv", 2)
    assert lines[2] == "# DateTime; YYYY-MM-DD hh:mm:ss UTC+00:00; A1; METER TEROS 12"
    assert lines[3] == "# soil_moisture; m3 m-3; A1; METER TEROS 12"
    assert lines[4] == "DateTime,soil_moisture,soil_moisture_DataFlag"
    assert lines[7] == "2023-08-06 00:30:00,-9999,U"


def read_first(path, number):
    """A line of a template without the empty cells and notes behind it."""
    return path.read_text(encoding="utf-8-sig").splitlines()[number].split(",")[0].strip('"')


def test_the_schema_agrees_with_the_validator_field_by_field():
    """The golden record passes, each missing required field and each wrong value of a kind that schemas know does not."""
    check = jsonschema.Draft202012Validator(json_schema())
    assert list(check.iter_errors(GOLDEN)) == []
    for rule in (r for r in RULES if r.required):
        assert not check.is_valid(mutant(rule.group, rule.field, None)), rule.id
    for group, field, value in (("sites", "lat", 141.2), ("dataset", "title", "Too short"), ("sensors", "principle", "magic"), ("variables", "time_zone", "EDT"),
                                ("dataset", "keywords", ["soil"]), ("provenance", "sources", [{"file": "a"}]), ("dataset", "summary", "word " * 99)):  # fmt: skip
        assert not check.is_valid(mutant(group, field, value)), field


def test_a_grid_needs_no_sites(tmp_path):
    grid = xr.Dataset({"soil_moisture": (("time", "lat", "lon"), np.zeros((1, 2, 2)), {"units": "m3 m-3"})}, {"lat": [1.0, 2.0], "lon": [1.0, 2.0], "time": [np.datetime64("2023-01-01", "ns")]})  # fmt: skip
    grid.to_netcdf(tmp_path / "grid.nc")
    found = validate(read_record(tmp_path / "grid.nc"))
    assert {i.path.split(".")[0].split("[")[0] for i in found.issues} == {"dataset", "variables", "provenance"}


def test_real_files_are_judged_by_what_they_say(shared_data):
    """A model's file says who made it and where its numbers lie; the fields that it leaves out are named, each by its rule."""
    path = next((shared_data / "cmip6").rglob("mrsos_day_EC-Earth3-Veg*.nc"))
    record = read_record(path)
    assert record["grid"]
    assert record["dataset"]["institution"].startswith("AEMET")
    assert [v["units"] for v in record["variables"] if v["name"] == "mrsos"] == ["kg m-2"]
    verdict = validate(record)
    assert {"D02", "D05", "D06", "D13"} <= {i.rule for i in verdict.errors}
    assert {"D03", "D07"}.isdisjoint({i.rule for i in verdict.errors})
    assert 0.0 < verdict.score < 1.0


def test_a_foreign_station_is_read_from_headers_names_and_static_table(tmp_path):
    (tmp_path / "NET" / "Hill").mkdir(parents=True)
    name = "NET_NET_Hill"
    (tmp_path / "NET" / "Hill" / f"{name}_sm_0.050000_0.100000_Probe_20230301_20230302.stm").write_text(
        "NET NET Hill 47.5 8.25 450.0 0.05 0.10 Probe\n2023/03/01 00:00 0.25 G M\n"
    )
    (tmp_path / "NET" / "Hill" / f"{name}_static_variables.csv").write_text(
        "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name\n"
        "climate classification;;;;Dfb;Cold;koeppen_geiger_2007\nland cover classification;;;;130;Grassland;ESA CCI\nclay fraction;% weight;0.0;0.3;21.0;;HWSD\n"
    )
    record = read_record(tmp_path)
    assert record["sites"] == [{"site_id": "NET_Hill", "site_name": "Hill", "lat": 47.5, "lon": 8.25, "elevation": 450.0, "climate_KG": "Dfb",
                                "land_cover": "130 (ESA CCI)", "clay": 21.0, "texture_source": "HWSD"}]  # fmt: skip
    assert (record["sensors"][0]["depth_from"], record["sensors"][0]["depth_to"]) == (0.05, 0.10)
    wrong = {i.rule for i in validate(record).issues}
    assert {"S03", "S04", "S05", "S07", "S08", "N07", "N08", "V02", "V03"}.isdisjoint(wrong)
    assert {"D01", "D04", "N06"} <= wrong, "no title, license or serial number is said to be missing"


@pytest.fixture
def foreign(tmp_path):
    """Two sensors as the network writes them, the second without soil moisture, a series in two files, and a variable nobody knows."""
    folder = tmp_path / "ismn" / "NET" / "Hill"
    folder.mkdir(parents=True)
    head = "NET NET Hill 47.5 8.25 450.0 {} Probe\n"
    files = {
        "sm_0.050000_0.100000_Probe_20230301_20230301": head.format("0.05 0.10") + "2023/03/01 00:00 0.25 G M\n2023/03/01 01:00 -9999.0 C02,D01 M\n",
        "sm_0.050000_0.100000_Probe_20230302_20230302": head.format("0.05 0.10") + "2023/03/02 00:00 0.30 U M\n",
        "ts_0.200000_0.200000_Probe_20230301_20230301": head.format("0.20 0.20") + "2023/03/01 00:00 4.5 G M\n",
        "xx_0.500000_0.500000_Probe_20230301_20230301": head.format("0.50 0.50") + "2023/03/01 00:00 1.0 G M\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"NET_NET_Hill_{name}.stm").write_text(text)
    return tmp_path / "ismn"


def test_the_networks_own_files_are_read_as_series(foreign):
    data, record = read_series(foreign)
    assert data["sensor"].values.tolist() == ["NET_Hill_Probe_0.05_0.1", "NET_Hill_Probe_0.2_0.2"]
    assert [s["sensor_id"] for s in record["sensors"]] == data["sensor"].values.tolist()
    np.testing.assert_array_equal(data["soil_moisture"], [[0.25, np.nan, 0.30], [np.nan] * 3])
    np.testing.assert_allclose(data["soil_temperature"].values[1, 0], 273.15 + 4.5)
    assert data["soil_moisture_flag"].values.tolist() == [["G", "C02,D01", "U"], ["", "", ""]]


def test_the_networks_own_files_become_cf_at_once_and_essdive_once_the_record_is_complete(foreign, tmp_path):
    run = CliRunner().invoke
    made = run(command, ["convert", str(foreign), str(tmp_path / "out.nc"), "--to", "cf"])
    assert made.output.strip().endswith("2 sensors, 3 times")
    np.testing.assert_array_equal(read_series(tmp_path / "out.nc")[0]["soil_moisture"].values[0], [0.25, np.nan, 0.30])
    refused = run(command, ["convert", str(foreign), str(tmp_path / "out"), "--to", "essdive"])
    assert "essdive cannot be written without dataset.title" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    record = yaml.safe_load(run(command, ["extract", str(foreign)]).output)
    record["sensors"] = [s for s in record["sensors"] if not s["sensor_id"].endswith("0.5_0.5")]
    for group in ("sites", "sensors", "variables"):
        record[group] = [GOLDEN[group][0] | entry for entry in record[group]]
    record["dataset"] = GOLDEN["dataset"]
    record["provenance"] = GOLDEN["provenance"]
    (tmp_path / "record.yaml").write_text(yaml.safe_dump(record))
    done = run(command, ["convert", str(foreign), str(tmp_path / "out"), "--to", "essdive", "-m", str(tmp_path / "record.yaml")])  # fmt: skip
    assert done.exit_code == 0, done.output
    back, again = read_series(tmp_path / "out")
    assert again == record
    np.testing.assert_array_equal(back["soil_moisture"].values[0], [0.25, np.nan, 0.30])


def test_files_that_are_not_what_they_seem_are_a_sentence_not_a_traceback(tmp_path):
    (tmp_path / "x.nc").write_text("rubbish")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "release.json").write_text("{")
    (tmp_path / "list.yaml").write_text("sites:\n  - A\n")
    (tmp_path / "text.yaml").write_text("dataset: just words\n")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "InstallationMethods.csv").write_text("InstallationMethod_ID,Latitude\nA,1\n")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "stream.json").write_text("{}")
    for name, words in {
        "x.nc": "not netCDF: it begins with b'rubbish'", "r": "release.json", "list.yaml": "sites holds",
        "text.yaml": "dataset holds 'just words'", "s": "make a release of it",
    }.items():  # fmt: skip
        with pytest.raises(UnreadableFileError, match=words):
            read_record(tmp_path / name)
    with pytest.raises(UnreadableFileError, match=r"no FLMD\.csv"):
        read_series(tmp_path / "e")


def test_the_command_says_once_what_is_the_same_of_many_and_first_what_must_be_mended(tmp_path):
    record = mutant("dataset", "funder", None)
    for sensor in record["sensors"]:
        del sensor["serial"]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(record))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "r.yaml")])
    lines = done.output.splitlines()
    assert lines[0] == "error N06  sensors[0].serial and 1 more like it: serial is missing; write its serial number"
    assert lines[1].startswith("info  D18")
    assert "2 to mend" in lines[-1]


@pytest.mark.parametrize("form", ["ismn", "essdive", "cf"])
def test_dates_and_numbers_as_yaml_and_people_write_them(series, tmp_path, form):
    text = yaml.safe_dump(GOLDEN).replace("'2023-01-01'", "2023-01-01").replace("'2023-08-06'", "2023-08-06").replace("depth_to: 0.1", 'depth_to: "0.1"')  # fmt: skip
    (tmp_path / "r.yaml").write_text(text)
    assert isinstance(yaml.safe_load(text)["sensors"][0]["install_date"], datetime.date)
    assert validate(read_record(tmp_path / "r.yaml")).issues == ()
    path = write_series(series, yaml.safe_load(text), tmp_path / ("out.nc" if form == "cf" else "out"), form)
    assert read_record(path) == GOLDEN


def test_what_cannot_be_written_is_refused_with_a_reason(series, tmp_path):
    alike = copy.deepcopy(GOLDEN)
    alike["sensors"][0]["sensor_id"], alike["sensors"][1]["sensor_id"] = "A 1", "A-1"
    with pytest.raises(VadoseInputError, match="several sensors would be A-1"):
        write_series(series.assign_coords(sensor=["A 1", "A-1"]), alike, tmp_path / "alike", "essdive")
    with pytest.raises(VadoseInputError, match="whole minutes"):
        write_series(series.assign_coords(time=series.time + np.timedelta64(1, "s")), GOLDEN, tmp_path / "a", "ismn")
    with pytest.raises(VadoseInputError, match="A2"):
        write_series(series.isel(sensor=[0]), GOLDEN, tmp_path / "a.nc", "cf")
    with pytest.raises(VadoseInputError, match="not in the list of sites"):
        write_series(series, mutant("sensors", "site_id", "B"), tmp_path / "b", "essdive")
    with pytest.raises(UnreadableFileError, match="expected a record"):
        read_record(tmp_path)


def test_the_command_judges_every_kind(series, tmp_path):
    paths = [
        write_series(series, GOLDEN, tmp_path / n, f) for n, f in (("a.nc", "cf"), ("b", "ismn"), ("c", "essdive"))
    ]
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(GOLDEN))
    done = CliRunner().invoke(command, ["check", *map(str, paths), str(tmp_path / "d.yaml")])
    assert done.exit_code == 0, done.output
    assert done.output.count("100% of what is required, 0 to mend") == 4


def test_a_release_says_what_it_knows_and_the_rest_is_asked_for(tmp_path):
    """Levels, sensors, depths, units, sources with hashes are there; place, maker and license are only known to people."""
    maker.generate(tmp_path / "net", observations=2 * 18 * 96 * 3, days=3, start="2023-03-01", faults=False, rng=1)
    root = stream.init(tmp_path / "root", inputs=[tmp_path / "net" / "raw"], design=tmp_path / "net" / "metadata")
    stream.run(root, workers=0)
    for form in ("csv", "parquet"):
        made = release(root, "L1", "v1-0" if form == "csv" else "v1-1", form=form)
        record = read_record(made)
        assert record["dataset"]["time_coverage_start"] == "2023-03-01"
        sensor = next(s for s in record["sensors"] if s["sensor_id"] == "S01-P1-TEROS12-A-1")
        assert (sensor["site_id"], sensor["depth_from"]) == ("S01", 0.1)
        assert {v["units"] for v in record["variables"]} == {"m3 m-3", "degC", "uS/cm"}
        assert [s["sha256"] for s in record["provenance"]["sources"]] == sorted(
            hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "net" / "raw").glob("*.dat")
        )
        wrong = {i.rule for i in validate(record).errors}
        assert {"D04", "S03", "N03", "N06"} <= wrong
        assert {"D08", "N01", "N07", "V03", "V07", "P01", "P03"} & wrong == {"D08"}
    done = CliRunner().invoke(command, ["extract", str(made)])
    assert yaml.safe_load(done.output) == record


@pytest.mark.parametrize("name", ["package", "package.zip"])
def test_a_package_is_judged_by_its_content_and_its_own_words(series, tmp_path, name):
    """Series without title and license in a package that has them: nothing is missing."""
    bare = copy.deepcopy(GOLDEN)
    path = write_series(series, bare, tmp_path / "series.nc", "cf")
    with xr.open_dataset(path) as opened:
        data = opened.load()
    for field in ("title", "license", "creator_name"):
        del data.attrs[field]
    data.to_netcdf(tmp_path / "without.nc")
    assert {i.rule for i in validate(read_record(tmp_path / "without.nc")).errors} == {"D01", "D04", "D05"}
    made = build_package([tmp_path / "without.nc"], GOLDEN["dataset"], tmp_path / name)
    assert validate(read_record(made)).errors == ()
