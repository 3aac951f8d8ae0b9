"""Relative permittivity of moist soil, and the way back to its moisture (M-X12).

Water holds an electric field about twenty times better than dry soil does: that is what microwave radiometers, radars and
most sensors in the ground measure. Permittivity is complex, eps = eps' + i eps'' with eps'' >= 0 (loss).

Models: `mironov` (2009, doi:10.1109/TGRS.2008.2011631; clay, 20-22 degC), `dobson` (1985, doi:10.1109/TGRS.1985.289498;
1.4-18 GHz), `peplinski` (1995, doi:10.1109/36.387598; 0.3-1.3 GHz, also used at 1.4) and `topp` (1980,
doi:10.1029/WR016i003p00574; real part only, from measurements in the ground).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import xarray as xr
from numba import njit, vectorize

from vadose import cf, units
from vadose.constants import FREEZING_POINT, VACUUM_PERMITTIVITY
from vadose.errors import VadoseInputError, unknown_name

Model = Literal["mironov", "dobson", "peplinski", "topp"]
MODELS = ("mironov", "dobson", "peplinski", "topp")
LBAND = 1.41e9  # Hz
FLAGS = ("out_of_range", "frozen", "conductivity_clipped")
TOPP_RANGE = (2.0, 45.0)  # permittivity
_TWO_PI_EPS0 = 2.0 * math.pi * VACUUM_PERMITTIVITY


@njit(cache=True, nogil=True, error_model="numpy")
def _relax(f, static, tau, sigma):
    """Refractive index and attenuation of water that relaxes (Debye) and conducts."""
    x = 2.0 * math.pi * f * tau
    fall = (static - 4.9) / (1.0 + x * x)
    real = 4.9 + fall
    loss = fall * x + sigma / (_TWO_PI_EPS0 * f)
    n = math.sqrt((math.sqrt(real * real + loss * loss) + real) / 2.0)
    return n, loss / (2.0 * n)  # eps'' = 2 n k


@njit(cache=True, nogil=True, error_model="numpy")
def mironov_cell(m, clay, f):
    """eps', eps'' of one cell: water bound to clay first, free water above that. Without branches, so that loops over it vectorize."""
    bound = 0.02863 + 0.30673 * clay
    n_b, k_b = _relax(f, 79.8 - 85.4 * clay + 32.7 * clay * clay, 1.062e-11 + 3.450e-12 * clay, 0.3112 + 0.467 * clay)
    n_u, k_u = _relax(f, 100.0, 8.5e-12, 0.3631 + 1.217 * clay)
    low, high = min(m, bound), max(m - bound, 0.0)
    n = 1.634 - 0.539 * clay + 0.2748 * clay * clay + (n_b - 1.0) * low + (n_u - 1.0) * high
    k = 0.03952 - 0.04038 * clay + k_b * low + k_u * high
    return n * n - k * k, 2.0 * n * k


@njit(cache=True, nogil=True)
def _conductivity(sand, clay, rho_b, low):
    """Effective conductivity [S m-1]; low frequencies after Peplinski, higher ones after Dobson."""
    if low:
        return 0.0467 + 0.2204 * rho_b - 0.4111 * sand + 0.6614 * clay
    return -1.645 + 1.939 * rho_b - 2.25622 * sand + 1.594 * clay


@njit(cache=True, nogil=True)
def dobson_cell(m, clay, sand, rho_b, rho_s, celsius, f, low, stogryn):
    """eps', eps'' of one cell by the semi-empirical mixing model; densities in g cm-3."""
    alpha = 0.65
    solid = 4.7 if stogryn else (1.01 + 0.44 * rho_s) ** 2 - 0.062
    b1 = 1.2748 - 0.519 * sand - 0.152 * clay
    b2 = 1.33797 - 0.603 * sand - 0.166 * clay
    if stogryn:
        static = 87.134 - 0.1949 * celsius - 0.01276 * celsius**2 + 2.491e-4 * celsius**3
    else:
        static = 88.045 - 0.4147 * celsius + 6.295e-4 * celsius**2 + 1.075e-5 * celsius**3
    x = f * (1.1109e-10 - 3.824e-12 * celsius + 6.938e-14 * celsius**2 - 5.096e-16 * celsius**3)
    water = 4.9 + (static - 4.9) / (1.0 + x * x)
    dry = 1.0 + rho_b / rho_s * (solid**alpha - 1.0)
    if m > 0.0:
        sigma = max(_conductivity(sand, clay, rho_b, low), 0.0)
        loss = x * (static - 4.9) / (1.0 + x * x) + sigma * (rho_s - rho_b) / (_TWO_PI_EPS0 * f * rho_s * m)
        real = (dry + m**b1 * water**alpha - m) ** (1.0 / alpha)
        imaginary = (m**b2 * loss**alpha) ** (1.0 / alpha)
    else:
        real, imaginary = dry ** (1.0 / alpha), 0.0
    return (1.15 * real - 0.68 if low else real), imaginary


