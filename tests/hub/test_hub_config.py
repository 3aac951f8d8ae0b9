"""The hub's and the gateway's configuration files, with a recording config object: what the chart mounts is what runs here."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from traitlets.config import Config

from vadose.hub.services import config_files


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, config_files() / name.removeprefix("vadose_") / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hub = _load("vadose_hub")
gateway = _load("vadose_gateway")
ACCESS = "access:services!service=dask-gateway"


@pytest.fixture
def settings(tmp_path):
    return {
        "kind": "local",
        "state": str(tmp_path),
        "hub_id": "abc",
        "ports": {"public": 8000, "hub": 8001, "proxy": 8002, "gateway": 8003, "gateway_api": 8004, "stac": 8005},
        "users": ["ana", "ben"],
        "login_notice": "shared",
        "stac_token": "t",
        "runtime": str(tmp_path / "runtime"),
        "gateway": {
            "address": "http://127.0.0.1:8000/services/dask-gateway",
            "proxy_address": "gateway://127.0.0.1:8003",
            "settings_file": "settings.json",
            "config_file": "vadose_gateway.py",
        },
        "environment": {"VADOSE_CATALOG": "http://127.0.0.1:8000/services/stac"},
    }


@pytest.fixture
def gateway_settings(tmp_path):
    return {
        "kind": "local",
        "port": 8003,
        "api_port": 8004,
        "clusters": str(tmp_path / "clusters"),
        "dask": "/venv/bin/dask",
        "idle_minutes": 20,
        "caps": {"workers": 4, "cores": 8, "memory_gib": 16, "clusters_per_user": 2},
        "workers": [{"cores": 1, "memory_gib": 2}, {"cores": 2, "memory_gib": 4}],
    }


@pytest.fixture
def cloud(gateway_settings):
    return {
        **gateway_settings,
        "kind": "kubernetes",
        "dask": None,
        "image": "registry.example/vadose:2026.11",
        "service_account": "user",
        "worker_node_selector": {"k8s.dask.org/node-purpose": "worker"},
        "scheduler_node_selector": {"hub.jupyter.org/node-purpose": "user"},
        "scheduler": {"cores": 0.5, "cores_limit": 1, "memory_gib": 2},
    }


def a_spawner(user, **more):
    return SimpleNamespace(
        **{"user": SimpleNamespace(name=user), "name": "", "port": 0, "environment": {}, "pending": "spawn", **more}
    )


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_everything_of_the_hub_is_on_loopback(settings):
    c = Config()
    hub.configure(c, settings)
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8001"
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8002"
    assert c.Spawner.ip == "127.0.0.1"
    assert all(s["url"].startswith("http://127.0.0.1:") for s in c.JupyterHub.services)
    # Letting others in moves the login page and nothing else.
    c = Config()
    hub.configure(c, {**settings, "ip": "0.0.0.0"})
    assert c.JupyterHub.bind_url == "http://0.0.0.0:8000"
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8001"
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8002"
    assert c.Spawner.ip == "127.0.0.1"
    assert all(s["url"].startswith("http://127.0.0.1:") for s in c.JupyterHub.services)


def test_everybody_reaches_the_gateway_unless_a_group_is_named(settings):
    roles = {r["name"]: r for r in hub.roles(settings)}
    assert ACCESS in roles["user"]["scopes"]
    assert ACCESS in roles["server"]["scopes"]
    roles = {r["name"]: r for r in hub.roles({**settings, "cluster_group": "dask"})}
    assert ACCESS not in roles["user"]["scopes"]
    assert roles["cluster-users"]["groups"] == ["dask"]
    assert ACCESS in roles["cluster-users"]["scopes"]
    assert "access:services!service=stac" in roles["user"]["scopes"]


def test_notebook_finds_gateway_and_catalog_in_its_environment(settings):
    found = hub.user_environment(settings)
    assert found["DASK_GATEWAY__ADDRESS"] == settings["gateway"]["address"]
    assert found["DASK_GATEWAY__AUTH__TYPE"] == "jupyterhub"
    assert found["VADOSE_CATALOG"].endswith("/services/stac")


def test_news_and_update_questions_of_lab_are_off(settings):
    folder = config_files() / "jupyter"
    said = json.loads((folder / "labconfig" / "default_setting_overrides.json").read_text())
    assert said["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    assert hub.user_environment({**settings, "jupyter_config": str(folder)})["JUPYTER_CONFIG_PATH"] == str(folder)


def test_real_users_get_real_processes_and_no_root_switch(settings):
    c = Config()
    hub.configure(c, {**settings, "unix_users": True})
    assert c.JupyterHub.spawner_class == "jupyterhub.spawner.LocalProcessSpawner"
    assert "--allow-root" not in c.Spawner.args
    c = Config()
    hub.configure(c, settings)
    assert c.JupyterHub.spawner_class == "jupyterhub.spawner.SimpleLocalProcessSpawner"
    assert ("--allow-root" in c.Spawner.args) == (os.geteuid() == 0)


def test_kernels_listen_in_a_closed_folder_of_their_user_and_on_no_port(settings, tmp_path):
    (tmp_path / "runtime").mkdir()
    c = Config()
    hub.configure(c, settings)
    assert "--KernelManager.transport=ipc" in c.Spawner.args
    shared = c.Spawner.environment
    spawners = [a_spawner(name, environment=shared) for name in settings["users"]]

    async def start_all():
        for spawner in spawners:
            await c.Spawner.pre_spawn_hook(spawner)

    asyncio.run(start_all())
    folders = [Path(s.environment["JUPYTER_RUNTIME_DIR"]) for s in spawners]
    assert [f.name for f in folders] == ["ana", "ben"]
    assert all(f.stat().st_mode & 0o777 == 0o700 for f in folders)
    assert "JUPYTER_RUNTIME_DIR" not in shared


def test_every_server_has_a_port_of_its_own_that_no_connection_can_take(settings, tmp_path):
    """With ports that the system names, one of 70 servers came up on another's port and its user was sent to the other's server."""
    (tmp_path / "runtime").mkdir()
    c = Config()
    hub.configure(c, settings)
    learners = [a_spawner(f"learner{k}", pending=None) for k in range(70)]
    second = a_spawner("learner0", name="second", pending=None)

    async def start(*spawners):
        for spawner in spawners:
            await c.Spawner.pre_spawn_hook(spawner)
            await asyncio.sleep(0)

    async def start_twice():
        await start(*learners, second)
        first = [s.port for s in (*learners, second)]
        assert len(set(first)) == 71
        assert all(20_000 <= port < 32_768 for port in first)
        # Started again each has the port it had, but for the one whose port a stranger took meanwhile.
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", first[7]))
            stranger.listen()
            await start(*learners, second)
        again = [s.port for s in (*learners, second)]
        assert [k for k in range(71) if again[k] != first[k]] == [7]
        assert len(set(again)) == 71

    asyncio.run(start_twice())


def test_no_port_left_is_said():
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"no free port between {port} and {port} for the server of ana"):
            hub.ServerPorts(range(port, port + 1)).of(("ana", ""))


def test_a_class_starts_a_few_at_a_time_and_a_failed_start_holds_no_seat(settings, tmp_path, monkeypatch):
    """Two cores: four seats. Six ask; the fifth waits until somebody's server is up; one whose start fails gives its seat back."""
    (tmp_path / "runtime").mkdir()
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    c = Config()
    hub.configure(c, settings)
    spawners = [a_spawner(f"learner{k}") for k in range(6)]
    broken = a_spawner("learner/none")  # no folder can have that name, so its start fails

    async def ask():
        with pytest.raises(OSError, match="learner/none"):
            await c.Spawner.pre_spawn_hook(broken)
        asked = [asyncio.ensure_future(c.Spawner.pre_spawn_hook(s)) for s in spawners]
        await asyncio.sleep(0.5)
        assert [a.done() for a in asked] == [True] * 4 + [False] * 2
        spawners[1].pending = None
        await asyncio.wait_for(asked[4], 60)
        assert not asked[5].done()
        for s in spawners:
            s.pending = None
        await asyncio.wait_for(asked[5], 60)

    asyncio.run(ask())


