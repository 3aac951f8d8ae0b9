"""SMAP L3 (HDF5, 36 km EASE-Grid 2.0) and ESA CCI / C3S (netCDF, regular grid)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from vadose import cf, ease

GRID = "M36"
CHUNK = (203, 482)
FILL_FLOAT, FILL_INT = np.float32(-9999.0), np.uint16(65534)
QUALITY_MEANINGS = "Soil_moisture_retrieval_recommended Soil_moisture_retrieval_attempted Soil_moisture_retrieval_successful Freeze_thaw_retrieval_successful"


def smap_l3_name(day: np.datetime64) -> str:
    """The name of a day's file: time is nowhere else in it."""
    return f"smap/SMAP_L3_SM_P_{np.datetime_as_string(day, 'D').replace('-', '')}_R19240_001.h5"


def write_smap_l3(retrieval: xr.Dataset, truth: xr.Dataset, path: Path) -> None:
    """One day as SPL3SMP: groups `..._AM` and `..._PM` on the global grid; the PM pass sees every other column of cells.

    As in the real files there are no dimension scales, and chunks nobody observed are not stored.
    """
    import h5py

    cells, rows, columns = _sample(retrieval, truth)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_group("Metadata").attrs["title"] = np.bytes_(
            "synthetic SMAP L3 of the vadose synthetic Earth; not a real observation"
        )
        for suffix, half in (("AM", ""), ("PM", "_pm")):
            group = file.create_group(f"Soil_Moisture_Retrieval_Data_{suffix}")
            seen = cells["seen"] & ((columns[None, :] % 2 == (0 if suffix == "AM" else 1)) | (suffix == "AM"))
            noise = 0.0 if suffix == "AM" else 0.004 * np.sin(rows[:, None] * 1.7 + columns[None, :])
            moisture = np.where(seen & np.isfinite(cells["soil_moisture"]), cells["soil_moisture"] + noise, FILL_FLOAT)
            quality = np.where(
                seen,
                np.where(np.isfinite(cells["soil_moisture"]), np.where(cells["dense"], 1 + 8, 8), 1 + 4 + 8),
                FILL_INT,
            )
            surface = np.where(seen, cells["dense"] * 1024 + cells["snow"] * 32 + cells["frozen"] * 256, FILL_INT)
            lat, lon = ease.centers(GRID)
            _put(group, f"soil_moisture{half}", moisture, FILL_FLOAT, rows, columns, units=np.bytes_("cm**3/cm**3"), valid_min=np.float32(0.02), valid_max=np.float32(0.5),
                 long_name=np.bytes_("Representative soil moisture measurement for the Earth based grid cell."))  # fmt: skip
            _put(
                group,
                f"soil_moisture_error{half}",
                np.full(moisture.shape, FILL_FLOAT),
                FILL_FLOAT,
                rows,
                columns,
                units=np.bytes_("cm**3/cm**3"),
            )
            _put(
                group,
                f"retrieval_qual_flag{half}",
                quality,
                FILL_INT,
                rows,
                columns,
                flag_masks=np.bytes_("1s, 2s, 4s, 8s"),
                flag_meanings=np.bytes_(QUALITY_MEANINGS),
            )
            _put(
                group,
                f"surface_flag{half}",
                surface,
                FILL_INT,
                rows,
                columns,
                flag_masks=np.bytes_(", ".join(f"{1 << k}s" for k in range(12))),
            )
            _put(
                group,
                f"surface_temperature{half}",
                np.where(seen, cells["temperature"], FILL_FLOAT),
                FILL_FLOAT,
                rows,
                columns,
                units=np.bytes_("Kelvins"),
            )
            _put(
                group,
                f"vegetation_water_content{half}",
                np.where(seen, cells["water_content"], FILL_FLOAT),
                FILL_FLOAT,
                rows,
                columns,
                units=np.bytes_("kg/m**2"),
            )
            _put(
                group,
                f"latitude{half}",
                np.where(seen, lat[rows][:, None], FILL_FLOAT),
                FILL_FLOAT,
                rows,
                columns,
                units=np.bytes_("degrees_north"),
            )
            _put(
                group,
                f"longitude{half}",
                np.where(seen, lon[columns][None, :], FILL_FLOAT),
                FILL_FLOAT,
                rows,
                columns,
                units=np.bytes_("degrees_east"),
            )