@njit(cache=True, nogil=True)
def topp_cell(e):
    """Soil moisture from permittivity (the published direction)."""
    return -5.3e-2 + 2.92e-2 * e - 5.5e-4 * e * e + 4.3e-6 * e * e * e


@njit(cache=True, nogil=True)
def _topp_inverse(m):
    low, high = 1.0, 90.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if topp_cell(middle) < m:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def cell(code, m, clay, sand, rho_b, rho_s, kelvin, f, stogryn):
    """eps', eps'' of one cell by model number (the place in `MODELS`); densities in kg m-3."""
    if code == 0:
        return mironov_cell(m, clay, f)
    if code == 3:
        return _topp_inverse(m), 0.0
    return dobson_cell(m, clay, sand, rho_b / 1e3, rho_s / 1e3, kelvin - 273.15, f, code == 2, stogryn)


@vectorize(cache=True)
def _forward(code, m, clay, sand, rho_b, rho_s, kelvin, f, stogryn):
    if not 0.0 <= m <= 1.0:
        return complex(np.nan, np.nan)
    real, loss = cell(code, m, clay, sand, rho_b, rho_s, kelvin, f, stogryn)
    return complex(real, loss)


@vectorize(cache=True)
def _backward(code, eps, clay, sand, rho_b, rho_s, kelvin, f, stogryn, low, high):
    """Sixty bisections on the real part; NaN where the bracket does not hold the value."""
    if code == 3:
        return topp_cell(eps)
    first, _ = cell(code, low, clay, sand, rho_b, rho_s, kelvin, f, stogryn)
    last, _ = cell(code, high, clay, sand, rho_b, rho_s, kelvin, f, stogryn)
    if not first <= eps <= last:
        return np.nan
    for _ in range(60):
        middle = 0.5 * (low + high)
        value, _ = cell(code, middle, clay, sand, rho_b, rho_s, kelvin, f, stogryn)
        if value < eps:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def check_fraction(**fields: xr.DataArray | float) -> None:
    """Raise where a mass fraction is outside 0..1 (percent given as a fraction). Lazy fields are not looked at."""
    for name, field in fields.items():
        if getattr(field, "chunks", None) is not None:
            continue
        worst = float(np.nanmax(np.asarray(field)))
        if worst > 1.0 or float(np.nanmin(np.asarray(field))) < 0.0:
            raise VadoseInputError(
                f"{name} must be a mass fraction from 0 to 1, found {worst:g}; give percent with units '%'"
            )


def check_moisture(soil_moisture: xr.DataArray) -> None:
    """Raise where most values exceed 1: percent given as a fraction. Single values outside 0..1 are flagged elsewhere."""
    if soil_moisture.chunks is None and soil_moisture.size and float(soil_moisture.median()) > 1.0:
        raise VadoseInputError(
            f"soil moisture must be in m3 m-3, its median is {float(soil_moisture.median()):.3g}; give percent with units '%'"
        )


def model_number(model: str) -> int:
    """The place of a model in `MODELS`, which kernels know it by."""
    if model not in MODELS:
        raise unknown_name("dielectric model", model, MODELS)
    return MODELS.index(model)


@units.declare(soil_moisture="1", clay="1", sand="1", bulk_density="kg m-3", temperature="K")
def complex_permittivity(
    soil_moisture: xr.DataArray,
    clay: xr.DataArray | float,
    *,
    frequency: float = LBAND,
    model: Model = "mironov",
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    particle_density: float = 2660.0,
    temperature: xr.DataArray | float = 293.15,
    water: Literal["ulaby", "stogryn"] = "ulaby",
) -> xr.DataArray:
    """Complex relative permittivity (any dims), eps' + i eps'' [1]; NaN where soil moisture is not in 0..1.

    `permittivity` gives the same as two real variables with a flag, which files can hold. Lazy in, lazy out.
    """
    check_fraction(clay=clay, sand=sand)
    check_moisture(soil_moisture)
    if water not in ("ulaby", "stogryn"):
        raise unknown_name("water model", water, ("ulaby", "stogryn"))
    if frequency < 1e6:
        raise VadoseInputError(f"frequency is in Hz; {frequency:g} is too low for a microwave model (L-band: 1.41e9)")
    out = xr.apply_ufunc(
        _forward,
        model_number(model),
        soil_moisture,
        clay,
        sand,
        bulk_density,
        particle_density,
        temperature,
        frequency,
        water == "stogryn",
        dask="parallelized",
        output_dtypes=[complex],
    )
    return out.rename("relative_permittivity").assign_attrs(units="1", long_name="complex relative permittivity")


