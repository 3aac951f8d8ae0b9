# %% [markdown]
# # How well does all this know a real place that it never saw?
#
# On a synthetic Earth everything works. **You will learn** what the same few lines reach on real stations, basins and a tower - always
# at places or in years that taught nothing, always beside a random split and a baseline. **Time:** 10 minutes. **Data:** 79 stations of
# the US Climate Reference Network in 2020, attributes of 671 CAMELS basins and two of their streamflows, the tower at Bondville 1998; the
# samples lie beside the checkout or where VADOSE_SHARED_DATA says.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import xarray as xr

from vadose import assimilate, learn
from vadose.learn import evaluate, sequence, sites, splits, windows
from vadose.physics import bucket
from vadose.physics.pedotransfer import saxton_rawls
from vadose.products import fluxnet, uscrn

torch.set_num_threads(2)
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})
REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../shared/data"))
have = REAL.is_dir()
print("samples found" if have else "no samples here: the cells below do nothing")

# %% [markdown]
# ## 1. Stations: today's soil moisture at 5 cm from the weather so far
# The weather of the station itself (rain, radiation, temperature, humidity), remembered over 1 to 90 days. No soil map, no coordinates: what
# a model can know of a station that does not exist yet. Frozen days are left out.

# %%
WEATHER = {
    "rain": "p_daily_calc", "air_temperature": "t_daily_mean", "warmest": "t_daily_max", "coldest": "t_daily_min",
    "radiation": "solarad_daily", "surface_temperature": "sur_temp_daily_avg", "humidity": "rh_daily_avg",
}  # fmt: skip
if have:
    stations = uscrn.open(REAL / "uscrn/uscrn_daily_2020_A.parquet")
    raw = pd.read_parquet(REAL / "uscrn/uscrn_daily_2020_A.parquet")
    for name, column in WEATHER.items():
        wide = raw.assign(wban=raw.wban.str.zfill(5)).pivot_table(index="wban", columns="lst_date", values=column)
        wide = wide.reindex(index=stations.station.values, columns=stations.indexes["time"])
        filled = wide.fillna(0.0) if name == "rain" else wide.interpolate(axis=1, limit=30, limit_direction="both")
        stations[name] = (("station", "time"), filled.to_numpy(dtype="float32"))
    whole = stations[list(WEATHER)].to_dataarray().notnull().all(("variable", "time")).values
    enough = stations.soil_moisture.sel(depth=0.05).notnull().sum("time").values >= 100
    stations = stations.isel(station=np.flatnonzero(whole & enough))
    angle = 2 * np.pi * stations.time.dt.dayofyear / 366
    stations["season_sine"], stations["season_cosine"] = np.sin(angle), np.cos(angle)
    warm = stations.soil_temperature.sel(depth=0.05) > 273.65
    print(f"{stations.sizes['station']} stations with weather and at least 100 days of soil moisture")

# %%
if have:
    memory = xr.Dataset()
    for name in WEATHER:
        for days in (1, 3, 7, 30, 90):
            memory[f"{name}_{days}d"] = stations[name].rolling(time=days, min_periods=1).mean()
    table = memory.assign(
        soil_moisture=stations.soil_moisture.sel(depth=0.05, drop=True).where(warm.drop_vars("depth")),
        season_sine=stations.season_sine.broadcast_like(memory.rain_1d),
        season_cosine=stations.season_cosine.broadcast_like(memory.rain_1d),
    )
    table = table.stack(sample=("station", "time"), create_index=False).reset_coords(drop=True).assign_coords(
        {n: ("sample", stations[n].broadcast_like(stations.rain).values.ravel()) for n in ("lat", "lon", "station")}
    )  # fmt: skip
    table = table.isel(sample=np.flatnonzero(np.isfinite(table.soil_moisture.values))[::8])  # every eighth day
    names = tuple(str(n) for n in table.data_vars if n != "soil_moisture")
    xy = splits.plane(table.lat.values, table.lon.values)
    folds = {
        "random": splits.random_folds(table.sizes["sample"], k=8),
        "station": splits.group_folds(table.station.values, k=8),
        "blocks of 500 km": splits.block_folds(xy, size=500.0, k=8),
    }
    estimator = learn.Forest(trees=60)
    stated = evaluate.compare(table, predictors=names, estimator=estimator, folds=folds)
    print(f"{table.sizes['sample']} samples, {len(names)} predictors")
    print(stated[["rmsd", "r", "skill"]].to_dataframe().unstack("model").round(3))

