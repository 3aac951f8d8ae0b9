# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # What limits evaporation here: water or energy?
#
# After rain, soil dries fast, then slower; while it is wet the sun sets the pace, later the soil does. In ten minutes: drydowns and their time
# scale, the moisture at which control changes hands, how deep the soil takes part, and a root zone estimated from evaporation; first where
# the truth is known, then at a tower in Oklahoma.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import world
from vadose.diagnostics import active_depth, coupled_root_zone, drydowns, fit_regimes
from vadose.physics.exponential import exponential_filter
from vadose.products import fluxnet

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))

# %% [markdown]
# ## Time scales of drying over the synthetic Earth
# Exponential fits to every rain-free fall of surface moisture, two years; the median time scale and the moisture it tends to.

# %%
truth = world.demo().isel(lat=slice(0, 30, 2), lon=slice(0, None, 2)).load()
top = truth.soil_moisture.isel(depth=0, drop=True)
fits = drydowns(top.assign_attrs(units="m3 m-3"), truth.precipitation_flux, error=0.005)
fig, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
fits["count"].plot(ax=axes[0], cmap="viridis", cbar_kwargs={"label": "count (1)"})
fits.time_scale.median("event").plot(ax=axes[1], cmap="cividis", vmin=0, vmax=20, cbar_kwargs={"label": "days"})
fits.lower_limit.median("event").plot(ax=axes[2], cmap="viridis", cbar_kwargs={"label": "m³ m⁻³"})
for axis, title in zip(
    axes, ("drydowns in two years", "time scale, median", "moisture they tend to, median"), strict=True
):
    axis.set(title=title, xlabel="longitude (°E)", ylabel="latitude (°N)")
    axis.locator_params(axis="x", nbins=5)

# %% [markdown]
# ## Where control changes hands
# One cell: evaporative fraction against root-zone moisture, summer. The broken line is fitted; the world's own critical point is known.

# %%
cell = world.demo().sel(lat=41.75, lon=-84.25, method="nearest").load()
rz, surface = (cell.soil_moisture.isel(depth=k, drop=True) for k in (1, 0))
rng = np.random.default_rng(0)
summer = cell.time.dt.month.isin(range(4, 11))
stress = cell.evapotranspiration_flux / cell.potential_evaporation_flux.where(cell.potential_evaporation_flux > 1e-5)
ef = (0.8 * stress.clip(0, 1) + rng.normal(0, 0.05, stress.size)).where(summer).assign_attrs(units="1")
limits = fit_regimes(rz.assign_attrs(units="m3 m-3"), ef)
known = float(cell.wilting_point + 0.75 * (cell.field_capacity - cell.wilting_point))
axis_theta = np.linspace(float(rz.min()), float(rz.max()), 200)
line = float(limits.plateau) * np.clip(
    (axis_theta - float(limits.lower_point)) / float(limits.critical_point - limits.lower_point), 0, 1
)
fig, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
axis.scatter(rz, ef, s=8, color="#56B4E9", label="days")
axis.plot(axis_theta, line, color="black", lw=2, label="fit")
axis.axvline(known, color="#D55E00", ls="--", label="critical point of the world")
axis.set(
    xlabel="root-zone moisture (m³ m⁻³)",
    ylabel="evaporative fraction (1)",
    title="Water-limited to the left, energy-limited to the right",
)
axis.legend()
pd.Series(
    {
        "critical point (m³ m⁻³)": round(float(limits.critical_point), 4),
        "± se": round(float(limits.critical_point_standard_error), 4),
        "true": round(known, 4),
        "broken line best": bool(limits.supported),
        "n": int(limits.n),
    }
).to_frame("fit")

# %% [markdown]
# Root zone and surface both feed evaporation in this world, so points scatter below the line when only the surface is dry.
#
# ## The root zone, seen through evaporation
# While water limits evaporation, its fraction tells the root zone's moisture; elsewhere the surface's memory has to do.

