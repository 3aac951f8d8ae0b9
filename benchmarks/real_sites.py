"""What learning and filtering are worth on real stations, basins and a tower. `python -m benchmarks.real_sites` writes real_sites.json.

Every score is of places or times that taught nothing, beside a random split and beside what is simpler. The samples lie beside
the checkout or where VADOSE_SHARED_DATA says; one thread, a few minutes. docs/learning.md shows `table` of the file.

Bell et al. 2013, doi:10.1175/JHM-D-12-0146.1 (USCRN); Addor et al. 2017, doi:10.5194/hess-21-5293-2017 (CAMELS); Roberts et al. 2017,
doi:10.1111/ecog.02881 (blocked validation). Bondville is the example that comes with the Noah model.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

RESULTS = Path(__file__).with_name("real_sites.json")
REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../shared/data"))
PACKAGES = ("numpy", "xarray", "scikit-learn", "torch")
#: Columns of the table, from knowing nothing to knowing most.
MODELS = ("mean", "linear", "trees", "bucket", "LSTM", "filter")
WEATHER = {
    "rain": "p_daily_calc", "air_temperature": "t_daily_mean", "warmest": "t_daily_max", "coldest": "t_daily_min",
    "radiation": "solarad_daily", "surface_temperature": "sur_temp_daily_avg", "humidity": "rh_daily_avg",
}  # fmt: skip
MM = 0.0353  # mm d-1 of a W m-2, at a latent heat of 2.45 MJ kg-1


def row(data: str, left_out: str, scores: dict[str, float], *, n: float, score: str = "rmsd", units: str = "m3 m-3"):
    """One line of the results: what each model reached on `n` values of `data` when `left_out` was."""
    kept = {m: float(f"{scores[m]:.4g}") for m in MODELS if m in scores}
    print(data, "|", left_out, "|", score, kept, flush=True)
    return {"data": data, "left_out": left_out, "score": score, "units": units, "n": int(n), "models": kept}


def stations() -> xr.Dataset:
    """USCRN in 2020: stations with whole weather and 100 days of soil moisture at 5 cm."""
    from vadose.products import uscrn

    path = REAL / "uscrn/uscrn_daily_2020_A.parquet"
    out, raw = uscrn.open(path), pd.read_parquet(path)
    raw = raw.assign(wban=raw.wban.str.zfill(5))
    for name, column in WEATHER.items():
        wide = raw.pivot_table(index="wban", columns="lst_date", values=column)
        wide = wide.reindex(index=out.station.values, columns=out.indexes["time"])
        filled = wide.fillna(0.0) if name == "rain" else wide.interpolate(axis=1, limit=30, limit_direction="both")
        out[name] = (("station", "time"), filled.to_numpy(dtype="float32"))
    whole = out[list(WEATHER)].to_dataarray().notnull().all(("variable", "time")).values
    enough = out.soil_moisture.sel(depth=0.05).notnull().sum("time").values >= 100
    out = out.isel(station=np.flatnonzero(whole & enough))
    angle = 2 * np.pi * out.time.dt.dayofyear / 366
    out["season_sine"], out["season_cosine"] = np.sin(angle), np.cos(angle)
    return out


def by_rows(at: xr.Dataset) -> list[dict[str, Any]]:
    """Today's soil moisture at 5 cm from the weather of 1 to 90 days: no soil map and no place, as for a station that is not there yet."""
    from vadose import learn
    from vadose.learn import evaluate, splits

    memory = xr.Dataset()
    for name, days in product(WEATHER, (1, 3, 7, 30, 90)):
        memory[f"{name}_{days}d"] = at[name].rolling(time=days, min_periods=1).mean()
    warm = (at.soil_temperature.sel(depth=0.05) > 273.65).drop_vars("depth")
    table = memory.assign(soil_moisture=at.soil_moisture.sel(depth=0.05, drop=True).where(warm))
    for name in ("season_sine", "season_cosine"):
        table[name] = at[name].broadcast_like(memory.rain_1d)
    table = table.stack(sample=("station", "time"), create_index=False).reset_coords(drop=True).assign_coords(
        {n: ("sample", at[n].broadcast_like(at.rain).values.ravel()) for n in ("lat", "lon", "station")}
    )  # fmt: skip
    table = table.isel(sample=np.flatnonzero(np.isfinite(table.soil_moisture.values))[::8])  # every eighth day
    names = tuple(str(n) for n in table.data_vars if n != "soil_moisture")
    xy = splits.plane(table.lat.values, table.lon.values)
    folds = {
        "random days": splits.random_folds(table.sizes["sample"], k=8),
        "stations (8 folds)": splits.group_folds(table.station.values, k=8),
        "blocks of 500 km": splits.block_folds(xy, size=500.0, k=8),
    }
    found = evaluate.compare(table, predictors=names, estimator=learn.Forest(trees=60), folds=folds)
    title = f"USCRN 2020, {at.sizes['station']} stations, 5 cm, unfrozen, every eighth day"
    return [row(title, scheme, _models(found, scheme), n=table.sizes["sample"]) for scheme in folds]