def test_passwords_are_compared_for_known_users_only(tmp_path):
    path = tmp_path / "passwords.json"
    path.write_text(json.dumps({"users": {"ana": "loam-sand"}}))
    passwords = hub._Passwords(str(path))
    assert passwords.check("ana", "loam-sand")
    assert not passwords.check("ana", "loam")
    assert not passwords.check("ana", None)
    assert not passwords.check("mallory", "loam-sand")
    assert not passwords.check("mallory", "")


def test_notebooks_are_renewed_unless_their_owner_changed_them(tmp_path):
    source, home = tmp_path / "source", tmp_path / "home"
    (source / "00-start").mkdir(parents=True)
    for name in ("kept.ipynb", "changed.ipynb"):
        (source / "00-start" / name).write_text("first")
    (source / "00-start" / "script.py").write_text("not a notebook")
    hub.place_notebooks(source, home)
    placed = home / "notebooks" / "00-start"
    assert sorted(p.name for p in placed.iterdir()) == ["changed.ipynb", "kept.ipynb"]
    (placed / "changed.ipynb").write_text("mine")
    for name in ("kept.ipynb", "changed.ipynb", "new.ipynb"):
        (source / "00-start" / name).write_text("second")
    for _ in range(2):  # twice, as at the second login
        hub.place_notebooks(source, home)
        assert (placed / "kept.ipynb").read_text() == "second"
        assert (placed / "changed.ipynb").read_text() == "mine"
        assert (placed / "new.ipynb").read_text() == "second"


