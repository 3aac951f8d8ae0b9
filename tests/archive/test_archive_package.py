"""Packages: the same bytes every time, whole or not there, checked file by file, accepted by an independent validator."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.archive import bag, build_package, check_package, content, restore
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
    one, two = (build_package([source], META, tmp_path / f"p{k}.zip") for k in (1, 2))
    assert one.read_bytes() == two.read_bytes()


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


def test_a_full_disk_leaves_nothing_behind(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bag, "finish", full)
    with pytest.raises(PlatformError, match="No space left"):
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
