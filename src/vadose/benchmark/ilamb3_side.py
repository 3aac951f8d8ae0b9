"""Runs in the environment of ilamb3, not in vadose's: `python ilamb3_side.py FOLDER` scores reference.nc against model.nc."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    import ilamb3
    import xarray as xr
    from ilamb3 import analysis

    variable = (folder / "variable.txt").read_text()
    reference, model = (xr.open_dataset(folder / f"{n}.nc", use_cftime=True) for n in ("reference", "model"))
    found: dict[str, str | float] = {}
    for name, kind in analysis.DEFAULT_ANALYSES.items():
        try:
            table, _, _ = kind(required_variable=variable, method="Collier2018", regions=[None])(reference, model)
        except Exception as error:
            found[f"{name} failed"] = f"{type(error).__name__}: {error}"
            continue
        if not len(table):
            found[f"{name} failed"] = "no score for these records (do they differ from place to place?)"
            continue
        for row in table[table["type"] == "score"].to_dict("records"):
            found[str(row["name"])] = float(row["value"])
    (folder / "scores.json").write_text(json.dumps({"version": ilamb3.__version__, "scores": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
