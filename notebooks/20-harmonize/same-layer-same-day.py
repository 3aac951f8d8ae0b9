# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Same layer, same day, same cell?
#
# A station measures a point at 5 and 50 cm every hour in UTC. A satellite sees 5 cm of a cell of tens of kilometers at six in the morning of local time. A
# model has layers of its own, and levels of its own. Before they may be compared they must mean the same thing. In ten minutes: each step
# as one function, and what each step is worth, on data whose truth is known.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import harmonize, metrics, world
from vadose.harmonize import Grid, Mesh, rescale
from vadose.harmonize.depth import layers_to_layer, sensors_to_layer
from vadose.world import observe, stations

truth = world.demo()
network = stations.network(truth, n=20, rng=3, faults=False)
satellite = observe.lband(truth, seed=1).soil_moisture.astype(float).reset_coords(drop=True)
bounds = truth.depth_bnds.values
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

place = network.isel(station=1)
week = {"time": slice("2017-06-10", "2017-06-24")}
fig, axis = plt.subplots(figsize=(12, 3.8), layout="constrained")
for k, color in ((0, BLUE), (1, GREEN)):
    sensor = place.isel(sensor_depth=k).soil_moisture.sel(week)
    axis.plot(
        sensor.time, sensor, color=color, lw=0.8, label=f"station, {float(sensor.sensor_depth) * 100:.0f} cm, hourly"
    )
morning = harmonize.at_points(satellite, network.lat, network.lon).isel(station=1).sel(week)
axis.plot(morning.time, morning, "o", color=ORANGE, label="satellite, 0-5 cm")
axis.set(ylabel="soil moisture (m³ m⁻³)", title="What a comparison starts from")
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Layer
# Sensors become a profile, a profile becomes a layer. A target far below the last sensor (0-100 cm here, with the last sensor
# at 50 cm) is refused rather than guessed; `coverage` says how much of a target the layers hold. The standard error follows,
# with errors of neighboring depths taken as related.

# %%
moist = network.soil_moisture.rename(sensor_depth="depth").astype(float)
error = xr.full_like(moist, 0.02)
rows = {}
for top, bottom in ((0.0, 0.05), (0.0, 0.10), (0.0, 0.50), (0.0, 1.0)):
    layer = sensors_to_layer(
        moist.isel(time=slice(0, None, 24)),
        np.array([0.05, 0.50]),
        top,
        bottom,
        error=error.isel(time=slice(0, None, 24)),
    )
    model = layers_to_layer(truth.soil_moisture, bounds, top, bottom)
    at = harmonize.at_points(model.soil_moisture, network.lat, network.lon)
    rows[f"{top * 100:.0f}-{bottom * 100:.0f} cm"] = {
        "sensors: mean (m³ m⁻³)": float(layer.soil_moisture.mean()),
        "sensors: standard error (m³ m⁻³)": float(layer.soil_moisture_standard_error.mean()),
        "model layers: mean (m³ m⁻³)": float(at.mean()),
        "model layers: coverage (1)": float(model.coverage.mean()),
    }
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# ## Day
# A daily mean needs enough of the day; an overpass is one local hour. For a station at 95° W six in the morning is 12:20 UTC. The clearest case is soil temperature,
# which decides whether a reading is kept at all. (The synthetic sun rises by UTC everywhere, so here 06:00 local is a warm hour.)

# %%
warm = network.soil_temperature.isel(sensor_depth=0, drop=True)
mean = harmonize.daily_mean(warm).soil_temperature - 273.15
six = harmonize.at_overpass(warm, 6) - 273.15
six_utc = warm.where(warm.time.dt.hour == 6, drop=True) - 273.15
spring = slice("2017-03-15", "2017-05-15")
fig, axis = plt.subplots(figsize=(12, 3.8), layout="constrained")
for values, color, label in (
    (mean, "black", "mean of the UTC day"),
    (six, ORANGE, "06:00 local solar time"),
    (six_utc, BLUE, "06:00 UTC"),
):
    part = values.isel(station=1).sel(time=spring)
    axis.plot(part.time, part, color=color, lw=1.2, label=label)
axis.axhline(0, color=GREY, lw=0.8)
axis.set(ylabel="soil temperature (°C)", title="Three meanings of 'the temperature of the day'")
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Cell
# Conservative regridding keeps the water: the area integral is the same before and after, gaps are counted and not filled. Weights for curvilinear
# and unstructured grids are computed once, stored and reused.

# %%
fine = (
    truth.soil_moisture.isel(depth=0, time=slice(150, 160), drop=True).reset_coords(drop=True).rename("soil_moisture")
)
source = Grid.of(fine)
coarse = Grid.regular((-104, 34, -84, 56), 2.0)
out = harmonize.regrid(fine, coarse)
rng = np.random.default_rng(0)
lat, lon = np.meshgrid(np.arange(35.0, 55, 1.0), np.arange(-103.0, -85, 1.0), indexing="ij")
bent = xr.DataArray(
    np.zeros(lat.shape),
    dims=("j", "i"),
    coords={"lat": (("j", "i"), lat + 0.15 * (lon + 94)), "lon": (("j", "i"), lon - 0.1 * (lat - 45))},
)
mesh = Mesh.of(bent)
table = harmonize.weights(source, mesh)
on_mesh = harmonize.remap(fine, table)
before = (fine * xr.DataArray(source.area, dims=("lat", "lon"))).sum(["lat", "lon"])
after = (out.soil_moisture.fillna(0) * out.valid_fraction * coarse.area).sum(["lat", "lon"])
print(f"area integral after 2 degree regridding: changed by {float(np.abs(after / before - 1).max()):.1e} (relative)")

fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained", sharex=True, sharey=True)
panels = (
    (fine.isel(time=0), "model grid, 0.5°"),
    (out.soil_moisture.isel(time=0), "conservative, 2°"),
    (on_mesh.soil_moisture.isel(time=0), "conservative, curvilinear"),
)
for axis, (field, title) in zip(axes, panels, strict=True):
    shape = axis.pcolormesh(field.lon, field.lat, field, cmap="viridis", vmin=0.05, vmax=0.45, shading="nearest")
    axis.set(title=title, xlabel="longitude (°E)")
axes[0].set_ylabel("latitude (°N)")
fig.colorbar(shape, ax=axes, label="soil moisture (m³ m⁻³)", extend="both")
plt.show()

# %% [markdown]
# ## Level
# Absolute levels of products are not comparable; their ranks are. Parameters are fitted in one year and used in the other, so
# the gain is real. The last line compares departures from a 61-day mean: no level and no season is left, only wetting and drying.

# %%
daily = harmonize.daily_mean(
    network.soil_moisture.isel(sensor_depth=0, drop=True).astype(float)
).soil_moisture.transpose("station", "time")
thawed = harmonize.daily_mean(warm).soil_temperature.transpose("station", "time") > 275
cells = harmonize.at_points(satellite, network.lat, network.lon).transpose("station", "time")
station = daily.where(thawed).assign_attrs(units="m3 m-3")
cells = cells.drop_vars(["lat", "lon"]).assign_attrs(units="m3 m-3").rename("soil_moisture")
station = station.drop_vars(["lat", "lon", "elevation"], errors="ignore")
fit_on, use_on = slice("2017", "2017"), slice("2018", "2018")
steps = {"as they come": cells.sel(time=use_on)}
for method in ("mean_std", "linreg", "cdf"):
    parameters = rescale.fit(cells.sel(time=fit_on), station.sel(time=fit_on), method=method)
    steps[{"mean_std": "mean and spread", "linreg": "least squares", "cdf": "distribution (CDF)"}[method]] = (
        rescale.apply(cells.sel(time=use_on), parameters).soil_moisture
    )
scores = {}
for name, values in steps.items():
    score = metrics.compare(station.sel(time=use_on), values)
    scores[name] = {
        "|bias| (m³ m⁻³)": float(abs(score.bias).median()),
        "rmsd (m³ m⁻³)": float(score.rmsd.median()),
        "ubrmsd (m³ m⁻³)": float(score.ubrmsd.median()),
        "correlation (1)": float(score.pearson.median()),
        "stations": int(score.pearson.notnull().sum()),
    }
departure = {n: harmonize.anomaly(v, outer=61) for n, v in (("station", station), ("satellite", cells))}
score = metrics.compare(departure["station"].sel(time=use_on), departure["satellite"].sel(time=use_on))
scores["anomalies"] = {
    "|bias| (m³ m⁻³)": float(abs(score.bias).median()),
    "rmsd (m³ m⁻³)": float(score.rmsd.median()),
    "ubrmsd (m³ m⁻³)": float(score.ubrmsd.median()),
    "correlation (1)": float(score.pearson.median()),
    "stations": int(score.pearson.notnull().sum()),
}
worth = pd.DataFrame(scores).T
worth.round(3).astype({"stations": int}).rename_axis("median station, 2018")

# %%
fig, axis = plt.subplots(figsize=(8.5, 3.6), layout="constrained")
rows = np.arange(len(worth) - 1)
axis.barh(rows, worth["ubrmsd (m³ m⁻³)"].iloc[:-1], color=BLUE, label="without bias (ubrmsd)")
axis.barh(
    rows,
    (worth["rmsd (m³ m⁻³)"] - worth["ubrmsd (m³ m⁻³)"]).iloc[:-1],
    left=worth["ubrmsd (m³ m⁻³)"].iloc[:-1],
    color=ORANGE,
    label="added by bias (rmsd)",
)
axis.set_yticks(rows, worth.index[:-1])
axis.invert_yaxis()
axis.set(
    xlabel="difference to the station, median of stations (m³ m⁻³)",
    title="What bringing to one level is worth in a year it was not fitted on",
)
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# Most of the difference was level: a point is not a cell. What remains is noise of the satellite and what the point sees and the cell does not; no
# rescaling removes it, and none should.
#
# ## What next
# - [Are these readings good?](../30-validate/are-these-readings-good.ipynb) and
#   [which product is right?](../30-validate/which-product-is-right.ipynb)
# - `harmonize.Mesh.esmf`, `.scrip`, `.mpas`, `.ease2` for meshes of models and polar grids; `harmonize.to_standard_calendar` for 365-day years.
#
# ## References
# Reichle and Koster 2004, doi:10.1029/2004GL020938 (CDF matching). Jones 1999, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2
# (conservative regridding). Brodzik et al. 2012, doi:10.3390/ijgi1010032 (EASE-Grid 2.0).
