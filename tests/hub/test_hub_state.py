"""The hub's folder: secrets, ports, a record that outlived its process."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from types import SimpleNamespace

import psutil
import pytest

from vadose.errors import PlatformError, VadoseInputError
from vadose.hub import services, state
from vadose.hub.state import State, choose_ports, generated_password, is_free
from vadose.hub.unixusers import ensure


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


def test_stale_record_is_removed(tmp_path):
    here = State(tmp_path)
    # This process's number with another start: the number was used again after a crash.
    here.record.write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time() - 1000}))
    assert here.running() is None
    assert not here.record.exists()
    here.record.write_text("{half a rec")
    assert here.running() is None
    mine = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    here.record.write_text(json.dumps(mine))
    assert here.running() == mine


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
