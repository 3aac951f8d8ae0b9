"""Packages: the same bytes every time, whole or not there, checked file by file, accepted by an independent validator."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.archive import bag, build_package, check_package, content, read_record, restore, tables
from vadose.errors import PlatformError, UnreadableFileError, VadoseInputError

SIDE = Path(__file__).parents[2] / ".side" / "archive" / "bin" / "python"
META = {
    "title": "Soil moisture of two places in a small test of packing", "summary": "what was measured " * 40, "creator_name": "Carberry, Josiah",
    "creator_orcid": "0000-0002-1825-0097", "institution": "Example University", "license": "CC-BY-4.0", "date_created": "2026-05-01",
}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "table.csv").write_text("time,soil_moisture\n2026-05-01T00:00:00Z,0.25\n2026-05-02T00:00:00Z,-9999\n")
    (folder / "träume im moor.txt").write_text("a name with blanks and an umlaut\n")
    data = xr.Dataset(
        {"soil_moisture": ("time", np.array([0.1, 0.2]), {"units": "m3 m-3", "long_name": "soil moisture"})}
    )
    data.to_zarr(folder / "merged.zarr", consolidated=False, zarr_format=3)
    return folder


@pytest.fixture
def package(source, tmp_path):
    return build_package([source], META, tmp_path / "package")


def test_c_x18_1_sha256_of_an_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    assert bag.sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_c_x18_2_payload_of_six_and_ten_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"6" * 6)
    (tmp_path / "b").write_bytes(b"x" * 10)
    assert bag.payload_oxum(tmp_path) == "16.2"


#: Terms of the RO-Crate 1.1 context that our crates use, each as w3id.org has it: schema.org's but for two. A new term must be looked up there.
TERMS = {
    **{t: f"http://schema.org/{t}" for t in (
        "CreateAction", "CreativeWork", "Dataset", "Organization", "Person", "SoftwareApplication", "about", "affiliation", "agent", "author", "contentSize",
        "datePublished", "description", "encodingFormat", "endTime", "hasPart", "identifier", "instrument", "keywords", "license", "mentions", "name",
        "publisher", "result", "softwareVersion", "url", "version")},
    "File": "http://schema.org/MediaObject", "conformsTo": "http://purl.org/dc/terms/conformsTo",
}  # fmt: skip


def validators():
    if not SIDE.exists():
        pytest.skip("cannot run here: the environment with independent validators (.side/archive) is not installed")
    return SIDE


def test_c_x18_3_an_independent_validator_accepts_it(package):
    done = subprocess.run(
        [validators(), "-m", "bagit", "--validate", str(package)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_the_ro_crate_validator_finds_nothing_and_a_planted_defect(source, tmp_path):
    """roc-validator, required and recommended rules of RO-Crate 1.1."""
    steps = [{"name": "merge", "parameters": "weights"}, {"name": "validate", "parameters": "stations"}]
    made = build_package([source], META | {"steps": steps, "institution_url": "https://example.org", "doi": "10.5072/example"}, tmp_path / "package")  # fmt: skip
    (tmp_path / "context.json").write_text(json.dumps({"@context": TERMS}))

    def findings():
        done = subprocess.run(
            [validators(), Path(__file__).with_name("validate_crate.py"), made / "data", tmp_path / "context.json"], capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-500:]
        return done.stdout

    assert findings() == ""
    crate = made / "data" / "ro-crate-metadata.json"
    crate.write_text(crate.read_text().replace('"datePublished"', '"dateForgotten"'))
    assert "datePublished" in findings()


def test_datacites_own_schema_finds_nothing_and_a_planted_defect(package):
    script = "import json, sys; from datacite.schema45 import validator; [print(e.message) for e in validator.iter_errors(json.load(open(sys.argv[1])))]"  # fmt: skip
    path = package / "data" / "datacite.json"

    def findings():
        done = subprocess.run([validators(), "-c", script, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        return done.stdout

    assert findings() == ""
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "titles"}))
    assert "titles" in findings()


def test_c_x18_3_a_flipped_deleted_or_added_file_is_named(package):
    victim = package / "data" / "content" / "table.csv"
    whole = victim.read_bytes()
    victim.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert any(p.startswith("data/content/table.csv: content changed") for p in check_package(package).problems)
    victim.unlink()
    assert any(p == "data/content/table.csv: missing" for p in check_package(package).problems)
    victim.write_bytes(whole)
    assert check_package(package).problems == ()
    (package / "data" / "stranger").write_text("x")
    assert any(p.startswith("data/stranger: not in the manifest") for p in check_package(package).problems)


def test_c_x18_4_built_twice_every_byte_is_the_same(source, tmp_path):
    one, two = (build_package([source], META, tmp_path / k / "p.zip") for k in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_a_zip_holds_the_bags_own_folder_and_is_verified_and_restored_as_the_folder_is(source, package, tmp_path):
    """RFC 8493, section 4: unpacked in an empty folder, a listing of it shows exactly one entry."""
    packed = build_package([source], META, tmp_path / "p.zip")
    with zipfile.ZipFile(packed) as archive:
        assert {n.split("/")[0] for n in archive.namelist()} == {"p"}
        archive.extractall(tmp_path / "unpacked")
    found = [check_package(p) for p in (tmp_path / "unpacked" / "p", packed, package)]
    assert {(f.files, f.octets, f.problems) for f in found} == {(found[0].files, found[0].octets, ())}
    out = [restore(p, tmp_path / k) for p, k in ((packed, "a"), (package, "b"))]
    names = [{p.relative_to(o).as_posix(): p.read_bytes() for p in bag.files(o)} for o in out]
    assert names[0] == names[1]
    assert read_record(packed)["dataset"]["title"] == META["title"]
    # one byte of a member: the file is named, nothing is restored
    raw = bytearray(packed.read_bytes())
    raw[raw.find(b"2026-05-01T00") + 1] ^= 1
    packed.write_bytes(raw)
    assert [p.split(":")[0] for p in check_package(packed).problems] == ["data/content/table.csv"]
    with pytest.raises(UnreadableFileError, match=r"table\.csv"):
        restore(packed, tmp_path / "c")
    packed.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UnreadableFileError, match="not a whole zip"):
        check_package(packed)


def test_several_folders_keep_their_names_and_no_file_is_lost(tmp_path):
    for name in "ab":
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x.txt").write_text(name)
    made = build_package([tmp_path / "a", tmp_path / "b"], META, tmp_path / "package") / "data" / "content"
    assert [(made / n / "sub" / "x.txt").read_text() for n in "ab"] == ["a", "b"]
    with pytest.raises(VadoseInputError, match=r"two files would be named x\.txt"):
        build_package([tmp_path / n / "sub" / "x.txt" for n in "ab"], META, tmp_path / "other")


def test_releases_of_one_version_are_told_apart_by_their_level(tmp_path):
    for level in ("L1", "L2"):
        (tmp_path / level / "v1-0").mkdir(parents=True)
        (tmp_path / level / "v1-0" / "README.txt").write_text(level)
    planned = content.plan([tmp_path / level / "v1-0" for level in ("L1", "L2")])
    assert list(planned) == ["L1/v1-0/README.txt", "L2/v1-0/README.txt"]


def test_a_name_with_percent_and_line_feed_comes_back(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "100%25 wet\n.txt").write_text("x")
    made = build_package([tmp_path / "in"], META, tmp_path / "package")
    assert "data/content/100%2525 wet%0A.txt" in (made / "manifest-sha256.txt").read_text()
    assert check_package(made).problems == ()
    assert (restore(made, tmp_path / "out") / "100%25 wet\n.txt").read_text() == "x"


def test_a_netcdf_file_beside_a_zarr_store_stays_as_it_is(source, tmp_path):
    (source / "merged.nc").write_bytes(b"somebody's own")
    made = build_package([source], META, tmp_path / "package")
    assert (made / "data" / "content" / "merged.nc").read_bytes() == b"somebody's own"


def test_a_store_that_netcdf_cannot_hold_is_packed_as_zarr_and_says_so(tmp_path):
    xr.Dataset({"z": ("x", np.array([1 + 2j, 3j]))}).to_zarr(tmp_path / "wave.zarr", consolidated=False, zarr_format=3)
    made = build_package([tmp_path / "wave.zarr"], META, tmp_path / "package") / "data"
    assert [p.name for p in bag.files(made / "content")] == ["wave.zarr.zip"]
    assert "wave is not there as netCDF" in (made / "README.md").read_text()
    xr.testing.assert_identical(
        xr.open_zarr(restore(made.parent, tmp_path / "out") / "wave.zarr").load(), xr.open_zarr(tmp_path / "wave.zarr", consolidated=False).load()
    )  # fmt: skip


def test_what_cannot_be_packed_is_told_by_name_before_anything_is_written(source, tmp_path):
    def refused(word):
        with pytest.raises(VadoseInputError, match=word):
            build_package([source], META, tmp_path / "out" / "package")

    os.mkfifo(source / "pipe")  # to open it would wait for ever
    refused("pipe: neither a file nor a folder")
    (source / "pipe").unlink()
    (source / "loop").symlink_to(".")
    refused("loop: a link to a folder that it lies in")
    (source / "loop").unlink()
    (source / "gone").symlink_to("nowhere")
    refused("gone: a link to nowhere, which is not there")
    (source / "gone").unlink()
    odd = os.fsdecode(bytes(source / "bad") + b"\xff.csv")
    with open(odd, "w") as file:
        file.write("x")
    refused("not UTF-8")
    os.unlink(odd)
    with pytest.raises(VadoseInputError, match="inside"):
        build_package([source], META, source / "package")
    assert not (tmp_path / "out").exists()


def test_a_folder_called_steps_and_an_old_file_are_left_out_of_studies_only(tmp_path):
    for name in ("steps/a.txt", "table.old", "plain.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("x")
    assert list(content.plan([tmp_path / "in"])) == ["plain.txt", "steps/a.txt", "table.old"]
    (tmp_path / "in" / "provenance.json").write_text("{}")
    (tmp_path / "in" / "study.yaml").write_text("x: 1")
    assert list(content.plan([tmp_path / "in"])) == ["plain.txt", "provenance.json", "study.yaml"]
    with pytest.raises(UnreadableFileError, match=r"provenance\.json"):
        build_package([tmp_path / "in"], META, tmp_path / "package")


def test_a_link_in_a_package_is_named_and_never_followed(package, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k")
    (package / "data" / "content" / "more").symlink_to(tmp_path / "secret")
    assert [p.split(",")[0] for p in check_package(package).problems] == [
        "data/content/more: a link; a package holds files only"
    ]
    with pytest.raises(UnreadableFileError, match="more: a link"):
        restore(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_that_leads_out_of_its_folder_does_no_harm(package, tmp_path):
    members = {f"p/{p.relative_to(package).as_posix()}": p for p in bag.files(package)}
    (tmp_path / "x").write_text("harm")
    bag.write_zip({**members, "p/../../evil": tmp_path / "x"}, tmp_path / "bad.zip")
    assert "leads out" in check_package(tmp_path / "bad.zip").problems[0]
    with pytest.raises(UnreadableFileError, match="leads out"):
        restore(tmp_path / "bad.zip", tmp_path / "out" / "deep")
    assert not (tmp_path / "out" / "evil").exists()


def test_bags_of_others_are_verified_with_their_own_digests(tmp_path):
    """SHA-512 alone, a file that is still to be fetched, a line that is there twice."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"6" * 6)
    (tmp_path / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    line = hashlib.sha512(b"6" * 6).hexdigest() + "  data/a\n"
    manifest = tmp_path / "manifest-sha512.txt"
    manifest.write_text(line)
    assert check_package(tmp_path).problems == ()
    with pytest.raises(UnreadableFileError, match="not one that vadose packed"):
        restore(tmp_path, tmp_path.parent / "out")
    manifest.write_text(line + line)
    assert "data/a is listed twice" in check_package(tmp_path).problems[0]
    manifest.write_text(line + "0" * 128 + "  data/b\n")
    (tmp_path / "fetch.txt").write_text("https://example.org/b 5 data/b\n")
    assert check_package(tmp_path).problems == (
        "data/b: missing; fetch.txt says that it is to be had from https://example.org/b",
    )
    (tmp_path / "data" / "a").write_bytes(b"7" * 6)
    assert "data/a: content changed (its SHA-512" in check_package(tmp_path).problems[0]


def test_what_a_dead_run_left_is_removed_and_a_live_one_is_left_alone(source, tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, alive = tmp_path / f".p[1].{ended.pid}.part", tmp_path / f".p[1].{os.getppid()}.part"
    for folder in (dead, alive):
        folder.mkdir()
    build_package([source], META, tmp_path / "p[1]")
    assert not dead.exists()
    assert alive.exists()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"doi": "10.5072"}, "doi is '10.5072'; write a DOI"), ({"license": "CC BY 4.0"}, "an SPDX name"), ({"date_created": "2026-13-45"}, "date_created"),
        ({"creator_orcid": "0000-0002-1825-0098"}, "check digit"), ({"geospatial_lat_min": 1.0}, "geospatial_lat_max"), ({"time_coverage_start": "2023-01-01"}, "time_coverage_end"),
    ],
)  # fmt: skip
def test_a_field_that_would_break_a_description_is_refused_by_name(source, tmp_path, given, word):
    with pytest.raises(VadoseInputError, match=word):
        build_package([source], META | given, tmp_path / "package")