@units.declare(soil_moisture="1", clay="1", sand="1", bulk_density="kg m-3", temperature="K")
def permittivity(
    soil_moisture: xr.DataArray,
    clay: xr.DataArray | float,
    *,
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    temperature: xr.DataArray | float = 293.15,
    model: Model = "mironov",
    **options,
) -> xr.Dataset:
    """Relative permittivity of moist soil.

    Parameters
    ----------
    soil_moisture : liquid water (any dims) [m3 m-3]. Ice has a permittivity near 3: frozen soil has no answer here.
    clay, sand : mass fractions [1]; sand is used by `dobson` and `peplinski` only.
    bulk_density : dry soil [kg m-3]. temperature : of the soil [K]; `mironov` holds near 20 degC and only checks for frost.
    options : `frequency` [Hz], `particle_density` [kg m-3], `water` ("ulaby" or "stogryn").

    Returns
    -------
    Dataset with `relative_permittivity` (real part), `dielectric_loss` (imaginary part, zero for `topp`) [1] and
    `permittivity_flag`: `out_of_range` (moisture not in 0..1: NaN), `frozen` (below 273.15 K: NaN), `conductivity_clipped`
    (the regression gave a negative conductivity; zero was used). No standard error: the models state none per value.

    Raises
    ------
    VadoseInputError for texture in percent without units, unknown names otherwise.
    """
    eps = complex_permittivity(
        soil_moisture,
        clay,
        sand=sand,
        bulk_density=bulk_density,
        temperature=temperature,
        model=model,
        **options,
    )
    frozen = xr.zeros_like(eps.real) + temperature < FREEZING_POINT
    negative = xr.zeros_like(eps.real, dtype=bool)
    if model in ("dobson", "peplinski"):
        negative = negative | (_conductivity.py_func(sand, clay, bulk_density / 1e3, model == "peplinski") < 0.0)
    flag = (soil_moisture.notnull() & eps.isnull()) * 1 + frozen * 2 + negative * 4
    eps = eps.where(~frozen)
    out = xr.Dataset(
        {
            "relative_permittivity": cf.describe(eps.real, "relative_permittivity"),
            "dielectric_loss": cf.describe(eps.imag, "dielectric_loss", units="1", long_name="dielectric loss factor"),
            "permittivity_flag": flag.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS)),
        }
    )
    return cf.provenance(
        cf.link(out, "relative_permittivity", "permittivity_flag"),
        method="M-X12",
        params={"model": model, **options},
        references=REFERENCES[model],
    )


REFERENCES = {
    "mironov": "doi:10.1109/TGRS.2008.2011631",
    "dobson": "doi:10.1109/TGRS.1985.289498",
    "peplinski": "doi:10.1109/36.387598",
    "topp": "doi:10.1029/WR016i003p00574",
}


@units.declare(clay="1", sand="1", bulk_density="kg m-3", temperature="K")
def moisture_from_permittivity(
    relative_permittivity: xr.DataArray,
    clay: xr.DataArray | float = 0.2,
    *,
    frequency: float = LBAND,
    model: Model = "mironov",
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    particle_density: float = 2660.0,
    temperature: xr.DataArray | float = 293.15,
    water: Literal["ulaby", "stogryn"] = "ulaby",
    maximum: float = 0.95,
    error: float | None = None,
) -> xr.Dataset:
    """Soil moisture [m3 m-3] from the real part of permittivity, by bisection between 0 and `maximum`.

    `error` is the standard error of the permittivity; with it the result has `soil_moisture_standard_error` (first order).
    NaN and the flag `out_of_range` where no moisture gives this permittivity (Topp: outside 2 to 45).
    """
    check_fraction(clay=clay, sand=sand)
    fixed = (clay, sand, bulk_density, particle_density, temperature, frequency, water == "stogryn", 0.0, maximum)

    def solve(values):
        return xr.apply_ufunc(
            _backward, model_number(model), values, *fixed, dask="parallelized", output_dtypes=[float]
        )

    theta = solve(relative_permittivity.real)
    if model == "topp":
        inside = (relative_permittivity.real >= TOPP_RANGE[0]) & (relative_permittivity.real <= TOPP_RANGE[1])
        theta = theta.where(inside)
    out = xr.Dataset({"soil_moisture": cf.describe(theta, "soil_moisture")})
    out["soil_moisture_flag"] = (
        (relative_permittivity.notnull() & theta.isnull()).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS[:1]))
    )
    linked = ["soil_moisture_flag"]
    if error is not None:
        step = 1e-3
        slope = (solve(relative_permittivity.real + step) - theta) / step
        out["soil_moisture_standard_error"] = (np.abs(slope) * error).assign_attrs(units="m3 m-3")
        linked.append("soil_moisture_standard_error")
    return cf.provenance(
        cf.link(out, "soil_moisture", *linked), method="M-X12", params={"model": model}, references=REFERENCES[model]
    )


def lookup_table(
    clay: float, *, step: float = 1e-4, maximum: float = 0.6, model: Model = "mironov", **options
) -> xr.DataArray:
    """Soil moisture against permittivity for one soil, for `numpy.interp`-style lookup: error below 1e-5 at step 1e-4."""
    theta = xr.DataArray(np.arange(0.0, maximum + step / 2, step), dims="relative_permittivity", attrs={"units": "1"})
    eps = complex_permittivity(theta, clay, model=model, **options).real
    return theta.assign_coords(relative_permittivity=eps.values).rename("soil_moisture").assign_attrs(units="m3 m-3")
