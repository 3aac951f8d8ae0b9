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
#: Homes that one node can hold as volumes: AWS lets 28 devices hang on one (27 beside its disk), and its network cards are among them.
VOLUMES_A_NODE = 24
#: What a Dask scheduler asks for (GiB, CPUs). It runs beside the learners, never on spot; overlays/workshop.yaml says the same.
SCHEDULER = (2.0, 0.5)
#: Name of a class's own deployment: it prefixes what Terraform makes and is the tag that bills and volumes carry.
DEPLOYMENT = "vadose-workshop"
CORE = "m6i.xlarge"
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
    seats: int  # learners a node, beside the schedulers of those who run Dask
    nodes: int
    clusters: int  # at the same time, a scheduler each
    workers: int  # Dask workers at the peak
    worker_nodes: int
    vcpus: int  # on-demand, nodes of users and core
    spot_vcpus: int
    hours_paid: float  # of learners' nodes, with the time before and after
    days: float  # that the deployment stands
    lines: tuple[tuple[str, float], ...] = field(repr=False)  # what, USD
    as_of: str = ""

    @property
    def cost(self) -> float:
        return sum(amount for _, amount in self.lines)

    @property
    def spare(self) -> int:
        """Seats that stay free on the last node."""
        return self.nodes * self.seats - self.users

    @property
    def forgotten(self) -> float:
        """What one more day costs when nobody takes it down and the nodes of learners have gone by themselves."""
        return 24 * (standing_hour() + self.users * 2 * prices()["volume_gib_month"] / HOURS_A_MONTH)


def standing_hour() -> float:
    """USD an hour of a hub where nobody works: its own nodes, control plane, NAT gateway, load balancer."""
    table = prices()
    return (
        2 * table["hour"][CORE] + table["control_plane_hour"] + table["nat_gateway_hour"] + table["load_balancer_hour"]
    )


def seats_of(gib: float, vcpus: float, memory: float, cpu: float, share_with_dask: float) -> int:
    """Learners that fit on a node together with a scheduler for each of the `share_with_dask` among them."""

    def fits(learners: int) -> bool:
        schedulers = math.ceil(learners * share_with_dask)
        enough_memory = learners * memory + schedulers * SCHEDULER[0] <= allocatable(gib)
        return enough_memory and learners * cpu + schedulers * SCHEDULER[1] <= vcpus * 0.95

    return max((k for k in range(1, VOLUMES_A_NODE + 1) if fits(k)), default=0)


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
    days: float = 15.0,
) -> Plan:
    """Nodes, quotas and cost of a class of `users` for `hours`.

    `share_with_dask` of the learners run a cluster of `workers_each` Dask workers of `worker_memory` GiB at the same time; its scheduler
    runs on the learners' nodes. Nodes are started `early` hours before. The deployment stands `days` days: a week before, the day, and a
    week in which homes can be fetched; 0 where the hub stands anyway. Raises VadoseInputError for a class of nobody, or a seat that no
    node of this type can hold.
    """
    if users < 1 or hours <= 0:
        raise VadoseInputError(f"a class needs at least one learner and some time, got {users} users for {hours} hours")
    table = prices()
    if instance not in table["hour"]:
        raise unknown_name("instance type", instance, table["hour"])
    vcpus, gib = table["machine"][instance]
    seats = seats_of(gib, vcpus, memory, cpu, share_with_dask)
    if seats < 1:
        beside = (
            f", with a Dask scheduler of {SCHEDULER[0]:g} GiB and {SCHEDULER[1]:g} CPUs beside it,"
            if share_with_dask
            else ""
        )
        raise VadoseInputError(
            f"a seat of {memory:g} GiB and {cpu:g} CPUs{beside} does not fit on {instance} ({allocatable(gib):.1f} GiB for pods): choose a larger type or a smaller seat"
        )
    nodes = math.ceil(users / seats)
    clusters = math.ceil(users * share_with_dask)
    workers = clusters * workers_each
    # Workers are packed by memory and cores on r6i.4xlarge.
    worker_vcpus, worker_gib = table["machine"]["r6i.4xlarge"]
    worker_nodes = math.ceil(
        workers / min(int(allocatable(worker_gib) // worker_memory), int(worker_vcpus * 0.95 // 0.9))
    )
    paid = early + hours + 1.0  # an hour until culling and the autoscaler have let the last node go
    lines = (
        (f"{nodes} x {instance} for learners, {paid:g} h", nodes * table["hour"][instance] * paid),
        (
            f"{worker_nodes} x r6i.4xlarge spot for Dask, {hours:g} h",
            worker_nodes * table["hour"]["r6i.4xlarge"] * table["spot_share"] * hours,
        ),
        (f"the hub itself, {days:g} days: 2 x {CORE}, control plane, NAT gateway, load balancer", standing_hour() * 24 * days),
        (f"{users} homes of {home:g} GiB, kept for a week", users * home * table["volume_gib_month"] * 7 * 24 / HOURS_A_MONTH),
        (f"traffic to browsers, {users} x 0.2 GiB", users * 0.2 * table["traffic_out_gib"]),
    )  # fmt: skip
    return Plan(
        users, hours, memory, instance, seats, nodes, clusters, workers, worker_nodes,
        vcpus=nodes * vcpus + 2 * table["machine"][CORE][0], spot_vcpus=worker_nodes * worker_vcpus,
        hours_paid=paid, days=days, lines=lines, as_of=table["as_of"],
    )  # fmt: skip


def chart_values(made: Plan, *, cpu: float = 0.8) -> dict[str, Any]:
    """Values on top of overlays/workshop.yaml: the seat, and a warm one for each that stays free on the last node.

    More would start a node for nobody: the class's own nodes are warm already (`warm`).
    """
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
                    "replicas": made.spare,
                    "resources": {"requests": {"cpu": cpu, "memory": f"{math.ceil(made.memory * 1024)}Mi"}},
                }
            }
        },
    }