def test_keywords_in_one_text_are_words(source, tmp_path):
    made = build_package([source], META | {"keywords": "soil, water , sensor"}, tmp_path / "package")
    said = json.loads((made / "data" / "datacite.json").read_text())
    assert [s["subject"] for s in said["subjects"]] == ["soil", "water", "sensor"]


@pytest.mark.parametrize(
    ("text", "kinds", "missing", "follows"),
    [
        ("time,sm\n2026-05-01,0.1\n2026-05-02,-9999\n", ("date", "numeric"), ("N/A", "-9999"), True),
        ("# a\n# b\nsm,note\n1e-3,N/A\n.5,dry\n", ("numeric", "text"), ("-9999", "N/A"), True),
        ("sm\n1\n2\nwet\n", ("text",), ("N/A",), True),  # a number at first is no number for ever
        ("a,b\n1,\n", ("numeric", "text"), ("-9999", "N/A"), False),  # an empty cell
        ("a,b\n1,2,3\n", ("numeric", "numeric"), ("-9999", "-9999"), False),  # not rectangular
        ("soil moisture\nNaN\n0.2\n", ("numeric",), ("NaN",), False),  # a blank in a name
        ("a;b\n1;2\n", ("numeric", "numeric"), ("-9999", "-9999"), False),  # semicolons
        ("", (), (), False),
    ],
)  # fmt: skip
def test_what_a_csv_file_holds_is_read_from_all_its_rows(tmp_path, text, kinds, missing, follows):
    (tmp_path / "t.csv").write_text(text)
    found = tables.read_table(tmp_path / "t.csv")
    assert (found.kinds, found.missing, found.follows_rules) == (kinds, missing, follows)
    assert found.above == text.count("# ")