def _put(group, name, values, fill, rows, columns, **attrs):
    g = ease.grid(GRID)
    data = group.create_dataset(
        name,
        shape=(g.rows, g.columns),
        dtype=np.asarray(fill).dtype,
        chunks=CHUNK,
        fillvalue=fill,
        shuffle=True,
        compression="gzip",
        compression_opts=4,
    )
    data[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = values.astype(data.dtype)
    data.attrs["_FillValue"] = fill
    for key, value in attrs.items():
        data.attrs[key] = value


def _sample(retrieval, truth):
    """The retrieval at the EASE-Grid cells inside the region, by the nearest cell of the truth's grid."""
    lat, lon = ease.centers(GRID)
    half = abs(float(truth.lat[1] - truth.lat[0])) / 2
    rows = np.flatnonzero((lat > float(truth.lat.min()) - half) & (lat < float(truth.lat.max()) + half))
    columns = np.flatnonzero((lon > float(truth.lon.min()) - half) & (lon < float(truth.lon.max()) + half))
    at = {"lat": xr.DataArray(lat[rows], dims="y"), "lon": xr.DataArray(lon[columns], dims="x"), "method": "nearest"}
    seen, sky = retrieval.sel(**at), truth.sel(**at)
    flag = seen.soil_moisture_flag
    cells = {
        "soil_moisture": seen.soil_moisture.values,
        "seen": ~cf.has_flag(flag, "no_overpass").values,
        "frozen": cf.has_flag(flag, "frozen").values,
        "snow": cf.has_flag(flag, "snow").values,
        "dense": cf.has_flag(flag, "dense_vegetation").values,
        "temperature": sky.soil_temperature.isel(depth=0).values,
        "water_content": 0.5 * sky.leaf_area_index.values**1.3,
    }
    return cells, rows, columns


CCI_FLAGS = (
    "snow_coverage_or_temperature_below_zero",
    "dense_vegetation",
    "others_no_convergence_in_the_model_thus_no_valid_sm_estimates",
)


def write_cci(merged: xr.Dataset, path: Path) -> None:
    """A month of days as ESA CCI COMBINED: `sm`, `sm_uncertainty`, `flag`, `t0`, latitudes from north to south."""
    days = (merged.time.values - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    flags = merged.soil_moisture_flag
    frozen = cf.has_flag(flags, "frozen", "snow")
    dense = cf.has_flag(flags, "dense_vegetation")
    unseen = cf.has_flag(flags, "no_overpass")
    bits = xr.where(unseen, 127, frozen * 1 + dense * 2)
    dims = ("time", "lat", "lon")
    out = xr.Dataset(
        {
            "sm": (
                dims,
                merged.soil_moisture.values,
                {
                    "long_name": "Volumetric Soil Moisture",
                    "units": "m3 m-3",
                    "valid_range": np.array([0.0, 1.0], "float32"),
                    "_CoordinateAxes": "time lat lon",
                },
            ),
            "sm_uncertainty": (
                dims,
                merged.soil_moisture_standard_error.where(merged.soil_moisture.notnull()).values,
                {"long_name": "Volumetric Soil Moisture Uncertainty", "units": "m3 m-3"},
            ),
            "flag": (
                dims,
                bits.values.astype("int8"),
                {
                    "long_name": "Flag",
                    "flag_values": np.array([0, 1, 2, 4], "int8"),
                    "flag_meanings": "no_data_inconsistency_detected " + " ".join(CCI_FLAGS),
                },
            ),
            "t0": (
                dims,
                np.broadcast_to(days[:, None, None], merged.soil_moisture.shape).astype("float64"),
                {"long_name": "Observation Timestamp", "units": "days since 1970-01-01 00:00:00 UTC"},
            ),
        },
        coords={
            "time": (
                "time",
                days,
                {"standard_name": "time", "units": "days since 1970-01-01 00:00:00 UTC", "calendar": "standard"},
            ),
            "lat": ("lat", merged.lat.values, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", merged.lon.values, {"standard_name": "longitude", "units": "degrees_east"}),
        },
        attrs={
            "title": "synthetic merged soil moisture in the layout of ESA CCI COMBINED",
            "product_version": "v09.2-synthetic",
            "Conventions": "CF-1.9",
            "source": "vadose synthetic Earth; not a real observation",
        },
    ).isel(lat=slice(None, None, -1))
    packed = {"zlib": True, "complevel": 1, "chunksizes": (1, merged.sizes["lat"], merged.sizes["lon"])}
    encoding = {
        name: {**packed, "_FillValue": fill}
        for name, fill in {
            "sm": np.float32(-9999),
            "sm_uncertainty": np.float32(-9999),
            "flag": np.int8(127),
            "t0": np.float64(-9999),
        }.items()
    }
    out.to_netcdf(path, encoding=encoding)
