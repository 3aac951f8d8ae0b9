# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is remote sensing drier than the models?
#
# **You will learn** to ask this of real series, how much of the answer is a matter of which days are compared, and how far
# two years can carry it. **Time:** 8 minutes. **Data:** real samples over the island of Hawaii, 2017-2018: C3S (merged
# satellites), SMAP, ERA5-Land, ERA5 and GLDAS, as grid-point series. The samples lie beside the checkout or where
# `VADOSE_SHARED_DATA` says; without them the notebook uses the synthetic Earth and says so.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import merge, products, world
from vadose.harmonize import at_points
from vadose.metrics import compare, moments, triple_collocation

plt.rcParams.update({"figure.dpi": 110, "axes.grid": False, "axes.spines.top": False, "axes.spines.right": False})

beside = next(
    (p / "shared" / "data" for p in Path.cwd().resolve().parents if (p / "shared" / "data").is_dir()), Path("samples")
)
samples = Path(os.environ.get("VADOSE_SHARED_DATA", beside))
real = (samples / "c3s_cci").is_dir()
print("real samples" if real else "no real samples here: the synthetic Earth takes their place")

# %% [markdown]
# ## Five products at the same points
# GLDAS has the coarsest grid, so its points decide; every other product gives its nearest value. All are of the top 5 to 10 cm.

# %%
FILES = {
    "C3S": ("c3s_cci/c3s_combined_v202505/0165.nc", "esa_cci"),
    "SMAP": ("smap/L3_v9_timeseries/0165.nc", "smap_series"),
    "ERA5-Land": ("era5/era5_land_timeseries/0165.nc", "era5_land"),
    "ERA5": ("era5/era5_timeseries/0165.nc", "era5_land"),
    "GLDAS": ("gldas/timeseries/0165.nc", "gldas"),
}
FAMILY = {
    "C3S": "remote sensing",
    "SMAP": "remote sensing",
    "ERA5-Land": "reanalysis",
    "ERA5": "reanalysis",
    "GLDAS": "land model",
}
COLORS = {"C3S": "#0072B2", "SMAP": "#56B4E9", "ERA5-Land": "#D55E00", "ERA5": "#E69F00", "GLDAS": "#009E73"}
days = pd.date_range("2017-01-01", "2018-12-31")


def daily(values):
    """One value a day on the common days, without layers."""
    values = values.drop_vars(["depth", "depth_bnds"], errors="ignore")
    values = values.assign_coords(time=values.indexes["time"].floor("D"))
    return (values if values.indexes["time"].is_unique else values.groupby("time").mean()).reindex(time=days)


if real:
    opened = {n: products.standardize(xr.open_dataset(samples / f), p).soil_moisture for n, (f, p) in FILES.items()}
    places = opened["GLDAS"]
    at = {
        n: daily(at_points(v, places.lat.reset_coords(drop=True), places.lon.reset_coords(drop=True), reach=1.5))
        for n, v in opened.items()
    }
    cube = xr.concat(
        [v.transpose("time", "location").reset_coords(drop=True) for v in at.values()],
        pd.Index(list(at), name="product"),
        coords="minimal",
        compat="override",
        join="override",
    )
    cube = cube.assign_coords(lat=("location", places.lat.values), lon=("location", places.lon.values))
else:
    truth = world.make((-104, 34, -100, 38), 1.0, "2017-01-01", "2018-12-31")
    pick = dict(zip(FILES, ("merged", "lband", "land_model", "reanalysis", "cband"), strict=True))
    cube = xr.concat(
        [daily(getattr(world.observe, v)(truth).soil_moisture) for v in pick.values()],
        pd.Index(list(pick), name="product"),
    )
    cube = cube.stack(location=("lat", "lon"), create_index=False)
pd.DataFrame(
    {
        "family": FAMILY,
        "points": (cube.notnull().any("time")).sum("location").to_series(),
        "share of days": cube.notnull().mean(["time", "location"]).to_series().round(2),
        "mean [m³ m⁻³]": cube.mean(["time", "location"]).to_series().round(3),
    }
)

