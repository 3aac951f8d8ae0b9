"""Doubt: what can be wrong with a reading, said in bits beside the value. Limits, rules of the networks, frost, presets, learning."""

from __future__ import annotations

from vadose.qc.boreal import liquid_fraction
from vadose.qc.faults import inject
from vadose.qc.flags import FLAGS, PRESETS, keep, preset
from vadose.qc.freeze import freeze_references, freeze_thaw, polarization_ratio
from vadose.qc.learned import flag_unusual, learn
from vadose.qc.report import report, table
from vadose.qc.series import flag, good

__all__ = [
    "FLAGS",
    "PRESETS",
    "flag",
    "flag_unusual",
    "freeze_references",
    "freeze_thaw",
    "good",
    "inject",
    "keep",
    "learn",
    "liquid_fraction",
    "polarization_ratio",
    "preset",
    "report",
    "table",
]
