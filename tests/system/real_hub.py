"""A real hub for the session: started once on free ports in a folder of its own, stopped with every process at the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

QUIET = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def vadose(
    *arguments: str, check: bool = True, timeout: float = 300, python: str = sys.executable, **options: Any
) -> subprocess.CompletedProcess:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("VADOSE_HUB", "DASK_GATEWAY", "JUPYTERHUB_"))
    } | QUIET
    done = subprocess.run(
        [python, "-m", "vadose.cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        check=False,
        **options,
    )
    assert not check or done.returncode == 0, f"vadose {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done


def said(page: str) -> str:
    """The words of a page, without marks, scripts and styles."""
    bare = re.sub(r"<(script|style|head)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(bare.split())[-500:]


def each(processes: Iterable[psutil.Process], ask: Callable[[psutil.Process], Any]) -> list[Any]:
    """What `ask` gives of each process; those that end meanwhile say nothing."""
    said = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            said.append(ask(process))
    return said


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended, though nobody may have waited for it yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def line_of(process: psutil.Process) -> str:
    """The command line of a process; of one that has ended, nothing."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@dataclass
class Hub:
    """A hub that runs: its record and a session of one of its users."""

    state: Path
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.record["url"].rstrip("/")

    def password(self, user: str) -> str:
        return json.loads((self.state / "passwords.json").read_text())["users"][user]

    def login(self, user: str) -> requests.Session:
        """A session as the browser would have it."""
        session = requests.Session()
        session.trust_env = False
        session.get(f"{self.url}/hub/login")
        answer = session.post(
            f"{self.url}/hub/login",
            data={
                "username": user,
                "password": self.password(user),
                "_xsrf": session.cookies.get("_xsrf", path="/hub/"),
            },
        )
        assert answer.ok, f"{answer.status_code} at {answer.url}: {said(answer.text)}\n{self.log()}"
        return session

    def log(self) -> str:
        """The last of what the hub wrote, for the message of a test that fails."""
        path = self.state / "logs" / "hub.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else "it has no log yet"

    def token(self, user: str) -> str:
        session = self.login(user)
        session.get(f"{self.url}/hub/token")
        answer = session.post(
            f"{self.url}/hub/api/users/{user}/tokens",
            headers={"X-XSRFToken": session.cookies.get("_xsrf", path="/hub/"), "Referer": f"{self.url}/hub/token"},
            json={"note": "test"},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    def environment(self, user: str) -> dict[str, str]:
        """The environment of a notebook of `user`, as the hub would give it."""
        settings = json.loads((self.state / "hub-settings.json").read_text())
        gateway = settings["gateway"]
        return {
            **settings["environment"],
            "DASK_GATEWAY__ADDRESS": gateway["address"],
            "DASK_GATEWAY__PROXY_ADDRESS": gateway["proxy_address"],
            "DASK_GATEWAY__PUBLIC_ADDRESS": "/services/dask-gateway",
            "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
            "JUPYTERHUB_API_TOKEN": self.token(user),
        }

    def run_as(self, user: str, code: str, *, check: bool = True, timeout: float = 240) -> subprocess.CompletedProcess:
        """Run Python as a notebook of `user` would."""
        environment = {**os.environ, **self.environment(user), **QUIET}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
        return done

    def processes(self) -> list[psutil.Process]:
        """Everything that carries this hub's mark."""
        from vadose.hub.supervisor import marked

        return [p for p in marked(self.record["hub_id"]) if lives(p)]


def start(state: Path, *options: str, python: str = sys.executable) -> Hub:
    try:
        vadose("hub", "up", "--background", "--state-dir", str(state), *options, python=python, timeout=600)
    except BaseException:
        vadose("hub", "stop", "--state-dir", str(state), check=False)
        raise
    hub = Hub(state)
    hub.record = json.loads(vadose("hub", "status", "--json", "--state-dir", str(state)).stdout)
    return hub


def stop(hub: Hub) -> None:
    vadose("hub", "stop", "--state-dir", str(hub.state))


def with_small_world(state: Path) -> Path:
    """A state folder with a world of four places and a month in plain files: for hubs with `--no-s3` whose tests ask what people
    and processes may do, not what data say. Writing the demo world takes a minute; the session's hub does it."""
    from vadose.access.demo import write_catalog
    from vadose.world import make

    box, (start, end) = (-100.0, 40.0, -99.0, 41.0), ("2018-05-01", "2018-05-31")
    path = state / "store" / "truth" / "truth.nc"
    path.parent.mkdir(parents=True)
    make(box, 0.5, start, end, 42).to_netcdf(path)
    entry = {
        "id": "demo-truth", "title": "A small truth", "description": "Four places and a month", "reader": "netcdf", "time": [start, end],
        "bbox": list(box), "variables": ["soil_moisture"], "hrefs": ["truth/truth.nc"],
    }  # fmt: skip
    write_catalog({"collections": [entry]}, str(state / "store"), state / "catalog")
    (state / "catalog" / ".written-files").touch()
    return state


def with_stored_world(state: Path, hub: Hub) -> Path:
    """A state folder with the object store of `hub` in it, as it would lie there after a crash: what was answered is on disk."""
    [store] = [p for p, last in each(hub.processes(), lambda p: (p, p.name() == "weed" and not p.children())) if last]
    store.suspend()
    try:
        shutil.copytree(hub.state / "s3", state / "s3")
    finally:
        store.resume()
    shutil.copytree(hub.state / "catalog", state / "catalog")
    return state


@pytest.fixture(scope="session")
def hub(tmp_path_factory) -> Any:
    """A hub for two users, one of whom may not start clusters."""
    state = tmp_path_factory.mktemp("hub")
    hub = start(state, "--users", "ana,ben,guest", "--cluster-users", "ana,ben", "--shared-account")
    yield hub
    stop(hub)
    assert not hub.processes(), "stopped, and yet there is something left of it"


def wait_for(condition, *, timeout: float = 60, what: str = "the condition", every: float = 0.3) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        time.sleep(every)
