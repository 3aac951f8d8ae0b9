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
# # How wet is the soil, and which product says so?
#
# **You will learn** to find products in the catalog, to start workers with one call, to open data lazily from where it lies,
# and to see in one figure that products disagree. **Time:** 5 minutes. **Data:** the synthetic Earth, so the truth is known.
# The same cells run on a hub, in the container image and on a laptop.

# %%
import dask
import matplotlib.pyplot as plt
import pandas as pd

import vadose
from vadose.access import cluster

plt.rcParams.update({"figure.dpi": 110, "axes.grid": False, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Which products hold soil moisture here?

# %%
found = vadose.search(variable="soil_moisture", bbox=(-104, 34, -84, 56), time="2018")
found[["title", "variables", "start", "end"]]

# %% [markdown]
# ## Workers, with one call
# On a hub this is a Dask Gateway cluster of your own, elsewhere processes of this machine. It ends with `close()` below,
# and by itself when idle.

# %%
workers = cluster.connect(n_workers=2)
workers

# %% [markdown]
# ## Open four products and the truth
# Nothing is copied: each is a lazy array over files in the object store, with the same names, units and layers.

# %%
period = "2018-05-01/2018-09-30"
products = {
    "satellite (L-band)": "demo-smap-l3",
    "satellite (merged)": "demo-cci",
    "reanalysis": "demo-era5-land",
    "land model": "demo-gldas",
    "the truth": "demo-truth",
}
opened = {title: vadose.open(name, time=period, bbox=(-104, 34, -84, 56)) for title, name in products.items()}
data = {title: dataset.soil_moisture for title, dataset in opened.items()}
pd.DataFrame(
    {
        title: {
            "layer [m]": "{:g} to {:g}".format(*opened[title].depth_bnds.values.ravel().round(3)),
            "grid": " x ".join(str(n) for n in a.shape[1:]),
            "days": a.shape[0],
            "MB": round(a.nbytes / 1e6, 1),
        }
        for title, a in data.items()
    }
).T

# %% [markdown]
# ## Compute on the workers
# One pass over all files; the bar shows the tasks as they finish.

# %%
from distributed import progress

summer = workers.client.compute([a.mean("time") for a in data.values()])
progress(summer, notebook=False)
summer = dict(zip(data, workers.client.gather(summer), strict=True))

# %%
figure, axes = plt.subplots(1, 5, figsize=(14, 4.2), sharey=True, layout="constrained")
for axis, (title, mean) in zip(axes, summer.items(), strict=True):
    mean = mean.squeeze()
    picture = axis.pcolormesh(mean.lon, mean.lat, mean, cmap="YlGnBu", vmin=0.02, vmax=0.45, shading="nearest")
    axis.set(title=title, xlabel="longitude [°E]")
axes[0].set_ylabel("latitude [°N]")
figure.colorbar(picture, ax=axes, label="soil moisture, May to September 2018 [m³ m⁻³]", shrink=0.9)
plt.show()

# %% [markdown]
# They agree that the west is dry, and disagree by how much. How far is each from the truth? The table compares means over
# the region, day by day: their bias, and what remains without it.

# %%
# The grids differ, so compare regional means; each is over the cells that the product saw on that day.
by_day = dask.compute(*[a.mean([d for d in a.dims if d != "time"]) for a in data.values()])
series = pd.DataFrame({title: s.to_series() for title, s in zip(data, by_day, strict=True)})
error = series.drop(columns="the truth").sub(series["the truth"], axis=0)
pd.DataFrame({"bias [m³ m⁻³]": error.mean(), "ubRMSD [m³ m⁻³]": error.std(ddof=0), "days": error.count()}).round(4)

# %%
figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
styles = dict(zip(series.columns, ["#0072B2", "#56B4E9", "#D55E00", "#E69F00", "black"], strict=True))
for title in series:
    axis.plot(series.index, series[title], color=styles[title], lw=2 if title == "the truth" else 1.3, label=title)
axis.set(ylabel="soil moisture [m³ m⁻³]", title="Mean over the region of what each product sees on each day")
axis.legend(ncol=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
plt.show()

# %% [markdown]
# Here the two models are nearest to the truth, and both satellites are drier. That is no verdict yet:
# the regional means of the satellites move for another reason too: they see other places every day. Comparing honestly
# (same grid, same layer, same days, intervals on every number) is what the next notebooks are about.
#
# ## Clean up

# %%
workers.close()
print("ALL DONE")

# %% [markdown]
# ## What next
# * [notebooks/README.md](../README.md): the learning path
# * `vadose.search("smap")`, `help(vadose.open)`
#
# **References.** Entekhabi et al. 2010, doi:10.1109/JPROC.2010.2043918 (SMAP); Dorigo et al. 2017, doi:10.1016/j.rse.2017.07.001
# (ESA CCI); Muñoz-Sabater et al. 2021, doi:10.5194/essd-13-4349-2021 (ERA5-Land); Rodell et al. 2004, doi:10.1175/BAMS-85-3-381 (GLDAS).
