"""Regions: boxes by name, polygons, sites, and climate zones, each a function of latitude and longitude."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from vadose.benchmark.cells import nearest, places
from vadose.diagnostics.regimes import budyko_dryness
from vadose.diagnostics.zones import koppen_geiger, main_group, monthly_climate
from vadose.errors import VadoseInputError
from vadose.typing import BBox

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Regions by name: west, south, east, north [degrees].
REGIONS: dict[str, BBox] = {
    "all": (-180.0, -90.0, 180.0, 90.0),
    "northern high latitudes": (-180.0, 60.0, 180.0, 90.0),
    "boreal": (-180.0, 50.0, 180.0, 70.0),
    "northern mid-latitudes": (-180.0, 23.5, 180.0, 60.0),
    "tropics": (-180.0, -23.5, 180.0, 23.5),
    "southern extratropics": (-180.0, -60.0, 180.0, -23.5),
    "contiguous US": (-125.0, 25.0, -66.5, 49.5),
    "Amazon": (-75.0, -15.0, -48.0, 5.0),
    "Sahel": (-17.0, 10.0, 38.0, 18.0),
    "Congo basin": (10.0, -10.0, 32.0, 6.0),
    "Europe": (-11.0, 36.0, 40.0, 60.0),
    "South Asia": (67.0, 6.0, 92.0, 32.0),
    "Australia": (112.0, -44.0, 154.0, -10.0),
    "Maritime Continent": (90.0, -12.0, 152.0, 12.0),
}
#: How zones may be made: from temperature and rain (main Koppen-Geiger groups), or from rain and potential evaporation.
BY = ("koppen", "dryness")
GROUPS = ("tropical", "arid", "temperate", "cold", "polar")
SITE_REACH = 0.5  # degrees


def box(bbox: BBox) -> Inside:
    """Cells with their center in west..east and south..north; west may be beyond east across the date line."""
    west, south, east, north = bbox

    def inside(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
        return across & (lat >= south) & (lat <= north)

    return inside


def polygon(points: tuple[tuple[float, float], ...]) -> Inside:
    """Cells with their center in the polygon of (lon, lat) points."""

    def inside(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        from shapely import Polygon, contains_xy

        return np.asarray(contains_xy(Polygon(points), lon, lat))

    return inside


def sites(points: tuple[tuple[float, float], ...]) -> Inside:
    """The cells nearest to (lon, lat) points, each within half a degree of one."""

    def inside(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        out = np.zeros(lat.size, bool)
        for x, y in points:
            far = np.hypot((lon - x) * np.cos(np.deg2rad(y)), lat - y)
            if far.size and far.min() <= max(SITE_REACH, 0.0):
                out[int(np.argmin(far))] = True
        return out

    return inside


def zones(climate: Mapping[str, xr.DataArray], by: str) -> dict[str, Inside]:
    """Zones of monthly records `air_temperature`, `precipitation_flux` (koppen) or with `potential_evaporation_flux` (dryness).

    koppen: main groups; dryness: where potential evaporation exceeds rain (water-limited) or not (energy-limited).
    """
    need = (
        ("air_temperature", "precipitation_flux")
        if by == "koppen"
        else ("potential_evaporation_flux", "precipitation_flux")
    )
    for name in need:
        if name not in climate:
            raise VadoseInputError(f"zones by {by} need {' and '.join(need)}; {name} is not in the source")
    first = climate[need[0]]
    if by == "koppen":
        months = monthly_climate(climate["air_temperature"], climate["precipitation_flux"])
        code = main_group(koppen_geiger(months.air_temperature, months.precipitation, first.lat)).values.ravel()
        names = {k + 1: name for k, name in enumerate(GROUPS)}
    else:
        means = [
            climate[name].mean("time", keep_attrs=True) for name in ("precipitation_flux", "potential_evaporation_flux")
        ]
        values = budyko_dryness(*means).dryness_index.values.ravel()
        code = np.where(np.isfinite(values), np.where(values > 1.0, 1, 2), 0)
        names = {1: "water-limited", 2: "energy-limited"}
    at = places(first)
    return {name: _of(at, code, k) for k, name in names.items() if (code == k).any()}


def _of(at, code, number):
    def inside(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        found = nearest(at[0], at[1], lat, lon)
        return (found >= 0) & (code[np.maximum(found, 0)] == number)

    return inside