def terraform_variables(made: Plan) -> str:
    """A tfvars file for terraform/aws: the class's own deployment, whose nodes start when they are asked for (`warm`)."""
    return (
        f'name                = "{DEPLOYMENT}" # a state of its own too: docs/workshop.md\n'
        f'user_instance_types = {{ class = "{made.instance}" }}\n'
        f"user_nodes_max      = {made.nodes + 1}\n"
        f"dask_nodes_max      = {max(1, made.worker_nodes)}\n"
        f'home_storage        = "ebs" # a quota for each, gone with the class\n'
        "scratch_days        = 2\n"
        "deletion_protection = false\n"
        f"monthly_budget_usd  = {max(50, math.ceil(made.cost * 1.5 / 10) * 10)}\n"
    )


def warm(nodes: int) -> str:
    """The command that starts the learners' nodes, and with 0 lets the autoscaler take them away again.

    Not `terraform apply`: the autoscaler owns the number of nodes, and AWS refuses a smallest number above it.
    """
    sizes = f"minSize={nodes},desiredSize={nodes}" if nodes else "minSize=0"
    return f"aws eks update-nodegroup-config --region {prices()['region']} --cluster-name {DEPLOYMENT} --nodegroup-name {DEPLOYMENT}-user-class --scaling-config {sizes}"


def requests_to_make(made: Plan) -> list[tuple[str, str, int]]:
    """Service quotas to ask for: name, code, at least this many, with one node of learners to spare. New accounts begin with 5 to 32 vCPUs."""
    one_more = prices()["machine"][made.instance][0]
    return [
        (
            "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, vCPUs",
            "L-1216C47A",
            made.vcpus + one_more,
        ),
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
    ("Let the nodes go.", warm(0)),
    ("Change the password, so that last week's class is not this week's open hub; who still fetches files gets the new one.", "kubectl -n vadose create secret generic vadose-login --from-file=password --from-file=admin-password --dry-run=client -o yaml | kubectl apply -f - && kubectl -n vadose rollout restart deployment hub"),
    ("Half an hour later: look that no node of learners is left.", "kubectl get nodes -l hub.jupyter.org/node-purpose=user"),
    ("After a week: take the release away, then homes and their volumes.", "helm uninstall vadose -n vadose && kubectl -n vadose delete pvc --all"),
    ("Volumes outlive their claims on purpose (Retain): list them by their tag, then `aws ec2 delete-volume --volume-id` for each.", f"aws ec2 describe-volumes --filters Name=tag:vadose:deployment,Values={DEPLOYMENT} Name=tag:vadose:purpose,Values=homes --query 'Volumes[].VolumeId' --output text"),
    ("Take the cluster away.", "terraform -chdir=terraform/aws destroy -var-file=workshop.tfvars -var-file=class.tfvars"),
    ("Two days later: look at the bill by the tag vadose:deployment. It must stand still.", ""),
)  # fmt: skip
