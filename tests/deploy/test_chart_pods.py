"""What people get: notebook pods as KubeSpawner builds them and Dask pods as the gateway's controller builds them, from the chart's own files."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import yaml
from rendered_chart import ROOT, STACKS, Chart, one
from traitlets.config import Config

pytestmark = pytest.mark.deploy
KUBERNETES = "1.34"
SPAWNER_REASON = "jupyterhub-kubespawner is in the test extra"
SECRETS = {
    "OAUTH_CLIENT_ID": "id",
    "OAUTH_CLIENT_SECRET": "never-shown-1",
    "VADOSE_LOGIN_PASSWORD": "never-shown-2",
    "VADOSE_LOGIN_ADMIN_PASSWORD": "never-shown-3-" + "x" * 32,
}


def run_file(text: str, c: Config, **names):
    """Run a configuration file the way the chart below does: with `c`, and with a get_config that is not traitlets' own."""
    space = {"c": c, "get_config": lambda key, default=None: default, **names}
    exec(compile(text, "vadose.py", "exec"), space)
    return space


def as_the_chart_below_sets_it(values: dict) -> Config:
    """The JupyterHub chart's own settings from its values, as far as a user pod shows them (its file is run whole in test_chart_whole)."""
    user = values["jupyterhub"]["singleuser"]
    c = Config()
    c.JupyterHub.load_roles = [
        {"name": "jupyterhub-idle-culler", "scopes": ["list:users"], "services": ["jupyterhub-idle-culler"]}
    ]
    c.JupyterHub.services = [{"name": name, **said} for name, said in values["jupyterhub"]["hub"]["services"].items()]
    c.KubeSpawner.uid, c.KubeSpawner.fs_gid = user["uid"], user["fsGid"]
    c.KubeSpawner.service_account = user["serviceAccountName"]
    c.KubeSpawner.allow_privilege_escalation = user["allowPrivilegeEscalation"]
    c.KubeSpawner.extra_labels = user["extraLabels"]
    c.KubeSpawner.cmd = user["cmd"]
    c.KubeSpawner.environment = {}
    storage = user["storage"]
    claim = "claim-{user_server}" if storage["type"] == "dynamic" else storage["static"]["pvcName"]
    c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": claim}}, *storage["extraVolumes"]]
    mount = {"name": "home", "mountPath": storage["homeMountPath"]}
    if storage["type"] == "static":
        mount["subPath"] = storage["static"]["subPath"]
    c.KubeSpawner.volume_mounts = [mount, *storage["extraVolumeMounts"]]
    c.KubeSpawner.tolerations = [
        {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
    ]
    if values["jupyterhub"]["scheduling"]["userPods"]["nodeAffinity"]["matchNodePurpose"] == "require":
        c.KubeSpawner.node_affinity_required = [
            {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]}
        ]
    return c


