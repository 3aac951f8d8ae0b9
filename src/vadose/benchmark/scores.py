"""Scores between 0 and 1 of a model against a reference, by the conventions in use.

- `ilamb2018`: Collier et al. 2018, doi:10.1029/2018MS001354, as the ILAMB package publishes them; the default.
- `ilamb3`: what the package ilamb3 computes (other phase score, uncertainty subtracted, plain mean of scores).
- `vadose`: relative to the errors that models of this region make (regional quantiles), area-weighted, aware of the reference's
  uncertainty, with scores for coverage, memory and distribution.

Formulas by cell: bias exp(-|mean difference| / s), centered error exp(-crmse / s) with s the standard deviation in time of the
reference; season (1 + cos(2 pi shift / 365)) / 2; year-to-year exp(-|s_model - s_reference| / s_reference) of departures from the
mean cycle. By region: spatial distribution 2 (1 + R) / (s + 1/s)^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vadose.benchmark.cells import Cells
from vadose.benchmark.state import MONTHS, State
from vadose.errors import VadoseInputError, unknown_name

if TYPE_CHECKING:
    from vadose.benchmark.own import Own
    from vadose.benchmark.second import Second

YEAR = 365.0
#: Below this share of its mean a reference does not vary enough to be scored against: the cell is left out and counted.
LEAST_VARIATION = 1e-6
MIDDLE = (np.arange(MONTHS) + 0.5) * YEAR / MONTHS


@dataclass(frozen=True)
class Scheme:
    """A convention: the weights of the overall score and what differs in the parts. `own`: each record's statistics are of all it has."""

    name: str
    weights: Mapping[str, float]
    basis: str = "series"
    phase: str = "cosine"
    uncertainty: bool = False
    weighted_space: bool = False
    quantiles: bool = False
    second: bool = False
    own: bool = False
    title: str = ""
    references: str = "doi:10.1029/2018MS001354"
    options: Mapping[str, Any] = field(default_factory=dict)


SCHEMES: dict[str, Scheme] = {
    "ilamb2018": Scheme(
        "ilamb2018",
        {"bias": 1.0, "rmse": 2.0, "phase": 1.0, "distribution": 1.0},
        title="ILAMB as published (Collier et al. 2018)",
    ),
    "ilamb2018-cycle": Scheme(
        "ilamb2018-cycle",
        {"bias": 1.0, "rmse": 2.0, "phase": 1.0, "distribution": 1.0},
        basis="cycle",
        title="ILAMB as published, error of the mean annual cycle (the package's default)",
    ),
    "ilamb2018-iav": Scheme(
        "ilamb2018-iav",
        {"bias": 1.0, "rmse": 2.0, "phase": 1.0, "iav": 1.0, "distribution": 1.0},
        title="ILAMB as published, year-to-year variability counted too",
    ),
    "ilamb3": Scheme(
        "ilamb3",
        {"bias": 1.0, "rmse": 1.0, "phase": 1.0, "distribution": 1.0},
        phase="months",
        uncertainty=True,
        second=True,
        own=True,
        title="the package ilamb3",
    ),
    "vadose": Scheme(
        "vadose",
        {"bias": 1.0, "rmse": 1.0, "phase": 1.0, "iav": 1.0, "distribution": 1.0, "coverage": 1.0, "memory": 1.0, "values": 1.0},
        uncertainty=True,
        weighted_space=True,
        quantiles=True,
        second=True,
        title="vadose: against the errors usual in the region, beyond the reference's uncertainty",
        references="doi:10.1029/2018MS001354; vadose",
    ),
}  # fmt: skip

#: Every score: what it says, in words for tables and pages.
SCORES = {
    "bias": "is the mean right?",
    "rmse": "are departures from the mean right?",
    "phase": "does the seasonal maximum come at the right time?",
    "iav": "is the size of year-to-year departures right?",
    "distribution": "is the pattern in space right?",
    "coverage": "does the model have values where the reference has?",
    "memory": "do departures last as long as they should?",
    "values": "are dry, middle and wet values as frequent as they should be?",
    "anomaly": "do departures come when they should? (for runs with observed weather)",
    "drydown": "does soil dry at the right pace? (daily data)",
    "relationship": "does one variable answer to another as it should?",
    "overall": "weighted mean of the scores",
}


