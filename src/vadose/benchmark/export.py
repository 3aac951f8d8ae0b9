"""A recipe as files that ilamb3 reads by itself: monthly netCDF of every source, a study (YAML), and a table of models (CSV).

So the tools of DOE's benchmarking run on what the hub's catalog holds, in the benchmark image or on a hub, with their own pages.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import yaml

from vadose.benchmark.engine import as_months
from vadose.benchmark.output import slug
from vadose.benchmark.recipe import Page, Recipe, Source
from vadose.benchmark.records import Record, try_record
from vadose.errors import StudyError

#: What runs the study, in the folder: `python run.py` with a Python that has ilamb3.
RUN = """\
# Runs the study beside this file with ilamb3; its pages come into _build.
import ilamb3
import pandas as pd
from ilamb3.meta import generate_dashboard_page
from ilamb3.run import run_study

ilamb3.conf.set(comparison_groupby=["source_id", "grid_label"], model_name_facets=["source_id"])
run_study("study.yaml", pd.read_csv("models.csv"), output_path="_build")
try:
    generate_dashboard_page("_build", page_title={title!r})
except Exception as error:  # the scores are there without the dashboard
    print("no dashboard:", error)
"""


def export(recipe: Recipe, folder: str | Path) -> tuple[Path, list[str]]:
    """Write `study.yaml`, `models.csv`, `run.py`, `DATA/` and `MODELS/` into `folder`; returns it and what could not be exported.

    Records are those that vadose compares: months, our units, the page's layer. Stations and meshes are left out and told:
    ilamb3 takes its own formats of them. Raises StudyError when nothing could be exported.
    """
    folder = Path(folder)
    study: dict[str, Any] = {}
    models: list[dict[str, str]] = []
    skipped: list[str] = []
    for page in recipe.leaves:
        name = variable_of(page)
        written = {}
        for reference in page.references:
            path = folder / "DATA" / slug(reference.name) / f"{name}.nc"
            if _written(reference, page, recipe, name, path, skipped):
                written[reference.name] = {"sources": {name: str(path.relative_to(folder))}}
        if not written:
            continue
        here = study
        for word in page.path:
            here = here.setdefault(word, {})
        here.update(written)
        for model in recipe.models:
            path = folder / "MODELS" / slug(model.name) / f"{name}.nc"
            if any(m["path"] == str(path.relative_to(folder)) for m in models):
                continue
            if _written(model, page, recipe, name, path, skipped):
                models.append(
                    {
                        "source_id": model.name,
                        "grid_label": "gn",
                        "variable_id": name,
                        "frequency": "mon",
                        "path": str(path.relative_to(folder)),
                    }
                )
    if not study or not models:
        raise StudyError("nothing could be written for ilamb3: " + "; ".join(skipped[:3]))
    table = io.StringIO()
    rows = csv.DictWriter(table, list(models[0]))
    rows.writeheader()
    rows.writerows(models)
    for name, text in (
        ("study.yaml", yaml.safe_dump(study, sort_keys=False)),
        ("models.csv", table.getvalue()),
        ("run.py", RUN.format(title=recipe.title)),
    ):
        (folder / f"{name}.part").write_text(text)
        os.replace(folder / f"{name}.part", folder / name)
    return folder, skipped


def variable_of(page: Page) -> str:
    """The variable's name in the files: with its layer, for pages of several layers share a folder."""
    layer = "" if page.layer is None else "_{:g}_{:g}m".format(*page.layer).replace(".", "p")
    return f"{page.variable}{layer}"


def _written(source: Source, page: Page, recipe: Recipe, name: str, path: Path, skipped: list[str]) -> bool:
    held = try_record(source, str(page.variable), page.layer, recipe)
    if not isinstance(held, Record):
        skipped.append(f"{page.name}, {source.name}: {held}")
        return False
    if not {"lat", "lon"} <= set(map(str, held.values.dims)):
        skipped.append(f"{page.name}, {source.name}: it is not on rows and columns")
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    as_months(held.values, name).to_netcdf(partial)
    os.replace(partial, path)
    return True
