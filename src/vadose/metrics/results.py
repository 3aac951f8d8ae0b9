"""Results with labels: which score, of which pair, for which group, where, and its bounds. One array for maps, one table for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf, units
from vadose.errors import VadoseInputError, unknown_name
from vadose.metrics.moments import stack
from vadose.metrics.pairwise import compare
from vadose.metrics.pairwise import scores as of_pair
from vadose.metrics.rank import rank_scores
from vadose.metrics.resample import bootstrap
from vadose.metrics.scoring import mean_absolute
from vadose.metrics.uncertainty import block_length, effective_size, lag_one, mean_interval
from vadose.typing import Rng

SCORES = ("bias", "rmsd", "ubrmsd", "mae", "pearson", "spearman", "kendall", "slope", "nse", "kge")
OF_DATA = ("bias", "rmsd", "ubrmsd", "mae")
OF_MOMENTS = ("bias", "rmsd", "ubrmsd", "pearson", "slope", "nse", "kge")
RANKS = ("spearman", "kendall")
BOUNDS = ("value", "low", "high")
EVERYTHING = "all"
N_MIN = 30


def evaluate(
    series: Mapping[str, xr.DataArray],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    scores: Sequence[str] = ("bias", "rmsd", "ubrmsd", "pearson", "spearman", "nse", "kge"),
    groups: xr.DataArray | None = None,
    dim: str = "time",
    level: float = 0.95,
    n_min: int = N_MIN,
    draws: int = 0,
    block: int | None = None,
    rng: Rng = 0,
) -> xr.Dataset:
    """Scores of pairs of series, with intervals that hold under autocorrelation, labelled.

    Parameters
    ----------
    series : name -> array with `dim`, all on the same coordinates (see `harmonize`); brought to the units of the first where they say theirs.
    pairs : (reference, other); default the first name against every other. Bias is other minus reference.
    scores : any of `metrics.results.SCORES`.
    groups : labels along `dim` (a season, a year) or along a place (a climate); results are for "all" and for each label.
    n_min : with fewer samples a score is NaN.
    draws : with 0 intervals are computed from effective sample sizes: bias, ubrmsd, mae, pearson, spearman and kendall have one. With more
        (1000, say) those of bias, rmsd, ubrmsd, pearson, slope, nse and kge come from that many draws of moving blocks; the data
        is then loaded.
    block : length of blocks in samples; default by the longest memory of the series (`metrics.block_length`).
    rng : generator or seed of the draws.

    Returns
    -------
    Dataset: `score` (metric, pair, group, ..., bound) where `bound` is value, low or high (NaN where no interval is known);
    `n` and `n_eff` (pair, group, ...); coordinates `reference` and `other` by pair, `units` by metric. Lazy in, lazy out.
    """
    if len(series) < 2:
        raise VadoseInputError(f"two series or more are needed, got {sorted(series)}")
    for name in scores:
        if name not in SCORES:
            raise unknown_name("score", name, SCORES)
    first = next(iter(series))
    wanted = list(pairs) if pairs is not None else [(first, other) for other in series if other != first]
    for name in {n for pair in wanted for n in pair}:
        if name not in series:
            raise unknown_name("series", name, series)
    series = {name: units.like(values, series[first]) for name, values in series.items()}
    labels = _labels(groups)
    rows = []
    for reference, other in wanted:
        cells = []
        for label in labels:
            ours, theirs = _part(series[reference], groups, label), _part(series[other], groups, label)
            one = _one(ours, theirs, scores, dim, level)
            cells.append(_labelled(one | _drawn(ours, theirs, scores, dim, level, draws, block, rng), scores, n_min))
        rows.append(xr.concat(cells, xr.DataArray(labels, dims="group", name="group")))
    names = [f"{other} vs {reference}" for reference, other in wanted]
    out = xr.concat(rows, xr.DataArray(names, dims="pair", name="pair"))
    out = out.transpose("metric", "pair", "group", ..., "bound", missing_dims="ignore")
    unit = series[first].attrs.get("units", "1")
    out = out.assign_coords(
        reference=("pair", [p[0] for p in wanted]),
        other=("pair", [p[1] for p in wanted]),
        units=("metric", [unit if m in OF_DATA else "1" for m in scores]),
    )
    out["score"].attrs = {"long_name": "score", "sign": "bias = other - reference", "level": level}
    return cf.provenance(
        out, method="M-X9", params={"level": level, "n_min": n_min, "draws": draws}, step="metrics.evaluate"
    )


def _labels(groups):
    if groups is None:
        return [EVERYTHING]
    values = pd.unique(np.asarray(groups.values).ravel())
    return [EVERYTHING, *sorted(str(v) for v in values if not pd.isna(v))]


def _part(array, groups, label):
    if label == EVERYTHING:
        return array
    return array.where(groups.astype(str) == label)


def _one(reference, other, scores, dim, level):
    """All scores of one pair and group by name, with `<name>_low` and `<name>_high` where they follow from the effective sample size."""
    found = compare(reference, other, dim=dim, level=level)
    if set(scores) & set(RANKS):
        ranks = rank_scores(reference, other, dim=dim, level=level, kendall="kendall" in scores, known=found)
        found = found.assign({name: ranks[name] for name in ranks.data_vars if name not in ("n", "n_eff")})
    if "mae" in scores:
        size = abs(other - reference)
        memory = lag_one(size, dim=dim)
        n_eff = effective_size(found["n"], memory, memory, of_mean=True)
        found["mae"] = mean_absolute(reference, other, dim=dim)
        found["mae_low"], found["mae_high"] = mean_interval(found["mae"], size.std(dim), n_eff, level=level)
        found["mae_low"] = found["mae_low"].clip(min=0.0)
    return dict(found.data_vars)


def _drawn(reference, other, scores, dim, level, draws, block, rng):
    """Intervals from moving blocks of the scores that are functions of moments; none without draws."""
    wanted = [name for name in OF_MOMENTS if name in scores]
    if not draws or not wanted:
        return {}
    data = stack(reference, other, names=["reference", "other"]).load()
    if block is None:
        memory = float(lag_one(data, dim=dim).max())
        block = block_length(data.sizes[dim], memory)
    out = bootstrap(
        data, lambda state: of_pair(state, "reference", "other")[wanted], dim=dim, block=block, draws=draws, level=level, rng=rng
    )  # fmt: skip
    return dict(out.data_vars)


def _labelled(found, scores, n_min):
    """One pair and group: `score` (metric, ..., bound), `n`, `n_eff`."""
    nothing = xr.full_like(found["bias"], np.nan)
    layers = []
    for name in scores:
        triple = [found[name], found.get(f"{name}_low", nothing), found.get(f"{name}_high", nothing)]
        layers.append(
            xr.concat([t.drop_attrs() for t in triple], xr.DataArray(list(BOUNDS), dims="bound", name="bound"))
        )
    score = xr.concat(layers, xr.DataArray(list(scores), dims="metric", name="metric"))
    enough = found["n"] >= n_min
    return xr.Dataset(
        {"score": score.where(enough), "n": found["n"], "n_eff": found["n_eff"].where(enough)}
    ).drop_attrs()


def tidy(results: xr.Dataset) -> pd.DataFrame:
    """One row a score: metric, pair, reference, other, group, place, units, value, low, high, n, n_eff."""
    keep = [c for c in results.coords if c not in results.dims]
    score = results["score"].to_dataset("bound").reset_coords(keep)
    table = score.merge(results[["n", "n_eff"]].reset_coords(drop=True)).to_dataframe().reset_index()
    last = [*BOUNDS, "n", "n_eff"]
    return table[[c for c in table.columns if c not in last] + last]
