"""Recipes: the page tree, wrong names with the right ones, and a run whose planted faults are found by the score meant for each."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import report, world
from vadose.benchmark import read, run
from vadose.benchmark.recipe import parse
from vadose.benchmark.runner import BASELINE
from vadose.errors import StudyError
from vadose.products import uscrn
from vadose.world import layouts, observe

FAULTS = {
    "good": (),
    "dry": ("dry_bias",),
    "late": ("late_season",),
    "decoupled": ("wrong_relationship",),
    "southern": ("missing_north",),
}

SMALL = """\
title: a test
models:
  a: {collection: x}
pages:
  Water:
    weight: 2
    Surface:
      variable: soil_moisture
      layer: [0.0, 0.1]
      references:
        truth: {collection: t}
"""


def test_nesting_is_the_page_tree():
    the = parse(SMALL)
    assert [p.name for p in the.pages] == ["Water", "Water / Surface"]
    assert [p.variable for p in the.pages] == [None, "soil_moisture"]
    assert the.pages[0].weight == 2
    assert the.pages[1].layer == (0.0, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("soil_moisture", "soil_moistur", r"line 8: key 'variable': .*did you mean soil_moisture"),
        ("references:", "reference:", r"line 10: key 'reference': unknown; did you mean 'references'"),
        ("title: a test", "titel: a test", r"line 1: key 'titel': unknown; did you mean 'title'"),
        ("{collection: x}", "{files: [x.nc], product: cmip5}", r"line 3: key 'product': 'cmip5' is no product; did you mean cmip6"),
        ("{collection: x}", "{collection: x, files: [y]}", r"line 3: key 'a': give one of"),
        ("[0.0, 0.1]", "[0.1, 0.0]", r"line 9: key 'layer': expected top and bottom"),
        ("pages:", "scheme: ilamb2081\npages:", r"line 4: key 'scheme': 'ilamb2081' is unknown; did you mean 'ilamb2018'"),
        ("pages:", "regions: [tropic]\npages:", r"line 4: key 'regions': 'tropic' is no region; did you mean tropics"),
        ("pages:", "constraint: {page: Water / Surface, values: {a: 1}, mechanism: wet is wet}\npages:", r"line 4: key 'constraint': needs .* 'error'"),
        ("pages:", "weights: {page: Water / Surfac}\npages:", r"line 4: key 'page': .*did you mean Water / Surface"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_answered_with_line_key_and_the_right_one(old, new, answer):
    with pytest.raises(StudyError, match=answer):
        parse(SMALL.replace(old, new))


def test_the_demo_recipe_is_sound(pytestconfig):
    the = read(pytestconfig.rootpath / "recipes" / "demo.yaml")
    assert len(the.models) == 5
    assert len(the.leaves) == 3


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Runs with one planted fault each, as CMIP6 files, and the truth, through a recipe to results and a page."""
    folder = tmp_path_factory.mktemp("faults")
    truth = world.make((-100.0, 38.0, -92.0, 56.0), 1.0, "2016-01-01", "2018-12-31", 5)
    truth.to_netcdf(folder / "truth.nc")
    lines = []
    for name, faults in FAULTS.items():
        data = observe.earth_system_model(truth, faults=faults, seed=3, name="same weather")
        for variable in ("mrsos", "mrsol", "evspsbl", "pr", "tas"):
            path = folder / layouts.cmip6_name(name, variable, data)
            path.parent.mkdir(parents=True, exist_ok=True)
            layouts.write_cmip6(data, variable, path, model=name)
        lines.append(
            f"  {name}: {{files: cmip6/{name}/*.nc, product: cmip6, ensemble: {'pair' if name in ('good', 'dry') else 'rest'}}}"
        )
    models = "\n".join(lines)
    values = ", ".join(f"{n}: {k + 1.5}" for k, n in enumerate(FAULTS))
    (folder / "recipe.yaml").write_text(
        f"""\
title: which fault is where
period: [2016-01, 2018-12]
regions:
  all:
  north: {{bbox: [-100, 50, -92, 56]}}
  field: {{polygon: [[-99, 39], [-94, 39], [-96, 44]]}}
  sites: {{sites: [[-97.5, 42.5], [-95.5, 40.5]]}}
  climate: {{by: dryness, files: truth.nc, product: truth}}
draws: 10
models:
{models}
pages:
  Water:
    Surface:
      variable: soil_moisture
      layer: [0.0, 0.1]
      references:
        truth: {{files: truth.nc, product: truth}}
      relationships:
        evapotranspiration_flux: {{and: air_temperature}}
    Root zone:
      variable: soil_moisture
      layer: [0.0, 1.0]
      references:
        truth: {{files: truth.nc, product: truth}}
weights: {{page: Water / Surface, methods: [performance-independence, bma]}}
constraint: {{page: Water / Surface, values: {{{values}}}, mechanism: "wetter soils evaporate more, now and later", error: 0.02}}
"""
    )
    out = run(folder / "recipe.yaml", folder / "out")
    report.write_benchmark(out)
    return out