# %% [markdown]
# The random split is the optimist: it has seen the same station on the days around. Read the row "station", and see that a straight line
# does there what trees do. Much of what is left is the level, which is a matter of soil that weather does not tell. The course of each
# station, its level left aside, comes out better:

# %%
if have:
    model = learn.fit(table, predictors=names, estimator=estimator, folds=folds["station"], calibrated_on="stations")
    oof, each = model.out_of_fold, []
    for name in np.unique(table.station.values):
        at = table.station.values == name
        each.append(evaluate.score(oof.soil_moisture.values[at], oof.predicted.values[at]))
    each = pd.DataFrame(each)
    print(
        f"at stations left out, median of {len(each)}: ubRMSD {each.ubrmsd.median():.3f} m³ m⁻³, |bias| {each.bias.abs().median():.3f}, r {each.r.median():.2f}"
    )
    low, high = (oof["quantile"].sel(level=q).values for q in (0.05, 0.95))
    print(
        f"90 % intervals calibrated on stations: mean width {np.mean(high - low):.3f} m³ m⁻³, they hold {np.mean((oof.soil_moisture >= low) & (oof.soil_moisture <= high)):.0%}"
    )

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    values = [float(stated.rmsd.sel(scheme=s, model="forest")) for s in folds]
    bars = axes[0].barh([*folds], values, color=["#D55E00", "#0072B2", "#0072B2"])
    axes[0].axvline(float(stated.rmsd.sel(scheme="station", model="climatology")), color="black", lw=1, ls="--")
    axes[0].bar_label(bars, [f"{v:.3f}" for v in values], padding=3)
    axes[0].invert_yaxis()
    axes[0].set(
        xlabel="RMSD [m³ m⁻³]", title="Three splits, one model (dashed: the mean)", xlim=(0, max(values) * 1.25)
    )
    axes[1].scatter(each.r, each.ubrmsd, c=each.bias, cmap="RdBu", vmin=-0.15, vmax=0.15, edgecolor="0.4", lw=0.4)
    axes[1].set(xlabel="correlation", ylabel="ubRMSD [m³ m⁻³]", title="Every station when left out")
    figure.colorbar(axes[1].collections[0], ax=axes[1], label="bias [m³ m⁻³]")
    plt.show()

# %% [markdown]
# ## 2. The same stations as series: a network, and what is simpler
# Three folds of whole stations; scores by phase of the ground and depth. The bucket sets its parameters from nothing here (no soil map), so
# it is one bucket for all.

# %%
if have:
    series = stations.drop_vars(["soil_moisture", "soil_temperature", "depth"])
    series["soil_moisture"] = stations.soil_moisture.sel(depth=[0.05, 0.5])
    ground = stations.soil_temperature.sel(depth=0.05)
    frozen = (ground < 273.15).where(ground.notnull()).astype("float32")
    t = stations.air_temperature
    series["demand"] = (0.0135 * (t + 17.8) * stations.radiation / 2.45).clip(min=0)  # Turc-Hargreaves, mm d-1
    inputs = ["rain", "demand", "air_temperature", "radiation", "humidity", "season_sine", "season_cosine"]
    valid = ~(frozen == 1)
    cube = windows.cube(series, inputs, valid=valid.drop_vars("depth"), frozen=frozen.drop_vars("depth"), upper=0.65)
    spec = sequence.Spec("lstm", {"hidden": 32, "dropout": 0.2}, window=366, warmup=0, epochs=20, batch=8, rate=0.01)
    train = {"network (LSTM)": sites.network(spec), **sites.baselines(rain="rain", demand="demand", steps=15)}
    predictions = {n: sites.leave_out(cube, cube.sites, make, k=3) for n, make in train.items()}
    by_phase = sites.table(cube, predictions)
    print(
        by_phase.rmsd.sel(phase=["all", "thawed", "transition"])
        .transpose("depth", "phase", "model")
        .to_series()
        .unstack("model")
        .round(3)
    )
    print(by_phase.skill.sel(phase="all").to_pandas().round(2))

