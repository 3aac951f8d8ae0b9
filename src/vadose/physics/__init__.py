"""Closed-form knowledge of soil, water and light: what follows from equations alone, without data or files.

`bucket` moves water, `pedotransfer` reads texture, `exponential` remembers; `dielectric` and `emission` are what microwaves see,
`spectra` and `spectra_fit` what light sees, `sfe` what the air says of evaporation, `greenhouse` how moisture steers gases.
"""

from __future__ import annotations

from vadose.physics.bucket import two_layer
from vadose.physics.dielectric import moisture_from_permittivity, permittivity
from vadose.physics.emission import brightness_temperature, retrieve_dual, retrieve_single
from vadose.physics.exponential import exponential_filter
from vadose.physics.greenhouse import damm, moisture_response
from vadose.physics.pedotransfer import saxton_rawls
from vadose.physics.sfe import evaporative_fraction, root_zone_moisture, surface_flux_equilibrium
from vadose.physics.spectra import marmit, marmit2
from vadose.physics.spectra_calibration import apply_calibration, fit_calibration
from vadose.physics.spectra_fit import invert_reflectance

__all__ = [
    "apply_calibration",
    "brightness_temperature",
    "damm",
    "evaporative_fraction",
    "exponential_filter",
    "fit_calibration",
    "invert_reflectance",
    "marmit",
    "marmit2",
    "moisture_from_permittivity",
    "moisture_response",
    "permittivity",
    "retrieve_dual",
    "retrieve_single",
    "root_zone_moisture",
    "saxton_rawls",
    "surface_flux_equilibrium",
    "two_layer",
]
