"""What an instrument sees of the bucket's upper layer, with parameters that are learned beside the soil's (M-X14d).

For `observe=` of `vadose.learn.hybrid.fit`, where the targets are brightness temperatures or backscatter: the layer turns moisture
(site, day, 2) into what was measured, and its own parameters are trained with the network's. Needs PyTorch.

Mo et al. 1982, doi:10.1029/JC087iC13p11229 (tau-omega); Jackson and Schmugge 1991, doi:10.1016/0034-4257(91)90057-D (optical depth
proportional to the water of plants); Attema and Ulaby 1978, doi:10.1029/RS013i002p00357 (water cloud).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vadose.learn import tensors


class TauOmega(nn.Module):
    """L-band brightness temperatures, vertical and horizontal (site, day, 2) [K]: learns `depth`, optical depth a kg m-2, and `roughness`.

    Parameters
    ----------
    temperature : of the soil (site, day) [K]; vegetation : water of the plants (site, day) [kg m-2].
    clay : mass fraction, a number or (site, 1). depth, roughness : where learning starts, both positive.
    omega, angle : single scattering albedo and incidence [degrees], not learned.

    Plants and rough ground dampen alike, so from one angle only what both do together is learned well.
    """

    def __init__(
        self,
        temperature: Tensor,
        vegetation: Tensor,
        clay: Tensor | float,
        *,
        depth: float = 0.12,
        roughness: float = 0.15,
        omega: float = 0.05,
        angle: float = 40.0,
    ) -> None:
        super().__init__()
        self.temperature, self.vegetation, self.clay = temperature, vegetation, clay
        self.omega, self.angle = omega, angle
        self.raw = nn.Parameter(torch.log(torch.tensor([depth, roughness])))

    def parameters_of(self) -> dict[str, float]:
        """Optical depth a kg m-2 and roughness as learned."""
        depth, roughness = self.raw.detach().exp().tolist()
        return {"depth": depth, "roughness": roughness}

    def forward(self, moisture: Tensor) -> Tensor:
        depth, roughness = self.raw.exp()
        seen = tensors.tau_omega(
            moisture[..., 0], self.clay, self.temperature, depth * self.vegetation, omega=self.omega,
            roughness=roughness, angle=self.angle,
        )  # fmt: skip
        return torch.stack(seen, dim=-1)


class WaterCloud(nn.Module):
    """Backscatter (site, day, 1) [dB]: learns a, b of the canopy (positive), level c [dB] and slope d [dB per m3 m-3] of the soil.

    `vegetation` (site, day) is a water content or index; a, b, c, d say where learning starts. A wetter soil that scatters less and a
    drier one that scatters more look alike: level and slope are learned well only where the bucket's water balance fixes the moisture.
    """

    def __init__(
        self,
        vegetation: Tensor,
        *,
        a: float = 0.1,
        b: float = 0.1,
        c: float = -18.0,
        d: float = 30.0,
        angle: float = 40.0,
    ) -> None:
        super().__init__()
        self.vegetation, self.angle = vegetation, angle
        self.canopy = nn.Parameter(torch.log(torch.tensor([a, b])))
        self.soil = nn.Parameter(torch.tensor([c, d]) / 10.0)  # of the size of one, as the optimizer expects

    def parameters_of(self) -> dict[str, float]:
        """a, b, c, d as learned."""
        a, b = self.canopy.detach().exp().tolist()
        c, d = (10.0 * self.soil.detach()).tolist()
        return {"a": a, "b": b, "c": c, "d": d}

    def forward(self, moisture: Tensor) -> Tensor:
        a, b = self.canopy.exp()
        c, d = 10.0 * self.soil
        return tensors.water_cloud(moisture[..., 0], self.vegetation, a, b, c, d, angle=self.angle)[..., None]