# %% [markdown]
# ## 3. Basins: the share of rain that runs off, at basins and regions left out
# 671 CAMELS basins: climate, soil, relief and plants are the predictors.

# %%
if have:
    parts = [
        pd.read_csv(REAL / f"camels_us/camels_attributes_v2.0/camels_{n}.txt", sep=";", dtype={"gauge_id": str})
        for n in ("clim", "topo", "soil", "vege", "hydro", "name")
    ]
    basins = parts[0]
    for part in parts[1:]:
        basins = basins.merge(part, on="gauge_id")
    predictors = [
        *(c for c in parts[0].columns[1:] if c != "high_prec_timing" and c != "low_prec_timing"),
        "elev_mean", "slope_mean", *parts[2].columns[1:], *(c for c in parts[3].columns[1:] if c != "dom_land_cover"),
    ]  # fmt: skip
    basins = basins[basins.runoff_ratio.notna()]
    attributes = xr.Dataset({n: ("sample", basins[n].to_numpy(float)) for n in predictors})
    attributes["runoff_ratio"] = ("sample", basins.runoff_ratio.to_numpy(), {"units": "1"})
    attributes = attributes.assign_coords(
        lat=("sample", basins.gauge_lat.to_numpy()), lon=("sample", basins.gauge_lon.to_numpy())
    )
    xy = splits.plane(attributes.lat.values, attributes.lon.values)
    basin_folds = {
        "random": splits.random_folds(len(basins)),
        "blocks of 500 km": splits.block_folds(xy, size=500.0),
        "region (18 of USGS)": splits.group_folds(basins.huc_02.to_numpy()),
    }
    got = evaluate.compare(
        attributes, target="runoff_ratio", predictors=tuple(predictors), estimator=estimator, folds=basin_folds
    )
    rows_camels = {
        (s, m): got.sel(scheme=s, model=m)[["rmsd", "r", "skill"]].to_array().values
        for s in basin_folds
        for m in got.model.values
    }
    print(pd.DataFrame(rows_camels, index=["rmsd", "r", "skill"]).T.round(3))

# %% [markdown]
# ## 4. Two basins: daily streamflow, next year and next door
# Two basins are a sample of two; the numbers say how far apart the questions are, not how good networks are.
# The settings of the networks were chosen on the year that is scored here, which flatters both rows.


# %%
def basin(code):
    """Daily forcing and streamflow [mm d-1] of one basin, 2000-2002."""
    path = REAL / f"camels_us/basin_mean_forcing/daymet/{code}_lump_cida_forcing_leap.txt"
    area = float(path.read_text().splitlines()[2])  # m2
    weather = pd.read_csv(path, sep=r"\s+", skiprows=3)
    weather.index = pd.to_datetime(weather[["Year", "Mnth", "Day"]].set_axis(["year", "month", "day"], axis=1))
    flow = pd.read_csv(
        REAL / f"camels_us/usgs_streamflow/{code}_streamflow_qc.txt", sep=r"\s+", header=None, usecols=range(5)
    )
    flow.index = pd.to_datetime(flow[[1, 2, 3]].set_axis(["year", "month", "day"], axis=1))
    runoff = flow[4].where(flow[4] >= 0) * 0.0283168 * 86400 / area * 1000
    out = weather[["prcp(mm/day)", "srad(W/m2)", "tmax(C)", "tmin(C)", "vp(Pa)"]].assign(runoff=runoff)
    return out.loc["2000":"2002"].set_axis(["rain", "radiation", "warmest", "coldest", "vapor", "runoff"], axis=1)


