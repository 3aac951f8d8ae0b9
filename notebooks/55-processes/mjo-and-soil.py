# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Does the soil feel the Madden-Julian oscillation?
#
# Every one or two months a disturbance travels east along the equator and brings rain, then clear skies. In ten minutes: read its index,
# filter moisture to its band, compose by phase, and see how much later and weaker the soil answers than the rain. The index is real where
# the official file lies beside the checkout; the field is made, so that the truth is known, and in the end a reanalysis looks at Hawaii.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose.diagnostics import mjo
from vadose.products import rmm

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))

# %%
official = REAL / "mjo/rmm.74toRealtime_to_2021-04-30.txt"
if official.exists():
    index = rmm.open(official).sel(time=slice("1979", "2020"))
else:  # a wanderer with the oscillation's speed and strength
    rng = np.random.default_rng(0)
    days = pd.date_range("1979-01-01", "2020-12-31")
    angle = np.cumsum(rng.normal(2 * np.pi / 55, 0.12, days.size))
    size = 1.25 + 0.6 * np.sin(2 * np.pi * np.arange(days.size) / 180)
    index = xr.Dataset({"rmm1": ("time", size * np.cos(angle)), "rmm2": ("time", size * np.sin(angle))}, {"time": days})
strength = mjo.amplitude(index.rmm1, index.rmm2)
winter = index.sel(time=slice("2004-10-01", "2005-03-31"))
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", gridspec_kw={"width_ratios": [1, 1.6]})
left.plot(winter.rmm1, winter.rmm2, color="#0072B2", lw=1.2)
left.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.5"))
for k in range(8):
    a = np.deg2rad(-157.5 + 45 * k)
    left.text(3.1 * np.cos(a), 3.1 * np.sin(a), str(k + 1), ha="center", va="center")
left.set(
    xlabel="RMM1 (1)",
    ylabel="RMM2 (1)",
    xlim=(-3.6, 3.6),
    ylim=(-3.6, 3.6),
    aspect="equal",
    title="One winter: 2004/05, phases 1-8",
)
share = (strength >= 1).groupby("time.month").mean() * 100
right.bar(share.month, share, color="#56B4E9")
right.set(xlabel="month", ylabel="days with an active MJO (%)", title="When it is active", xticks=range(1, 13))
print(
    f"{int(strength.count())} days; {100 * float((strength >= 1).mean()):.0f} % active; {mjo.residence(index):.1f} days per phase"
)

# %% [markdown]
# ## Soil answers later and weaker
# Rain over three made-up islands follows the index, each with its own phase, plus much noise. Soil keeps 1/8 of its water less each day:
# theory says it lags a 45-day wave by 5.5 days and swings 0.67 as much.

# %%
rng = np.random.default_rng(1)
place = xr.DataArray([3.5, 4.5, 5.5], dims="island", coords={"island": ["Sumatra", "Borneo", "New Guinea"]})
angle = np.deg2rad(-180 + 45 * (place - 0.5))
rain = index.rmm1 * np.cos(angle) + index.rmm2 * np.sin(angle)
rain = (rain + rng.normal(0, 2.0, rain.shape)).transpose("time", "island").fillna(0.0)
keep = np.exp(-1 / 8)
soil = rain.copy(data=np.zeros(rain.shape))
for t in range(1, soil.sizes["time"]):
    soil[t] = keep * soil[t - 1].values + (1 - keep) * rain[t].values
bands = {name: mjo.lanczos_bandpass(mjo.without_season(field)) for name, field in (("rain", rain), ("soil", soil))}
composites = {name: mjo.phase_composite(field, index, season="NDJFM") for name, field in bands.items()}
fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained", sharey=True)
for axis, island in zip(axes, place.island.values, strict=True):
    for (name, c), color in zip(composites.items(), ("#0072B2", "#D55E00"), strict=True):
        one = c.sel(island=island)
        axis.plot(one.phase, one["mean"], "o-", color=color, mfc="white", label=name)
        axis.plot(one.phase.where(one.significant), one["mean"].where(one.significant), "o", color=color)
    axis.axhline(0, color="0.7", lw=1)
    axis.set(xlabel="MJO phase", title=f"{island} (filled: significant)")
axes[0].set(ylabel="filtered anomaly (made-up units)")
axes[0].legend()
plt.show()

# %%
lag = (composites["soil"].cycle_phase - composites["rain"].cycle_phase + 4) % 8 - 4
pd.DataFrame(
    {
        "lag of soil (phases)": lag.to_series(),
        "lag of soil (days)": (lag * mjo.residence(index)).to_series(),
        "amplitude soil / rain": (composites["soil"].cycle_amplitude / composites["rain"].cycle_amplitude).to_series(),
    }
).round(2)

# %% [markdown]
# Yes, wherever the rain does: the soil follows about six days later and swings 0.62 as much as the rain (theory for a pure wave: 5.5 days and 0.67).
#
# ## A real island far from the tracks: Hawaii
# ERA5-Land, 71 points, 2017-2018. The oscillation is weak at 20 °N; a composite of two years must
# say so, and does: points are hollow where the false discovery rate is controlled and nothing is left.

# %%
pieces = {}
land = REAL / "era5/era5_land_timeseries/0165.nc"
if land.exists() and official.exists():
    model = xr.open_dataset(land)
    theta = model.swvl1.where(model.swvl1 > 0)
    dim = next(d for d in theta.dims if d != "time")
    theta = theta.mean(dim).load()
    theta = theta.assign_coords(time=theta.time.dt.floor("D")).transpose("time")
    filtered = mjo.lanczos_bandpass(mjo.without_season(theta))
    pieces["ERA5-Land, 0-7 cm, 2017-2018"] = mjo.phase_composite(filtered.dropna("time"), index)
for name, c in pieces.items():
    fig, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    axis.plot(c.phase, c["mean"], "o-", color="#0072B2", mfc="white")
    axis.plot(c.phase.where(c.significant), c["mean"].where(c.significant), "o", color="#0072B2")
    axis.axhline(0, color="0.7", lw=1)
    axis.set(xlabel="MJO phase", ylabel="moisture anomaly (m³ m⁻³)", title=f"Hawaii: {name}")
    print(
        f"{name}: {int(c.days.sum())} active days in {int(c.events.sum())} passages; smallest p {float(c.p_value.min()):.2f}"
    )

# %% [markdown]
# ## What next
# - `mjo.crossings` asks whether the oscillation crosses the Maritime Continent more often over wet or dry land.
# - [Does wet soil call for rain?](soil-and-storms.ipynb)
#
# ## References
# Wheeler and Hendon 2004, doi:10.1175/1520-0493(2004)132<1917:AARMMI>2.0.CO;2 (index: Bureau of Meteorology, Australia); Duchon 1979,
# doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.
