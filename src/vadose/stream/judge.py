"""The network's own checks (qc.flag, M-T1.2) on hourly means of sensors: spikes, breaks and plateaus, beside the flags of each reading."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import xarray as xr

from vadose import qc
from vadose.errors import VadoseInputError

MOISTURE = re.compile(r"soil-vwc-(\d+)cm")


def judged(variable: str) -> bool:
    """Whether a variable is soil moisture at a depth, `soil-vwc-10cm`, which the checks are for."""
    return MOISTURE.fullmatch(variable) is not None


def network_flags(means: pd.DataFrame, variable: str, temperature: pd.DataFrame | None = None) -> np.ndarray:
    """Bits of `vadose.qc.FLAGS` of each row of hourly means (sensor, time, value), in their order; 0 where there is no value.

    `temperature` holds hourly means [degC] of the same sensors at the same depth; without it the checks that need it are left out.
    Every sensor must have the same times, as aggregate(start=, stop=) gives them.
    """
    found = MOISTURE.fullmatch(variable)
    if found is None:
        raise VadoseInputError(f"variable {variable!r}: these checks are for soil moisture at a depth, soil-vwc-10cm")
    wide = _wide(means)
    data = xr.Dataset({"soil_moisture": (("sensor", "time"), wide.to_numpy(), {"units": "m3 m-3"})}, {"sensor": wide.index, "time": wide.columns})  # fmt: skip
    if temperature is not None and not temperature.empty:
        warm = _wide(temperature).reindex(index=wide.index, columns=wide.columns)
        data["soil_temperature"] = (("sensor", "time"), warm.to_numpy(), {"units": "degC"})
    bits = qc.flag(data, depth=int(found[1]) / 100)["soil_moisture_flag"].transpose("sensor", "time")
    table = pd.DataFrame(bits.values, wide.index, wide.columns).stack()
    return table.reindex(pd.MultiIndex.from_frame(means[["sensor", "time"]])).to_numpy()


def _wide(means: pd.DataFrame) -> pd.DataFrame:
    return means.pivot(index="sensor", columns="time", values="value").astype(float)