if have:
    both = xr.concat([basin(c).to_xarray().rename(index="time") for c in ("01022500", "01547700")], "station")
    both = both.assign_coords(station=["Narraguagus", "Marsh Creek"])
    both["root"] = np.sqrt(both.runoff)  # so that floods do not rule the loss
    flow = windows.cube(both, ["rain", "radiation", "warmest", "coldest", "vapor"], target="root", upper=6.0)
    spec = sequence.Spec("lstm", {"hidden": 32, "dropout": 0.1}, window=240, warmup=90, epochs=60, batch=4, rate=0.02)
    last = slice(731, None)
    rows_flow = []
    early = sequence.fit(flow.between(slice(0, 731)), spec)
    for k, name in enumerate(both.station.values):
        other = sequence.fit(flow.at(np.array([1 - k])), spec)
        for question, model in (("next year (2002)", early), ("next door", other)):
            predicted = model.predict(flow).soil_moisture.values[k, last, 0] ** 2
            rows_flow.append(
                {"basin": name, "question": question, **evaluate.score(flow.y[k, last, 0] ** 2, predicted)}
            )
    print(pd.DataFrame(rows_flow).set_index(["basin", "question"])[["nse", "r", "bias"]].round(2))

# %% [markdown]
# ## 5. A tower: the root zone from the surface
# Bondville 1998. The two-layer bucket gets the tower's rain and a Priestley-Taylor demand; every third day it sees the probe at 5 cm. What
# it says of the root zone is held against the probes at 20 and 60 cm, which it never saw.

# %%
if have:
    tower = fluxnet.open_noah_point(REAL / "flux/bondville/forcing98_with_validation.dat", year=1998)
    tower = tower.resample(time="1D").mean().isel(time=slice(0, 365)).interpolate_na("time")
    t = tower.air_temperature - 273.15
    slope = 4098 * 0.6108 * np.exp(17.27 * t / (t + 237.3)) / (t + 237.3) ** 2
    energy = (tower.net_radiation - tower.ground_heat_flux).clip(min=0)
    demand = (1.26 * slope / (slope + 0.066) * energy * 0.0353).assign_attrs(units="mm d-1")  # Priestley-Taylor
    rain = tower.precipitation_flux
    silt_loam = saxton_rawls(xr.DataArray(0.10, attrs={"units": "1"}), xr.DataArray(0.25, attrs={"units": "1"}))
    soil = {
        "porosity": silt_loam.saturation_moisture, "field_capacity": silt_loam.field_capacity, "wilting_point": silt_loam.wilting_point,
        "conductivity": silt_loam.conductivity * 24, "exponent": silt_loam.exponent,
    }  # fmt: skip
    soil = {n: float(v) for n, v in soil.items()}
    probe = tower.soil_moisture.assign_attrs(units="m3 m-3")
    seen = probe.where(xr.DataArray(np.arange(365) % 3 == 0, dims="time"))
    root = 0.37 * tower.soil_moisture_20 + 0.63 * tower.soil_moisture_60  # 5-40 and 40-100 cm
    frozen = tower.soil_temperature < 273.15
    options = {"frozen": frozen, "initial": (0.36, 0.38), "parameter_sd": (0.03, 0.3, 0.3), **soil}
    doubt = assimilate.Perturbation(rain_cv=0.3)
    free = bucket.two_layer(rain, demand, initial=(0.36, 0.38), **soil)
    corrected = assimilate.run(rain, demand, seen, 0.03, perturbation=doubt, **options)
    late, rows_tower = slice(60, None), []
    latent = tower.latent_heat_flux * 0.0353  # mm d-1
    truths = {"surface, days not shown": probe.where(seen.isnull()), "root zone": root, "evaporation [mm/d]": latent}
    for run, result in (("bucket alone", free), ("with the surface probe", corrected)):
        says = [result.soil_moisture.isel(depth=k) for k in (0, 1)] + [result.evapotranspiration_flux * 86400]
        for (what, true), values in zip(truths.items(), says, strict=True):
            rows_tower.append({"what": what, "run": run, **evaluate.score(true.values[late], values.values[late])})
    print(pd.DataFrame(rows_tower).set_index(["what", "run"]).sort_index()[["rmsd", "bias", "ubrmsd", "r"]].round(3))
    figure, axes = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    for k, (axis, true) in enumerate(zip(axes, (probe, root), strict=True)):
        axis.plot(tower.time, true, color="black", lw=1.2, label="probes")
        for name, result, color in (
            ("bucket alone", free, "#D55E00"),
            ("with the surface probe", corrected, "#0072B2"),
        ):
            axis.plot(tower.time, result.soil_moisture.isel(depth=k), color=color, lw=1, label=name)
        axis.set(ylabel="[m³ m⁻³]", title=("0 to 5 cm", "5 cm to 1 m (never seen)")[k])
    axes[0].legend(frameon=False, ncol=3, fontsize=8, loc="lower left")
    plt.show()

