# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Which product is right?
#
# Nobody knows the truth at the scale of a satellite pixel, so products are compared with each other. In ten minutes: scores with intervals that
# hold under autocorrelation, what triple collocation finds without any truth, and how wrong it goes when two products make their errors
# together. Here the truth *is* known, because we made it, so every estimate can be held to it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import metrics, world
from vadose.world import observe

truth = world.demo()
NAMES = {n: e.title for n, e in observe.ERRORS.items() if n != "merged"}
COLORS = dict(zip(NAMES, ["#0072B2", "#56B4E9", "#D55E00", "#CC79A7"], strict=True))

# The middle of the continent, every third cell, thawed days that every product saw: collocated first.
part = {"lat": slice(36, 48, 3), "lon": slice(-100, -88, 3)}
thawed = truth.soil_temperature.isel(depth=0, drop=True).sel(part) > 275
seen = {
    n: getattr(observe, n)(truth, seed=1).soil_moisture.sel(part).astype(float).reset_coords(drop=True) for n in NAMES
}
whole = thawed & xr.concat([s.notnull() for s in seen.values()], "product").all("product")
series = {
    n: s.where(whole)
    .stack(place=("lat", "lon"), create_index=False)
    .transpose("place", "time")
    .drop_vars(["lat", "lon"])
    for n, s in seen.items()
}
top = observe.surface(truth).sel(part).astype(float).reset_coords(drop=True)
top = (
    top.where(whole)
    .stack(place=("lat", "lon"), create_index=False)
    .transpose("place", "time")
    .drop_vars(["lat", "lon"])
    .assign_attrs(units="m3 m-3")
)

at = 5
fig, axis = plt.subplots(figsize=(12, 4), layout="constrained")
axis.plot(top.time, top[at], color="black", lw=1.4, label="truth, 0-5 cm")
for (name, values), marker in zip(series.items(), "os^v", strict=True):
    axis.plot(values.time, values[at], marker, ms=3, color=COLORS[name], label=NAMES[name])
axis.set(
    ylabel="soil moisture (m³ m⁻³)",
    title="One place on the days that all four products saw: no two alike",
    xlim=(np.datetime64("2017-04-01"), np.datetime64("2017-11-15")),
)
axis.set_ylim(top=0.3)
axis.legend(ncol=5, fontsize=8)
plt.show()

# %% [markdown]
# ## Against each other
# `metrics.evaluate` gives every score its labels: which pair, which group, which place, and its bounds. Readings of neighboring days repeat each
# other; `n_eff` says how many independent ones there are, and intervals are built on it.

# %%
season = xr.where(top.time.dt.month.isin([6, 7, 8]), "summer", "other months")
results = metrics.evaluate(
    series, pairs=[(a, b) for i, a in enumerate(NAMES) for b in list(NAMES)[i + 1 :]], groups=season
)
first = metrics.tidy(results.isel(place=at)).query("group == 'all' and metric in ('bias', 'ubrmsd', 'pearson')")
shown = first[["metric", "pair", "units", "value", "low", "high", "n", "n_eff"]]
shown.round({"value": 3, "low": 3, "high": 3, "n_eff": 0}).astype({"n": int, "n_eff": int}).set_index(
    ["metric", "pair"]
)

# %%
pearson = results.score.sel(metric="pearson", group="all")
fig, axis = plt.subplots(figsize=(10, 4), layout="constrained")
middle = pearson.sel(bound="value").median("place")
low, high = pearson.sel(bound="low").median("place"), pearson.sel(bound="high").median("place")
rows = np.arange(pearson.sizes["pair"])
axis.errorbar(
    middle,
    rows,
    xerr=[middle - low, high - middle],
    fmt="o",
    color="#0072B2",
    capsize=4,
    label="median place, 95 % interval",
)
for row, pair in zip(rows, pearson.pair.values, strict=True):
    axis.plot(
        pearson.sel(bound="value", pair=pair),
        np.full(pearson.sizes["place"], row),
        "|",
        color="#999999",
        ms=10,
        label="one place" if row == 0 else None,
    )
axis.set_yticks(rows, [" and ".join(NAMES[n] for n in pair.split(" vs ")) for pair in pearson.pair.values])
axis.set(xlabel="correlation (1)", title="The two models agree best. Does that make them right?")
axis.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# High agreement is no proof. The two models are driven by the same rain, so they err together.
#
# ## Without a truth: triple collocation
# Three products with independent errors are enough to split each one's variance into signal and error. Every number below comes with a 95 %
# interval from blocks of thirty days; the black line is the error that was put in.