def hub_of(chart: Chart, stack: str, tmp_path: Path, monkeypatch, values=None) -> Config:
    """The hub's configuration as its pod ends up with it."""
    data = one(chart.objects(stack, values), "ConfigMap", "vadose-hub")["data"]
    (tmp_path / "settings.json").write_text(data["settings.json"])
    monkeypatch.setenv("VADOSE_HUB_SETTINGS", str(tmp_path / "settings.json"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    c = as_the_chart_below_sets_it(chart.values(stack, values))
    run_file(data["vadose_hub.py"], c)
    return c


def user_pod(c: Config, name="ana", groups=(), **options) -> dict:
    """The pod of one user's choice, in Kubernetes' own words."""
    from jupyterhub.objects import Hub, Server
    from kubernetes_asyncio.client import ApiClient
    from kubespawner import KubeSpawner

    async def build():
        user = Mock()
        user.name, user.escaped_name, user.url, user.admin = name, name, f"/user/{name}/", False
        user.server = Server()
        user.groups = [SimpleNamespace(name=g) for g in groups]
        spawner = KubeSpawner(hub=Hub(), user=user, config=c, api_token="t", _mock=True)
        spawner.user_options = options
        await spawner.load_user_options()
        return ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest())

    return asyncio.run(build())


def environment_of(pod):
    return {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    """KubeSpawner asks for a cluster when it is made; what it builds needs none."""
    pytest.importorskip("kubespawner", reason=SPAWNER_REASON)

    async def nothing(*_, **__):
        return None

    monkeypatch.setattr("kubespawner.spawner.load_config", nothing)
    monkeypatch.setattr("kubespawner.spawner.shared_client", lambda *_, **__: Mock())


# -- notebooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_user_pod_of_every_step_is_valid_and_keeps_its_promise(chart, stack, tmp_path, monkeypatch):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the test extra")
    c = hub_of(chart, stack, tmp_path, monkeypatch)
    values = chart.values(stack)
    image = values["jupyterhub"]["singleuser"]["image"]
    for step in values["vadose"]["profiles"]["ladder"]:
        pod = user_pod(c, profile="notebook", size=step["name"])
        validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, KUBERNETES, strict=True)
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert container["image"] == f"{image['name']}:{image['tag']}"
        resources = container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert int(resources["limits"]["memory"]) == pytest.approx(step["memoryGiB"] * 2**30, rel=0.01)
        assert float(resources["requests"]["cpu"]) == max(step["cpu"], 0.05)
        assert float(resources["limits"]["cpu"]) == step["cpuLimit"]
        assert spec.get("nodeSelector", {}) == step.get("nodeSelector", {})
        assert {t["key"] for t in spec["tolerations"]} == {"hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"}
        assert spec["serviceAccountName"] == "user-sa"
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["fsGroup"] == 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["runAsUser"] == 1000
        assert str(environment_of(pod)["MEM_LIMIT"]) == str(resources["limits"]["memory"])
        # No command: the image's own start script runs, as in Docker.
        assert "args" not in container
        assert "command" not in container
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def test_notebook_finds_gateway_catalog_scratch_and_gives_its_own_image_to_workers(chart, tmp_path, monkeypatch):
    pod = user_pod(hub_of(chart, "aws", tmp_path, monkeypatch))
    env = environment_of(pod)
    # Past the hub's proxy, which with TLS would answer plain HTTP with a redirect to a name that its certificate does not have.
    assert env["DASK_GATEWAY__ADDRESS"] == "http://traefik-vadose-dask-gateway.hub/services/dask-gateway"
    assert env["DASK_GATEWAY__PROXY_ADDRESS"] == "gateway://traefik-vadose-dask-gateway.hub:80"
    assert env["DASK_GATEWAY__AUTH__TYPE"] == "jupyterhub"
    # One pair of braces is left for Dask to fill in the pod.
    assert env["DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE"] == "{JUPYTER_IMAGE_SPEC}"
    assert env["DASK_DISTRIBUTED__DASHBOARD__LINK"] == "{JUPYTERHUB_SERVICE_PREFIX}proxy/{port}/status"
    assert env["JUPYTER_IMAGE_SPEC"] == pod["spec"]["containers"][0]["image"]
    # Kubernetes expands $(NAME) of variables that come before.
    names = [e["name"] for e in pod["spec"]["containers"][0]["env"]]
    assert env["SCRATCH_BUCKET"] == "s3://vadose-scratch-1/$(JUPYTERHUB_USER)"
    assert names.index("JUPYTERHUB_USER") < names.index("SCRATCH_BUCKET")
    assert env["VADOSE_SCRATCH_DAYS"] == "7"
    assert env["AWS_DEFAULT_REGION"] == "us-west-2"
    assert env["VADOSE_CATALOG"] == "http://vadose-catalog.hub:8080/services/stac"
    assert env["JUPYTER_RUNTIME_DIR"].startswith("/tmp/")
    assert env["VADOSE_ON_HUB"] == "kubernetes"


def test_homes_are_a_volume_each_or_a_folder_each(chart, tmp_path, monkeypatch):
    pod = user_pod(hub_of(chart, "aws", tmp_path, monkeypatch))
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert claims == ["claim-ana"]
    pod = user_pod(hub_of(chart, "everything", tmp_path, monkeypatch), name="Ana.B@x")
    (mount,) = [m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] == "home"]
    assert mount["subPath"].startswith("homes/")
    assert "/" not in mount["subPath"].removeprefix("homes/")
    assert "@" not in mount["subPath"]


