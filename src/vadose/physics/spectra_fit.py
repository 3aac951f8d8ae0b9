"""From a spectrum to water: inversion of the film models (M-T1.8).

Thickness and wet share of a film trade against each other; their product, the mean water thickness [mm], is what a spectrum
tells. It becomes soil moisture only through a calibration of the
same kind of soil (`vadose.physics.spectra_calibration`). Bounds after public work with these
models (thickness 0.001 to 0.2 cm, share 0.001 to 1).
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
import xarray as xr
from numba import njit
from scipy.optimize import least_squares

from vadose import cf
from vadose.errors import ExperimentalWarning, VadoseInputError, unknown_name
from vadose.physics import spectra

THICKNESS = (0.001, 0.2)  # cm
FRACTION = (0.001, 1.0)
STEPS = 30
POOR_FIT = 0.03
FLAGS = ("vegetation", "open_water", "poor_fit", "at_bound", "few_bands")
MODELS = ("marmit", "marmit2", "swap_hapke")
REFERENCES = "doi:10.1016/j.rse.2018.07.031 doi:10.1016/j.rse.2022.112951"


@njit(cache=True, nogil=True)
def _share(r, dry, wet, weight):
    """Best wet share at one thickness (the model is linear in it) and what is left of chi2."""
    top, bottom = 0.0, 0.0
    for b in range(r.size):
        d = wet[b] - dry[b]
        top += weight[b] * d * (r[b] - dry[b])
        bottom += weight[b] * d * d
    share = min(max(top / bottom, 0.001), 1.0) if bottom > 0 else 0.001
    chi2 = 0.0
    for b in range(r.size):
        e = r[b] - dry[b] - share * (wet[b] - dry[b])
        chi2 += weight[b] * e * e
    return share, chi2


@njit(cache=True, nogil=True)
def _film(length, dry, a, mirror, through, back, wet):
    for b in range(dry.size):
        u = dry[b] * math.exp(-2.0 * a[b] * length)
        wet[b] = mirror[b] + through[b] * u / (1.0 - back[b] * u)


@njit(cache=True, nogil=True)  # type: ignore[misc]
def _fit_film(pixels, dries, a, mirror, through, back, sigma_floor, sigma_rate, out):
    """out (pixels, 8): thickness, share, water [mm], their standard errors, rmse, chi2; NaN where fewer than 3 bands are good."""
    count, bands = pixels.shape
    grid = np.exp(np.linspace(math.log(0.001), math.log(0.2), 30))
    damp = np.empty((30, bands))
    for k in range(30):
        for b in range(bands):
            damp[k, b] = math.exp(-2.0 * a[b] * grid[k])
    single = dries.shape[0] == 1
    table = np.empty((30, bands))
    if single:
        for k in range(30):
            for b in range(bands):
                u = dries[0, b] * damp[k, b]
                table[k, b] = mirror[b] + through[b] * u / (1.0 - back[b] * u)
    r, weight, wet = np.empty(bands), np.empty(bands), np.empty(bands)
    for p in range(count):
        dry = dries[0] if single else dries[p]
        good = 0
        for b in range(bands):
            v = pixels[p, b]
            ok = v > 0.0 and dry[b] > 0.0  # false for NaN
            r[b] = v if ok else 0.1
            s = max(sigma_floor, sigma_rate * v) if ok else 1.0
            weight[b] = 1.0 / (s * s) if ok else 0.0
            good += 1 if ok else 0
        if good < 3:
            for j in range(8):
                out[p, j] = np.nan
            continue
        best, share, chi2 = 0, 0.0, 1e300
        for k in range(30):
            if not single:
                for b in range(bands):
                    u = dry[b] * damp[k, b]
                    wet[b] = mirror[b] + through[b] * u / (1.0 - back[b] * u)
                f, c = _share(r, dry, wet, weight)
            else:
                f, c = _share(r, dry, table[k], weight)
            if c < chi2:
                best, share, chi2 = k, f, c
        x = math.log(grid[best])
        a11, a12, a22 = 1.0, 0.0, 1.0
        for _ in range(25):
            length = math.exp(x)
            _film(length, dry, a, mirror, through, back, wet)
            share, chi2 = _share(r, dry, wet, weight)
            a11, a12, a22, g1, g2 = 0.0, 0.0, 0.0, 0.0, 0.0
            for b in range(bands):
                u = dry[b] * math.exp(-2.0 * a[b] * length)
                slope = share * through[b] / (1.0 - back[b] * u) ** 2 * (-2.0 * a[b] * length * u)
                d = wet[b] - dry[b]
                e = r[b] - dry[b] - share * d
                a11 += weight[b] * slope * slope
                a12 += weight[b] * slope * d
                a22 += weight[b] * d * d
                g1 += weight[b] * slope * e
                g2 += weight[b] * d * e
            free = 0.001 < share < 1.0
            det = a11 * a22 - a12 * a12
            if free and det > 1e-12 * a11 * a22:
                step = (a22 * g1 - a12 * g2) / det
            elif a11 > 0.0:
                step = g1 / a11
            else:
                break
            step = min(max(step, -1.0), 1.0)
            moved = 0.0
            for _ in range(12):
                nx = min(max(x + step, math.log(0.001)), math.log(0.2))
                _film(math.exp(nx), dry, a, mirror, through, back, wet)
                f, c = _share(r, dry, wet, weight)
                if c <= chi2:
                    moved = abs(nx - x)
                    x, share, chi2 = nx, f, c
                    break
                step *= 0.5
            if moved < 1e-9:
                break
        length = math.exp(x)
        # posterior with weak priors: thickness within a factor e^1.5, share within .3
        a11 += 1.0 / 2.25
        a22 += 1.0 / 0.09
        det = a11 * a22 - a12 * a12
        v11, v12, v22 = a22 / det, -a12 / det, a11 / det
        water = 10.0 * length * share
        gradient = 10.0 * length
        variance = water * water * v11 + 2.0 * water * gradient * v12 + gradient * gradient * v22
        squared = 0.0
        _film(length, dry, a, mirror, through, back, wet)
        for b in range(bands):
            if weight[b] > 0.0:
                e = r[b] - dry[b] - share * (wet[b] - dry[b])
                squared += e * e
        out[p, 0], out[p, 1], out[p, 2] = length, share, water
        out[p, 3], out[p, 4], out[p, 5] = length * math.sqrt(v11), math.sqrt(v22), math.sqrt(max(variance, 0.0))
        out[p, 6], out[p, 7] = math.sqrt(squared / good), chi2


_OUT = (
    ("film_thickness", "cm", "thickness of the water film"),
    ("wet_fraction", "1", "share of the ground under the film"),
    ("water_thickness", "mm", "mean water thickness"),
    ("film_thickness_standard_error", "cm", "standard error of the film thickness"),
    ("wet_fraction_standard_error", "1", "standard error of the wet share"),
    ("water_thickness_standard_error", "mm", "standard error of the mean water thickness"),
    ("fit_rmse", "1", "root mean square misfit of reflectance"),
    ("fit_chi2", "1", "sum of squared misfits over their errors"),
)


def invert_reflectance(
    reflectance: xr.DataArray,
    dry: xr.DataArray,
    *,
    model: Literal["marmit", "marmit2", "swap_hapke"] = "marmit",
    sun_zenith: float | None = None,
    optics: xr.Dataset | None = None,
    error_floor: float = 0.002,
    error_rate: float = 0.01,
) -> xr.Dataset:
    """Mean water thickness behind each spectrum.

    Parameters
    ----------
    reflectance : (wavelength, ...) fraction. Choose bands first, `reflectance[:, usable_bands(reflectance)]`. Values <= 0 are left out.
    dry : reflectance of the dry soil at the same wavelengths: (wavelength), or one a pixel (wavelength, ...), or
        (wavelength, endmember): up to four spectra whose mixture is found too (slower, spectrum by spectrum).
    model : `marmit` is compiled and meant for images; the others go spectrum by spectrum. sun_zenith : as in `marmit`.
    error_floor, error_rate : standard error of a reflectance is the larger of floor and rate * R.

    Returns
    -------
    Dataset: `film_thickness` [cm], `wet_fraction` [1], `water_thickness` [mm] with `_standard_error`, `fit_rmse`, `fit_chi2`, and
    `water_thickness_flag`: `vegetation` (NDVI > 0.3), `open_water` (NDWI > 0), `poor_fit` (rmse > 0.03), `at_bound`,
    `few_bands` (fewer than 3: NaN). Lazy in, lazy out (`marmit`); the wavelength axis must be one chunk.

    Raises
    ------
    VadoseInputError for wavelengths that are unsorted or differ between the arguments, or reflectance in percent.
    """
    if model not in MODELS:
        raise unknown_name("reflectance model", model, MODELS)
    nm = spectra.check_reflectance(reflectance)
    other = spectra.check_reflectance(dry)
    if nm.shape != other.shape or not np.allclose(nm, other):
        raise VadoseInputError(
            f"dry spectrum has {other.size} bands from {other[0]:g} nm, reflectance {nm.size} from {nm[0]:g} nm; "
            "interpolate one to the other with .interp(wavelength=...)"
        )
    water = spectra.water_optics(reflectance) if optics is None else optics
    if model == "swap_hapke":
        warnings.warn("SWAP-Hapke: the published wet-albedo law was not seen", ExperimentalWarning, stacklevel=2)
    if model == "marmit" and "endmember" not in dry.dims:
        values = _fast(reflectance, dry, water, sun_zenith, (error_floor, error_rate))
    else:
        values = _slow(reflectance, dry, water, model, sun_zenith, (error_floor, error_rate))
    out = xr.Dataset()
    for k, (name, unit, text) in enumerate(_OUT):
        out[name] = values.isel(part=k, drop=True).assign_attrs(units=unit, long_name=text)
    out["water_thickness_flag"] = _flags(reflectance, nm, out)
    for name in ("film_thickness", "wet_fraction", "water_thickness"):
        out = cf.link(out, name, f"{name}_standard_error", "water_thickness_flag")
    params = {"model": model, "water_optics": water.attrs.get("water_optics", ""), "sun_zenith": sun_zenith}
    return cf.provenance(out, method="M-T1.8", params=params, references=REFERENCES)


def _fast(reflectance, dry, water, sun_zenith, sigma):
    mirror, through, back = (part.values.astype(float) for part in spectra.film_interface(water, sun_zenith))
    a = water["absorption"].values.astype(float)

    def kernel(r, d):
        shape = r.shape[:-1]
        known = d > 0  # false for NaN: such bands are left out
        pixels = np.ascontiguousarray(np.where(known, r, np.nan).reshape(-1, r.shape[-1]), dtype=float)
        clean = np.where(known, d, 0.3)
        rows = clean.reshape(1, -1) if d.ndim == 1 else np.broadcast_to(clean, r.shape).reshape(pixels.shape)
        dries = np.ascontiguousarray(rows, dtype=float)
        out = np.empty((pixels.shape[0], 8))
        _fit_film(pixels, dries, a, mirror, through, back, sigma[0], sigma[1], out)
        return out.reshape(*shape, 8)

    data = reflectance.chunk(wavelength=-1) if reflectance.chunks is not None else reflectance
    return xr.apply_ufunc(
        kernel,
        data,
        dry,
        input_core_dims=[["wavelength"], ["wavelength"]],
        output_core_dims=[["part"]],
        join="override",
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"part": 8}},
    )


def _slow(reflectance, dry, water, model, sun_zenith, sigma):
    """Trust-region least squares from three starts; parameters ln L, share, and weights of the dry endmembers."""
    members = dry.transpose("wavelength", ...).values.reshape(dry.sizes["wavelength"], -1)
    if members.shape[1] > 4:
        raise VadoseInputError(f"{members.shape[1]} dry endmembers; at most 4 can be told apart")
    low = [math.log(THICKNESS[0]), FRACTION[0], *[0.0] * members.shape[1]]
    high = [math.log(THICKNESS[1]), FRACTION[1], *[1.0] * members.shape[1]]

    nm = spectra.wavelengths(reflectance)
    absorption = water["absorption"].values
    film = [part.values for part in spectra.film_interface(water, sun_zenith)]
    loaded = [part.values for part in spectra._loaded_film(water, nm, 5e-4)]

    def forward(x):
        base = members @ (x[2:] / max(x[2:].sum(), 1e-12))
        if model == "marmit":
            return spectra.marmit_law(base, math.exp(x[0]), x[1], absorption, *film)
        if model == "marmit2":
            return spectra.marmit2_law(base, math.exp(x[0]), x[1], *loaded)
        albedo = spectra.albedo_law(base, sun_zenith or 0.0) * np.exp(-absorption * math.exp(x[0]))
        return x[1] * spectra.hapke(albedo, sun_zenith or 0.0) + (1.0 - x[1]) * base

    def one(r):
        good = np.isfinite(r) & (r > 0) & (members > 0).all(axis=1)
        if good.sum() < 3:
            return np.full(8, np.nan)
        s = np.maximum(sigma[0], sigma[1] * r[good])
        best: Any = None
        for start in (0.003, 0.01, 0.05):
            x0 = [math.log(start), 0.5, *[1.0 / members.shape[1]] * members.shape[1]]
            fit = least_squares(lambda x: (forward(x)[good] - r[good]) / s, x0, bounds=(low, high))
            if best is None or fit.cost < best.cost:
                best = fit
        prior = np.diag([1 / 2.25, 1 / 0.09, *[1 / 0.09] * members.shape[1]])
        covariance = np.linalg.inv(best.jac.T @ best.jac + prior)
        length, share = math.exp(best.x[0]), best.x[1]
        gradient = np.array([10 * length * share, 10 * length])
        spread = math.sqrt(gradient @ covariance[:2, :2] @ gradient)
        rmse = float(np.sqrt(np.mean((forward(best.x)[good] - r[good]) ** 2)))
        return np.array([length, share, 10 * length * share, length * math.sqrt(covariance[0, 0]), math.sqrt(covariance[1, 1]), spread, rmse, 2 * best.cost])  # fmt: skip

    def kernel(r):
        return np.apply_along_axis(one, -1, r)

    return xr.apply_ufunc(
        kernel,
        reflectance,
        input_core_dims=[["wavelength"]],
        output_core_dims=[["part"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"part": 8}},
    )


def _flags(reflectance, nm, out):
    def band(target):
        k = int(np.argmin(np.abs(nm - target)))
        return reflectance.isel(wavelength=k, drop=True) if abs(nm[k] - target) <= 30.0 else None

    red, near, green = band(660.0), band(860.0), band(560.0)
    flag = xr.zeros_like(out["fit_rmse"], dtype="uint8")
    if red is not None and near is not None:
        flag = flag + ((near - red) / (near + red) > 0.3) * 1
    if green is not None and near is not None:
        flag = flag + ((green - near) / (green + near) > 0.0) * 2
    edge = (
        (out["wet_fraction"] <= FRACTION[0] * 1.001)
        | (out["wet_fraction"] >= FRACTION[1] * 0.999)
        | (out["film_thickness"] <= THICKNESS[0] * 1.001)
        | (out["film_thickness"] >= THICKNESS[1] * 0.999)
    )
    flag = flag + (out["fit_rmse"] > POOR_FIT) * 4 + edge * 8 + out["fit_rmse"].isnull() * 16
    return flag.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
