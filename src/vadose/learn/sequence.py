"""Train, predict, keep: one small interface for all networks of `vadose.learn.nets` (M-T1.2).

The loss looks at every valid day of a window, since a step costs the same with one supervised day as with 365. Predictions
lie between zero and porosity by construction. Everything random follows from `seed` and the epoch, so that an interrupted
training goes on to the same weights. CPU by default, a GPU with bfloat16 where there is one.
"""

from __future__ import annotations

import copy
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import xarray as xr

import vadose
from vadose import cf
from vadose.errors import (
    DimensionError,
    PlatformError,
    TooFewSamplesError,
    VadoseInputError,
    VadoseWarning,
    unknown_name,
)
from vadose.learn import checkpoint as checkpoint_files
from vadose.learn import files
from vadose.learn.windows import Cube, Scaler, scaler
from vadose.typing import Path

FORMAT = "vadose-sequence-1"
FAR, FLAT = 5.0, 0.01  # standard deviations of the training; share of its spread
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Spec:
    """Which network, and how it is trained. `options` go to the network (hidden, layers, dropout ...)."""

    kind: str = "lstm"
    options: dict[str, Any] = field(default_factory=dict)
    window: int = 365
    warmup: int = 60  # first days of a window that carry no loss, once the series is longer than the window
    epochs: int = 30
    batch: int = 64
    rate: float = 1e-3
    patience: int = 10
    frozen_weight: float = 0.1  # of the cross entropy of frozen ground; the head exists where the state is known
    clip: float = 1.0


@dataclass
class SequenceModel:
    """A trained network with its scaling, its declared shapes, and the history of its training."""

    net: Any
    spec: Spec
    scale: Scaler
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]
    depths: np.ndarray
    has_frozen: bool
    history: list[dict[str, float]] = field(default_factory=list)

    def predict(self, data: Cube, *, dropout: int = 0, seed: int = 0) -> xr.Dataset:
        """Predict every day of every site: `soil_moisture` (station, time, depth), `frozen_probability` where learned.

        `dropout` > 0 draws that many passes with dropout left on (Gal and Ghahramani 2016) as dimension `member`.
        """
        self.check(data)
        _warn_far(self.scale, data)
        if dropout == 0:
            return _dataset(self, data, *_forward(self, data, self.net))
        net = copy.deepcopy(self.net).train()  # a copy: another thread may predict with the model at the same time
        with seeded(seed):
            parts = [_dataset(self, data, *_forward(self, data, net)) for _ in range(dropout)]
        return xr.concat(parts, "member")

    def check(self, data: Cube) -> None:
        """Raise where a cube does not have the inputs that the network learned from, in their order."""
        if data.inputs != self.inputs or data.attributes != self.attributes:
            raise VadoseInputError(
                f"the network learned from {self.inputs} and {self.attributes}, the data hold {data.inputs} and {data.attributes}"
            )

    def save(self, folder: Path) -> None:
        """Weights as safetensors, words as JSON with the sum of the weights; no pickle."""
        root = FilePath(folder)
        root.mkdir(parents=True, exist_ok=True)
        words = {
            "vadose": vadose.__version__, "spec": asdict(self.spec), "inputs": self.inputs, "attributes": self.attributes,
            "depths": [float(d) for d in self.depths], "has_frozen": self.has_frozen, "history": self.history,
            "scale": {k: np.asarray(v).tolist() for k, v in asdict(self.scale).items()},
        }  # fmt: skip
        files.save_tensors(root / "weights.safetensors", self.net.state_dict())
        files.save_words(root / "model.json", FORMAT, words, "weights.safetensors")


def _warn_far(scale: Scaler, data: Cube) -> None:
    """Warn of inputs and attributes unlike those of the training: other units, or a climate the network never saw."""
    axes = (0, 1, *range(3, data.x.ndim))
    away = np.abs(data.x.mean(axis=axes) - scale.mean) / scale.spread
    calm = data.x.std(axis=axes) / scale.spread
    far = [n for n, a, c in zip(data.inputs, away, calm, strict=True) if a > FAR or (c < FLAT and data.x.shape[1] > 30)]
    if data.static.size:
        most = np.abs((data.static - scale.static_mean) / scale.static_spread).max(axis=0)
        far += [n for n, m in zip(data.attributes, most, strict=True) if m > FAR]
    if far:
        warnings.warn(
            f"{', '.join(far)}: far from what the network learned from (more than {FAR:g} standard deviations, or hardly varying); "
            "the same units? Else the prediction extrapolates",
            VadoseWarning,
            stacklevel=3,
        )