# %%
figure, axis = plt.subplots(figsize=(11, 3.8), layout="constrained")
smooth = cube.mean("location").rolling(time=15, center=True, min_periods=4).mean()
for name in FILES:
    axis.plot(days, smooth.sel(product=name), color=COLORS[name], lw=1.6, label=f"{name} ({FAMILY[name]})")
axis.set(ylabel="soil moisture [m³ m⁻³]", title="Mean over the points each product has, 15-day running mean")
axis.legend(ncol=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1))
plt.show()

# %% [markdown]
# ## The same days and places, or the answer is about something else
# A satellite does not see every day and every place, and here the two satellites have not one point in common. So each is
# judged where and when it sees, and the models are judged there too. The bias to GLDAS is given twice: of all that a product
# has, and of one satellite's days and points. Intervals hold under autocorrelation: two years of daily values are worth far fewer.

# %%
models = ["ERA5-Land", "ERA5"]
satellites = [n for n in FILES if FAMILY[n] == "remote sensing" and bool(cube.sel(product=n).notnull().any())]
seen_by = {s: cube.sel(product=[s, *models, "GLDAS"]).notnull().all("product") for s in satellites}
everything = {
    n: float(compare(cube.sel(product="GLDAS").mean("location"), cube.sel(product=n).mean("location")).bias)
    for n in (*satellites, *models)
}
rows = []
for satellite, seen in seen_by.items():
    for name in (satellite, *models):
        strict = compare(
            cube.sel(product="GLDAS").where(seen).mean("location"), cube.sel(product=name).where(seen).mean("location")
        )
        rows.append(
            {
                "seen by": satellite,
                "product": name,
                "bias, everything": everything[name],
                "bias, same days and points": float(strict.bias),
                "low": float(strict.bias_low),
                "high": float(strict.bias_high),
                "points": int(seen.any("time").sum()),
                "days": int(strict.n),
                "independent days": round(float(strict.n_eff)),
            }
        )
biases = pd.DataFrame(rows).set_index(["seen by", "product"])
for satellite in satellites:
    own = biases.loc[satellite, satellite]
    words = {
        "by all that each has": own["bias, everything"],
        "on the same days and points": own["bias, same days and points"],
    }
    print(
        f"{satellite}:", "; ".join(f"{abs(b):.3f} {'drier' if b < 0 else 'wetter'} {how}" for how, b in words.items())
    )
biases.round(3)

# %%
figure, axes = plt.subplots(
    1,
    len(satellites),
    figsize=(5.2 * len(satellites), 3.2),
    sharex=True,
    sharey=True,
    squeeze=False,
    layout="constrained",
)
for axis, satellite in zip(axes[0], satellites, strict=True):
    part = biases.loc[satellite]
    for k, (name, row) in enumerate(part.iterrows()):
        k = 2 - k
        bias = row["bias, same days and points"]
        axis.errorbar(bias, k, xerr=[[bias - row.low], [row.high - bias]], fmt="o", color=COLORS[name], capsize=4)
        axis.plot(row["bias, everything"], k, "x", color=COLORS[name])
        axis.text(bias, k + 0.16, name, color=COLORS[name], ha="center")
    axis.axvline(0, color="gray", lw=0.8)
    axis.set(
        ylim=(-0.4, 2.6),
        xlabel="bias to GLDAS [m³ m⁻³]",
        title=f"Days and points of {satellite} ({int(part.points.iloc[0])} points)",
    )
    axis.set_yticks([])
figure.suptitle(
    "Drier (left) or wetter (right) than GLDAS; dot with 95 % interval: same days and points, cross: everything",
    fontsize=10,
)
plt.show()

# %% [markdown]
# ## Season by season
# A difference that changes its sign with the season is not "drier": it is another rhythm. Each number is a mean over the days
# and points of one satellite; a season needs twenty such days.

