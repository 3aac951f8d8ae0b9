"""`vadose stream`: logger files to one table, and releases of it."""

from __future__ import annotations

from pathlib import Path
from time import sleep, strftime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vadose.stream import Report

#: Seconds between two looks of a watch that can do nothing.
LONGEST_PAUSE = 900.0
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
@click.option(
    "--workers", type=click.IntRange(0), default=2, show_default=True, help="Processes of a run; 0: this one alone."
)
def init(root: Path, inputs: tuple[str, ...], design: Path, workers: int) -> None:
    """Make ROOT a stream. Its tables are checked first; run it with `vadose stream run ROOT`."""
    from vadose import stream

    stream.init(root, inputs=inputs, design=design, workers=workers)
    click.echo(f"{root} is ready; next: vadose stream run {root}")


@command.command()
@ROOT
@click.option("--workers", type=click.IntRange(0), help="Processes.  [default: as ROOT was made]")
def run(root: Path, workers: int | None) -> None:
    """Take in everything new. Safe to interrupt and to repeat."""
    from vadose import stream

    report = stream.run(root, workers=workers, tell=lambda text: click.echo(text, err=True))
    click.echo(report.sentence())
    for reason in (*_missing(report), *report.waiting, *report.unreadable):
        click.echo(f"  {reason}")
    if report.bad_rows:
        click.echo(
            f"  bad rows are listed with file, line and reason in {root / 'bad-rows'} and on the page of `vadose stream status`"
        )
    raise SystemExit(1 if report.missing else 0)


def _missing(report: Report) -> list[str]:
    return [f"{place}: {why}" for place, why in report.missing.items()]


@command.command()
@ROOT
@click.option("--every", default=60.0, show_default=True, help="Seconds between looks.")
@click.option("--rounds", type=int, help="Stop after so many looks.")
def watch(root: Path, every: float, rounds: int | None) -> None:
    """Look again and again; Ctrl-C ends it. The status page is written after each look.

    An input that is not there or does not answer is named, and taken up once it is back. While nothing can be done at all (no
    input answers, a design table is wrong, another run is at work), pauses double, up to a quarter of an hour.
    """
    from vadose import stream
    from vadose.errors import VadoseError
    from vadose.stream import latency
    from vadose.stream.root import settings

    inputs = settings(root)["inputs"]  # a folder that is no stream ends it at once
    missing: dict[str, str] = {}
    done = failures = 0
    while True:
        pause, trouble = every, ""
        try:
            report = stream.run(root)
            if report.landed or done == 0:
                _say(report.sentence())
                for reason in (*report.waiting, *report.unreadable):
                    _say(f"  {reason}")
            for place in missing.keys() - report.missing.keys():
                _say(f"{place}: it is there again")
            missing = report.missing
            trouble = "; ".join(_missing(report))
            failures = failures + 1 if len(missing) == len(set(inputs)) else 0
            latency.page(root)
        except (VadoseError, OSError) as error:
            trouble, failures = str(error), failures + 1
        done += 1
        if done == rounds:
            if trouble:
                _say(trouble)
            raise SystemExit(1 if trouble else 0)
        if failures > 1:
            pause = max(every, min(every * 2 ** min(failures - 1, 20), LONGEST_PAUSE))
        if trouble:
            _say(f"{trouble}; next look in {pause:g} s")
        sleep(pause)


def _say(text: str) -> None:
    click.echo(f"{strftime('%Y-%m-%d %H:%M:%S')}  {text}")


@command.command()
@ROOT
def status(root: Path) -> None:
    """How late each stream is; writes ROOT/status.html."""
    from vadose.stream import latency

    states = latency.status(root)
    if states:
        click.echo(f"  {'stream':40} {'last value, UTC':16}  {'silent for':>10}  {'values':>14}")
    for state in states:
        click.echo(
            f"{'! ' if state.alert else '  '}{state.stream:40} {str(state.last)[:16]}  {latency.ago(state.hours_late):>10}  {state.values:>14,}"
            + (f"  battery {state.battery:.1f} V, below {state.battery_low:g}" if state.weak else "")
        )
    for trouble in latency.Ledger(root).troubles():
        click.echo(f"! {trouble}")
    click.echo(f"page: {latency.page(root)}")


@command.command()
@ROOT
@click.option(
    "--level",
    type=click.Choice(["L0", "L1", "L2"]),
    default="L1",
    show_default=True,
    help="L0: as logged; L1: calibrated and flagged; L2: means.",
)
@click.option("--version", required=True, help="v<major>-<minor>, e.g. v1-0.")
@click.option(
    "--form",
    type=click.Choice(["parquet", "csv", "zarr"]),
    default="parquet",
    show_default=True,
    help="zarr: arrays (sensor, time) of L2, a store a variable.",
)
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


