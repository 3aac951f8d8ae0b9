"""`vadose workshop`: plan a class, make its links, take it down."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """A class on the hub: nodes, quotas, cost; links; what to do when it is over."""


@command.command(short_help="How many nodes, which quotas, what it costs.")
@click.option("--users", required=True, type=click.IntRange(min=1), help="Learners.")
@click.option("--hours", required=True, type=click.FloatRange(min=0, min_open=True), help="Length of the class.")
@click.option("--memory", default=6.5, show_default=True, help="GiB a learner.")
@click.option("--instance", default="r6i.4xlarge", show_default=True, help="Node type of the class's pool.")
@click.option(
    "--dask",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the class that runs Dask clusters at once.",
)
@click.option(
    "--days",
    default=15.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Days that the class's deployment stands: a week before and a week after. 0: the hub stands anyway.",
)
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write class.yaml (chart) and class.tfvars (Terraform) into this folder.",
)
def plan(users: int, hours: float, memory: float, instance: str, dask: float, days: float, write: Path | None) -> None:
    """How many nodes, what to ask the cloud for and when, and what it costs."""
    import yaml

    from vadose.hub import workshop

    made = workshop.plan(users, hours, memory=memory, instance=instance, share_with_dask=dask, days=days)
    click.echo(f"{users} learners, {hours:g} hours, {memory:g} GiB each")
    click.echo(
        f"  nodes        {made.nodes} x {made.instance}, {made.seats} learners a node, {made.spare} seats to spare"
    )
    click.echo(
        f"  Dask         {made.clusters} clusters at once: {made.workers} workers on {made.worker_nodes} spot node(s)"
    )
    click.echo("  warm         an hour before, so that nobody waits for a node:")
    click.echo(f"      {workshop.warm(made.nodes)}")
    click.echo(
        f"  pre-pull     {made.nodes} nodes x {workshop.image_gib():.1f} GiB: the continuous puller does it as each node joins; count 5 minutes"
    )
    region = workshop.prices()["region"]
    click.echo("  quotas       ask two weeks before, in the region of the class:")
    for name, code, least in workshop.requests_to_make(made):
        click.echo(f"    {code}  at least {least:4d}  {name}")
        click.echo(
            f"      aws service-quotas request-service-quota-increase --region {region} --service-code ec2 --quota-code {code} --desired-value {least}"
        )
    click.echo(
        f"  cost         about {made.cost:.0f} USD, {made.cost / users:.2f} a learner (list prices of {made.as_of}, {region})"
    )
    for what, amount in made.lines:
        click.echo(f"    {amount:8.2f}  {what}")
    click.echo(f"  if nobody takes it down: {made.forgotten:.2f} USD a day. When it is over: vadose workshop teardown")
    if write:
        write.mkdir(parents=True, exist_ok=True)
        (write / "class.yaml").write_text(
            "# Given after overlays/aws.yaml and overlays/workshop.yaml.\n"
            + yaml.safe_dump(workshop.chart_values(made), sort_keys=False)
        )
        (write / "class.tfvars").write_text(workshop.terraform_variables(made))
        click.echo(f"  written      {write / 'class.yaml'}, {write / 'class.tfvars'}")


@command.command(short_help="A link that logs learners in and opens a notebook.")
@click.argument("hub")
@click.argument("repository")
@click.argument("path", default="")
@click.option("--branch", default="main", show_default=True, help="Branch of the repository.")
def link(hub: str, repository: str, path: str, branch: str) -> None:
    """A link for learners: logs in, brings REPOSITORY, opens PATH in Lab.

    HUB is the hub's address, such as https://hub.university.edu.
    """
    from vadose.hub import workshop

    click.echo(workshop.link(hub, repository, path, branch=branch))


@command.command()
def teardown() -> None:
    """What to do when the class is over, in order."""
    from vadose.hub import workshop

    for number, (what, how) in enumerate(workshop.TEARDOWN, 1):
        click.echo(f"{number}. {what}")
        if how:
            click.echo(f"     {how}")