@pytest.fixture(scope="module")
def scores(faulty):
    return pd.read_parquet(faulty / "tables" / "scores.parquet")


def value(scores, statistic, model, *, page="Water / Surface", region="all"):
    part = scores[
        (scores.page == page) & (scores.region == region) & (scores.statistic == statistic) & (scores.model == model)
    ]
    return float(part.value.iloc[0])


@pytest.mark.parametrize(
    ("fault", "statistic", "drop"),
    [
        ("dry", "bias", 0.25),
        ("late", "phase", 0.1),
        ("decoupled", "evapotranspiration_flux by soil_moisture: curve", 0.2),
        ("southern", "coverage", 0.25),
    ],
)
def test_each_planted_fault_is_found_by_the_score_meant_for_it(scores, fault, statistic, drop):
    found = {m: value(scores, statistic, m) for m in FAULTS}
    # the curve of evaporation by moisture is displaced where the soil itself is too dry: there the bias score says why
    beside = {"decoupled": "dry"}.get(fault, "")
    others = [v for m, v in found.items() if m not in (fault, beside)]
    assert min(others) - found[fault] > drop, found


def test_the_wrong_relationship_is_told_apart_from_a_wrong_mean(scores):
    good, wrong, dry = (value(scores, "bias", m) for m in ("good", "decoupled", "dry"))
    assert wrong == pytest.approx(good, abs=0.02)
    assert dry < good - 0.25


def test_the_dry_fault_is_found_in_the_root_zone_with_its_size(scores):
    # planted: 0.06 m3 m-3 in every layer, where the soil holds that much
    good, dry = (value(scores, "bias", m, page="Water / Root zone") for m in ("good", "dry"))
    assert good - dry > 0.2
    part = scores[
        (scores.page == "Water / Root zone")
        & (scores.kind == "quantity")
        & (scores.statistic == "bias")
        & (scores.region == "all")
    ]
    sizes = part.set_index("model").value
    assert sizes["dry"] - sizes["good"] == pytest.approx(-0.06, abs=0.005)


def test_a_fault_free_model_is_better_than_season_and_latitude(scores):
    assert value(scores, "overall", "good") > value(scores, "overall", BASELINE) + 0.1


def test_nothing_is_compared_in_the_north_where_the_model_is_missing(scores):
    assert value(scores, "coverage", "southern", region="north") == 0.0
    assert np.isfinite(value(scores, "overall", "good", region="north"))


def test_regions_by_polygon_sites_and_climate_hold_cells(scores):
    n = (
        scores[
            (scores.model == "good")
            & (scores.statistic == "bias")
            & (scores.kind == "score")
            & (scores.page == "Water / Surface")
        ]
        .set_index("region")
        .n
    )
    assert n["sites"] == 2
    assert 0 < n["field"] < n["all"]
    assert sum(v for k, v in n.items() if k.startswith("climate: ")) == n["all"]


