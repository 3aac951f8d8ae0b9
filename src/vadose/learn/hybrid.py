"""Networks inside physics: a network sets the parameters of the bucket, or corrects it within the soil's limits (M-X14c, d).

Learned parameters transfer to unseen sites because they come from the site's attributes; water stays conserved because the
bucket spends it. Kraft et al. 2022, doi:10.5194/hess-26-1579-2022; Feng et al. 2022, doi:10.1029/2022WR032404.
Needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

import vadose
from vadose import cf
from vadose.errors import TooFewSamplesError, VadoseInputError, unknown_name
from vadose.learn import files, tensors
from vadose.learn.nets import Lstm
from vadose.learn.sequence import seeded
from vadose.learn.windows import Cube, Scaler, scaler
from vadose.typing import Path

#: Parameter -> (least, most). Field capacity and critical point are shares of the way from wilting point to porosity / field capacity.
BOUNDS = {
    "wilting_point": (0.03, 0.25),
    "field_capacity": (0.1, 0.8),
    "critical_point": (0.3, 0.95),
    "conductivity": (1.0, 7.0),  # natural logarithm of mm d-1
    "exponent": (2.0, 12.0),
    "infiltration_shape": (0.5, 6.0),
    "surface_share": (0.05, 0.7),
}
KINDS = ("static", "varying", "residual")
FORMAT = "vadose-hybrid-1"


class Hybrid(nn.Module):
    """A recurrent network reads weather and attributes and speaks in bounded bucket parameters.

    "static": one set a site; "varying": infiltration shape and surface share change by day; "residual": the site's bucket
    plus a correction that cannot leave the range from residual to porosity.
    """

    def __init__(self, inputs: int, static: int, *, kind: str = "static", hidden: int = 16) -> None:
        super().__init__()
        if kind not in KINDS:
            raise unknown_name("hybrid", kind, KINDS)
        self.kind, self.hidden = kind, hidden
        self.site = nn.Sequential(nn.Linear(max(static, 1), hidden), nn.Tanh(), nn.Linear(hidden, len(BOUNDS) + 2))
        daily = {"static": 0, "varying": 2, "residual": 2}[kind]
        self.days = Lstm(inputs, static, daily, hidden=hidden, dropout=0.0) if daily else None
        if self.days is not None:
            nn.init.zeros_(self.days.head.weight)
            nn.init.zeros_(self.days.head.bias)

    def parameters_of(
        self, x: Tensor, static: Tensor, porosity: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """Bucket parameters in their units, the start of both layers, and what is said daily."""
        raw = self.site(static if static.shape[1] else torch.zeros(x.shape[0], 1, device=x.device, dtype=x.dtype))
        daily = None if self.days is None else self.days(x, static)
        unit = {n: torch.sigmoid(raw[:, i]) for i, n in enumerate(BOUNDS)}
        if self.kind == "varying" and daily is not None:
            for j, n in enumerate(("infiltration_shape", "surface_share")):
                unit[n] = torch.sigmoid(raw[:, list(BOUNDS).index(n), None] + daily[..., j])
        p = {n: BOUNDS[n][0] + (BOUNDS[n][1] - BOUNDS[n][0]) * u for n, u in unit.items()}
        p["wilting_point"] = torch.minimum(p["wilting_point"], 0.6 * porosity)
        p["field_capacity"] = p["wilting_point"] + p["field_capacity"] * (porosity - p["wilting_point"])
        p["critical_point"] = p["wilting_point"] + p["critical_point"] * (p["field_capacity"] - p["wilting_point"])
        p["conductivity"], p["porosity"] = torch.exp(p["conductivity"]), porosity
        p["residual"] = torch.full_like(porosity, 0.02)
        start = 0.02 + (porosity - 0.02)[:, None] * torch.sigmoid(raw[:, -2:])
        return p, start, daily

    def forward(
        self, x: Tensor, static: Tensor, rain: Tensor, demand: Tensor, porosity: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Soil moisture (site, day, 2) and fluxes (site, day, 3) [mm d-1]."""
        p, start, daily = self.parameters_of(x, static, porosity)
        moisture, fluxes = tensors.bucket(rain, demand, start, p)
        if self.kind == "residual" and daily is not None:
            low, span = 0.02, (porosity - 0.02)[:, None, None]
            share = ((moisture - low) / span).clamp(1e-4, 1 - 1e-4)
            moisture = low + span * torch.sigmoid(torch.logit(share) + daily)
        return moisture, fluxes


