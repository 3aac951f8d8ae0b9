"""The hub's folder: who runs, with which ports and secrets; files that only their owner may read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vadose.errors import PlatformError

#: Bytes that must be free before the demo world is written: it takes a quarter of that, logs and homes the rest.
DISK_NEEDED = 1_000_000_000
PORT_NAMES = ("public", "hub", "proxy", "gateway", "gateway_api", "stac", "citizen", "s3_master", "s3_volume", "s3_filer", "s3")  # fmt: skip
#: SeaweedFS answers gRPC on each of its ports plus this.
GRPC_OFFSET = 10_000


@dataclass(frozen=True)
class State:
    """The folder and what lies in it."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / "hub.json"

    @property
    def lock(self) -> Path:
        return self.root / "hub.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def prepare(self) -> None:
        """Make the folders. Raises PlatformError when the disk is full or the folder cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for name in ("logs", "home", "s3", "catalog", "clusters"):
                (self.root / name).mkdir(exist_ok=True)
            # Observations with exact places and the secret of the pseudonyms: for whoever runs the hub, not for its Unix users.
            (self.root / "citizen").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise PlatformError(
                f"cannot write the state folder {self.root}: {error.strerror}; choose another with --state-dir"
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < DISK_NEEDED:
            raise PlatformError(
                f"only {free / 1e9:.2f} GB are free in {self.root}, the hub needs {DISK_NEEDED / 1e9:.0f} GB; free some, or choose another folder with --state-dir"
            )

    def write_secret(self, name: str, text: str) -> Path:
        """A file that only its owner may read, replaced at once."""
        path = self.root / name
        partial = path.with_suffix(path.suffix + ".part")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(partial, path)
        return path

    def passwords(self, users: list[str]) -> dict[str, str]:
        """Passwords by user: those known stay, new users get a generated one."""
        path = self.root / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text())["users"] if path.exists() else {}
        wanted = {user: known.get(user) or generated_password() for user in users}
        if wanted != known or not path.exists():
            self.write_secret("passwords.json", json.dumps({"users": wanted}, indent=1))
        return wanted

    def secret(self, name: str, size: int = 32) -> str:
        """A random secret that is made once and kept."""
        path = self.root / f"{name}.secret"
        if not path.exists():
            self.write_secret(path.name, secrets.token_hex(size))
        return path.read_text().strip()

    def running(self) -> dict[str, Any] | None:
        """The record of the hub that runs here, or None; what a hub that was killed left is removed."""
        holder = self.holder()
        with contextlib.suppress(OSError, json.JSONDecodeError, KeyError):
            record = json.loads(self.record.read_text())
            if holder and record["hub_id"] == holder["hub_id"]:
                return record
        if holder is None:
            with contextlib.suppress(NotADirectoryError):  # what is wrong with the folder is told by `prepare`
                self.record.unlink(missing_ok=True)
        return None

    def holder(self) -> dict[str, Any] | None:
        """Which hub has this folder now: `pid`, `started`, `host`, `hub_id`, and `phase` (starting, running, stopping); or None.

        The system says so, not a file that a killed process leaves behind: it lets go of a lock when its process ends.
        """
        holder: dict[str, Any] = {}
        for _ in range(200):
            try:
                with open(self.lock, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except (FileNotFoundError, NotADirectoryError):
                return None
            except PermissionError as error:
                raise PlatformError(
                    f"{self.lock} belongs to another user of this machine; ask them, or choose another --state-dir"
                ) from error
            except BlockingIOError:
                # Who has just taken it has not said so yet: until then the words are those of the hub before.
                if (holder := self.last_holder()) and _may_live(holder):
                    return holder
            time.sleep(0.05)
        if holder:
            return holder
        raise PlatformError(f"{self.lock} is held by a process that does not say who it is; choose another --state-dir")

    def last_holder(self) -> dict[str, Any]:
        """Who had this folder last, in the words of `holder`, whether it still runs or not; empty before the first hub."""
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads(self.lock.read_text())
        return {}

    def take(self, hub_id: str) -> Hold:
        """This folder for this process alone, until it lets go or ends. Raises PlatformError when another hub has it."""
        try:
            file = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise PlatformError(f"cannot write {self.lock}: {error.strerror}; choose another --state-dir") from error
        try:
            for _ in range(40):  # who only looks holds it for an instant
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    hold = Hold(file, hub_id, self.last_holder().get("hub_id"))
                    hold.say("starting")
                    return hold
                if other := self.holder():
                    raise PlatformError(in_use(self, other))
                time.sleep(0.05)
            raise PlatformError(f"{self.lock} is held by another process; try again, or choose another --state-dir")
        except BaseException as error:
            os.close(file)
            if isinstance(error, OSError):
                raise PlatformError(
                    f"cannot lock {self.lock}: {error.strerror}; choose a --state-dir on a disk of this machine"
                ) from error
            raise


@dataclass(frozen=True)
class Hold:
    """The lock of a state folder, held by this process for the hub `hub_id`; `before` is the hub that had it last."""

    file: int
    hub_id: str
    before: str | None

    def say(self, phase: str) -> None:
        """Tell those who look what this process does here: starting, running, stopping."""
        mine = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
        text = json.dumps({**mine, "hub_id": self.hub_id, "phase": phase}).encode()
        os.pwrite(self.file, text, 0)
        os.ftruncate(self.file, len(text))

    def let_go(self) -> None:
        os.close(self.file)


def in_use(state: State, holder: dict[str, Any]) -> str:
    """One sentence on who has the folder, and what to do."""
    step = {
        "running": "see `vadose hub status`",
        "stopping": "wait a few seconds",
    }.get(holder["phase"], "what it does is in `vadose hub logs supervisor`, and `vadose hub stop` ends it")
    return f"a hub is {holder['phase']} in {state.root} (process {holder['pid']} of {holder['host']}): {step}"


def _process_here(holder: dict[str, Any]) -> psutil.Process | None:
    """The process of this machine that the words mean; a number alone may be any process's."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(holder["pid"])
        if abs(process.create_time() - holder["started"]) < 2.0:
            return process
    return None


