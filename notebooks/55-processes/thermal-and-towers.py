# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Which satellite values may I keep, and do they see what towers measure?
#
# Products come with flags, units and grids of their own. In ten minutes: what SMAP's flags leave you, what ECOSTRESS's evaporation is
# worth beside 63 flux towers, and how thermal images of any provider reach a common 100 m grid without losing energy.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose.products import ecostress, smap_policy, thermal

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))

# %% [markdown]
# ## SMAP: three policies
# `recommended` trusts the mission; `usable` takes what was retrieved and screens water, rain, snow and frost itself; `strict` also drops
# dense vegetation, and with it most crops in summer. A half-orbit over Alaska and Canada in August:

# %%
granules = sorted((REAL / "smap/L2").glob("*R18290*.h5")) if REAL.is_dir() else []
if granules:
    raw = xr.open_dataset(
        granules[0], group="Soil_Moisture_Retrieval_Data", engine="h5netcdf", phony_dims="sort", decode_cf=False
    )
else:  # the same two bit fields, made up
    rng = np.random.default_rng(0)
    raw = xr.Dataset({
        "retrieval_qual_flag": ("cell", rng.choice([0, 8, 1, 5, 7, 65534], 3000).astype("uint16")),
        "surface_flag": ("cell", rng.choice([0, 1024, 1152, 32, 16, 257], 3000).astype("uint16")),
        "soil_moisture": ("cell", rng.uniform(0.05, 0.5, 3000)),
        "latitude": ("cell", rng.uniform(35, 70, 3000)), "longitude": ("cell", rng.uniform(-160, -121, 3000)),
    })  # fmt: skip
kept = {p: smap_policy.keep(raw.retrieval_qual_flag, raw.surface_flag, policy=p) for p in smap_policy.POLICIES}
tried = (raw.soil_moisture > 0).values
fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", sharey=True)
for axis, (policy, mask) in zip(axes, kept.items(), strict=True):
    m = mask.values & tried
    axis.scatter(raw.longitude[tried], raw.latitude[tried], s=6, color="0.85")
    points = axis.scatter(
        raw.longitude[m], raw.latitude[m], s=6, c=raw.soil_moisture[m], cmap="viridis", vmin=0, vmax=0.5
    )
    axis.set(title=f"{policy}: {m.sum()} of {tried.sum()} cells", xlabel="longitude (°E)", xlim=(-165, -118))
axes[0].set(ylabel="latitude (°N)")
fig.colorbar(points, ax=axes, label="soil moisture (m³ m⁻³)")
surface = raw.surface_flag.values[tried]
conditions = {name: 100 * float(((surface >> k) & 1).mean()) for k, name in enumerate(smap_policy.SURFACE_BITS)}
pd.Series(conditions).round(1).rename("% of retrievals").to_frame().T

# %% [markdown]
# ## ECOSTRESS beside towers
# 1065 overpasses at 63 sites. Latent heat of the product (median of its models) and of each model against the tower, with the tower's
# energy balance closed. `stated` is the spread of the product's models: is it a fair error?

