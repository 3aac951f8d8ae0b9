"""`vadose benchmark`: a recipe to scores, relationships and pages."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results and pages.",
)
@click.option(
    "--engine",
    type=click.Choice(["vadose", "ilamb3"]),
    default="vadose",
    show_default=True,
    help="ilamb3: run the recipe through ilamb3 too and lay both side by side.",
)
@click.option(
    "--cluster", "workers", type=int, help="Spread the comparisons over so many workers (a Gateway cluster on a hub)."
)
@click.option(
    "--for-ilamb",
    is_flag=True,
    help="Score nothing: write the recipe's data as netCDF with studies for ilamb3 (python run.py there) and ILAMB 2 (sh ilamb.sh there).",
)
@click.option("--quiet", is_flag=True, help="Print the page's path only.")
def command(recipe: Path, output: Path, engine: str, workers: int | None, for_ilamb: bool, quiet: bool) -> None:
    """Compare the models of RECIPE (a YAML file) with its references; write tables, maps and index.html into the output folder.

    What cannot be read is reported on the page and does not stop the run.
    """
    import contextlib
    import json

    from vadose import report
    from vadose.benchmark.recipe import read
    from vadose.benchmark.runner import run

    the = read(recipe)
    if for_ilamb:
        from vadose.benchmark.export import export

        folder, skipped = export(the, output)
        for line in skipped:
            click.echo(f"not written: {line}", err=True)
        click.echo(str(folder))
        return
    with contextlib.ExitStack() as stack:
        client = None
        if workers:
            from vadose.access.cluster import connect

            client = stack.enter_context(connect(workers)).client
        folder = run(
            the, output, engine=engine, client=client, tell=lambda text: None if quiet else click.echo(text, err=True)
        )
    page = report.write_benchmark(folder)
    for row in json.loads((folder / "failures.json").read_text()):
        against = f" against {row['reference']}" if row["model"] and row["reference"] else ""
        click.echo(f"not compared: {row['page']}, {row['model'] or row['reference']}{against}: {row['why']}", err=True)
    click.echo(str(page))
