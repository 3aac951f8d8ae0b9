"""A recipe as files that ILAMB reads by itself: monthly netCDF of every source, with a study for ilamb3 and one for ILAMB 2.

So the tools of DOE's benchmarking run on what the hub's catalog holds, in the benchmark image or on a hub, with their own pages.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from vadose.benchmark import ilamb2
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
MISSING = 1e20


def export(recipe: Recipe, folder: str | Path) -> tuple[Path, list[str]]:
    """Write the recipe for ilamb3 (`study.yaml`, `models.csv`, `run.py`) and for ILAMB 2 (`ilamb.cfg`, `ilamb-models.txt`,
    `ilamb-regions.txt`, `ilamb.sh`) with `DATA/` and `MODELS/` into `folder`; returns it and what could not be exported.

    Records are those that vadose compares: months, our units, the page's layer. Stations go to ILAMB 2 alone, meshes to neither.
    Raises StudyError when nothing could be exported.
    """
    folder = Path(folder)
    study: dict[str, Any] = {}
    models: dict[tuple[str, str], str] = {}
    skipped: list[str] = []
    files: dict[tuple[str, str], tuple[str, str]] = {}
    for page in recipe.leaves:
        name = variable_of(page)
        gridded = {}
        for reference in page.references:
            path = folder / "DATA" / slug(reference.name) / f"{name}.nc"
            kind = _written(reference, page, recipe, name, path, skipped, sites=True)
            if kind:
                files[(page.name, reference.name)] = (name, path.relative_to(folder).as_posix())
            if kind == "grid":
                gridded[reference.name] = {"sources": {name: path.relative_to(folder).as_posix()}}
            elif kind:
                skipped.append(f"{page.name}, {reference.name}: ilamb3 takes no stations from it; ILAMB 2 does")
        if gridded:
            here = study
            for part in page.path:
                here = here.setdefault(part, {})
            here.update(gridded)
        if not any((page.name, r.name) in files for r in page.references):
            continue
        for model in recipe.models:
            path = folder / "MODELS" / slug(model.name) / f"{name}.nc"
            if (model.name, name) not in models and _written(model, page, recipe, name, path, skipped):
                models[(model.name, name)] = path.relative_to(folder).as_posix()
    if not files or not models:
        raise StudyError("nothing could be written for ILAMB: " + "; ".join(skipped[:3]))
    texts = _ilamb3(recipe, study, models) if study else {}
    two, more = _ilamb2(recipe, files, models)
    for title, text in (texts | two).items():
        (folder / f"{title}.part").write_text(text)
        os.replace(folder / f"{title}.part", folder / title)
    (folder / ilamb2.RUN).chmod(0o755)
    return folder, skipped + more


def variable_of(page: Page) -> str:
    """The variable's name in the files: with its layer, for pages of several layers share a folder."""
    layer = "" if page.layer is None else "_{:g}_{:g}m".format(*page.layer).replace(".", "p")
    return f"{page.variable}{layer}"


def _ilamb3(recipe: Recipe, study: Mapping[str, Any], models: Mapping[tuple[str, str], str]) -> dict[str, str]:
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["source_id", "grid_label", "variable_id", "frequency", "path"])
    rows.writerows([model, "gn", name, "mon", path] for (model, name), path in models.items())
    return {
        "study.yaml": yaml.safe_dump(dict(study), sort_keys=False),
        "models.csv": table.getvalue(),
        "run.py": RUN.format(title=recipe.title),
    }


def _ilamb2(
    recipe: Recipe, files: Mapping[tuple[str, str], tuple[str, str]], models: Mapping[tuple[str, str], str]
) -> tuple[dict[str, str], list[str]]:
    configured, left = ilamb2.configure(recipe, files)
    boxes, labels, more = ilamb2.regions(recipe)
    folders = {model: str(Path(path).parent.as_posix()) for (model, _), path in models.items()}
    texts = {
        ilamb2.CONFIGURE: configured,
        ilamb2.MODELS: ilamb2.models(recipe, folders),
        ilamb2.RUN: ilamb2.call(recipe, labels),
    }
    return texts | ({ilamb2.REGIONS: boxes} if labels else {}), left + more


def _written(
    source: Source, page: Page, recipe: Recipe, name: str, path: Path, skipped: list[str], *, sites: bool = False
) -> str:
    """Write a source: grid or sites for what it is, nothing where it could not be written."""
    held = try_record(source, str(page.variable), page.layer, recipe)
    if not isinstance(held, Record):
        skipped.append(f"{page.name}, {source.name}: {held}")
        return ""
    values = held.values
    gridded = {"lat", "lon"} <= set(map(str, values.dims))
    if not gridded and not (sites and "station" in values.dims):
        skipped.append(f"{page.name}, {source.name}: it is not on rows and columns")
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    out = as_months(values, name) if gridded else sites_as_months(values, name)
    out.to_netcdf(partial, encoding={name: {"_FillValue": MISSING}})
    os.replace(partial, path)
    return "grid" if gridded else "sites"


def sites_as_months(values: xr.DataArray, name: str) -> xr.Dataset:
    """Series of stations as ILAMB 2 reads them: a dimension `data`, places along it, names in an attribute."""
    beside = values.transpose("time", "station")
    grid = beside.drop_vars(["lat", "lon", "station"], errors="ignore").expand_dims(lat=[0.0]).rename(station="lon")
    months = as_months(grid.assign_coords(lon=range(beside.sizes["station"])), name)
    out = months.isel(lat=0, drop=True).drop_vars("lon").rename(lon="data")
    return out.assign(
        lat=("data", beside.lat.values.astype(float), {"units": "degrees_north"}),
        lon=("data", beside.lon.values.astype(float), {"units": "degrees_east"}),
    ).assign_attrs(site_name=",".join(str(s).replace(",", " ") for s in beside.station.values))
