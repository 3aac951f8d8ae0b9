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
# # Can five imperfect products make one good map?
#
# **You will learn** to bring products to one cube, to estimate their errors from each other alone, to merge them with
# weights that follow those errors, to fill what remains, and to say by climate zone how well that worked.
# **Time:** 10 minutes. **Data:** the synthetic Earth, so every claim is held to the truth.

# %%
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import vadose
from vadose import merge, world
from vadose.access.catalog import open_catalog
from vadose.diagnostics import (
    discrepancy,
    koppen_geiger,
    main_group,
    monthly_climate,
    performance_table,
    wavelet_spectrum,
    zone_table,
)
from vadose.harmonize import Grid
from vadose.metrics import compare
from vadose.study import unified

plt.rcParams.update({"figure.dpi": 110, "axes.grid": False, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Five products and a truth that none of them knows
# Three satellites with gaps, a reanalysis and a land model that share half of their forcing errors.

# %%
truth = world.make((-104, 34, -84, 50), 1.0, "2014-01-01", "2017-12-31")
grid = Grid.of(truth)
names = ("lband", "cband", "merged", "reanalysis", "land_model")
families = {
    "lband": "satellite",
    "cband": "satellite",
    "merged": "satellite",
    "reanalysis": "model",
    "land_model": "model",
}
TITLES = {
    "lband": "L-band",
    "cband": "C-band",
    "merged": "merged satellites",
    "reanalysis": "reanalysis",
    "land_model": "land model",
}
products = {name: getattr(world.observe, name)(truth) for name in names}
cube = merge.harmonized(products, grid)
target = world.observe.surface(truth)
climate = monthly_climate(truth.air_temperature, truth.precipitation_flux)
zones = main_group(koppen_geiger(climate.air_temperature, climate.precipitation, truth.lat))

day = "2016-06-15"
figure, axes = plt.subplots(1, 6, figsize=(15, 3.6), sharey=True, layout="constrained")
fields = {TITLES[n]: cube.sel(product=n, time=day) for n in names} | {"the truth": target.sel(time=day)}
for axis, (title, field) in zip(axes, fields.items(), strict=True):
    picture = axis.pcolormesh(cube.lon, cube.lat, field, cmap="YlGnBu", vmin=0.02, vmax=0.4)
    axis.set(title=title, xlabel="longitude [°E]")
axes[0].set_ylabel("latitude [°N]")
figure.colorbar(picture, ax=axes, label=f"soil moisture, {day} [m³ m⁻³]", shrink=0.9)
plt.show()

# %% [markdown]
# ## Who is drier than whom?
# The bias of a family against the median of all, by zone. Years are drawn, not days; false discoveries over zones are held
# to 5 %. Only days on which all products see a place count.

# %%
table = discrepancy(cube, families, zones, seasons=False, draws=1000, rng=1)
table[["family", "zone", "bias", "low", "high", "q", "verdict", "years"]].round(4)

# %% [markdown]
# ## One product, with its error
# `unified` takes the level from the median climatology and the day-to-day variation from all products, weighted by errors
# that N-way collocation finds among them. The shared errors of reanalysis and land model are declared: without that they
# would be trusted too much. A second merge without the declaration shows it.

# %%
pair = [("reanalysis", "land_model")]
one = merge.unified(cube, correlated=pair, zones=zones)
naive = merge.unified(cube, zones=zones)
one


# %%
def scaled_truth(product):
    """The truth on the level of a product: its own climatology is not to be judged here, its variation is."""
    return target + (product - target).mean("time")


errors = {n: cube.sel(product=n) - scaled_truth(cube.sel(product=n)) for n in names}
errors["unified, pair declared"] = one.soil_moisture - scaled_truth(one.soil_moisture)
errors["unified, pair not declared"] = naive.soil_moisture - scaled_truth(naive.soil_moisture)
common = cube.notnull().all("product")
rows = {n: float(np.sqrt((e.where(common) ** 2).mean())) for n, e in errors.items()}
days = {n: float((e.notnull()).mean()) for n, e in errors.items()}
shown = pd.DataFrame({"ubRMSD on common days [m³ m⁻³]": rows, "share of days with a value": days})
shown.rename(index=TITLES).round(4)

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 3.9), sharey=True, layout="constrained")
own = np.sqrt((errors["unified, pair declared"] ** 2).mean("time"))
best = xr.concat([np.sqrt((errors[n] ** 2).mean("time")) for n in names], "product").min("product")
stated = np.sqrt((one.soil_moisture_standard_error**2).mean("time"))
for axis, (title, field) in zip(
    axes, {"best single product": best, "unified": own, "what the unified one states": stated}.items(), strict=True
):
    picture = axis.pcolormesh(field.lon, field.lat, field, cmap="cividis", vmin=0.01, vmax=0.04)
    axis.set(title=title, xlabel="longitude [°E]", xticks=[-100, -95, -90, -85])
