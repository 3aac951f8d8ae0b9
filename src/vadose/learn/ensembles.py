"""How sure a network is: several seeds, dropout left on, and a factor that makes the spread true on held-out sites (M-T1.2).

The raw spread of seeds and dropout is nearly always too small at new sites; the factor is the conformal quantile of
|error| / spread on sites that taught nothing. Lakshminarayanan et al. 2017, arXiv:1612.01474; Gal and Ghahramani 2016.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError, VadoseWarning
from vadose.learn import files, intervals, sequence
from vadose.learn.windows import Cube
from vadose.typing import Path

FORMAT = "vadose-ensemble-1"
SMALLEST = 1e-3  # m3 m-3, so that members who agree are not infinitely sure
SHARES = (0.68, 0.9)
PIECES, NODES = 8, 8  # of the path from the mean weather to that of a year, at first; points in each
SHARP = 0.02  # of the allowed error that a narrow piece may leave: errors of many pieces seldom share a sign


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
        files.save_words(
            root / "ensemble.json", FORMAT, words, *(f"member-{k}/model.json" for k in range(len(self.members)))
        )


def load(folder: Path) -> Ensemble:
    """Read what `Ensemble.save` wrote; damaged or foreign files are an `UnreadableFileError`."""
    root = FilePath(folder)
    words = files.load_words(root / "ensemble.json", FORMAT, "Ensemble.save")
    with files.reading(root):
        members = [sequence.load(root / f"member-{k}") for k in range(words["members"])]
        factor = {float(k): v for k, v in words["factor"].items()}
        return Ensemble(members, words["dropout"], factor, words["calibrated_on"])


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
    model: sequence.SequenceModel,
    data: Cube,
    *,
    site: int,
    day: int,
    depth: int = 0,
    tolerance: float = 0.005,
    most: int = 8192,
) -> xr.Dataset:
    """What each input on each day gave to one prediction: integrated gradients from the training mean (Sundararajan et al. 2017).

    A recurrent network that learned frost switches within a hair of the path from mean weather to the weather of the year, there and
    back, and a fixed quadrature steps over it. The prediction along the path is known, so every piece of it has its own check:
    where the gradients do not add up to the change of the prediction, the piece is halved.

    Parameters
    ----------
    tolerance : completeness error asked for, relative to prediction minus baseline (to 0.001 m3 m-3 where they nearly agree).
    most : gradients computed at most; a `VadoseWarning` tells where they did not suffice.

    Returns
    -------
    `attribution` (time, input) [m3 m-3] up to `day`, `prediction`, `baseline`, and `completeness_error`: how far the sum is from
    prediction minus baseline, relative to that difference. arXiv:1703.01365; Gauss-Legendre quadrature in double precision.
    """
    torch = sequence._torch()
    model.check(data)
    x, static = model.scale(data.at(np.array([site])))
    first = max(0, day + 1 - model.spec.window)
    end, fixed = (torch.from_numpy(v).double() for v in (x[:, first : day + 1], static))
    net, upper = copy.deepcopy(model.net).double().eval(), float(data.upper[site, depth])

    def along(share: Any) -> Any:
        """Inputs at shares (point,) of the path, and what the network predicts from them."""
        points = (share.reshape(-1, *[1] * (end.dim() - 1)) * end).requires_grad_()
        return points, torch.sigmoid(net(points, fixed.expand(len(share), -1))[:, -1, depth]) * upper

    nodes, weights = (torch.from_numpy(v) / 2 for v in np.polynomial.legendre.leggauss(NODES))
    edges = torch.linspace(0.0, 1.0, PIECES + 1, dtype=torch.float64)
    with torch.no_grad():
        values = along(edges)[1]
    change = float(values[-1] - values[0])
    allowed = tolerance * max(abs(change), 1e-3)
    open_ = list(zip(edges[:-1], edges[1:], values[:-1], values[1:], strict=True))
    total, count, missing = torch.zeros_like(end[0]), 0, 0.0
    while open_:
        low, high, before, after = open_.pop()
        middle, width = (low + high) / 2, high - low
        points, predicted = along(middle + width * nodes)
        (gradient,) = torch.autograd.grad(predicted.sum(), points)
        given = (torch.tensordot(weights, gradient, 1) * width) * end[0]
        gap, count = float((given.sum() - (after - before)).abs()), count + NODES
        if gap <= max(allowed * float(width), SHARP * allowed) or count + NODES * len(open_) >= most:
            total, missing = total + given, missing + gap
            continue
        with torch.no_grad():
            between = along(middle[None])[1][0]
        open_ += [(low, middle, before, between), (middle, high, between, after)]
    if missing > 2 * allowed:
        warnings.warn(
            f"integrated gradients: {count} points leave {missing:.1e} of {change:.1e} m3 m-3 unexplained; pass a larger most",
            VadoseWarning,
            stacklevel=2,
        )
    given = total.numpy()
    given = given.reshape(*given.shape[:2], -1).sum(-1)
    out = xr.Dataset(
        {
            "attribution": (("time", "input"), given, {"units": "m3 m-3"}),
            "prediction": float(values[-1]),
            "baseline": float(values[0]),
            "completeness_error": abs(float(given.sum()) - change) / max(abs(change), 1e-9),
        },
        coords={"time": data.time[first : day + 1], "input": list(data.inputs)},
    )
    return cf.provenance(out, references="arXiv:1703.01365")
