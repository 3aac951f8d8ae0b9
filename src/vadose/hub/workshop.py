"""A class on the hub: how many nodes, what to ask the cloud for and when, what it costs; links that bring notebooks to learners."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from vadose.errors import VadoseInputError, unknown_name

PRICES = Path(__file__).with_name("prices.json")
#: Bytes of the notebook image, written by `images/size`; a test of the image holds them to be true.
IMAGE = Path(__file__).with_name("image.json")
HOURS_A_MONTH = 730.0
#: Where the hub's pullers put what a link brings, below home.
PARENT = "content"


def prices(path: Path = PRICES) -> dict[str, Any]:
    """The price table: one file, with the date it was written down."""
    return json.loads(path.read_text())


def image_gib(path: Path = IMAGE) -> float:
    """GiB of the notebook image as it travels to a node (compressed)."""
    return json.loads(path.read_text())["packed"] / 2**30


@dataclass(frozen=True)
class Plan:
    """What a class needs. Money in USD, memory in GiB, times in hours."""

    users: int
    hours: float
    memory: float
    instance: str
    seats: int  # learners a node
    nodes: int
    workers: int  # Dask workers at the peak
    worker_nodes: int
    vcpus: int  # on-demand, nodes of users and core
    spot_vcpus: int
    hours_paid: float  # with the time before and after
    lines: tuple[tuple[str, float], ...] = field(repr=False)  # what, USD
    as_of: str = ""

    @property
    def cost(self) -> float:
        return sum(amount for _, amount in self.lines)

    @property
    def forgotten(self) -> float:
        """What one more day costs when nobody takes it down and the nodes of learners have gone by themselves."""
        table = prices()
        still = (
            2 * table["hour"]["m6i.xlarge"]
            + table["control_plane_hour"]
            + table["nat_gateway_hour"]
            + table["load_balancer_hour"]
        )
        return 24 * still + self.users * 2 * table["volume_gib_month"] / HOURS_A_MONTH * 24


def allocatable(gib: float) -> float:
    """Memory that pods may ask for on a node: 7 % go to kubelet and system, 1.5 GiB to what runs on every node (as in terraform/aws)."""
    return gib * 0.93 - 1.5


def plan(
    users: int,
    hours: float,
    *,
    memory: float = 6.5,
    cpu: float = 0.8,
    instance: str = "r6i.4xlarge",
    workers_each: int = 2,
    share_with_dask: float = 0.5,
    worker_memory: float = 3.5,
    early: float = 1.0,
    home: float = 2.0,
) -> Plan:
    """Nodes, quotas and cost of a class of `users` for `hours`.

    `share_with_dask` of the learners run `workers_each` Dask workers of `worker_memory` GiB at the same time. Nodes are started
    `early` hours before. Raises VadoseInputError for a class of nobody, or a seat that no node of this type can hold.
    """
    if users < 1 or hours <= 0:
        raise VadoseInputError(f"a class needs at least one learner and some time, got {users} users for {hours} hours")
    table = prices()
    if instance not in table["hour"]:
        raise unknown_name("instance type", instance, table["hour"])
    vcpus, gib = table["machine"][instance]
    seats = min(int(allocatable(gib) // memory), int(vcpus * 0.95 // cpu))
    if seats < 1:
        raise VadoseInputError(
            f"a seat of {memory:g} GiB and {cpu:g} CPUs does not fit on {instance} ({allocatable(gib):.1f} GiB for pods): choose a larger type or a smaller seat"
        )
    nodes = math.ceil(users / seats)
    workers = math.ceil(users * share_with_dask) * workers_each
    # Workers are packed by memory on r6i.4xlarge.
    worker_vcpus, worker_gib = table["machine"]["r6i.4xlarge"]
    worker_nodes = math.ceil(
        workers / min(int(allocatable(worker_gib) // worker_memory), int(worker_vcpus * 0.95 // 0.9))
    )
    paid = early + hours + 1.0  # an hour until culling and the autoscaler have let the last node go
    core = 2
    lines = (
        (f"{nodes} x {instance} for learners, {paid:g} h", nodes * table["hour"][instance] * paid),
        (f"{core} x m6i.xlarge for the hub, {paid:g} h", core * table["hour"]["m6i.xlarge"] * paid),
        (
            f"{worker_nodes} x r6i.4xlarge spot for Dask, {hours:g} h",
            worker_nodes * table["hour"]["r6i.4xlarge"] * table["spot_share"] * hours,
        ),
        ("control plane, NAT gateway, load balancer", (table["control_plane_hour"] + table["nat_gateway_hour"] + table["load_balancer_hour"]) * paid),
        (f"{users} homes of {home:g} GiB, kept for a week", users * home * table["volume_gib_month"] * 7 * 24 / HOURS_A_MONTH),
        (f"traffic to browsers, {users} x 0.2 GiB", users * 0.2 * table["traffic_out_gib"]),
    )  # fmt: skip
    return Plan(
        users, hours, memory, instance, seats, nodes, workers, worker_nodes,
        vcpus=nodes * vcpus + core * 4, spot_vcpus=worker_nodes * worker_vcpus, hours_paid=paid, lines=lines, as_of=table["as_of"],
    )  # fmt: skip


def chart_values(made: Plan, *, cpu: float = 0.8) -> dict[str, Any]:
    """Values on top of overlays/workshop.yaml: the seat, and room for a fifth of the class that comes at once."""
    waiting = max(1, math.ceil(made.users / 5))
    return {
        "vadose": {
            "profiles": {
                "ladder": [
                    {
                        "name": "class",
                        "memoryGiB": made.memory,
                        "cpu": cpu,
                        "cpuLimit": prices()["machine"][made.instance][0],
                        "nodeSelector": {"vadose.org/ladder": "class"},
                    }
                ],
                "default": "class",
            }
        },
        "jupyterhub": {
            "scheduling": {
                "userPlaceholder": {
                    "replicas": waiting,
                    "resources": {"requests": {"cpu": cpu, "memory": f"{math.ceil(made.memory * 1024)}Mi"}},
                }
            }
        },
    }


def terraform_variables(made: Plan) -> str:
    """A tfvars file for terraform/aws: the class's own pool, warm from the start."""
    return (
        f'user_instance_types = {{ class = "{made.instance}" }}\n'
        f"user_nodes_min      = {made.nodes} # back to 0 when the class is over\n"
        f"user_nodes_max      = {made.nodes + 1}\n"
        f"dask_nodes_max      = {max(1, made.worker_nodes)}\n"
        "scratch_days        = 2\n"
        f"monthly_budget_usd  = {max(50, math.ceil(made.cost * 2 / 10) * 10)}\n"
    )


