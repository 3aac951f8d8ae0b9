"""`vadose metadata`: is it good enough, what is missing, and the same data in another community's format."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vadose.archive.profile import Issue


@click.group()
def command() -> None:
    """Hold metadata against the profile vadose-sm-1.0, and convert between ISMN, ESS-DIVE and CF."""


@command.command(short_help="What is missing or wrong, and what to write instead.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check records (YAML, JSON), netCDF, Zarr, ISMN and ESS-DIVE folders, packages; exit code 1 when something must be mended."""
    from vadose.archive.kinds import kind, read_record
    from vadose.archive.profile import validate

    bad, rows = False, []
    for path in files:
        found = validate(read_record(path))
        bad = bad or bool(found.errors)
        rows.append(
            {"file": str(path), "kind": kind(path), "score": found.score, "issues": [vars(i) for i in found.issues]}
        )
        if not as_json:
            for line in _told(found.issues):
                click.echo(line)
            click.echo(f"{path} ({kind(path)}): {found.score:.0%} of what is required, {len(found.errors)} to mend")
    if as_json:
        click.echo(json.dumps(rows, default=str))
    sys.exit(1 if bad else 0)


def _told(issues: tuple[Issue, ...]) -> list[str]:
    """One line a finding, what must be mended first; what is the same of many sensors or sites is said once."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for issue in sorted(issues, key=lambda i: ("error", "warn", "info").index(i.level)):
        same.setdefault((issue.level, issue.rule, issue.message), []).append(issue.path)
    return [
        f"{level:5s} {rule}  {paths[0]}{f' and {len(paths) - 1} more like it' if len(paths) > 1 else ''}: {message}"
        for (level, rule, message), paths in same.items()
    ]


@command.command()
def template() -> None:
    """A record to fill in, with what each field wants."""
    from vadose.archive.profile import GROUPS, LISTED, PROFILE, RULES

    click.echo(f"# {PROFILE}: fill in, then `vadose metadata check FILE`")
    for group in GROUPS:
        click.echo(f"{group}:")
        for k, rule in enumerate(r for r in RULES if r.group == group):
            lead = ("  - " if k == 0 else "    ") if group in LISTED else "  "
            click.echo(f"{lead}{rule.field}:  # {'' if rule.required else '(recommended) '}{rule.expected}")


@command.command(short_help="What files say of themselves, as a record.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
def extract(source: Path) -> None:
    """What a file, folder or release says of itself, as a record to complete."""
    import yaml

    from vadose.archive.kinds import read_record

    click.echo(yaml.safe_dump(read_record(source), sort_keys=False, allow_unicode=True), nl=False)


@command.command()
def schema() -> None:
    """The profile as JSON Schema, for editors and other programs."""
    from vadose.archive.profile import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@command.command(short_help="Write a series in another format.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["cf", "ismn", "essdive"]), required=True, help="The format of TARGET.")
@click.option(
    "-m",
    "--metadata",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A record to write instead of what SOURCE says: that of `vadose metadata extract SOURCE`, completed.",
)
def convert(source: Path, target: Path, form: str, metadata: Path | None) -> None:
    """Write the series and metadata of SOURCE (our CF netCDF, an ISMN folder or zip, our ESS-DIVE folder) in another format."""
    from vadose.archive import read_record, read_series, write_series

    data, record = read_series(source)
    if metadata is not None:
        record = read_record(metadata)
    click.echo(
        f"{write_series(data, record, target, form)}: {data.sizes['sensor']} sensors, {data.sizes['time']} times"
    )
