"""Sites that freeze: what a sensor reads there is liquid water only, and snow and thaw move it without rain (B01 to B07).

Series are hourly; temperatures in degC. Freezing-point depression after Niu & Yang 2006, doi:10.1175/JHM538.1.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose.constants import FREEZING_POINT, FUSION_HEAT
from vadose.errors import VadoseInputError

GRAVITY = 9.80616  # m s-2, the value of the freezing-point relation's source
FROZEN_BELOW, THAWED_ABOVE = -0.5, 0.5  # degC
FROZEN_HOURS, CURTAIN_HOURS = 3, 24
CURTAIN_RATE = 0.05  # degC per hour
SNOW_AMOUNT, SNOW_DEPTH = 10.0, 0.05  # kg m-2, m
ORGANIC_SHARE, ORGANIC_LAYER = 0.20, 0.10  # mass fraction, m
MEMORY = 24  # hours for which a frozen state outlives missing temperatures


def liquid_fraction(
    temperature: xr.DataArray, *, exponent: xr.DataArray | float, suction: xr.DataArray | float
) -> xr.DataArray:
    """Largest share of the pore water that can stay liquid (1) at `temperature` [K]; 1 at and above freezing.

    `exponent` is the Clapp-Hornberger b (1), `suction` the magnitude of the matric potential at saturation [mm].
    Raises VadoseInputError where b or the suction is not positive. Lazy in, lazy out.
    """
    for name, value in (("exponent", exponent), ("suction", suction)):
        if np.any(np.asarray(value) <= 0):
            raise VadoseInputError(f"{name} must be positive, found {np.min(np.asarray(value)):g}")
    below = (FREEZING_POINT - temperature).clip(min=0.0)
    warm = below <= 0
    potential = 1e3 * FUSION_HEAT * below.where(~warm, 1.0) / (GRAVITY * temperature * suction)
    share = (potential ** (-1.0 / exponent)).clip(max=1.0)
    return (
        share.where(~warm, 1.0)
        .where(temperature.notnull())
        .assign_attrs(units="1", long_name="largest liquid share of the pore water", references="doi:10.1175/JHM538.1")
    )


def saturation_suction(
    field_capacity: xr.DataArray, saturation_moisture: xr.DataArray, exponent: xr.DataArray
) -> xr.DataArray:
    """Magnitude of the matric potential at saturation [mm] of the retention curve through field capacity (33 kPa)."""
    meters = 33.0 / 9.80665 * (field_capacity / saturation_moisture) ** exponent
    return (meters * 1000.0).assign_attrs(units="mm", long_name="matric suction at saturation")


@njit(cache=True, nogil=True)
def frozen(temperature):
    """B01: below -0.5 degC for three hours or more, until it is above +0.5 degC. Hours without temperature are not judged."""
    n = temperature.size
    out = np.zeros(n, np.bool_)
    state, cold, missing = False, 0, 0
    for t in range(n):
        v = temperature[t]
        if np.isnan(v):
            missing += 1
            cold = 0
            if missing > MEMORY:
                state = False
            continue
        missing = 0
        cold = cold + 1 if v < FROZEN_BELOW else 0
        if not state and cold >= FROZEN_HOURS:
            state = True
            for k in range(t - cold + 1, t):
                out[k] = True
        elif state and v > THAWED_ABOVE:
            state = False
        out[t] = state
    return out


@njit(cache=True, nogil=True)
def zero_curtain(temperature):
    """B02: within half a degree of freezing and changing by less than 0.05 degC per hour, for a day or more."""
    n = temperature.size
    out = np.zeros(n, np.bool_)
    start = -1
    for t in range(n + 1):
        calm = False
        if t < n and abs(temperature[t]) <= THAWED_ABOVE:
            before, after = temperature[max(t - 1, 0)], temperature[min(t + 1, n - 1)]
            known = np.isnan(before) or abs(temperature[t] - before) < CURTAIN_RATE
            calm = known and (
                np.isnan(after) or abs(after - temperature[t]) < CURTAIN_RATE or abs(after) > THAWED_ABOVE
            )
        if calm and start < 0:
            start = t
        elif not calm and start >= 0:
            if t - start >= CURTAIN_HOURS:
                out[start:t] = True
            start = -1
    return out


@njit(cache=True, nogil=True)
def melt_rise(moisture, snow):
    """B04: moisture rises while the snow's water has become less over the last day."""
    out = np.zeros(moisture.size, np.bool_)
    for t in range(1, moisture.size):
        out[t] = moisture[t] > moisture[t - 1] and snow[t] < snow[max(0, t - 24)]
    return out


@njit(cache=True, nogil=True)
def thaw_rise(moisture, temperature):
    """B07: moisture rises within 24 hours of the temperature's crossing zero upward."""
    out = np.zeros(moisture.size, np.bool_)
    crossed, last = -1000, np.nan
    for t in range(1, moisture.size):
        if not np.isnan(temperature[t - 1]):
            last = temperature[t - 1]
        if last < 0.0 and temperature[t] >= 0.0:
            crossed = t
        out[t] = moisture[t] > moisture[t - 1] and t - crossed <= 24
    return out
