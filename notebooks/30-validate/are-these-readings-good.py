# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Are these readings good?
#
# A sensor in the ground freezes, dries out, jumps, sticks, or is simply noisy. In ten minutes: the checks of the International Soil
# Moisture Network on a synthetic network whose faults we planted, how much each check finds and what it flags for nothing, two judges that
# need no rules, and a month of real sensors from California beside the provider's own verdict.
#
# Flags never remove a value. They say what is wrong; you decide.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.dates import ConciseDateFormatter

from vadose import cf, qc, world
from vadose.world import stations

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999"

# %% [markdown]
# ## Clean readings, then faults
# Twelve sensors at 5 cm and two years of hours from the synthetic Earth. `qc.inject` plants spikes, breaks, plateaus and drifts and remembers
# where; the noise of the sensor is averaged over a day first, as good sensors do. Then one call judges every hour.

# %%
network = stations.network(world.demo(), n=12, rng=3, faults=False).isel(sensor_depth=0)
steady = network.soil_moisture.rolling(time=24, center=True, min_periods=1).mean()
network["soil_moisture"] = cf.describe(steady.round(4).transpose("station", "time"), "soil_moisture")
planted = qc.inject(network, rng=5)
judged = qc.flag(planted)
summary = qc.report(judged)

place = 1
one = judged.isel(station=place).sel(time=slice("2017-06-01", "2017-10-15"))
fig, axis = plt.subplots(figsize=(12, 4.2), layout="constrained")
axis.plot(one.time, one.soil_moisture, color=GREY, lw=0.8, label="reading")
axis.plot(one.time, one.clean_soil_moisture, color="black", lw=0.8, label="before faults were planted")
for codes, color, label, marker in (
    (("D06",), ORANGE, "D06 spike", "^"),
    (("D07", "D08"), BLUE, "D07, D08 drop or jump", "o"),
    (("D04",), GREEN, "D04 rise without rain", "."),
    (("D09", "D10"), PINK, "D09, D10 plateau", "s"),
):
    hit = cf.has_flag(one.soil_moisture_flag, *codes)
    axis.plot(
        one.time[hit],
        one.soil_moisture[hit],
        marker,
        color=color,
        ms=6,
        ls="none",
        label=f"{label} ({int(hit.sum())} h)",
    )
axis.set(ylabel="soil moisture (m³ m⁻³)", title=f"A summer of {one.station.values!s}: what the rules say")
axis.set_ylim(top=0.46)
axis.legend(ncol=3, fontsize=8)
plt.show()

# %% [markdown]
# Rises without rain (D04) are many here: the synthetic sensor's hours lie between daily values, so its water comes before its storm. At a real
# site that pattern would point to a clock or a rain gauge in the wrong place.
#
# ## The report, station by station
# Percent of readings with each flag. `usable_share` is the share that can be read as liquid water: where the ground is frozen (B01) a sensor
# sees only the part that is not ice.

# %%
table = qc.table(summary)
table["usable_share"] = 100 * table["usable_share"]
table.rename(columns={"usable_share": "usable (%)"}).round(2)

# %%
shares = 100 * summary.share.sel(flag=["D01", "D04", "D06", "D07", "D08", "D09", "D10", "B01", "B07"])
fig, axis = plt.subplots(figsize=(9.5, 4.2), layout="constrained")
logarithm = np.log10(shares.transpose("station", "flag").clip(min=0.003))  # never: the darkest
image = axis.imshow(logarithm, cmap="cividis", aspect="auto")
axis.set_xticks(
    range(shares.sizes["flag"]),
    [
        f"{f}\n{int(c)} h"
        for f, c in zip(shares.flag.values, summary["count"].sel(flag=shares.flag).sum("station"), strict=True)
    ],
)
axis.set_yticks(range(shares.sizes["station"]), shares.station.values)
axis.set_title("How often each flag is set (below: hours of all stations together)")
bar = fig.colorbar(image, label="share of hours (%)", ticks=[-2, -1, 0, 1])
bar.set_ticklabels(["0.01", "0.1", "1", "10"])
plt.show()

# %% [markdown]
# ## What was planted, what was found
# The rules know spikes and breaks. A slow drift is no single reading's fault, and no rule sees it; a sensor that sticks while the soil is calm
# looks like calm soil. `qc.learn` asks two judges who were never told what a fault is: a forest that isolates odd hours, and a network that
# redraws every week. A reading gets M01 when both are surprised.

# %%
model = qc.learn(judged, rng=1, epochs=10, weeks=1200)
learned = qc.flag_unusual(judged, model)
RULES = ("C01", "C02", "C03", "D06", "D07", "D08", "D09", "D10")
by_rule, by_both = (
    cf.has_flag(learned.soil_moisture_flag, *RULES),
    cf.has_flag(learned.soil_moisture_flag, *RULES, "M01"),
)
thawed = ~cf.has_flag(learned.soil_moisture_flag, "B01")
rows = {}
for kind in ("spike", "break", "plateau", "drift"):
    at = cf.has_flag(learned.fault, kind)
    rows[kind] = {
        "hours": int(at.sum()),
        "found by rules (%)": 100 * float(by_rule.where(at).mean()),
        "with M01 (%)": 100 * float(by_both.where(at).mean()),
    }
