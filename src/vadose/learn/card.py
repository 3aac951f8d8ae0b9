"""The model card: what a map model was made of and how far it may be trusted, as data and as a page of Markdown.

Mitchell et al. 2019, doi:10.1145/3287560.3287596. A card without its required fields is refused: a score without its
split says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

import vadose
from vadose.errors import VadoseInputError
from vadose.learn.evaluate import SCORES
from vadose.learn.intervals import coverage
from vadose.learn.model import Model

REQUIRED = ("data", "period", "split", "depth", "frozen_season", "known_failures", "license")
HELP = {
    "data": "products with versions and DOIs",
    "period": "first and last day of the training data",
    "split": "how training and test were kept apart, with the block size",
    "depth": "the layer that is predicted",
    "frozen_season": "what was done with frozen soil",
    "known_failures": "where it is known to be wrong",
    "license": "terms of the training data and the model",
}


def make(model: Model, scores: xr.Dataset, **facts: Any) -> dict[str, Any]:
    """The card of a trained model.

    Parameters
    ----------
    scores : table of `vadose.learn.evaluate.compare`; it must show the random and at least one honest split.
    facts : the fields of `REQUIRED` in words, and anything else worth telling.
    """
    missing = [f"{n} ({HELP[n]})" for n in REQUIRED if not facts.get(n)]
    if missing:
        raise VadoseInputError(f"a model card needs {'; '.join(missing)}")
    have = [str(s) for s in scores.scheme.values]
    if "random" not in have or len(have) < 2:
        raise VadoseInputError(f"a model card shows the random split beside an honest one; the scores hold only {have}")
    oof = model.out_of_fold
    y, q = oof[model.target].values, oof["quantile"].values
    named = [m for m in map(str, scores.model.values) if m == model.estimator.kind] or [str(scores.model.values[0])]
    return {
        "vadose": vadose.__version__, "model": model.digest, "kind": model.estimator.kind, "options": {k: list(v) if isinstance(v, tuple) else v for k, v in model.estimator.options.items()},
        "target": model.target, "units": model.target_units, "predictors": dict(model.units), "samples": int(y.size),
        "calibrated_on": model.calibrated_on, "coverage_90_out_of_fold": round(coverage(y, q[:, 0], q[:, 4]), 4),
        "outside_area_in_training": round(float(np.mean(_training_dissimilarity(model) > model.area.limit)), 4),
        "scores": {
            s: {n: {k: round(float(scores[k].sel(scheme=s, model=n)), 5) for k in (*SCORES, "n", "skill")} for n in map(str, scores.model.values)}
            for s in have
        },
        "optimism": round(float(scores.rmsd.sel(scheme=[s for s in have if s != "random"], model=named[0]).max() / scores.rmsd.sel(scheme="random", model=named[0])), 3),
        **facts,
    }  # fmt: skip


def _training_dissimilarity(model: Model) -> np.ndarray:
    return model.area.tree.query(model.area.train, k=2)[0][:, 1] / model.area.mean_distance


def render(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    lines = [f"# {card['target']} by {card['kind']} trees ({card['model']})", ""]
    for name in REQUIRED:
        lines.append(f"- **{name.replace('_', ' ')}**: {card[name]}")
    lines += [
        f"- **samples**: {card['samples']}", f"- **90 % interval covers** {card['coverage_90_out_of_fold']:.1%} out of fold, calibrated on {card['calibrated_on']}",
        f"- **honest error over the optimist's**: {card['optimism']:.2f}", "", "| split | model | rmsd | bias | ubrmsd | r | skill | n |", "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for split, models in card["scores"].items():
        for name, s in models.items():
            word = f"{s['skill']:.2f}" if s["skill"] > 0 or name == "climatology" else "**no skill**"
            lines.append(
                f"| {split} | {name} | {s['rmsd']:.4f} | {s['bias']:+.4f} | {s['ubrmsd']:.4f} | {s['r']:.3f} | {word} | {s['n']:.0f} |"
            )
    lines += ["", "Predictors: " + ", ".join(f"{n} [{u}]" if u else n for n, u in card["predictors"].items())]
    return "\n".join(lines) + "\n"
