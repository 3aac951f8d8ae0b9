"""The words of vadose: one row a variable, with its CF standard name, units and the values that can be true.

Products and models use other names (`swvl1`, `mrsos`, `sm`); those belong to `products`, not here.
Bounds are the range outside which a value is certainly wrong (it becomes NaN with a flag), not a quality limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadose.errors import unknown_name


@dataclass(frozen=True)
class Variable:
    """One variable: its name in vadose, CF standard name (None where CF has none), canonical units and bounds."""

    name: str
    standard_name: str | None
    units: str
    long_name: str
    minimum: float | None = None
    maximum: float | None = None


_ROWS = (
    # name, standard_name, units, long_name, minimum, maximum
    ("soil_moisture", "volume_fraction_of_condensed_water_in_soil", "m3 m-3", "volumetric soil moisture", 0.0, 1.0),
    (
        "soil_moisture_content",
        "mass_content_of_water_in_soil_layer",
        "kg m-2",
        "soil water content of the layer",
        0.0,
        None,
    ),
    ("soil_saturation", "volume_fraction_of_condensed_water_in_soil_pores", "1", "degree of saturation", 0.0, 1.0),
    ("soil_ice", "volume_fraction_of_frozen_water_in_soil", "m3 m-3", "volumetric soil ice", 0.0, 1.0),
    (
        "saturation_moisture",
        "volume_fraction_of_water_in_soil_at_saturation",
        "m3 m-3",
        "soil moisture at saturation",
        0.0,
        1.0,
    ),
    (
        "field_capacity",
        "volume_fraction_of_condensed_water_in_soil_at_field_capacity",
        "m3 m-3",
        "field capacity",
        0.0,
        1.0,
    ),
    (
        "wilting_point",
        "volume_fraction_of_condensed_water_in_soil_at_wilting_point",
        "m3 m-3",
        "wilting point",
        0.0,
        1.0,
    ),
    (
        "critical_point",
        "volume_fraction_of_condensed_water_in_soil_at_critical_point",
        "m3 m-3",
        "critical soil moisture",
        0.0,
        1.0,
    ),
    ("porosity", "soil_porosity", "1", "soil porosity", 0.2, 0.95),
    ("sand", "mass_fraction_of_sand_in_soil", "1", "sand", 0.0, 1.0),
    ("clay", "mass_fraction_of_clay_in_soil", "1", "clay", 0.0, 1.0),
    ("organic_matter", "mass_fraction_of_organic_matter_in_soil", "1", "organic matter", 0.0, 1.0),
    ("bulk_density", None, "kg m-3", "dry bulk density of the soil", 0.0, 2650.0),
    ("soil_temperature", "soil_temperature", "K", "soil temperature", 180.0, 340.0),
    ("air_temperature", "air_temperature", "K", "air temperature", 180.0, 340.0),
    ("surface_temperature", "surface_temperature", "K", "land surface temperature", 180.0, 360.0),
    ("brightness_temperature", "brightness_temperature", "K", "brightness temperature", 0.0, 400.0),
    ("snow_amount", "surface_snow_amount", "kg m-2", "snow water equivalent", 0.0, None),
    ("snow_depth", "surface_snow_thickness", "m", "snow depth", 0.0, None),
    ("precipitation_flux", "precipitation_flux", "kg m-2 s-1", "precipitation", 0.0, None),
    ("evapotranspiration_flux", "water_evapotranspiration_flux", "kg m-2 s-1", "evapotranspiration", None, None),
    (
        "potential_evaporation_flux",
        "water_potential_evaporation_flux",
        "kg m-2 s-1",
        "potential evaporation",
        None,
        None,
    ),
    ("runoff_flux", "runoff_flux", "kg m-2 s-1", "runoff", None, None),
    ("drainage_flux", None, "kg m-2 s-1", "drainage below the soil column", None, None),
    ("irrigation_flux", None, "kg m-2 s-1", "irrigation", 0.0, None),
    ("net_radiation", "surface_net_downward_radiative_flux", "W m-2", "net radiation", None, None),
    (
        "shortwave_radiation",
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "incoming shortwave radiation",
        0.0,
        None,
    ),
    ("ground_heat_flux", "downward_heat_flux_in_soil", "W m-2", "ground heat flux", None, None),
    ("latent_heat_flux", "surface_upward_latent_heat_flux", "W m-2", "latent heat flux", None, None),
    ("sensible_heat_flux", "surface_upward_sensible_heat_flux", "W m-2", "sensible heat flux", None, None),
    ("evaporative_fraction", None, "1", "evaporative fraction", None, None),
    ("specific_humidity", "specific_humidity", "1", "specific humidity", 0.0, 0.05),
    ("relative_humidity", "relative_humidity", "1", "relative humidity", 0.0, 1.1),
    ("surface_air_pressure", "surface_air_pressure", "Pa", "surface air pressure", 4e4, 1.1e5),
    ("wind_speed", "wind_speed", "m s-1", "wind speed", 0.0, 120.0),
    (
        "gross_primary_productivity",
        "gross_primary_productivity_of_biomass_expressed_as_carbon",
        "kg m-2 s-1",
        "gross primary productivity",
        None,
        None,
    ),
    (
        "autotrophic_respiration",
        "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_plant_respiration",
        "kg m-2 s-1",
        "autotrophic respiration",
        None,
        None,
    ),
    (
        "heterotrophic_respiration",
        "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_heterotrophic_respiration",
        "kg m-2 s-1",
        "heterotrophic respiration",
        None,
        None,
    ),
    (
        "ecosystem_respiration",
        "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_respiration",
        "kg m-2 s-1",
        "ecosystem respiration",
        None,
        None,
    ),
    ("leaf_area_index", "leaf_area_index", "1", "leaf area index", 0.0, 15.0),
    ("ndvi", "normalized_difference_vegetation_index", "1", "normalized difference vegetation index", -1.0, 1.0),
    ("vegetation_optical_depth", None, "1", "vegetation optical depth", 0.0, 5.0),
    ("backscatter", None, "dB", "radar backscatter", -60.0, 20.0),
    ("reflectance", "surface_bidirectional_reflectance", "1", "surface reflectance", None, None),
    ("relative_permittivity", None, "1", "relative permittivity of the soil", 1.0, 100.0),
    ("electrical_conductivity", None, "S m-1", "bulk electrical conductivity of the soil", 0.0, None),
    (
        "outgoing_longwave",
        "toa_outgoing_longwave_flux",
        "W m-2",
        "outgoing longwave radiation at the top of the atmosphere",
        0.0,
        500.0,
    ),
    ("eastward_wind", "eastward_wind", "m s-1", "eastward wind", None, None),
    ("percentile", None, "1", "percentile of the climatology (0 to 100)", 0.0, 100.0),
    ("elevation", "surface_altitude", "m", "elevation", -500.0, 9000.0),
    ("cell_area", "cell_area", "m2", "cell area", 0.0, None),
    ("land_fraction", "land_area_fraction", "1", "land fraction", 0.0, 1.0),
)

#: Every variable that vadose speaks of, by name.
VARIABLES: dict[str, Variable] = {row[0]: Variable(*row) for row in _ROWS}

#: The same by CF standard name; where two share one (soil moisture in any layer), the first row wins.
BY_STANDARD_NAME: dict[str, Variable] = {v.standard_name: v for v in reversed(VARIABLES.values()) if v.standard_name}


def variable(name: str) -> Variable:
    """The row of `name`; an unknown name answers with the nearest ones."""
    if name not in VARIABLES:
        raise unknown_name("variable", name, VARIABLES)
    return VARIABLES[name]
