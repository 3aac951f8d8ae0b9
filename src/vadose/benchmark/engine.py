"""The same recipe through ilamb3, in an environment of its own, and its scores beside ours."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark import ilamb3_side
from vadose.benchmark import scores as scoring
from vadose.benchmark.compare import pair, table
from vadose.benchmark.recipe import Recipe
from vadose.benchmark.records import Record, try_record
from vadose.errors import PlatformError

if TYPE_CHECKING:
    from vadose.benchmark.runner import Results

#: Our score -> words that its name in ilamb3 begins with.
THEIRS = {
    "bias": "Bias Score",
    "rmse": "RMSE Score",
    "phase": "Seasonal Cycle Score",
    "distribution": "Spatial Distribution Score",
}
VARIABLE = "ILAMB3_PYTHON"


def interpreter() -> str:
    """The Python that has ilamb3: $ILAMB3_PYTHON, .side/ilamb, or this one. Raises PlatformError saying how to make one."""
    for candidate in (os.environ.get(VARIABLE), ".side/ilamb/bin/python"):
        if candidate and Path(candidate).exists():
            return str(candidate)
    if importlib.util.find_spec("ilamb3") is not None:
        return sys.executable
    raise PlatformError(
        f"ilamb3 is not here; it needs Python 3.12 or newer: bash benchmarks/peers-ilamb, or set {VARIABLE} to a Python that has it (the benchmark image does)"
    )


def side_by_side(recipe: Recipe, results: Results, *, tell: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Scores of ilamb3 and of our scheme `ilamb3` on the same monthly records: page, reference, model, statistic, vadose, ilamb3.

    Gridded pairs only; what ilamb3 cannot score is left out and told in the results' failures.
    """
    python = interpreter()
    rows = []
    for page, reference, model in results.maps:
        leaf = next(p for p in recipe.leaves if p.name == page)
        source = next(r for r in leaf.references if r.name == reference)
        ours = next(m for m in recipe.models if m.name == model)
        a, b = (try_record(s, str(leaf.variable), leaf.layer, recipe) for s in (source, ours))
        if not isinstance(a, Record) or not isinstance(b, Record):
            continue
        if not all({"lat", "lon"} <= set(map(str, r.values.dims)) for r in (a, b)):
            continue
        tell(f"{page}: {model} against {reference} through ilamb3")
        mine = table(pair(a.values, b.values, period=recipe.period, own=True), scoring.scheme("ilamb3"))
        held = mine[mine.kind == "score"].set_index("statistic").value
        try:
            found = _through(python, a.values, b.values, str(leaf.variable))
        except PlatformError as error:
            results.failures.append({"page": page, "reference": reference, "model": model, "why": str(error)})
            continue
        for statistic, words in THEIRS.items():
            value = next((v for k, v in found["scores"].items() if k.startswith(words)), None)
            if isinstance(value, float):
                rows.append(
                    {
                        "page": page,
                        "reference": reference,
                        "model": model,
                        "statistic": statistic,
                        "vadose": float(held[statistic]),
                        "ilamb3": value,
                        "version": found["version"],
                    }
                )
        for name, why in found["scores"].items():
            if isinstance(why, str):
                results.failures.append(
                    {"page": page, "reference": reference, "model": model, "why": f"ilamb3: {name}: {why}"}
                )
    return pd.DataFrame(rows)


def _through(python: str, reference: xr.DataArray, model: xr.DataArray, variable: str) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "variable.txt").write_text(variable)
        for name, values in (("reference", reference), ("model", model)):
            as_months(values, variable).to_netcdf(folder / f"{name}.nc")
        done = subprocess.run(
            [python, str(Path(ilamb3_side.__file__)), str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode or not (folder / "scores.json").exists():
            raise PlatformError(f"ilamb3 stopped: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return json.loads((folder / "scores.json").read_text())


def as_months(values: xr.DataArray, variable: str) -> xr.Dataset:
    """A record as ilamb3 reads it: months of 365-day years with their bounds, in days since 1850."""
    months = values["time"].dt.year.values * 12 + values["time"].dt.month.values - 1
    starts, ends = (np.array([_day(m + k) for m in months]) for k in (0, 1))
    time = {"units": "days since 1850-01-01", "calendar": "noleap", "bounds": "time_bnds"}
    return xr.Dataset(
        {
            variable: (
                ("time", "lat", "lon"),
                values.transpose("time", "lat", "lon").values.astype("float32"),
                {"units": str(values.attrs.get("units", "1"))},
            )
        },
        coords={
            "time": ("time", (starts + ends) / 2, time),
            "time_bnds": (("time", "bnds"), np.stack([starts, ends], axis=1)),
            "lat": ("lat", values.lat.values, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", values.lon.values, {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )


def _day(month: int) -> float:
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    year, number = divmod(int(month), 12)
    return float((year - 1850) * 365 + lengths[:number].sum())
