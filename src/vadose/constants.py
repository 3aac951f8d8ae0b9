"""Physical constants, used exactly as methods state them. Units in the comment."""

from __future__ import annotations

WATER_DENSITY = 1000.0  # kg m-3
ICE_DENSITY = 917.0  # kg m-3
MINERAL_DENSITY = 2650.0  # kg m-3, soil particles
GRAVITY = 9.80665  # m s-2
GAS_CONSTANT = 8.314472  # J mol-1 K-1
GAS_CONSTANT_DRY_AIR = 287.04  # J kg-1 K-1
GAS_CONSTANT_VAPOR = 461.5  # J kg-1 K-1
VAPOR_RATIO = 0.622  # 1, molar mass of water over dry air
AIR_HEAT_CAPACITY = 1005.0  # J kg-1 K-1, at constant pressure
FUSION_HEAT = 3.337e5  # J kg-1
VACUUM_PERMITTIVITY = 8.854e-12  # F m-1
LIGHT_SPEED = 2.99792458e8  # m s-1
FREEZING_POINT = 273.15  # K


def vaporization_heat(temperature):
    """Latent heat of vaporization [J kg-1] at `temperature` [K]: 2.501e6 - 2361 (T - 273.15)."""
    return 2.501e6 - 2361.0 * (temperature - FREEZING_POINT)


def saturation_vapor_pressure(temperature):
    """Saturation vapor pressure over water [Pa] at `temperature` [K] (Bolton 1980, eq. 10,
    doi:10.1175/1520-0493(1980)108<1046:TCOEPT>2.0.CO;2)."""
    from numpy import exp

    return 611.2 * exp(17.67 * (temperature - FREEZING_POINT) / (temperature - 29.65))
