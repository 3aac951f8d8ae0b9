"""The command `vadose`: thin, grouped by noun; heavy imports happen inside the command that needs them."""

from __future__ import annotations

import importlib
import os
import sys

import click

from vadose import __version__, config
from vadose.errors import VadoseError

#: Command -> (module holding it, one line of help). The module loads only when its command runs.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("vadose.cli.run", "a study file to results and a report"),
    "benchmark": ("vadose.cli.benchmark", "models against references: a recipe to scores and pages"),
    "catalog": ("vadose.cli.catalog", "describe, index, check and publish data sets"),
    "stream": ("vadose.cli.stream", "logger files to calibrated, flagged, released data"),
    "metadata": ("vadose.cli.metadata", "is a file's metadata good enough, and what is missing"),
    "archive": ("vadose.cli.archive", "packages that outlive the project: create, verify, restore"),
    "hub": ("vadose.cli.hub", "the whole platform on this machine: up, status, stop, logs"),
    "workshop": ("vadose.cli.workshop", "a class: nodes, quotas, cost, links, taking it down"),
    "doctor": ("vadose.cli.doctor", "is this installation well, and what to do where it is not"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(COMMANDS[name][0]).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not COMMANDS:
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vadose")
def root() -> None:
    """Soil moisture from many sources, on one platform.

    \b
    vadose catalog search root zone          which data sets there are
    vadose run studies/demo.yaml -o out      merge products, with errors and a report
    vadose hub up                            the platform on this machine
    vadose doctor                            what is not well, and what to do
    """
    config.announce()


def main() -> None:
    """Entry point: an error that vadose raised on purpose is one clear sentence and exit code 2, not a traceback."""
    try:
        root(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted; run the same command again to continue", err=True)
        sys.stdout.flush()
        os._exit(130)  # threads that still compute do not hold up the end (cli/interrupt.py)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VadoseError as error:
        click.echo(f"vadose: {error}", err=True)
        sys.exit(2)
