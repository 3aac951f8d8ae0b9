"""`vadose run`: a study file to results and a report."""

from __future__ import annotations

from pathlib import Path

import click


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

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    from vadose import report
    from vadose.study import run

    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        if workers:
            from vadose.access.cluster import connect

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

        folder = run(study, output, fresh=fresh, tell=tell)
        tell("report", "start")
        page = report.write(folder)
        tell("report", "done")
    import json

    failures = json.loads((folder / "failures.json").read_text())
    for row in failures:
        click.echo(f"not read: {row['source']}: {row['why']}", err=True)
    click.echo(str(page))
