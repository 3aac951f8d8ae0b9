"""Numbers that docs/methods.md states of real data, measured again."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose.physics import sfe, spectra, spectra_calibration, spectra_fit
from vadose.products import ecostress, fluxnet, soil_spectra


def fraction_skill(tower):
    out = sfe.surface_flux_equilibrium(
        tower.air_temperature, tower.specific_humidity, pressure=tower.surface_air_pressure
    )
    heat = tower.latent_heat_flux + tower.sensible_heat_flux
    measured = (tower.latent_heat_flux / heat).where((tower.air_temperature > 278) & (heat > 20))
    return float((out.evaporative_fraction - measured).mean()), float(xr.corr(out.evaporative_fraction, measured))


def test_evaporative_fraction_of_two_towers(shared_data):
    pytest.importorskip("openpyxl")
    ar1 = fluxnet.open(shared_data / "flux/fluxnet2015/FLX_US-AR1_FLUXNET2015_SUBSET_DD_2009-2012_1-3.xlsx")
    bias, r = fraction_skill(ar1)
    assert (round(bias, 2), round(r, 2)) == (0.05, 0.18)
    bond = fluxnet.open_noah_point(shared_data / "flux/bondville/forcing98_with_validation.dat", year=1998)
    bond = bond.resample(time="1D").mean()
    bond["specific_humidity"] = sfe.specific_humidity(
        bond.relative_humidity, bond.air_temperature, bond.surface_air_pressure
    )
    bias, r = fraction_skill(bond)
    assert (round(bias, 2), round(r, 2)) == (-0.11, 0.48)


def left_out(inverted, moisture, groups):
    error = []
    for g in np.unique(groups):
        test = groups == g
        curve = spectra_calibration.fit_calibration(inverted.water_thickness[~test], moisture[~test])
        error.append(
            spectra_calibration.apply_calibration(inverted.isel(sample=test), curve).soil_moisture - moisture[test]
        )
    return float(np.sqrt(np.mean(np.concatenate([e.values for e in error]) ** 2)))


def invert(data, dry, table, **options):
    keep = spectra.usable_bands(data.reflectance).values
    water = spectra.water_optics(data.reflectance[keep], table=table, name="grit-lab")
    return spectra_fit.invert_reflectance(data.reflectance[keep], dry[keep], optics=water, **options)


def test_moisture_from_spectra_that_were_left_out(shared_data):
    root = shared_data / "hyperspectral"
    table = soil_spectra.open_water_table(root / "grit_lab/water_optics/nw_abs_grit.csv")
    for soil, copies in (("nevada", (1, 2)), ("hogp", (1, 2, 3))):
        parts = []
        for k in copies:
            lab = soil_spectra.open_goniometer(root / f"grit_lab/lab/{soil}_sample{k}.csv")
            inverted = invert(lab, lab.reflectance.isel(sample=0, drop=True), table)
            parts.append(inverted.assign(moisture=lab.moisture).isel(sample=slice(1, None)))
        both = xr.concat(parts, "sample")
        assert left_out(both, both.moisture, both.run.values) == pytest.approx(0.026, abs=0.0015)
    camera = soil_spectra.open_camera(root / "kit_karlsruhe/soilmoisture_dataset.csv")
    driest = camera.reflectance[:, np.argsort(camera.moisture.values)[:10]].mean("sample")
    inverted = invert(camera, driest, table)
    assert left_out(inverted, camera.moisture, camera.time.dt.day.values) == pytest.approx(0.027, abs=0.0015)


def test_ecostress_beside_towers(shared_data):
    out = ecostress.open_matchups(shared_data / "flux/ecostress_calval/combined_eco_flux_EC_filtered.csv")
    error = (out.latent_heat_flux_ecostress - out.latent_heat_flux).dropna("match")
    assert float(error.mean()) == pytest.approx(31, abs=0.6)
    assert float(error.std()) / np.sqrt(error.size) == pytest.approx(3, abs=0.4)
