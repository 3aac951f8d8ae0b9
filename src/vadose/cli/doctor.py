"""`vadose doctor`: is this installation well, and what to do where it is not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

MARKS = {"well": ("ok", "green"), "doubt": ("--", "yellow"), "broken": ("!!", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--cluster", is_flag=True, help="Start a cluster of one worker and compare its versions with these.")
def command(as_json: bool, cluster: bool) -> None:
    """Check versions, memory, disk, store, logins and catalog. Ends with 1 when something is broken."""
    from vadose.config import load
    from vadose.doctor import BAD, Place, as_rows, examine

    here = Place(os.environ, load(), Path.home())
    if cluster:
        from vadose.access.cluster import connect

        with connect(1) as running:
            found = examine(Place(here.environment, here.settings, here.home, running.client))
    else:
        found = examine(here)
    if as_json:
        click.echo(json.dumps(as_rows(found), indent=1))
    else:
        for finding in found:
            mark, colour = MARKS[finding.state]
            click.echo(f"{click.style(mark, fg=colour)} {finding.check}: {finding.seen}")
            if finding.todo:
                click.echo(f"   -> {finding.todo}")
    sys.exit(any(f.state == BAD for f in found))