def _models(found: xr.Dataset, scheme: str) -> dict[str, float]:
    names = {"climatology": "mean", "linear": "linear", "forest": "trees"}
    return {names[m]: float(found.rmsd.sel(scheme=scheme, model=m)) for m in found.model.values}


def by_series(at: xr.Dataset) -> list[dict[str, Any]]:
    """The same stations as series: a network beside the mean course of the other stations, a line, trees, one bucket for all."""
    from vadose.learn import sequence, sites, windows

    series = at.drop_vars(["soil_moisture", "soil_temperature", "depth"])
    series["soil_moisture"] = at.soil_moisture.sel(depth=[0.05, 0.5])
    ground = at.soil_temperature.sel(depth=0.05, drop=True)
    frozen = (ground < 273.15).where(ground.notnull()).astype("float32")
    demand = 0.0135 * (at.air_temperature + 17.8) * at.radiation / 2.45  # Turc-Hargreaves, mm d-1
    series["demand"] = demand.clip(min=0)
    inputs = ["rain", "demand", "air_temperature", "radiation", "humidity", "season_sine", "season_cosine"]
    cube = windows.cube(series, inputs, valid=~(frozen == 1), frozen=frozen, upper=0.65)
    spec = sequence.Spec("lstm", {"hidden": 32, "dropout": 0.2}, window=366, warmup=0, epochs=20, batch=8, rate=0.01)
    train = {"LSTM": sites.network(spec), **sites.baselines(rain="rain", demand="demand", steps=15)}
    found = sites.table(cube, {n: sites.leave_out(cube, cube.sites, make, k=3) for n, make in train.items()})
    found = found.sel(phase="all")
    rows = []
    for depth in (0.05, 0.5):
        part = found.sel(depth=depth)
        scores = {"mean" if m == "climatology" else str(m): float(part.rmsd.sel(model=m)) for m in part.model.values}
        title = f"USCRN 2020, {at.sizes['station']} stations as series, {100 * depth:.0f} cm, unfrozen"
        rows.append(row(title, "stations (3 folds)", scores, n=float(part.n.max())))
    return rows


def basins() -> list[dict[str, Any]]:
    """The share of rain that runs off at 671 basins, from their climate, soil, relief and plants."""
    from vadose import learn
    from vadose.learn import evaluate, splits

    parts = {
        n: pd.read_csv(REAL / f"camels_us/camels_attributes_v2.0/camels_{n}.txt", sep=";", dtype={"gauge_id": str})
        for n in ("clim", "topo", "soil", "vege", "hydro", "name")
    }
    table = parts["clim"]
    for name in ("topo", "soil", "vege", "hydro", "name"):
        table = table.merge(parts[name], on="gauge_id")
    words = ("gauge_id", "high_prec_timing", "low_prec_timing", "dom_land_cover")
    columns = [*parts["clim"], "elev_mean", "slope_mean", *parts["soil"], *parts["vege"]]
    predictors = tuple(dict.fromkeys(c for c in columns if c not in words))
    table = table[table.runoff_ratio.notna()]
    place = {"lat": ("sample", table.gauge_lat.to_numpy()), "lon": ("sample", table.gauge_lon.to_numpy())}
    data = xr.Dataset({n: ("sample", table[n].to_numpy(float)) for n in predictors}, coords=place)
    data["runoff_ratio"] = ("sample", table.runoff_ratio.to_numpy(), {"units": "1"})
    xy = splits.plane(data.lat.values, data.lon.values)
    folds = {
        "random basins": splits.random_folds(len(table)),
        "blocks of 500 km": splits.block_folds(xy, size=500.0),
        "regions (18)": splits.group_folds(table.huc_02.to_numpy()),
    }
    options = {"predictors": predictors, "estimator": learn.Forest(trees=60), "folds": folds}
    found = evaluate.compare(data, target="runoff_ratio", **options)
    title = f"CAMELS, runoff ratio of {len(table)} basins"
    return [row(title, scheme, _models(found, scheme), n=len(table), units="1") for scheme in folds]