# %%
def true_error(name):
    """Spread of what is left of a product after its own gain and offset are taken away."""
    kind = observe.ERRORS[name]
    own = observe.surface(truth, kind.bottom).sel(part).astype(float).reset_coords(drop=True)
    left = seen[name] - kind.gain * own - kind.offset
    return float(left.where(whole).std())


triples = [("lband", "cband", "reanalysis"), ("lband", "cband", "land_model"), ("lband", "reanalysis", "land_model")]
found = {}
for triple in triples:
    data = metrics.stack(*(series[n] for n in triple), names=triple)
    point = metrics.triple_collocation(metrics.moments(data))
    bounds = metrics.bootstrap(
        data, lambda state: metrics.triple_collocation(state)[["error_sd"]], block=30, draws=300, rng=1
    )
    found[triple] = (point, bounds)

fig, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")
for axis, triple in zip(axes, triples, strict=True):
    point, bounds = found[triple]
    for k, name in enumerate(triple):
        values = point.error_sd.sel(product=name)
        low, high = bounds.error_sd_low.sel(product=name).median(), bounds.error_sd_high.sel(product=name).median()
        middle = float(values.median())
        axis.errorbar(
            k,
            middle,
            yerr=[[max(middle - float(low), 0)], [max(float(high) - middle, 0)]],
            fmt="o",
            color=COLORS[name],
            capsize=5,
            ms=8,
        )
        axis.plot(k + np.linspace(-0.2, 0.2, values.size), values, ".", color=COLORS[name], alpha=0.35)
        axis.plot([k - 0.35, k + 0.35], [true_error(name)] * 2, color="black", lw=2)
    rejected = int(point.error_sd.isnull().sum())
    axis.set_xticks(range(3), [NAMES[n].replace(" ", "\n", 1) for n in triple])
    axis.set_title("models together: wrong" if triple == triples[2] else "independent errors")
    axis.text(
        0.02,
        0.97,
        f"{rejected} of {point.error_sd.size} estimates rejected",
        transform=axis.transAxes,
        va="top",
        fontsize=8,
    )
axes[0].set_ylabel("sd of error (m³ m⁻³)")
fig.suptitle("Triple collocation (dots: places; bar: median and 95 % interval; black: true error)")
plt.show()

# %% [markdown]
# With one model at most, the estimates hold the truth. With two, the pair's shared error is taken for signal: both models look better than they are
# and the radiometer pays for it.
#
# ## Saying that two err together
# With four products the pair can be declared. `metrics.extended` then solves for the shared part too.

# %%
data = metrics.stack(*series.values(), names=list(series))
state = metrics.moments(data)
plain, declared = metrics.extended(state), metrics.extended(state, correlated=[("reanalysis", "land_model")])
table = pd.DataFrame(
    {
        "true error": {NAMES[n]: true_error(n) for n in NAMES},
        "found, all declared independent": {NAMES[n]: float(plain.error_sd.sel(product=n).median()) for n in NAMES},
        "found, models declared to err together": {
            NAMES[n]: float(declared.error_sd.sel(product=n).median()) for n in NAMES
        },
    }
)
table.round(4).rename_axis("sd of error (m³ m⁻³), median over places")

# %%
gap = 100 * (table.iloc[:, 1:].sub(table["true error"], axis=0)).div(table["true error"], axis=0)
fig, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
rows = np.arange(len(gap))
axis.barh(rows + 0.18, gap.iloc[:, 0], 0.34, color="#D55E00", label="all declared independent")
axis.barh(rows - 0.18, gap.iloc[:, 1], 0.34, color="#009E73", label="models declared to err together")
axis.axvline(0, color="black", lw=0.8)
axis.set_yticks(rows, gap.index)
axis.invert_yaxis()
axis.set(xlabel="estimated minus true error, in percent of the true error", title="What a wrong assumption costs")
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# So which product is right? Each in its own way: the satellites have no shared error but more noise, the models follow the weather smoothly and share
# its mistakes. That is what makes them worth merging.
#
# ## What next
# - `vadose.merge`: weights from these errors, with the shared part in them.
# - `metrics.contingency` and `metrics.event_scores` for droughts and wet days; `metrics.crps_ensemble` for ensembles.
#
# ## References
# McColl et al. 2014, doi:10.1002/2014GL061322; Gruber et al. 2016, doi:10.1002/2015JD024027 (collocation, shared errors); Bretherton et al. 1999,
# doi:10.1175/1520-0442(1999)012<1990:TENOSD>2.0.CO;2 (effective samples); Kuensch 1989, doi:10.1214/aos/1176347265 (blocks).
