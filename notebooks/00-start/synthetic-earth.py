# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # What is the truth, and how wrong is each instrument?
#
# vadose ships a synthetic Earth: weather, soil and plants made from a seed, water kept by a bucket that loses nothing, and
# instruments whose errors are known because we made them. After ten minutes you know what this truth looks like, how each
# instrument departs from it, and that two of them are wrong *together*. Every other notebook builds on this.
#
# Nothing here is a measurement of the real Earth.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import world
from vadose.world import observe

truth = world.demo()
top = observe.surface(truth)

# %% [markdown]
# ## The truth
# An arid west, a humid east, a north that is frozen for half the year.

# %%
fig, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
rain = truth.precipitation_flux.mean("time") * 86400 * 365.25
frozen = (truth.soil_temperature.isel(depth=0) < 273.15).mean("time") * 100
panels = [
    (top.mean("time"), "mean soil moisture, 0-5 cm", "m³ m⁻³", "viridis"),
    (rain, "precipitation", "mm per year", "cividis"),
    (frozen, "days with frozen topsoil", "%", "cividis"),
]
for axis, (field, title, unit, colors) in zip(axes, panels, strict=True):
    field.plot(ax=axis, cmap=colors, cbar_kwargs={"label": unit})
    axis.set(title=title, xlabel="longitude (°E)", ylabel="latitude (°N)")

# %% [markdown]
# Water is neither made nor lost. What fell and did not evaporate, run off or drain is in the soil or on it as snow; the rest
# is rounding of the stored numbers.

# %%
day = 86400
thickness = xr.DataArray([50.0, 950.0], dims="depth")  # mm
stored = ((truth.soil_moisture.isel(time=-1) - truth.initial_soil_moisture) * thickness).sum("depth")
terms = pd.Series(
    {
        "precipitation": truth.precipitation_flux.astype(float).sum("time").mean() * day,
        "evapotranspiration": -truth.evapotranspiration_flux.astype(float).sum("time").mean() * day,
        "runoff": -truth.runoff_flux.astype(float).sum("time").mean() * day,
        "drainage": -truth.drainage_flux.astype(float).sum("time").mean() * day,
        "stored in soil": -stored.mean(),
        "stored as snow": -truth.snow_amount.isel(time=-1).mean(),
    }
).astype(float)
terms["left over"] = terms.sum()
terms.round(3).rename("mm in two years").to_frame()

# %% [markdown]
# ## Five instruments, one place
# Satellites have gaps (orbits, snow, frost); models have none, but are wetter and flatter than the truth.

# %%
seen = {name: getattr(observe, name)(truth, seed=1) for name in observe.ERRORS}
place = {"lat": 41.25, "lon": -89.25, "method": "nearest"}
colors = dict(zip(seen, ["#0072B2", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"], strict=True))
fig, (above, below) = plt.subplots(2, 1, figsize=(12, 6), sharex=True, sharey=True, layout="constrained")
for name, data in seen.items():
    satellite = name in ("lband", "cband", "merged")
    axis = above if satellite else below
    series = data.soil_moisture.sel(**place).sel(time="2017")
    title = observe.ERRORS[name].title
    axis.plot(series.time, series, "." if satellite else "-", ms=4, lw=1.2, color=colors[name], label=title)
for axis, title in ((above, "satellites at 41.25 °N, 89.25 °W"), (below, "models at the same place")):
    axis.plot(
        top.time.sel(time="2017"), top.sel(**place).sel(time="2017"), color="black", lw=1.4, label="truth, 0-5 cm"
    )
    axis.set(ylabel="soil moisture (m³ m⁻³)", title=title)
    axis.legend(ncol=4, fontsize=8, loc="upper right")
plt.show()

# %% [markdown]
# ## How wrong is each?
# `bias` and the spread of the error (`error sd`, around the instrument's own gain and offset) over all cells and days, beside
# the size that was put in. Satellite errors grow with leaf area, so their mean size differs a little from the table's.

# %%
rows, errors = {}, {}
for name, data in seen.items():
    kind = observe.ERRORS[name]
    own_layer = observe.surface(truth, kind.bottom)
    errors[name] = data.soil_moisture - kind.gain * own_layer - kind.offset
    rows[kind.title] = {
        "bias (m³ m⁻³)": float((data.soil_moisture - own_layer).mean()),
        "error sd (m³ m⁻³)": float(errors[name].std()),
        "put in (m³ m⁻³)": kind.error,
        "days with a value (%)": 100 * float(data.soil_moisture.notnull().mean()),
        "n": int(data.soil_moisture.count()),
    }
pd.DataFrame(rows).T.round(3).astype({"n": int})

# %% [markdown]
# ## Who is wrong together?
# Triple collocation and merging assume errors that do not know each other. Satellites keep that promise here; reanalysis and
# land model, driven by the same rain errors, do not.

# %%
names = [observe.ERRORS[n].title for n in errors]
pairs = np.array([[float(xr.corr(a, b)) for b in errors.values()] for a in errors.values()])
table = pd.DataFrame(pairs.round(2) + 0.0, index=names, columns=names)  # + 0.0: no "-0.00"
fig, axis = plt.subplots(figsize=(7, 5), layout="constrained")
image = axis.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
axis.set_yticks(range(len(names)), names)
for i, a in enumerate(names):
    for j, b in enumerate(names):
        axis.text(j, i, f"{table.loc[a, b]:.2f}", ha="center", va="center", color="white" if i == j else "black")
axis.set_title("Correlation of errors")
fig.colorbar(image, label="correlation (1)")
plt.show()

# %% [markdown]
# ## What next
# - Make your own world: `world.make(bbox, resolution, start, end, seed)`; add `chunks=` for a large one.
# - Stations with planted sensor faults: `world.stations.network(truth)`; its variable `fault` says what was planted.
# - Models with planted faults: `observe.earth_system_model(truth, faults=("dry_bias",))`.
#
# ## References
# Bucket: `vadose.physics.bucket`. Soil limits: Saxton and Rawls 2006, doi:10.2136/sssaj2005.0117. Potential evaporation:
# Priestley and Taylor 1972, doi:10.1175/1520-0493(1972)100<0081:OTAOSH>2.3.CO;2.
