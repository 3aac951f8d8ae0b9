"""How sure a network is: several seeds, dropout left on, and a factor that makes the spread true on held-out sites (M-T1.2).

The raw spread of seeds and dropout is nearly always too small at new sites; the factor is the conformal quantile of
|error| / spread on sites that taught nothing. Lakshminarayanan et al. 2017, arXiv:1612.01474; Gal and Ghahramani 2016.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.learn import intervals, sequence
from vadose.learn.windows import Cube
from vadose.typing import Path

SMALLEST = 1e-3  # m3 m-3, so that members who agree are not infinitely sure
SHARES = (0.68, 0.9)


@dataclass
class Ensemble:
    """Networks of several seeds; `factor` by coverage turns the spread into half-widths (empty until `calibrate`)."""

    members: list[sequence.SequenceModel]
    dropout: int = 20
    factor: dict[float, float] = field(default_factory=dict)
    calibrated_on: str = ""

    def predict(self, data: Cube, *, seed: int = 0) -> xr.Dataset:
        """Mean over members (dropout off), standard error, and 90 % interval where calibrated, bounded to 0 ... porosity."""
        plain = [m.predict(data) for m in self.members]
        mean = np.mean([p.soil_moisture.values for p in plain], axis=0)
        spread = self._spread(data, plain, seed)
        out = plain[0].copy()
        out["soil_moisture"] = out.soil_moisture.copy(data=mean)
        if "frozen_probability" in out:
            out["frozen_probability"] = out.frozen_probability.copy(
                data=np.mean([p.frozen_probability.values for p in plain], axis=0)
            )
        attrs = {"units": "m3 m-3", "long_name": "standard error of soil moisture"}
        out["soil_moisture_standard_error"] = (out.soil_moisture.dims, spread * self.factor.get(0.68, 1.0), attrs)
        if 0.9 in self.factor:
            half = spread * self.factor[0.9]
            for name, value in (
                ("q05", np.maximum(mean - half, 0.0)),
                ("q95", np.minimum(mean + half, data.upper[:, None])),
            ):
                out[f"soil_moisture_{name}"] = (out.soil_moisture.dims, value, {"units": "m3 m-3"})
        return cf.link(out, "soil_moisture", "soil_moisture_standard_error").assign_attrs(
            calibrated_on=self.calibrated_on
        )

    def _spread(self, data: Cube, plain: list[xr.Dataset], seed: int) -> np.ndarray:
        values = [p.soil_moisture.values for p in plain]
        each = max(self.dropout // len(self.members), 0)
        if each:
            for k, m in enumerate(self.members):
                drawn = m.predict(data, dropout=each, seed=seed + k).soil_moisture.values
                values.extend(drawn)
        return np.maximum(np.std(values, axis=0, ddof=1), SMALLEST)

    def calibrate(self, data: Cube, *, name: str = "held-out sites", seed: int = 0) -> Ensemble:
        """The ensemble with factors from sites that taught nothing, every site with the same weight."""
        plain = [m.predict(data) for m in self.members]
        spread = self._spread(data, plain, seed)
        error = np.abs(np.mean([p.soil_moisture.values for p in plain], axis=0) - data.y)
        ratio, site = (
            (error / spread)[data.valid],
            np.broadcast_to(np.arange(len(data.sites))[:, None, None], data.y.shape)[data.valid],
        )
        if np.unique(site).size < 2:
            raise VadoseInputError("calibration needs valid targets at two or more held-out sites")
        factor = {share: intervals.block_widening(ratio, site, coverage=share) for share in SHARES}
        return Ensemble(self.members, self.dropout, factor, name)

    def save(self, folder: Path) -> None:
        """Members in folders of their own, factors as JSON."""
        root = FilePath(folder)
        for k, m in enumerate(self.members):
            m.save(root / f"member-{k}")
        words = {
            "dropout": self.dropout,
            "factor": {str(k): v for k, v in self.factor.items()},
            "calibrated_on": self.calibrated_on,
            "members": len(self.members),
        }
        (root / "ensemble.json").write_text(json.dumps(words))


def load(folder: Path) -> Ensemble:
    """Read what `Ensemble.save` wrote."""
    root = FilePath(folder)
    words = json.loads((root / "ensemble.json").read_text())
    members = [sequence.load(root / f"member-{k}") for k in range(words["members"])]
    return Ensemble(
        members, words["dropout"], {float(k): v for k, v in words["factor"].items()}, words["calibrated_on"]
    )


def fit(
    train: Cube,
    spec: sequence.Spec | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    dropout: int = 20,
    **options: Any,
) -> Ensemble:
    """Train one network a seed; `options` as for `vadose.learn.sequence.fit`."""
    return Ensemble([sequence.fit(train, spec, seed=s, **options) for s in seeds], dropout)


def integrated_gradients(
    model: sequence.SequenceModel, data: Cube, *, site: int, day: int, depth: int = 0, steps: int = 64
) -> xr.Dataset:
    """What each input on each day gave to one prediction: integrated gradients from the training mean (Sundararajan et al. 2017).

    Returns `attribution` (time, input) [m3 m-3] up to `day`, and `completeness_error`: how far their sum is from prediction minus
    baseline, relative to that difference. arXiv:1703.01365; Gauss-Legendre quadrature along the path.
    """
    torch = sequence._torch()
    model.check(data)
    x, static = model.scale(data.at(np.array([site])))
    first = max(0, day + 1 - model.spec.window)
    end = torch.from_numpy(x[:, first : day + 1])
    fixed, upper = torch.from_numpy(static), float(data.upper[site, depth])
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(end)
    model.net.eval()
    for node, weight in zip(nodes, weights, strict=True):
        point = (end * float((node + 1) / 2)).requires_grad_()
        (gradient,) = torch.autograd.grad(torch.sigmoid(model.net(point, fixed)[0, -1, depth]) * upper, point)
        total += gradient * float(weight / 2)
    with torch.no_grad():
        ends = [float(torch.sigmoid(model.net(p, fixed)[0, -1, depth]) * upper) for p in (end, torch.zeros_like(end))]
    given = (total * end)[0].numpy()
    given = given.reshape(*given.shape[:2], -1).sum(-1)
    gap = abs(float(given.sum()) - (ends[0] - ends[1])) / max(abs(ends[0] - ends[1]), 1e-9)
    out = xr.Dataset(
        {
            "attribution": (("time", "input"), given, {"units": "m3 m-3"}),
            "prediction": ends[0],
            "baseline": ends[1],
            "completeness_error": gap,
        },
        coords={"time": data.time[first : day + 1], "input": list(data.inputs)},
    )
    return cf.provenance(out, references="arXiv:1703.01365")