def test_ladder_guarantees_the_memory_it_limits_and_tells_the_notebook():
    said = {
        "ladder": [
            {"name": "small", "memoryGiB": 1.88, "cpu": 0.23, "cpuLimit": 3.7},
            {"name": "tiny", "memoryGiB": 0.5, "cpu": 0.0, "cpuLimit": 1.0},
        ],
        "default_step": "small",
        "images": {"choices": {"vadose": "a/b:1"}, "bringYourOwn": True},
    }
    (profile,) = hub.profiles(said)
    sizes = profile["profile_options"]["size"]["choices"]
    for step in sizes.values():
        override = step["kubespawner_override"]
        assert override["mem_guarantee"] == override["mem_limit"]
        assert override["cpu_guarantee"] >= 0.05
    assert sizes["small"]["default"]
    assert "MEM_LIMIT" not in str(sizes), "the spawner itself writes MEM_LIMIT from the limit"
    with pytest.raises(ValueError, match="not a step of the ladder"):
        hub.profiles({**said, "default_step": "huge"})


# -- the gateway ------------------------------------------------------------------------------------------------------


def test_scheduler_and_worker_are_started_by_the_dask_command(gateway_settings, cloud):
    c = Config()
    gateway.configure(c, gateway_settings)
    assert c.ClusterConfig.scheduler_cmd == ["/venv/bin/dask", "scheduler"]
    assert c.ClusterConfig.worker_cmd == ["/venv/bin/dask", "worker"]
    c = Config()
    gateway.configure(c, cloud)
    assert c.ClusterConfig.worker_cmd == ["dask", "worker"]


@pytest.mark.parametrize("minutes", [0, -1, None])
def test_clusters_that_never_stop_are_refused(gateway_settings, minutes):
    with pytest.raises(ValueError, match="must be positive"):
        gateway.configure(Config(), {**gateway_settings, "idle_minutes": minutes})


def test_idle_time_and_caps_are_set(gateway_settings):
    c = Config()
    gateway.configure(c, gateway_settings)
    assert c.ClusterConfig.idle_timeout == 1200
    assert (c.ClusterConfig.cluster_max_workers, c.ClusterConfig.cluster_max_cores) == (4, 8)
    assert c.ClusterConfig.cluster_max_memory == "16 G"
    assert (c.Proxy.address, c.DaskGateway.address) == ("127.0.0.1:8003", "127.0.0.1:8004")


def _declared(settings):
    c = Config()
    gateway.configure(c, settings)
    return c.Backend.cluster_options


def test_worker_sizes_become_cores_and_memory(gateway_settings, cloud):
    user = SimpleNamespace(name="Ana", groups=[], admin=False)
    for said in (gateway_settings, cloud):
        declared = _declared(copy.deepcopy(said))
        out = declared.get_configuration(
            {"worker_size": "2 cores, 4 GB", "environment": {"AWS_ACCESS_KEY_ID": "k"}}, user
        )
        assert (out["worker_cores"], out["worker_memory"]) == (2, "4 G")
        assert out["environment"] == {"AWS_ACCESS_KEY_ID": "k"}
    assert out["image"] == cloud["image"]
    assert out["worker_extra_pod_labels"]["hub.jupyter.org/username"] == "Ana"


def test_only_offered_images_where_own_ones_are_not_wanted(cloud):
    declared = _declared({**cloud, "images": ["registry.example/ml:1"], "any_image": False})
    ana = SimpleNamespace(name="ana")
    assert declared.get_configuration({"image": "registry.example/ml:1"}, ana)["image"] == "registry.example/ml:1"
    with pytest.raises(ValueError, match="not offered on this hub"):
        declared.get_configuration({"image": "elsewhere/miner:1"}, ana)