def _basin(code: str) -> pd.DataFrame:
    """Daily forcing and streamflow [mm d-1] of one basin, 2000 to 2002."""
    path = REAL / f"camels_us/basin_mean_forcing/daymet/{code}_lump_cida_forcing_leap.txt"
    area = float(path.read_text().splitlines()[2])  # m2
    weather = pd.read_csv(path, sep=r"\s+", skiprows=3)
    weather.index = pd.to_datetime(weather[["Year", "Mnth", "Day"]].set_axis(["year", "month", "day"], axis=1))
    path = REAL / f"camels_us/usgs_streamflow/{code}_streamflow_qc.txt"
    flow = pd.read_csv(path, sep=r"\s+", header=None, usecols=range(5))
    flow.index = pd.to_datetime(flow[[1, 2, 3]].set_axis(["year", "month", "day"], axis=1))
    runoff = flow[4].where(flow[4] >= 0) * 0.0283168 * 86400 / area * 1000  # cubic feet a second
    out = weather[["prcp(mm/day)", "srad(W/m2)", "tmax(C)", "tmin(C)", "vp(Pa)"]].assign(runoff=runoff)
    return out.loc["2000":"2002"].set_axis(["rain", "radiation", "warmest", "coldest", "vapor", "runoff"], axis=1)


def streamflow() -> list[dict[str, Any]]:
    """Daily streamflow of 2002 at two basins: a year that neither weights nor settings saw, and a basin that no weight saw.

    The network's width and rate are chosen by training on 2000 and scoring 2001.
    """
    from vadose.learn import evaluate, sequence, windows

    names = {"Narraguagus": "01022500", "Marsh Creek": "01547700"}
    both = xr.concat([_basin(c).to_xarray().rename(index="time") for c in names.values()], "station")
    both = both.assign_coords(station=list(names))
    both["root"] = np.sqrt(both.runoff)  # so that floods do not rule the loss
    cube = windows.cube(both, ["rain", "radiation", "warmest", "coldest", "vapor"], target="root", upper=6.0)
    years = {y: slice(*np.searchsorted(both.time.dt.year, [y, y + 1])) for y in (2000, 2001, 2002)}

    def nse(model, site, year):
        predicted = model.predict(cube).soil_moisture.values[site, years[year], 0] ** 2
        return evaluate.score(cube.y[site, years[year], 0] ** 2, predicted)["nse"]

    found = {}
    for hidden, rate in product((16, 32, 64), (0.01, 0.02)):
        options = {"window": 240, "warmup": 90, "epochs": 60, "batch": 4, "rate": rate}
        spec = sequence.Spec("lstm", {"hidden": hidden, "dropout": 0.1}, **options)
        found[hidden, rate] = (
            np.mean([nse(sequence.fit(cube.between(years[2000]), spec), k, 2001) for k in (0, 1)]),
            spec,
        )
    spec = max(found.values(), key=lambda pair: pair[0])[1]
    early = sequence.fit(cube.between(slice(0, years[2001].stop)), spec)
    rows = []
    for k, name in enumerate(names):
        next_door = sequence.fit(cube.at(np.array([1 - k])), spec)
        title, n = f"CAMELS, streamflow of {name} in 2002", np.isfinite(cube.y[k, years[2002], 0]).sum()
        for left_out, model in (("the year", early), ("the basin (trained on the other one)", next_door)):
            rows.append(row(title, left_out, {"LSTM": nse(model, k, 2002)}, n=n, score="nse", units="1"))
    return rows


