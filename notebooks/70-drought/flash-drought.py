# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Did a flash drought come, and who says so?
#
# Some droughts take a season, some three weeks. Definitions differ in what must fall and how fast, and so do the events they name. In ten
# minutes: five definitions on the same record, where they agree, a real station in Kansas through the drought of 2012, and the number that
# matters for your use: how sure you can be that an event is one.

# %%
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vadose import units, world
from vadose.diagnostics import drought, event_skill, event_table, pentad_percentile, to_pentads
from vadose.errors import ExperimentalWarning
from vadose.physics import exponential_filter
from vadose.products import uscrn

warnings.simplefilter("ignore", ExperimentalWarning)
REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))
COLORS = {
    "drop": "#0072B2",
    "decline": "#D55E00",
    "volatility": "#009E73",
    "evaporative_stress": "#CC79A7",
    "stress_drydown": "#E69F00",
}

# %% [markdown]
# ## Twenty years of a synthetic prairie
# Moisture of the upper root zone (the surface's memory of about a week) in 36 cells, percentiles by time of year, five detectors.

# %%
truth = world.make(bbox=(-100, 38, -94, 44), resolution=1.0, start="1996-01-01", end="2015-12-31", seed=7)
top = truth.soil_moisture.isel(depth=0, drop=True).assign_attrs(units="m3 m-3")
rz = exponential_filter(top, 8.0, minimum_quality=0.0).soil_water_index
percentile = pentad_percentile(to_pentads(rz)).percentile
et, pet = (
    to_pentads(units.convert(truth[n], "mm d-1")) for n in ("evapotranspiration_flux", "potential_evaporation_flux")
)
warm = truth.air_temperature
events = {
    "drop": drought.drop(percentile),
    "decline": drought.decline(percentile),
    "volatility": drought.volatility(rz, temperature=warm),
    "evaporative_stress": drought.evaporative_stress(et, pet),
    "stress_drydown": drought.stress_drydown(
        rz,
        critical_point=truth.wilting_point + 0.75 * (truth.field_capacity - truth.wilting_point),
        wilting_point=truth.wilting_point,
    ),
}
tables = {name: event_table(e) for name, e in events.items()}
pd.DataFrame(
    {
        name: {
            "events per cell and decade": len(t) / 36 / 2,
            "median duration (d)": t.duration.median(),
            "most in month": t.onset.dt.month.mode().iloc[0] if len(t) else np.nan,
        }
        for name, t in tables.items()
    }
).T.round(1)

# %%
cell = {"lat": 40.5, "lon": -97.5}
fig, (above, below) = plt.subplots(
    2, 1, figsize=(12, 5.4), layout="constrained", sharex=True, gridspec_kw={"height_ratios": [2, 1]}
)
span = slice("2005", "2009")
above.plot(percentile.time.sel(time=span), percentile.sel(**cell).sel(time=span), color="black", lw=1)
above.axhline(40, color="0.7", lw=1, ls="--")
above.axhline(20, color="0.7", lw=1, ls="--")
above.set(ylabel="percentile of root-zone moisture", title="One cell: moisture and what five definitions make of it")
for k, (name, t) in enumerate(tables.items()):
    here = t[(t.lat == cell["lat"]) & (t.lon == cell["lon"]) & (t.end > "2005") & (t.onset < "2010")]
    for _, row in here.iterrows():
        below.plot([row.onset, row.end], [k, k], lw=7, solid_capstyle="butt", color=COLORS[name])
below.set_yticks(range(5), list(tables))
below.set(ylim=(-0.6, 4.6))

# %% [markdown]
# `stress_drydown` (experimental) names nothing here: 30 days above its threshold are rare in this form.
#
# ## Do they name the same events?
# Share of one definition's events (row) that overlap in time with an event of another (column), cell by cell.