def load(folder: Path) -> SequenceModel:
    """Read what `SequenceModel.save` wrote; damaged or foreign files are an `UnreadableFileError`."""
    from safetensors.torch import load_file

    root = FilePath(folder)
    words = files.load_words(root / "model.json", FORMAT, "SequenceModel.save")
    with files.reading(root):
        spec = Spec(**words["spec"])
        scale = Scaler(**{k: np.asarray(v, "float32") for k, v in words["scale"].items()})
        inputs, attributes, depths = tuple(words["inputs"]), tuple(words["attributes"]), np.asarray(words["depths"])
        net = build(spec, len(inputs), len(attributes), len(depths) + words["has_frozen"])
        net.load_state_dict(load_file(root / "weights.safetensors"))
        return SequenceModel(net.eval(), spec, scale, inputs, attributes, depths, words["has_frozen"], words["history"])


_luck = threading.RLock()


@contextmanager
def seeded(seed: int, device: Any = None) -> Iterator[None]:
    """PyTorch's random numbers from `seed`, those of before put back after.

    They are of the whole process: trainings in several threads take turns here, so that none draws another's numbers.
    """
    torch = _torch()
    with _luck, torch.random.fork_rng(devices=[] if device is None or device.type == "cpu" else [device]):
        torch.manual_seed(seed)
        yield


def kind_of(spec: Spec) -> Any:
    """The class of `vadose.learn.nets` that `spec.kind` names."""
    _torch()
    from vadose.learn import nets

    if spec.kind not in nets.KINDS:
        raise unknown_name("network", spec.kind, nets.KINDS)
    return nets.KINDS[spec.kind]