def tower() -> list[dict[str, Any]]:
    """Bondville 1998: the bucket with the tower's rain sees the probe at 5 cm every third day; what does it know of the rest?"""
    from vadose import assimilate
    from vadose.learn import evaluate
    from vadose.physics import bucket
    from vadose.physics.pedotransfer import saxton_rawls
    from vadose.products import fluxnet

    data = fluxnet.open_noah_point(REAL / "flux/bondville/forcing98_with_validation.dat", year=1998)
    data = data.resample(time="1D").mean().isel(time=slice(0, 365)).interpolate_na("time")
    t = data.air_temperature - 273.15
    slope = 4098 * 0.6108 * np.exp(17.27 * t / (t + 237.3)) / (t + 237.3) ** 2
    energy = (data.net_radiation - data.ground_heat_flux).clip(min=0)
    demand = (1.26 * slope / (slope + 0.066) * energy * MM).assign_attrs(units="mm d-1")  # Priestley-Taylor
    limits = saxton_rawls(xr.DataArray(0.10, attrs={"units": "1"}), xr.DataArray(0.25, attrs={"units": "1"}))
    soil = {
        "porosity": limits.saturation_moisture, "field_capacity": limits.field_capacity, "wilting_point": limits.wilting_point,
        "conductivity": limits.conductivity * 24, "exponent": limits.exponent,
    }  # fmt: skip
    soil = {n: float(v) for n, v in soil.items()}
    probe = data.soil_moisture.assign_attrs(units="m3 m-3")
    seen = probe.where(xr.DataArray(np.arange(365) % 3 == 0, dims="time"))
    free = bucket.two_layer(data.precipitation_flux, demand, initial=(0.36, 0.38), **soil)
    corrected = assimilate.run(
        data.precipitation_flux, demand, seen, 0.03, perturbation=assimilate.Perturbation(rain_cv=0.3),
        frozen=data.soil_temperature < 273.15, initial=(0.36, 0.38), parameter_sd=(0.03, 0.3, 0.3), **soil,
    )  # fmt: skip
    deep = 0.37 * data.soil_moisture_20 + 0.63 * data.soil_moisture_60  # 5 to 40 and 40 to 100 cm
    questions = {
        "5 cm": ("days not shown", probe.where(seen.isnull()), lambda r: r.soil_moisture.isel(depth=0), "m3 m-3"),
        "5 cm to 1 m": ("the layer", deep, lambda r: r.soil_moisture.isel(depth=1), "m3 m-3"),
        "evaporation": ("the flux", data.latent_heat_flux * MM, lambda r: r.evapotranspiration_flux * 86400, "mm d-1"),
    }
    rows, late = [], slice(60, None)
    for what, (left_out, true, says, units) in questions.items():
        found = {
            m: evaluate.score(true.values[late], says(r).values[late])
            for m, r in (("bucket", free), ("filter", corrected))
        }
        scores = {m: f["rmsd"] for m, f in found.items()}
        rows.append(row(f"Bondville 1998, {what}", left_out, scores, n=found["filter"]["n"], units=units))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The results as the lines of a Markdown table, one column a model; a model that was not asked has a dash."""
    units = {"m3 m-3": "m³ m⁻³", "mm d-1": "mm d⁻¹", "1": ""}
    lines = [f"| data and target | left out | n | score | {' | '.join(MODELS)} |", "| " + "--- | " * (4 + len(MODELS))]
    for r in rows:
        digits = 3 if r["units"] != "mm d-1" and r["score"] != "nse" else 2
        cells = [f"{r['models'][m]:.{digits}f}" if m in r["models"] else "-" for m in MODELS]
        score = f"{r['score'].upper()} {units[r['units']]}".strip()
        lines.append("| " + " | ".join([r["data"], r["left_out"], str(r["n"]), score, *cells]) + " |")
    return "\n".join(line.rstrip() for line in lines)


def main() -> int:
    """Score everything, keep the file, print the table."""
    import torch

    if not REAL.is_dir():
        print(f"no samples in {REAL}; set VADOSE_SHARED_DATA to their folder", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    at = stations()
    rows = [*by_rows(at), *by_series(at), *basins(), *streamflow(), *tower()]
    versions = {p: importlib.metadata.version(p) for p in PACKAGES}
    partial = RESULTS.with_suffix(".part")
    partial.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n")
    partial.replace(RESULTS)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
