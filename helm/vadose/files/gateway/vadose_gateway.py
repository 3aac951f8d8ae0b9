"""Dask Gateway configuration of vadose: the same file on one machine and in the chart.

Settings come from the JSON file that VADOSE_GATEWAY_SETTINGS names; in the chart this file and its settings reach the
gateway's pod as two variables from a ConfigMap, because the Dask Gateway chart mounts no volumes.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

IDLE_CHOICES_MINUTES = (5, 60)


def configure_common(c, settings):
    idle = settings["idle_minutes"]
    if not idle or idle <= 0:
        raise ValueError(f"idle_minutes must be positive, got {idle!r}: clusters that never stop are the largest surprise on a bill")
    # distributed >= 2026.6 has no dask-scheduler and dask-worker any more; the gateway still starts them by those names.
    dask = [settings["dask"]] if settings.get("dask") else ["dask"]
    c.ClusterConfig.scheduler_cmd = [*dask, "scheduler"]
    c.ClusterConfig.worker_cmd = [*dask, "worker"]
    c.ClusterConfig.idle_timeout = int(idle * 60)
    caps = settings["caps"]
    c.ClusterConfig.cluster_max_workers = caps["workers"]
    c.ClusterConfig.cluster_max_cores = caps["cores"]
    c.ClusterConfig.cluster_max_memory = f"{caps['memory_gib']:g} G"
    c.DaskGateway.log_level = settings.get("log_level", "INFO")


def allowed_environment(mapping):
    """Environment variables a user hands to workers: names must be plain, and none may name the interpreter's own switches."""
    for name in mapping:
        if not name.replace("_", "A").isalnum() or name.startswith(("LD_", "PYTHON", "DASK_GATEWAY_", "JUPYTERHUB_API_TOKEN")) or name == "PATH":
            raise ValueError(f"environment variable {name!r} cannot be set on workers")
    return {str(k): str(v) for k, v in mapping.items()}


def options_of(settings):
    """What a user may choose when asking for a cluster: size of a worker, image (in a cluster), environment."""
    from dask_gateway_server.options import Mapping, Options, Select, String

    sizes = {f"{w['cores']:g} cores, {w['memory_gib']:g} GB": w for w in settings["workers"]}

    def handler(options, user):
        size = options.worker_size if isinstance(options.worker_size, dict) else sizes[options.worker_size]
        out = {
            "worker_cores": max(size["cores"], 0.1) if settings["kind"] == "kubernetes" else max(1, int(size["cores"])),
            "worker_memory": f"{size['memory_gib']:g} G",
            "environment": allowed_environment(dict(options.environment)),
        }
        if settings["kind"] == "kubernetes":
            image = options.image or settings["image"]
            name, _, tag = image.rpartition(":")
            if not name or "/" in tag or tag == "latest":
                raise ValueError(f"image {image!r} needs a tag that is not 'latest': workers must run what the notebook runs")
            known = [settings["image"], *settings.get("images", [])]
            if not settings.get("any_image", True) and image not in known:
                raise ValueError(f"image {image!r} is not offered on this hub; there are {', '.join(known)}")
            out["image"] = image
            # The user's own part of the scratch bucket, as in the notebook; what the notebook hands over wins.
            out["environment"] = {**worker_environment(settings, user.name), **out["environment"]}
            label = {"hub.jupyter.org/username": escape_label(user.name), "app.kubernetes.io/part-of": "vadose"}
            for part in ("worker", "scheduler"):
                out[f"{part}_extra_pod_labels"] = label
                out[f"{part}_extra_container_config"] = CONTAINER
            out["worker_extra_pod_config"] = worker_pod(settings)
            out["scheduler_extra_pod_config"] = scheduler_pod(settings)
        return out

    fields = [Select("worker_size", options=list(sizes.items()), label="Size of a worker"), Mapping("environment", default={}, label="Environment of scheduler and workers")]
    if settings["kind"] == "kubernetes":
        fields.append(String("image", default=settings["image"], label="Image"))
    return Options(*fields, handler=handler)


def escape_label(name):
    """A user name as a label value, written as KubeSpawner 7 writes it, so that one label finds notebook and workers of a user."""
    if "--" not in name and len(name) <= 63 and re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?", name):
        return name
    safe = re.sub("[^a-z0-9]+", "-", name.lower()).lstrip("-")[:21].rstrip("-")
    if safe and not safe[0].isalpha():
        safe = "x-" + safe[:19]
    return f"{safe or 'x'}---{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def worker_environment(settings, username):
    """What scheduler and workers find in their environment by themselves."""
    cloud = settings.get("cloud", {})
    out = {}
    if cloud.get("scratchBucket"):
        out["SCRATCH_BUCKET"] = f"s3://{cloud['scratchBucket']}/{username}"
    if cloud.get("dataBucket"):
        out["VADOSE_DATA_BUCKET"] = f"s3://{cloud['dataBucket']}"
    if cloud.get("region"):
        out["AWS_DEFAULT_REGION"] = cloud["region"]
    return out