# %%
table = REAL / "flux/ecostress_calval/combined_eco_flux_EC_filtered.csv"
if table.exists():
    match = ecostress.open_matchups(table)
    names = {
        "product": "latent_heat_flux_ecostress",
        "STIC": "latent_heat_flux_stic",
        "BESS": "latent_heat_flux_bess",
        "PT-JPL-SM": "latent_heat_flux_ptjplsm",
        "MOD16": "latent_heat_flux_mod16",
    }
    rows = {}
    for name, variable in names.items():
        d = (match[variable] - match.latent_heat_flux).dropna("match")
        r = xr.corr(match[variable], match.latent_heat_flux)
        rows[name] = {
            "n": d.size,
            "bias (W m⁻²)": float(d.mean()),
            "± se": float(d.std() / np.sqrt(d.size)),
            "rmsd (W m⁻²)": float((d**2).mean() ** 0.5),
            "ubrmsd (W m⁻²)": float(d.std()),
            "r": float(r),
        }
    fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    axes[0].plot([0, 700], [0, 700], color="0.6", lw=1)
    points = axes[0].scatter(
        match.latent_heat_flux,
        match.latent_heat_flux_ecostress,
        c=match.soil_moisture,
        s=9,
        cmap="viridis_r",
        vmin=0,
        vmax=0.45,
    )
    axes[0].set(
        xlabel="tower, closed (W m⁻²)",
        ylabel="ECOSTRESS (W m⁻²)",
        xlim=(-50, 750),
        ylim=(-50, 750),
        title="Latent heat at overpass",
    )
    fig.colorbar(points, ax=axes[0], label="measured soil moisture (m³ m⁻³)")
    error = match.latent_heat_flux_ecostress - match.latent_heat_flux
    wetness = pd.cut(match.soil_moisture.to_series(), [0, 0.1, 0.2, 0.3, 0.5])
    by = error.to_series().groupby(wetness, observed=True).agg(["mean", "sem", "count"])
    axes[1].errorbar(range(len(by)), by["mean"], 2 * by["sem"], fmt="o", color="#0072B2")
    axes[1].axhline(0, color="0.7", lw=1)
    axes[1].set_xticks(
        range(len(by)), [f"{i.left:g}-{i.right:g}\nn = {n}" for i, n in zip(by.index, by["count"], strict=True)]
    )
    axes[1].set(
        xlabel="measured surface moisture (m³ m⁻³)",
        ylabel="ECOSTRESS − tower (W m⁻², ± 2 se)",
        title="Error by wetness",
    )
    honest = error / match.latent_heat_flux_ecostress_standard_error
    print(
        f"error over stated spread: sd {float(honest.where(np.abs(honest) < 50).std()):.2f} (1 if the spread were the error)"
    )
    plt.show()
    display(pd.DataFrame(rows).T.round(2).astype({"n": int}))  # noqa: F821
else:
    print("No matchup table beside the checkout: this part was left out.")

# %% [markdown]
# **What may I keep?** The product reads 31 W m⁻² too high on average, and nearly all of that comes from dry soil (+56 W m⁻² below 0.1 m³ m⁻³); above
# 0.1 no bias is left that 2 se would show. So compare wet places freely, and dry ones only after correction. Its spread between models is a fair
# error. No single model is better all round: PT-JPL-SM is the least biased of the good ones, and MOD16 ranks days best but is 137 W m⁻² too high.
#
# ## 70 m, 30 m, 20 m: one grid of 100 m
# A made-up thermal scene under clouds. Temperatures are averaged as T⁴; a cell needs half of its area; what the mean hides comes as `sd`.
# For files of providers whose specification we have not seen (Hydrosat), a `Descriptor` says what numbers mean; it is yours to fill.

# %%
rng = np.random.default_rng(2)
n, cell = 120, 70.0
y, x = (np.arange(n) + 0.5) * cell, (np.arange(n) + 0.5) * cell
fields = 300 + 8 * np.sign(np.sin(x / 500)[None, :] * np.sin(y / 700)[:, None]) + rng.normal(0, 1, (n, n))
cloud = np.hypot(x[None, :] - 4200, y[:, None] - 5000) < 1500
scene = xr.DataArray(
    np.where(cloud, np.nan, fields),
    dims=("y", "x"),
    coords={"y": y, "x": x},
    name="surface_temperature",
    attrs={"units": "K"},
)
coarse = thermal.to_grid100(scene)
fig, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
scene.plot(ax=axes[0], cmap="cividis", vmin=288, vmax=312, cbar_kwargs={"label": "K"})
coarse["mean"].plot(ax=axes[1], cmap="cividis", vmin=288, vmax=312, cbar_kwargs={"label": "K"})
coarse.sd.plot(ax=axes[2], cmap="viridis", cbar_kwargs={"label": "K"})
for axis, title in zip(axes, ("surface temperature, 70 m", "on 100 m", "spread within 100 m"), strict=True):
    axis.set(title=title, xlabel="easting (m)", ylabel="northing (m)", aspect="equal")

# %% [markdown]
# ## What next
# - [Why does wet soil look cold?](microwave-emission.ipynb)
#
# ## References
# SMAP: Entekhabi et al. 2010, doi:10.1109/JPROC.2010.2043918. ECOSTRESS: Fisher et al. 2020, doi:10.1029/2019WR026058; matchups: ECOSTRESS
# Collection 2 calibration/validation tables (JPL). EASE-Grid 2.0: Brodzik et al. 2012, doi:10.3390/ijgi1010032.
