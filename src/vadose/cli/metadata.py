"""`vadose metadata`: is it good enough, and what is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.group()
def command() -> None:
    """Hold metadata records against the profile vadose-sm-1.0."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check metadata records (YAML or JSON, as `vadose metadata template` writes them); exit code 1 when something must be mended."""
    import yaml

    from vadose.archive.profile import validate
    from vadose.errors import UnreadableFileError

    bad, rows = False, []
    for path in files:
        try:
            record = yaml.safe_load(path.read_text("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UnreadableFileError(f"{path}: not a YAML or JSON record ({str(error).splitlines()[0]})") from error
        if not isinstance(record, dict):
            raise UnreadableFileError(
                f"{path}: expected the groups dataset, sites, sensors, variables, provenance; start from `vadose metadata template`"
            )
        found = validate(record)
        bad = bad or bool(found.errors)
        rows.append({"file": str(path), "score": found.score, "issues": [vars(i) for i in found.issues]})
        if not as_json:
            for issue in found.issues:
                click.echo(f"{issue.level:5s} {issue.rule}  {issue.path}: {issue.message}")
            click.echo(f"{path}: {found.score:.0%} of what is required, {len(found.errors)} to mend")
    if as_json:
        click.echo(json.dumps(rows, default=str))
    sys.exit(1 if bad else 0)


@command.command()
def template() -> None:
    """A record to fill in, with what each field wants."""
    from vadose.archive.profile import PROFILE, RULES

    click.echo(f"# {PROFILE}: fill in, then `vadose metadata check FILE`")
    for group in ("dataset", "sites", "sensors", "variables", "provenance"):
        click.echo(f"{group}:")
        listed = group in ("sites", "sensors", "variables")
        for k, rule in enumerate(r for r in RULES if r.group == group):
            lead = ("  - " if k == 0 else "    ") if listed else "  "
            click.echo(f"{lead}{rule.field}:  # {'' if rule.required else '(recommended) '}{rule.expected}")
