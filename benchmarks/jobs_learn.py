"""Maps, networks and filters beside scikit-learn's and quantile-forest's forests, neuralhydrology and filterpy.

The peers see our scikit-learn and PyTorch (`bash benchmarks/peers-learn`), so that no difference comes from versions. What a side
trains before it predicts is prepared before the clock starts. The landscape is made up and its truth is known to every digit.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Job

PEERS = "peers-learn"
CORES = os.cpu_count() or 1
ROWS, BANDS, NOISE = 50_000, 20, 0.02
BLOCK = 500_000  # pixels made at a time; the first block is scored
LEVELS = (0.05, 0.5, 0.95)


def _there(package: str) -> bool:
    """Whether this process is the peer's: it prepares what the peer needs and not what we need."""
    return importlib.util.find_spec(package) is not None


# -- maps ------------------------------------------------------------------------------------------------------------------


def block(number: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictors (n, 20), mean (n,) and standard deviation (n,) of soil moisture: thresholds, products and smooth curves of
    eight predictors, noise that grows with the ninth; the rest says nothing, or repeats others with noise."""
    rng = np.random.default_rng([7, number])
    x = rng.normal(size=(n, BANDS)).astype("float32")
    x[:, 12:16] = 0.8 * x[:, :4] + 0.6 * x[:, 12:16]
    wet = 1 / (1 + np.exp(-1.5 * x[:, 0]))
    mean = (
        0.24 + 0.07 * wet + 0.04 * np.tanh(x[:, 1]) * wet + 0.03 * np.sin(1.5 * x[:, 2]) + 0.025 * (x[:, 3] > 0.3)
        + 0.02 * x[:, 4] * (x[:, 5] > 0) + 0.015 * np.abs(x[:, 6]) - 0.01 * x[:, 7] * x[:, 0]
    )  # fmt: skip
    return x, mean.astype("float32"), (NOISE * np.exp(0.4 * x[:, 8])).astype("float32")


def landscape(pixels: int) -> dict[str, Any]:
    """Training rows with noise, and the predictors of a map (band, pixel)."""
    x, mean, sd = block(10**6, ROWS)
    rng = np.random.default_rng(1)
    bands = np.empty((BANDS, pixels), "float32")
    for k, start in enumerate(range(0, pixels, BLOCK)):
        n = min(BLOCK, pixels - start)
        bands[:, start : start + n] = block(k, n)[0].T
    return {"x": x, "y": mean + sd * rng.normal(size=mean.size), "bands": bands}


def trained(data: dict[str, Any]) -> Any:
    """Our model; pixels of this landscape are exchangeable, so two random halves calibrate it."""
    import xarray as xr

    from vadose import learn

    table = xr.Dataset({f"b{k:02d}": ("sample", data["x"][:, k]) for k in range(BANDS)})
    table["soil_moisture"] = ("sample", data["y"], {"units": "m3 m-3"})
    estimator = learn.Oblivious(threads=CORES)
    model = learn.fit(table, estimator=estimator, folds=np.arange(ROWS) % 2, calibrated_on="random halves", rng=0)
    model.estimator.options["threads"] = 1  # a tile a thread: threads within threads would only wait for each other
    return model


def cube(bands: np.ndarray, columns: int = 2000) -> Any:
    """The predictors as an xarray map."""
    import xarray as xr

    shape = (bands.shape[1] // columns, columns)
    return xr.Dataset({f"b{k:02d}": (("y", "x"), b.reshape(shape)) for k, b in enumerate(bands)})


def mean_world() -> dict[str, Any]:
    data = landscape(10_000_000)
    if _there("quantile_forest"):
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(100, min_samples_leaf=5, max_features=1 / 3, n_jobs=CORES, random_state=0)
        data["forest"] = forest.fit(data["x"], data["y"])
    else:
        data["model"] = trained(data)
    return data


def mean_ours(data):
    from vadose.learn import predict_map

    out = predict_map(data["model"], cube(data["bands"]).chunk(y=500), parts=("mean",))
    return out.soil_moisture.values.reshape(-1)


def mean_theirs(data):
    x, out = data["bands"].T, np.empty(data["bands"].shape[1], "float32")
    for start in range(0, out.size, BLOCK):  # at once it would hold a copy of everything
        out[start : start + BLOCK] = data["forest"].predict(x[start : start + BLOCK])
    return out


def mean_agreement(mine, other):
    truth = block(0, BLOCK)[1]
    ours, theirs = (float(np.sqrt(np.mean((v[:BLOCK] - truth) ** 2))) for v in (mine, other))
    return f"error to the truth {ours:.4f}, forest {theirs:.4f} m3 m-3 (r of both maps {np.corrcoef(mine[:BLOCK], other[:BLOCK])[0, 1]:.3f})"


def quantile_world() -> dict[str, Any]:
    data = landscape(400_000)
    if _there("quantile_forest"):
        from quantile_forest import RandomForestQuantileRegressor

        forest = RandomForestQuantileRegressor(
            100, min_samples_leaf=5, max_features=1 / 3, n_jobs=CORES, random_state=0, max_samples_leaf=None
        )
        data["forest"] = forest.fit(data["x"], data["y"])
    else:
        data["model"] = trained(data)
    return data


def quantile_ours(data):
    from vadose.learn import predict_map

    out = predict_map(data["model"], cube(data["bands"]).chunk(y=50), parts=("quantiles",)).compute()
    return np.stack([out[f"soil_moisture_{n}"].values.reshape(-1) for n in ("q05", "q50", "q95")])


def quantile_warm(data):
    """Two thousand pixels first: what is imported with the first map is not timed."""
    quantile_ours({**data, "bands": data["bands"][:, :2000]})


def quantile_theirs(data):
    return data["forest"].predict(data["bands"].T, quantiles=list(LEVELS)).T


def quantile_agreement(mine, other):
    _, mean, sd = block(0, mine.shape[1])
    seen = mean + sd * np.random.default_rng(2).normal(size=mean.size)
    ours, theirs = (float(np.mean((seen >= v[0]) & (seen <= v[2]))) for v in (mine, other))
    return f"90 % intervals cover {ours:.3f}, quantile-forest's {theirs:.3f}; widths {np.mean(mine[2] - mine[0]):.4f} and {np.mean(other[2] - other[0]):.4f}"


# -- a map from disk to disk -----------------------------------------------------------------------------------------------


def disk_world() -> dict[str, Any]:
    """A model and its predictors, 4 million pixels, in a Zarr store of tiles of 512 x 512 (removed when the process ends)."""
    side = 2048
    data = landscape(side * side)
    folder = tempfile.TemporaryDirectory()
    store = str(Path(folder.name) / "predictors.zarr")
    fields = cube(data["bands"], side)
    fields.to_zarr(store, encoding={n: {"chunks": (512, 512)} for n in fields.data_vars}, consolidated=False)
    return {"model": trained(data), "store": store, "bands": data["bands"], "side": side, "folder": folder}


def disk_ours(data):
    import xarray as xr

    from vadose.learn import write_map

    target = str(Path(data["folder"].name) / "map.zarr")
    predictors = xr.open_zarr(data["store"], chunks=None, consolidated=False)
    write_map(data["model"], predictors, target, parts=("mean", "quantiles"), resume=False)
    return xr.open_zarr(target, consolidated=False).soil_moisture[:100].values


def disk_theirs(data):
    """The same predictions of arrays that lie in memory, tile by tile on as many threads, nothing read or written."""
    from concurrent.futures import ThreadPoolExecutor

    side, out = data["side"], np.empty((data["side"], data["side"]), "float32")
    bands = data["bands"].reshape(BANDS, side, side)

    def tile(at):
        i, j = at
        part = np.ascontiguousarray(bands[:, i : i + 512, j : j + 512].reshape(BANDS, -1).T)
        out[i : i + 512, j : j + 512] = (
            data["model"].arrays(part, parts=("mean", "quantiles"))["mean"].reshape(512, 512)
        )

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(tile, [(i, j) for i in range(0, side, 512) for j in range(0, side, 512)]))
    return out[:100]


def disk_agreement(mine, other):
    return f"largest difference {np.abs(mine - other).max():.1e}; a ratio above 0.8 means less than 20 % for reading and writing"


# -- a step of training ----------------------------------------------------------------------------------------------------

SERIES, DAYS, HIDDEN, BATCH, STEPS = 100, 365, 256, 100, 16


def weather() -> dict[str, np.ndarray]:
    """Inputs (series, day, 20) and a storage that answers the first of them."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(SERIES, DAYS, BANDS)).astype("float32")
    y, now = np.empty((SERIES, DAYS), "float32"), np.zeros(SERIES)
    for t in range(DAYS):
        now = 0.9 * now + 0.1 * x[:, t, 0]
        y[:, t] = 0.25 + 0.1 * now
    return {"x": x, "y": y}


def step_world() -> dict[str, Any]:
    data: dict[str, Any] = weather()
    if _there("neuralhydrology"):
        data["trainer"] = _trainer(data)
        return data
    from vadose.learn import windows

    shape = (SERIES, DAYS, 1)
    data["cube"] = windows.Cube(
        data["x"], np.zeros((SERIES, 0), "float32"), data["y"].reshape(shape), np.ones(shape, bool),
        np.full(shape[:2], np.nan, "float32"), np.ones((SERIES, 1), "float32"),
        np.datetime64("2015-01-01") + np.arange(DAYS), np.arange(SERIES), tuple(f"x{k}" for k in range(BANDS)), (), np.array([0.05]),
    )  # fmt: skip
    return data


def _trainer(data):
    """neuralhydrology with everything read and its network built, so that only training is timed."""
    import pandas as pd
    import xarray as xr
    from neuralhydrology.training.basetrainer import BaseTrainer
    from neuralhydrology.utils.config import Config

    folder = data["folder"] = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    (root / "time_series").mkdir()
    date = pd.date_range("2015-01-01", periods=DAYS)
    names = [f"s{k:03d}" for k in range(SERIES)]
    for k, name in enumerate(names):
        columns = {f"x{j}": ("date", data["x"][k, :, j]) for j in range(BANDS)} | {"y": ("date", data["y"][k])}
        xr.Dataset(columns, coords={"date": date}).to_netcdf(root / "time_series" / f"{name}.nc")
    (root / "basins.txt").write_text("\n".join(names) + "\n")
    (root / "runs").mkdir()
    basins = str(root / "basins.txt")
    day = {f"{part}_{end}_date": date[at].strftime("%d/%m/%Y") for part in ("train", "validation", "test") for end, at in (("start", 0), ("end", -1))}  # fmt: skip
    trainer = BaseTrainer(Config({
        "experiment_name": "step", "run_dir": root / "runs", "data_dir": str(root), "dataset": "generic", "model": "cudalstm", "head": "regression",
        "train_basin_file": basins, "validation_basin_file": basins, "test_basin_file": basins, **day, "device": "cpu",
        "dynamic_inputs": [f"x{j}" for j in range(BANDS)], "target_variables": ["y"], "seq_length": DAYS, "predict_last_n": DAYS,
        "hidden_size": HIDDEN, "output_dropout": 0.0, "initial_forget_bias": 3, "batch_size": BATCH, "epochs": STEPS, "loss": "MSE",
        "optimizer": "Adam", "learning_rate": {0: 1e-3}, "clip_gradient_norm": 1, "output_activation": "linear", "seed": 0, "num_workers": 0,
        "log_interval": 1000, "log_tensorboard": False, "save_weights_every": STEPS + 1, "validate_every": None, "verbose": 0,
    }))  # fmt: skip
    trainer.initialize_training()
    return trainer


def step_ours(data):
    from vadose.learn import sequence

    spec = sequence.Spec("lstm", {"hidden": HIDDEN, "dropout": 0.0}, window=DAYS, warmup=0, epochs=STEPS, batch=BATCH)
    model = sequence.fit(data["cube"], spec, device="cpu")
    return float(np.sqrt(np.mean((model.predict(data["cube"]).soil_moisture.values[..., 0] - data["y"]) ** 2)))


def step_warm(data):
    from vadose.learn import sequence

    spec = sequence.Spec("lstm", {"hidden": HIDDEN, "dropout": 0.0}, window=DAYS, warmup=0, epochs=1, batch=BATCH)
    sequence.fit(data["cube"], spec, device="cpu")


def step_theirs(data):
    trainer = data["trainer"]
    trainer.train_and_validate()
    return float(np.sqrt(trainer.experiment_logger.summarise().get("avg_total_loss", np.nan)))


def step_agreement(mine, other):
    return f"{STEPS} steps each, every day supervised in both"


# -- the analysis of an ensemble -------------------------------------------------------------------------------------------

CELLS, MEMBERS = 200_000, 24


def ensembles() -> dict[str, np.ndarray]:
    """Two-layer states of independent cells and one surface observation each."""
    rng = np.random.default_rng(4)
    mean = rng.uniform(0.15, 0.35, (CELLS, 2, 1))
    shared = rng.normal(size=(CELLS, 1, MEMBERS))
    spread = np.concatenate([0.04 * shared, 0.02 * shared + 0.022 * rng.normal(size=shared.shape)], axis=1)
    return {
        "state": np.ascontiguousarray(mean + spread, dtype="float32"),
        "y": (mean[:, :1, 0] + rng.normal(0, 0.05, (CELLS, 1))).astype("float32"),
        "r": np.full((CELLS, 1), 0.03**2, "float32"),
    }


def update_ours(data):
    from vadose.assimilate import analysis

    return analysis.ensrf(data["state"], data["state"][:, :1], data["y"], data["r"]).mean(axis=-1)


def update_warm(data):
    update_ours({k: v[:100] for k, v in data.items()})


def update_theirs(data):
    from filterpy.kalman import EnsembleKalmanFilter

    np.random.seed(0)  # noqa: NPY002  # its noise comes from there
    filter_ = EnsembleKalmanFilter(np.zeros(2), np.eye(2), 1, 1.0, MEMBERS, lambda x: x[:1], lambda x, dt: x)
    out = np.empty((CELLS, 2))
    for c in range(CELLS):
        filter_.sigmas = data["state"][c].T.astype(float)
        filter_.x = filter_.sigmas.mean(axis=0)
        filter_.update(data["y"][c].astype(float), float(data["r"][c, 0]))
        out[c] = filter_.x
    return out


def update_agreement(mine, other):
    gap = mine - other
    return f"mean of the differences {np.abs(gap.mean(axis=0)).max():.1e}, of their size {np.abs(gap).mean():.1e} m3 m-3: the peer perturbs observations, we do not"


TREES = ("scikit-learn", "catboost", "numpy")
JOBS = (
    Job(
        "map-mean", "mean map from 20 predictors", "10 million pixels", "scikit-learn random forest, 100 trees",
        mean_world, mean_ours, mean_theirs, mean_agreement, packages=TREES, environment=PEERS, repeats=2, their_repeats=1,
    ),
    Job(
        "map-quantiles", "calibrated quantiles (ours: five, theirs: three, not calibrated)", "400,000 pixels", "quantile-forest, 100 trees",
        quantile_world, quantile_ours, quantile_theirs, quantile_agreement, warm=quantile_warm,
        packages=(*TREES, "quantile-forest"), environment=PEERS, repeats=2, their_repeats=1,
    ),
    Job(
        "map-overhead", "mean and five quantiles from Zarr to Zarr", "4.2 million pixels x 20", "the same predictions in memory",
        disk_world, disk_ours, disk_theirs, disk_agreement, packages=(*TREES, "zarr"), repeats=2,
    ),
    Job(
        "lstm-step", f"{STEPS} training steps, LSTM of {HIDDEN}", f"batch {BATCH} x {DAYS} d x {BANDS}, all days supervised", "neuralhydrology cudalstm",
        step_world, step_ours, step_theirs, step_agreement, warm=step_warm, packages=("torch", "neuralhydrology"), environment=PEERS,
    ),
    Job(
        "ensemble-update", "analysis of an ensemble, one observation a cell", f"{CELLS:,} cells x {MEMBERS} members", "filterpy, cell by cell",
        ensembles, update_ours, update_theirs, update_agreement, warm=update_warm, packages=("filterpy", "numpy", "numba"), environment=PEERS,
        their_repeats=1,
    ),
)  # fmt: skip
