"""Sensor streams: logger files landed by hash, calibrated, flagged, kept in one table, averaged and released."""

from __future__ import annotations

from vadose.stream.calibration import Calibration, pore_water_conductivity, topp
from vadose.stream.design import Design, read_design
from vadose.stream.flags import STREAM_FLAGS
from vadose.stream.ingest import Report, run
from vadose.stream.ledger import bad_rows
from vadose.stream.network import generate
from vadose.stream.root import init
from vadose.stream.table import Table

__all__ = [
    "STREAM_FLAGS",
    "Calibration",
    "Design",
    "Report",
    "Table",
    "bad_rows",
    "generate",
    "init",
    "pore_water_conductivity",
    "read_design",
    "run",
    "topp",
]
