"""Start the platform on this machine, keep it alive, and end every process of it.

One supervisor process holds the services as children in their own process groups. All of them, and all they start, carry
VADOSE_HUB_ID in their environment: that is how what outlives its parent (a Dask scheduler after its gateway was killed) is
found and ended too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vadose.errors import PlatformError, VadoseInputError
from vadose.hub import services, unixusers
from vadose.hub.state import Hold, State, choose_ports

ID_VARIABLE = "VADOSE_HUB_ID"
#: A service that dies more often than this in five minutes is not restarted any more.
MOST_RESTARTS = 5

Tell = Callable[[str], None]


class PortTaken(PlatformError):
    """A port that was free a moment ago has another program on it."""


@dataclass
class Child:
    """A running service, its recent restarts, and where in its log the words of this start begin."""

    service: services.Service
    process: subprocess.Popen
    restarts: list[float]
    begins: int


class Supervisor:
    """The services of one state folder."""

    def __init__(
        self,
        state: State,
        *,
        port: int = 0,
        ip: str = "127.0.0.1",
        users: list[str] | None = None,
        cluster_users: list[str] | None = None,
        shared_account: bool = False,
        s3: bool = True,
        tell: Tell = print,
    ) -> None:
        self.state, self.tell, self.s3 = state, tell, s3
        self.hub_id = uuid.uuid4().hex
        self.unix_users = bool(users) and os.geteuid() == 0 and not shared_account
        self.users = users or ["vadose"]
        strangers = set(cluster_users or []) - set(self.users)
        if strangers:
            raise VadoseInputError(
                f"--cluster-users names {sorted(strangers)}, who are not among the users {self.users}"
            )
        self.cluster_users = cluster_users
        self.wanted_port = port
        self.ip = ip
        self.ports = choose_ports(port)
        self.children: dict[str, Child] = {}
        self.stopping = False
        self.hold: Hold | None = None

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> dict[str, Any]:
        """Start everything and return the record that `status` shows. On failure nothing is left running."""
        self.state.prepare()
        self.hold = self.state.take(self.hub_id)
        reap_leftovers(self.state, self.hold.before)
        if self.unix_users:
            unixusers.ensure(self.users)
            unixusers.check(self.users[0], [self.state.root / "clusters"])
        passwords = self.state.passwords(self.users)
        for attempt in (1, 2, 3):
            try:
                self._start_services()
                break
            except PortTaken:
                self._end_children()
                if attempt == 3:
                    self.stop()
                    raise
                self.ports = choose_ports(self.wanted_port)
            except BaseException:
                self.stop()
                raise
        record = {
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "hub_id": self.hub_id,
            "url": f"http://127.0.0.1:{self.ports['public']}/",
            "ports": self.ports,
            "users": self.users,
            "store": "SeaweedFS" if self.s3 else "plain files",
        }
        self.state.write_secret("hub.json", json.dumps(record, indent=1))
        self.hold.say("running")
        record["passwords"] = passwords
        return record

    def _start_services(self) -> None:
        if self.s3:
            self._launch(services.object_store(self.state, self.ports))
        store = self._store_environment()
        self._write_world(store)
        self._launch(services.catalog_service(self.state, self.ports))
        hub = services.jupyterhub(
            self.state,
            self.ports,
            hub_id=self.hub_id,
            ip=self.ip,
            users=self.users,
            cluster_users=self.cluster_users,
            unix_users=self.unix_users,
            store=store,
            notice=self._notice(),
        )
        self._launch(services.citizen_service(self.state, self.ports), hub)

    def _notice(self) -> str:
        where = "`vadose hub status` shows names and passwords to who started this hub."
        if self.unix_users:
            return f"{where} Each user is a Unix user of this machine."
        return f"{where} Everybody on this hub shares one Unix account of this machine: people who log in can read each other's files."

    def _launch(self, *together: services.Service) -> None:
        for service in together:
            self.tell(f"starting {service.name}")
            self.children[service.name] = self._child(service)
        for service in together:
            self._await(self.children[service.name])

    def _child(self, service: services.Service, restarts: Sequence[float] = ()) -> Child:
        log = self.state.logs / f"{service.name}.log"
        begins = log.stat().st_size if log.exists() else 0
        return Child(service, self._spawn(service), [*restarts], begins)

    def _spawn(self, service: services.Service) -> subprocess.Popen:
        mine = {k: v for k, v in os.environ.items() if k not in ("JUPYTERHUB_API_TOKEN", "AWS_PROFILE")}
        environment = {
            **mine,
            **service.environment,
            ID_VARIABLE: self.hub_id,
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        with open(self.state.logs / f"{service.name}.log", "ab") as log:
            return subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.state.root,
                start_new_session=True,
            )

    def _await(self, child: Child) -> None:
        """Wait until the service answers on each of its ports. Raises PortTaken where another program does."""
        name, log = child.service.name, self._log(child)
        deadline = time.monotonic() + child.service.patience
        for port, door in child.service.doors.items():
            while not services.answers(door):
                ended = child.process.poll()
                if ended is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                if port_taken(log, child.begins):
                    raise PortTaken(
                        f"{name}: a port was taken by another program while it started; try again. Whole log: {log}"
                    )
                if ended is None:
                    raise PlatformError(f"{name} did not answer within {child.service.patience:.0f} s; see {log}")
                raise PlatformError(f"{name} ended at once (exit {ended}): {last_line(log)}. Whole log: {log}")
            # Two hubs started at the same moment can choose the same port, and then the other one's service answers.
            if not listens(port, marked(self.hub_id)):
                raise PortTaken(f"{name}: port {port} was taken by another program while it started; try again")

    def _log(self, child: Child) -> Path:
        return self.state.logs / f"{child.service.name}.log"

    def _store_environment(self) -> dict[str, str]:
        """What a notebook needs to read the store: its users' keys, never the owner's."""
        if not self.s3:
            return {"VADOSE_STORE": str(self.state.root / "store")}
        keys = services.s3_identities(self.state)["users"]
        endpoint = f"http://127.0.0.1:{self.ports['s3']}"
        return {
            "VADOSE_STORE": f"s3://{services.BUCKET}",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": keys["key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "SCRATCH_BUCKET": f"s3://{services.SCRATCH}",
        }

    def _write_world(self, store: dict[str, str]) -> None:
        """The demo world into the store and its catalog beside it, in a process of its own so that this one stays small."""
        stamp = self.state.root / "catalog" / f".written-{'s3' if self.s3 else 'files'}"
        endpoint = store.get("AWS_ENDPOINT_URL", "")
        if stamp.exists() and self._world_is_there():
            return
        self.tell("writing the demo world (once, about a minute)")
        owner = services.s3_identities(self.state)["owner"] if self.s3 else {"key": "", "secret": ""}
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": owner["key"],
            "AWS_SECRET_ACCESS_KEY": owner["secret"],
            ID_VARIABLE: self.hub_id,
            "VADOSE_CACHE_DIR": str(self.state.root / "cache"),
            "NO_PROXY": "127.0.0.1",
        }
        command = [
            sys.executable,
            "-m",
            "vadose.hub.seed",
            store["VADOSE_STORE"],
            str(self.state.root / "catalog"),
            endpoint,
        ]
        done = subprocess.run(
            command, env=environment, cwd=self.state.root, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise PlatformError(
                f"writing the demo world failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}; run the same command again to continue where it stopped"
            )
        stamp.touch()

    def _world_is_there(self) -> bool:
        folder = self.state.root / ("s3" if self.s3 else "store")
        return folder.is_dir() and any(folder.iterdir())

    # -- running ------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Keep the services alive until `stop` or a signal; what dies is started again, with a line in the log."""
        while not self.stopping:
            for child in list(self.children.values()):
                if not self.stopping and child.process.poll() is not None:
                    self._restart(child)
            time.sleep(0.5)

    def _restart(self, child: Child) -> None:
        now = time.monotonic()
        child.restarts = [t for t in child.restarts if now - t < 300.0]
        name = child.service.name
        if len(child.restarts) >= MOST_RESTARTS:
            self.tell(
                f"{name} died {MOST_RESTARTS} times in five minutes: stopping. Last words: {last_line(self._log(child))}"
            )
            self.stopping = True
            return
        child.restarts.append(now)
        self.tell(f"{name} died (exit {child.process.returncode}); starting it again")
        end_group(child.process.pid, grace=2.0)
        end_listeners([*child.service.doors, *child.service.inner], self.hub_id)
        time.sleep(min(2.0 ** len(child.restarts) / 4, 5.0))
        child = self.children[name] = self._child(child.service, child.restarts)
        with contextlib.suppress(PlatformError):
            self._await(child)

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End every process that was started, in the reverse order, and whatever they left behind."""
        self.stopping = True
        if self.hold is None:
            return
        self.hold.say("stopping")
        self._end_children()
        self.state.record.unlink(missing_ok=True)
        self.hold.let_go()
        self.hold = None

    def _end_children(self) -> None:
        for child in reversed(list(self.children.values())):
            end_group(child.process.pid, grace=child.service.grace, process=child.process)
        self.children.clear()
        end_marked(self.hub_id)
        remove_runtime(self.state)


def port_taken(log: Path, begins: int) -> bool:
    """Whether a service says in its log, from the byte `begins` on, that a port of its was in use."""
    with open(log, "rb") as file:
        file.seek(begins)
        return b"address already in use" in file.read().lower()


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []
    return lines[-1][-300:] if lines else "it said nothing"


def end_group(pid: int, *, grace: float, process: subprocess.Popen | None = None) -> None:
    """SIGTERM to a process (its own children are its business), SIGKILL to its whole group after `grace` seconds."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        if not psutil.pid_exists(pid):
            break
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def marked(hub_id: str) -> list[psutil.Process]:
    """Every process, other than this one, that carries the hub's mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(ID_VARIABLE) == hub_id:
                found.append(process)
    return found


def listens(port: int, processes: Iterable[psutil.Process]) -> bool:
    """Whether one of `processes` is what listens on `port`."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def end_listeners(ports: Collection[int], hub_id: str) -> None:
    """End this hub's processes that listen on `ports`: the gateway of a JupyterHub that was killed would stay beside the next one's,
    with the port and the same clusters. Killed, not asked: asked, it would stop those."""
    holders = [p for p in marked(hub_id) if any(listens(port, [p]) for port in ports)]
    for process in holders:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(holders, timeout=5.0)


def end_marked(hub_id: str) -> int:
    """End all marked processes: politely, then not. Returns how many there were."""
    ended: set[int] = set()
    for sign, wait in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0), (signal.SIGKILL, 3.0)):
        processes = marked(hub_id)
        if not processes:
            break
        for process in processes:
            ended.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.send_signal(sign)
        psutil.wait_procs(processes, timeout=wait)
    return len(ended)


def last_settings(state: State) -> dict[str, Any]:
    """What the last hub of this folder was told; empty before the first one, or when the file was cut short."""
    try:
        return json.loads((state.root / "hub-settings.json").read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def remove_runtime(state: State) -> None:
    """Take the sockets of kernels away; they lie outside the state folder, whose path may be too long for a socket."""
    if folder := last_settings(state).get("runtime"):
        shutil.rmtree(folder, ignore_errors=True)


def reap_leftovers(state: State, last: str | None) -> None:
    """End what an earlier supervisor of this folder left behind when it was killed: the hub `last`, and the last that got so
    far as to have settings."""
    for hub_id in {last, last_settings(state).get("hub_id")}:
        if hub_id:
            end_marked(hub_id)
    remove_runtime(state)
