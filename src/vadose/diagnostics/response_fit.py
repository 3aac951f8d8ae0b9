"""Which moisture response do measured fluxes follow? Fits, ranks by AICc, optimum and width (M-T2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import least_squares

from vadose.errors import TooFewSamplesError
from vadose.physics import greenhouse

REFERENCE = 288.15  # K
LEAST = 30


@dataclass(frozen=True)
class Form:
    """A response with its free shape: f(theta, porosity, shape), start, bounds."""

    name: str
    function: Callable
    start: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def _damm(theta, porosity, shape):
    rate = greenhouse.damm(
        theta, REFERENCE, bulk_density=(1 - porosity) * 2.65, particle_density=2.65,
        k_substrate=10.0 ** shape[0], k_oxygen=10.0 ** shape[1],
    )  # fmt: skip
    return rate / 1e-3


#: The forms that are tried; amplitude and Q10 are fitted with each.
FORMS = (
    Form("damm", _damm, (-6.0, -0.9), (-8.0, -2.5), (-4.0, 0.5)),
    Form(
        "yan", lambda t, p, s: greenhouse.yan(t, p, protection=s[0], oxygen=s[1]), (0.5, 0.75), (0.0, 0.05), (1.0, 1.7)
    ),
    Form("moyano", lambda t, p, s: greenhouse.moyano(t / p, quadratic=s[0]), (2.42,), (1.0,), (3.1,)),
    Form("orchidee", lambda t, p, s: greenhouse.orchidee(t / p), (), (), ()),
    Form("century", lambda t, p, s: greenhouse.century(t / p, s[0]), (5.0,), (1.0,), (15.0,)),
)


def benchmark_response(
    flux: xr.DataArray, soil_moisture: xr.DataArray, soil_temperature: xr.DataArray, porosity: float
) -> pd.DataFrame:
    """Fit every form to a site's fluxes and rank them.

    flux = amplitude f(theta; shape) Q10^((T - 15 degC) / 10). Arrays share one dimension; theta [m3 m-3], T [K], any flux unit.
    Returns a table, best first: `aicc`, `delta`, `rmse`, `amplitude`, `q10`, `optimum` [m3 m-3], `half_width` (moisture range above
    half the maximum), `dry_slope` (mean slope of the response below the optimum), `n`. At least 30 complete samples.
    """
    y, theta, t = (np.asarray(a, dtype=float).ravel() for a in (flux, soil_moisture, soil_temperature))
    good = np.isfinite(y) & np.isfinite(theta) & np.isfinite(t) & (theta > 0) & (theta <= porosity)
    if good.sum() < LEAST:
        raise TooFewSamplesError(f"{int(good.sum())} complete samples, at least {LEAST} are needed")
    y, theta, t = y[good], theta[good], t[good]
    rows = [_row(form, y, theta, t, porosity) for form in FORMS]
    table = pd.DataFrame(rows).sort_values("aicc").reset_index(drop=True)
    table.insert(2, "delta", table["aicc"] - table["aicc"].iloc[0])
    return table


def _row(form, y, theta, t, porosity):
    scale = float(np.nanmedian(np.abs(y))) or 1.0

    def model(x):
        return x[0] * scale * form.function(theta, porosity, x[2:]) * x[1] ** ((t - REFERENCE) / 10.0)

    low, high = [0.0, 1.0, *form.low], [1e3, 6.0, *form.high]
    fit = least_squares(lambda x: (model(x) - y) / scale, [1.5, 2.0, *form.start], bounds=(low, high))
    squares = float(((model(fit.x) - y) ** 2).sum())
    n, k = y.size, fit.x.size + 1
    axis = np.linspace(0.005, porosity, 800)
    response = form.function(axis, porosity, fit.x[2:])
    top = int(np.argmax(response))
    above = axis[response >= 0.5 * response[top]]
    return {
        "response": form.name,
        "aicc": n * np.log(squares / n) + 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1),
        "rmse": np.sqrt(squares / n),
        "amplitude": fit.x[0] * scale,
        "q10": fit.x[1],
        "optimum": float(axis[top]),
        "half_width": float(above[-1] - above[0]),
        "dry_slope": float((response[top] - response[0]) / max(axis[top] - axis[0], 1e-9)),
        "n": n,
    }


def bin_by_pore_space(
    flux: xr.DataArray, soil_moisture: xr.DataArray, porosity: float, *, bins: int = 20
) -> pd.DataFrame:
    """Mean, standard error and number of fluxes by water-filled pore space [1] in equal bins."""
    table = pd.DataFrame(
        {"flux": np.asarray(flux, float).ravel(), "wfps": np.asarray(soil_moisture, float).ravel() / porosity}
    ).dropna()
    groups = table.groupby(pd.cut(table["wfps"], np.linspace(0, 1, bins + 1).tolist()), observed=True)["flux"]
    out = groups.agg(["mean", "sem", "count"]).reset_index()
    out["wfps"] = [interval.mid for interval in out["wfps"]]
    return out
