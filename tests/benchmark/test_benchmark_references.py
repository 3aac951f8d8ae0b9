"""References and models of every kind through a recipe, each against numbers worked out beside it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import products
from vadose.benchmark import read, run
from vadose.benchmark.records import record
from vadose.errors import DimensionError, UnitsError, UnreadableFileError

HEAT = 2.501e6  # J kg-1 at 0 degC; falls by 2361 J kg-1 a kelvin


def table(folder, text):
    """Scores of a recipe as the run leaves them; nothing may have failed."""
    (folder / "recipe.yaml").write_text(text)
    out = run(folder / "recipe.yaml", folder / "out")
    assert json.loads((out / "failures.json").read_text()) == []
    return pd.read_parquet(out / "tables" / "scores.parquet")


def quantity(scores, page, statistic, *, region="all", model="flat"):
    part = scores[(scores.page == page) & (scores.kind == "quantity") & (scores.statistic == statistic)]
    return float(part[(part.region == region) & (part.model == model)].value.iloc[0])


def flat(path, name, value, units, *, times, lat, lon):
    """A model file that holds one value everywhere."""
    values = np.full((times.size, len(lat), len(lon)), value)
    xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units})}, coords={"time": times, "lat": lat, "lon": lon}
    ).to_netcdf(path)


def months_of(series, first, last):
    """Mean of monthly means weighted by the months' lengths."""
    monthly = series[first:last].resample("MS").mean().dropna()
    return np.average(monthly, weights=monthly.index.days_in_month)


def test_a_real_flux_tower_is_a_reference_for_soil_evaporation_carbon_and_their_ratio(shared_data, tmp_path):
    """US-AR1 (FLUXNET2015): percent and W m-2 and gC m-2 d-1 of the workbook against the recipe's numbers."""
    workbook = next((shared_data / "flux" / "fluxnet2015").glob("*.xlsx"))
    columns = pd.read_excel(workbook)
    path = tmp_path / "FLX_US-AR1.csv"
    columns.to_csv(path, index=False)
    times = pd.date_range("2009-01-01", "2012-12-01", freq="MS")
    grid = {"times": times, "lat": np.arange(34.5, 39.0), "lon": np.arange(-101.5, -97.0)}
    for name, value, units in (
        ("mrsos", 20.0, "kg m-2"),
        ("evspsbl", 2e-5, "kg m-2 s-1"),
        ("gpp", 3e-8, "kg m-2 s-1"),
        ("hfls", 40.0, "W m-2"),
        ("hfss", 60.0, "W m-2"),
    ):
        flat(tmp_path / f"{name}.nc", name, value, units, **grid)
    tower = f"{{tower: {{files: '{path}', product: fluxnet, places: {{US-AR1: [-99.42, 36.4267]}}}}}}"
    pages = {
        "Soil": "soil_moisture",
        "Evaporation": "evapotranspiration_flux",
        "Carbon": "gross_primary_productivity",
        "Fraction": "evaporative_fraction",
    }
    listed = "\n".join(
        f"  {n}: {{variable: {v}, {'layer: [0.0, 0.1], ' if n == 'Soil' else ''}references: {tower}}}"
        for n, v in pages.items()
    )
    scores = table(
        tmp_path, f"title: a tower\ndraws: 0\nmodels:\n  flat: {{files: '*.nc', product: cmip6}}\npages:\n{listed}\n".replace("'*.nc'", f"'{tmp_path}/*.nc'")
    )  # fmt: skip
    columns.index = pd.to_datetime(columns.TIMESTAMP.astype(str).str[:8])
    good = {}
    for name in ("SWC_F_MDS_1", "LE_F_MDS", "H_F_MDS", "GPP_NT_VUT_REF"):
        known = columns[name] > -9999
        if f"{name}_QC" in columns:  # at least half of the half hours measured or well filled
            known &= columns[f"{name}_QC"] >= 0.5
        good[name] = columns[name].where(known)
    total = good["LE_F_MDS"] + good["H_F_MDS"]
    expected = {
        "Soil": good["SWC_F_MDS_1"] / 100.0,
        "Evaporation": good["LE_F_MDS"] / (HEAT - 2361.0 * columns.TA_F),
        "Carbon": good["GPP_NT_VUT_REF"] * 1e-3 / 86400.0,
        "Fraction": good["LE_F_MDS"] / total.where(total > 10.0),
    }
    for page, series in expected.items():
        found = quantity(scores, page, "reference_mean")
        assert found == pytest.approx(months_of(series, "2009-01-01", "2012-12-31"), rel=1e-4), page
    assert quantity(scores, "Soil", "model_mean") == pytest.approx(0.2)
    assert quantity(scores, "Fraction", "model_mean") == pytest.approx(0.4)


