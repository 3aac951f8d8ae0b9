"""The doctor: each trouble is found and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from vadose import doctor
from vadose.config import Settings
from vadose.doctor import BAD, DOUBT, GOOD, Finding, Place


@pytest.fixture
def place(tmp_path):
    def make(environment=None, *, client=None, **settings):
        return Place(
            environment or {}, Settings(**{"cache_dir": str(tmp_path / "cache"), **settings}), tmp_path, client
        )

    return make


def test_every_finding_that_is_not_well_says_what_to_do(place):
    for finding in doctor.examine(place()):
        assert finding.state in (GOOD, DOUBT, BAD)
        assert finding.seen
        assert bool(finding.todo) == (finding.state != GOOD), finding


def test_old_zarr_is_broken_because_it_loses_data(place, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "3.0.7")
    (finding,) = doctor.versions(place())
    assert finding.state == BAD
    assert "lose data" in finding.todo


def test_workers_with_other_versions_are_named(place):
    here = doctor._stack_versions()
    client = SimpleNamespace(
        run_on_scheduler=lambda f: f(), run=lambda f: {"tcp://1": here, "tcp://2": {**here, "numpy": "1.0"}}
    )
    (finding,) = doctor.cluster_versions(place(client=client))
    assert finding.state == BAD
    assert f"numpy {here['numpy']} here, 1.0 on workers" in finding.seen
    same = SimpleNamespace(run_on_scheduler=lambda f: f(), run=lambda f: {"tcp://1": here})
    assert doctor.cluster_versions(place(client=same))[0].state == GOOD
    assert doctor.cluster_versions(place()) == []


def test_full_home_is_broken_and_nearly_full_is_in_doubt(place, monkeypatch):
    for free, state in ((0.1e9, BAD), (0.5e9, DOUBT), (50e9, GOOD)):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(total=100e9, free=free))
        assert doctor.home_space(place())[0].state == state


def test_small_memory_of_the_container_counts_not_that_of_the_machine(place):
    assert "of 0.5 GB" in doctor.memory(place({"MEM_LIMIT": "500000000"}))[0].seen
    assert doctor.memory(place({"MEM_LIMIT": "500000000"}))[0].state == DOUBT


def test_scratch_is_written_read_and_removed(place, tmp_path):
    (tmp_path / "scratch").mkdir()
    (finding,) = doctor.scratch(place({"SCRATCH_BUCKET": f"file://{tmp_path}/scratch", "VADOSE_SCRATCH_DAYS": "7"}))
    assert finding.seen.endswith("deleted after 7 days")
    assert finding.state == GOOD
    assert not list((tmp_path / "scratch").iterdir())
    (tmp_path / "plain").write_text("")
    assert doctor.scratch(place({"SCRATCH_BUCKET": f"file://{tmp_path}/plain"}))[0].state == BAD


def test_netrc_that_others_can_read_is_broken(place, tmp_path):
    path = tmp_path / ".netrc"
    path.write_text(f"machine {doctor.EARTHDATA} login a password geheim\n")
    path.chmod(0o644)
    (finding,) = doctor.earthdata(place())
    assert finding.state == BAD
    assert "chmod 600" in finding.todo
    path.chmod(0o600)
    (finding,) = doctor.earthdata(place())
    assert finding.state == GOOD
    assert "geheim" not in str(finding)
    path.write_text("machine example.org login a password b\n")
    assert doctor.earthdata(place())[0].state == DOUBT
    path.write_text("machin x\n")
    assert doctor.earthdata(place())[0].state == BAD
    assert doctor.earthdata(place({"EARTHDATA_TOKEN": "secret-token"}))[0].state == GOOD


def test_region_beside_the_archive_or_not(place):
    assert doctor.region(place({"AWS_REGION": "us-west-2"}))[0].state == GOOD
    assert doctor.region(place({"AWS_DEFAULT_REGION": "eu-central-1"}))[0].state == DOUBT
    assert doctor.region(place({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}))[0].state == GOOD


def test_catalog_that_does_not_answer_is_broken(place):
    (finding,) = doctor.catalog(place(catalog="http://127.0.0.1:9/stac"))
    assert finding.state == BAD
    assert "VADOSE_CATALOG" in finding.todo


def test_check_that_fails_itself_does_not_hide_the_others(place):
    def broken(_):
        raise RuntimeError("boom")

    found = doctor.examine(place(), (broken, lambda _: [Finding("x", GOOD, "fine")]))
    assert [f.state for f in found] == [BAD, GOOD]


def test_doctor_says_where_it_is(place):
    assert doctor.surroundings(place({"VADOSE_ON_HUB": "local"}))[0].seen == "a hub on one machine"
    assert "the image" in doctor.surroundings(place({"VADOSE_FILES": "/opt"}))[0].seen
    hub = {"VADOSE_ON_HUB": "kubernetes", "JUPYTER_IMAGE_SPEC": "a/b:1"}
    assert doctor.surroundings(place(hub))[0].seen == "a hub, a/b:1"
    assert (
        doctor.surroundings(place({**hub, "DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE": "{JUPYTER_IMAGE_SPEC}"}))[0].state
        == GOOD
    )
    (finding,) = doctor.surroundings(place({**hub, "DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE": "a/b:2"}))
    assert finding.state == DOUBT
    assert "a/b:2" in finding.seen


def test_another_python_on_the_workers_is_named(place):
    here = doctor._stack_versions()
    client = SimpleNamespace(run_on_scheduler=lambda f: {**here, "python": "3.9"}, run=lambda f: {"tcp://1": here})
    (finding,) = doctor.cluster_versions(place(client=client))
    assert f"python {here['python']} here, 3.9 on scheduler" in finding.seen


def test_home_that_takes_no_writes_says_how_to_make_room(place):
    (finding,) = doctor.home_space(place({"VADOSE_HOME_FULL": "1"}))
    assert finding.state == BAD
    assert "du -xh" in finding.todo


def test_limit_of_the_container_under_both_versions_of_cgroups(tmp_path):
    assert doctor._cgroup_limit(tmp_path) == 0
    (tmp_path / "memory").mkdir()
    old = tmp_path / "memory" / "memory.limit_in_bytes"
    old.write_text("9223372036854771712\n")
    assert doctor._cgroup_limit(tmp_path) == 0
    old.write_text("104857600\n")
    assert doctor._cgroup_limit(tmp_path) == 104857600
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor._cgroup_limit(tmp_path) == 104857600
    (tmp_path / "memory.max").write_text("52428800\n")
    assert doctor._cgroup_limit(tmp_path) == 52428800


def test_command_prints_json_and_ends_with_one_when_something_is_broken(tmp_path):
    import os

    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "VADOSE_CATALOG": "http://127.0.0.1:9/stac",
        "NO_PROXY": "127.0.0.1",
    }
    for name in ("DASK_GATEWAY__ADDRESS", "SCRATCH_BUCKET"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "vadose.cli", "doctor", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert found["catalog"]["state"] == BAD
    assert found["packages"]["state"] == GOOD