def test_other_images_are_offered_and_untagged_ones_are_refused(chart, tmp_path, monkeypatch):
    c = hub_of(chart, "everything", tmp_path, monkeypatch)
    slug = "model-benchmarking--ilamb--nco"
    pod = user_pod(c, profile="notebook", image=slug)
    registry = "123456789012.dkr.ecr.us-west-2.amazonaws.com/vadose"
    assert pod["spec"]["containers"][0]["image"] == f"{registry}/benchmark:0.1.0"
    own = {"profile": "notebook", "image--unlisted-choice": "lab.example:5000/mine:2026.1"}
    assert user_pod(c, **own)["spec"]["containers"][0]["image"] == "lab.example:5000/mine:2026.1"
    for wrong in ("mine", "mine:latest", "lab.example:5000/mine"):
        with pytest.raises(ValueError, match="failed validation"):
            user_pod(c, **{"profile": "notebook", "image--unlisted-choice": wrong})
    assert user_pod(hub_of(chart, "everything", tmp_path, monkeypatch), profile="notebook")


def test_gpu_is_seen_by_its_group_only_and_goes_to_its_nodes(chart, tmp_path, monkeypatch):
    c = hub_of(chart, "aws", tmp_path, monkeypatch)
    assert c.JupyterHub.load_groups == {"gpu": {"users": ["ben@university.example"]}}
    with pytest.raises(ValueError, match="gpu"):
        user_pod(c, profile="gpu")
    pod = user_pod(c, groups=["gpu"], profile="gpu")
    container = pod["spec"]["containers"][0]
    assert container["image"] == "ghcr.io/vadose-hub/ml:0.1.0"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"} in pod["spec"][
        "tolerations"
    ]
    assert pod["spec"]["nodeSelector"]["k8s.amazonaws.com/accelerator"] == "nvidia"
    # The same label and taint that terraform/aws puts on the nodes.
    nodes = (ROOT / "terraform/aws/modules/nodes/main.tf").read_text()
    assert '"k8s.amazonaws.com/accelerator" = "nvidia"' in nodes
    assert 'key = "nvidia.com/gpu", value = "present"' in nodes
    # A list in a profile takes the place of the one below: the users' own taints must be in it.
    assert {"hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"} <= {t["key"] for t in pod["spec"]["tolerations"]}


def test_the_charts_own_roles_and_the_culler_stay(chart, tmp_path, monkeypatch):
    c = hub_of(chart, "everything", tmp_path, monkeypatch)
    roles = {r["name"]: r for r in c.JupyterHub.load_roles}
    assert {"jupyterhub-idle-culler", "user", "server"} <= set(roles)
    for name in ("user", "server"):
        assert {
            "access:services!service=dask-gateway",
            "access:services!service=stac",
            "access:services!service=citizen",
        } <= set(roles[name]["scopes"])
    addresses = {s["name"]: s.get("url") for s in c.JupyterHub.services}
    assert addresses["dask-gateway"] == "http://traefik-vadose-dask-gateway.hub"
    assert addresses["stac"] == "http://vadose-catalog.hub:8080"
    assert addresses["prometheus"] is None


# -- logins -----------------------------------------------------------------------------------------------------------


def authenticator(c: Config):
    """The authenticator itself, so that a trait that does not exist shows."""
    kind = c.JupyterHub.authenticator_class
    if kind == "shared-password":
        from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

        return SharedPasswordAuthenticator(config=c)
    pytest.importorskip("oauthenticator", reason="oauthenticator is in the test extra")
    if kind == "cilogon":
        from oauthenticator.cilogon import CILogonOAuthenticator

        return CILogonOAuthenticator(config=c)
    from oauthenticator.github import GitHubOAuthenticator

    return GitHubOAuthenticator(config=c)


