"""Tower tables and spectra as their makers wrote them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vadose.errors import UnreadableFileError
from vadose.products import fluxnet, soil_spectra


def test_fluxnet_workbook(shared_data):
    pytest.importorskip("openpyxl")
    out = fluxnet.open(shared_data / "flux/fluxnet2015/FLX_US-AR1_FLUXNET2015_SUBSET_DD_2009-2012_1-3.xlsx")
    assert out.sizes["time"] == 1461
    assert str(out.station.values) == "US-AR1"
    assert 0.11 < float(out.soil_moisture.min()) < float(out.soil_moisture.max()) < 0.33
    day = out.sel(time="2009-04-11")
    assert float(day.air_temperature) == pytest.approx(10.667 + 273.15)
    # e_s(10.667 degC) = 611.2 exp(17.67 * 10.667 / 254.167) = 1283 Pa, less 449.7 Pa of deficit = 833 Pa; .622 * 833 / (94530 - .378 * 833)
    assert float(day.specific_humidity) == pytest.approx(0.622 * 833.4 / (94530 - 0.378 * 833.4), rel=2e-3)
    assert float(day.precipitation_flux) * 86400 == pytest.approx(6.683)


def test_fluxnet_csv_and_missing(tmp_path):
    table = pd.DataFrame(
        {
            "TIMESTAMP": [20200101, 20200102],
            "TA_F": [1.0, -9999],
            "SWC_F_MDS_1": [25.0, 30.0],
            "SWC_F_MDS_1_QC": [1.0, 0.2],
        }
    )
    path = tmp_path / "FLX_XX-Abc_DD.csv"
    table.to_csv(path, index=False)
    out = fluxnet.open(path)
    np.testing.assert_allclose(out.soil_moisture, [0.25, np.nan])
    np.testing.assert_allclose(out.air_temperature, [274.15, np.nan])
    table.drop(columns="TA_F").to_csv(path, index=False)
    with pytest.raises(UnreadableFileError, match="TA_F"):
        fluxnet.open(path)


def test_noah_point_file(shared_data):
    out = fluxnet.open_noah_point(shared_data / "flux/bondville/forcing98_with_validation.dat", year=1998)
    assert out.sizes["time"] > 17000
    # day 1, 0:30 local is the end of the first interval: it began at 0:00, which is 6:00 UTC
    assert pd.Timestamp(out.time.values[0]) == pd.Timestamp("1998-01-01T06:00")
    assert float(out.air_temperature[0]) == pytest.approx(-9.2 + 273.15)
    assert float(out.soil_moisture[0]) == pytest.approx(0.36)
    assert 600 < float(out.precipitation_flux.sum()) * 1800 < 1400  # mm in 1998


def test_spectra(shared_data, tmp_path):
    root = shared_data / "hyperspectral"
    camera = soil_spectra.open_camera(root / "kit_karlsruhe/soilmoisture_dataset.csv")
    assert camera.sizes == {"wavelength": 125, "sample": 679}
    assert 0.25 < float(camera.moisture.min()) < float(camera.moisture.max()) < 0.43
    lab = soil_spectra.open_goniometer(root / "grit_lab/lab/hogp_sample1.csv")
    assert lab.sizes["sample"] == 11
    assert float(lab.moisture[0]) == 0.0
    drone = soil_spectra.open_drone(root / "grit_lab/uas")
    assert drone.sizes["sample"] == 18
    assert (drone.reflectance.min() > 0).all()
    table = soil_spectra.open_water_table(root / "grit_lab/water_optics/nw_abs_grit.csv")
    assert table[0, 0] == pytest.approx(0.35)
    bad = tmp_path / "x.csv"
    bad.write_text("a,b\n1,2\n")
    for reader in (soil_spectra.open_camera, soil_spectra.open_goniometer, soil_spectra.open_water_table):
        with pytest.raises(UnreadableFileError, match="expected"):
            reader(bad)
