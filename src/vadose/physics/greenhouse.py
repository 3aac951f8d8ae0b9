"""How soil moisture steers the gases that soil breathes: response functions and flux models for CO2, N2O and CH4 (M-T2.2).

Each function says which moisture it takes: volumetric theta [m3 m-3], saturation S or water-filled pore space [1], or water
potential [MPa]. Arrays of any kind (numpy or xarray) go in and come out; `moisture_response` is the door for xarray data with
units and flags. Several constants are from memory of the papers named; they are listed in docs/methods.md for review.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.constants import FREEZING_POINT
from vadose.errors import VadoseInputError, unknown_name
from vadose.physics import dielectric

GAS = 8.314472e-3  # kJ mol-1 K-1
FLAGS = ("above_porosity", "frozen")
#: Dual Arrhenius and Michaelis-Menten kinetics, Davidson et al. 2012, doi:10.1111/j.1365-2486.2011.02546.x
DAMM = {
    "rate": 5.38e10,  # mgC cm-3 h-1
    "activation": 72.26,  # kJ mol-1
    "k_substrate": 9.95e-7,  # gC cm-3
    "k_oxygen": 0.121,  # cm3 cm-3 of air
    "soluble": 4.14e-4,
    "liquid_diffusion": 3.17,
    "gas_diffusion": 1.67,
    "bulk_density": 0.80,  # g cm-3
    "particle_density": 2.52,  # g cm-3
    "carbon": 0.048,  # gC cm-3
}


def _positive(x):
    return np.maximum(x, 0.0)


def damm(theta, temperature, **parameters):
    """Respiration [mgC cm-3 h-1] at moisture theta [m3 m-3] and soil temperature [K]: substrate needs water, oxygen needs air."""
    unknown = set(parameters) - set(DAMM)
    if unknown:
        raise unknown_name("DAMM parameter", sorted(unknown)[0], DAMM)
    p = {**DAMM, **parameters}
    porosity = 1.0 - p["bulk_density"] / p["particle_density"]
    substrate = p["soluble"] * p["carbon"] * p["liquid_diffusion"] * _positive(theta) ** 3
    oxygen = p["gas_diffusion"] * 0.209 * _positive(porosity - theta) ** (4.0 / 3.0)
    speed = p["rate"] * np.exp(-p["activation"] / (GAS * temperature))
    return speed * substrate / (p["k_substrate"] + substrate) * oxygen / (p["k_oxygen"] + oxygen)


def per_area(flux, depth: float = 10.0):
    """[mgC cm-3 h-1] over a depth [cm] -> [mgC m-2 h-1]."""
    return flux * depth * 1e4


def yan_protection(clay):
    """Collocation factor a of clay fraction: 0 up to 0.016, 2.8 clay - 0.046 up to 0.37, then 1."""
    where = xr.where if isinstance(clay, xr.DataArray) else np.where  # a map keeps the names of its dimensions
    inside = 2.8 * clay - 0.046
    return where(clay <= 0.016, 0.0, where(clay > 0.37, 1.0, inside))


def yan(theta, porosity, clay=0.2, *, optimum=0.65, k=0.1, saturation=2.0, oxygen=0.75, protection=None):
    """Heterotrophic respiration, 0..1, of theta [m3 m-3]; Yan et al. 2018, doi:10.1038/s41467-018-04971-6 (parameters read, form recalled)."""
    a = yan_protection(clay) if protection is None else protection
    best = optimum * porosity
    safe = _positive(theta)
    dry = (k + best) / (k + safe) * (safe / best) ** (1.0 + a * saturation)
    wet = (_positive(porosity - theta) / (porosity - best)) ** oxygen
    return np.where(theta < best, dry, wet) if not isinstance(theta, xr.DataArray) else xr.where(theta < best, dry, wet)


def moyano(x, *, linear=3.11, quadratic=2.42):
    """3.11 x - 2.42 x^2, not below 0. Coded by others with x = volumetric moisture; its maximum at 0.64 suggests saturation."""
    return _positive(linear * x - quadratic * x**2)


def orchidee(saturation):
    """-1.1 S^2 + 2.4 S - 0.29 between 0.25 and 1; Krinner et al. 2005, doi:10.1029/2003GB002199."""
    return np.clip(-1.1 * saturation**2 + 2.4 * saturation - 0.29, 0.25, 1.0)


def century(saturation, exponent=5.0, *, air_entry=-0.002, driest=-10.0, wettest=-0.002):
    """Logarithm of water potential [MPa] between its dry and wet limits, 0..1; psi = psi_s S^-b."""
    potential = air_entry * np.maximum(saturation, 1e-6) ** (-exponent)
    return np.clip(np.log(driest / potential) / np.log(driest / wettest), 0.0, 1.0)


def lloyd_taylor(temperature):
    """Respiration relative to 10 degC at temperature [K]; Lloyd and Taylor 1994, doi:10.2307/2389824."""
    return np.exp(308.56 * (1.0 / 56.02 - 1.0 / (temperature - 227.13)))


def q10(temperature, factor=2.0, *, reference=288.15):
    """factor^((T - reference) / 10 K)."""
    return factor ** ((temperature - reference) / 10.0)


# --- nitrogen --------------------------------------------------------------------------------------------------------------


def nitrification(wfps, *, coarse=False):
    """Moisture factor 0..1 of nitrification by water-filled pore space [1]; Parton et al. 1996, doi:10.1029/96GB01455."""
    a, b, c, d = (0.55, 1.70, -0.007, 3.22) if coarse else (0.60, 1.27, 0.0012, 2.84)
    wet = _positive((wfps - b) / (a - b)) ** (d * (b - a) / (a - c))
    return wet * _positive((wfps - c) / (a - c)) ** d


def nitrification_temperature(celsius):
    """-0.06 + 0.13 exp(0.07 T), T in degC."""
    return -0.06 + 0.13 * np.exp(0.07 * celsius)


def nitrification_acidity(ph):
    """0.56 + atan(0.45 pi (pH - 5)) / pi."""
    return 0.56 + np.arctan(0.45 * np.pi * (ph - 5.0)) / np.pi


def n2o_to_no(wfps):
    """Ratio of emitted N2O to NO: 10^(2.6 w - 1.66); Davidson and Verchot 2000, doi:10.1029/1999GB001223."""
    return 10.0 ** (2.6 * wfps - 1.66)


def nox_to_n2o(diffusivity):
    """Ratio of NOx to N2O by relative gas diffusivity D/D0 [1]; Parton et al. 2001, doi:10.1029/2001JD900101."""
    return 15.2 + 35.5 * np.arctan(0.68 * np.pi * (10.0 * diffusivity - 1.86)) / np.pi


def denitrification(wfps):
    """Moisture factor 0..1 of denitrification: zero below 60 % of pore space, then quadratic (vadose's choice)."""
    return np.clip((wfps - 0.6) / 0.4, 0.0, 1.0) ** 2


def rewetting_pulse(soil_moisture: xr.DataArray, *, decay: float = 2.0) -> xr.DataArray:
    """Sum of past rises of moisture, each fading with `decay` [d]: the birch effect's shape (vadose's choice). (time, ...) daily."""
    cf.check_time(soil_moisture)
    from scipy.signal import lfilter

    def kernel(values):
        rise = np.maximum(np.diff(values, axis=-1, prepend=values[..., :1]), 0.0)
        return lfilter([1.0], [1.0, -np.exp(-1.0 / decay)], np.nan_to_num(rise), axis=-1)

    data = soil_moisture.chunk(time=-1) if soil_moisture.chunks is not None else soil_moisture
    out = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
    )
    return (
        out.transpose(*soil_moisture.dims)
        .where(soil_moisture.notnull())
        .rename("rewetting")
        .assign_attrs(units="m3 m-3")
    )


