# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Which Earth system model holds water as the soil does?
#
# **You will learn** to compare eight models with a reference on a cluster from one recipe, to read scores with their
# intervals, to see which score finds which fault, and to weight the models. About **10 minutes**; runs offline, on a Gateway
# cluster on a hub and on processes of this machine elsewhere.

# %%
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vadose import report, world
from vadose.access.cluster import connect
from vadose.benchmark import recipe, run
from vadose.world import layouts, observe

warnings.simplefilter("ignore")
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Eight models, some with a fault
#
# The synthetic Earth is the reference, for its truth is known. Eight runs are written as CMIP6 files; two models have two
# runs each (an ensemble), and four runs carry one planted fault.

# %%
truth = world.make((-104.0, 34.0, -84.0, 56.0), 1.0, "2016-01-01", "2018-12-31", 42)
truth.to_netcdf(folder / "truth.nc")
RUNS = {
    "alpha-1": (1, ()), "alpha-2": (2, ()), "beta-1": (3, ()), "beta-2": (4, ()),
    "dry": (5, ("dry_bias",)), "late": (6, ("late_season",)), "decoupled": (7, ("wrong_relationship",)), "southern": (8, ("missing_north",)),
}  # fmt: skip
models = []
for name, (seed, faults) in RUNS.items():
    one = observe.earth_system_model(truth, faults=faults, seed=seed, name=name)
    for variable in ("mrsos", "mrsol", "evspsbl", "pr", "tas"):
        path = folder / layouts.cmip6_name(name, variable, one)
        path.parent.mkdir(parents=True, exist_ok=True)
        layouts.write_cmip6(one, variable, path, model=name)
    group = f", ensemble: {name.split('-')[0]}" if "-" in name else ""
    models.append(f"  {name}: {{files: cmip6/{name}/*.nc, product: cmip6{group}}}")

# %% [markdown]
# ## One recipe, whose nesting is the page tree

# %%
text = "\n".join(
    [
        "title: Which of eight models holds water as the soil does?",
        "period: [2016-01, 2018-12]",
        "scheme: ilamb2018",
        "draws: 30",
        "regions: {all: , north: {bbox: [-104, 50, -84, 56]}, climate: {by: dryness, files: truth.nc, product: truth}}",
        "models:",
        *models,
        "pages:",
        "  Soil water:",
        "    Surface:",
        "      variable: soil_moisture",
        "      layer: [0.0, 0.1]",
        "      references: {truth: {files: truth.nc, product: truth}}",
        "      relationships: {evapotranspiration_flux: {and: air_temperature}}",
        "    Root zone:",
        "      variable: soil_moisture",
        "      layer: [0.0, 1.0]",
        "      references: {truth: {files: truth.nc, product: truth}}",
        "  Water fluxes:",
        "    Evapotranspiration:",
        "      variable: evapotranspiration_flux",
        "      references: {truth: {files: truth.nc, product: truth}}",
        "weights: {page: Soil water / Surface, methods: [performance-independence, bma]}",
    ]
)
(folder / "recipe.yaml").write_text(text)
with connect(2) as cluster:
    print(cluster.kind, "cluster")
    out = run(recipe.read(folder / "recipe.yaml"), folder / "out", client=cluster.client)
page = report.write_benchmark(out)
print(page.name, f"{page.stat().st_size / 1e6:.1f} MB: opens from disk, needs no network")

# %% [markdown]
# ## Every model on every page
#
# `season and latitude` is what one would score who knows the mean year of each parallel and nothing else.

# %%
summary = pd.read_parquet(out / "tables" / "summary.parquet")
wide = summary[summary.region == "all"].pivot_table(index="page", columns="model", values="value", sort=False)
figure, axis = plt.subplots(figsize=(11, 3.6), layout="constrained")
shown = axis.imshow(wide, cmap="cividis", vmin=0, vmax=1, aspect="auto")
axis.set_xticks(range(wide.shape[1]), wide.columns, rotation=30, ha="right")
axis.set_yticks(range(wide.shape[0]), wide.index)
for (row, column), value in np.ndenumerate(wide.to_numpy()):
    axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.6 else "black")