axes[0].set_ylabel("latitude [°N]")
figure.colorbar(picture, ax=axes, label="root-mean-square error [m³ m⁻³]", shrink=0.9)
plt.show()
print(f"the unified product beats the best single one in {float((own <= best).mean()):.0%} of places")

# %% [markdown]
# **So: yes.** On the days that all products see, the unified map errs by 0.018 m³ m⁻³ where the best product errs by 0.030, and it has
# a value on every day that any product has. Without the declared pair it is worse (0.020).
#
# ## How well, by climate zone?
# Neighbors are alike, so intervals come from drawing squares of three degrees; a zone of few squares gets none. The table below
# the figure is what the merge found of each product's error without knowing the truth, on the scale of the merged map: a model that is flatter
# than the others is stretched to it, and its error with it. So the numbers of the models are larger here than in the table above.

# %%
scores = xr.concat(
    [compare(target, cube.sel(product=n, drop=True))[["ubrmsd", "pearson"]] for n in names]
    + [compare(target, one.soil_moisture)[["ubrmsd", "pearson"]]],
    pd.Index([*names, "unified"], name="product"),
)
by_zone = performance_table(scores, zones, rng=2)
shown = by_zone[by_zone.score == "pearson"]
order = list(shown.zone.unique())
figure, axis = plt.subplots(figsize=(9, 3.8), layout="constrained")
colors = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "black"]
for k, (name, color) in enumerate(zip([*names, "unified"], colors, strict=True)):
    part = shown[shown["product"] == name].set_index("zone").reindex(order)
    at = np.arange(len(order)) + (k - 2.5) * 0.12
    axis.errorbar(
        at,
        part.value,
        [part.value - part.low, part.high - part.value],
        fmt="o",
        color=color,
        capsize=3,
        label=TITLES.get(name, name),
    )