def test_ensembles_give_mean_and_spread_beside_the_score(scores):
    members = [value(scores, "overall", m) for m in ("good", "dry")]
    row = scores[
        (scores.model == "pair (2 runs)")
        & (scores.statistic == "overall")
        & (scores.region == "all")
        & (scores.page == "Water / Surface")
    ].iloc[0]
    assert row.value == pytest.approx(np.mean(members))
    assert (row.low, row.high) == (pytest.approx(min(members)), pytest.approx(max(members)))


def test_intervals_hold_their_score(scores):
    part = scores[
        (scores.kind == "score") & (scores.statistic == "overall") & (scores.model == "good") & (scores.region == "all")
    ]
    assert ((part.low <= part.value + 0.02) & (part.value <= part.high + 0.02)).all()


def test_bayesian_averaging_gives_the_dry_model_nothing_and_twins_share_their_weight(faulty):
    table = pd.read_parquet(faulty / "tables" / "weights.parquet")
    weight = table.pivot_table(index="model", columns="method", values="weight")
    np.testing.assert_allclose(weight.sum(), 1.0)
    assert weight.loc["dry", "bma"] < 0.05
    # the soil of `good` and `decoupled` is the same: twins, and equal in both methods
    np.testing.assert_allclose(weight.loc["good"], weight.loc["decoupled"], rtol=1e-6)


def test_the_constraint_warns_of_few_models(faulty):
    table = pd.read_parquet(faulty / "tables" / "constraint.parquet")
    assert len(table) == 5
    assert not table.trusted.any()
    assert "5 models" in table.warning.iloc[0]


def test_two_drivers_are_told_for_both_sides(faulty):
    table = pd.read_parquet(faulty / "tables" / "interactions.parquet")
    assert set(table.source) == {"reference", "model"}
    assert table.interaction.between(0, 1).all()


