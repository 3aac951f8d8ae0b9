"""From water in a spectrum to soil moisture: curves fitted to samples of one kind of soil (M-T1.8).

The logistic curve takes the water thickness of `vadose.physics.spectra_fit`; the exponential law of Lobell and Asner 2002,
doi:10.2136/sssaj2002.7220, takes reflectance itself, band by band.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from vadose import cf
from vadose.errors import TooFewSamplesError, VadoseInputError
from vadose.physics import spectra


def _logistic(x, p):
    return p[0] / (1.0 + p[1] * np.exp(-p[2] * x))


def fit_calibration(water_thickness: xr.DataArray, soil_moisture: xr.DataArray) -> xr.Dataset:
    """Logistic curve from water thickness to moisture of one kind of soil: K / (1 + a exp(-psi w)) on data scaled to 0..1.

    Huber loss (0.1). `soil_moisture` in any unit (volumetric or gravimetric); the calibration keeps it. At least 5 samples.
    Returns parameters, covariance, the scaling and `residual_error`.
    """
    water_thickness, soil_moisture = xr.align(water_thickness, soil_moisture, join="inner")
    soil_moisture = soil_moisture.transpose(*water_thickness.dims)
    good = (water_thickness.notnull() & soil_moisture.notnull()).values
    x, y = water_thickness.values[good], soil_moisture.values[good]
    if x.size < 5:
        raise TooFewSamplesError(f"a calibration needs at least 5 samples, found {x.size}")
    scale = np.array([x.min(), np.ptp(x), y.min(), np.ptp(y)])
    if scale[1] <= 0 or scale[3] <= 0:
        raise VadoseInputError("water thickness and soil moisture must both vary among the samples")
    u, v = (x - scale[0]) / scale[1], (y - scale[2]) / scale[3]
    best: Any = None
    for rate in (2.0, 6.0, 15.0):
        for shift in (1.0, 10.0):
            fit = least_squares(
                lambda p: _logistic(u, p) - v,
                [1.0, shift, rate],
                bounds=([0, 0, 0], [2, 100, 50]),
                loss="huber",
                f_scale=0.1,
            )
            if best is None or fit.cost < best.cost:
                best = fit
    residual = _logistic(u, best.x) - v
    spread = float(np.sqrt((residual**2).sum() / max(x.size - 3, 1)))
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * spread**2
    names = ["K", "a", "psi"]
    return xr.Dataset(
        {
            "parameter": ("name", best.x),
            "covariance": (("name", "other"), covariance),
            "scaling": ("bound", scale),
            "residual_error": spread * scale[3],
            "n": x.size,
        },
        coords={"name": names, "other": names, "bound": ["water_low", "water_range", "moisture_low", "moisture_range"]},
        attrs={"units": soil_moisture.attrs.get("units", "m3 m-3"), "vadose_method": "M-T1.8"},
    )


def apply_calibration(inverted: xr.Dataset, calibration: xr.Dataset) -> xr.Dataset:
    """`inverted` with `soil_moisture` and its standard error (of the curve, of the thickness and of the residuals together)."""
    p, c = calibration["parameter"].values, calibration["covariance"].values
    low, width, base, gain = calibration["scaling"].values
    u = (inverted["water_thickness"] - low) / width
    decay = np.exp(-p[2] * u)
    bottom = 1.0 + p[1] * decay
    value = p[0] / bottom
    slope = value * p[1] * p[2] * decay / bottom
    gradient = (1.0 / bottom, -value * decay / bottom, value * p[1] * u * decay / bottom)
    curve = sum(gradient[i] * gradient[j] * c[i, j] for i in range(3) for j in range(3))
    thickness = (slope * inverted["water_thickness_standard_error"] / width) ** 2
    variance = gain**2 * (abs(curve) + thickness) + float(calibration["residual_error"]) ** 2
    unit = calibration.attrs["units"]
    out = inverted.assign(soil_moisture=cf.describe(base + gain * value, "soil_moisture", units=unit))
    out["soil_moisture_standard_error"] = (variance**0.5).assign_attrs(units=unit)
    return cf.link(out, "soil_moisture", "soil_moisture_standard_error", "water_thickness_flag")


def fit_lobell_asner(reflectance: xr.DataArray, saturation: xr.DataArray) -> xr.Dataset:
    """Dry and saturated reflectance and rate of darkening of each band, from (wavelength, sample) spectra and (sample) moisture.

    R = R_sat + (R_dry - R_sat) exp(-c S), least squares over a fine axis of c. `saturation`: degree of saturation, or any moisture.
    """
    spectra.check_reflectance(reflectance)
    reflectance, saturation = xr.align(reflectance, saturation, join="inner")
    sample = saturation.dims[0]
    r = reflectance.transpose("wavelength", sample).values
    s = saturation.values
    if s.size < 4:
        raise TooFewSamplesError(f"the exponential law needs at least 4 samples, found {s.size}")
    rates = np.geomspace(0.05, 40.0, 160) / max(float(np.nanmax(s)), 1e-9)
    best = np.full((3, r.shape[0]), np.nan)
    lowest = np.full(r.shape[0], np.inf)
    for rate in rates:
        e = np.exp(-rate * s)
        slope = ((e - e.mean()) * (r - r.mean(axis=1, keepdims=True))).sum(axis=1) / ((e - e.mean()) ** 2).sum()
        start = r.mean(axis=1) - slope * e.mean()
        cost = ((r - start[:, None] - slope[:, None] * e) ** 2).sum(axis=1)
        better = cost < lowest
        lowest = np.where(better, cost, lowest)
        best = np.where(better, np.stack([start + slope, start, np.full_like(start, rate)]), best)
    coords = {"wavelength": reflectance["wavelength"]}
    names = ("dry", "saturated", "rate")
    out = xr.Dataset({n: ("wavelength", v) for n, v in zip(names, best, strict=True)}, coords=coords)
    out["residual_error"] = ("wavelength", np.sqrt(lowest / max(s.size - 3, 1)))
    return out.assign_attrs(
        maximum=float(np.nanmax(s)), vadose_method="M-T1.8", references="doi:10.2136/sssaj2002.7220"
    )


def apply_lobell_asner(reflectance: xr.DataArray, parameters: xr.Dataset, *, steps: int = 400) -> xr.DataArray:
    """Moisture whose spectrum is nearest, all bands weighted by their residual error; between 0 and 1.2 times the largest seen.

    A band without a value does not count; NaN where none has one.
    """
    axis = xr.DataArray(np.linspace(0.0, 1.2 * parameters.attrs["maximum"], steps), dims="candidate")
    model = spectra.lobell_asner(axis, parameters["dry"], parameters["saturated"], parameters["rate"])
    weight = 1.0 / parameters["residual_error"].clip(1e-6) ** 2
    # sum w (r - m)^2 = sum w r^2 - 2 sum w r m + sum w m^2; the first does not depend on the candidate
    known = reflectance.notnull()
    seen = (reflectance * weight).where(known, 0.0)
    cost = xr.dot(weight * known, model**2, dim="wavelength") - 2.0 * xr.dot(seen, model, dim="wavelength")
    nearest = axis.isel(candidate=cost.argmin("candidate"))
    return nearest.where(known.any("wavelength")).rename("soil_moisture")
