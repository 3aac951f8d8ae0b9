"""Make data comparable: quantity, layer, time, grid, scale and climatology. Each step is one function, `fit` apart from `apply`."""

from __future__ import annotations

from vadose.harmonize.climatology import anomaly, climatology, percentile
from vadose.harmonize.days import at_overpass, best_hour, daily_mean, solar_hour, to_standard_calendar
from vadose.harmonize.depth import layers_to_layer, sensors_to_layer
from vadose.harmonize.grid import Grid, regrid
from vadose.harmonize.match import at_points, in_time
from vadose.harmonize.mesh import Mesh, remap, weights

__all__ = [
    "Grid",
    "Mesh",
    "anomaly",
    "at_overpass",
    "at_points",
    "best_hour",
    "climatology",
    "daily_mean",
    "in_time",
    "layers_to_layer",
    "percentile",
    "regrid",
    "remap",
    "sensors_to_layer",
    "solar_hour",
    "to_standard_calendar",
    "weights",
]