def test_the_page_opens_without_network_and_every_link_leads_somewhere(faulty):
    text = (faulty / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    for anchor in set(re.findall(r'href="#([^"]+)"', text)):
        assert f'id="{anchor}"' in text, anchor
    data = json.loads(re.search(r'<script type="application/json" id="results">(.*?)</script>', text, re.S)[1])
    assert data["provenance"]["title"] == "which fault is where"


def test_the_summary_marks_a_score_that_rests_on_part_of_the_reference(faulty):
    text = (faulty / "index.html").read_text()
    marked = re.findall(
        r'title="(?:Water|everything)[^"]*, (\w+), all; covers (\d+) % of[^"]*">0\.\d\d\*', text.replace("%", " %")
    )
    assert {m for m, _ in marked} == {"southern"}
    assert len(marked) == 4  # everything, Water and both pages below
    assert "* compared where the model has values" in text


def test_cmec_json_has_the_dimensions_it_names(faulty):
    cmec = json.loads((faulty / "cmec.json").read_text())
    assert cmec["SCHEMA"]["name"] == "CMEC"
    assert cmec["DIMENSIONS"]["json_structure"] == ["region", "model", "metric", "statistic"]
    found = cmec["RESULTS"]["all"]["good"]["Water / Surface::truth"]
    assert 0 <= found["overall"] <= 1
    assert set(cmec["RESULTS"]) == set(cmec["DIMENSIONS"]["dimensions"]["region"])


def test_the_crate_names_every_table_with_its_checksum_and_the_run_that_made_it(faulty):
    crate = json.loads((faulty / "ro-crate-metadata.json").read_text())
    nodes = {n["@id"]: n for n in crate["@graph"]}
    assert nodes["ro-crate-metadata.json"]["conformsTo"]["@id"].startswith("https://w3id.org/ro/crate/")
    assert len(nodes["tables/scores.parquet"]["sha256"]) == 64
    assert nodes["tables/scores.parquet"]["prov:wasGeneratedBy"] == {"@id": "#run"}
    assert {i["@id"] for i in nodes["#run"]["object"]} <= set(nodes)


def test_maps_are_zarr_with_units(faulty):
    maps = xr.open_zarr(next((faulty / "maps").glob("*surface-truth-dry.zarr")), consolidated=False)
    assert maps.bias.attrs["units"] == "m3 m-3"
    assert float(maps.bias.mean()) < -0.03


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(faulty, tmp_path):
    text = (faulty / "recipe.yaml").read_text()
    text = (
        text[: text.index("weights:")].replace("cmip6/late/*.nc", "cmip6/nowhere/*.nc").replace("draws: 10", "draws: 0")
        + "constraint: {page: Water / Surface, values: {good: 1, dry: 2}, mechanism: two models are no line, error: 0.02}\n"
    )
    (faulty.parent / "other.yaml").write_text(text)
    out = run(faulty.parent / "other.yaml", tmp_path / "out")
    failures = json.loads((out / "failures.json").read_text())
    assert {f["model"] for f in failures} == {"late", "all"}
    assert "no file matches" in failures[0]["why"]
    assert failures[-1]["page"] == "constraint"
    assert "at least four models, got 2" in failures[-1]["why"]
    assert "late" not in set(pd.read_parquet(out / "tables" / "scores.parquet").model)


def test_the_real_cmip6_files_run_with_their_land_fraction(shared_data, tmp_path):
    """ACCESS-ESM1-5 at 10 degrees: temperature against itself scores one; carbon uptake against rain has a curve."""
    folder = shared_data / "cmip6" / "ACCESS-ESM1-5"
    (tmp_path / "recipe.yaml").write_text(
        f"""\
title: real files
draws: 0
regions: [all, tropics]
models:
  access: {{files: {folder}/*.nc, product: cmip6, land_fraction: {folder}/sftlf_fx_ACCESS-ESM1-5_historical_r1i1p1f1_gn.nc}}
pages:
  Carbon:
    variable: gross_primary_productivity
    references:
      itself: {{files: {folder}/gpp*.nc, product: cmip6}}
    relationships:
      precipitation_flux: {{role: driver, and: air_temperature, references: {{access: {{files: {folder}/*.nc, product: cmip6}}}}}}
  Water:
    variable: precipitation_flux
    references:
      itself: {{files: {folder}/pr*.nc, product: cmip6}}
"""
    )
    out = run(tmp_path / "recipe.yaml", tmp_path / "out")
    found = pd.read_parquet(out / "tables" / "scores.parquet")
    one = found[(found.model == "access") & (found.statistic == "overall")]
    assert len(one) == 4
    np.testing.assert_allclose(one.value, 1.0, atol=1e-6)
    curve = found[found.statistic == "gross_primary_productivity by precipitation_flux: curve"]
    np.testing.assert_allclose(curve[curve.region == "all"].value, 1.0, atol=1e-6)
    assert json.loads((out / "failures.json").read_text()) == []


def test_the_real_model_is_held_to_a_real_tower(shared_data, tmp_path):
    """ACCESS-ESM1-5 against US-AR1 (Oklahoma, 2009-2012): carbon of its cell by plain means; one place has neither interval nor map."""
    folder = shared_data / "cmip6" / "ACCESS-ESM1-5"
    workbook = next((shared_data / "flux" / "fluxnet2015").glob("*.xlsx"))
    pd.read_excel(workbook).to_csv(tmp_path / "FLX_US-AR1.csv", index=False)
    (tmp_path / "recipe.yaml").write_text(
        f"""\
title: a model and a tower
draws: 5
models:
  access: {{files: {folder}/*.nc, product: cmip6}}
pages:
  Carbon:
    variable: gross_primary_productivity
    references:
      tower: {{files: FLX_US-AR1.csv, product: fluxnet, places: {{US-AR1: [-99.42, 36.4267]}}}}
    relationships: {{precipitation_flux: {{role: driver}}}}
"""
    )
    out = run(tmp_path / "recipe.yaml", tmp_path / "out")
    found = pd.read_parquet(out / "tables" / "scores.parquet")
    mine = found[found.model == "access"].set_index("statistic")
    with xr.open_dataset(next(folder.glob("gpp*.nc"))) as data:
        cell = data.gpp.sel(time=slice("2009", "2012")).sel(lat=36.4267, lon=260.58, method="nearest")
        expected = float(cell.weighted(cell.time.dt.days_in_month).mean())
    assert mine.value["model_mean"] == pytest.approx(expected, rel=1e-3)
    assert 0.5 < mine.value["model_mean"] / mine.value["reference_mean"] < 2.0
    assert mine.low.isna().all()
    assert "relationship" not in set(found.kind), "twelve months of one place are no curve"
    notes = json.loads((out / "provenance.json").read_text())["notes"]
    assert any("no region has 50 samples" in n["note"] for n in notes)
    text = report.write_benchmark(out).read_text()
    assert "tower: 2009-2012, 48 months; too few places for a map." in text


def test_real_soil_moisture_of_a_month_is_compared_by_its_mean(shared_data, tmp_path):
    """EC-Earth3-Veg mrsos, one month of days: the mean scores, the season has nothing to say."""
    folder = shared_data / "cmip6" / "EC-Earth3-Veg"
    (tmp_path / "recipe.yaml").write_text(
        f"""\
title: one month
draws: 0
models:
  ec: {{files: {folder}/mrsos*.nc, product: cmip6}}
pages:
  Surface:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      itself: {{files: {folder}/mrsos*.nc, product: cmip6}}
"""
    )
    out = run(tmp_path / "recipe.yaml", tmp_path / "out")
    found = pd.read_parquet(out / "tables" / "scores.parquet")
    row = found[(found.model == "ec") & (found.kind == "score")].set_index("statistic").value
    assert row["bias"] == pytest.approx(1.0)
    assert row["distribution"] == pytest.approx(1.0)
    assert np.isnan(row["phase"])


def test_a_real_station_is_a_reference_by_its_sensors_in_the_layer(shared_data, tmp_path):
    """USCRN Manhattan KS, sensors at 5 and 10 cm: the mean of 0-0.1 m is 3/4 of the upper and 1/4 of the lower (constant above 5 cm)."""
    path = shared_data / "uscrn" / "KS_Manhattan_6_SSW.csv"
    months = pd.date_range("2012-01-01", "2016-12-01", freq="MS")
    field = np.full((months.size, 4, 4), 25.0)  # kg m-2 in 0.1 m: 0.25 m3 m-3
    xr.Dataset(
        {"mrsos": (("time", "lat", "lon"), field, {"units": "kg m-2"})},
        coords={"time": months, "lat": np.arange(37.5, 41), "lon": np.arange(-98.5, -95)},
    ).to_netcdf(tmp_path / "model.nc")
    (tmp_path / "recipe.yaml").write_text(
        f"""\
title: a station
draws: 0
period: [2012-01, 2016-12]
models:
  flat: {{files: model.nc, product: cmip6}}
pages:
  Surface:
    variable: soil_moisture
    layer: [0.0, 0.1]
    references:
      Manhattan: {{files: {path}, product: uscrn}}
"""
    )
    out = run(tmp_path / "recipe.yaml", tmp_path / "out")
    found = pd.read_parquet(out / "tables" / "scores.parquet")
    row = found[(found.model == "flat") & (found.kind == "quantity")].set_index("statistic").value
    daily = uscrn.open(path).soil_moisture.squeeze("station", drop=True).sel(time=slice("2012-01-01", "2016-12-31"))
    both = (0.75 * daily.sel(depth=0.05) + 0.25 * daily.sel(depth=0.1)).to_series()
    monthly = both.resample("MS").mean().dropna()
    expected = np.average(monthly, weights=monthly.index.days_in_month)
    assert row["reference_mean"] == pytest.approx(expected, rel=1e-6)
    assert row["model_mean"] == pytest.approx(25.0 / 0.1 / 998.2, rel=2e-3)