def test_workers_know_scratch_by_themselves_and_the_notebook_has_the_last_word(cloud):
    declared = _declared({**cloud, "cloud": {"scratchBucket": "s", "region": "us-west-2"}})
    ana = SimpleNamespace(name="ana")
    assert declared.get_configuration({}, ana)["environment"] == {
        "SCRATCH_BUCKET": "s3://s/ana",
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    out = declared.get_configuration({"environment": {"AWS_DEFAULT_REGION": "eu-west-1"}}, ana)
    assert out["environment"]["AWS_DEFAULT_REGION"] == "eu-west-1"


@pytest.mark.parametrize("image", ["vadose:latest", "vadose", "registry.example:5000/vadose"])
def test_image_without_a_fixed_tag_is_refused(cloud, image):
    declared = _declared(cloud)
    with pytest.raises(ValueError, match="tag"):
        declared.get_configuration({"image": image}, SimpleNamespace(name="ana"))


def test_unknown_worker_size_is_refused(gateway_settings):
    with pytest.raises(Exception, match="worker_size"):
        _declared(gateway_settings).parse_options({"worker_size": "1000 cores"})


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "DASK_GATEWAY_API_TOKEN", "JUPYTERHUB_API_TOKEN", "a=b", "a b"]
)
def test_environment_that_would_turn_the_worker_round_is_refused(name):
    with pytest.raises(ValueError, match="cannot be set on workers"):
        gateway.allowed_environment({name: "x"})


def test_credentials_of_the_user_reach_the_workers():
    said = {"AWS_ACCESS_KEY_ID": "k", "VADOSE_CATALOG": "c", "OMP_NUM_THREADS": 1}
    assert gateway.allowed_environment(said) == {
        "AWS_ACCESS_KEY_ID": "k",
        "VADOSE_CATALOG": "c",
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("name", ["ana", "Ana.B", "Ana.B@x.org", "ü", "a--b", "9lives@x", "long" * 20, "@"])
def test_user_name_becomes_the_label_that_kubespawner_writes(name):
    """One label finds notebook and workers of a user: the bill by user joins on it."""
    slugs = pytest.importorskip("kubespawner.slugs", reason="kubespawner is in the test extra")
    assert gateway.escape_label(name) == slugs.safe_slug(name, is_valid=slugs.is_valid_label)


def test_workers_go_to_spot_and_schedulers_never(cloud):
    assert gateway.worker_pod(cloud)["nodeSelector"] != gateway.scheduler_pod(cloud)["nodeSelector"]
    for pod in (gateway.worker_pod(cloud), gateway.scheduler_pod(cloud)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]


def test_owned_backend_never_touches_single_letter_paths(gateway_settings, tmp_path, monkeypatch):
    """The released server walks a path letter by letter and would hand `/` to the user."""
    c = Config()
    gateway.configure(c, {**gateway_settings, "unix_users": True})
    backend = c.DaskGateway.backend_class
    work = tmp_path / "cluster"
    (work / "logs").mkdir(parents=True)
    (work / "logs" / "a.log").touch()
    import pwd
    import shutil

    touched: list[str] = []
    monkeypatch.setattr(os, "chown", lambda path, *_: touched.append(str(path)))
    monkeypatch.setattr(shutil, "chown", lambda path, *_: touched.append(str(path)))
    me = pwd.getpwuid(os.getuid()).pw_name
    backend.set_file_permissions(backend.__new__(backend), [str(work), *str(work)], me)
    assert touched
    assert all(Path(p).is_relative_to(work) for p in touched), touched


def test_more_clusters_than_allowed_are_refused_with_a_way_out(gateway_settings):
    import asyncio

    class Backend:
        async def list_clusters(self, username=None):
            return [SimpleNamespace(status=SimpleNamespace(name=n)) for n in ("RUNNING", "PENDING", "STOPPED")]

        async def start_cluster(self, user, cluster_options):
            return "started"

    ana = SimpleNamespace(name="ana")
    with pytest.raises(ValueError, match=r"2 clusters already, the limit is 2: .*stop_all"):
        asyncio.run(gateway.limited(Backend, 2)().start_cluster(ana, {}))
    assert asyncio.run(gateway.limited(Backend, 3)().start_cluster(ana, {})) == "started"