def test_a_half_hourly_tower_without_coordinates_takes_them_from_the_recipe(shared_data, tmp_path):
    """US-CRT (AmeriFlux BASE): two days of January 2011 are that month's mean."""
    path = shared_data / "flux" / "ameriflux" / "AMF_US-CRT_BASE_HH_2-5.csv"
    raw = pd.read_csv(path, comment="#")
    column = next(c for c in raw if c.startswith("SWC"))
    water = raw[column].where(raw[column] > -9999) / 100.0
    grid = {"times": pd.date_range("2011-01-01", periods=12, freq="MS"), "lat": [40.5, 41.5, 42.5]}
    flat(tmp_path / "mrsos.nc", "mrsos", 30.0, "kg m-2", **grid, lon=[-84.5, -83.5, -82.5])
    text = f"""\
title: a tower
draws: 0
models:
  flat: {{files: {tmp_path}/mrsos.nc, product: cmip6}}
pages:
  Soil:
    variable: soil_moisture
    references:
      tower: {{files: {path}, product: ameriflux, places: {{US-CRT: [-83.3471, 41.6285]}}}}
"""
    scores = table(tmp_path, text)
    assert quantity(scores, "Soil", "reference_mean") == pytest.approx(water.mean(), rel=1e-6)
    assert quantity(scores, "Soil", "bias") == pytest.approx(0.3 - water.mean(), rel=1e-5)
    (tmp_path / "recipe.yaml").write_text(text.replace("US-CRT:", "US-XYZ:"))
    with pytest.raises(Exception, match="no place is given for station US-CRT; 'places' has US-XYZ"):
        run(tmp_path / "recipe.yaml", tmp_path / "out")


@pytest.fixture(scope="module")
def study(shared_data, tmp_path_factory):
    """A study of three products over Hawaii, run as a person runs it."""
    from vadose import study as studies

    folder = tmp_path_factory.mktemp("study")
    sources = {
        "c3s": ("c3s_cci/c3s_combined_v202505/0165.nc", "esa_cci", "remote-sensing"),
        "era5land": ("era5/era5_land_timeseries/0165.nc", "era5_land", "reanalysis"),
        "gldas": ("gldas/timeseries/0165.nc", "gldas", "model"),
    }
    lines = "\n".join(
        f"  {n}: {{files: {shared_data / f}, product: {p}, family: {k}}}" for n, (f, p, k) in sources.items()
    )
    (folder / "study.yaml").write_text(
        f"""\
title: three products
period: [2017-01-01, 2018-06-30]
bbox: [-156.2, 18.8, -154.7, 20.4]
layer: [0.0, 0.05]
sources:
{lines}
reference: era5land
collocate: [c3s, era5land, gldas]
bootstrap: 20
"""
    )
    return studies.run(folder / "study.yaml", folder / "out")


def recipe_on(study, folder):
    return f"""\
title: our own product
draws: 20
scheme: vadose
models:
  flat: {{files: {folder}/mrsos.nc, product: cmip6}}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      ours: {{study: {study}}}
"""


def test_a_merged_product_of_our_own_is_a_reference_with_its_layer_and_its_error(study, tmp_path):
    merged = xr.open_zarr(study / "merged.zarr", consolidated=False).load()
    times = pd.date_range("2017-01-01", "2018-06-01", freq="MS")
    flat(
        tmp_path / "mrsos.nc",
        "mrsos",
        25.0,
        "kg m-2",
        times=times,
        lat=[18.5, 19.5, 20.5],
        lon=[-156.5, -155.5, -154.5],
    )
    scores = table(tmp_path, recipe_on(study, tmp_path))
    frame = merged.soil_moisture.transpose("time", "location").to_pandas()
    means = [months_of(frame[c], "2017-01-01", "2018-06-30") if frame[c].notna().any() else np.nan for c in frame]
    known = np.isfinite(means)
    assert known.sum() > 10
    # its points are those of a grid in degrees: they count by the cosine of their latitude
    expected = np.average(np.array(means)[known], weights=np.cos(np.deg2rad(merged.lat.values[known])))
    assert quantity(scores, "Soil", "reference_mean") == pytest.approx(expected, rel=1e-6)
    assert quantity(scores, "Soil", "bias") == pytest.approx(0.25 - expected, rel=1e-5)

    the = read(tmp_path / "recipe.yaml")
    held = record(the.leaves[0].references[0], "soil_moisture", (0.0, 0.1), the)
    assert any("0-0.05 m stands for 0-0.1 m" in n for n in held.notes)
    errors = merged.soil_moisture_standard_error.transpose("time", "location").to_pandas()["2017-03-01":"2017-03-31"]
    days = errors.notna().sum()
    month = np.sqrt((errors**2).mean() * (0.5 + 0.5 / days))
    np.testing.assert_allclose(held.error.sel(time="2017-03-01").values, month.values, rtol=1e-6)
    # the reference's error reaches the interval: wider than that of the places alone would be, which is nothing for one model value
    row = scores[(scores.model == "flat") & (scores.kind == "score") & (scores.statistic == "bias")].iloc[0]
    assert row.high > row.low


