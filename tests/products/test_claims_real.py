"""Numbers that docs/methods.md states of real data, measured again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import constants
from vadose.diagnostics import drought, event_table, pentad_percentile, to_pentads
from vadose.physics import exponential_filter, saxton_rawls, sfe, spectra, spectra_calibration, spectra_fit, two_layer
from vadose.products import ecostress, fluxnet, soil_spectra, uscrn


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


def test_bucket_at_a_tower(shared_data):
    pytest.importorskip("openpyxl")
    tower = fluxnet.open(shared_data / "flux/fluxnet2015/FLX_US-AR1_FLUXNET2015_SUBSET_DD_2009-2012_1-3.xlsx")
    energy = (tower.net_radiation - tower.ground_heat_flux).clip(0)
    energy = energy.fillna(energy.groupby("time.month").mean("time").sel(month=tower.time.dt.month))
    reference = sfe.equilibrium_fraction(tower.air_temperature, tower.surface_air_pressure, alpha=1.26).clip(max=1.0)
    heat = constants.vaporization_heat(tower.air_temperature)
    demand = (reference * energy / heat).assign_attrs(units="kg m-2 s-1").rename("demand")
    sand, clay = (xr.DataArray(v, attrs={"units": "1"}) for v in (0.40, 0.20))
    soil = saxton_rawls(sand, clay, 0.02)
    out = two_layer(
        tower.precipitation_flux, demand, depths=(0.25, 0.75), infiltration_shape=6.0, porosity=soil.saturation_moisture,
        field_capacity=soil.field_capacity, wilting_point=soil.wilting_point, conductivity=soil.conductivity, exponent=soil.exponent,
    )  # fmt: skip
    error = out.soil_moisture.isel(depth=0, drop=True) - tower.soil_moisture
    measured = tower.latent_heat_flux / heat
    share = float(out.evapotranspiration_flux.where(measured.notnull()).mean() / measured.mean())
    assert (round(float(error.std()), 3), round(share, 2)) == (0.038, 0.87)


def test_three_definitions_name_the_spring_of_2012(shared_data):
    data = uscrn.open(shared_data / "uscrn/KS_Manhattan_6_SSW.csv").isel(station=0).sel(time=slice("2009-08-02", None))
    theta = data.soil_moisture.sel(depth=0.10).interpolate_na("time", max_gap=pd.Timedelta(days=5))
    root = exponential_filter(theta, 20.0).soil_water_index
    p = pentad_percentile(to_pentads(root)).percentile
    onsets = []
    for found in (drought.drop(p), drought.decline(p), drought.volatility(root)):
        table = event_table(found)
        onsets.append(table.onset[(table.onset < "2012-07-01") & (table.end > "2012-06-01")].iloc[0])
    assert max(onsets) - min(onsets) <= pd.Timedelta(days=10)
    assert min(onsets) >= pd.Timestamp("2012-04-01")
