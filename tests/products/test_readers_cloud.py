"""Readers of SMAP L2 swaths and Copernicus 1 km maps, held to the raw bytes of real files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from vadose import products, qc
from vadose.errors import UnreadableFileError

L2 = "smap/L2/SMAP_L2_SM_P_02801_A_20150811T013002_R18290_001.h5"
SSM = "cgls/ssm1km/c_gls_SSM1km_201706010000_CEURO_S1CSAR_V1.1.1.nc"
SWI = "cgls/swi1km/c_gls_SWI1km_201706011200_CEURO_SCATSAR_V1.0.1.nc"


def test_smap_l2_keeps_recommended_retrievals_and_their_places(shared_data):
    raw = xr.open_dataset(shared_data / L2, group="Soil_Moisture_Retrieval_Data", engine="h5netcdf", phony_dims="sort")
    out = products.standardize(raw, "smap_l2")
    with h5py.File(shared_data / L2) as file:
        group = file["Soil_Moisture_Retrieval_Data"]
        bits, sm = group["retrieval_qual_flag"][:], group["soil_moisture"][:]
        lat = group["latitude"][:]
    good = (bits < 65534) & ((bits & 1) == 0) & (sm >= 0) & (sm <= 1)
    values = out.soil_moisture.values
    np.testing.assert_array_equal(np.isfinite(values), good)
    np.testing.assert_array_equal(values[good], sm[good])
    np.testing.assert_array_equal(out.lat.values[good], lat[good])
    assert out.soil_moisture.dims == ("location",)
    # The file is named for the orbit that began on 2015-08-11 at 01:30 UTC.
    seen = out.observation_time.values[good]
    assert seen.min() >= np.datetime64("2015-08-11T01:00")
    assert seen.max() <= np.datetime64("2015-08-11T03:00")


def test_cgls_codes_are_never_data(shared_data):
    with h5py.File(shared_data / SSM) as file:
        stored = file["ssm"][:]
    out = products.standardize(xr.open_dataset(shared_data / SSM), "cgls_ssm").transpose("time", "lat", "lon", ...)
    # The producer's rows go from north to south; ours go up.
    stored = stored[:, ::-1, :]
    good = stored <= 200
    np.testing.assert_array_equal(np.isfinite(out.soil_saturation.values), good)
    np.testing.assert_allclose(out.soil_saturation.values[good], stored[good] * 0.5 / 100.0, rtol=1e-6)
    water = stored == 251
    assert water.any()
    assert (out.soil_saturation_flag.values[water] == 4).all()


def test_cgls_water_index_reads_and_stays_within_one(shared_data):
    out = products.standardize(xr.open_dataset(shared_data / SWI), "cgls_swi")
    assert 0.0 <= float(out.soil_saturation.min()) <= float(out.soil_saturation.max()) <= 1.0
    assert int(out.soil_saturation.count()) > 1000
    assert out.depth_bnds.values.tolist() == [0.0, 0.2]
    # the file's own surface states: unfrozen on land in June; 251 and 252 are codes
    assert set(np.unique(out.surface_state.values[np.isfinite(out.surface_state.values)])) == {1.0}
    kept = qc.keep(out, "cgls")
    assert "unfrozen" in kept.attrs["rules"]
    frozen = out.assign(surface_state=xr.full_like(out.surface_state, 2.0))
    assert not bool(qc.keep(frozen, "cgls").any())


@pytest.mark.parametrize("product", ["smap_l2", "cgls_ssm"])
def test_another_file_is_refused_with_what_it_holds(product):
    with pytest.raises(UnreadableFileError, match="other"):
        products.standardize(xr.Dataset({"other": ("x", [1.0])}), product)