axis.set_xticks(range(len(order)), [f"{z} ({int(shown[shown.zone == z].cells.iloc[0])} cells)" for z in order])
axis.set(ylabel="correlation with the truth [1]", title="Skill by climate zone with 95 % intervals")
axis.legend(ncol=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
plt.show()
found = zone_table(one[["error_sd"]], zones).pivot(index="product", columns="zone", values="mean")
found.rename(index=TITLES).rename_axis("error sd [m³ m⁻³]").round(4)

# %% [markdown]
# ## Fill the gaps of the satellite record, and hold the intervals to hidden values
# Blocks of readings are hidden, filled from what remains and from the two models, and compared with what was hidden.

# %%
record = cube.sel(product="merged", drop=True).sel(lat=slice(36, 42), lon=slice(-100, -92))
models = cube.sel(product=["reanalysis", "land_model"]).sel(lat=slice(36, 42), lon=slice(-100, -92))
rng = np.random.default_rng(0)
hidden = xr.zeros_like(record, dtype=bool)
for start in rng.integers(0, record.sizes["time"], 60):
    hidden[start : start + rng.integers(2, 15)] = True
filled = merge.fill(record.where(~hidden), predictors=models)
noise = world.observe.ERRORS["merged"].error
rest = (filled.soil_moisture - record).where(hidden)
spread = np.sqrt(filled.soil_moisture_standard_error**2 + noise**2)
coverage = {
    f"{100 * p:.0f} %": float((abs(rest) <= z * spread).where(rest.notnull()).mean())
    for p, z in ((0.68, 0.994), (0.9, 1.645), (0.95, 1.96))
}
print(f"{int(rest.count())} hidden readings; their noise of {noise} m³ m⁻³ is added to the stated error")
pd.Series(coverage, name="share of hidden readings inside").round(3)

# %%
cell = {"lat": 3, "lon": 3}
piece = slice("2015-11-01", "2016-08-31")
figure, axis = plt.subplots(figsize=(11, 3.6), layout="constrained")
a = filled.isel(cell).sel(time=piece)
axis.fill_between(
    a.time,
    a.soil_moisture - 1.645 * a.soil_moisture_standard_error,
    a.soil_moisture + 1.645 * a.soil_moisture_standard_error,
    color="#E69F00",
    alpha=0.35,
    label="90 % interval of the signal",
)
axis.plot(a.time, a.soil_moisture.where((a.soil_moisture_fill_flag & 1) == 1), color="#D55E00", lw=1.5, label="filled")
seen = record.where(~hidden).isel(cell).sel(time=piece)
axis.plot(seen.time, seen, ".", ms=3, color="#0072B2", label="observed")
axis.set(ylabel="soil moisture [m³ m⁻³]", title="A winter without readings: the interval widens where nothing is known")
axis.legend(ncol=3, frameon=False)
plt.show()

# %% [markdown]
# ## At which time scales do the products differ?
# Wavelet spectra of the two models, which have no gaps, at one dry and one humid place. Each series is standardized, so a curve
# says how its variation is shared among periods, not how large it is.

# %%
places = {"dry west": {"lat": 38.5, "lon": -102.5}, "humid east": {"lat": 38.5, "lon": -85.5}}
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True, layout="constrained")
for axis, (title, place) in zip(axes, places.items(), strict=True):
    for name, color in {"reanalysis": "#E69F00", "land_model": "#0072B2", "truth": "black"}.items():
        values = (
            target.sel(place, method="nearest")
            if name == "truth"
            else cube.sel(product=name).sel(place, method="nearest")
        )
        spectrum = wavelet_spectrum(values.drop_vars("depth", errors="ignore"))
        axis.loglog(spectrum.period, spectrum.global_power, color=color, label=name.replace("_", " "))
        if name == "truth":
            axis.loglog(
                spectrum.period, spectrum.global_significance, color="gray", ls=":", label="95 % level of red noise"
            )
    axis.set(title=title, xlabel="period [days]")
axes[0].set_ylabel("power of the standardized series [1]")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# In the dry west both models spend too much of their variation on days to weeks and too little on the year. In the humid east the
# year rules in all three; the land model is too smooth below a month.

# %% [markdown]
# ## Hand it on
# One call makes the region an entry of a catalog: a Zarr store with CF metadata, uncertainty and the weight of each product in each
# value, and a STAC collection that says what it is. Whoever has the folder opens it by name.

# %%
folder = tempfile.mkdtemp()
unified.write(
    one,
    folder,
    "great-plains-unified",
    title="Unified soil moisture of the Great Plains (synthetic)",
    description="Five synthetic products merged by their errors.",
    layer=(0.0, 0.05),
    license="CC0-1.0",
)
again = vadose.open("great-plains-unified", catalog=folder, time="2016-06")
again[["soil_moisture", "soil_moisture_standard_error", "weight", "estimate_flag"]]

# %%
open_catalog(folder).search("unified")[["title", "start", "end", "license"]]

# %% [markdown]
# ## What next
# * `40-merge/is-remote-sensing-drier`: the same questions to real products, where nobody knows the truth
# * `help(merge.unified)`, `help(merge.fill)`, `help(unified.write)`
#
# **References.** Gruber et al. 2017, doi:10.1109/TGRS.2017.2734070 (weights); Gruber et al. 2016, doi:10.1002/2015JD024027 (N-way
# collocation); Shi et al. 2025, doi:10.1038/s41597-025-04657-x (a unified ensemble); Torrence & Compo 1998,
# doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2 (wavelets).
