"""`vadose stream`: logger files to one table, and releases of it."""

from __future__ import annotations

from pathlib import Path

import click

ROOT = click.argument("root", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def command() -> None:
    """Sensor streams: logger files to calibrated, flagged, released data."""


@command.command()
@ROOT
@click.option(
    "--input", "inputs", multiple=True, required=True, help="Folder or s3:// prefix with logger files; may be repeated."
)
@click.option(
    "--design",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with design_table.csv, variables_metadata.csv, qaqc_table.csv, timezones.csv.",
)
@click.option("--workers", default=2, show_default=True)
def init(root: Path, inputs: tuple[str, ...], design: Path, workers: int) -> None:
    """Make ROOT a stream. Its tables are checked first; run it with `vadose stream run ROOT`."""
    from vadose import stream

    stream.init(root, inputs=inputs, design=design, workers=workers)
    click.echo(f"{root} is ready; next: vadose stream run {root}")


@command.command()
@ROOT
@click.option("--workers", type=int, help="Processes.  [default: as ROOT was made]")
def run(root: Path, workers: int | None) -> None:
    """Take in everything new. Safe to interrupt and to repeat."""
    from vadose import stream

    report = stream.run(root, workers=workers, tell=lambda text: click.echo(text, err=True))
    click.echo(report.sentence())
    for reason in (*report.waiting, *report.unreadable):
        click.echo(f"  {reason}")


@command.command()
@ROOT
@click.option("--every", default=60.0, show_default=True, help="Seconds between looks.")
@click.option("--rounds", type=int, help="Stop after so many looks.")
def watch(root: Path, every: float, rounds: int | None) -> None:
    """Look again and again; Ctrl-C ends it. The status page is written after each look."""
    import time

    from vadose import stream
    from vadose.stream.latency import page

    done = 0
    while rounds is None or done < rounds:
        report = stream.run(root)
        if report.landed or done == 0:
            click.echo(report.sentence())
        page(root)
        done += 1
        if rounds is None or done < rounds:
            time.sleep(every)


@command.command()
@ROOT
def status(root: Path) -> None:
    """How late each stream is; writes ROOT/status.html."""
    from vadose.stream import latency

    for state in latency.status(root):
        click.echo(
            f"{'! ' if state.alert else '  '}{state.stream:40} {str(state.last)[:16]}  {state.hours_late:10.1f} h  {state.values:>12,} values"
        )
    click.echo(f"page: {latency.page(root)}")


@command.command()
@ROOT
@click.option("--level", type=click.Choice(["L0", "L1", "L2"]), default="L1", show_default=True)
@click.option("--version", required=True, help="v<major>-<minor>, e.g. v1-0.")
@click.option("--form", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option(
    "--step",
    type=click.Choice(["15min", "hourly", "daily"]),
    default="15min",
    show_default=True,
    help="Of the means in L2.",
)
def release(root: Path, level: str, version: str, form: str, step: str) -> None:
    """Freeze the table as it is now into ROOT/releases."""
    from vadose.stream.release import release as make

    click.echo(str(make(root, level, version, form=form, step=step)))


@command.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--observations", default=1_000_000, show_default=True)
@click.option("--days", default=365, show_default=True)
@click.option("--seed", default=0, show_default=True)
def generate(folder: Path, observations: int, days: int, seed: int) -> None:
    """Write logger files of a made-up network, with faults listed in truth.json, into FOLDER."""
    from vadose import stream

    truth = stream.generate(folder, observations=observations, days=days, rng=seed)
    click.echo(f"{truth['files']} files, {truth['values']:,} values, {len(truth['faults'])} planted faults in {folder}")
