"""Is this installation well? Checks as data: each finding says what was looked at, what was seen, and what to do."""

from __future__ import annotations

import importlib.metadata
import netrc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadose.config import Settings

#: Distributions whose versions must agree between notebook, scheduler and workers.
STACK = ("vadose", "dask", "distributed", "numpy", "xarray", "zarr", "icechunk", "kerchunk", "obstore", "h5py")
EARTHDATA = "urs.earthdata.nasa.gov"
GOOD, DOUBT, BAD = "well", "doubt", "broken"


@dataclass(frozen=True)
class Finding:
    """One check's answer. `state` is well, doubt (works, with a limit) or broken; `todo` is empty when all is well."""

    check: str
    state: str
    seen: str
    todo: str = ""


@dataclass(frozen=True)
class Place:
    """What the checks look at: environment, settings, home, and a client of a running cluster or None."""

    environment: Mapping[str, str]
    settings: Settings
    home: Path
    client: Any = None


def surroundings(place: Place) -> list[Finding]:
    """Where this is: on a hub, in an image, or on somebody's own machine; and that clusters will run the same image."""
    env = place.environment
    kind = env.get("VADOSE_ON_HUB")
    if kind == "kubernetes":
        image = env.get("JUPYTER_IMAGE_SPEC", "an image that is not named")
        asked = env.get("DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE", "")
        if asked not in ("", "{JUPYTER_IMAGE_SPEC}", image):
            return [
                Finding(
                    "place",
                    DOUBT,
                    f"a hub, {image}; but clusters will run {asked}",
                    "unset DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE: workers must run what the notebook runs",
                )
            ]
        return [Finding("place", GOOD, f"a hub, {image}")]
    if kind:
        return [Finding("place", GOOD, "a hub on one machine")]
    if "VADOSE_FILES" in env:
        return [Finding("place", GOOD, "the image, without a hub")]
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return [Finding("place", GOOD, "a container, without a hub")]
    return [Finding("place", GOOD, "a machine of one's own")]


def versions(place: Place) -> list[Finding]:
    """The packages of the storage stack are there, and new enough for what is asked of them."""
    found, missing = {}, []
    for name in STACK:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    seen = ", ".join(f"{k} {v}" for k, v in found.items())
    if missing:
        return [Finding("packages", BAD, f"missing: {', '.join(missing)}", "install them: pip install vadose")]
    major = tuple(int(p) for p in found["zarr"].split(".")[:3] if p.isdigit())
    if major < (3, 0, 8):
        return [
            Finding(
                "packages",
                BAD,
                seen,
                "zarr older than 3.0.8 can lose data on partial writes: pip install -U 'zarr>=3.0.8'",
            )
        ]
    return [Finding("packages", GOOD, seen)]


def cluster_versions(place: Place) -> list[Finding]:
    """Notebook, scheduler and workers run the same versions; a difference shows as errors nobody can read."""
    if place.client is None:
        return []
    here = _stack_versions()
    there = {"scheduler": place.client.run_on_scheduler(_stack_versions), **place.client.run(_stack_versions)}
    different = sorted(
        {
            f"{name} {here.get(name)} here, {found.get(name)} on {where if where == 'scheduler' else 'workers'}"
            for where, found in there.items()
            for name in here
            if found.get(name) != here.get(name)
        }
    )
    if different:
        return [
            Finding(
                "cluster versions",
                BAD,
                "; ".join(different),
                "start the cluster with the notebook's image: connect() does so when no image is named",
            )
        ]
    return [Finding("cluster versions", GOOD, f"scheduler and {len(there) - 1} workers as here")]


def _stack_versions() -> dict[str, str]:
    import platform

    out = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in STACK:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            out[name] = "missing"
    return out