def test_cilogon_lets_in_people_of_named_institutions(chart, tmp_path, monkeypatch):
    c = hub_of(chart, "aws", tmp_path, monkeypatch)
    made = authenticator(c)
    assert list(made.allowed_idps) == ["https://idp.university.example/idp"]
    assert made.oauth_callback_url == "https://hub.university.example/hub/oauth_callback"
    assert made.client_id == "id"
    assert made.allow_all
    assert made.admin_users == {"ana@university.example"}
    named = {"vadose": {"login": {"allowedUsers": ["ana@university.example"]}}}
    made = authenticator(hub_of(chart, "aws", tmp_path, monkeypatch, named))
    assert not made.allow_all
    assert made.allowed_users >= {"ana@university.example"}


def test_github_lets_in_organizations_only(chart, tmp_path, monkeypatch):
    made = authenticator(hub_of(chart, "everything", tmp_path, monkeypatch))
    assert made.allowed_organizations == {"soil-lab:hub"}
    assert "read:org" in made.scope
    assert not made.allow_all


def test_a_class_has_one_password_and_its_teacher_a_longer_one(chart, tmp_path, monkeypatch):
    made = authenticator(hub_of(chart, "workshop", tmp_path, monkeypatch))
    assert made.user_password == SECRETS["VADOSE_LOGIN_PASSWORD"]
    assert made.admin_password == SECRETS["VADOSE_LOGIN_ADMIN_PASSWORD"]
    assert made.allow_all


@pytest.mark.parametrize(
    ("stack", "missing"),
    [
        ("workshop", "VADOSE_LOGIN_PASSWORD"),
        ("workshop", "VADOSE_LOGIN_ADMIN_PASSWORD"),
        ("aws", "OAUTH_CLIENT_SECRET"),
        ("everything", "OAUTH_CLIENT_ID"),
    ],
)
def test_a_login_without_its_secret_does_not_start(chart, stack, missing, tmp_path, monkeypatch):
    monkeypatch.setitem(SECRETS, missing, "")
    with pytest.raises(ValueError, match=f"{missing}.*Secret vadose-login") as told:
        hub_of(chart, stack, tmp_path, monkeypatch)
    assert "never-shown" not in str(told.value)


# -- Dask -------------------------------------------------------------------------------------------------------------


def gateway_of(chart: Chart, stack: str, values=None, *, environment=None) -> Config:
    """The gateway's configuration as its pod ends up with it: the chart below runs extraConfig after its own settings."""
    data = one(chart.objects(stack, values), "ConfigMap", "vadose-gateway")["data"]
    said = chart.values(stack, values)["dask-gateway"]["gateway"]
    given = {}
    for variable in said["env"]:
        source = variable["valueFrom"]["configMapKeyRef"]
        assert source["name"] == "vadose-gateway"
        given[variable["name"]] = data[source["key"]]
    c = Config()
    # os, json and sys are there already in the chart's file.
    run_file(said["extraConfig"]["vadose"], c, os=types.SimpleNamespace(environ=given), json=json, sys=sys)
    return c


