"""The hub's folder: secrets, ports, a record that outlived its process."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from vadose.errors import PlatformError, VadoseInputError
from vadose.hub import services, state, unixusers
from vadose.hub.state import State, choose_ports, generated_password, is_free, process_of
from vadose.hub.unixusers import check, ensure, first_closed


def test_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    here = State(tmp_path)
    first = here.secret("token")
    assert here.secret("token") == first
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "token.secret").stat().st_mode) == 0o600


def test_passwords_are_generated_and_kept(tmp_path):
    here = State(tmp_path)
    first = here.passwords(["ana"])
    again = here.passwords(["ana", "ben"])
    assert again["ana"] == first["ana"]
    assert again["ben"] != again["ana"]
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600
    assert re.fullmatch(r"([a-z]+-){4}\d{4}", generated_password())
    assert len({generated_password() for _ in range(50)}) == 50


def test_full_disk_is_one_sentence_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(state.shutil, "disk_usage", lambda _: SimpleNamespace(free=5e8))
    with pytest.raises(PlatformError, match=r"only 0\.50 GB are free .* --state-dir"):
        State(tmp_path / "s").prepare()


HOLD = "import sys, time; from pathlib import Path; from vadose.hub.state import State; State(Path(sys.argv[1])).take('first'); print('held', flush=True); time.sleep(60)"


def test_one_hub_a_folder_and_a_killed_one_leaves_it_free(tmp_path):
    """The lock is the system's: it ends with the process, so that no file has to be believed."""
    here = State(tmp_path)
    assert here.holder() is None
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        holder = here.holder()
        assert (holder["pid"], holder["hub_id"], holder["phase"]) == (process.pid, "first", "starting")
        assert process_of(holder).pid == process.pid
        with pytest.raises(
            PlatformError, match=rf"a hub is starting in .* \(process {process.pid} .*`vadose hub stop`"
        ):
            here.take("second")
        assert here.running() is None, "it has no address yet"
        here.record.write_text(json.dumps({"hub_id": "first"}))
        assert here.running() == {"hub_id": "first"}
    finally:
        process.kill()
        process.communicate()
    assert here.holder() is None
    assert here.running() is None
    assert not here.record.exists(), "what the killed hub said of itself"
    hold = here.take("second")
    assert hold.before == "first", "whose processes are to be ended"
    hold.say("running")
    assert here.holder()["phase"] == "running"
    hold.let_go()
    assert here.holder() is None


def test_record_of_another_hub_than_the_one_that_starts_is_not_shown(tmp_path):
    here = State(tmp_path)
    here.record.write_text(json.dumps({"hub_id": "killed long ago"}))
    hold = here.take("new")
    assert here.running() is None
    here.record.write_text("{half a rec")
    assert here.running() is None
    hold.let_go()


def test_hub_of_another_machine_on_the_same_disk_is_never_signalled(tmp_path):
    """A number of a process there may be any process here."""
    mine = {"pid": os.getpid(), "started": psutil.Process().create_time() - 1000, "host": "node7"}
    with pytest.raises(PlatformError, match=f"process {os.getpid()} of node7, which cannot be seen from here"):
        process_of(mine)


@pytest.fixture
def person():
    """A Unix user made for one test."""
    if os.geteuid() != 0:
        pytest.skip("cannot run here: only root makes users and runs programs as them")
    name = f"vdststate{os.getpid()}"  # of this run alone: another one on this machine makes and removes its own
    subprocess.run(["useradd", "--create-home", name], check=True, capture_output=True)
    yield name
    subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)


@pytest.fixture
def closed():
    """A folder that only its owner may pass, on a way that everybody may go, with a link to this Python in it."""
    top = Path(tempfile.mkdtemp(prefix="vadose-closed-"))
    top.chmod(0o755)
    folder = top / "folder"
    folder.mkdir(mode=0o700)
    (folder / "venv").symlink_to(sys.prefix)
    yield folder
    shutil.rmtree(top)


def test_python_in_a_closed_folder_is_told_with_that_folder_before_anything_starts(person, closed):
    python = closed / "venv" / "bin" / "python"
    with pytest.raises(PlatformError, match=f"'{person}' cannot run {python}: {closed} is closed .* --shared-account"):
        check(person, python=str(python))
    # Through links, too: this is what a venv's interpreter is.
    (link := closed.parent / "python").symlink_to("folder/../folder/venv/bin/python")
    assert first_closed(person, [link]) == closed
    assert first_closed(person, [Path("/bin/sh"), closed.parent]) is None
    done = subprocess.run(
        [python, "-m", "vadose.cli", "hub", "up", "--users", person, "--no-s3", "--state-dir", closed.parent / "state"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{closed} is closed to them" in done.stderr
    assert "Traceback" not in done.stderr
    assert "demo world" not in done.stdout


def test_user_without_a_home_is_told(person):
    home = Path(pwd.getpwnam(person).pw_dir)
    home.rename(away := home.with_name(f"{person}-away"))
    try:
        with pytest.raises(PlatformError, match=f"{person!r} has no home folder {home}"):
            ensure([person])
    finally:
        away.rename(home)


def test_state_folder_that_users_cannot_enter_is_told(person, closed, monkeypatch):
    """Clusters of Unix users keep certificates in it."""
    monkeypatch.setattr(unixusers, "NEEDED", ("sys",))  # the system's own Python is enough for this one
    (state := closed / "state").mkdir()
    with pytest.raises(PlatformError, match=f"cannot enter {state}, .*: {closed} is closed .* --state-dir"):
        check(person, [state], python=shutil.which("python3", path="/usr/bin:/bin") or sys.executable)


def test_wanted_port_that_is_taken_is_told_and_an_unwanted_one_is_avoided():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PlatformError, match=f"port {port} is in use"):
            choose_ports(port)
        ports = choose_ports()
        assert port not in ports.values()
        assert len(set(ports.values())) == len(state.PORT_NAMES)


def test_object_store_listens_on_loopback_and_its_filer_is_closed(tmp_path):
    here = State(tmp_path)
    here.prepare()
    command = services.object_store(here, choose_ports()).command
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer.disableHttp", "-master.telemetry=false"} <= set(command)
    assert {"-s3.port.iceberg=0", "-s3.port.lance=0"} <= set(command), "their default ports may be taken"
    identities = json.loads((tmp_path / "s3-identities.json").read_text())["identities"]
    users = next(i for i in identities if i["name"] == "users")
    assert not any(a.startswith(("Write:demo", "Admin")) or a == "Write" for a in users["actions"])
    keys = json.dumps(services.s3_identities(here))
    assert not any(secret in " ".join(command) for secret in re.findall(r'"secret": "(\w+)"', keys))


@pytest.mark.parametrize("name", ["Ana", "a b", "-x", "../etc", "a" * 40, "9lives"])
def test_user_names_that_unix_would_not_take_are_refused(name):
    with pytest.raises(VadoseInputError, match="user name"):
        ensure([name])


def test_system_accounts_are_never_taken_for_users():
    with pytest.raises(VadoseInputError, match="system account"):
        ensure(["root"])