# %%
best = coupled_root_zone(surface, ef, limits, depth=950.0, potential_evaporation=3.5)
memory = exponential_filter(surface, 20.0).soil_water_index
fig, axis = plt.subplots(figsize=(12, 3.8), layout="constrained")
sd = best.soil_moisture_standard_error
axis.fill_between(best.time, best.soil_moisture - sd, best.soil_moisture + sd, color="#D55E00", alpha=0.25, lw=0)
axis.plot(best.time, best.soil_moisture, color="#D55E00", label="from evaporation and memory (± 1 sd)")
axis.plot(memory.time, memory, color="#0072B2", lw=1, label="memory of the surface alone")
axis.plot(rz.time, rz, color="black", label="truth, 5-100 cm")
axis.set(ylabel="soil moisture (m³ m⁻³)", title="Root zone of one cell")
axis.legend(ncol=3)
season = summer & (rz < known)
pd.DataFrame(
    {
        name: {
            "ubRMSD (m³ m⁻³)": float((v - rz).where(season).std()),
            "r": float(xr.corr(v.where(season), rz.where(season))),
        }
        for name, v in (("evaporation and memory", best.soil_moisture), ("memory alone", memory))
    }
).T.round(3)

# %% [markdown]
# In the dry half of the year evaporation halves the error of memory alone. In the wet half evaporation only says that there is enough: the
# level is a guess there, and the wider band says so (the truth still leaves it through the wettest months).

# %% [markdown]
# ## A real tower: US-AR1, Oklahoma
# Measured moisture, rain and heat fluxes of four years.

# %%
if REAL.is_dir():
    tower = fluxnet.open(REAL / "flux/fluxnet2015/FLX_US-AR1_FLUXNET2015_SUBSET_DD_2009-2012_1-3.xlsx")
    heat = tower.latent_heat_flux + tower.sensible_heat_flux
    fraction = (
        (tower.latent_heat_flux / heat)
        .where((heat > 20) & (tower.air_temperature > 283))
        .clip(0, 1)
        .assign_attrs(units="1")
    )
    found = fit_regimes(tower.soil_moisture, fraction)
    dry = drydowns(tower.soil_moisture, tower.precipitation_flux, error=0.004)
    water = (tower.latent_heat_flux / 2.45e6).assign_attrs(units="kg m-2 s-1")
    depth = active_depth(tower.soil_moisture, water, tower.precipitation_flux, float(found.critical_point), error=0.004)
    fig, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    axis.scatter(tower.soil_moisture, fraction, s=8, color="#56B4E9")
    span = np.linspace(0.11, 0.33, 200)
    axis.plot(
        span,
        float(found.plateau)
        * np.clip((span - float(found.lower_point)) / float(found.critical_point - found.lower_point), 0, 1),
        "k",
        lw=2,
    )
    axis.set(xlabel="soil moisture (m³ m⁻³)", ylabel="evaporative fraction (1)", title="US-AR1, days above 10 °C")
    display(  # noqa: F821
        pd.Series(
            {
                "critical point (m³ m⁻³)": round(float(found.critical_point), 3),
                "± se": round(float(found.critical_point_standard_error), 3),
                "broken line best": bool(found.supported),
                "drydowns": int(dry["count"]),
                "time scale, median (d)": round(float(dry.time_scale.median()), 1),
                "active depth JJA, median (mm)": round(float(depth.active_depth.sel(season="JJA"))),
                "spells in JJA": int(depth.n.sel(season="JJA")),
            }
        ).to_frame("US-AR1")
    )
else:
    print("No tower file beside the checkout: this part was left out.")

# %% [markdown]
# **Water or energy?** On the synthetic cell the law changes at 0.154 m³ m⁻³, and the fit finds it. At US-AR1 water: evaporation rises with
# moisture over nearly all that was measured, a straight line is as good as a broken one, and the critical point, if there is one, lies at
# the wet end. The wide scatter at any one moisture is leaves, season and roots below the sensor: one sensor is not the root zone. Soil that
# is drying here forgets two thirds of its surplus in about eleven days, and in summer about 36 cm of it take part.
#
# ## What next
# - [Did a flash drought come?](flash-drought.ipynb) · [Can the air tell how dry the root zone is?](../55-processes/air-to-root-zone.ipynb)
#
# ## References
# McColl et al. 2017, doi:10.1038/ngeo2868; Seneviratne et al. 2010, doi:10.1016/j.earscirev.2010.02.004; Akbar et al. 2018, doi:10.1029/2018WR023629.
