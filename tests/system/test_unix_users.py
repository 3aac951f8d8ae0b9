"""A class on one machine: started by root with --users, everybody is a Unix user; started by an ordinary user, it runs as that user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import requests
from real_hub import QUIET, Hub, start, stop, wait_for

pytestmark = [pytest.mark.hub, pytest.mark.timeout(600)]
PUPILS = ("vdstanna", "vdstbert")


def readable_by_others() -> bool:
    done = subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable, "-c", "import vadose.hub"],
        capture_output=True, cwd="/", check=False,
    )  # fmt: skip
    return done.returncode == 0


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not readable_by_others(),
    reason="cannot run here: needs root, and a Python and a checkout that other users of this machine may read",
)


@pytest.fixture
def folder():
    """A folder whose path other users may pass (pytest's own is closed to them)."""
    path = Path(tempfile.mkdtemp(prefix="vadose-class-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def class_hub(folder):
    new = [name for name in PUPILS if not _exists(name)]
    hub = start(folder / "state", "--users", ",".join(PUPILS), "--no-s3")
    yield hub
    stop(hub)
    for name in new:
        subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)


def _exists(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def server(hub: Hub, user: str) -> requests.Session:
    """A session of a user whose server runs."""
    session = hub.login(user)
    session.get(f"{hub.url}/hub/spawn/{user}")
    page, status = f"{hub.url}/user/{user}/lab", f"{hub.url}/user/{user}/api/status"
    # The page goes through the server's own login; only then does its interface answer.
    wait_for(lambda: session.get(page).ok and session.get(status).status_code == 200, timeout=120, what="the server")
    return session


@needs_root
def test_pupils_are_unix_users_with_their_own_servers_clusters_and_closed_homes(class_hub):
    hub = class_hub
    assert "Unix user" in requests.get(f"{hub.url}/hub/login", timeout=10).text
    sessions = {name: server(hub, name) for name in PUPILS}
    owners = {}
    for process in hub.processes():
        line = " ".join(process.cmdline())
        if "jupyterhub.singleuser" in line:
            owners.setdefault(process.username(), []).append(line)
    assert set(owners) == set(PUPILS)

    # What a notebook server writes belongs to its user, and the other one cannot read it.
    anna, bert = PUPILS
    xsrf = sessions[anna].cookies.get("_xsrf", path=f"/user/{anna}/")
    done = sessions[anna].put(
        f"{hub.url}/user/{anna}/api/contents/diary.txt",
        json={"type": "file", "format": "text", "content": "mine"},
        headers={"X-XSRFToken": xsrf, "Referer": f"{hub.url}/user/{anna}/lab"},
    )
    assert done.status_code == 201, done.text
    diary = Path(pwd.getpwnam(anna).pw_dir) / "diary.txt"
    assert diary.owner() == anna
    for path in (diary, hub.state / "passwords.json", hub.state / "s3-keys.json", hub.state / "hub-settings.json"):
        read = subprocess.run(
            ["runuser", "-u", bert, "--", "cat", str(path)], capture_output=True, text=True, check=False
        )
        assert "mine" not in read.stdout
        if path.exists():
            assert read.returncode != 0, path
    # Neither through the other's server: the hub refuses.
    assert sessions[bert].get(f"{hub.url}/user/{anna}/api/contents/diary.txt").status_code in (403, 404)


@needs_root
def test_a_pupil_s_cluster_runs_as_that_pupil(class_hub):
    hub = class_hub
    anna = PUPILS[0]
    code = (
        "from vadose.access import cluster\nimport os\n"
        "with cluster.connect(1) as c:\n    print('UIDS', c.client.submit(os.getuid).result(), c.client.run_on_scheduler(os.getuid))\n"
    )
    environment = {**hub.environment(anna), **QUIET, "HOME": pwd.getpwnam(anna).pw_dir}
    settings = [f"{k}={v}" for k, v in environment.items()]
    done = subprocess.run(
        ["runuser", "-u", anna, "--", "env", *settings, sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, timeout=200, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    uid = pwd.getpwnam(anna).pw_uid
    assert f"UIDS {uid} {uid}" in done.stdout
    assert os.stat("/").st_uid == 0  # the stock backend would have handed the root folder to the pupil


@needs_root
def test_an_ordinary_user_gets_the_whole_platform_and_the_login_page_says_who_shares_it(folder):
    name = PUPILS[0]
    new = not _exists(name)
    if new:
        subprocess.run(["useradd", "--create-home", name], check=True, capture_output=True)
    state = folder / "state"
    state.mkdir()
    shutil.chown(state, name)
    command = [
        "runuser",
        "-u",
        name,
        "--",
        "env",
        "HOME=" + pwd.getpwnam(name).pw_dir,
        sys.executable,
        "-m",
        "vadose.cli",
        "hub",
    ]
    try:
        up = subprocess.run(
            [*command, "up", "--background", "--state-dir", str(state)],
            capture_output=True,
            text=True,
            timeout=300,
            cwd="/",
            check=False,
        )
        assert up.returncode == 0, up.stdout + up.stderr
        status = subprocess.run(
            [*command, "status", "--json", "--state-dir", str(state)],
            capture_output=True,
            text=True,
            cwd="/",
            check=True,
        )
        hub = Hub(state, json.loads(status.stdout))
        assert all(hub.record["health"].values())
        assert "shares one Unix account" in requests.get(f"{hub.url}/hub/login", timeout=10).text
        assert {p.username() for p in hub.processes()} == {name}
        user = hub.record["users"][0]
        assert server(hub, user).get(f"{hub.url}/user/{user}/api/contents/notebooks/00-start").ok
    finally:
        subprocess.run([*command, "stop", "--state-dir", str(state)], capture_output=True, cwd="/", check=False)
        if new:
            subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
    assert not [p for p in psutil.process_iter(["username"]) if p.info["username"] == name]