def test_the_package_of_a_study_is_the_same_reference(study, tmp_path):
    from vadose.archive import content

    content.copy([study], tmp_path / "data")
    the = read_text(tmp_path, recipe_on(study, tmp_path))
    packed = read_text(tmp_path, recipe_on(tmp_path, tmp_path))
    a, b = (record(r.leaves[0].references[0], "soil_moisture", (0.0, 0.1), r) for r in (the, packed))
    assert (tmp_path / "data" / "merged.zarr.zip").exists()
    xr.testing.assert_equal(a.values.compute(), b.values.compute())
    assert a.notes == b.notes


def read_text(folder, text):
    (folder / "recipe.yaml").write_text(text)
    return read(folder / "recipe.yaml")


def test_a_study_that_was_not_run_says_how_to_run_it(tmp_path):
    from vadose.errors import NotFoundError

    the = read_text(tmp_path, recipe_on(tmp_path / "nowhere", tmp_path))
    with pytest.raises(NotFoundError, match="vadose run STUDY --output"):
        record(the.leaves[0].references[0], "soil_moisture", (0.0, 0.1), the)


#: Climate by parallel: mean temperature [degC], amplitude [K], rain [mm a month], and the error planted in the model there [m3 m-3].
CLIMATES = {
    "tropical": (27.0, 1.0, 220.0, 0.01),
    "arid": (24.0, 6.0, 6.0, 0.02),
    "temperate": (14.0, 9.0, 90.0, -0.03),
    "cold": (3.0, 16.0, 60.0, 0.04),
    "polar": (-12.0, 14.0, 20.0, -0.05),
}


def test_zones_by_koppen_give_each_climate_the_error_that_was_planted_there(tmp_path):
    lat, lon = np.arange(4.0, 84.0, 8.0), np.arange(2.0, 42.0, 4.0)  # two parallels a climate
    times = pd.date_range("2001-01-01", periods=24, freq="MS")
    season = np.cos(2 * np.pi * (times.month.values - 7) / 12)
    by_row = [CLIMATES[name] for name in CLIMATES for _ in range(2)]
    mean, amplitude, rain, error = (np.array(v) for v in zip(*by_row, strict=True))

    def field(rows):
        return (("time", "lat", "lon"), np.repeat(rows[:, :, None], lon.size, axis=2))

    ones = np.ones((24, 1))
    coords = {"time": times, "lat": lat, "lon": lon}
    climate = {
        "tas": (*field(273.15 + mean + season[:, None] * amplitude), {"units": "K"}),
        "pr": (*field(ones * rain / (30.4 * 86400)), {"units": "kg m-2 s-1"}),
    }
    xr.Dataset(climate, coords=coords).to_netcdf(tmp_path / "climate.nc")
    water = 0.25 + 0.05 * season[:, None] * np.ones(lat.size)
    for name, values in (("reference", water), ("model", water + error)):
        xr.Dataset({"mrsos": (*field(100.0 * values), {"units": "kg m-2"})}, coords=coords).to_netcdf(
            tmp_path / f"{name}.nc"
        )
    scores = table(
        tmp_path,
        f"""\
title: climates
draws: 0
regions:
  all:
  climate: {{by: koppen, files: {tmp_path}/climate.nc, product: cmip6}}
models:
  flat: {{files: {tmp_path}/model.nc, product: cmip6}}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      R: {{files: {tmp_path}/reference.nc, product: cmip6}}
""",
    )
    for name, (*_, planted) in CLIMATES.items():
        assert quantity(scores, "Soil", "bias", region=f"climate: {name}") == pytest.approx(planted, abs=1e-6), name
    n = scores[(scores.statistic == "bias") & (scores.kind == "score") & (scores.model == "flat")].set_index("region").n
    assert [n[f"climate: {name}"] for name in CLIMATES] == [2 * lon.size] * 5
    area = np.cos(np.deg2rad(lat))
    assert quantity(scores, "Soil", "bias") == pytest.approx((error * area).sum() / area.sum(), abs=1e-5)