@command.command(short_help="Write logger files of a made-up network.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--observations",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="Values; whole loggers are written.",
)
@click.option("--days", type=click.IntRange(1), default=365, show_default=True, help="Length of the record.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same files.")
def generate(folder: Path, observations: int, days: int, seed: int) -> None:
    """Write logger files of a made-up network, with faults listed in truth.json, into FOLDER."""
    from vadose import stream

    truth = stream.generate(folder, observations=observations, days=days, rng=seed)
    click.echo(f"{truth['files']} files, {truth['values']:,} values, {len(truth['faults'])} planted faults in {folder}")


@command.group(short_help="Observations of citizen scientists.")
def citizen() -> None:
    """Observations of citizen scientists: template, checks, decisions, publication."""


@citizen.command(name="template")
def citizen_template() -> None:
    """The CSV to fill in, with one example row."""
    from vadose.stream.citizen import template

    click.echo(template(), nl=False)


@citizen.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Keep the good observations in this folder.")  # fmt: skip
def submit(file: Path, into: Path | None) -> None:
    """Check a filled-in template; each bad row is named. With --into the good ones are kept."""
    from vadose.stream.citizen import doubts, read_submission, without_repetition
    from vadose.stream.moderation import keep
    from vadose.stream.references import References, read_references

    references = read_references(into) if into is not None else References()
    good, bad = read_submission(file, land=references.land)
    once = without_repetition(good)
    for line, reason in bad:
        click.echo(f"line {line}: {reason}")
    for one, words in zip(once, doubts(once, **references.of(once))):
        for word in words:
            click.echo(f"{one['observer']}, {one['time']}: {word}")
    click.echo(f"{len(once)} good observations, {len(good) - len(once)} repetitions, {len(bad)} bad rows")
    if into is not None:
        new = sum(keep(into, one)[1] for one in once)
        click.echo(f"{new} new in {into}")
    raise SystemExit(1 if bad else 0)


FILE = click.Path(exists=True, path_type=Path)


@citizen.command(short_help="What observations are held against.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--land", type=FILE, help="Where land is: variable land (lat, lon). A sample from the sea is refused.")
@click.option("--reference", type=FILE, help="What is usual: soil_moisture (time, lat, lon, maybe depth) of a product.")
@click.option(
    "--temperature",
    type=FILE,
    help="soil_temperature or air_temperature (time, lat, lon): samples of frozen days wait.",
)
@click.option("--anchor", "anchors", multiple=True, help="An observer who is a reference sensor; may be repeated.")
def checks(
    folder: Path, land: Path | None, reference: Path | None, temperature: Path | None, anchors: tuple[str, ...]
) -> None:
    """Say what observations in FOLDER are held against (NetCDF or Zarr). Without options: show it.

    It is kept in FOLDER/checks.toml, for the commands and for the form that keeps its observations there.
    """
    from vadose.stream.references import FILE as NAME
    from vadose.stream.references import write_references

    if land or reference or temperature or anchors:
        write_references(folder, land=land, reference=reference, temperature=temperature, anchors=anchors)
    path = folder / NAME
    click.echo(
        path.read_text()
        if path.is_file()
        else f"no {NAME} in {folder}: samples are held against nothing but each other"
    )


@citizen.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def review(folder: Path) -> None:
    """What waits in FOLDER, and why."""
    from vadose.stream.moderation import judged

    rows = judged(folder)
    for one in rows:
        if one.state == "waiting":
            click.echo(f"{one.id}  {one.observation['observer']}  {one.observation['time']}: {'; '.join(one.doubts)}")
    click.echo(", ".join(f"{sum(r.state == s for r in rows)} {s}" for s in ("accepted", "waiting", "rejected")))


@citizen.command(short_help="Accept or reject an observation.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("identity")
@click.argument("state", type=click.Choice(["accepted", "rejected", "waiting"]))
@click.option("--by", required=True, help="Who decides.")
@click.option("--why", required=True, help="The reason, for the log.")
def decide(folder: Path, identity: str, state: str, by: str, why: str) -> None:
    """Accept or reject an observation; every decision stays in the log."""
    from vadose.stream.moderation import decide as write

    write(folder, identity, state, by=by, why=why)
    click.echo(f"{identity} is {state}")


@citizen.command(short_help="What is accepted, as CSV without names.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def publish(folder: Path) -> None:
    """What is accepted as CSV: places rounded to 0.01 degrees, no notes, no names."""
    from vadose.stream.moderation import published

    click.echo(published(folder), nl=False)
