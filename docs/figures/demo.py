"""The README's figure, from the results of the demo study: `python docs/figures/demo.py RESULTS docs/figures/demo.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose.report.figures import STYLE, color_of

results, target = Path(sys.argv[1]), Path(sys.argv[2])
place = {"lat": 38.5, "lon": -91.5, "method": "nearest"}
season = {"time": slice("2018-05-01", "2018-09-30")}
truth = xr.open_dataset(next((results / "steps").glob("prepare-truth-*.nc"))).soil_moisture.sel(**place).sel(season)
products = xr.open_zarr(results / "products.zarr", consolidated=False).soil_moisture.sel(**place).sel(season).load()
merged = xr.open_zarr(results / "merged.zarr", consolidated=False).sel(**place).sel(season).load()
table = pd.read_parquet(results / "tables" / "truth.parquet").set_index("product")

plt.rcParams.update(STYLE)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.9), width_ratios=(2.4, 1), layout="constrained")
names = [str(n) for n in products["product"].values]
colors = color_of(names)


def centered(series: xr.DataArray) -> xr.DataArray:
    return series - series.where(truth.notnull()).mean()


for name in names:
    series = centered(products.sel(product=name))
    style = {"ls": "none", "marker": "o", "ms": 3} if float(series.isnull().mean()) > 0.2 else {"lw": 0.8}
    left.plot(series.time, series, color=colors[name], alpha=0.6, label=name, **style)
center, sigma = centered(merged.soil_moisture), merged.soil_moisture_standard_error
left.fill_between(center.time, center - sigma, center + sigma, color="black", alpha=0.18, lw=0)
left.plot(center.time, center, color="black", lw=1.8, label="merged ± 1 σ")
left.plot(truth.time, centered(truth), color="#B00020", lw=1.4, ls="--", label="truth")
left.set(ylabel="departure from own mean [m³ m⁻³]", title="One place of the synthetic Earth, summer 2018")
left.legend(ncol=6, frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1))
left.margins(x=0.01)

at = np.arange(len(names))[::-1]
right.barh(at + 0.19, table.loc[names, "true_error_sd"], 0.36, color=[colors[n] for n in names], label="product")
right.barh(at - 0.19, table.loc[names, "merged_on_its_days"], 0.36, color="black", label="merged, same days")
right.plot(
    table.loc[names, "estimated_error_sd"],
    at + 0.19,
    "D",
    color="white",
    mec="black",
    ms=6,
    label="estimated, no truth used",
)
right.set_yticks(at, names)
right.set(xlabel="error, 1 σ [m³ m⁻³]", title="True error, whole region")
right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.2), ncol=3, columnspacing=0.8)
figure.savefig(target, dpi=110)
