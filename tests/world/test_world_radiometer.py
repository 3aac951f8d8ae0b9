"""What the synthetic radiometer saw leads back to the truth."""

from __future__ import annotations

import numpy as np

from vadose import world
from vadose.physics import retrieve_dual
from vadose.world import observe


def test_brightness_of_the_radiometer_gives_back_the_truth():
    truth = world.make(bbox=(-98, 38, -92, 44), resolution=1.0, start="2017-05-01", end="2017-08-31")
    plain, seen = observe.lband(truth), observe.lband(truth, brightness=True)
    np.testing.assert_array_equal(plain.soil_moisture, seen.soil_moisture)
    assert "brightness_temperature_v" not in plain
    ground = truth.soil_temperature.isel(depth=0, drop=True)
    back = retrieve_dual(
        seen.brightness_temperature_v,
        seen.brightness_temperature_h,
        truth.clay,
        ground,
        optical_depth=seen.vegetation_optical_depth.astype(float),
        porosity=truth.porosity,
    )
    error = (back.soil_moisture - observe.surface(truth)) / back.soil_moisture_standard_error
    assert int(error.count()) > 1000
    assert abs(float(error.mean())) < 0.1
    # the opacity is given exactly here, so errors are below what the prior allows for
    assert 0.5 < float(error.std()) < 1.1
    lazy = observe.lband(truth.chunk(lat=3, lon=3), brightness=True)
    assert lazy.brightness_temperature_h.chunks is not None
