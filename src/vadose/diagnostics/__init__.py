"""What the data say about processes: drought and its speed, limits of evaporation, compound hazards, coupling, regimes.

Each module is one question; functions take canonical arrays and give arrays or tables with uncertainty.
"""

from __future__ import annotations

from vadose.diagnostics.character import characterize, trend
from vadose.diagnostics.compound import label_events, likelihood_multiplication, spells
from vadose.diagnostics.convection import ctp_hilow, feedback_strength
from vadose.diagnostics.copula import fit_copula, return_periods
from vadose.diagnostics.coupling import coupling_index, coupling_interval, memory
from vadose.diagnostics.discrepancy import discrepancy
from vadose.diagnostics.drought import decline, drop, evaporative_stress, stress_drydown, volatility
from vadose.diagnostics.drydown import drydowns
from vadose.diagnostics.events import event_skill, event_table
from vadose.diagnostics.limitation import active_depth, coupled_root_zone, fit_regimes, regime
from vadose.diagnostics.mjo import lag_regression, lanczos_bandpass, phase_composite, rmm
from vadose.diagnostics.pentads import calendar_quantile, pentad_percentile, to_pentads
from vadose.diagnostics.regimes import budyko_dryness, soil_moisture_regime, water_limited
from vadose.diagnostics.response_fit import benchmark_response
from vadose.diagnostics.sensitivity import spatial_temporal_sensitivity, within_between
from vadose.diagnostics.wavelet import band_share, wavelet_spectrum
from vadose.diagnostics.zones import aridity, koppen_geiger, main_group, monthly_climate, performance_table, zone_table

__all__ = [
    "active_depth",
    "aridity",
    "band_share",
    "benchmark_response",
    "budyko_dryness",
    "calendar_quantile",
    "characterize",
    "coupled_root_zone",
    "coupling_index",
    "coupling_interval",
    "ctp_hilow",
    "decline",
    "discrepancy",
    "drop",
    "drydowns",
    "evaporative_stress",
    "event_skill",
    "event_table",
    "feedback_strength",
    "fit_copula",
    "fit_regimes",
    "koppen_geiger",
    "label_events",
    "lag_regression",
    "lanczos_bandpass",
    "likelihood_multiplication",
    "main_group",
    "memory",
    "monthly_climate",
    "pentad_percentile",
    "performance_table",
    "phase_composite",
    "regime",
    "return_periods",
    "rmm",
    "soil_moisture_regime",
    "spatial_temporal_sensitivity",
    "spells",
    "stress_drydown",
    "to_pentads",
    "trend",
    "volatility",
    "water_limited",
    "wavelet_spectrum",
    "within_between",
    "zone_table",
]