# --- methane ---------------------------------------------------------------------------------------------------------------


def methane_uptake(potential):
    """Moisture factor 0..1 of methane oxidation by |water potential| [MPa]; Curry 2007, doi:10.1029/2006GB002818."""
    size = np.maximum(np.abs(potential), 1e-12)
    inside = 1.0 - (np.log10(size) - np.log10(0.2)) / (np.log10(100.0) - np.log10(0.2))
    return np.clip(inside, 0.0, 1.0) ** 0.8


def gas_diffusivity(theta, porosity, exponent=5.0):
    """Relative diffusivity of gas in soil: phi^(4/3) (air / phi)^(1.5 + 3 / b); Moldrup et al. 1999."""
    air = _positive(porosity - theta)
    return porosity ** (4.0 / 3.0) * (air / porosity) ** (1.5 + 3.0 / exponent)


def methane_production(wfps, temperature_factor=1.0, carbon=1.0, rate=1.0):
    """rate * f_T * anaerobic share * carbon, the share a logistic of pore space around 0.85 (vadose's choice)."""
    return rate * temperature_factor * carbon / (1.0 + np.exp(-(wfps - 0.85) / 0.03))


# --- carbon ----------------------------------------------------------------------------------------------------------------


def steady_carbon(litter, rate, response):
    """Carbon stock in balance: I / (k f); its relative change is minus that of f."""
    return litter / (rate * response)


def carbon_sensitivity(response: Callable[..., Any], theta, *, step: float = 1e-4):
    """Relative change of the balanced stock per unit of moisture: d ln C / d theta = -d ln f / d theta (central difference)."""
    return -(np.log(response(theta + step)) - np.log(response(theta - step))) / (2.0 * step)