def memory(place: Place) -> list[Finding]:
    """Memory that this process may use: the container's limit where there is one, else the machine's."""
    import psutil

    limit = int(place.environment.get("MEM_LIMIT") or 0) or _cgroup_limit() or psutil.virtual_memory().total
    free = min(psutil.virtual_memory().available, limit)
    seen = f"{free / 1e9:.1f} of {limit / 1e9:.1f} GB free"
    if free < 1e9:
        return [Finding("memory", DOUBT, seen, "stop kernels you do not use (Running tab), or take a larger size")]
    return [Finding("memory", GOOD, seen)]


def _cgroup_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """The container's memory limit in bytes under either version of cgroups; 0 where there is none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        # Version 1 writes a number near 2^63 where there is no limit.
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return 0


def home_space(place: Place) -> list[Finding]:
    """Room at home: a full home stops a notebook server from starting."""
    if place.environment.get("VADOSE_HOME_FULL"):
        return [
            Finding(
                "home",
                BAD,
                f"{place.home} takes no more writes (full, or read-only); this server runs without it",
                "du -xh --max-depth=2 ~ | sort -h | tail shows what is large; delete what can be made again, then restart the server",
            )
        ]
    usage = shutil.disk_usage(place.home)
    seen = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.0f} GB in {place.home}"
    if usage.free < 0.2e9:
        return [Finding("home", BAD, seen, "delete what can be made again; put large results into the scratch bucket")]
    if usage.free < 1e9:
        return [Finding("home", DOUBT, seen, "move large results into the scratch bucket")]
    return [Finding("home", GOOD, seen)]


def cache_folder(place: Place) -> list[Finding]:
    """The cache folder can be written."""
    folder = place.settings.cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return [
            Finding("cache", BAD, f"{folder}: {error.strerror}", "choose another: VADOSE_CACHE_DIR=/a/folder/of/yours")
        ]
    return [Finding("cache", GOOD, str(folder))]


def scratch(place: Place) -> list[Finding]:
    """A small object can be written into the scratch bucket, read back and removed."""
    bucket = place.environment.get("SCRATCH_BUCKET")
    if not bucket:
        return [
            Finding(
                "scratch", DOUBT, "no scratch bucket here", "on a hub SCRATCH_BUCKET is set; elsewhere use a folder"
            )
        ]
    import fsspec

    endpoint = place.environment.get("AWS_ENDPOINT_URL")
    options = {"client_kwargs": {"endpoint_url": endpoint}} if endpoint and bucket.startswith("s3://") else {}
    name = f"{bucket.rstrip('/')}/.doctor-{os.getpid()}-{time.time_ns()}"
    try:
        fs, path = fsspec.core.url_to_fs(name, **options)
        fs.pipe_file(path, b"vadose")
        same = fs.cat_file(path) == b"vadose"
        fs.rm_file(path)
    except Exception as error:
        return [
            Finding(
                "scratch",
                BAD,
                f"{bucket}: {type(error).__name__}: {str(error)[:200]}",
                "restart your server to get fresh credentials; if that does not help, show this line to the hub's admin",
            )
        ]
    if not same:
        return [
            Finding(
                "scratch",
                BAD,
                f"{bucket}: read back something else",
                "tell the hub's admin: the store is not consistent",
            )
        ]
    days = place.environment.get("VADOSE_SCRATCH_DAYS")
    kept = f"; what is there is deleted after {days} days" if days else ""
    return [Finding("scratch", GOOD, f"{bucket}: written, read, removed{kept}")]


def region(place: Place) -> list[Finding]:
    """Computing beside the data: NASA's cloud archive is in us-west-2 and gives direct S3 access only there."""
    if place.environment.get("AWS_ENDPOINT_URL", "").startswith(("http://127.", "http://localhost")):
        return [Finding("region", GOOD, "this machine's own object store")]
    where = place.environment.get("AWS_REGION") or place.environment.get("AWS_DEFAULT_REGION", "")
    if where == "us-west-2":
        return [Finding("region", GOOD, "us-west-2, beside NASA's archive")]
    return [
        Finding(
            "region",
            DOUBT,
            where or "not in a cloud region",
            "NASA's archive is read over HTTPS from here, slower and with a login; a hub in us-west-2 reads S3 directly",
        )
    ]


