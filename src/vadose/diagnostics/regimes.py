"""Where water limits evaporation, and how wet is wet (M-X15).

Partial correlation of evaporation and soil moisture given radiation after Seneviratne et al. 2010,
doi:10.1016/j.earscirev.2010.02.004; the dryness index after Budyko 1974.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import stats

from vadose import units
from vadose.errors import VadoseInputError
from vadose.metrics import covariance, moments, stack
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.metrics.uncertainty import effective_size, lag_one

SOIL_MOISTURE_REGIMES = ("none", "dry", "transitional", "wet")


def water_limited(
    evapotranspiration: xr.DataArray,
    soil_moisture: xr.DataArray,
    net_radiation: xr.DataArray,
    *,
    dim: str = "time",
    significance: float = 0.05,
) -> xr.Dataset:
    """Where evaporation follows soil moisture rather than energy.

    Returns `partial_correlation` of evaporation and soil moisture given radiation with its `p_value` (one-sided t test with the
    effective number of samples: neighboring days are alike), `correlation_moisture`, `correlation_radiation`, `n`, `n_eff` and
    `water_limited` (1 yes, 0 no, NaN unknown): partial correlation positive and significant, and radiation the weaker of both.
    """
    data = stack(evapotranspiration, soil_moisture, net_radiation, names=["et", "sm", "rn"])
    whole = data.notnull().all(PRODUCT)
    state = moments(data, dim=dim)
    c = covariance(state)

    def r(a: str, b: str) -> xr.DataArray:
        top = c.sel({PRODUCT: a, OTHER: b}, drop=True)
        spread = c.sel({PRODUCT: a, OTHER: a}, drop=True) * c.sel({PRODUCT: b, OTHER: b}, drop=True)
        return (top / np.sqrt(spread.where(spread > 0))).clip(-1.0, 1.0)

    moisture, radiation, both = r("et", "sm"), r("et", "rn"), r("sm", "rn")
    rest = (1 - radiation**2) * (1 - both**2)
    partial = ((moisture - radiation * both) / np.sqrt(rest.where(rest > 1e-12))).clip(-1.0, 1.0)
    memory = [lag_one(data.sel({PRODUCT: k}, drop=True).where(whole), dim=dim) for k in ("et", "sm")]
    n_eff = effective_size(state.n, *memory)
    freedom = (n_eff - 3).clip(min=1.0)
    t = partial * np.sqrt(freedom / (1 - partial**2).where(partial**2 < 1, 1e-12))
    p = xr.apply_ufunc(lambda value, df: stats.t.sf(value, df), t, freedom, dask="parallelized", output_dtypes=[float])
    limited = (partial > 0) & (p < significance) & (radiation < moisture)
    return xr.Dataset(
        {
            "partial_correlation": partial.assign_attrs(units="1"),
            "p_value": p.where(partial.notnull()).assign_attrs(units="1"),
            "correlation_moisture": moisture.assign_attrs(units="1"),
            "correlation_radiation": radiation.assign_attrs(units="1"),
            "n": state.n,
            "n_eff": n_eff,
            "water_limited": xr.where(partial.notnull(), limited * 1.0, np.nan).assign_attrs(units="1"),
        }
    )


def budyko_dryness(precipitation: xr.DataArray, potential_evaporation: xr.DataArray) -> xr.Dataset:
    """`dryness_index` PET / P of two totals or means and `water_limited` (1 where it exceeds one)."""
    demand = units.convert(potential_evaporation, units.of(precipitation))
    index = demand / precipitation.where(precipitation > 0)
    limited = xr.where((index > 1) | ((precipitation == 0) & (demand > 0)), 1.0, 0.0)
    return xr.Dataset(
        {
            "dryness_index": index.assign_attrs(units="1"),
            "water_limited": limited.where(precipitation.notnull() & demand.notnull()),
        }
    )


def soil_moisture_regime(
    soil_moisture: xr.DataArray, wilting_point: xr.DataArray | float, critical_point: xr.DataArray | float
) -> xr.DataArray:
    """1 dry (below the wilting point), 2 transitional, 3 wet (above the critical point); 0 where moisture is missing."""
    lazy = any(getattr(limit, "chunks", None) for limit in (wilting_point, critical_point))
    if not lazy and bool(np.any(xr.DataArray(critical_point) < xr.DataArray(wilting_point))):
        raise VadoseInputError("the critical point must not lie below the wilting point")
    number = 1 + (soil_moisture >= wilting_point) * 1 + (soil_moisture > critical_point) * 1
    return (
        number.where(soil_moisture.notnull(), 0)
        .astype("uint8")
        .rename("soil_moisture_regime")
        .assign_attrs(
            flag_values=np.arange(4, dtype="uint8"),
            flag_meanings=" ".join(SOIL_MOISTURE_REGIMES),
            long_name="soil-moisture regime",
        )
    )