def scheme(name: str) -> Scheme:
    """A convention by name."""
    if name not in SCHEMES:
        raise unknown_name("scoring scheme", name, SCHEMES)
    return SCHEMES[name]


def needs_second(the: Scheme, uncertain: bool) -> bool:
    """Whether a scheme has to read the records again: ilamb3 only to take a known uncertainty off every sample's error."""
    return the.second and (uncertain or the.name != "ilamb3")


def bias_score(bias: Any, spread: Any) -> Any:
    """exp(-|bias| / spread)."""
    return np.exp(-np.abs(bias) / spread)


def rmse_score(crmse: Any, spread: Any) -> Any:
    """exp(-crmse / spread)."""
    return np.exp(-np.asarray(crmse) / spread)


def phase_score(days: Any) -> Any:
    """(1 + cos(2 pi days / 365)) / 2."""
    return (1.0 + np.cos(2.0 * np.pi * np.asarray(days) / YEAR)) / 2.0


def phase_score_months(months: Any) -> Any:
    """1 - |months| / 6, ilamb3's."""
    return 1.0 - np.abs(months) / 6.0


def variability_score(spread: Any, reference: Any) -> Any:
    """exp(-|s - s_ref| / s_ref)."""
    return np.exp(-np.abs(np.asarray(spread) - reference) / reference)


def distribution_score(ratio: Any, correlation: Any) -> Any:
    """2 (1 + R) / (s + 1/s)^2 with s = sd of the model's field over that of the reference (Taylor 2001, R0 = 1)."""
    return 2.0 * (1.0 + np.asarray(correlation)) / (np.asarray(ratio) + 1.0 / np.asarray(ratio)) ** 2


def quantile_score(error: Any, quantile: Any) -> Any:
    """1 - |error| / q, between 0 and 1: how it compares with the errors that seven of ten cells of the region stay below.

    Where those have no error at all (q is 0, all within the reference's uncertainty), none scores 1 and any scores 0.
    """
    size = np.abs(np.asarray(error, float))
    if quantile == 0:
        return np.where(np.isfinite(size), (size == 0) * 1.0, np.nan)
    return np.clip(1.0 - size / quantile, 0.0, 1.0)


def hellinger_score(p: np.ndarray, q: np.ndarray) -> float:
    """1 - |sqrt p - sqrt q| / sqrt 2 over bins that either fills: 1 for the same distribution, 0 for disjoint ones."""
    p, q = np.asarray(p, float).ravel(), np.asarray(q, float).ravel()
    if p.sum() <= 0 or q.sum() <= 0:
        return np.nan
    return float(1.0 - np.linalg.norm(np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) / np.sqrt(2.0))


def overall(values: Mapping[str, float], scheme_name: str = "ilamb2018") -> float:
    """Weighted mean of the scores that are there by the weights of a scheme; NaN when none is."""
    weights = scheme(scheme_name).weights if isinstance(scheme_name, str) else scheme_name
    used = {k: w for k, w in weights.items() if k in values and np.isfinite(values[k])}
    return float(sum(w * values[k] for k, w in used.items()) / sum(used.values())) if used else np.nan


def shift_days(state: State) -> np.ndarray:
    """Days by which the model's maximum of the mean cycle comes after the reference's, within -182.5..182.5; NaN without all months."""
    whole = (state.weight > 0).all(axis=0)
    at = [MIDDLE[np.argmax(state.cycle[k], axis=0)] for k in (0, 1)]
    flat = (np.ptp(state.cycle, axis=1) <= 0).any(axis=0)
    shift = (at[1] - at[0] + YEAR / 2) % YEAR - YEAR / 2
    return np.where(whole & ~flat, shift, np.nan)