fine = (learned.fault == 0) & thawed
rows["no fault, thawed"] = {
    "hours": int(fine.sum()),
    "found by rules (%)": 100 * float(by_rule.where(fine).mean()),
    "with M01 (%)": 100 * float(by_both.where(fine).mean()),
}
pd.DataFrame(rows).T.round(2).astype({"hours": int}).rename_axis("planted")

# %% [markdown]
# Found and false alarms must be read together: the last line is what a check costs. Nearly all of it is D09: where a planted break falls back to dry
# and calm soil, the hours after it are constant, and the rule calls them a plateau. Spikes and breaks have a size here, 0.05 m³ m⁻³ and more;
# smaller ones hide in the noise.
#
# ## A month of real sensors
# NEON's San Joaquin site, June 2022: half-hourly readings at depths to 1.7 m. No rain is expected in a Californian June, so every jump is the sensor's. The
# provider's own final quality flag is in the file; we judge hourly means without looking at it.

# %%
file = REAL / "neon/NEON_SJER_VSWC_30min_2022-06.csv.gz"
if file.exists():
    raw = pd.read_csv(file, dtype={"horizontalPosition": str, "verticalPosition": str}, parse_dates=["startDateTime"])
    raw["sensor"] = (
        "plot " + raw.horizontalPosition + ", " + (-100 * raw.zOffset).round().astype(int).astype(str) + " cm"
    )
    hourly = (
        raw.pivot(index="startDateTime", columns="sensor", values="VSWCMean").tz_localize(None).resample("1h").mean()
    )
    failed = (
        raw.pivot(index="startDateTime", columns="sensor", values="VSWCFinalQF").tz_localize(None).resample("1h").mean()
    )
    depth = raw.groupby("sensor").zOffset.first().abs()
    real = xr.Dataset(
        {"soil_moisture": (("station", "time"), hourly.T.to_numpy(), {"units": "m3 m-3"})},
        coords={
            "time": hourly.index.to_numpy(),
            "station": hourly.columns.to_numpy(),
            "top": ("station", depth[hourly.columns].to_numpy()),
        },
    )
    real = qc.flag(real)
    real = qc.flag_unusual(real, qc.learn(real, rng=1, epochs=10))
    verdict = qc.table(qc.report(real)).drop(columns=["usable_share", "no_temp"], errors="ignore")
    verdict["provider doubts (%)"] = 100 * failed.mean()
    display(verdict.round(1).rename_axis("% of readings"))  # noqa: F821

# %%
if file.exists():
    fig, axes = plt.subplots(2, 1, figsize=(12, 5.6), sharex=True, layout="constrained")
    for axis, name in zip(axes, ("plot 002, 66 cm", "plot 001, 6 cm"), strict=True):
        sensor = real.sel(station=name)
        doubted = sensor.soil_moisture.notnull() & (~qc.good(sensor) | cf.has_flag(sensor.soil_moisture_flag, "M01"))
        provider = (failed[name] > 0).to_numpy() & sensor.soil_moisture.notnull().values
        axis.plot(sensor.time, sensor.soil_moisture, color="black", lw=0.8, label="hourly mean")
        axis.plot(
            sensor.time[provider],
            sensor.soil_moisture[provider],
            "|",
            color=GREY,
            ms=9,
            label=f"provider doubts ({provider.sum()} h)",
        )
        axis.plot(
            sensor.time[doubted],
            sensor.soil_moisture[doubted],
            "o",
            color=ORANGE,
            ms=4,
            mfc="none",
            label=f"we doubt ({int(doubted.sum())} h)",
        )
        axis.set(ylabel="soil moisture (m³ m⁻³)", title=f"NEON SJER, {name}")
        axis.legend(fontsize=8, loc="upper right")
        axis.xaxis.set_major_formatter(ConciseDateFormatter(axis.xaxis.get_major_locator()))
    plt.show()

# %% [markdown]
# The wandering sensor at 66 cm breaks no rule: every hour follows from the last, only the whole is absurd. The learned judges, who saw all
# seventeen sensors, single it out. And the verdicts answer different questions: the provider doubts hours in which the sensor's
# uncertainty or calibration fails a test; ours look only at the shape of the series. What both doubt is surely bad, what neither
# doubts is probably good.
#
# ## What next
# - `qc.keep(dataset, "smap", "recommended")`: presets for satellites and models; `qc.PRESETS` lists them with their sources.
# - `qc.flag(..., windows="samples")` bridges gaps as the network's own code does; `highest="two_years"` for its operational plateau rule.
# - Next: [which product is right?](which-product-is-right.ipynb)
#
# ## References
# Dorigo et al. 2013, doi:10.2136/vzj2012.0097 (network flags). Liu et al. 2008, doi:10.1109/ICDM.2008.17 (isolation forest). NEON soil water
# content and water salinity, CC0 1.0.