@dataclass
class HybridModel:
    """A trained hybrid; `predict` works on cubes with the same inputs."""

    net: Hybrid
    scale: Scaler
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]
    rain: int  # places among the inputs
    demand: int
    history: list[float] = field(default_factory=list)

    def check(self, data: Cube) -> None:
        """Raise where a cube does not have the inputs and attributes of the training, in their order."""
        if data.inputs != self.inputs or data.attributes != self.attributes:
            raise VadoseInputError(
                f"the hybrid learned from {self.inputs} and {self.attributes}, the data hold {data.inputs} and {data.attributes}"
            )

    def save(self, folder: Path) -> None:
        """Weights as safetensors, words as JSON; no pickle. Parameters of an `observe=` layer stay with that layer."""
        root = FilePath(folder)
        root.mkdir(parents=True, exist_ok=True)
        words = {
            "vadose": vadose.__version__, "kind": self.net.kind, "hidden": self.net.hidden, "inputs": self.inputs,
            "attributes": self.attributes, "rain": self.rain, "demand": self.demand, "history": self.history,
            "scale": {k: np.asarray(v).tolist() for k, v in asdict(self.scale).items()},
        }  # fmt: skip
        files.save_tensors(root / "weights.safetensors", self.net.state_dict())
        files.save_words(root / "model.json", FORMAT, words, "weights.safetensors")

    def predict(self, data: Cube) -> xr.Dataset:
        """`soil_moisture` (station, time, depth) and the fluxes of the bucket [kg m-2 s-1]."""
        self.check(data)
        with torch.no_grad():
            moisture, fluxes = self.net(*_inputs(data, self.scale, self.rain, self.demand))
        coords = {"station": data.sites, "time": data.time, "depth": [0.025, 0.525]}
        out = cf.describe(
            xr.DataArray(moisture.numpy(), dims=("station", "time", "depth"), coords=coords), "soil_moisture"
        ).to_dataset()
        for k, name in enumerate(("evapotranspiration_flux", "runoff_flux", "drainage_flux")):
            out[name] = cf.describe(xr.DataArray(fluxes[..., k].numpy() / 86400.0, dims=("station", "time")), name)
        return cf.provenance(out, method="M-X14")


def load(folder: Path) -> HybridModel:
    """Read what `HybridModel.save` wrote; damaged or foreign files are an `UnreadableFileError`."""
    from safetensors.torch import load_file

    root = FilePath(folder)
    words = files.load_words(root / "model.json", FORMAT, "HybridModel.save")
    with files.reading(root):
        inputs, attributes = tuple(words["inputs"]), tuple(words["attributes"])
        net = Hybrid(len(inputs), len(attributes), kind=words["kind"], hidden=words["hidden"])
        net.load_state_dict(load_file(root / "weights.safetensors"))
        scale = Scaler(**{k: np.asarray(v, "float32") for k, v in words["scale"].items()})
        return HybridModel(net.eval(), scale, inputs, attributes, words["rain"], words["demand"], words["history"])


def _inputs(data: Cube, scale: Scaler, rain: int, demand: int) -> tuple[Tensor, ...]:
    x, static = scale(data)
    return tuple(
        torch.from_numpy(np.ascontiguousarray(v))
        for v in (x, static, data.x[:, :, rain], data.x[:, :, demand], data.upper[:, 0])
    )


def fit(
    train: Cube,
    *,
    rain: str = "precipitation_flux",
    demand: str = "potential_evaporation_flux",
    kind: str = "static",
    hidden: int = 16,
    steps: int = 150,
    rate: float = 0.03,
    warmup: int = 0,
    penalty: float = 0.0,
    observe: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> HybridModel:
    """Train a hybrid on all sites and days at once.

    Parameters
    ----------
    rain, demand : names of the inputs in mm d-1 that drive the bucket; the others inform the network.
    warmup : first days without loss.
    penalty : weight of the physics penalties (`tensors.penalties` with `tensors.WEIGHTS`); the bucket obeys them by itself, a
        residual need not.
    observe : soil moisture (site, day, 2) -> what `train.y` holds, for example brightness temperature through `layers.TauOmega` or
        backscatter through `layers.WaterCloud`, whose parameters are trained too (as those of any module), or a function; soil
        moisture itself when left out.
    """
    for name in (rain, demand):
        if name not in train.inputs:
            raise unknown_name("input", name, train.inputs)
    if observe is None and train.y.shape[-1] > 2:
        raise VadoseInputError(f"the bucket has two layers, the targets {train.y.shape[-1]}")
    i, j = train.inputs.index(rain), train.inputs.index(demand)
    scale = scaler(train)
    with seeded(seed):
        net = Hybrid(train.x.shape[2], train.static.shape[1], kind=kind, hidden=hidden)
    inputs = _inputs(train, scale, i, j)
    y, valid = torch.from_numpy(np.nan_to_num(train.y)), torch.from_numpy(train.valid.copy())
    valid[:, :warmup] = False
    if not valid.any():
        raise TooFewSamplesError("no valid target after the warm-up")
    spread = float(y[valid].std().clamp(min=1e-6))
    learned = [*net.parameters(), *(observe.parameters() if isinstance(observe, nn.Module) else ())]
    optimizer = torch.optim.Adam(learned, lr=rate)
    model = HybridModel(net, scale, train.inputs, train.attributes, i, j)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (0.5 * (1 + np.cos(np.pi * step / steps)) + 0.02)
        optimizer.zero_grad()
        weather: list[Any] = list(inputs)
        if penalty:
            weather[2], weather[3] = (w.clone().requires_grad_() for w in inputs[2:4])
        moisture, fluxes = net(*weather)
        seen = moisture[..., : y.shape[-1]] if observe is None else observe(moisture)
        loss = ((((seen - y) / spread) ** 2) * valid).sum() / valid.sum()
        if penalty:
            terms = tensors.penalties(moisture, weather[2], weather[3], inputs[4], fluxes=fluxes)
            loss = loss + penalty * sum(tensors.WEIGHTS[n] * v for n, v in terms.items())
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        model.history.append(float(loss.detach()))
        if report:
            report(step, model.history[-1])
    net.eval()
    return model