def by_cell(state: State, the: Scheme, second: Second | None = None, own: Own | None = None) -> dict[str, np.ndarray]:
    """Quantities and scores of every cell: `reference_mean`, `model_mean`, `bias`, `crmse`, `spread`, `shift` [d], ... and
    `bias_score`, `rmse_score`, `phase_score`, `iav_score` (the last two errors by exp(); quantiles come later, by region).

    With `own`, means, cycles and the reference's spread are those of each record by itself; errors stay those of common months."""
    total = state.total
    common = np.stack([np.where(np.isfinite(total), state.mean(k), np.nan) for k in (0, 1)])
    mean, spread = (common, state.crms(0)) if own is None else (own.mean, own.spread)
    if state.steps == 1:
        spread = np.abs(mean[0])
    scorable = np.where(spread > LEAST_VARIATION * np.abs(mean[0]), spread, np.nan)
    bias, crmse = mean[1] - mean[0], state.crmse(basis=the.basis)
    if own is not None:  # departures are from means of other months than those compared
        crmse = np.hypot(crmse, (common[1] - mean[1]) - (common[0] - mean[0]))
    beyond = np.abs(bias)
    if the.uncertainty:
        beyond = np.maximum(beyond - state.error[0], 0.0)
        crmse_scored = _beyond(state, crmse, second, the)
    else:
        crmse_scored = crmse
    shift = shift_days(state) if own is None else own.months_late() * YEAR / MONTHS
    phase = phase_score(shift) if the.phase == "cosine" else phase_score_months(shift * MONTHS / YEAR)
    a, b, ab = state.departures()
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)  # rounding of a record without departures
    a = np.maximum(a - state.error[1], 0.04 * a) if the.uncertainty and the.quantiles else a
    with np.errstate(invalid="ignore", divide="ignore"):
        iav = variability_score(np.sqrt(b), np.where(a > 0, np.sqrt(a), np.nan))
        anomaly = np.where((a > 0) & (b > 0), ab / np.sqrt(a * b), np.nan)
    out = {
        "reference_mean": mean[0], "model_mean": mean[1], "bias": bias, "crmse": crmse, "spread": spread, "shift": shift,
        "reference_iav": np.sqrt(a), "model_iav": np.sqrt(b), "anomaly_correlation": anomaly,
        "bias_beyond": beyond, "crmse_beyond": crmse_scored, "unscorable": np.where(np.isfinite(total), ~np.isfinite(scorable) * 1.0, np.nan),
        "bias_score": bias_score(beyond, scorable), "rmse_score": rmse_score(crmse_scored, scorable if the.name != "ilamb3" else spread),
        "phase_score": phase, "iav_score": iav, "anomaly_score": np.clip(anomaly, 0.0, 1.0),
    }  # fmt: skip
    if second is not None:
        out |= _memory(second, state)
    return out


def _beyond(state, crmse, second, the):
    """The centered error that the reference's uncertainty cannot explain: sample by sample (ilamb3), or its mean square."""
    if the.name == "ilamb3" and second is not None:
        return np.sqrt(second.beyond)
    return np.sqrt(np.maximum(crmse**2 - state.error[1], 0.0))


def _memory(second, state):
    """e-folding time [months] of departures from the cycle by their lag-one autocorrelation, and how alike the two are."""
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = state.within[:2] / state.total
        r = np.where(second.pairs >= 12, np.clip(second.lag / second.pairs / variance, 0.01, 0.99), np.nan)
        time = -1.0 / np.log(r)
        score = np.exp(-np.abs(np.log(time[1] / time[0])))
    return {"reference_memory": time[0], "model_memory": time[1], "memory_score": score}


def area_mean(values: np.ndarray, weight: np.ndarray, inside: np.ndarray) -> float:
    """Area-weighted mean over known cells inside; NaN when there are none."""
    use = inside & np.isfinite(values)
    total = weight[use].sum()
    return float((values[use] * weight[use]).sum() / total) if total > 0 else np.nan


def area_quantile(values: np.ndarray, weight: np.ndarray, q: float = 0.7) -> float:
    """The value that a share q of the area stays below."""
    use = np.isfinite(values) & (weight > 0)
    if not use.any():
        return np.nan
    order = np.argsort(values[use])
    share = np.cumsum(weight[use][order])
    return float(values[use][order][np.searchsorted(share, q * share[-1])])


def space_statistics(
    reference: np.ndarray, model: np.ndarray, weight: np.ndarray | None, *, own: bool = False
) -> tuple[float, float]:
    """Ratio of standard deviations and correlation of two fields over their common cells, area-weighted when weights are given.

    With `own`, each standard deviation is over all cells that the field has."""
    w = np.ones(reference.size) if weight is None else weight
    use = np.isfinite(reference) & np.isfinite(model) & (w > 0)
    if use.sum() < 3:
        return np.nan, np.nan
    (dx, sx), (dy, sy) = _departures(reference, use, w), _departures(model, use, w)
    if sx <= 0 or sy <= 0:
        return np.nan, np.nan
    r = float(np.clip((w[use] * dx * dy).sum() / w[use].sum() / (sx * sy), -1, 1))
    if own:
        sx, sy = (_departures(f, np.isfinite(f) & (w > 0), w)[1] for f in (reference, model))
    return float(sy / sx), r


