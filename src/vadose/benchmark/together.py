"""What needs all models: ensembles, the tree of scores, weights of models, and the emergent constraint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd

from vadose.benchmark.compare import Pair
from vadose.benchmark.constraint import (
    bayesian_average,
    emergent_constraint,
    perfect_model_radius,
    performance_independence,
    weight_posterior,
)
from vadose.benchmark.recipe import Recipe
from vadose.benchmark.state import MONTHS
from vadose.errors import TooFewSamplesError, VadoseWarning

#: Samples of months and cells that weights are computed from.
MOST_SAMPLES = 20_000


def ensembles(scores: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Rows of each ensemble: the mean of its members' scores, `low` and `high` their spread; model "NAME (n runs)"."""
    of = {m.name: m.ensemble for m in recipe.models if m.ensemble}
    if not of:
        return scores.iloc[:0]
    members = scores[scores.model.isin(of)].assign(ensemble=lambda d: d.model.map(of))
    keys = ["page", "reference", "ensemble", "region", "kind", "statistic", "units"]
    out = (
        members.groupby(keys, sort=False)
        .agg(value=("value", "mean"), low=("value", "min"), high=("value", "max"), n=("value", "count"))
        .reset_index()
    )
    count = pd.Series(of).value_counts()
    return out.assign(model=[f"{e} ({count[e]} runs)" for e in out.ensemble]).drop(columns="ensemble")[
        list(scores.columns)
    ]