# %%
named = [name for name, t in tables.items() if len(t)]
share = pd.DataFrame(
    {b: {a: event_skill(tables[a], tables[b], by=("lat", "lon"))["pod"] for a in named} for b in named}
)
fig, axis = plt.subplots(figsize=(6.6, 5), layout="constrained")
image = axis.imshow(share, cmap="cividis", vmin=0, vmax=1)
axis.set_xticks(range(len(named)), named, rotation=30, ha="right")
axis.set_yticks(range(len(named)), named)
for i in range(len(named)):
    for j in range(len(named)):
        axis.text(
            j,
            i,
            f"{share.iloc[i, j]:.2f}",
            ha="center",
            va="center",
            color="black" if share.iloc[i, j] > 0.5 else "white",
        )
axis.set_title("Events of the row that the column also sees")
fig.colorbar(image, label="share (1)")

# %% [markdown]
# ## Noise makes events
# The same moisture with a sensor error: how many events are still found, and how many new ones appear?

# %%
rng = np.random.default_rng(0)
rows = {}
for sd in (0.005, 0.01, 0.02, 0.04):
    noisy = rz + rng.normal(0, sd, rz.shape)
    found = event_table(drought.decline(pentad_percentile(to_pentads(noisy)).percentile))
    skill = event_skill(tables["decline"], found, by=("lat", "lon"))
    rows[f"{sd} m³ m⁻³"] = {
        "found again (1)": skill["pod"],
        "false (1)": skill["far"],
        "onset error (d)": skill["onset_error"],
        "events": skill["events"],
    }
pd.DataFrame(rows).T.round(2).rename_axis("daily sensor error")

# %% [markdown]
# ## A real station: Manhattan, Kansas
# USCRN moisture at 10 cm from August 2009 to 2017, eight years: few for percentiles, so they carry a doubt. Winter is left out of the events by
# the detectors' rules only where temperature is given.

# %%
station = REAL / "uscrn/KS_Manhattan_6_SSW.csv"
if station.exists():
    data = uscrn.open(station).isel(station=0).sel(time=slice("2009-08-02", None))
    theta = data.soil_moisture.sel(depth=0.10).interpolate_na("time", max_gap=pd.Timedelta(days=5))
    p = pentad_percentile(to_pentads(theta), n_min=15).percentile
    real = {
        "drop": event_table(drought.drop(p)),
        "decline": event_table(drought.decline(p)),
        "volatility": event_table(drought.volatility(theta, temperature=data.soil_temperature.sel(depth=0.10))),
    }
    fig, (above, below) = plt.subplots(
        2, 1, figsize=(12, 5), layout="constrained", sharex=True, gridspec_kw={"height_ratios": [2, 1]}
    )
    above.plot(theta.time, theta, color="black", lw=0.8)
    above.set(ylabel="moisture at 10 cm (m³ m⁻³)", title="Manhattan, Kansas (USCRN)")
    for k, (name, t) in enumerate(real.items()):
        for _, row in t.iterrows():
            below.plot([row.onset, row.end], [k, k], lw=7, solid_capstyle="butt", color=COLORS[name])
    below.set_yticks(range(3), list(real))
    below.set(ylim=(-0.6, 2.6))
    display(real["decline"][["onset", "end", "duration", "minimum", "rate", "severity"]])  # noqa: F821
else:
    print("No USCRN file beside the checkout: this part was left out.")

# %% [markdown]
# ## What next
# - [What limits evaporation, and how does soil dry?](how-soil-dries.ipynb) · [Do droughts and heat come together?](compound-hazards.ipynb)
#
# ## References
# Ford and Labosier 2017, doi:10.1016/j.agrformet.2017.08.031; Yuan et al. 2019, doi:10.1038/s41467-019-12692-7; Osman et al. 2021,
# doi:10.5194/hess-25-565-2021; Christian et al. 2019, doi:10.1175/JHM-D-18-0198.1; Otkin et al. 2021, doi:10.3390/atmos12060741.
# `stress_drydown` is experimental: its published equations were not seen.