figure.colorbar(shown, label="overall score [1], 1 is best")
axis.set_title("Overall scores")
plt.show()

# %% [markdown]
# **So: the four runs of alpha and beta**, which carry no fault, and among them none more than another. `southern` comes next: it is scored
# where it has values, and only its coverage tells that the north is missing.
#
# ## Which score finds which fault?
#
# Each fault lowers the score that is meant for it: a dry bias the mean, a late season the phase, evaporation that does not
# feel dry soil the relationship, a missing north the coverage. Intervals hold 90 % of draws over blocks of cells.

# %%
scores = pd.read_parquet(out / "tables" / "scores.parquet")
surface = scores[(scores.page == "Soil water / Surface") & (scores.region == "all")]
curve = "evapotranspiration_flux by soil_moisture: curve"
figure, axes = plt.subplots(1, 4, figsize=(12, 3.6), layout="constrained", sharey=True)
for axis, (statistic, title) in zip(axes, (("bias", "mean"), ("phase", "season"), (curve, "evaporation by moisture"), ("coverage", "coverage")), strict=True):
    part = surface[(surface.statistic == statistic) & (surface.kind != "quantity") & surface.model.isin(RUNS)].set_index("model").loc[list(RUNS)]
    at = np.arange(len(part))[::-1]
    axis.errorbar(part.value, at, xerr=[(part.value - part.low).fillna(0), (part.high - part.value).fillna(0)], fmt="o", color="#0072B2", capsize=3)
    axis.set(title=title, xlabel="score [1]", xlim=(0, 1.05))
    axis.set_yticks(at, list(RUNS))
plt.show()

# %% [markdown]
# ## How does evaporation answer to soil moisture?

# %%
curves = pd.read_parquet(out / "tables" / "curves.parquet")
held = curves[curves.region == "all"]
figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
reference = held[(held.source == "reference") & (held.model == "alpha-1")].dropna(subset=["response"])
axis.fill_between(reference.driver, reference.low * 86400, reference.high * 86400, color="black", alpha=0.15, lw=0)
axis.plot(reference.driver, reference.response * 86400, color="black", lw=2.5, label="reference, 90 %")
for name, color in (("alpha-1", "#0072B2"), ("dry", "#D55E00"), ("decoupled", "#CC79A7")):
    one = held[(held.source == "model") & (held.model == name)].dropna(subset=["response"])
    axis.plot(one.driver, one.response * 86400, "o-", ms=4, color=color, label=name)
axis.set(xlabel="soil moisture of the top 0.1 m [m³ m⁻³]", ylabel="evapotranspiration [mm d⁻¹]", title="A wrong answer and a displaced one")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## How much does each model count?
#
# Two methods: performance and independence (models that are alike share their weight), and Bayesian model averaging.
# Both ask about surface soil water alone, as the recipe says, and where a model has values: so `decoupled`, which fails in evaporation,
# and `southern`, which lacks the north, count almost as much as the others. A weight is an answer to one question.

# %%
weights = pd.read_parquet(out / "tables" / "weights.parquet")
weights.pivot_table(index="model", columns="method", values="weight", sort=False).round(3)

# %% [markdown]
# ## What next
#
# - Put your own files into a recipe: `vadose benchmark recipes/demo.yaml --output out`, and `docs/benchmark.md`.
# - Compare with ilamb3: `vadose benchmark RECIPE --output out --engine ilamb3`.
# - What the reference itself is worth: `30-validate/which-product-is-right`.
#
# **References.** Collier et al. 2018, doi:10.1029/2018MS001354 (scores). Knutti et al. 2017, doi:10.1002/2016GL072012
# (performance and independence). Raftery et al. 2005, doi:10.1175/MWR2906.1 (Bayesian model averaging).