def build(spec: Spec, inputs: int, static: int, outputs: int) -> Any:
    """An untrained network of `spec.kind`; an option that it does not have is an error that names it."""
    make = kind_of(spec)
    known = [n for n, p in inspect.signature(make).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in spec.options:
        if name not in known:
            raise unknown_name(f"option of {spec.kind}", name, known)
    return make(inputs, static, outputs, **spec.options)


def masked_loss(out: Any, y: Any, valid: Any, upper: Any, frozen: Any, spread: Any, weight: float) -> Any:
    """Huber loss over valid days plus weighted cross entropy of frozen ground over days where the state is known.

    Errors count in units of `spread` (depth,), the targets' standard deviation, so that a depth with little variation teaches
    as much as one with much, and moisture weighs against the state of the ground as `weight` says. What is not valid is
    replaced before it meets the prediction, so that its value cannot reach loss or gradient.
    """
    torch = _torch()
    depths = y.shape[-1]
    there = torch.where(valid, y, torch.zeros_like(y))
    predicted = torch.sigmoid(out[..., :depths]) * upper[:, None]
    each = torch.nn.functional.huber_loss(predicted / spread, there / spread, reduction="none")
    loss = (each * valid).sum() / valid.sum().clamp(min=1)
    if out.shape[-1] > depths:
        known = torch.isfinite(frozen)
        state = torch.where(known, frozen, torch.zeros_like(frozen))
        cross = torch.nn.functional.binary_cross_entropy_with_logits(out[..., depths], state, reduction="none")
        loss = loss + weight * (cross * known).sum() / known.sum().clamp(min=1)
    return loss


def fit(
    train: Cube,
    spec: Spec | None = None,
    *,
    held_out: Cube | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    checkpoint: Path | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> SequenceModel:
    """Train a network on the sites of `train`.

    Parameters
    ----------
    held_out : sites or years that stop the training early (`spec.patience` epochs without a better loss) and choose the
        weights that are kept. They may not be the sites that are scored.
    device : "auto" takes a GPU where there is one, else the CPU; or a name that PyTorch knows.
    precision : "auto" computes in bfloat16 on GPUs that have it and in single precision on CPUs; "bfloat16" or "float32" ask for one
        (a CPU with AMX trains a wide LSTM nearly twice as fast in bfloat16). Weights are kept in single precision.
    checkpoint : folder where every epoch is kept; a call with the same data, spec and seed goes on from there.
    report : hears of every epoch: {"epoch", "loss", "held_out"}.
    """
    torch = _torch()
    spec = spec or Spec()
    if kind_of(spec).patches != (train.x.ndim == 5):
        needed = "(site, time, feature, row, column)" if kind_of(spec).patches else "(site, time, feature)"
        raise DimensionError(f"{spec.kind} takes inputs {needed}, got shape {train.x.shape}; see windows.cube")
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if not train.valid.any():
        raise TooFewSamplesError("no valid target in the training part")
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    has_frozen = bool(np.isfinite(train.frozen).any())
    with seeded(seed):
        net = build(spec, train.x.shape[2], train.static.shape[1], train.y.shape[-1] + has_frozen).to(where)
    model = SequenceModel(net, spec, scaler(train), train.inputs, train.attributes, train.depths, has_frozen)
    data = _resident(train, model.scale, where)
    check = None if held_out is None else _resident(held_out, model.scale, where)
    optimizer = torch.optim.Adam(net.parameters(), lr=spec.rate)
    best, kept, start = np.inf, _copy(net), 0
    words = {} if checkpoint is None else checkpoint_files.identity(spec, seed, train, held_out)
    if checkpoint is not None:
        best, kept, start = checkpoint_files.resume(FilePath(checkpoint), model, optimizer, kept, words)
    half = precision == "bfloat16" or (precision == "auto" and where.type == "cuda" and torch.cuda.is_bf16_supported())
    for epoch in range(start, spec.epochs):
        if _stale(model.history, spec.patience, check is not None):
            break
        for group in optimizer.param_groups:
            group["lr"] = spec.rate * 0.5 * (1 + np.cos(np.pi * epoch / spec.epochs)) + 0.02 * spec.rate
        row = {"epoch": float(epoch), "loss": _epoch(net, data, spec, optimizer, seed, epoch, half)}
        row["held_out"] = row["loss"] if check is None else _loss(net, check, spec)
        if not np.isfinite([row["loss"], row["held_out"]]).all():
            raise VadoseInputError(
                f"the loss of epoch {epoch} is no number: the training diverged; pass a smaller Spec(rate=...), now {spec.rate:g}"
            )
        model.history.append(row)
        if row["held_out"] < best or check is None:
            best, kept = min(best, row["held_out"]), _copy(net)
        if checkpoint is not None:
            checkpoint_files.keep(FilePath(checkpoint), model, optimizer, kept, words)
        if report:
            report(row)
    net.load_state_dict(kept)
    net.to("cpu").eval()
    return model


def _stale(history: list[dict[str, float]], patience: int, watched: bool) -> bool:
    if not watched or len(history) <= patience:
        return False
    values = [h["held_out"] for h in history]
    return min(values[-patience:]) >= min(values[:-patience])


def _resident(part: Cube, scale: Scaler, where: Any) -> dict[str, Any]:
    """All tensors of a cube on the device, once."""
    torch = _torch()
    x, static = scale(part)
    arrays = {
        "x": x,
        "static": static,
        "y": np.nan_to_num(part.y),
        "valid": part.valid,
        "upper": part.upper,
        "frozen": part.frozen,
        "spread": scale.target_spread,
    }
    return {k: torch.from_numpy(np.ascontiguousarray(v)).to(where) for k, v in arrays.items()}


def starts(days: int, window: int, warmup: int) -> np.ndarray:
    """First days of windows that cover a series, overlapping by the warm-up."""
    if days <= window:
        return np.zeros(1, int)
    step = max(window - warmup, 1)
    return np.unique(np.minimum(np.arange(0, days, step), days - window))


def _batch(data: dict[str, Any], sites: Any, first: Any, window: int, warmup: int) -> Any:
    torch = _torch()
    days = min(window, data["x"].shape[1])
    index = first[:, None] + torch.arange(days, device=first.device)[None]
    row = sites[:, None]
    valid = data["valid"][row, index]
    frozen = data["frozen"][row, index]
    if warmup and data["x"].shape[1] > window:  # later windows have seen too little of the past in their first days
        early = (torch.arange(days, device=first.device)[None] < warmup) & (first[:, None] > 0)
        valid = valid & ~early[..., None]
        frozen = torch.where(early, torch.full_like(frozen, float("nan")), frozen)
    return data["x"][row, index], data["static"][sites], data["y"][row, index], valid, data["upper"][sites], frozen


def _epoch(net: Any, data: dict[str, Any], spec: Spec, optimizer: Any, seed: int, epoch: int, half: bool) -> float:
    """One pass over all windows in a random order that only seed and epoch decide."""
    torch = _torch()
    net.train()
    sites, days = data["x"].shape[:2]
    first = starts(days, spec.window, spec.warmup)
    rng = np.random.default_rng([seed, epoch])
    pairs = np.stack(np.meshgrid(np.arange(sites), first, indexing="ij"), -1).reshape(-1, 2)[
        rng.permutation(sites * first.size)
    ]
    order = torch.from_numpy(pairs).to(data["x"].device)
    total, count = torch.zeros((), device=data["x"].device), 0
    with seeded(int(rng.integers(2**31)), data["x"].device):
        for part in order.split(spec.batch):
            x, static, y, valid, upper, frozen = _batch(data, part[:, 0], part[:, 1], spec.window, spec.warmup)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(data["x"].device.type, torch.bfloat16, enabled=half):
                out = net(x, static)
            loss = masked_loss(out.float(), y, valid, upper, frozen, data["spread"], spec.frozen_weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), spec.clip)
            optimizer.step()
            total += loss.detach()
            count += 1
    return float(total) / max(count, 1)


def _loss(net: Any, data: dict[str, Any], spec: Spec) -> float:
    torch = _torch()
    net.eval()
    with torch.no_grad():
        sites, values = torch.arange(data["x"].shape[0], device=data["x"].device), []
        for first in starts(data["x"].shape[1], spec.window, spec.warmup):
            at = torch.full_like(sites, int(first))
            x, static, y, valid, upper, frozen = _batch(data, sites, at, spec.window, spec.warmup)
            out = net(x, static)
            values.append(float(masked_loss(out, y, valid, upper, frozen, data["spread"], spec.frozen_weight)))
    return float(np.mean(values))


def _forward(model: SequenceModel, part: Cube, net: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Bounded predictions (site, time, depth) and the probability of frozen ground by `net`, window by window."""
    torch = _torch()
    x, static = (torch.from_numpy(v) for v in model.scale(part))
    days, depths = x.shape[1], len(model.depths)
    out = torch.empty(x.shape[0], days, depths + model.has_frozen)
    window, warmup = model.spec.window, model.spec.warmup
    with torch.no_grad():
        for s in starts(days, window, warmup):
            for rows in torch.arange(x.shape[0]).split(256):
                values = net(x[rows, s : s + window], static[rows])
                skip = warmup if s > 0 else 0
                out[rows, s + skip : s + window] = values[:, skip:]
    moisture = torch.sigmoid(out[..., :depths]).numpy() * part.upper[:, None]
    return moisture, torch.sigmoid(out[..., depths]).numpy() if model.has_frozen else None


def _dataset(model: SequenceModel, part: Cube, moisture: np.ndarray, frozen: np.ndarray | None) -> xr.Dataset:
    coords = {"station": part.sites, "time": part.time, "depth": model.depths}
    out = cf.describe(
        xr.DataArray(moisture, dims=("station", "time", "depth"), coords=coords), "soil_moisture"
    ).to_dataset()
    if frozen is not None:
        out["frozen_probability"] = (
            ("station", "time"),
            frozen,
            {"units": "1", "long_name": "probability of frozen ground"},
        )
    return cf.provenance(out, method="M-T1.2", step=f"predicted by {model.spec.kind}")


def _copy(net: Any) -> dict[str, Any]:
    return {k: v.detach().to("cpu", copy=True) for k, v in net.state_dict().items()}


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise PlatformError("networks need PyTorch: pip install 'vadose[torch]'") from error
    return torch
