"""Physics on tensors, so that what a network says can be pushed through soil, emission and backscatter, and trained there.

The bucket is that of `vadose.physics.bucket` in the same order of processes; with `smooth` its corners are rounded so that
gradients exist everywhere. Water is conserved in both: what is subtracted here is added there. Needs PyTorch.

Mironov et al. 2009, doi:10.1109/TGRS.2008.2011631 (dielectric); Mo et al. 1982, doi:10.1029/JC087iC13p11229 (tau-omega);
Attema and Ulaby 1978, doi:10.1029/RS013i002p00357 (water cloud).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

DEPTHS = (50.0, 950.0)  # mm
TEMPERATURE = 0.02  # of the rounding, as a share of the layer's capacity


def _least(a: Tensor, b: Tensor, width: Tensor | float) -> Tensor:
    """The smaller of two, rounded over `width`; never above either, never below zero."""
    return torch.relu(a - width * softplus((a - b) / width))


def _over(x: Tensor, width: Tensor | float) -> Tensor:
    return width * softplus(x / width)


def bucket(
    rain: Tensor,
    demand: Tensor,
    start: Tensor,
    soil: Mapping[str, Tensor],
    *,
    depths: tuple[float, float] = DEPTHS,
    smooth: float | None = TEMPERATURE,
) -> tuple[Tensor, Tensor]:
    """Run the two-layer bucket on tensors.

    Parameters
    ----------
    rain, demand : (cell, day) [mm d-1].
    start : soil moisture (cell, 2) at the beginning [m3 m-3].
    soil : parameters of `vadose.physics.bucket` as (cell,) or, where they vary in time, (cell, day).
    smooth : temperature of the rounding; None for hard limits (equal to the compiled bucket).

    Returns
    -------
    Soil moisture (cell, day, 2) and fluxes (cell, day, 3: ET, runoff, drainage) [mm d-1]; rain = sum of fluxes + change of storage.
    """
    s1, s2 = start[:, 0] * depths[0], start[:, 1] * depths[1]
    moisture, fluxes = [], []
    for t in range(rain.shape[1]):
        p = {k: v[:, t] if v.dim() == 2 else v for k, v in soil.items()}
        s1, s2, flux = _day(s1, s2, rain[:, t], demand[:, t], p, depths, smooth)
        moisture.append(torch.stack([s1 / depths[0], s2 / depths[1]], dim=-1))
        fluxes.append(torch.stack(flux, dim=-1))
    return torch.stack(moisture, dim=1), torch.stack(fluxes, dim=1)


def _day(s1, s2, rain, demand, p, depths, smooth):
    max1, max2 = p["porosity"] * depths[0], p["porosity"] * depths[1]
    wet = (s1 / max1).clamp(1e-6, 1.0)
    entered = rain * (1.0 - wet ** p["infiltration_shape"])
    runoff = rain - entered
    s1 = s1 + entered
    over = torch.relu(s1 - max1) if smooth is None else _over(s1 - max1, smooth * max1)
    s1, runoff = s1 - over, runoff + over
    span = p["critical_point"] - p["wilting_point"]
    used = []
    for s, depth, share in ((s1, depths[0], p["surface_share"]), (s2, depths[1], 1.0 - p["surface_share"])):
        x = (s / depth - p["wilting_point"]) / span
        stress = x.clamp(0.0, 1.0) if smooth is None else _over(x, smooth) - _over(x - 1.0, smooth)
        spare = torch.relu(s - p["residual"] * depth)
        wanted = demand * share * stress
        used.append(torch.minimum(wanted, spare) if smooth is None else _least(wanted, spare, smooth * depth * 0.1))
    s1, s2 = s1 - used[0], s2 - used[1]
    power = 2.0 * p["exponent"] + 3.0
    down = _drain(s1, max1, p["field_capacity"] * depths[0], p["conductivity"], power, smooth)
    s1, s2 = s1 - down, s2 + down
    over = torch.relu(s2 - max2) if smooth is None else _over(s2 - max2, smooth * 0.1 * max2)
    s2, runoff = s2 - over, runoff + over
    out = _drain(s2, max2, p["field_capacity"] * depths[1], p["conductivity"], power, smooth)
    return s1, s2 - out, (used[0] + used[1], runoff, out)


def _drain(s, top, capacity, conductivity, power, smooth):
    rate = conductivity * (s / top).clamp(1e-6, 1.0) ** power
    if smooth is None:
        return torch.relu(torch.minimum(rate, s - capacity))
    return _least(rate, torch.relu(s - capacity), 0.1 * smooth * top)


def mironov(moisture: Tensor, clay: Tensor | float, *, frequency: float = 1.4e9) -> Tensor:
    """Complex permittivity of moist mineral soil from soil moisture [m3 m-3] and clay (mass fraction 0 to 1), at 20 to 22 C."""
    c = torch.as_tensor(clay, dtype=moisture.dtype) * 100.0
    n_dry = 1.634 - 0.539e-2 * c + 0.2748e-4 * c**2
    k_dry = 0.03952 - 0.04038e-2 * c
    bound = 0.02863 + 0.30673e-2 * c
    water = []
    for static, tau, sigma in (
        (79.8 - 85.4e-2 * c + 32.7e-4 * c**2, 1.062e-11 + 3.450e-14 * c, 0.3112 + 0.467e-2 * c),
        (100.0 + 0.0 * c, 8.5e-12 + 0.0 * c, 0.3631 + 1.217e-2 * c),
    ):
        x = 2 * math.pi * frequency * tau
        real = 4.9 + (static - 4.9) / (1 + x**2)
        loss = (static - 4.9) * x / (1 + x**2) + sigma / (2 * math.pi * frequency * 8.854e-12)
        size = torch.sqrt(real**2 + loss**2)
        water.append((torch.sqrt((size + real) / 2), torch.sqrt((size - real) / 2)))
    (n_b, k_b), (n_u, k_u) = water
    held = torch.minimum(moisture, torch.as_tensor(bound, dtype=moisture.dtype))
    free = moisture - held
    n = n_dry + (n_b - 1) * held + (n_u - 1) * free
    k = k_dry + k_b * held + k_u * free
    return torch.complex(n**2 - k**2, 2 * n * k)


def tau_omega(
    moisture: Tensor,
    clay: Tensor | float,
    temperature: Tensor,
    tau: Tensor,
    *,
    canopy_temperature: Tensor | None = None,
    omega: Tensor | float = 0.05,
    roughness: Tensor | float = 0.15,
    exponent: float = 2.0,
    mixing: float = 0.0,
    angle: float = 40.0,
) -> tuple[Tensor, Tensor]:
    """L-band brightness temperature (vertical, horizontal) [K] of soil under plants (M-X13).

    `tau` is the optical depth at nadir; temperatures in K; `angle` from nadir in degrees.
    """
    eps = mironov(moisture, clay)
    cos = math.cos(math.radians(angle))
    q = torch.sqrt(eps - math.sin(math.radians(angle)) ** 2)
    flat_h = torch.abs((cos - q) / (cos + q)) ** 2
    flat_v = torch.abs((eps * cos - q) / (eps * cos + q)) ** 2
    damp = torch.exp(-torch.as_tensor(roughness, dtype=moisture.dtype) * cos**exponent)
    canopy = temperature if canopy_temperature is None else canopy_temperature
    through = torch.exp(-tau / cos)
    out = []
    for own, other in ((flat_v, flat_h), (flat_h, flat_v)):
        r = ((1 - mixing) * own + mixing * other) * damp
        out.append(temperature * (1 - r) * through + canopy * (1 - omega) * (1 - through) * (1 + r * through))
    return out[0], out[1]


def water_cloud(
    moisture: Tensor,
    vegetation: Tensor,
    a: Tensor | float,
    b: Tensor | float,
    c: Tensor | float,
    d: Tensor | float,
    *,
    angle: float = 40.0,
) -> Tensor:
    """Backscatter [dB] of soil under a cloud of water drops: a V cos (1 - e) + e 10^((c + d theta) / 10), e = exp(-2 b V / cos).

    `vegetation` V is a water content or index; c [dB] and d [dB per m3 m-3] describe the bare soil.
    """
    cos = math.cos(math.radians(angle))
    through = torch.exp(-2.0 * b * vegetation / cos)
    soil = 10.0 ** ((c + d * moisture) / 10.0)
    return 10.0 * torch.log10(a * vegetation * cos * (1 - through) + through * soil)


def penalties(
    moisture: Tensor,
    rain: Tensor,
    demand: Tensor,
    porosity: Tensor,
    *,
    fluxes: Tensor | None = None,
    residual: float = 0.02,
    depths: tuple[float, float] = DEPTHS,
    tolerance: float = 1.0,
) -> dict[str, Tensor]:
    """What physics forbids, each zero where it is obeyed (M-X14b): balance, rain, demand, bounds.

    `balance` needs `fluxes`; `rain` and `demand` need inputs with requires_grad: more rain on a day never dries that day, more
    demand never wets it. Weights of the specification: 1, 0.1, 0.1, 10.
    """
    out = {
        "bounds": (torch.relu(moisture - porosity[:, None, None]) ** 2 + torch.relu(residual - moisture) ** 2).mean()
    }
    if fluxes is not None:
        thickness = torch.tensor(depths, dtype=moisture.dtype, device=moisture.device)
        storage = (moisture * thickness).sum(-1)
        gap = (storage[:, 1:] - storage[:, :-1] - (rain - fluxes.sum(-1))[:, 1:]).abs()
        out["balance"] = (torch.relu(gap - tolerance) ** 2).mean()
    for name, forcing, sign in (("rain", rain, -1.0), ("demand", demand, 1.0)):
        if forcing.requires_grad:
            days = torch.randint(0, moisture.shape[1], (4,), generator=torch.Generator().manual_seed(0))
            slopes = [
                torch.autograd.grad(moisture[:, t, 0].sum(), forcing, create_graph=True, retain_graph=True)[0][:, t]
                for t in days
            ]
            out[name] = (torch.relu(sign * torch.stack(slopes)) ** 2).mean()
    return out


WEIGHTS = {"balance": 1.0, "rain": 0.1, "demand": 0.1, "bounds": 10.0}
