"""A class: arithmetic shown, prices in one place, links that the puller understands, a checklist that the docs repeat."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from vadose.cli import root
from vadose.errors import NotFoundError, VadoseInputError
from vadose.hub import workshop

REPO = Path(__file__).parents[2]


def test_seventy_learners_for_six_hours():
    """r6i.4xlarge: 128 * .93 - 1.5 = 117.5 GiB, 15.2 CPUs. 14 learners and 7 schedulers: 14 * 6.5 + 7 * 2 = 105 GiB, 14 * .8 + 7 * .5 = 14.7 CPUs;
    15 and 8: 12 + 4 = 16 CPUs, too many. 70 / 14 -> 5 nodes.

    35 run 2 workers: 70 workers; a node takes min(117.5 / 3.5 = 33, 15.2 / .9 = 16) = 16: 5 nodes.
    """
    made = workshop.plan(70, 6)
    assert (made.seats, made.nodes, made.clusters, made.workers, made.worker_nodes) == (14, 5, 35, 70, 5)
    assert made.vcpus == 5 * 16 + 2 * 4
    assert made.spot_vcpus == 80
    assert [least for _, _, least in workshop.requests_to_make(made)] == [88 + 16, 80]
    assert made.hours_paid == 8
    amounts = [amount for _, amount in made.lines]
    assert amounts[0] == pytest.approx(5 * 1.008 * 8)
    assert amounts[1] == pytest.approx(5 * 1.008 * 0.4 * 6)
    assert amounts[2] == pytest.approx((2 * 0.192 + 0.10 + 0.045 + 0.03) * 24 * 15)
    assert amounts[3] == pytest.approx(70 * 2 * 0.08 * 168 / 730)
    assert made.cost == pytest.approx(sum(amounts))
    assert workshop.plan(70, 6, days=0).cost == pytest.approx(made.cost - amounts[2])


def test_seats_are_bound_by_memory_processors_and_volumes():
    """Without Dask 117.5 / 6.5 = 18 and 15.2 / .8 = 19: 18. On r6i.8xlarge 36 by memory, but homes are volumes: 24."""
    assert workshop.plan(70, 6, share_with_dask=0).seats == 18
    assert workshop.plan(70, 6, share_with_dask=0, instance="r6i.8xlarge").seats == workshop.VOLUMES_A_NODE == 24


def test_schedulers_are_those_of_the_overlay():
    overlay = yaml.safe_load((REPO / "helm/vadose/overlays/workshop.yaml").read_text())["vadose"]["dask"]["scheduler"]
    assert (overlay["memoryGiB"], overlay["cores"]) == workshop.SCHEDULER


@given(users=st.integers(1, 500), hours=st.floats(0.5, 100), memory=st.floats(0.5, 60))
def test_every_learner_has_a_seat_and_no_node_is_spare(users, hours, memory):
    made = workshop.plan(users, hours, memory=memory)
    assert made.nodes * made.seats >= users > (made.nodes - 1) * made.seats
    assert made.seats * memory <= workshop.allocatable(128)
    assert made.cost > 0
    assert workshop.plan(users + 1, hours, memory=memory).cost > made.cost


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"users": 0, "hours": 6}, "at least one learner"),
        ({"users": 5, "hours": 0}, "some time"),
        ({"users": 5, "hours": 1, "memory": 500}, "does not fit on r6i.4xlarge"),
    ],
)
def test_a_class_that_cannot_be_is_refused(said, words):
    with pytest.raises(VadoseInputError, match=words):
        workshop.plan(**said)
    with pytest.raises(NotFoundError, match="instance type"):
        workshop.plan(5, 1, instance="r6i.nano")


def test_prices_are_one_dated_file_and_its_machines_are_terraforms():
    table = workshop.prices()
    assert re.fullmatch(r"20\d\d-\d\d", table["as_of"])
    assert set(table["hour"]) == set(table["machine"])
    text = (REPO / "terraform/aws/modules/nodes/main.tf").read_text()
    memory = text[text.index("known_memory") : text.index("known_cpus")]
    cpus = text[text.index("known_cpus") : text.index("allocatable")]
    for name, (vcpus, gib) in table["machine"].items():
        for block, expected in ((memory, gib), (cpus, vcpus)):
            found = re.search(rf'"{re.escape(name)}"\s*=\s*(\d+)', block)
            assert found is None or int(found.group(1)) == expected, name
    assert "* 0.93 - 1.5" in text
    assert not re.search(r"1\.008|0\.192", (REPO / "src/vadose/hub/workshop.py").read_text()), (
        "a price outside the table"
    )


def test_plan_is_told_with_its_date_its_quotas_and_its_files(tmp_path):
    done = CliRunner().invoke(root, ["workshop", "plan", "--users", "70", "--hours", "6", "--write", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "5 x r6i.4xlarge, 14 learners a node, 0 seats to spare" in done.output
    assert f"list prices of {workshop.prices()['as_of']}, us-west-2" in done.output
    assert workshop.warm(5) in done.output
    assert "L-1216C47A" in done.output
    assert "L-34B43A08" in done.output
    assert re.search(rf"pre-pull +5 nodes x {workshop.image_gib():.1f} GiB", done.output)
    held = json.loads(workshop.IMAGE.read_text())
    assert 0.2 < held["packed"] / held["unpacked"] < 0.6, "wheels pack to about a third"
    values = yaml.safe_load((tmp_path / "class.yaml").read_text())
    assert values["vadose"]["profiles"]["ladder"][0]["memoryGiB"] == 6.5
    assert values["jupyterhub"]["scheduling"]["userPlaceholder"]["replicas"] == 0
    larger = workshop.chart_values(workshop.plan(72, 6))["jupyterhub"]["scheduling"]["userPlaceholder"]["replicas"]
    assert larger == 6 * 14 - 72
    declared = set(re.findall(r'variable "(\w+)"', (REPO / "terraform/aws/variables.tf").read_text()))
    assert set(re.findall(r"^(\w+) +=", (tmp_path / "class.tfvars").read_text(), re.M)) <= declared


def test_plan_fits_the_workshop_overlay(tmp_path):
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is in the test extra")
    overlay = yaml.safe_load((REPO / "helm/vadose/overlays/workshop.yaml").read_text())
    made = workshop.chart_values(workshop.plan(70, 6))
    overlay["vadose"]["profiles"] = made["vadose"]["profiles"]
    with helm.Chart.load(str(REPO / "helm/vadose")) as chart:
        files = chart.render(overlay, name="vadose", namespace="hub")
    assert '"default_step": "class"' in files["vadose/templates/config.yaml"]
    assert workshop.plan(70, 6).seats * overlay["vadose"]["profiles"]["ladder"][0]["memoryGiB"] <= 117.6


def test_link_is_what_nbgitpuller_reads():
    made = workshop.link(
        "https://hub.example.org/", "https://github.com/soil/class.git", "day one/start.ipynb", branch="2026"
    )
    parts = urlsplit(made)
    assert (parts.netloc, parts.path) == ("hub.example.org", "/hub/user-redirect/git-pull")
    query = {k: v[0] for k, v in parse_qs(parts.query).items()}
    assert query == {
        "repo": "https://github.com/soil/class.git",
        "branch": "2026",
        "urlpath": "lab/tree/content/class/day%20one/start.ipynb",
        "targetPath": "class",
    }
    plain = parse_qs(urlsplit(workshop.link("https://h", "https://g/soil/class")).query)
    assert plain["urlpath"] == ["lab/tree/content/class"]
    done = CliRunner().invoke(root, ["workshop", "link", "https://h", "https://g/soil/class", "a.ipynb"])
    assert done.output.startswith("https://h/hub/user-redirect/git-pull?repo=")


@pytest.mark.parametrize(
    ("hub", "repository", "path"),
    [
        ("http://hub.example.org", "https://g/a", ""),
        ("https://h", "git@github.com:soil/class", ""),
        ("https://h", "https://g/a", "../.ssh/id"),
        ("https://h", "https://g/a", "/etc"),
    ],
)
def test_links_that_cannot_work_are_refused(hub, repository, path):
    with pytest.raises(VadoseInputError):
        workshop.link(hub, repository, path)


def test_links_and_hub_agree_on_the_folder():
    text = (REPO / "helm/vadose/files/hub/vadose_hub.py").read_text()
    assert f'"NBGITPULLER_PARENTPATH": "{workshop.PARENT}"' in text


def test_teardown_ends_with_the_bill_and_is_in_the_docs():
    done = CliRunner().invoke(root, ["workshop", "teardown"])
    assert done.exit_code == 0
    assert "bill" in done.output.strip().splitlines()[-1]
    said = (REPO / "docs" / "workshop.md").read_text()
    for what, how in workshop.TEARDOWN:
        assert what in said, what
        assert how in said, how


def test_nodes_are_warmed_by_the_name_that_terraform_gives_their_group():
    groups = (REPO / "terraform/aws/nodes.tf").read_text()
    assert 'node_group_name = "${var.name}-${each.key}"' in groups
    assert '"user-${step}"' in (REPO / "terraform/aws/modules/nodes/main.tf").read_text()
    assert f"--nodegroup-name {workshop.DEPLOYMENT}-user-class " in workshop.warm(5)
    assert f'name                = "{workshop.DEPLOYMENT}"' in workshop.terraform_variables(workshop.plan(70, 6))


def test_figures_of_the_docs_are_the_plans():
    said = (REPO / "docs" / "workshop.md").read_text()
    made = workshop.plan(70, 6)
    assert f"about {made.cost:.0f} USD" in said
    assert f"{made.nodes} nodes" in said
    assert json.loads(workshop.PRICES.read_text())["as_of"] in said


def test_names_of_a_large_class_are_a_list_and_not_a_file(tmp_path):
    from vadose.cli.hub import _names

    names = [f"learner{k:02d}" for k in range(70)]
    assert _names(",".join(names)) == names
    (tmp_path / "class.txt").write_text("# monday\nana\n\nben\n")
    assert _names(str(tmp_path / "class.txt")) == ["ana", "ben"]