# %%
by_season = {}
for satellite, seen in seen_by.items():
    for name in (satellite, *models):
        difference = (cube.sel(product=name) - cube.sel(product="GLDAS")).where(seen).mean("location").dropna("time")
        grouped = difference.groupby("time.season")
        by_season[satellite, name] = grouped.mean().where(grouped.count() >= 20).to_series()
pd.DataFrame(by_season).T.rename_axis(["seen by", "product"]).reindex(columns=["DJF", "MAM", "JJA", "SON"]).round(3)

# %% [markdown]
# ## Who follows the truth best, whatever their level?
# Bias says nothing about that. Triple collocation of anomalies needs three products whose errors are independent: satellite,
# reanalysis, land model. ERA5 and ERA5-Land share weather, so only one of them may take part. With two years and few points
# the estimates are rough; points are pooled.

# %%
satellite = max(satellites, key=lambda n: int(cube.sel(product=n).notnull().sum()))
triplet = [satellite, "ERA5-Land", "GLDAS"]
chosen = cube.sel(product=triplet)
anomalies = chosen - chosen.rolling(time=61, center=True, min_periods=10).mean()
estimate = triple_collocation(moments(anomalies, dim=["time", "location"]))
pd.DataFrame(
    {
        "error sd [m³ m⁻³]": estimate.error_sd.to_series(),
        "correlation with the truth": estimate.correlation.to_series(),
        "signal to noise [dB]": estimate.snr_db.to_series(),
    }
).round(3).assign(n=int(estimate.n))

# %% [markdown]
# ## A merged series, with its error
# The level is the median climatology of the three, the variation follows the errors just found where a point has too few days
# of its own.

# %%
zone = xr.DataArray(
    np.ones(cube.sizes["location"], int), dims="location", attrs={"flag_values": [1], "flag_meanings": "island"}
)
one = merge.unified(chosen.transpose("product", "time", "location"), zones=zone)
busy = int(chosen.sel(product=satellite).notnull().sum("time").argmax("location"))
place = one.isel(location=busy)
figure, axis = plt.subplots(figsize=(11, 3.6), layout="constrained")
for name in triplet:
    axis.plot(days, chosen.sel(product=name).isel(location=busy), ".", ms=2.5, color=COLORS[name], label=name)
band = 1.96 * place.soil_moisture_standard_error
axis.fill_between(
    days, place.soil_moisture - band, place.soil_moisture + band, color="gray", alpha=0.35, label="merged, 95 %"
)
axis.plot(days, place.soil_moisture, color="black", lw=1, label="merged")
axis.set(
    ylabel="soil moisture [m³ m⁻³]",
    title=f"One point ({float(cube.lat[busy]):.2f} °N, {-float(cube.lon[busy]):.2f} °W)"
    if "lat" in cube.coords
    else "One point",
)
axis.legend(ncol=5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), markerscale=3)
plt.show()

# %% [markdown]
# ## What this does and does not say
# * Drier than GLDAS, yes, once the same days and points are compared; drier than the models, no: ERA5 is drier still.
# * The table answers for these points and these two years, and only relative to GLDAS: nobody here is the truth. Two points a
#   satellite on one island are no continent.
# * A year-block bootstrap over climate zones (`vadose.diagnostics.discrepancy`) needs three years or more; two do not carry it.
# * Layers differ (0-5, 0-7 and 0-10 cm): part of a difference in level is a difference in depth.
#
# ## What next
# * `40-merge/one-map-from-many`: the same steps where the truth is known
# * `vadose run studies/hawaii.yaml`: this comparison as one file with a page of results
#
# **References.** Shi et al. 2025, doi:10.1038/s41597-025-04657-x; Dorigo et al. 2017, doi:10.1016/j.rse.2017.07.001 (C3S/CCI); O'Neill et al. 2021,
# doi:10.5067/4XXOGX0OOW1S (SMAP); Muñoz-Sabater et al. 2021, doi:10.5194/essd-13-4349-2021 (ERA5-Land); Rodell et al. 2004,
# doi:10.1175/BAMS-85-3-381 (GLDAS). C3S, CCI and ERA5 data: Copernicus, with attribution.
