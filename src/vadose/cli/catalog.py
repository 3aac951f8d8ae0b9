"""`vadose catalog`: write, build, check and publish the catalog."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.option(
    "--catalog",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="VADOSE_CATALOG",
    required=True,
    help="Folder of the catalog; VADOSE_CATALOG where it is not given.",
)


@click.group()
def command() -> None:
    """Describe data sets, index their files where they lie, and keep the index right."""


@command.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", "ids", multiple=True, help="Only this data set; may be given again.")
def write(folder: Path, ids: tuple[str, ...]) -> None:
    """Write the static STAC catalog of all known data sets into FOLDER; what was built there stays."""
    from vadose.access import datasets

    done = datasets.write(folder, ids or None)
    click.echo(f"{len(done)} collections in {folder}")
