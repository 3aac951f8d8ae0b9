"""What a radiometer at L-band sees of soil under plants, and the moisture it implies: the tau-omega model (M-X13).

Soil emits; a rough surface mirrors less; plants dim the soil by exp(-tau / cos a) and shine themselves. Wet soil is a better
mirror and therefore looks colder. Mo et al. 1982, doi:10.1029/WR018i003p00671 (recalled); roughness after Choudhury et al. 1979,
doi:10.1029/JC084iC09p05699; use in SMAP: Entekhabi et al. 2010, doi:10.1109/JPROC.2010.2043918.

Roughness, albedo and the vegetation factor by land cover belong to a mission's document and are given by the caller as a
table (`by_class`); the defaults are vadose's own choice and are not the mission's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from numba import guvectorize, njit

from vadose import cf, units
from vadose.constants import FREEZING_POINT
from vadose.errors import VadoseInputError
from vadose.physics import dielectric

INCIDENCE = 40.0  # degrees
ROUGHNESS = 0.15
ROUGHNESS_EXPONENT = 2.0
ALBEDO = 0.05
VEGETATION_FACTOR = 0.11  # m2 kg-1, optical depth per kg m-2 of water in plants
TEMPERATURE_ERROR = 1.3  # K, of a brightness temperature
DENSE = 5.0  # kg m-2
BLOCK = 16_384  # cells at a time, so that what passes between the steps of the forward model stays in the cache
POSSIBLE = (50.0, 340.0)  # K
FLAGS = ("frozen", "dense_vegetation", "impossible_brightness", "at_edge", "not_converged", "moisture_out_of_range")
REFERENCES = "doi:10.1109/JPROC.2010.2043918"


@njit(cache=True, nogil=True, error_model="numpy")
def fresnel(real, loss, cosine):
    """Smooth reflectivity (vertical, horizontal) at the incidence angle whose cosine is given; real arithmetic of the complex form."""
    inside = real - (1.0 - cosine * cosine)
    q = math.sqrt((math.sqrt(inside * inside + loss * loss) + inside) / 2.0)  # root of eps - sin^2: q + i w
    w = loss / (2.0 * q)
    h = ((cosine - q) ** 2 + w * w) / ((cosine + q) ** 2 + w * w)
    a, b = real * cosine, loss * cosine
    v = ((a - q) ** 2 + (b - w) ** 2) / ((a + q) ** 2 + (b + w) ** 2)
    return v, h


@njit(cache=True, nogil=True, error_model="numpy")
def _through_plants(smooth_v, smooth_h, soil, canopy, gamma, dim, mixing, omega):
    """Brightness temperature (vertical, horizontal) [K]: roughness dims the mirror by `dim`, plants let the share `gamma` through."""
    v = ((1.0 - mixing) * smooth_v + mixing * smooth_h) * dim
    h = ((1.0 - mixing) * smooth_h + mixing * smooth_v) * dim
    plants = canopy * (1.0 - omega) * (1.0 - gamma)
    return soil * (1.0 - v) * gamma + plants * (1.0 + v * gamma), soil * (1.0 - h) * gamma + plants * (1.0 + h * gamma)


@njit(cache=True, nogil=True)
def tau_omega(real, loss, soil, canopy, tau, cosine, h, power, mixing, omega):
    """Brightness temperature (vertical, horizontal) [K] of one cell."""
    smooth_v, smooth_h = fresnel(real, loss, cosine)
    gamma, dim = math.exp(-tau / cosine), math.exp(-h * cosine**power)
    return _through_plants(smooth_v, smooth_h, soil, canopy, gamma, dim, mixing, omega)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit(code, m, clay, sand, rho_b, soil, canopy, gamma, dim, mixing, omega, f, cosine, v, h):
    """Fill `v` and `h` [K] for a block of cells. One short loop a step: each becomes vector instructions, one long loop would not."""
    for i in range(m.size):
        if code == 0:
            v[i], h[i] = dielectric.mironov_cell(m[i], clay[i], f)
        else:
            v[i], h[i] = dielectric.cell(code, m[i], clay[i], sand[i], rho_b[i], 2660.0, soil[i], f, False)
    for i in range(m.size):
        v[i], h[i] = fresnel(v[i], h[i], cosine)
    for i in range(m.size):
        seen_v, seen_h = _through_plants(v[i], h[i], soil[i], canopy[i], gamma[i], dim[i], mixing[i], omega[i])
        unknown = soil[i] < 273.15 or not 0.0 <= m[i] <= 1.0
        v[i] = np.nan if unknown else seen_v
        h[i] = np.nan if unknown else seen_h


def _forward(code, m, clay, sand, rho_b, soil, canopy, tau, rough, mixing, omega, *, frequency, cosine, exponent):
    """Both polarizations [K] of arrays that broadcast, `BLOCK` cells at a time."""
    fields = np.broadcast_arrays(m, clay, sand, rho_b, soil, canopy, tau, rough, mixing, omega)
    shape = fields[0].shape
    flat = [field.reshape(-1) for field in fields]
    v, h = np.empty(flat[0].size), np.empty(flat[0].size)
    for start in range(0, v.size, BLOCK):
        part = slice(start, start + BLOCK)
        block = [np.ascontiguousarray(field[part], dtype=float) for field in flat]
        block[6], block[7] = np.exp(block[6] / -cosine), np.exp(block[7] * -(cosine**exponent))
        _emit(code, *block, frequency, cosine, v[part], h[part])  # type: ignore[call-arg]
    return v.reshape(shape), h.reshape(shape)


@njit(cache=True, nogil=True)
def _seen(code, m, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega):
    real, loss = dielectric.cell(code, m, clay, sand, rho_b, 2660.0, soil, f, False)
    return tau_omega(real, loss, soil, canopy, tau, cosine, h, power, mixing, omega)


@cache
def _kernels() -> dict[str, Any]:
    """The compiled loops, made at first use so that importing stays quick."""
    real = ",".join(["f8"] * 13)
    scalars = ",".join(["()"] * 14)

    @guvectorize(
        ["void(i8," + real + ",f8,f8,f8[:],f8[:],u1[:])"], scalars + ",(),()->(),(),()", nopython=True, cache=True
    )
    def single(
        code, tb, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega, top, noise, th, sd, flag
    ):
        th[0] = np.nan
        sd[0] = np.nan
        flag[0] = 0
        if np.isnan(tb) or np.isnan(tau) or np.isnan(soil) or np.isnan(clay) or np.isnan(top):
            return
        if soil < 273.15:
            flag[0] = 1
            return
        if not 50.0 <= tb <= 340.0:
            flag[0] = 4
            return
        low, high = 0.02, top
        dry, _ = _seen(code, low, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega)
        wet, _ = _seen(code, high, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega)
        if tb >= dry:
            flag[0] = 8
            high = low
        elif tb <= wet:
            flag[0] = 8
            low = high
        for _ in range(45):
            middle = 0.5 * (low + high)
            value, _ = _seen(code, middle, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega)
            if value > tb:
                low = middle
            else:
                high = middle
        th[0] = 0.5 * (low + high)
        a, _ = _seen(code, th[0] + 1e-5, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega)
        b, _ = _seen(code, th[0] - 1e-5, clay, sand, rho_b, soil, canopy, tau, f, cosine, h, power, mixing, omega)
        sd[0] = noise * 2e-5 / abs(a - b)

    @guvectorize(
        ["void(i8," + real + ",f8,f8,f8,f8,f8[:],f8[:],f8[:],f8[:],u1[:])"],
        scalars + ",(),(),(),()->(),(),(),(),()",
        nopython=True,
        cache=True,
    )
    def dual(
        code, tv, clay, sand, rho_b, soil, canopy, tau0, f, cosine, h, power, mixing, omega, top, noise, hobs, s_tau,
        th, sd, tau, sd_tau, flag,
    ):  # fmt: skip
        th[0] = np.nan
        sd[0] = np.nan
        tau[0] = np.nan
        sd_tau[0] = np.nan
        flag[0] = 0
        if np.isnan(tv) or np.isnan(hobs) or np.isnan(tau0) or np.isnan(soil) or np.isnan(clay) or np.isnan(top):
            return
        if soil < 273.15:
            flag[0] = 1
            return
        if not (50.0 <= tv <= 340.0 and 50.0 <= hobs <= 340.0):
            flag[0] = 4
            return
        x, y = 0.2, tau0
        weight, prior = 1.0 / (noise * noise), 1.0 / (s_tau * s_tau)
        flag[0] = 16
        a11, a12, a22 = 1.0, 0.0, 1.0
        for _ in range(20):
            v0, h0 = _seen(code, x, clay, sand, rho_b, soil, canopy, y, f, cosine, h, power, mixing, omega)
            v1, h1 = _seen(code, x + 1e-6, clay, sand, rho_b, soil, canopy, y, f, cosine, h, power, mixing, omega)
            v2, h2 = _seen(code, x, clay, sand, rho_b, soil, canopy, y + 1e-6, f, cosine, h, power, mixing, omega)
            vx, hx, vy, hy = (v1 - v0) * 1e6, (h1 - h0) * 1e6, (v2 - v0) * 1e6, (h2 - h0) * 1e6
            rv, rh = tv - v0, hobs - h0
            a11 = weight * (vx * vx + hx * hx)
            a12 = weight * (vx * vy + hx * hy)
            a22 = weight * (vy * vy + hy * hy) + prior
            g1 = weight * (vx * rv + hx * rh)
            g2 = weight * (vy * rv + hy * rh) + prior * (tau0 - y)
            det = a11 * a22 - a12 * a12
            dx = (a22 * g1 - a12 * g2) / det
            dy = (a11 * g2 - a12 * g1) / det
            dx = min(max(dx, -0.1), 0.1)
            dy = min(max(dy, -0.3), 0.3)
            nx = min(max(x + dx, 0.02), top)
            ny = min(max(y + dy, 0.0), 5.0)
            moved = abs(nx - x) + abs(ny - y)
            x, y = nx, ny
            if moved < 1e-9:
                flag[0] = 0
                break
        if x <= 0.02 or x >= top:
            flag[0] |= 8
        det = a11 * a22 - a12 * a12
        th[0], tau[0] = x, y
        sd[0], sd_tau[0] = math.sqrt(a22 / det), math.sqrt(a11 / det)

    return {"single": single, "dual": dual}


def vegetation_water(ndvi: xr.DataArray, stem: xr.DataArray | float = 0.0) -> xr.DataArray:
    """Water in plants [kg m-2] from NDVI (foliage) and the most that stems hold; NDVI's annual range is over `time`.

    1.9134 NDVI^2 - 0.3215 NDVI + stem (max - min) / (1 - min).
    """
    leaves = 1.9134 * ndvi**2 - 0.3215 * ndvi
    if "time" in ndvi.dims:
        low, high = ndvi.min("time"), ndvi.max("time")
        leaves = leaves + stem * (high - low) / (1.0 - low)
    return leaves.clip(0.0).rename("vegetation_water").assign_attrs(units="kg m-2", long_name="water in plants")


def by_class(land_cover: xr.DataArray, table: Mapping[int, Mapping[str, float]], name: str) -> xr.DataArray:
    """The parameter `name` of each cell's land-cover class, from the mission's table that the caller read; NaN for others."""
    out = xr.full_like(land_cover, np.nan, dtype=float)
    for number, row in table.items():
        if name not in row:
            raise VadoseInputError(f"land-cover class {number} has no {name!r}; its row has {', '.join(row)}")
        out = out.where(land_cover != number, row[name])
    return out.rename(name)


@units.declare(soil_moisture="1", clay="1", temperature="K", canopy_temperature="K", sand="1", bulk_density="kg m-3")
def brightness_temperature(
    soil_moisture: xr.DataArray,
    clay: xr.DataArray | float,
    temperature: xr.DataArray | float,
    *,
    canopy_temperature: xr.DataArray | float | None = None,
    optical_depth: xr.DataArray | float = 0.0,
    albedo: xr.DataArray | float = ALBEDO,
    roughness: xr.DataArray | float = ROUGHNESS,
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    incidence: float = INCIDENCE,
    exponent: float = ROUGHNESS_EXPONENT,
    mixing: xr.DataArray | float = 0.0,
    frequency: float = dielectric.LBAND,
    model: dielectric.Model = "mironov",
) -> xr.Dataset:
    """Brightness temperature of soil under plants.

    Parameters
    ----------
    soil_moisture [m3 m-3], clay [1], temperature of the soil [K] : any dims that broadcast.
    canopy_temperature : [K], the soil's where not given (true near 6 in the morning). optical_depth : tau at nadir [1].
    albedo : single scattering omega [1]. roughness : h [1]. exponent : N. mixing : Q between polarizations. incidence : degrees.

    Returns
    -------
    Dataset: `brightness_temperature_v`, `brightness_temperature_h` [K] and `brightness_temperature_flag` (`frozen`: below
    273.15 K, NaN; `moisture_out_of_range`: not in 0..1, NaN; `dense_vegetation`: tau above that of 5 kg m-2). No standard error: forward models get theirs from the
    caller's inputs. Lazy in, lazy out.
    """
    canopy = temperature if canopy_temperature is None else canopy_temperature
    dielectric.check_fraction(clay=clay, sand=sand)
    dielectric.check_moisture(soil_moisture)
    v, h = xr.apply_ufunc(
        _forward,
        *_arguments(model, soil_moisture, clay, sand, bulk_density, temperature, canopy, optical_depth),
        roughness,
        mixing,
        albedo,
        kwargs={"frequency": float(frequency), "cosine": _cosine(incidence), "exponent": float(exponent)},
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[float, float],
    )
    flag = (xr.zeros_like(v) + temperature < FREEZING_POINT) * 1 + _dense(v, optical_depth) * 2
    flag = flag + ((soil_moisture < 0.0) | (soil_moisture > 1.0)) * 32
    out = xr.Dataset({"brightness_temperature_v": v, "brightness_temperature_h": h})
    for name, letter in (("brightness_temperature_v", "vertical"), ("brightness_temperature_h", "horizontal")):
        out[name].attrs = {
            "standard_name": "brightness_temperature",
            "units": "K",
            "long_name": f"brightness temperature, {letter} polarization",
            "ancillary_variables": "brightness_temperature_flag",
        }
    out["brightness_temperature_flag"] = flag.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
    return cf.provenance(
        out,
        method="M-X13",
        params={"model": model, "incidence": incidence, "frequency": frequency},
        references=REFERENCES,
    )


def _arguments(model, moisture_or_tb, clay, sand, rho_b, soil, canopy, tau):
    return dielectric.model_number(model), moisture_or_tb, clay, sand, rho_b, soil, canopy, tau


def _cosine(incidence):
    if not 0.0 <= incidence < 90.0:
        raise VadoseInputError(f"incidence is in degrees from the vertical (0 to 90), got {incidence:g}")
    return math.cos(math.radians(incidence))


def _geometry(frequency, incidence, roughness, exponent, mixing, albedo):
    return float(frequency), _cosine(incidence), roughness, float(exponent), mixing, albedo


def _dense(like, optical_depth):
    return xr.zeros_like(like) + optical_depth > VEGETATION_FACTOR * DENSE


@units.declare(brightness="K", clay="1", temperature="K", sand="1", bulk_density="kg m-3")
def retrieve_single(
    brightness: xr.DataArray,
    clay: xr.DataArray | float,
    temperature: xr.DataArray | float,
    *,
    optical_depth: xr.DataArray | float,
    canopy_temperature: xr.DataArray | float | None = None,
    porosity: xr.DataArray | float = 0.5,
    albedo: xr.DataArray | float = ALBEDO,
    roughness: xr.DataArray | float = ROUGHNESS,
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    incidence: float = INCIDENCE,
    exponent: float = ROUGHNESS_EXPONENT,
    frequency: float = dielectric.LBAND,
    model: dielectric.Model = "mironov",
    error: float = TEMPERATURE_ERROR,
) -> xr.Dataset:
    """Soil moisture from one vertically polarized brightness temperature with known vegetation (single-channel algorithm).

    Bisection between 0.02 and `porosity`. Returns `soil_moisture`, its standard error from `error` [K] by the local slope, and
    `soil_moisture_flag`: `frozen` and `impossible_brightness` (outside 50-340 K) give NaN, `at_edge` the nearer edge.
    """
    canopy = temperature if canopy_temperature is None else canopy_temperature
    dielectric.check_fraction(clay=clay, sand=sand)
    theta, sd, flag = xr.apply_ufunc(
        _kernels()["single"],
        *_arguments(model, brightness, clay, sand, bulk_density, temperature, canopy, optical_depth),
        *_geometry(frequency, incidence, roughness, exponent, 0.0, albedo),
        porosity,
        float(error),
        output_core_dims=[[], [], []],
        dask="parallelized",
        output_dtypes=[float, float, "uint8"],
    )
    return _estimate(theta, sd, flag, _dense(theta, optical_depth), {"algorithm": "single-channel", "model": model})


@units.declare(vertical="K", horizontal="K", clay="1", temperature="K", sand="1", bulk_density="kg m-3")
def retrieve_dual(
    vertical: xr.DataArray,
    horizontal: xr.DataArray,
    clay: xr.DataArray | float,
    temperature: xr.DataArray | float,
    *,
    optical_depth: xr.DataArray | float,
    optical_depth_error: float = 0.05,
    canopy_temperature: xr.DataArray | float | None = None,
    porosity: xr.DataArray | float = 0.5,
    albedo: xr.DataArray | float = ALBEDO,
    roughness: xr.DataArray | float = ROUGHNESS,
    sand: xr.DataArray | float = 0.4,
    bulk_density: xr.DataArray | float = 1300.0,
    incidence: float = INCIDENCE,
    exponent: float = ROUGHNESS_EXPONENT,
    mixing: xr.DataArray | float = 0.0,
    frequency: float = dielectric.LBAND,
    model: dielectric.Model = "mironov",
    error: float = TEMPERATURE_ERROR,
) -> xr.Dataset:
    """Soil moisture and vegetation optical depth together, from both polarizations (dual-channel algorithm).

    Least squares by Gauss-Newton, with `optical_depth` as what is known before (standard error `optical_depth_error`). Returns
    what `retrieve_single` does and `vegetation_optical_depth` with its standard error; `not_converged` after 20 steps.
    """
    canopy = temperature if canopy_temperature is None else canopy_temperature
    dielectric.check_fraction(clay=clay, sand=sand)
    theta, sd, tau, tau_sd, flag = xr.apply_ufunc(
        _kernels()["dual"],
        *_arguments(model, vertical, clay, sand, bulk_density, temperature, canopy, optical_depth),
        *_geometry(frequency, incidence, roughness, exponent, mixing, albedo),
        porosity,
        float(error),
        horizontal,
        float(optical_depth_error),
        output_core_dims=[[]] * 5,
        dask="parallelized",
        output_dtypes=[float] * 4 + ["uint8"],
    )
    out = _estimate(theta, sd, flag, _dense(theta, tau), {"algorithm": "dual-channel", "model": model})
    out["vegetation_optical_depth"] = cf.describe(tau, "vegetation_optical_depth")
    out["vegetation_optical_depth_standard_error"] = tau_sd.assign_attrs(units="1")
    return cf.link(out, "vegetation_optical_depth", "vegetation_optical_depth_standard_error", "soil_moisture_flag")


def _estimate(theta, sd, flag, dense, params):
    out = xr.Dataset({"soil_moisture": cf.describe(theta, "soil_moisture")})
    out["soil_moisture_standard_error"] = sd.assign_attrs(units="m3 m-3", long_name="standard error of soil moisture")
    out["soil_moisture_flag"] = (flag | (dense * 2).astype("uint8")).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
    out = cf.link(out, "soil_moisture", "soil_moisture_standard_error", "soil_moisture_flag")
    return cf.provenance(out, method="M-X13", params=params, references=REFERENCES)
