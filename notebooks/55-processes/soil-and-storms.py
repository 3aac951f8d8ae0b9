# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Does wet soil call for rain?
#
# Soil moisture moves evaporation; whether evaporation moves rain depends on the air above. In ten minutes: read a morning profile,
# measure how strongly evaporation triggers rain in a sample where the truth is known, and find where on the synthetic Earth moisture
# controls evaporation and how long it is remembered.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import constants, world
from vadose.diagnostics import convection, coupling

# %% [markdown]
# ## What a morning profile says
# Two numbers: how unstable the layer 100-300 hPa above ground is (CTP), and how dry the lowest air (HI). Here for many made-up mornings.

# %%
rng = np.random.default_rng(0)
n = 400
level = np.arange(975.0, 600, -25)
lapse, dryness = rng.uniform(4.0, 9.5, n), rng.uniform(1, 12, n)
p = xr.DataArray(level, dims="level", coords={"level": level})
surface_t = xr.DataArray(rng.uniform(288, 300, n), dims="morning", attrs={"units": "K"})
air = surface_t * (p / 1000) ** (287.04 * xr.DataArray(lapse / 1000, dims="morning") / 9.81)
depression = xr.DataArray(dryness, dims="morning") * (1 + (1000 - p) / 300)
vapor = constants.saturation_vapor_pressure(air - depression)
humid = 0.622 * vapor / (p * 100 - 0.378 * vapor)
ground_v = constants.saturation_vapor_pressure(surface_t - dryness)
ground_q = (0.622 * ground_v / (1e5 - 0.378 * ground_v)).assign_attrs(units="1")
out = convection.ctp_hilow(
    air.assign_attrs(units="K"),
    humid.assign_attrs(units="1"),
    xr.full_like(surface_t, 1000.0).assign_attrs(units="hPa"),
    surface_t,
    ground_q,
)
fig, axis = plt.subplots(figsize=(10, 4.6), layout="constrained")
palette = ["#999999", "#56B4E9", "#E69F00", "#0072B2", "#D55E00", "#009E73"]
for k, name in enumerate(convection.CLASSES):
    part = out.convection_class == k
    axis.scatter(
        out.hi_low[part], out.ctp[part], s=14, color=palette[k], label=f"{name.replace('_', ' ')} ({int(part.sum())})"
    )
axis.set(
    xlabel="low-level humidity index (K)",
    ylabel="convective triggering potential (J kg⁻¹)",
    title="Mornings by what soil could do",
)
axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
plt.show()

# %% [markdown]
# ## How strongly does evaporation trigger rain?
# Rain that listens to the evaporative fraction, and rain that does not. The triggering strength `tfs` has the unit of a probability:
# moving EF by one standard deviation changes the chance of afternoon rain by that much. The theory for this sample says 0.143. The
# amplification `afs` [mm] says the same of the amount on days with rain, which does not listen here: its interval holds zero.

# %%
ef = rng.beta(4, 3, 20_000)
listens = np.where(rng.random(ef.size) < 1 / (1 + np.exp(3 - 4 * ef)), rng.gamma(1, 5, ef.size) + 1, 0)
deaf = rng.permutation(listens)
pd.DataFrame(
    {
        name: convection.feedback_strength(ef, r, draws=200)
        for name, r in (("rain listens", listens), ("rain is deaf", deaf))
    }
).T[["tfs", "tfs_low", "tfs_high", "afs", "afs_low", "afs_high", "days"]].round(3).astype({"days": int})

# %% [markdown]
# ## Where does moisture move evaporation?
# The terrestrial leg on the synthetic Earth: standard deviation of moisture times the slope of latent heat on it, May to September, after
# season and trend are gone. Beside it, how many days the surface and the root zone remember.

# %%
truth = world.demo().isel(lat=slice(0, None, 2), lon=slice(0, None, 2)).load()
latent = truth.evapotranspiration_flux * constants.vaporization_heat(truth.air_temperature)
theta = truth.soil_moisture
summer = truth.time.dt.month.isin(range(5, 10))
leg = coupling.coupling_index(
    coupling.seasonal_anomaly(theta.isel(depth=1, drop=True)).isel(time=summer),
    coupling.seasonal_anomaly(latent).isel(time=summer).assign_attrs(units="W m-2"),
)
lasting = [
    coupling.memory(
        theta.isel(depth=k, drop=True)
        - theta.isel(depth=k, drop=True).rolling(time=91, center=True, min_periods=1).mean()
    )
    for k in (0, 1)
]
fig, axes = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
leg.plot(ax=axes[0], cmap="RdBu_r", vmin=-25, vmax=25, cbar_kwargs={"label": "W m⁻²"})
for axis, days, title in ((axes[1], lasting[0], "memory, 0-5 cm"), (axes[2], lasting[1], "memory, 5-100 cm")):
    days.plot(ax=axis, cmap="viridis", vmin=0, vmax=25, cbar_kwargs={"label": "days"})
    axis.set(title=title)
axes[0].set(title="moisture moves evaporation by")
for axis in axes:
    axis.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
    axis.locator_params(axis="x", nbins=5)

# %%
pd.DataFrame(
    {
        name: {
            "terrestrial leg (W m⁻²)": float(leg.where(where).median()),
            "memory 0-5 cm (d)": float(lasting[0].where(where).median()),
            "memory 5-100 cm (d)": float(lasting[1].where(where).median()),
        }
        for name, where in (("south of 42 °N", leg.lat < 42), ("north of 49 °N", leg.lat > 49))
    }
).T.round(1)

# %% [markdown]
# Soil has its say where there is energy to evaporate and too little water: in the warm south of this world. Its rain is deaf to
# the soil, so nothing more can follow; with real data, put the class of the morning profile and yesterday's rain into the strata
# before you believe a feedback.
#
# ## What next
# - [What limits evaporation?](../70-drought/how-soil-dries.ipynb) · [The MJO and the soil](mjo-and-soil.ipynb)
#
# ## References
# Findell and Eltahir 2003, doi:10.1175/1525-7541(2003)004<0552:ACOSML>2.0.CO;2; Findell et al. 2011, doi:10.1038/ngeo1174; Dirmeyer 2011,
# doi:10.1029/2011GL048268. Limits of the classes are recalled from the paper; they are arguments of `ctp_hilow`.