def test_only_files_that_follow_the_rules_are_said_to(source, package):
    said = {line.split(",")[0]: line for line in next((package / "data").glob("*_flmd.csv")).read_text().splitlines()}
    assert "ESS-DIVE CSV v1" in said["content/table.csv"]
    (source / "loose.csv").write_text("a b,c\n1,\n")
    again = build_package([source], META, package.with_name("again"))
    said = {line.split(",")[0]: line for line in next((again / "data").glob("*_flmd.csv")).read_text().splitlines()}
    assert "ESS-DIVE CSV v1" not in said["content/loose.csv"]


def test_c_x18_5_it_reads_without_vadose(package, tmp_path):
    import netCDF4

    with netCDF4.Dataset(package / "data" / "content" / "merged.nc") as file:
        assert file["soil_moisture"][:].tolist() == [0.1, 0.2]
        assert file["soil_moisture"].units == "m3 m-3"
    assert "`soil_moisture` in merged: soil moisture [m3 m-3]" in (package / "data" / "README.md").read_text()


def test_restored_content_is_what_was_packed(source, package, tmp_path):
    out = restore(package, tmp_path / "out")
    assert (out / "table.csv").read_bytes() == (source / "table.csv").read_bytes()
    xr.testing.assert_identical(
        xr.open_zarr(out / "merged.zarr").load(), xr.open_zarr(source / "merged.zarr", consolidated=False).load()
    )