#: Scheduler and worker need no rights beyond their own process.
CONTAINER = {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
POD = {"fsGroup": 1000, "runAsUser": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def worker_pod(settings):
    """Workers go to their own (spot) nodes, with the user's identity readable (fsGroup) and no token of Kubernetes."""
    return {
        "serviceAccountName": settings["service_account"],
        "automountServiceAccountToken": False,
        "securityContext": POD,
        "nodeSelector": settings["worker_node_selector"],
        "tolerations": [{"key": key, "operator": "Equal", "value": "worker", "effect": "NoSchedule"} for key in ("k8s.dask.org/dedicated", "k8s.dask.org_dedicated")],
    }


def scheduler_pod(settings):
    """Schedulers go to user nodes, never to spot: a lost scheduler is a lost computation."""
    return {
        "serviceAccountName": settings["service_account"],
        "automountServiceAccountToken": False,
        "securityContext": POD,
        "nodeSelector": settings["scheduler_node_selector"],
        "tolerations": [{"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"} for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")],
    }


def limited(backend, limit):
    """`backend` with a cap on a user's clusters; refuses with a sentence that says how to stop the old ones."""

    class Limited(backend):
        async def start_cluster(self, user, cluster_options):
            mine = [c for c in await self.list_clusters(username=user.name) if c.status.name in ("PENDING", "RUNNING")]
            if len(mine) >= limit:
                raise ValueError(f"you have {len(mine)} clusters already, the limit is {limit}: stop one with vadose.access.cluster.stop_all()")
            return await super().start_cluster(user, cluster_options)

    Limited.__name__ = f"Limited{backend.__name__}"
    return Limited


def configure_local(c, settings):
    from dask_gateway_server.backends.local import LocalBackend, UnsafeLocalBackend

    port = settings["port"]
    c.Proxy.address = f"127.0.0.1:{port}"
    c.Proxy.prefix = "/services/dask-gateway"
    c.DaskGateway.address = f"127.0.0.1:{settings['api_port']}"
    c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"

    class OwnedLocalBackend(LocalBackend):
        """Clusters as real Unix users. The stock class walks a path letter by letter and would chown `/`."""

        def set_file_permissions(self, paths, username):
            folder = next(p for p in paths if len(p) > 1)
            for directory, _, files in os.walk(folder):
                super().set_file_permissions([directory, *(os.path.join(directory, f) for f in files)], username)

    backend = OwnedLocalBackend if settings.get("unix_users") else UnsafeLocalBackend
    backend = limited(backend, settings["caps"]["clusters_per_user"])
    backend.sigint_timeout.default_value = 3
    backend.sigterm_timeout.default_value = 2
    c.DaskGateway.backend_class = backend
    clusters = Path(settings["clusters"])
    clusters.mkdir(parents=True, exist_ok=True)
    clusters.chmod(0o755)
    c.LocalBackend.clusters_directory = str(clusters)
    c.LocalBackend.inherited_environment = ["PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "VADOSE_HUB_ID", "OMP_NUM_THREADS"]
    if settings.get("database"):
        c.DBBackendBase.db_url = f"sqlite:///{settings['database']}"
        c.DBBackendBase.db_encrypt_keys = [settings["database_key"]]
    # Nothing beyond loopback: scheduler and workers take the host of the backend.
    c.Backend.cluster_options = options_of(settings)


def configure_kubernetes(c, settings):
    from dask_gateway_server.backends.kubernetes import KubeBackend

    c.DaskGateway.backend_class = limited(KubeBackend, settings["caps"]["clusters_per_user"])
    # Without a choice: the image that notebooks run. With one, options_of sees to it that it is the notebook's own.
    c.KubeClusterConfig.image = settings["image"]
    scheduler = settings["scheduler"]
    c.KubeClusterConfig.scheduler_cores = scheduler["cores"]
    c.KubeClusterConfig.scheduler_cores_limit = scheduler["cores_limit"]
    c.KubeClusterConfig.scheduler_memory = f"{scheduler['memory_gib']:g} G"
    c.KubeClusterConfig.scheduler_memory_limit = f"{scheduler['memory_gib']:g} G"
    c.Backend.cluster_options = options_of(settings)


def configure(c, settings):
    """Everything, from settings: `kind` is `local` or `kubernetes`."""
    configure_common(c, settings)
    {"local": configure_local, "kubernetes": configure_kubernetes}[settings["kind"]](c, settings)


if "c" in globals() and os.environ.get("VADOSE_GATEWAY_SETTINGS"):
    sys.path.insert(0, os.path.dirname(sys.executable))
    configure(c, json.loads(Path(os.environ["VADOSE_GATEWAY_SETTINGS"]).read_text()))