def _may_live(holder: dict[str, Any]) -> bool:
    return holder["host"] != socket.gethostname() or _process_here(holder) is not None


def process_of(holder: dict[str, Any]) -> psutil.Process:
    """The process that holds a folder. Raises PlatformError when it is none of this machine's (a shared disk, a container)."""
    if process := _process_here(holder):
        return process
    raise PlatformError(
        f"the hub of this folder is process {holder['pid']} of {holder['host']}, which cannot be seen from here: stop it there"
    )


_WORDS = [
    "loam",
    "sand",
    "clay",
    "silt",
    "peat",
    "loess",
    "marl",
    "gley",
    "humus",
    "basin",
    "creek",
    "delta",
    "drain",
    "furrow",
    "glacier",
    "heath",
    "marsh",
    "meadow",
    "moraine",
    "plain",
    "prairie",
    "ridge",
    "river",
    "slope",
    "spring",
    "steppe",
    "swale",
    "terrace",
    "tundra",
    "valley",
    "wetland",
    "aquifer",
    "rain",
    "dew",
    "frost",
    "snow",
    "storm",
    "thaw",
]


def generated_password() -> str:
    """Four words and a number: easy to read out to a class, some 29 bits, and the hub listens on loopback only."""
    return "-".join([*(secrets.choice(_WORDS) for _ in range(4)), f"{secrets.randbelow(10_000):04d}"])


def is_free(port: int) -> bool:
    """Whether a port can be bound on loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _store_may_take(port: int) -> bool:
    """The object store also takes port + 10000, and sockets in /tmp named by both: another user's, left there, would lock it out."""
    if port + GRPC_OFFSET >= 65536 or not is_free(port + GRPC_OFFSET):
        return False
    left = [p for n in (port, port + GRPC_OFFSET) for p in Path("/tmp").glob(f"seaweedfs-*-{n}.sock")]
    return os.geteuid() == 0 or all(p.stat().st_uid == os.geteuid() for p in left)


def choose_ports(wanted: int = 0) -> dict[str, int]:
    """A port for each service. `wanted` is the public one (PlatformError when it is taken); 0 takes 8000 or the next free."""
    if wanted and not is_free(wanted):
        raise PlatformError(
            f"port {wanted} is in use by another program; choose another with --port, or leave --port out and a free one is taken"
        )
    start = wanted or 8000
    public = start if wanted else next(p for p in range(start, start + 2000, 20) if is_free(p))
    ports = {"public": public}
    # Below the ports of users' servers (20000 and up) and those that the system gives to any connection (32768 and up), the
    # store's second ports included: a service that was killed finds its own free when it comes back.
    candidate = public + 1 if public < 9_950 else 8_001
    for name in PORT_NAMES[1:]:
        while not (is_free(candidate) and (not name.startswith("s3") or _store_may_take(candidate))):
            candidate += 1
        ports[name] = candidate
        candidate += 1
    return ports