def test_a_tampered_package_is_not_restored(package, tmp_path):
    (package / "data" / "content" / "table.csv").write_text("other")
    with pytest.raises(UnreadableFileError, match=r"table\.csv"):
        restore(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_file_level_metadata_and_dictionary_have_the_columns_of_the_templates(package, shared_data):
    formats = shared_data / "essdive_formats" / "file-level-metadata"
    for pattern, template in (
        ("*_flmd.csv", formats / "flmd_template.csv"),
        ("*_dd.csv", formats / "CSV_dd" / "CSV_dd_template.csv"),
    ):
        lines = next((package / "data").glob(pattern)).read_text().splitlines()
        assert lines[0] == template.read_text(encoding="utf-8-sig").strip()
        assert len(lines) > 1
        assert not any(",," in line or line.endswith(",") for line in lines)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (RuntimeError("NetCDF: HDF error"), "full disk"),
    ],
)
def test_a_full_disk_leaves_nothing_behind(source, tmp_path, monkeypatch, error, words):
    """Python's own error, and the one in which the netCDF library says that it could not write."""

    def full(*_):
        raise error

    monkeypatch.setattr(bag, "finish", full)
    with pytest.raises(PlatformError, match=words):
        build_package([source], META, tmp_path / "out" / "package")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_missing_is_named_and_a_package_is_never_overwritten(source, package, tmp_path):
    with pytest.raises(VadoseInputError, match="creator_name"):
        build_package([source], {k: v for k, v in META.items() if k != "creator_name"}, tmp_path / "other")
    with pytest.raises(VadoseInputError, match="exists"):
        build_package([source], META, package)


def test_a_link_out_of_the_folder_and_a_path_out_of_the_bag_are_refused(source, package, tmp_path):
    (source / "link").symlink_to("/etc/hostname")
    with pytest.raises(VadoseInputError, match="link"):
        build_package([source], META, tmp_path / "other")
    (package / "manifest-sha256.txt").write_text("0" * 64 + "  data/../../x\n")
    assert "line 1" in check_package(package).problems[0]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_comes_back_from_a_manifest(name):
    assert bag.decode(bag.encode(name)) == name
    assert "\n" not in bag.encode(name)


def test_sentences_say_what_a_file_is():
    assert content.sentence("content/merged.zarr.zip").startswith("merged: Zarr store")
    assert content.sentence("content/a.nc") == "a: netCDF-4 data"
    assert content.sentence("content/a.nc", ["content/a.zarr.zip"]) == "a: the same data as netCDF-4"
