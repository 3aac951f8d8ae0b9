"""Make data comparable: quantity, layer, time, grid, scale and climatology. Each step is one function, `fit` apart from `apply`."""

from __future__ import annotations

from vadose.harmonize.climatology import anomaly, climatology, percentile
from vadose.harmonize.depth import layers_to_layer, sensors_to_layer
from vadose.harmonize.grid import Grid, regrid
from vadose.harmonize.match import at_points, in_time

__all__ = [
    "Grid",
    "anomaly",
    "at_points",
    "climatology",
    "in_time",
    "layers_to_layer",
    "percentile",
    "regrid",
    "sensors_to_layer",
]