def carbon_pools(litter, response, *, rates=(1.0, 0.02), transfer=0.3, initial=(0.0, 0.0), step=1.0):
    """Stocks of a fast and a slow pool through time, arrays (..., time, 2).

    litter [kg m-2 per time], response f(t) 0..1, rates [per time], share `transfer` of the fast pool's loss to the slow pool. Each
    step is solved exactly for constant input; what leaves the fast pool is what the slow pool and the air receive.
    """
    litter, response = np.broadcast_arrays(np.asarray(litter, float), np.asarray(response, float))
    out = np.empty((*litter.shape, 2))
    fast, slow = (np.full(litter.shape[:-1], v, dtype=float) for v in initial)
    for t in range(litter.shape[-1]):
        k1, k2 = rates[0] * response[..., t], rates[1] * response[..., t]
        before, given = fast, litter[..., t] * step
        fast = _toward(fast, litter[..., t], k1, step)
        lost = before + given - fast
        slow = _toward(slow, transfer * lost / step, k2, step)
        out[..., t, 0], out[..., t, 1] = fast, slow
    return out


def _toward(stock, given, rate, step):
    safe = np.where(rate > 0, rate, 1.0)
    goal = given / safe
    return np.where(rate > 0, goal + (stock - goal) * np.exp(-safe * step), stock + given * step)


# --- door ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """One moisture response: the moisture it takes, its function and where it comes from."""

    name: str
    takes: str  # "theta", "saturation", "potential"
    function: Callable[..., Any]
    references: str


#: Every response of heterotrophic CO2, N2O and CH4 to moisture by name.
RESPONSES = {
    r.name: r
    for r in (
        Response("yan", "theta", yan, "doi:10.1038/s41467-018-04971-6"),
        Response("moyano", "theta", moyano, "doi:10.1016/j.soilbio.2013.01.002"),
        Response("moyano_saturation", "saturation", moyano, "doi:10.1016/j.soilbio.2013.01.002"),
        Response("orchidee", "saturation", orchidee, "doi:10.1029/2003GB002199"),
        Response("century", "saturation", century, "CENTURY and CLM"),
        Response("nitrification", "saturation", nitrification, "doi:10.1029/96GB01455"),
        Response("denitrification", "saturation", denitrification, "vadose"),
        Response("methane_uptake", "potential", methane_uptake, "doi:10.1029/2006GB002818"),
    )
}


@units.declare(soil_moisture="1", porosity="1")
def moisture_response(
    name: str,
    soil_moisture: xr.DataArray,
    porosity: xr.DataArray | float,
    *,
    soil_temperature: xr.DataArray | None = None,
    air_entry: float = -0.002,
    exponent: float = 5.0,
    **parameters,
) -> xr.Dataset:
    """Response (0..1) called `name` of `RESPONSES` to liquid soil moisture [m3 m-3].

    Moisture above `porosity` counts as porosity (flag `above_porosity`); below 273.15 K the flag `frozen` is set: give liquid
    water then. Potential-based responses use psi = `air_entry` [MPa] S^-`exponent`. No standard error: use several functions and
    their spread, which is larger than any one's parameter error. Raises NotFoundError for unknown names, VadoseInputError for
    porosity outside 0..1.
    """
    if name not in RESPONSES:
        raise unknown_name("moisture response", name, RESPONSES)
    if not isinstance(porosity, xr.DataArray) and not 0.0 < porosity <= 1.0:
        raise VadoseInputError(f"porosity must be in 0..1, got {porosity}")
    dielectric.check_moisture(soil_moisture)
    row = RESPONSES[name]
    above = soil_moisture > porosity
    theta = xr.where(above, porosity, soil_moisture).where(soil_moisture >= 0)
    if row.takes == "theta":
        value = row.function(theta, porosity, **parameters) if name == "yan" else row.function(theta, **parameters)
    elif row.takes == "saturation":
        extra = {"exponent": exponent, "air_entry": air_entry} if name == "century" else {}
        value = row.function(theta / porosity, **extra, **parameters)
    else:
        saturation = (theta / porosity).clip(1e-6)
        value = row.function(air_entry * saturation ** (-exponent), **parameters)
    value = (
        value.where(theta.notnull()).rename("response").assign_attrs(units="1", long_name=f"moisture response {name}")
    )
    flag = above * 1
    if soil_temperature is not None:
        flag = flag + (units.convert(soil_temperature, "K") < FREEZING_POINT) * 2
    out = xr.Dataset({"response": value, "response_flag": flag.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))})
    return cf.provenance(
        cf.link(out, "response", "response_flag"), method="M-T2.2", params={"name": name}, references=row.references
    )
