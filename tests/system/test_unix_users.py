"""A class on one machine: started by root with --users, everybody is a Unix user; started by an ordinary user, it runs as that user."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import requests
from real_hub import QUIET, Hub, each, line_of, start, stop, wait_for, with_small_world, with_stored_world

from vadose.hub.unixusers import first_closed

pytestmark = [pytest.mark.hub, pytest.mark.timeout(1200)]
#: Names of this run alone: another one on this machine makes and removes its own.
PUPILS = (f"vdstanna{os.getpid()}", f"vdstbert{os.getpid()}")
ORDINARY = f"vdstolga{os.getpid()}"  # not one of the class, whose hub may still run
PROBE = f"vdstprobe{os.getpid()}"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder():
    """A folder whose path other users may pass (pytest's own is closed to them), on the disk of this installation."""
    disk = os.stat(sys.prefix).st_dev
    places = [p for p in (tempfile.gettempdir(), "/var/tmp", "/opt") if os.path.isdir(p) and os.stat(p).st_dev == disk]
    path = Path(tempfile.mkdtemp(prefix="vadose-class-", dir=places[0] if places else None))
    path.chmod(0o755)
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


@pytest.fixture(scope="module")
def stranger():
    """A real Unix user with no rights, made for the question what such users may run."""
    if os.geteuid() != 0:
        pytest.skip("cannot run here: only root makes Unix users and starts servers as them")
    subprocess.run(["useradd", "--no-create-home", PROBE], capture_output=True, check=True)
    yield PROBE
    subprocess.run(["userdel", PROBE], capture_output=True, check=True)


def may_run(stranger: str, python: str) -> bool:
    imports = f"import sys, ssl, vadose.hub.state, jupyterhub; assert sys.version == {sys.version!r}"
    command = ["runuser", "-u", stranger, "--", python, "-c", imports]
    return subprocess.run(command, capture_output=True, cwd="/", check=False).returncode == 0


def linked(folder: Path, stranger: str) -> str:
    """This installation once more in an open folder: what is closed is most often the way to it, not its files.

    Where the way is open, a symbolic link leads to it; else hard links are made (seconds, no disk). Only what names a closed
    place is written anew: the venv's settings, its scripts' first lines, the checkout's entry.
    """
    base, venv, project = folder / "base", folder / "venv", folder / "project"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"

    def give(sources: list[Path], target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        if first_closed(stranger, [sources[0]]):
            subprocess.run(["cp", "-al", *map(str, sources), str(target)], check=True, capture_output=True, text=True)
        else:
            for source in sources:
                (target / source.name).symlink_to(source)

    def rewrite(path: Path, text: str) -> None:
        mode = path.stat().st_mode
        path.unlink()  # the other name of the file stays as it is
        path.write_text(text)
        path.chmod(mode)

    unneeded = {"site-packages", "test", "idlelib"}
    give([p for p in Path(sys.base_prefix, "lib", version).iterdir() if p.name not in unneeded], base / "lib" / version)
    if shared := list(Path(sys.base_prefix, "lib").glob("libpython*.so*")):
        give(shared, base / "lib")
    (base / "bin").mkdir()
    # Its library is looked for where the path in the program says: that is closed, and the system's own may be another version.
    there, here = str(Path(sys.base_prefix, "lib")).encode(), b"$ORIGIN/../lib"
    program = Path(os.path.realpath(sys.executable)).read_bytes()
    (base / "bin" / version).write_bytes(program.replace(there + b"\0", here.ljust(len(there), b"\0") + b"\0"))
    (base / "bin" / version).chmod(0o755)

    (venv / "bin").mkdir(parents=True)
    for path in Path(sys.prefix, "bin").iterdir():
        if path.is_file() and not path.is_symlink():
            os.link(path, venv / "bin" / path.name)
            if path.read_bytes()[:2] == b"#!":
                rewrite(venv / "bin" / path.name, path.read_text().replace(sys.prefix, str(venv)))
    (venv / "bin" / version).symlink_to(base / "bin" / version)
    (venv / "bin" / "python").symlink_to(version)
    (venv / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
    give([Path(sys.prefix, "lib", version, "site-packages")], venv / "lib" / version)
    give([p for p in Path(sys.prefix).iterdir() if p.name in ("share", "etc")], venv)
    if first_closed(stranger, [ROOT / "src"]):
        give([ROOT / "src", ROOT / "helm", ROOT / "notebooks"], project)
        for path in (venv / "lib" / version / "site-packages").glob("*.pth"):
            if str(ROOT) in path.read_text():
                rewrite(path, path.read_text().replace(str(ROOT), str(project)))
    return str(venv / "bin" / "python")


@pytest.fixture(scope="module")
def python(folder, stranger) -> str:
    """A Python with vadose that every user of this machine may run: this one, or where it is closed, one linked elsewhere."""
    if may_run(stranger, sys.executable):
        return sys.executable
    try:
        other = linked(folder, stranger)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot run here: this Python is closed to other users and cannot be linked elsewhere: {error}")
    if not may_run(stranger, other):
        pytest.skip("cannot run here: this Python is closed to other users, also when it is linked elsewhere")
    return other


@pytest.fixture(scope="module")
def class_hub(folder, python):
    new = [name for name in PUPILS if not _exists(name)]
    state = with_small_world(folder / "class")
    hub = start(state, "--users", ",".join(PUPILS), "--no-s3", python=python)
    yield hub
    stop(hub)
    for name in new:
        subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)


def _exists(name):
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


def server(hub: Hub, user: str) -> requests.Session:
    """A session of a user whose server runs."""
    session = hub.login(user)
    session.get(f"{hub.url}/hub/spawn/{user}")
    page, status = f"{hub.url}/user/{user}/lab", f"{hub.url}/user/{user}/api/status"
    # The page goes through the server's own login; only then does its interface answer. Each question costs the hub time
    # that the server's start needs.
    wait_for(
        lambda: session.get(page).ok and session.get(status).status_code == 200,
        timeout=300, what="the server", every=1.5,
    )  # fmt: skip
    return session


def test_pupils_are_unix_users_with_their_own_servers_clusters_and_closed_homes(class_hub):
    hub = class_hub
    assert "Unix user" in requests.get(f"{hub.url}/hub/login", timeout=60).text
    sessions = {name: server(hub, name) for name in PUPILS}
    owners = {}
    for process in hub.processes():
        line = line_of(process)
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


def test_a_pupil_s_cluster_runs_as_that_pupil(class_hub, python):
    hub = class_hub
    anna = PUPILS[0]
    code = (
        "from vadose.access import cluster\nimport os\n"
        "with cluster.connect(1) as c:\n    print('UIDS', c.client.submit(os.getuid).result(), c.client.run_on_scheduler(os.getuid))\n"
    )
    environment = {**hub.environment(anna), **QUIET, "HOME": pwd.getpwnam(anna).pw_dir}
    settings = [f"{k}={v}" for k, v in environment.items()]
    done = subprocess.run(
        ["runuser", "-u", anna, "--", "env", *settings, python, "-W", "ignore", "-c", code],
        capture_output=True, text=True, timeout=200, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    uid = pwd.getpwnam(anna).pw_uid
    assert f"UIDS {uid} {uid}" in done.stdout
    assert os.stat("/").st_uid == 0  # the stock backend would have handed the root folder to the pupil


def test_an_ordinary_user_gets_the_whole_platform_and_the_login_page_says_who_shares_it(folder, python, hub):
    name = ORDINARY
    new = not _exists(name)
    if new:
        subprocess.run(["useradd", "--create-home", name], check=True, capture_output=True)
    state = folder / "ordinary"
    state.mkdir()
    with_stored_world(state, hub)
    subprocess.run(["chown", "-R", f"{name}:", str(state)], check=True)
    command = [
        "runuser",
        "-u",
        name,
        "--",
        "env",
        "HOME=" + pwd.getpwnam(name).pw_dir,
        python,
        "-m",
        "vadose.cli",
        "hub",
    ]
    try:
        up = subprocess.run(
            [*command, "up", "--background", "--state-dir", str(state)],
            capture_output=True,
            text=True,
            timeout=600,
            cwd="/",
            check=False,
        )
        assert up.returncode == 0, up.stdout + up.stderr + Hub(state).log()
        status = subprocess.run(
            [*command, "status", "--json", "--state-dir", str(state)],
            capture_output=True,
            text=True,
            cwd="/",
            check=True,
        )
        theirs = Hub(state, json.loads(status.stdout))
        assert all(theirs.record["health"].values())
        assert "shares one Unix account" in requests.get(f"{theirs.url}/hub/login", timeout=60).text
        assert set(each(theirs.processes(), psutil.Process.username)) == {name}
        user = theirs.record["users"][0]
        assert server(theirs, user).get(f"{theirs.url}/user/{user}/api/contents/notebooks/00-start").ok
    finally:
        ended = subprocess.run([*command, "stop", "--state-dir", str(state)], capture_output=True, text=True, cwd="/")
        if new:
            subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
    assert ended.stdout == "stopped\n", ended
    left = [p.info for p in psutil.process_iter(["pid", "username", "status", "cmdline"]) if p.info["username"] == name]
    assert not [p for p in left if p["status"] != psutil.STATUS_ZOMBIE]