@pytest.fixture(scope="module")
def mesh(shared_data):
    """Centers of the real ne30pg3 cells: latitude and longitude (0..360) [degrees]."""
    with xr.open_dataset(shared_data / "esm_grids" / "ne30pg3.grid.nc") as raw:
        centers = raw["centerCoords"].load()
    return centers.values[:, 1], centers.values[:, 0]


def history(path, lat, lon, values, *, dim="lndgrid", extra=None):
    """An ELM history file of months on scattered cells: stamps at the end of the month, water of the top 10 cm."""
    starts = pd.date_range("2001-01-01", periods=len(values) + 1, freq="MS")
    xr.Dataset(
        {
            "SOILWATER_10CM": (("time", dim), 100.0 * values, {"units": "kg/m2"}),
            "time_bounds": (("time", "nbnd"), np.stack([starts[:-1], starts[1:]], axis=1)),
            "lat": (dim, lat),
            "lon": (dim, lon),
            **(extra or {}),
        },
        coords={"time": ("time", starts[1:], {"bounds": "time_bounds"})},
    ).to_netcdf(path)


ROWS, COLUMNS = np.arange(-87.5, 90, 5.0), np.arange(-177.5, 180, 5.0)


def gridded(path, moisture):
    """A year of monthly soil moisture [m3 m-3] (time, ROWS, COLUMNS) as a reference of the upper 0.1 m."""
    times = pd.date_range("2001-01-01", periods=12, freq="MS")
    xr.Dataset(
        {"mrsos": (("time", "lat", "lon"), 100.0 * moisture, {"units": "kg m-2"})},
        coords={"time": times, "lat": ROWS, "lon": COLUMNS},
    ).to_netcdf(path)


def wave(lat, lon):
    """A smooth pattern on the sphere [m3 m-3]."""
    return 0.25 + 0.1 * np.sin(np.deg2rad(2 * lat)) + 0.05 * np.cos(np.deg2rad(3 * lon)) * np.cos(np.deg2rad(lat))


def test_a_history_on_the_real_ne30pg3_mesh_is_sampled_at_the_nearest_cell(mesh, tmp_path):
    """Every cell of a 5 degree grid takes the mesh cell nearest on the sphere, worked out here by all distances."""
    lat, lon = mesh
    assert lat.size == 48600
    season = 0.04 * np.cos(2 * np.pi * np.arange(12) / 12)[:, None]
    history(tmp_path / "case.elm.h0.nc", lat, lon, wave(lat, lon) + season + 0.03)
    rows, columns = ROWS, COLUMNS
    a, o = (v.ravel() for v in np.meshgrid(rows, columns, indexing="ij"))
    gridded(tmp_path / "reference.nc", (wave(a, o) + season).reshape(12, rows.size, columns.size))
    scores = table(
        tmp_path,
        f"""\
title: mesh
draws: 0
regions: [all, tropics]
models:
  flat: {{files: {tmp_path}/case.elm.h0.nc, product: elm}}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      grid: {{files: {tmp_path}/reference.nc, product: cmip6}}
""",
    )
    unit = [np.stack([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)]) for p, q in (np.deg2rad([lat, lon]), np.deg2rad([a, o]))]  # fmt: skip
    nearest = np.concatenate([(row.T @ unit[0]).argmax(axis=1) for row in np.split(unit[1], rows.size, axis=1)])
    difference = wave(lat, lon)[nearest] + 0.03 - wave(a, o)
    weight = np.diff(np.sin(np.deg2rad(np.arange(-90, 91, 5.0)))).repeat(columns.size)
    for region, inside in (("all", np.abs(a) <= 90), ("tropics", np.abs(a) <= 23.5)):
        expected = np.average(difference[inside], weights=weight[inside])
        assert quantity(scores, "Soil", "bias", region=region) == pytest.approx(expected, abs=2e-6), region
    row = scores[(scores.model == "flat") & (scores.kind == "score") & (scores.region == "all")].set_index("statistic").value  # fmt: skip
    assert row["phase"] == pytest.approx(1.0)
    assert row["coverage"] == pytest.approx(1.0)