def _departures(field: np.ndarray, use: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Departures of some cells of a field from their weighted mean, and their standard deviation."""
    x, w = field[use], weight[use] / weight[use].sum()
    d = x - (w * x).sum()
    return d, float(np.sqrt((w * d**2).sum()))


def by_region(
    maps: Mapping[str, np.ndarray],
    state: State,
    cells: Cells,
    inside: np.ndarray,
    the: Scheme,
    *,
    weight: np.ndarray | None = None,
    quantiles: Mapping[str, float] | None = None,
    histogram: np.ndarray | None = None,
    mass: bool = False,
) -> dict[str, float]:
    """Scores of a region and their weighted mean `overall`.

    `quantiles`: the errors `bias` and `rmse` that 70 % of cells and models of the region stay below (scheme vadose); `mass`
    weights cells by the reference's mean as well; `histogram` (2, bin) are the distributions of the second pass.
    """
    w = cells.weight if weight is None else weight
    held = w
    if mass:
        held = w * np.abs(np.nan_to_num(maps["reference_mean"]))
    out: dict[str, float] = {}
    if the.quantiles and quantiles:
        for name, field_name in (("bias", "bias_beyond"), ("rmse", "crmse_beyond")):
            out[name] = area_mean(quantile_score(maps[field_name], quantiles[name]), held, inside)
    else:
        out["bias"] = area_mean(maps["bias_score"], held, inside)
        out["rmse"] = area_mean(maps["rmse_score"], w if the.name == "ilamb3" else held, inside)
    for name in ("phase", "iav", "anomaly", "memory"):
        if f"{name}_score" in maps:
            out[name] = area_mean(maps[f"{name}_score"], w if the.name == "ilamb3" else held, inside)
    theirs, ours = (np.where(inside, maps[name], np.nan) for name in ("reference_mean", "model_mean"))
    drawn = weight if weight is not None and not the.weighted_space else None
    ratio, r = space_statistics(theirs, ours, w if the.weighted_space else _presence(drawn, cells), own=the.own)
    out["distribution"] = float(distribution_score(ratio, r)) if np.isfinite(ratio) and ratio > 0 else np.nan
    out["coverage"] = coverage(state, w, inside)
    if histogram is not None:
        out["values"] = hellinger_score(histogram[0], histogram[1])
    out["overall"] = overall(out, the.name)
    return out


def _presence(drawn, cells):
    """How often a resampling drew each cell, without its area; None for the sample itself."""
    if drawn is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(drawn / cells.weight)


def coverage(state: State, weight: np.ndarray, inside: np.ndarray) -> float:
    """Share of the reference's area in which the model has values."""
    here = inside & (state.seen[0] > 0)
    total = weight[here].sum()
    return float(weight[here & (state.seen[1] > 0)].sum() / total) if total > 0 else np.nan


def quantities(maps: Mapping[str, np.ndarray], state: State, cells: Cells, inside: np.ndarray) -> dict[str, float]:
    """Area means of what the scores are made of, in units of the variable, days, months or 1."""
    w = cells.weight
    out = {
        name: area_mean(maps[name], w, inside)
        for name in ("reference_mean", "model_mean", "bias", "crmse", "shift", "reference_iav", "model_iav", "anomaly_correlation", "reference_memory", "model_memory")
        if name in maps
    }  # fmt: skip
    out["spatial_ratio"], out["spatial_correlation"] = space_statistics(
        np.where(inside, maps["reference_mean"], np.nan), maps["model_mean"], w
    )
    out["unscorable"] = area_mean(maps["unscorable"], w, inside)
    return out


def check_units(reference: Any, other: Any) -> None:
    """Raise when two records are in different units: convert before comparing."""
    a, b = reference.attrs.get("units"), other.attrs.get("units")
    if a != b:
        raise VadoseInputError(f"reference is in {a!r}, model in {b!r}; convert one with vadose.units.convert")
