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
# # How do I open a year of my own files in one second?
#
# **You will learn** to describe a folder of files, to index it where it lies (nothing is copied or converted), to read maps and
# long records from the index, and what happens when a file changes under it. **Time:** 10 minutes. **Data:** a year of daily
# SMAP-like HDF5 files of the synthetic Earth: grouped, packed, with times only in their names.

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import vadose
from vadose.access import build, quality

plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The files
# Any glob will do: a folder, or `s3://bucket/prefix/*.h5`. Here are the files behind the demo collection.

# %%
first = vadose.items("demo-smap-l3", time="2018")[0]["assets"]["data"]["href"]
source = first.rsplit("/", 1)[0] + "/SMAP_L3_SM_P_2018*.h5"
Path(first).name

# %% [markdown]
# ## Describe
# Which groups, where the time is, what the unnamed dimensions are. The same is `vadose catalog add` on the command line.

# %%
catalog = Path(tempfile.mkdtemp()) / "catalog"
recipe = {
    "source": source,
    "format": "hdf5",
    "groups": ["Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"],
    "time": {"from": "name", "pattern": r"_(\d{8})_R\d+_(\d{3})\.h5$", "format": "%Y%m%d"},
    "keep": "highest revision",
    "grid": "M36",
    "dims": {2: ["y", "x"]},
    "chunks": {"time": 90},
}
home = build.add(
    catalog, "my-smap", recipe, title="A year of my files", product="smap_l3", variables=("soil_moisture",)
)
sorted(p.name for p in home.iterdir())

# %% [markdown]
# ## Index
# Each file's own table of chunks is read; every attribute that decides decoding is compared, so that files packed differently
# never end in one array.

# %%
start = time.perf_counter()
outcome = build.build(catalog, "my-smap")
seconds = time.perf_counter() - start
print(
    f"{outcome.indexed} files in {len(outcome.eras)} era(s), {1000 * seconds / outcome.listed:.0f} ms a file, "
    f"{len(outcome.quarantine)} set aside; version {outcome.tag}"
)

# %% [markdown]
# ## Open, look
# The first time pays for imports, too; from then on it takes about a quarter of that.

# %%
start = time.perf_counter()
data = vadose.open("my-smap", catalog=str(catalog), time="2018", bbox=(-104, 34, -84, 56))
print(f"opened in {time.perf_counter() - start:.2f} s: {dict(data.sizes)}")
summer = data.soil_moisture.sel(time=slice("2018-06-01", "2018-08-31"))
mean, seen = summer.mean("time").compute(), summer.notnull().sum("time").compute()

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
for ax, (values, title, label) in zip(
    axes,
    [(mean, "Mean soil moisture, summer 2018", "m$^3$ m$^{-3}$"), (seen, "Days with a value", "days")],
    strict=True,
):
    shown = ax.pcolormesh(
        values.lon,
        values.lat,
        values.where(seen > 0),
        cmap="cividis_r" if "Mean" in title else "viridis",
        shading="nearest",
    )
    figure.colorbar(shown, ax=ax, label=label)
    ax.set(title=title, xlabel="longitude [°E]")
    ax.locator_params(axis="x", nbins=5)
axes[0].set_ylabel("latitude [°N]")
plt.show()

# %% [markdown]
# ## A long record at a place
# `extract_points` fetches only the chunks that hold the place and decodes only its cell. In these made-up files the afternoon
# repeats the morning but for rounding, so each dot lies in its ring.

# %%
start = time.perf_counter()
record = vadose.extract_points(
    "my-smap", [39.1], [-96.6], variables=["soil_moisture", "soil_moisture_pm"], catalog=str(catalog)
)
print(f"a year, both passes: {time.perf_counter() - start:.2f} s")
figure, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
for name, label, style in (
    ("soil_moisture", "morning pass", {"marker": "o", "ms": 6, "mfc": "none", "color": "#00204d"}),
    ("soil_moisture_pm", "afternoon pass", {"marker": ".", "ms": 5, "color": "#d55e00"}),
):
    ax.plot(record.time, record[name][:, 0], ls="none", label=label, **style)
ax.set(
    ylabel="soil moisture [m$^3$ m$^{-3}$]", title="All retrievals nearest to 39.1 °N, 96.6 °W (before quality control)"
)
ax.legend(frameon=False)
plt.show()
print(
    {name: int(np.isfinite(record[name]).sum()) for name in ("soil_moisture", "soil_moisture_pm")}, "days with a value"
)

# %% [markdown]
# ## Is the index right, and does it stay right?
# Chunks drawn at random are compared with what h5py reads; `diff` asks the source what changed since.

# %%
print("faults:", quality.validate(catalog, "my-smap", level="sample", rng=1) or "none")
print("changed at the source:", quality.diff(catalog, "my-smap").any)

# %% [markdown]
# A file that is replaced later is refused by name when it is read; `vadose catalog update my-smap` takes the new one in, and
# `vadose catalog rollback my-smap` goes back a version.
#
# ## What next
# - `20-harmonize`: bring what you opened to one quantity, depth, grid and time.
# - `vadose catalog publish my-smap s3://bucket/catalog` shares the index; the files stay where they are.
#
# **References**: SMAP L3 radiometer product, doi:10.5067/4XXOGX0OOW1S; kerchunk reference format, https://fsspec.github.io/kerchunk.