def test_land_only_cells_of_a_mesh_count_by_their_share_of_land(mesh, tmp_path):
    """A mesh that holds northern cells only, half of each land: coverage is the northern half, the error that of those cells."""
    lat, lon = (v[mesh[0] > 0] for v in mesh)
    season = 0.04 * np.cos(2 * np.pi * np.arange(12) / 12)[:, None]
    error = np.where(lon < 180.0, 0.02, 0.06)
    share = np.where(lon < 180.0, 1.0, 0.25)
    history(
        tmp_path / "case.elm.h0.nc", lat, lon, 0.25 + season + error, dim="ncol", extra={"landfrac": ("ncol", share)}
    )
    gridded(tmp_path / "reference.nc", np.broadcast_to((0.25 + season)[..., None], (12, ROWS.size, COLUMNS.size)))
    scores = table(
        tmp_path,
        f"""\
title: mesh
draws: 0
models:
  flat: {{files: {tmp_path}/case.elm.h0.nc, product: elm, land_fraction: {tmp_path}/case.elm.h0.nc}}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      grid: {{files: {tmp_path}/reference.nc, product: cmip6}}
""",
    )
    expected = (0.02 * 1.0 + 0.06 * 0.25) / 1.25  # as many cells west of 180 as east of it
    assert quantity(scores, "Soil", "bias") == pytest.approx(expected, abs=3e-4)


def test_a_history_on_rows_and_columns_and_a_zarr_store_are_models_too(tmp_path):
    rows, columns, times = (
        np.arange(1.0, 11.0),
        np.arange(200.0, 212.0),
        pd.date_range("2001-01-01", periods=13, freq="MS"),
    )
    season = 0.04 * np.cos(2 * np.pi * np.arange(12) / 12)
    water = np.broadcast_to((0.25 + season)[:, None, None], (12, 10, 12))
    xr.Dataset(
        {
            "SOILWATER_10CM": (("time", "lat", "lon"), 100.0 * (water + 0.02), {"units": "kg/m2"}),
            "time_bounds": (("time", "nbnd"), np.stack([times[:-1], times[1:]], axis=1)),
        },
        coords={"time": ("time", times[1:], {"bounds": "time_bounds"}), "lat": rows, "lon": columns},
    ).to_netcdf(tmp_path / "case.elm.h0.nc")
    xr.Dataset(
        {"mrsos": (("time", "lat", "lon"), 100.0 * (water - 0.01), {"units": "kg m-2"})},
        coords={"time": times[:-1], "lat": rows, "lon": columns - 360.0},
    ).to_zarr(tmp_path / "model.zarr", consolidated=False)
    xr.Dataset(
        {"swc": (("time", "lat", "lon"), 100.0 * water, {"units": "%", "standard_name": "volume_fraction_of_condensed_water_in_soil"})},
        coords={"time": times[:-1], "lat": rows, "lon": columns},
    ).to_netcdf(tmp_path / "reference.nc")  # fmt: skip
    scores = table(
        tmp_path,
        f"""\
title: files
draws: 0
models:
  elm: {{files: {tmp_path}/case.elm.h0.nc, product: elm}}
  zarr: {{files: {tmp_path}/model.zarr, product: cmip6}}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      grid: {{files: {tmp_path}/reference.nc, product: cf}}
""",
    )
    for model, planted in (("elm", 0.02), ("zarr", -0.01)):
        assert quantity(scores, "Soil", "bias", model=model) == pytest.approx(planted, abs=1e-6)
        assert quantity(scores, "Soil", "reference_mean", model=model) == pytest.approx(0.25, abs=1e-3)


#: What answers to soil moisture in the files below: CMIP6 variable, units, value at no water and slope a m3 m-3.
ANSWERS = {
    "gpp": ("kg m-2 s-1", 1e-8, 2e-7),
    "evspsbl": ("kg m-2 s-1", 1e-6, 8e-5),
    "hfls": ("W m-2", 20.0, 200.0),
    "hfss": ("W m-2", 80.0, -200.0),
    "pr": ("kg m-2 s-1", 0.0, 2e-4),
    "tas": ("K", 300.0, -40.0),
    "mrro": ("kg m-2 s-1", 0.0, 3e-5),
    "ra": ("kg m-2 s-1", 1e-8, 5e-8),
    "rh": ("kg m-2 s-1", 2e-8, 7e-8),
}


