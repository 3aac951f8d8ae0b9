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
# # How far can I trust this map?
#
# **You will learn** to map soil moisture from a few clustered stations, to read three estimates of the same model's error (two
# flatter it, one errs on the safe side), to put intervals on every pixel, and to see where the map should not be used at all. **Time:** 10 minutes.
# **Data:** the synthetic Earth, so the true error of the map is known.

# %%
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from vadose import cf, learn, world
from vadose.learn import evaluate, explain, features, splits

plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## A region, and stations where people like to put them: in clusters

# %%
truth = world.make((-100, 38, -92, 44), 0.1, "2018-03-01", "2018-10-31", seed=3)
surface = truth.soil_moisture.isel(depth=0, drop=True)
satellite = world.observe.lband(truth).soil_moisture.drop_vars("depth", errors="ignore")

rng = np.random.default_rng(5)
centers = np.column_stack([rng.uniform(38.6, 43.4, 8), rng.uniform(-99.4, -92.6, 8)])
place = np.repeat(centers, 6, axis=0) + rng.normal(0, 0.15, (48, 2))
stations = surface.sel(
    lat=xr.DataArray(place[:, 0], dims="station"), lon=xr.DataArray(place[:, 1], dims="station"), method="nearest"
)
stations = (stations + rng.normal(0, 0.012, stations.shape)).assign_coords(
    station=np.arange(48), lat=("station", place[:, 0]), lon=("station", place[:, 1])
)
stations = cf.describe(stations.isel(time=slice(30, None, 12)).transpose("station", "time"), "soil_moisture")

# %% [markdown]
# ## Predictors
# Rain that is remembered, soil, relief, leaves, warmth: what one has everywhere.

# %%
predictors = xr.merge(
    [
        features.antecedent(truth.precipitation_flux),
        truth[["elevation", "leaf_area_index", "air_temperature", "clay"]],
    ],
    compat="override",
)
table = features.samples(stations, predictors)
names = tuple(predictors.data_vars)
print(f"{table.sizes['sample']} samples of {len(names)} predictors at 48 stations in 8 clusters")

# %%
day = np.datetime64("2018-07-20")
figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
picture = axis.pcolormesh(surface.lon, surface.lat, surface.sel(time=day), cmap="YlGnBu", vmin=0.05, vmax=0.4)
axis.plot(place[:, 1], place[:, 0], "o", color="#D55E00", ms=4, mec="white", mew=0.5, label="stations")
axis.set(xlabel="longitude [°E]", ylabel="latitude [°N]", title="The truth on 20 July 2018, and where we look")
axis.legend(loc="upper left", frameon=True)
figure.colorbar(picture, label="soil moisture, 0 to 5 cm [m³ m⁻³]")
plt.show()

# %% [markdown]
# ## One model, three estimates of its error
# A random split tests a station with its neighbors' answers. Blocks of space, or whole clusters, do not.

# %%
cluster = np.asarray(table.station.values) // 6
folds = {
    "random": splits.random_folds(table.sizes["sample"]),
    "station": splits.group_folds(table.station.values, k=12),
    "whole clusters": splits.group_folds(cluster),
}
estimator = learn.Oblivious(rounds=150, depth=5)
scores = evaluate.compare(table, predictors=names, estimator=estimator, folds=folds)
scores[["rmsd", "bias", "r", "skill"]].sel(model="oblivious").to_dataframe().drop(columns="model").round(3)

# %%
honest = learn.fit(
    table, predictors=names, estimator=estimator, folds=folds["whole clusters"], calibrated_on="whole clusters"
)
naive = learn.fit(table, predictors=names, estimator=estimator, folds=folds["random"], calibrated_on="random folds")
days = surface.time[30::24]
maps = {n: learn.predict_map(m, predictors.sel(time=days)) for n, m in (("honest", honest), ("naive", naive))}
held = {
    n: evaluate.interval_table(m, surface.sel(time=days), maps[n]) for n, m in (("honest", honest), ("naive", naive))
}
true_error = float(held["honest"].rmsd.sel(where="everywhere"))

figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
errors = [*scores.rmsd.sel(model="oblivious").values, true_error]
bars = axis.barh([*folds, "TRUE error of the map"], errors, color=["#D55E00", "#E69F00", "#0072B2", "black"])
axis.bar_label(bars, [f"{e:.3f}" for e in errors], padding=3)
axis.invert_yaxis()
axis.set(
    xlabel="root mean squared difference [m³ m⁻³]",
    title="What each split says, and what is true",
    xlim=(0, max(errors) * 1.15),
)
plt.show()

# %% [markdown]
# The truth lies between: folds that leave neighbors in say 0.015, whole clusters 0.035, and the map errs by 0.025. Half of its
# pixels have a cluster within 104 km, a cluster that is left out has the next at 168 km (median). Where one must err, err on that side.
#
# ## Do the intervals hold?
# Both models promise that 90 % of the pixels lie within their intervals. They differ only in the folds used for calibration.

# %%
for name, values in held.items():
    print(
        f"calibrated on {maps[name].calibrated_on}: 90 % intervals hold {float(values.coverage[0]):.0%} of the map, mean width {float(values.width[0]):.3f}"
    )
held["honest"].to_dataframe().round(3)

# %% [markdown]
# Neither holds 90 %: calibrated on clusters the intervals are too wide (97 %), calibrated on random folds too narrow (79 %), and
# only the second kind deceives.
#
# ## The map with its doubts

# %%
shown = maps["honest"].sel(time=day, method="nearest")
outside = cf.has_flag(shown.soil_moisture_flag, "outside_area_of_applicability")
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), sharey=True, layout="constrained")
width = shown.soil_moisture_q95 - shown.soil_moisture_q05
error = shown.soil_moisture - surface.sel(time=shown.time)
for axis, (title, values, colors, low, high) in zip(
    axes,
    [
        ("the map", shown.soil_moisture, "YlGnBu", 0.05, 0.4),
        ("width of its 90 % interval", width, "cividis", 0, float(width.max())),
        ("its true error", error, "RdBu", -0.15, 0.15),
    ],
    strict=True,
):
    picture = axis.pcolormesh(values.lon, values.lat, values, cmap=colors, vmin=low, vmax=high)
    axis.contourf(outside.lon, outside.lat, outside, levels=[0.5, 1.5], colors="none", hatches=["///"])
    axis.plot(place[:, 1], place[:, 0], "o", color="white", mec="black", ms=3, mew=0.5)
    axis.set(title=title, xlabel="longitude [°E]")
    figure.colorbar(picture, ax=axis, label="[m³ m⁻³]", shrink=0.9)
axes[0].set_ylabel("latitude [°N]")
figure.suptitle("Hatched: unlike anything the stations have seen")
plt.show()

# %% [markdown]
# ## What does the model look at?
# Shuffled in held-out clusters, twins together: the rain windows are one group.

# %%
groups = {"rain memory": [n for n in names if "precipitation" in n]} | {
    n.replace("_", " "): [n] for n in names if "precipitation" not in n
}
weight = explain.importance(
    table, folds["whole clusters"], predictors=names, estimator=estimator, groups=groups, repeats=3
)
figure, axis = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
axis.barh(weight.group.values, weight.importance, xerr=2 * weight.importance_standard_error, color="#0072B2")
axis.invert_yaxis()
axis.set(xlabel="growth of the squared error when shuffled [1]", title="Importance on clusters the model never saw")
plt.show()

# %% [markdown]
# ## A card to go with the map

# %%
card = learn.card.make(
    honest,
    scores,
    data="synthetic Earth, seed 3",
    period="2018-03-31 to 2018-10-31",
    split="whole clusters of stations",
    depth="0 to 0.05 m",
    frozen_season="not in the data",
    known_failures="hatched areas; places without a cluster within 200 km",
    license="BSD-3-Clause",
)
print(learn.card.render(card))

# %% [markdown]
# ## What next
# * [Can a network see through frozen ground?](frozen-ground.ipynb)
# * `learn.write_map` writes maps of any size tile by tile and goes on after an interruption; `learn.Oblivious()` is the fastest.
#
# **References.** Roberts et al. 2017, doi:10.1111/ecog.02881 (blocked validation); Romano et al. 2019, arXiv:1905.03222 (conformal
# quantiles); Meyer and Pebesma 2021, doi:10.1111/2041-210X.13650 (area of applicability).
