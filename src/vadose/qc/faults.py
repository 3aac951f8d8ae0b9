"""Faults planted on purpose, so that a check can be held to what it should have found."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name
from vadose.typing import Rng

KINDS = ("spike", "break", "plateau", "drift")
SMALLEST, LARGEST = 0.05, 0.25  # m3 m-3, of spikes and breaks
DRIFT = 0.02  # m3 m-3 per month
MONTH = 730  # hours


def inject(dataset: xr.Dataset, *, kinds: tuple[str, ...] = KINDS, share: float = 0.01, rng: Rng = 0) -> xr.Dataset:
    """`dataset` with planted faults in `soil_moisture` (..., time), hourly.

    Parameters
    ----------
    kinds : which of `KINDS`. A spike lasts one hour; a break shifts two to six days and is marked at both of its edges; a plateau
        holds one value for one to three days; a drift grows by 0.02 m3 m-3 per month over a month and ends with a return.
    share : share of hours that faults touch, spread evenly over kinds; at least one fault of each kind a series.
    rng : Generator or seed.

    Returns
    -------
    Dataset with `fault` (bits of `KINDS`, time as in the input) and the untouched values as `clean_soil_moisture`.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("fault", kind, KINDS)
    if not 0 < share < 0.5:
        raise VadoseInputError(f"share must lie between 0 and 0.5, got {share}")
    generator = np.random.default_rng(rng)
    clean = dataset["soil_moisture"].transpose(..., "time").load()
    values = clean.values.astype(float).reshape(-1, clean.sizes["time"]).copy()
    fault = np.zeros(values.shape, "uint8")
    for row in range(values.shape[0]):
        for kind in kinds:
            budget = max(1, round(share * values.shape[1] / len(kinds)))
            while budget > 0:
                budget -= _plant(values[row], fault[row], kind, generator)
    out = dataset.assign(clean_soil_moisture=clean)
    out["soil_moisture"] = clean.copy(data=values.reshape(clean.shape).astype(clean.dtype))
    attrs = cf.flag_attrs(KINDS, long_name="planted fault")
    out["fault"] = xr.DataArray(fault.reshape(clean.shape), dims=clean.dims, attrs=attrs)
    return out


def _plant(x, fault, kind, rng):
    """One fault of a kind, in place; the number of hours that it touches."""
    n, bit = x.size, np.uint8(1 << KINDS.index(kind))
    length = {"spike": 1, "break": int(rng.integers(48, 145)), "plateau": int(rng.integers(24, 73)), "drift": MONTH}[
        kind
    ]
    if n < length + 60:
        raise VadoseInputError(f"a {kind} needs at least {length + 60} hours, the series has {n}")
    at = int(rng.integers(30, n - length - 30))
    part = slice(at, at + length)
    if kind == "plateau":
        x[part] = x[at]
    elif kind == "drift":
        x[part] += DRIFT * np.arange(length) / MONTH
    else:
        step = rng.uniform(SMALLEST, LARGEST) * _direction(x[part], rng)
        x[part] = np.clip(x[part] + step, 0.005, 0.595)
    if kind == "break":
        fault[[at, at + length]] |= bit
        return 2
    fault[part] |= bit
    return length


def _direction(values, rng):
    """Up or down, such that the result stays a possible reading."""
    if np.nanmin(values) < LARGEST + 0.01:
        return 1.0
    return -1.0 if np.nanmax(values) > 0.59 - LARGEST else float(rng.choice([-1.0, 1.0]))