def tree(scores: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Overall score of every page, region and model: weighted means over references, then up the tree."""
    rows = []
    chosen = scores[(scores.kind == "score") & (scores.statistic == "overall")]
    weight = {(p.name, r.name): r.weight for p in recipe.leaves for r in p.references}
    values: dict[tuple[str, str, str], float] = {}
    for (page, region, model), part in chosen.groupby(["page", "region", "model"], sort=False):
        values[(str(page), str(region), str(model))] = _mean(
            part.value.to_numpy(), np.array([weight[(str(page), r)] for r in part.reference])
        )
    regions, models = list(dict.fromkeys(chosen.region)), list(dict.fromkeys(chosen.model))
    for page in sorted(recipe.pages, key=lambda p: -len(p.path)):
        children = [p for p in recipe.pages if p.path[:-1] == page.path]
        for region in regions:
            for model in models:
                key = (page.name, region, model)
                if children:
                    values[key] = _mean(
                        np.array([values.get((c.name, region, model), np.nan) for c in children]),
                        np.array([c.weight for c in children]),
                    )
    for page in recipe.pages:
        for region in regions:
            for model in models:
                rows.append(
                    {
                        "page": page.name,
                        "depth": len(page.path) - 1,
                        "leaf": page.variable is not None,
                        "region": region,
                        "model": model,
                        "value": values.get((page.name, region, model), np.nan),
                    }
                )
    top = [p for p in recipe.pages if len(p.path) == 1]
    for region in regions:
        for model in models:
            v = np.array([values.get((p.name, region, model), np.nan) for p in top])
            rows.append(
                {
                    "page": "everything",
                    "depth": -1,
                    "leaf": False,
                    "region": region,
                    "model": model,
                    "value": _mean(v, np.array([p.weight for p in top])),
                }
            )
    return pd.DataFrame(rows)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    use = np.isfinite(values) & (weights > 0)
    return float((values[use] * weights[use]).sum() / weights[use].sum()) if use.any() else np.nan


def model_weights(recipe: Recipe, pairs: Mapping[tuple[str, str], Mapping[str, Pair]]) -> pd.DataFrame:
    """Weights of models by the methods of the recipe, from mean annual cycles on the cells of the page's first reference.

    Raises TooFewSamplesError where the page has nothing to weight models by."""
    page = recipe.weights["page"]
    there = [(reference, found) for (name, reference), found in pairs.items() if name == page]
    if not there:
        raise TooFewSamplesError(f"nothing was compared on page {page!r}, from which models are weighted")
    reference, found = there[0]
    names = list(found)
    observed, forecasts, area = _cycles(list(found.values()))
    rows = []
    for method in recipe.weights.get("methods") or ("performance-independence",):
        spread = np.full(len(names), np.nan)
        if method == "performance-independence":
            weight = _performance(observed, forecasts, area, recipe, names)
        elif method == "bma":
            average = bayesian_average(observed, forecasts)
            weight, spread = average.weights, average.sd
        else:
            rest = observed - forecasts.mean(axis=1)
            # neighbors and months are alike: about one independent sample in fifty
            posterior = weight_posterior(observed, forecasts, error=float(rest.std() * np.sqrt(50.0)), draws=2000)
            weight, spread = posterior.mean, posterior.draws.std(axis=0)
        rows += [
            {
                "page": page,
                "reference": reference,
                "method": method,
                "model": m,
                "weight": float(w),
                "spread": float(s),
                "n": int(observed.size),
            }
            for m, w, s in zip(names, weight, spread, strict=True)
        ]
    return pd.DataFrame(rows)


def _cycles(found: list[Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean cycles as samples: observed (sample), models (sample, model) and area, on the reference's own cells that all models have."""
    size = 1 + max(int(p.cells.reference.max()) for p in found)
    columns, observed, area = [], None, None
    for p in found:
        at, good = p.cells.reference, p.cells.reference >= 0
        sums = []
        for k in (1, 0):
            cycle = np.where(p.state.weight > 0, p.state.cycle[k], np.nan)
            held = np.full((MONTHS, size), np.nan)
            for m in range(MONTHS):
                use = good & np.isfinite(cycle[m])
                w = np.bincount(at[use], p.cells.weight[use], minlength=size)
                held[m] = np.where(
                    w > 0,
                    np.bincount(at[use], p.cells.weight[use] * cycle[m][use], minlength=size) / np.where(w > 0, w, 1.0),
                    np.nan,
                )
            sums.append(held.ravel())
        columns.append(sums[0])
        observed = sums[1] if observed is None else np.where(np.isfinite(observed), observed, sums[1])
        whole = np.bincount(at[good], p.cells.weight[good], minlength=size)
        area = np.tile(whole, MONTHS) if area is None else area
    forecasts = np.stack(columns, axis=1)
    empty = ~np.isfinite(forecasts).any(axis=0)
    forecasts[:, empty] = np.nanmean(forecasts[:, ~empty])
    use = np.flatnonzero(np.isfinite(observed) & np.isfinite(forecasts).all(axis=1))  # type: ignore[arg-type]
    use = use[:: max(1, use.size // MOST_SAMPLES)]
    if use.size < 10:
        raise TooFewSamplesError("weights need at least ten places and months that all models have")
    return observed[use], forecasts[use], area[use]  # type: ignore[index]


def _performance(observed, forecasts, area, recipe, names):
    w = area / area.sum()
    distance = np.sqrt((w[:, None] * (forecasts - observed[:, None]) ** 2).sum(axis=0))
    between = np.sqrt((w[:, None, None] * (forecasts[:, :, None] - forecasts[:, None, :]) ** 2).sum(axis=0))
    apart = between[~np.eye(len(names), dtype=bool)]
    independence = max(0.5 * float(np.median(apart)), 1e-12) if apart.size else 1.0
    values = recipe.constraint.get("values") or {}
    if len(values) >= 5 and all(n in values for n in names):
        performance = perfect_model_radius(
            between, np.array([values[n] for n in names], float), independence_radius=independence
        )
    else:
        performance = float(np.median(distance))
    return performance_independence(
        distance, between, performance_radius=max(performance, 1e-12), independence_radius=independence
    )


def constrain(recipe: Recipe, scores: pd.DataFrame) -> pd.DataFrame:
    """The emergent constraint of the recipe: models' means of the page's variable against what the recipe says they project.

    The observed mean is the first reference's unless the recipe gives one; how sure it is, the recipe says. Raises TooFewSamplesError."""
    wanted = recipe.constraint
    region = str(wanted.get("region") or next(iter(scores.region)))
    part = scores[(scores.page == wanted["page"]) & (scores.region == region) & (scores.kind == "quantity")]
    part = part[part.reference == part.reference.iloc[0]] if len(part) else part
    x = part[part.statistic == "model_mean"].set_index("model").value
    seen = part[part.statistic == "reference_mean"].value
    observed = float(wanted["observed"]) if "observed" in wanted else float(seen.median())
    names = [n for n in wanted["values"] if np.isfinite(x.get(n, np.nan))]
    error = float(wanted["error"])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", VadoseWarning)
        found = emergent_constraint(
            x[names].to_numpy(),
            np.array([wanted["values"][n] for n in names], float),
            observed=observed,
            error=error,
            mechanism=str(wanted["mechanism"]),
        )
    row = {
        k: getattr(found, k)
        for k in (
            "slope",
            "intercept",
            "residual",
            "correlation",
            "prior_mean",
            "prior_sd",
            "mean",
            "sd",
            "low",
            "high",
            "mechanism",
            "trusted",
        )
    }
    rows = [
        {
            **row,
            "model": n,
            "x": float(x[n]),
            "y": float(wanted["values"][n]),
            "left_out": float(o),
            "observed": observed,
            "error": error,
            "warning": str(told[0].message) if told else "",
        }
        for n, o in zip(names, found.left_out, strict=True)
    ]
    return pd.DataFrame(rows)
