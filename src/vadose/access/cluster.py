"""One call for a Dask cluster: a Gateway cluster on a hub, processes of this machine elsewhere; the notebook sees the same object."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vadose.errors import PlatformError, VadoseInputError

if TYPE_CHECKING:
    from distributed import Client

#: Environment variables that workers need to read what the notebook reads; secrets travel to the user's own workers only.
FORWARDED = ("VADOSE_", "AWS_", "SCRATCH_BUCKET", "EARTHDATA_", "OMP_NUM_THREADS")
#: Never handed on: they belong to the notebook server itself.
KEPT = ("AWS_CONTAINER_", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")


def on_hub() -> bool:
    """Whether a Dask Gateway is configured for this process (on a hub it is)."""
    return "DASK_GATEWAY__ADDRESS" in os.environ


def worker_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings and credentials of this process that workers need."""
    env = os.environ if environment is None else environment
    return {k: v for k, v in env.items() if k.startswith(FORWARDED) and not k.startswith(KEPT)}


class Cluster:
    """A cluster and its client: use it in a `with` block, or call `close`.

    `client` is connected; `scale(n)` changes the number of workers; `dashboard_link` is a page to watch it.
    """

    def __init__(self, cluster: Any, client: Client, kind: str, gateway: Any = None) -> None:
        self._cluster, self.client, self.kind, self._gateway = cluster, client, kind, gateway

    @property
    def dashboard_link(self) -> str:
        return str(self._cluster.dashboard_link)

    @property
    def name(self) -> str:
        return str(self._cluster.name)

    def scale(self, workers: int) -> None:
        """Ask for `workers` workers; on a hub the cap of a cluster holds, and a warning says so."""
        self._cluster.scale(workers)

    def wait(self, workers: int, *, timeout: float = 120.0) -> None:
        """Wait until `workers` workers are there. Raises PlatformError naming how many came and what to do."""
        try:
            self.client.wait_for_workers(workers, timeout=timeout)
        except TimeoutError as error:
            here = len(self.client.scheduler_info()["workers"])
            raise PlatformError(
                f"{here} of {workers} workers came within {timeout:.0f} s; nodes may still be starting: call wait() again, or go on with what is there"
            ) from error

    def close(self) -> None:
        """End workers and scheduler. Safe to call twice."""
        with contextlib.suppress(Exception):
            self.client.close()
        with contextlib.suppress(Exception):
            self._cluster.shutdown() if self.kind == "gateway" else self._cluster.close()
        # When the gateway did not answer, its clients stay half open, and their finalizers close again on a loop that is gone
        # and complain on the terminal: close them once here, and for good.
        for owner in (getattr(self._cluster, "gateway", None), self._gateway, self._cluster):
            if owner is not None and self.kind == "gateway":
                with contextlib.suppress(Exception):
                    owner.close()
                owner.close = lambda *_, **__: None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        workers = len(self.client.scheduler_info()["workers"]) if self.client.status == "running" else 0
        return f"<{'Dask Gateway' if self.kind == 'gateway' else 'local'} cluster {self.name}: {workers} workers>"

    def _repr_html_(self) -> str:
        return f"<b>{'Dask Gateway cluster' if self.kind == 'gateway' else 'Local cluster'}</b> {self.name}<br><a href='{self.dashboard_link}' target='_blank'>dashboard</a>"


def connect(n_workers: int = 2, *, wait: bool = True, timeout: float = 120.0, **options: Any) -> Cluster:
    """Start a cluster with `n_workers` workers and connect to it.

    On a hub this is a Dask Gateway cluster (`options`: `worker_size`, `image`, as `gateway_options()` shows them); elsewhere
    processes of this machine (`options` of `distributed.LocalCluster`). Settings and credentials reach the workers.

    Raises PlatformError when the gateway refuses or does not answer, VadoseInputError for an unknown option.
    """
    if n_workers < 1:
        raise VadoseInputError(f"n_workers must be at least 1, got {n_workers}")
    if not on_hub():
        return _local(n_workers, options)
    gateway = _gateway()
    try:
        chosen = gateway.cluster_options()
        unknown = set(options) - set(chosen)
        if unknown:
            raise VadoseInputError(f"unknown cluster option {sorted(unknown)}; this hub offers {sorted(chosen)}")
        environment = {**worker_environment(), **options.pop("environment", {})}
        cluster = gateway.new_cluster(chosen, shutdown_on_close=True, environment=environment, **options)
    except VadoseInputError:
        gateway.close()
        raise
    except Exception as error:
        gateway.close()
        raise PlatformError(f"the gateway did not start a cluster: {error}") from error
    cluster.scale(n_workers)
    out = Cluster(cluster, cluster.get_client(), "gateway", gateway)
    if wait:
        out.wait(n_workers, timeout=timeout)
    return out


def _local(n_workers, options):
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "host": "127.0.0.1",
        "silence_logs": 40,
    }
    cluster = LocalCluster(n_workers=n_workers, **{**settings, **options})
    return Cluster(cluster, Client(cluster), "local")


def _gateway():
    from dask_gateway import Gateway

    try:
        return Gateway()
    except Exception as error:
        raise PlatformError(f"no Dask Gateway answers at {os.environ.get('DASK_GATEWAY__ADDRESS')}: {error}") from error


def gateway_options() -> dict[str, Any]:
    """What this hub lets one choose for a cluster, with the defaults; empty where there is no gateway."""
    if not on_hub():
        return {}
    with _gateway() as gateway:
        return dict(gateway.cluster_options())


def clusters() -> list[str]:
    """Names of my clusters that run now; on a hub only."""
    if not on_hub():
        return []
    with _gateway() as gateway:
        return [report.name for report in gateway.list_clusters()]


def stop_all() -> list[str]:
    """Stop all my clusters and return their names: for those that outlived their notebook."""
    if not on_hub():
        return []
    with _gateway() as gateway:
        names = [report.name for report in gateway.list_clusters()]
        for name in names:
            gateway.stop_cluster(name)
    return names