def earthdata(place: Place) -> list[Finding]:
    """A login for NASA Earthdata is there (never shown, never sent)."""
    if place.environment.get("EARTHDATA_TOKEN"):
        return [Finding("Earthdata login", GOOD, "a token in EARTHDATA_TOKEN")]
    path = Path(place.environment.get("NETRC") or place.home / ".netrc")
    todo = f"register at https://{EARTHDATA}, then write 'machine {EARTHDATA} login YOU password SECRET' into {path} and chmod 600 it; not needed for the demo"
    if not path.is_file():
        return [Finding("Earthdata login", DOUBT, f"no {path} and no EARTHDATA_TOKEN", todo)]
    if path.stat().st_mode & 0o077:
        return [Finding("Earthdata login", BAD, f"{path} can be read by others", f"chmod 600 {path}")]
    try:
        known = netrc.netrc(str(path)).authenticators(EARTHDATA)
    except netrc.NetrcParseError as error:
        return [Finding("Earthdata login", BAD, f"{path}, line {error.lineno}: {error.msg}", "mend that line")]
    if known is None:
        return [Finding("Earthdata login", DOUBT, f"{path} has no line for {EARTHDATA}", todo)]
    return [Finding("Earthdata login", GOOD, str(path))]


def catalog(place: Place) -> list[Finding]:
    """The catalog answers and holds something."""
    href = place.settings.catalog
    if not href:
        return [Finding("catalog", GOOD, "none is set: the demo world is used, written on first use")]
    from vadose.access.catalog import open_catalog

    try:
        number = len(open_catalog(href).collections)
    except Exception as error:
        return [
            Finding(
                "catalog", BAD, f"{href}: {str(error)[:200]}", "check VADOSE_CATALOG, or on a hub: vadose hub status"
            )
        ]
    if not number:
        return [Finding("catalog", DOUBT, f"{href}: empty", "write the demo: vadose hub up, or name another catalog")]
    return [Finding("catalog", GOOD, f"{href}: {number} collections")]


def gateway(place: Place) -> list[Finding]:
    """The Dask Gateway answers this user, and clusters of theirs that still run are named: they cost something."""
    if "DASK_GATEWAY__ADDRESS" not in place.environment:
        return []
    from vadose.access.cluster import clusters

    try:
        mine = clusters()
    except Exception as error:
        return [
            Finding(
                "gateway",
                BAD,
                str(error)[:200],
                "may this user start clusters? else ask the hub's admin to look at its log",
            )
        ]
    if mine:
        return [
            Finding(
                "gateway",
                DOUBT,
                f"{len(mine)} cluster(s) of yours run: {', '.join(mine)}",
                "if they are forgotten: vadose.access.cluster.stop_all()",
            )
        ]
    return [Finding("gateway", GOOD, "answers; no cluster of yours runs")]


CHECKS: tuple[Callable[[Place], list[Finding]], ...] = (
    surroundings,
    versions,
    cluster_versions,
    memory,
    home_space,
    cache_folder,
    scratch,
    region,
    earthdata,
    catalog,
    gateway,
)


def examine(place: Place, checks: tuple[Callable[[Place], list[Finding]], ...] = CHECKS) -> list[Finding]:
    """Run the checks. A check that fails itself is a finding too, so that one broken thing does not hide the others."""
    found = []
    for check in checks:
        try:
            found += check(place)
        except Exception as error:
            found.append(
                Finding(
                    check.__name__, BAD, f"the check failed: {type(error).__name__}: {error}", "please report this line"
                )
            )
    return found


def as_rows(findings: list[Finding]) -> list[dict[str, str]]:
    """Findings as plain dictionaries, for JSON."""
    return [asdict(f) for f in findings]
