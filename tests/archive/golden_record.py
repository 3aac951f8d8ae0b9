"""A record in which nothing is wrong, and the same with one defect."""

from __future__ import annotations

import copy

GOLDEN = {
    "dataset": {
        "title": "Hourly soil moisture at two made-up places in Ohio", "summary": "word " * 100, "Conventions": "CF-1.11, ACDD-1.3", "license": "CC-BY-4.0",
        "creator_name": "Carberry, Josiah", "creator_orcid": "0000-0002-1825-0097", "institution": "Example University", "date_created": "2026-05-17",
        "version": "1.0", "doi": "pending", "time_coverage_start": "2023-08-06", "time_coverage_end": "2023-09-02", "geospatial_lat_min": 41.0,
        "geospatial_lat_max": 42.0, "geospatial_lon_min": -84.0, "geospatial_lon_max": -83.0, "processing_level": "L1", "funder": "nobody",
        "project": "test", "keywords": ["soil", "moisture", "sensor"], "award": "none", "references": "doi:10.5194/hess-25-5749-2021",
    },
    "sites": [{"site_id": "A", "site_name": "Upland", "lat": 41.5, "lon": -83.5, "elevation": 175.0, "datum": "NAVD88", "land_cover": "forest (IGBP)",
               "climate_KG": "Dfa", "texture_source": "SSURGO", "irrigated": "no", "sand": 20.0, "silt": 50.0, "clay": 30.0, "organic_carbon": 1.5, "slope": 2.0, "photo": "upland.jpg"}],
    "sensors": [{"sensor_id": f"A{k}", "site_id": "A", "maker": "METER", "model": "TEROS 12", "principle": "capacitance", "serial": f"1{k}",
                 "depth_from": 0.05, "depth_to": 0.10, "orientation": "horizontal", "install_date": "2023-01-01", "removal_date": "in place",
                 "measurement_volume": 1.0, "calibration_id": "mineral", "firmware": "1.0",
                 "calibration_equation": "a + b x", "calibration_coefficients": [-0.6956, 3.879e-4], "calibration_date": "2023-01-01"} for k in (1, 2)],
    "variables": [{"name": "soil_moisture", "standard_name": "volume_fraction_of_condensed_water_in_soil", "units": "m3 m-3", "accuracy": 0.03,
                   "sampling_interval": "PT15M", "averaging_interval": "instantaneous", "time_zone": "UTC-05:00", "missing_value": -9999,
                   "flag_scheme": "ISMN 1", "qc_method": "M-T1.2", "uncertainty_variable": "soil_moisture_standard_error"}],
    "provenance": {"sources": [{"file": "a.dat", "sha256": "0" * 64}], "software": "vadose 0.1.0", "methods": ["M-T1.7"]},
}  # fmt: skip


def mutant(group, field, value):
    record = copy.deepcopy(GOLDEN)
    entry = record[group][0] if isinstance(record[group], list) else record[group]
    if value is None:
        del entry[field]
    else:
        entry[field] = value
    return record
