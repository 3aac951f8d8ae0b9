"""From a learned surface map to surface and root zone with intervals, every day: the ML-HRSM style chain (M-T1.5).

A tree model reads the satellites on the days they saw and says how sure it is; those maps are observations of the two-layer
bucket, which carries them over cloudy days and down into the root zone. Peng et al. 2024, Agronomy 14:421 (precedent);
the assimilation is vadose's own design, since that of version 2 is not published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import xarray as xr

from vadose import cf, units
from vadose.assimilate import operators
from vadose.assimilate.cycle import run
from vadose.assimilate.innovations import diagnose
from vadose.errors import NotFoundError, VadoseInputError

FLOOR = 0.02  # m3 m-3: no map is better than this, whatever it says


def root_zone(
    surface: xr.Dataset,
    forcing: xr.Dataset,
    soil: xr.Dataset,
    *,
    root: xr.Dataset | None = None,
    scale: str | None = None,
    train: slice | None = None,
    floor: float = FLOOR,
    depths: tuple[float, float] = (0.05, 0.95),
    **options: Any,
) -> xr.Dataset:
    """Daily soil moisture of both layers from a surface map and weather.

    Parameters
    ----------
    surface : `soil_moisture` (time, ...) and `soil_moisture_standard_error` as `vadose.learn.predict_map` gives them, on the
        days with a map. Values flagged outside the area of applicability are not used.
    forcing : `precipitation_flux` and `potential_evaporation_flux` (time, ...) on the same cells; `soil_temperature` (surface,
        any unit of temperature) if there, freezes the model below 273.15 K.
    soil : bucket parameters as fields, for example from `vadose.physics.pedotransfer.saxton_rawls`.
    root : the same as `surface` for the root layer (0.05 to 1 m), where a model for it exists.
    scale : "cdf", "mean_std" or "anomaly" brings the map to the bucket's open loop first (see `operators.to_model`), fitted on
        `train`; None trusts the map's level.
    floor : smallest standard error of a map [m3 m-3].
    options : of `vadose.assimilate.run` (method, members, lag, irrigated ...).

    Returns
    -------
    The Dataset of `vadose.assimilate.run` with the innovation diagnostics (`innovation_mean`, ... for the surface).
    """
    for name in ("precipitation_flux", "potential_evaporation_flux"):
        if name not in forcing:
            raise NotFoundError(f"forcing has no {name!r}; it has {', '.join(map(str, forcing.data_vars))}")
    parameters = {str(n): soil[n] for n in soil.data_vars}
    frozen = None
    if "soil_temperature" in forcing:
        frozen = units.convert(forcing.soil_temperature, "K") < 273.15
    layers = [_usable(surface, floor)] + ([_usable(root, floor)] if root is not None else [])
    if scale is not None:
        free = run(forcing.precipitation_flux, forcing.potential_evaporation_flux, method="open_loop", depths=depths, frozen=frozen,
                   intervals=False, **{**options_of(options), **parameters}).soil_moisture  # fmt: skip
        layers = [
            _pair(
                operators.to_model(
                    v, free.isel(depth=k, drop=True).sel(time=v.time), standard_error=e, method=scale, train=train
                )
            )
            for k, (v, e) in enumerate(layers)
        ]
    values = (
        xr.concat([v for v, _ in layers], "depth", coords="minimal", compat="override")
        if len(layers) > 1
        else layers[0][0]
    )
    errors = (
        xr.concat([e for _, e in layers], "depth", coords="minimal", compat="override")
        if len(layers) > 1
        else layers[0][1]
    )
    out = run(
        forcing.precipitation_flux, forcing.potential_evaporation_flux, cf.describe(values, "soil_moisture"), errors, depths=depths, frozen=frozen, **{**options, **parameters},
    )  # fmt: skip
    checks = diagnose(out.innovation.isel(observation=0), out.innovation_standard_error.isel(observation=0))
    return cf.provenance(
        out.assign(checks.data_vars), step="a learned surface map assimilated into the two-layer bucket"
    )


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options that an open loop shares with the analysis; irrigation is what only observations can tell."""
    shared = ("members", "perturbation", "initial", "initial_sd", "parameter_sd", "seed")
    out = {k: v for k, v in options.items() if k in shared}
    if out.get("perturbation") is not None:
        out["perturbation"] = replace(out["perturbation"], irrigation_chance=0.0)
    return out


def _usable(predicted: xr.Dataset, floor: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Map and its standard error (at least `floor`), without what lies outside the area of applicability."""
    for name in ("soil_moisture", "soil_moisture_standard_error"):
        if name not in predicted:
            raise VadoseInputError(f"the map has no {name!r}; predict it with quantiles (vadose.learn.predict_map)")
    value, error = predicted.soil_moisture, predicted.soil_moisture_standard_error
    if "soil_moisture_flag" in predicted:
        value = value.where(~cf.has_flag(predicted.soil_moisture_flag, "outside_area_of_applicability"))
    return value.assign_attrs(predicted.soil_moisture.attrs), error.clip(min=floor).where(value.notnull()).fillna(1.0)


def _pair(scaled: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    return scaled.soil_moisture, scaled.soil_moisture_standard_error
