"""Models on disk without pickle: JSON for words, safetensors for arrays, skops or CatBoost's own format for trees."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import xarray as xr

import vadose
from vadose.errors import PlatformError, UnreadableFileError
from vadose.learn import applicability, files, model
from vadose.learn.boosted import catboost
from vadose.typing import Path

FORMAT = "vadose-map-model-1"
#: Modules whose classes make up trees, beside what skops itself holds to be safe. No wider: `builtins` would let `eval` in.
TRUSTED = ("sklearn.tree._tree.", "sklearn.ensemble._hist_gradient_boosting.", "sklearn._loss.")


def save(trained: model.Model, folder: Path) -> None:
    """Write a model into `folder`, all or nothing: the folder appears, or is replaced, when everything in it is written."""
    target = FilePath(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = FilePath(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write(trained, temporary)
        if target.exists():
            old = temporary.with_name(temporary.name + ".old")
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(trained: model.Model, folder: FilePath) -> None:
    from safetensors.numpy import save_file

    words = {
        "vadose": vadose.__version__, "kind": trained.estimator.kind, "options": trained.estimator.options,
        "predictors": trained.predictors, "units": trained.units, "target": trained.target, "target_units": trained.target_units,
        "limits": trained.limits, "observation_error": trained.observation_error, "calibrated_on": trained.calibrated_on,
        "widening": {str(k): v for k, v in trained.widening.items()}, "card": trained.card, "digest": trained.digest,
    }  # fmt: skip
    arrays = {f"area.{k}": np.ascontiguousarray(v) for k, v in trained.area.arrays().items()}
    oof = trained.out_of_fold
    arrays |= {
        "medians": trained.medians, "flagged": trained.flagged.astype("int64"), "oof.y": oof[trained.target].values.astype(float),
        "oof.predicted": oof.predicted.values, "oof.fold": oof.fold.values.astype("int64"),
        "oof.quantile": np.ascontiguousarray(oof["quantile"].values),
    }  # fmt: skip
    estimator = trained.estimator
    if estimator.kind == "oblivious":
        estimator.mean.save_model(str(folder / "mean.cbm"))
        if estimator.all is not None:
            estimator.all.save_model(str(folder / "quantiles.cbm"))
    else:
        parts = {"mean": estimator.estimator} if estimator.kind == "forest" else {"mean": estimator.mean}
        if estimator.kind == "forest":
            arrays |= {f"table.{k}": v for k, v in estimator.table.items()}
        else:
            parts |= {f"q{q:g}": p for q, p in estimator.parts.items()}
        _skops().dump(parts, folder / "trees.skops")
    save_file(arrays, folder / "arrays.safetensors")
    files.save_words(folder / "model.json", FORMAT, words, *(p.name for p in sorted(folder.iterdir())))


def load(folder: Path) -> model.Model:
    """Read a model that `save` wrote; anything else is an `UnreadableFileError` that says what was expected."""
    root = FilePath(folder)
    words = files.load_words(root / "model.json", FORMAT, "vadose.learn.save")
    with files.reading(root):
        return _read(root, words)


def _read(root: FilePath, words: dict[str, Any]) -> model.Model:
    from safetensors.numpy import load_file

    arrays = load_file(root / "arrays.safetensors")

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    estimator = _estimator(root, words, group("table."))
    oof = group("oof.")
    table = xr.Dataset(
        {words["target"]: ("sample", oof["y"]), "predicted": ("sample", oof["predicted"]), "fold": ("sample", oof["fold"]),
         "quantile": (("sample", "level"), oof["quantile"])},
        coords={"level": list(model.LEVELS)},
    )  # fmt: skip
    return model.Model(
        estimator, tuple(words["predictors"]), words["units"], words["target"], words["target_units"], arrays["medians"],
        arrays["flagged"], tuple(words["limits"]), words["observation_error"], {float(k): v for k, v in words["widening"].items()},
        words["calibrated_on"], applicability.restore(group("area.")), table, words["card"],
    )  # fmt: skip


def _estimator(root: FilePath, words: dict[str, Any], table: dict[str, np.ndarray]) -> Any:
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in words["options"].items()}
    estimator = model.ESTIMATORS[words["kind"]](**options)
    if words["kind"] == "oblivious":
        estimator.mean = catboost().CatBoostRegressor().load_model(str(root / "mean.cbm"))
        if (root / "quantiles.cbm").exists():
            estimator.all = catboost().CatBoostRegressor().load_model(str(root / "quantiles.cbm"))
        return estimator
    skops, path = _skops(), root / "trees.skops"
    strange = [t for t in skops.get_untrusted_types(file=path) if not t.startswith(TRUSTED)]
    if strange:
        raise UnreadableFileError(
            f"{path} holds types that no tree model needs: {', '.join(strange)}; it is not loaded"
        )
    parts = skops.load(path, trusted=skops.get_untrusted_types(file=path))
    kind = "RandomForestRegressor" if words["kind"] == "forest" else "HistGradientBoostingRegressor"
    if not isinstance(parts, dict) or {type(p).__name__ for p in parts.values()} != {kind}:
        raise UnreadableFileError(
            f"{path} does not hold a {kind} for each quantity, which {words['kind']} trees are made of"
        )
    if words["kind"] == "forest":
        estimator.estimator, estimator.table = parts["mean"], table
    else:
        estimator.mean = parts.pop("mean")
        estimator.parts = {float(k[1:]): p for k, p in parts.items()}
    return estimator


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise PlatformError("saving scikit-learn trees needs skops: pip install 'vadose[trees]'") from error
    return skops.io


__all__ = ["load", "save"]
