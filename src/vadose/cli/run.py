"""`vadose run`: a study file to results and a report."""

from __future__ import annotations

from pathlib import Path

import click

from vadose.errors import PlatformError, VadoseError

CONTINUE = "finished steps are kept: run the same command again to continue"


@click.command()
@click.argument("study", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the results; run again with the same one to continue.",
)
@click.option("--fresh", is_flag=True, help="Compute every step anew.")
@click.option(
    "--cluster", "workers", type=int, help="Compute on a cluster with so many workers (a Gateway cluster on a hub)."
)
def command(study: Path, output: Path, fresh: bool, workers: int | None) -> None:
    """Run STUDY (a YAML file) and write results and report.html into the output folder.

    Safe to interrupt: finished steps are kept. What cannot be read is reported and does not stop the run.
    """
    import contextlib
    import json

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    from vadose import report
    from vadose.cli.interrupt import interruptible
    from vadose.study import run

    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        if workers:
            from vadose.access.cluster import connect

            _quiet()
            stack.enter_context(connect(workers))
        bar = stack.enter_context(
            Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)
        )
        tasks: dict[str, TaskID] = {}

        def tell(step: str, state: str) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=1)
            if state != "start":
                color = {"failed": "red", "kept": "dim"}.get(state, "green")
                bar.update(tasks[step], completed=1, description=f"{step}  [{color}]{state}[/{color}]")

        def work() -> tuple[Path, Path]:
            folder = run(study, output, fresh=fresh, tell=tell)
            tell("report", "start")
            page = report.write(folder)
            tell("report", "done")
            return folder, page

        try:
            folder, page = interruptible(work)
        except KeyboardInterrupt:
            raise
        except VadoseError as error:
            if not any(bar.tasks[t].finished for step, t in tasks.items() if not step.startswith("catalog")):
                raise  # nothing is kept of a mere look into the catalog
            raise PlatformError(f"{error}; {CONTINUE}") from error
        except BaseException as error:  # a lost cluster cancels with more than Exception
            raise PlatformError(
                _stopped(error, output, [s for s in tasks if not bar.tasks[tasks[s]].finished])
            ) from error
    failures = json.loads((folder / "failures.json").read_text())
    for row in failures:
        click.echo(f"not read: {row['source']}: {row['why']}", err=True)
    if reason := json.loads((folder / "provenance.json").read_text())["facts"].get("no_stations"):
        click.echo(f"not validated against stations: {reason}", err=True)
    click.echo(str(page))


def _quiet() -> None:
    """A cluster that is lost fills the terminal with its own logs; what matters is said once, and kept in error.log."""
    import logging

    import distributed  # its import configures the loggers that are silenced here

    for name in (
        distributed.__name__,
        "distributed.client",
        "distributed.comm",
        "dask_gateway.client",
        "tornado",
        "asyncio",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _stopped(error: BaseException, output: Path, steps: list[str]) -> str:
    """What stopped a run that nobody foresaw, in one sentence; the whole story goes into a file."""
    import traceback

    story = output / "error.log"
    output.mkdir(parents=True, exist_ok=True)
    story.write_text("".join(traceback.format_exception(error)))
    words = str(error).strip().splitlines()
    at = f" at step {', '.join(steps)}" if steps else ""
    return (
        f"the study stopped{at}: {type(error).__name__}{': ' + words[0][:200] if words else ''}; "
        f"{CONTINUE} (details in {story})"
    )
