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
# # Ten years of SMAP in one second
#
# **You will learn** why a long record at one place is slow from daily files, what an index alone gains, when a small copy pays,
# and how to make one for your region. **Time:** 10 minutes. **Data:** ten years of daily files as SMAP L3 has them (one file a
# day on the global 36 km grid, values in chunks of 203 x 482 cells), made here from a synthetic Earth: only the chunk of our region
# is filled, so that they fit a laptop.

# %%
import tempfile
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import vadose
from vadose import ease
from vadose.access import build
from vadose.access.series import build_series
from vadose.world import make

plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})
work = Path(tempfile.mkdtemp())
LAT, LON = 39.1, -96.6


def timed(work):
    """What `work` gives, and the best of three times: the first pays for imports, others may share the machine."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, min(times)


# %% [markdown]
# ## The files
# A true world of four by four degrees, seen by a satellite that passes on some days and has an error of 0.03 m$^3$ m$^{-3}$.

# %%
world = make(bbox=(-99, 37, -95, 41), start="2016-01-01", end="2025-12-31")
surface = world.soil_moisture.isel(depth=0)
lat, lon = ease.centers("M36")
rows = np.flatnonzero((lat > 37.2) & (lat < 40.8))
columns = np.flatnonzero((lon > -98.8) & (lon < -95.2))
on_grid = surface.sel(lat=xr.DataArray(lat[rows], dims="y"), lon=xr.DataArray(lon[columns], dims="x"), method="nearest")
truth = on_grid.transpose("time", "y", "x").values.astype("f4")
rng = np.random.default_rng(1)
seen = np.where(rng.random(truth.shape) < 0.4, truth + rng.normal(0, 0.03, truth.shape), np.nan).astype("f4")

files = work / "files"
files.mkdir()
start = time.perf_counter()
for day, values in zip(world.time.values, seen, strict=True):
    name = f"SMAP_L3_SM_P_{np.datetime_as_string(day, 'D').replace('-', '')}_R19240_001.h5"
    with h5py.File(files / name, "w") as file:
        group = file.create_group("Soil_Moisture_Retrieval_Data_AM")
        stored = group.create_dataset(
            "soil_moisture", (406, 964), "f4", chunks=(203, 482), shuffle=True, compression="gzip", fillvalue=-9999.0
        )
        stored.attrs["_FillValue"] = np.float32(-9999)
        stored.attrs["units"] = np.bytes_("cm**3/cm**3")
        stored[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = np.where(np.isnan(values), -9999, values)
size = sum(p.stat().st_size for p in files.iterdir())
print(f"{len(seen)} files, {size / 1e6:.0f} MB, written in {time.perf_counter() - start:.0f} s")

# %% [markdown]
# ## The way without a catalog
# Open every file, take the cell, close it. We time one year and multiply by ten.

# %%
row, column = int(np.abs(lat - LAT).argmin()), int(np.abs(lon - LON).argmin())


def one_by_one(paths):
    """The cell of every file, read as most scripts do."""
    out = []
    for path in paths:
        with xr.open_dataset(path, group="Soil_Moisture_Retrieval_Data_AM", engine="h5netcdf", phony_dims="access") as ds:
            out.append(float(ds.soil_moisture[row, column]))
    return np.array(out)


paths = sorted(files.iterdir())
start = time.perf_counter()
by_hand = one_by_one(paths[:366])
seconds = {"each file opened": 10 * (time.perf_counter() - start)}
print(f"about {seconds['each file opened']:.0f} s for ten years")

# %% [markdown]
# ## Index once
# `build` reads where the chunks of each file lie. Nothing is copied. Later days are added with `vadose catalog update`.

# %%
catalog = work / "catalog"
build.add(
    catalog,
    "smap-decade",
    {
        "source": str(files / "*.h5"),
        "format": "hdf5",
        "groups": ["Soil_Moisture_Retrieval_Data_AM"],
        "time": {"from": "name", "pattern": r"_(\d{8})_R\d+_(\d{3})\.h5$", "format": "%Y%m%d"},
        "dims": {2: ["y", "x"]},
        "grid": "M36",
        "chunks": {"time": 365},
    },
    title="Ten years of daily files",
    variables=("soil_moisture",),
)
start = time.perf_counter()
outcome = build.build(catalog, "smap-decade")
took = time.perf_counter() - start
print(f"{outcome.indexed} files in {took:.0f} s, {1000 * took / outcome.indexed:.0f} ms a file")

# %%
decade, seconds["open the decade"] = timed(lambda: vadose.open("smap-decade", catalog=str(catalog)))
print(f"{seconds['open the decade']:.2f} s: {dict(decade.sizes)}, {decade.soil_moisture.nbytes / 1e9:.1f} GB if it were read")

# %% [markdown]
# ## The record through the index
# `extract_points` fetches the one chunk a day that holds the place, and decodes only its cell.

# %%
points, seconds["extract_points"] = timed(
    lambda: vadose.extract_points("smap-decade", [LAT], [LON], variables=["soil_moisture"], catalog=str(catalog))
)
print(f"{points.sizes['time']} days in {seconds['extract_points']:.2f} s")

# %% [markdown]
# ## A copy for records
# References cannot change the shape of chunks: ten years are 3,653 of them. A copy chunked in time holds the same values in few
# objects. `vadose catalog series smap-decade --variable soil_moisture --bbox=-99,37,-95,41` makes one for a region.

# %%
start = time.perf_counter()
copy = build_series(catalog, "smap-decade", ["soil_moisture"], bbox=(-99, 37, -95, 41))
took = time.perf_counter() - start
copied = sum(p.stat().st_size for p in copy.rglob("*") if p.is_file())
print(f"made in {took:.0f} s: {copied / 1e6:.1f} MB")

# %%
def from_copy():
    """Open the copy and read the record at the place."""
    region = vadose.open("smap-decade", catalog=str(catalog), bbox=(-98, 38, -96, 40))
    y, x = int(np.abs(region.lat.values - LAT).argmin()), int(np.abs(region.lon.values - LON).argmin())
    return region.soil_moisture.isel(y=y, x=x).load()


record, seconds["copy for records"] = timed(from_copy)
print(f"opened and read in {seconds['copy for records']:.2f} s")

# %% [markdown]
# All ways give the same numbers, bit for bit.

# %%
np.testing.assert_array_equal(points.soil_moisture[:366, 0].values, by_hand.astype("f4"))
np.testing.assert_array_equal(points.soil_moisture[:, 0].values, record.values)
{way: f"{value:.2f} s" for way, value in seconds.items()}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=[2.2, 1], layout="constrained")
left.plot(record.time, record, ".", ms=2.5, color="#c9b458", label="one overpass")
monthly = record.resample(time="MS").mean()
true_month = on_grid.isel(
    y=int(np.flatnonzero(rows == row)[0]), x=int(np.flatnonzero(columns == column)[0])
).resample(time="MS").mean()
left.plot(monthly.time, monthly, color="#00204d", lw=1.6, label="monthly mean of what was seen")
left.plot(true_month.time, true_month, color="#d1495b", lw=1, ls="--", label="monthly mean of the truth")
left.set(ylabel="soil moisture [m$^3$ m$^{-3}$]", title=f"Ten years at {LAT} N, {-LON} W")
left.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
left.set_ylim(0, 1.25 * float(record.max()))
names = list(seconds)
right.barh(names[::-1], [seconds[n] for n in names[::-1]], color=["#00204d", "#7c7b78", "#7c7b78", "#c9b458"])
right.set(xscale="log", xlabel="seconds (logarithmic)", title="Time to the numbers")
for k, n in enumerate(names[::-1]):
    right.text(seconds[n] * 1.15, k, f"{seconds[n]:.2f}", va="center", fontsize=8)
right.set_xlim(right=40 * max(seconds.values()))
plt.show()
error = float((monthly.values - true_month.values).std())
print(f"monthly means differ from the truth by {error:.3f} m3 m-3 (one standard deviation, {monthly.size} months)")

# %% [markdown]
# ## Which way when
# | you want | take | because |
# | --- | --- | --- |
# | maps of few days | `vadose.open` | a map is four chunks, wherever they lie |
# | records at some places | `vadose.extract_points` | no copy to keep; one small read a day |
# | records at many places, again and again | a copy (`vadose catalog series`) | a few reads for ten years |
#
# On real SMAP files in a bucket each of the 3,653 reads waits for the network (some 30 ms, many at a time): run near the data, or
# keep a copy. `benchmarks/` measures all of this beside kerchunk, VirtualiZarr and icechunk.
#
# ## What next
# - `10-find/bring-your-own-archive`: the same for your own files; `docs/add-a-data-set.md` is the short form.
# - `20-harmonize`: bring what you opened to one quantity, depth, grid and time.
#
# **References**: SMAP L3 radiometer product, doi:10.5067/4XXOGX0OOW1S; EASE-Grid 2.0, doi:10.3390/ijgi1010032.