def test_every_variable_that_goes_with_soil_moisture_has_the_curve_that_was_planted(tmp_path):
    """Lines planted in CMIP6 files come back as response curves; respiration is the sum of two files, the fraction of two fluxes."""
    rng = np.random.default_rng(1)
    times = pd.date_range("2001-01-01", periods=12, freq="MS")
    coords = {"time": times, "lat": np.arange(20) + 0.5, "lon": np.arange(30) + 0.5}
    water = rng.uniform(0.1, 0.4, (12, 20, 30))

    def save(name, units, values):
        data = {name: (("time", "lat", "lon"), values, {"units": units})}
        xr.Dataset(data, coords=coords).to_netcdf(tmp_path / f"{name}_model.nc")

    save("mrsos", "kg m-2", 100.0 * water)
    for name, (units, start, slope) in ANSWERS.items():
        save(name, units, start + slope * water)
    source = f"{{files: {tmp_path}/*_model.nc, product: cmip6}}"
    answers = {
        "gross_primary_productivity": ANSWERS["gpp"][1:],
        "evapotranspiration_flux": ANSWERS["evspsbl"][1:],
        "evaporative_fraction": (0.2, 2.0),  # (20 + 200 w) / 100
        "precipitation_flux": ANSWERS["pr"][1:],
        "air_temperature": ANSWERS["tas"][1:],
        "runoff_flux": ANSWERS["mrro"][1:],
        "heterotrophic_respiration": ANSWERS["rh"][1:],
        "ecosystem_respiration": (3e-8, 12e-8),
    }
    listed = "".join(f"      {name}:\n" for name in answers)
    (tmp_path / "recipe.yaml").write_text(
        f"""\
title: what goes with water
draws: 0
models:
  M: {source}
pages:
  Soil:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      R: {source}
    relationships:
{listed}"""
    )
    curves = pd.read_parquet(run(tmp_path / "recipe.yaml", tmp_path / "out") / "tables" / "curves.parquet")
    width = (water.max() - water.min()) / 25
    for name, (start, slope) in answers.items():
        one = curves[(curves.relation == f"{name} by soil_moisture") & (curves.source == "model")].dropna()
        assert len(one) >= 20, name
        expected = start + slope * one.driver
        assert np.abs(one.response - expected).max() < 0.3 * width * abs(slope), name


def layered(bounds, units="kg m-2"):
    """Water of three layers, 20 % of each by volume, with depth in cm."""
    edges = np.array([[0.0, 5.0], [5.0, 20.0], [20.0, 100.0]])
    water = 0.2 * 1000.0 * (edges[:, 1] - edges[:, 0]) / 100.0
    standard = {"standard_name": "mass_content_of_water_in_soil_layer", "units": units}
    out = xr.Dataset(
        {"w": (("time", "z", "lat", "lon"), np.broadcast_to(water[None, :, None, None], (2, 3, 2, 2)), standard)},
        coords={
            "time": pd.date_range("2001-01-01", periods=2, freq="MS"),
            "z": ("z", edges.mean(axis=1), {"standard_name": "depth", "units": "cm", "bounds": "z_bnds"}),
            "lat": [10.0, 11.0],
            "lon": [200.0, 201.0],
        },
    )
    return out.assign(z_bnds=(("z", "nv"), edges)) if bounds else out


def test_a_file_is_understood_by_its_standard_names_units_and_bounds():
    out = products.standardize(layered(True), "cf")
    np.testing.assert_allclose(out.soil_moisture_profile, 0.2)
    np.testing.assert_allclose(out.layer_bnds, [[0.0, 0.05], [0.05, 0.2], [0.2, 1.0]])
    assert out.lon.values.tolist() == [-160.0, -159.0]
    with pytest.raises(DimensionError, match=r"w is water of a layer .* no bounds"):
        products.standardize(layered(False), "cf")
    with pytest.raises(UnitsError):
        products.standardize(layered(True, units="K"), "cf")
    with pytest.raises(UnreadableFileError, match=r"no variable has a CF standard name .* found x \(none\)"):
        products.standardize(xr.Dataset({"x": ("time", [1.0])}), "cf")