# %% [markdown]
# At the surface the filter does what it promises, on days it was not shown. For the root zone it does not: the deep probes grow wetter
# through the driest weeks of the year, which rain and evaporation cannot make - a water table, tile drains or drifting probes can. No
# surface observation tells the bucket of water that comes from below; a filter cannot mend a model that lacks a process.
#
# ## All in one table
# As `docs/learning.md` states it.

# %%
if have:
    lines = [
        f"| USCRN 2020, 5 cm, trees on weather | {s} | {float(stated.rmsd.sel(scheme=s, model='forest')):.3f} m³ m⁻³ | {float(stated.rmsd.sel(scheme=s, model='climatology')):.3f} |"
        for s in folds
    ]
    for d in (0.05, 0.5):
        for name in by_phase.model.values:
            if name != "climatology":
                two = [float(by_phase.rmsd.sel(model=m, phase="all", depth=d)) for m in (name, "climatology")]
                lines.append(f"| USCRN 2020, {100 * d:.0f} cm, {name} | station | {two[0]:.3f} m³ m⁻³ | {two[1]:.3f} |")
    for s in basin_folds:
        for kind in ("linear", "forest"):
            two = [rows_camels[s, m][0] for m in (kind, "climatology")]
            lines.append(f"| CAMELS, runoff ratio of 671 basins, {kind} | {s} | {two[0]:.3f} | {two[1]:.3f} |")
    for row in rows_flow:
        lines.append(
            f"| CAMELS, streamflow of {row['basin']} 2002, LSTM | {row['question']} | NSE {row['nse']:.2f} | 0 |"
        )
    for row in rows_tower:
        if row["run"] != "bucket alone":
            alone = next(r for r in rows_tower if r["what"] == row["what"] and r["run"] == "bucket alone")
            lines.append(
                f"| Bondville 1998, {row['what']}, filter | days or layers not shown | {row['rmsd']:.3f} | {alone['rmsd']:.3f} |"
            )
    print("\n".join(lines))

# %% [markdown]
# ## What next
# * notebooks/65-assimilate/root-zone, where the truth is known
# * [How far can I trust this map?](map-trust.ipynb)
#
# **References.** Bell et al. 2013, doi:10.1175/JHM-D-12-0146.1 (USCRN); Addor et al. 2017, doi:10.5194/hess-21-5293-2017 (CAMELS); Roberts et
# al. 2017, doi:10.1111/ecog.02881 (blocked validation).