def requests_to_make(made: Plan) -> list[tuple[str, str, int]]:
    """Service quotas to ask for: name, code, at least this many. New accounts begin with 5 to 32 vCPUs."""
    return [
        ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, vCPUs", "L-1216C47A", made.vcpus + 16),
        ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests, vCPUs", "L-34B43A08", made.spot_vcpus),
    ]


def link(hub: str, repository: str, path: str = "", *, branch: str = "main", parent: str = PARENT) -> str:
    """A link that logs a learner in, brings `repository` into their home and opens `path` in Lab (nbgitpuller).

    Work that a learner has changed is kept: the puller merges, and never overwrites theirs. `parent` is the hub's
    NBGITPULLER_PARENTPATH. Raises VadoseInputError for addresses that cannot work.
    """
    if not hub.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise VadoseInputError(
            f"the hub's address must begin with https://, got {hub!r}: passwords do not travel in the open"
        )
    if not repository.startswith("https://"):
        raise VadoseInputError(
            f"the repository must be a public https:// address, got {repository!r}: learners have no keys"
        )
    if path.startswith("/") or ".." in path.split("/"):
        raise VadoseInputError(f"the path is inside the repository, got {path!r}")
    name = repository.rstrip("/").split("/")[-1]
    folder = name.removesuffix(".git")
    inside = "/".join(part for part in (parent.strip("/"), folder, path) if part)
    query = {"repo": repository, "branch": branch, "urlpath": f"lab/tree/{quote(inside)}"}
    if folder != name:
        query["targetPath"] = folder
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query)}"


#: What to do when the class is over, in this order; docs/workshop.md explains each.
TEARDOWN = (
    ("Tell people: homes are deleted in a week; how to download theirs (File > Download, or `tar`).", ""),
    ("Stop every server and cluster.", "kubectl -n vadose delete daskclusters --all && kubectl -n vadose delete pod -l component=singleuser-server"),
    ("Change the password, so that last week's class is not this week's open hub.", "kubectl -n vadose delete secret vadose-login"),
    ("Let the nodes go.", "terraform apply -var-file=workshop.tfvars -var user_nodes_min=0"),
    ("Look that no node of learners is left.", "kubectl get nodes -l hub.jupyter.org/node-purpose=user"),
    ("After a week: take the release away, then homes and their volumes.", "helm uninstall vadose -n vadose && kubectl -n vadose delete pvc --all"),
    ("Volumes outlive their claims on purpose (Retain): delete them by their tag.", "aws ec2 describe-volumes --filters Name=tag:vadose:deployment,Values=vadose-workshop"),
    ("Take the cluster away.", "terraform destroy -var-file=workshop.tfvars"),
    ("Two days later: look at the bill by the tag vadose:deployment. It must stand still.", ""),
)  # fmt: skip