def dask_pods(c: Config, user="ana", **options):
    """Scheduler and worker as the controller would make them of what this user asks for."""
    from dask_gateway_server.backends.kubernetes.backend import KubeClusterConfig
    from dask_gateway_server.backends.kubernetes.controller import KubeController

    declared = c.Backend.cluster_options
    person = SimpleNamespace(name=user, groups=[], admin=False)
    chosen = declared.get_configuration(declared.parse_options(options), person)
    config = KubeClusterConfig(config=c, **chosen)
    controller = KubeController(gateway_instance="vadose-dask-gateway", api_url="http://api:8000/api")
    return config, [
        {"apiVersion": "v1", "kind": "Pod", **controller.make_pod("hub", "abc", config, is_worker=worker)}
        for worker in (False, True)
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_dask_pods_are_valid_run_the_notebooks_image_and_stay_within_caps(chart, stack):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the test extra")
    values = chart.values(stack)
    dask = values["vadose"]["dask"]
    config, (scheduler, worker) = dask_pods(gateway_of(chart, stack))
    image = values["jupyterhub"]["singleuser"]["image"]
    for pod in (scheduler, worker):
        pod["metadata"]["name"] = "made"
        validate.validate(pod, KUBERNETES, strict=True)
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert container["image"] == f"{image['name']}:{image['tag']}"
        assert spec["serviceAccountName"] == "user-sa"
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["fsGroup"] == 1000, "or the identity's token cannot be read"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
        assert pod["metadata"]["labels"]["hub.jupyter.org/username"] == "ana"
        assert pod["metadata"]["labels"]["gateway.dask.org/instance"] == "vadose-dask-gateway"
    # distributed no longer has dask-scheduler and dask-worker.
    assert scheduler["spec"]["containers"][0]["args"][:2] == ["dask", "scheduler"]
    assert worker["spec"]["containers"][0]["args"][:2] == ["dask", "worker"]
    smallest = dask["workers"][0]
    assert int(worker["spec"]["containers"][0]["resources"]["limits"]["memory"]) == smallest["memoryGiB"] * 2**30
    assert float(worker["spec"]["containers"][0]["resources"]["requests"]["cpu"]) == smallest["cores"]
    assert config.idle_timeout == dask["idleMinutes"] * 60
    # Memory and cores of the scheduler count too.
    room = dask["maxMemoryGiBPerCluster"] - dask["scheduler"]["memoryGiB"]
    fits = min(
        dask["maxWorkersPerCluster"],
        int(room / smallest["memoryGiB"]),
        int((dask["maxCoresPerCluster"] - dask["scheduler"]["cores"]) / smallest["cores"]),
    )
    assert config.cluster_max_workers == fits == dask["maxWorkersPerCluster"], "a cap that another cap hides"
    assert config.cluster_max_cores == dask["maxCoresPerCluster"]
    assert config.cluster_max_memory == dask["maxMemoryGiBPerCluster"] * 2**30


def test_workers_go_to_spot_and_schedulers_to_user_nodes_of_terraform(chart):
    _, (scheduler, worker) = dask_pods(gateway_of(chart, "aws"))
    assert worker["spec"]["nodeSelector"] == {"k8s.dask.org/node-purpose": "worker"}
    assert scheduler["spec"]["nodeSelector"] == {"k8s.dask.org/node-purpose": "scheduler"}
    assert {(t["key"], t["value"]) for t in worker["spec"]["tolerations"]} == {
        ("k8s.dask.org/dedicated", "worker"),
        ("k8s.dask.org_dedicated", "worker"),
    }
    assert {(t["key"], t["value"]) for t in scheduler["spec"]["tolerations"]} == {
        ("hub.jupyter.org/dedicated", "user"),
        ("hub.jupyter.org_dedicated", "user"),
    }
    nodes = (ROOT / "terraform/aws/modules/nodes/main.tf").read_text()
    for said in (
        '"k8s.dask.org/node-purpose" = "worker"',
        '"k8s.dask.org/node-purpose" = "scheduler"',
        'key = "k8s.dask.org/dedicated"',
    ):
        assert said in nodes
    _, (_, anywhere) = dask_pods(gateway_of(chart, "minimal"))
    assert not anywhere["spec"].get("nodeSelector")


def test_workers_run_what_the_notebook_runs_and_know_its_scratch(chart, tmp_path, monkeypatch):
    notebook = user_pod(
        hub_of(chart, "aws", tmp_path, monkeypatch), profile="notebook", **{"image--unlisted-choice": "lab/mine:7"}
    )
    env = environment_of(notebook)
    asked = env["DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE"].format(**env)
    _, pods = dask_pods(gateway_of(chart, "aws"), image=asked)
    for pod in pods:
        container = pod["spec"]["containers"][0]
        assert container["image"] == notebook["spec"]["containers"][0]["image"] == "lab/mine:7"
        there = {e["name"]: e.get("value") for e in container["env"]}
        assert there["SCRATCH_BUCKET"] == "s3://vadose-scratch-1/ana"
        assert there["AWS_DEFAULT_REGION"] == "us-west-2"
    label = "hub.jupyter.org/username"
    assert notebook["metadata"]["labels"][label] == pods[0]["metadata"]["labels"][label]


def test_a_class_runs_the_class_image_only(chart):
    c = gateway_of(chart, "workshop")
    with pytest.raises(ValueError, match="not offered on this hub"):
        dask_pods(c, image="miner/coin:1")


def test_one_person_cannot_start_more_clusters_than_allowed(chart):
    from dask_gateway_server.backends.kubernetes import KubeBackend

    c = gateway_of(chart, "workshop")
    backend = c.DaskGateway.backend_class
    assert issubclass(backend, KubeBackend)
    made = backend.__new__(backend)

    async def running(username=None, statuses=None):
        return [SimpleNamespace(status=SimpleNamespace(name="RUNNING"))]

    made.list_clusters = running
    with pytest.raises(ValueError, match="you have 1 clusters already, the limit is 1"):
        asyncio.run(made.start_cluster(SimpleNamespace(name="ana"), {}))


def test_the_gateway_reads_its_settings_from_what_the_chart_below_can_carry(chart):
    """The Dask Gateway chart takes `env` and `extraConfig` and no volumes; both name what config.yaml renders."""
    said = chart.values("minimal")["dask-gateway"]["gateway"]
    assert [e["name"] for e in said["env"]] == ["VADOSE_GATEWAY_FILE", "VADOSE_GATEWAY_VALUES"]
    assert len(said["extraConfig"]["vadose"].splitlines()) == 3
    assert gateway_of(chart, "minimal").KubeClusterConfig.image


def test_idle_kernels_stop_and_databases_stay_off_the_home(chart):
    said = chart.values("aws")["jupyterhub"]["singleuser"]["extraFiles"]["jupyter_server_config.json"]
    assert said["mountPath"].startswith("/etc/jupyter/")
    from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

    made = MappingKernelManager(config=Config({"MappingKernelManager": said["data"]["MappingKernelManager"]}))
    assert (made.cull_idle_timeout, made.cull_connected) == (3600, True)
    assert said["data"]["BaseFileIdManager"]["db_path"].startswith("/tmp/")


# -- with the charts below --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Chart:
    """The chart with the two it depends on, from a folder that holds jupyterhub/ and dask-gateway/."""
    import shutil

    import helm_python as helm

    folder = os.environ.get("VADOSE_CHARTS")
    if not folder:
        pytest.skip("cannot run here: name a folder with the charts jupyterhub and dask-gateway in VADOSE_CHARTS")
    place = tmp_path_factory.mktemp("umbrella") / "vadose"
    shutil.copytree(ROOT / "helm" / "vadose", place)
    said = yaml.safe_load((place / "Chart.yaml").read_text())
    for dependency in said["dependencies"]:
        (place / "charts").mkdir(exist_ok=True)
        helm.package(
            str(Path(folder) / dependency["name"]), destination=str(place / "charts"), version=dependency["version"]
        )
        dependency["repository"] = ""
    (place / "Chart.yaml").write_text(yaml.safe_dump(said))
    return Chart(place)


@pytest.mark.parametrize("stack", STACKS)
def test_chart_whole_renders_and_every_object_is_valid(whole, stack):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the test extra")
    objects = whole.objects(stack)
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert {("Deployment", "hub"), ("Deployment", "proxy"), ("Deployment", "api-vadose-dask-gateway")} <= names
    for o in objects:
        try:
            validate.validate(o, KUBERNETES, strict=True)
        except validate.utils.SchemaNotFoundError:
            assert o["kind"] in {"ServiceMonitor", "PrometheusRule", "IngressRoute", "Middleware"}
    gateway = one(objects, "ConfigMap", "api-vadose-dask-gateway")["data"]["dask_gateway_config.py"]
    assert 'vadose["configure"]' in gateway
    # What other objects are looked up by.
    for kind, name in (
        ("Service", "traefik-vadose-dask-gateway"),
        ("Service", "proxy-public"),
        ("PersistentVolumeClaim", "hub-db-dir"),
    ):
        assert (kind, name) in names
    for o in objects:
        if o["kind"] == "Deployment":
            for container in o["spec"]["template"]["spec"]["containers"]:
                assert container["resources"]["requests"]["memory"], f"{o['metadata']['name']}: {container['name']}"
    secret = one(objects, "Secret", "hub")
    assert {"hub.services.dask-gateway.apiToken", "hub.services.prometheus.apiToken"} <= set(secret["data"])


def test_chart_whole_refuses_what_only_the_chart_below_knows(whole):
    for wrong in ({"singleusr": {}}, {"hub": {"imagePullPolicy": "x"}}):
        with pytest.raises(Exception, match="not allowed"):
            whole.files(whole.given("minimal", {"jupyterhub": wrong}))


@pytest.mark.parametrize("stack", STACKS)
def test_chart_whole_walls_let_a_notebook_work(whole, stack):
    from test_chart import PODS, open_between

    policies = [o for o in whole.objects(stack) if o["kind"] == "NetworkPolicy"]
    flows = [
        ("notebook", "hub", 8081, True),
        ("notebook", "proxy", 8000, True),
        ("notebook", "traefik", 8000, True),
        ("notebook", "catalog", 8080, True),
        ("notebook", "52.92.16.1", 443, True),
        ("notebook", "notebook", 8888, False),
        ("notebook", "scheduler", 8786, False),
        ("notebook", "169.254.169.254", 80, False),
        ("notebook", "10.0.0.1", 443, False),
        ("proxy", "traefik", 8000, True),
        ("proxy", "catalog", 8080, True),
        ("hub", "catalog", 8080, True),
        ("worker", "hub", 8081, False),
        ("worker", "scheduler", 8786, True),
        ("citizen", "hub", 8081, True),
        ("stranger", "hub", 8081, False),
        ("stranger", "notebook", 8888, False),
        ("proxy", "notebook", 8888, True),
    ]
    for o in whole.objects(stack):  # the labels that the flows assume are the labels that pods have
        if o["kind"] == "Deployment" and o["metadata"]["name"] in ("hub", "proxy"):
            assert PODS[o["metadata"]["name"]].items() <= o["spec"]["template"]["metadata"]["labels"].items()
    for source, target, port, expected in flows:
        assert open_between(policies, PODS[source], PODS.get(target, target), port) is expected, (
            source,
            target,
            port,
        )


@pytest.mark.parametrize("stack", STACKS)
def test_chart_whole_hub_file_runs_behind_the_charts_own(whole, stack, tmp_path, monkeypatch):
    """The JupyterHub chart's own configuration file, run with what its Secret holds, then ours, as in the hub's pod."""
    import base64

    objects = whole.objects(stack)
    secret = one(objects, "Secret", "hub")["data"]
    held = {k: base64.b64decode(v).decode() for k, v in secret.items()}
    below = yaml.safe_load(held["values.yaml"])
    data = one(objects, "ConfigMap", "vadose-hub")["data"]
    (tmp_path / "settings.json").write_text(data["settings.json"])
    monkeypatch.setenv("VADOSE_HUB_SETTINGS", str(tmp_path / "settings.json"))
    for name, value in {
        **SECRETS,
        "PROXY_API_SERVICE_PORT": "8001",
        "HUB_SERVICE_PORT": "8081",
        "POD_NAMESPACE": "hub",
    }.items():
        monkeypatch.setenv(name, value)
    z2jh = types.ModuleType("z2jh")

    def get(key, default=None):
        value = below
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value

    z2jh.get_config = get
    z2jh.get_name = lambda name: name
    z2jh.get_name_env = lambda name, suffix="": os.environ[(name + suffix).upper().replace("-", "_")]
    z2jh.get_secret_value = lambda key, default=None: held.get(key, default)

    def set_if(parent, name, key):
        if get(key) is not None:
            setattr(parent, name, get(key))

    z2jh.set_config_if_not_none = set_if
    monkeypatch.setitem(sys.modules, "z2jh", z2jh)
    curl = types.ModuleType("tornado.curl_httpclient")
    monkeypatch.setattr("tornado.httpclient.AsyncHTTPClient.configure", lambda *_: None)
    monkeypatch.setitem(sys.modules, "tornado.curl_httpclient", curl)
    c = Config()
    text = (Path(os.environ["VADOSE_CHARTS"]) / "jupyterhub/files/hub/jupyterhub_config.py").read_text()
    space = {"c": c, "get_config": lambda: c, "__file__": str(tmp_path / "jupyterhub_config.py")}
    exec(compile(text, "jupyterhub_config.py", "exec"), space)
    exec(compile(data["vadose_hub.py"], "vadose_hub.py", "exec"), space)

    assert c.JupyterHub.authenticator_class in {"shared-password", "cilogon", "github"}
    assert {"jupyterhub-idle-culler", "prometheus", "user", "server"} <= {r["name"] for r in c.JupyterHub.load_roles}
    services = {s["name"]: s for s in c.JupyterHub.services}
    assert services["dask-gateway"]["api_token"]
    assert services["dask-gateway"]["url"] == "http://traefik-vadose-dask-gateway.hub"
    assert any("--timeout=" in word for word in services["jupyterhub-idle-culler"]["command"])
    pod = user_pod(c)
    assert pod["spec"]["containers"][0]["image"] == "ghcr.io/vadose-hub/notebook:0.1.0"
    assert "args" not in pod["spec"]["containers"][0]
    assert pod["spec"]["serviceAccountName"] == "user-sa"
    from test_chart import PODS

    assert PODS["notebook"].items() <= pod["metadata"]["labels"].items()
    names = {e["name"] for e in pod["spec"]["containers"][0]["env"]}
    assert {"DASK_GATEWAY__ADDRESS", "JUPYTER_RUNTIME_DIR"} <= names
    assert pod["metadata"]["labels"]["hub.jupyter.org/network-access-hub"] == "true"


def test_chart_whole_gateway_file_runs_behind_the_charts_own(whole):
    objects = whole.objects("aws")
    text = one(objects, "ConfigMap", "api-vadose-dask-gateway")["data"]["dask_gateway_config.py"]
    data = one(objects, "ConfigMap", "vadose-gateway")["data"]
    container = one(objects, "Deployment", "api-vadose-dask-gateway")["spec"]["template"]["spec"]["containers"][0]
    names = {e["name"]: e["valueFrom"] for e in container["env"] if "configMapKeyRef" in e.get("valueFrom", {})}
    given = {name: data[source["configMapKeyRef"]["key"]] for name, source in names.items()}
    c = Config()
    before = dict(os.environ)
    os.environ.update(given, HUB_SERVICE_HOST="hub", HUB_SERVICE_PORT="8081")
    try:
        exec(
            compile(text, "dask_gateway_config.py", "exec"),
            {"c": c, "__file__": "/etc/dask-gateway/dask_gateway_config.py"},
        )
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert c.DaskGateway.authenticator_class.endswith("JupyterHubAuthenticator")
    assert c.JupyterHubAuthenticator.jupyterhub_service_name == "dask-gateway"
    config, pods = dask_pods(c)
    assert config.idle_timeout == 1200
    assert pods[1]["spec"]["containers"][0]["image"] == "ghcr.io/vadose-hub/notebook:0.1.0"
