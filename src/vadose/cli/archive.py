"""`vadose archive`: packages that outlive the project."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


@click.group()
def command() -> None:
    """Pack a study, a stream release or a product so that it can be cited, checked and read without vadose."""


@command.command(short_help="Make a package that outlives the project.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder, or file ending in .zip.  [default: NAME-package]"
)
@click.option(
    "-m",
    "--metadata",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML or JSON: a dataset group as of `vadose metadata template`.",
)
@click.option("--title", help="7 to 20 words: what, where, when.")
@click.option("--summary", help="What, where, when, how and why, in 100 words or more.")
@click.option("--creator", help="Family, Given")
@click.option("--orcid", help="Of the creator.")
@click.option("--institution", help="Who answers for the data.")
@click.option("--license", "license_", help="CC-BY-4.0 or CC0-1.0")
@click.option("--date", help="Date of the package.  [default: that of the newest file]")
def pack(sources: tuple[Path, ...], output: Path | None, metadata: Path | None, **words: str | None) -> None:
    """Make a package: BagIt, RO-Crate, DataCite and ESS-DIVE descriptions. The same input gives the same bytes."""
    from vadose.archive import build_package, check_package, read_record

    meta: dict[str, Any] = {}
    if metadata is not None:
        read = read_record(metadata)
        given = read.get("dataset") or read
        meta = {k: v if isinstance(v, list | int | float) else str(v) for k, v in given.items() if v is not None}
    names = {"creator": "creator_name", "orcid": "creator_orcid", "license_": "license", "date": "date_created"}
    meta |= {names.get(k, k): v for k, v in words.items() if v}
    made = build_package(sources, meta, output or Path(f"{sources[0].resolve().name}-package"))
    found = check_package(made)
    click.echo(f"{made}: {found.files} files, {found.octets} bytes, checked")


@command.command(short_help="Is a package whole?")
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(package: Path, as_json: bool) -> None:
    """Is a package whole? Every file that was changed, lost or added is named; exit code 1 when there is one."""
    from vadose.archive import check_package

    found = check_package(package)
    if as_json:
        click.echo(json.dumps({"files": found.files, "octets": found.octets, "problems": found.problems}))
    else:
        for line in found.problems:
            click.echo(line)
        click.echo(
            f"{package}: {'whole' if not found.problems else 'NOT whole'}, {found.files} files, {found.octets} bytes"
        )
    sys.exit(1 if found.problems else 0)


@command.command()
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def restore(package: Path, folder: Path) -> None:
    """Verify a package and put its content into a new folder."""
    from vadose.archive import restore as unpack

    click.echo(f"restored into {unpack(package, folder)}; PACKAGE-README.md says what is there")
