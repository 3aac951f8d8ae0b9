"""`vadose catalog`: find, describe, index, check and publish data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vadose.cli import find

#: Exit code of a build that set files aside: it worked, and somebody should look.
SET_ASIDE = 3

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
    """Find data sets, describe your own, index their files where they lie, and keep the index right.

    Start with `vadose catalog list` or `vadose catalog search root zone`.
    """


for _each in (find.listing, find.search, find.show):
    command.add_command(_each)


@command.command(short_help="Write the catalog of all known data sets.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", "ids", multiple=True, help="Only this data set; may be given again.")
def write(folder: Path, ids: tuple[str, ...]) -> None:
    """Write the static STAC catalog of all known data sets into FOLDER; what was built there stays."""
    from vadose.access import datasets

    done = datasets.write(folder, ids or None)
    click.echo(f"{len(done)} collections in {folder}")


@command.command(short_help="Describe your own files.")
@click.argument("identifier")
@click.argument("source")
@FOLDER
@click.option("--title", default="", help="A line that says what it is.")
@click.option(
    "--product", default=None, help="Whose names and units these are, such as smap_l3; none: as the files have them."
)
@click.option("--variable", "variables", multiple=True, help="Canonical name it holds, for search; may be given again.")
@click.option("--group", "groups", multiple=True, help="HDF5 group; may be given again.")
@click.option(
    "--format",
    "form",
    default="netcdf4",
    show_default=True,
    type=click.Choice(["hdf5", "netcdf4", "netcdf3", "grib", "tiff", "zarr"]),
    help="What the files are; netCDF-4 with time, lat and lon needs nothing else.",
)
@click.option(
    "--time-pattern",
    default=None,
    help="Expression whose first group is the time in a file's name; without it files have a time variable.",
)
@click.option("--time-format", default="%Y%m%d", show_default=True, help="How the time is written in the name.")
@click.option("--dims", default=None, help="Names of unnamed dimensions, such as y,x.")
@click.option("--grid", default=None, help="EASE-Grid 2.0 of the rows and columns: M36, M09 ...")
@click.option("--bbox", default="-180,-90,180,90", show_default=True, help="west,south,east,north")
def add(identifier: str, source: str, folder: Path, title: str, product: str | None, variables: tuple[str, ...], groups: tuple[str, ...],
        form: str, time_pattern: str | None, time_format: str, dims: str | None, grid: str | None, bbox: str) -> None:  # fmt: skip
    """Describe your own files: SOURCE is a glob such as '/data/*.nc' or 's3://bucket/prefix/*.h5'. `build` indexes them."""
    from vadose.access.build import add as describe

    steps: dict[str, Any] = {"source": source, "format": form, "groups": list(groups) or ["/"]}
    if time_pattern:
        steps["time"] = {"from": "name", "pattern": time_pattern, "format": time_format}
    if dims:
        names = [d.strip() for d in dims.split(",")]
        steps["dims"] = {len(names): names}
    if grid:
        steps["grid"] = grid
    region = find.box(bbox)
    assert region is not None
    home = describe(folder, identifier, steps, title=title, product=product, variables=variables, bbox=region)
    click.echo(f"described in {home}; index it with: vadose catalog build {identifier} --catalog {folder}")


def _build(folder: Path, identifier: str, *, fresh: bool, workers: int | None, source: str | None = None) -> None:
    import contextlib

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from vadose.access.build import build as index

    with contextlib.ExitStack() as stack:
        client = None
        if workers:
            from vadose.access.cluster import connect

            client = stack.enter_context(connect(workers)).client
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        task = bar.add_task(identifier, total=None)

        def tell(done: int, total: int, _: str) -> None:
            bar.update(task, completed=done, total=total)

        outcome = index(folder, identifier, source=source, fresh=fresh, progress=tell, client=client)
    state = f"version {outcome.tag}" if outcome.changed else f"nothing new since version {outcome.tag}"
    click.echo(
        f"{identifier}: {outcome.listed} files listed, {outcome.scanned} scanned, {outcome.indexed} indexed in {len(outcome.eras)} eras; {state}"
    )
    for name, reason in outcome.skipped.items():
        click.echo(f"left out variable {name}: {reason}", err=True)
    for href, reason in list(outcome.quarantine.items())[:20]:
        click.echo(f"set aside {href}: {reason}", err=True)
    if outcome.quarantine:
        click.echo(
            f"{len(outcome.quarantine)} files set aside; see {folder / identifier / 'quarantine.json'}", err=True
        )
        sys.exit(SET_ASIDE)


@command.command()
@click.argument("identifier")
@FOLDER
@click.option(
    "--source",
    default=None,
    help="Where your own copy is: a folder, a glob, @FILE with addresses, a STAC item collection. Kept for later updates.",
)
@click.option("--fresh", is_flag=True, help="Scan every file anew.")
@click.option("--workers", type=int, help="Scan on a cluster with so many workers.")
def build(identifier: str, folder: Path, source: str | None, fresh: bool, workers: int | None) -> None:
    """Index the files of IDENTIFIER where they lie. Safe to interrupt: run it again and it goes on.

    Exit code 3: it worked, and some files were set aside with a reason.
    """
    _build(folder, identifier, fresh=fresh, workers=workers, source=source)


@command.command()
@click.argument("identifier")
@FOLDER
@click.option("--workers", type=int, help="Scan on a cluster with so many workers.")
def update(identifier: str, folder: Path, workers: int | None) -> None:
    """Take in files that are new or changed since the last build."""
    _build(folder, identifier, fresh=False, workers=workers)


@command.command()
@click.argument("identifier")
@FOLDER
def diff(identifier: str, folder: Path) -> None:
    """What changed at the source since it was indexed. Exit code 1 when something did."""
    from vadose.access.quality import diff as compare

    found = compare(folder, identifier)
    for kind in ("new", "missing", "resized", "replaced"):
        for href in getattr(found, kind):
            click.echo(f"{kind}\t{href}")
    click.echo(f"{found.checked} files looked at", err=True)
    sys.exit(1 if found.any else 0)


@command.command(short_help="Check an index against its files.")
@click.argument("identifier", required=False)
@FOLDER
@click.option(
    "--level",
    type=click.Choice(["fast", "sample", "full"]),
    default="sample",
    show_default=True,
    help="fast: documents and references; sample: and chunks drawn at random; full: and one of every file.",
)
def validate(identifier: str | None, folder: Path, level: Any) -> None:
    """Check a built collection against its files, or (without IDENTIFIER) the documents of the whole catalog."""
    from vadose.access import quality, validation

    found = quality.validate(folder, identifier, level=level) if identifier else validation.validate_folder(folder)
    for text in found:
        click.echo(text)
    click.echo("right" if not found else f"{len(found)} faults", err=True)
    sys.exit(1 if found else 0)


@command.command(short_help="Copy an index to a bucket or folder.")
@click.argument("identifier")
@click.argument("target")
@FOLDER
def publish(identifier: str, target: str, folder: Path) -> None:
    """Copy the index of IDENTIFIER to TARGET (a bucket or folder), collection.json last."""
    from vadose.access import quality

    click.echo(f"{len(quality.publish(folder, identifier, target))} files in {target}")


@command.command()
@click.argument("identifier")
@FOLDER
@click.option("--to", "tag", default=None, help="Version to go back to; the one before, if none is named.")
def rollback(identifier: str, folder: Path, tag: str | None) -> None:
    """Make an earlier version of the index the current one."""
    from vadose.access import build as module

    click.echo(
        f"{identifier} is at version {module.rollback(folder, identifier, tag)}; there are {', '.join(module.versions(folder, identifier))}"
    )


@command.command(short_help="Make a copy that is fast for long records.")
@click.argument("identifier")
@FOLDER
@click.option(
    "--variable", "variables", multiple=True, help="Producer's name of a variable; the recipe's when none is given."
)
@click.option("--bbox", default=None, help="Only this region: west,south,east,north. Everything when not given.")
def series(identifier: str, folder: Path, variables: tuple[str, ...], bbox: str | None) -> None:
    """Copy few variables of a built collection into a store chunked for long records."""
    from vadose.access.series import build_series

    click.echo(str(build_series(folder, identifier, variables, bbox=find.box(bbox))))
