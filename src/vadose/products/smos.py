"""SMOS soil moisture: L2 swaths (SMUDP2 as netCDF) and L3 grids of CATDS, 0-5 cm. doi:10.1109/TGRS.2012.2184548.

Bits of `Science_Flags` after the L2 product specification; days count from 2000-01-01. Missing is -999, often undeclared.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import soil_moisture, tidy

#: Bit of Science_Flags -> our meaning; the bit of ours is the position in this table.
SCIENCE = {
    3: "strong_topography", 4: "moderate_topography", 5: "open_water", 11: "frost", 12: "ice", 15: "urban_low",
    16: "urban_high", 24: "external_low", 25: "external_high", 27: "tau",
}  # fmt: skip
EPOCH = np.datetime64("2000-01-01T00:00:00", "ns")
MISSING = -900.0  # what is below is no number
DAY, SECOND, MICROSECOND = (np.timedelta64(1, unit).astype("timedelta64[ns]") for unit in ("D", "s", "us"))


def _first(dataset: xr.Dataset, *names: str) -> xr.DataArray | None:
    return next((dataset[n] for n in names if n in dataset.variables), None)


def _number(values: xr.DataArray) -> xr.DataArray:
    return values.where(values > MISSING)


def _flag(science: xr.DataArray) -> xr.DataArray:
    raw = science.fillna(0) if science.dtype.kind == "f" else science
    bits = raw.astype("int64") & 0xFFFFFFFF  # written as signed or unsigned 32 bits
    out = sum(((bits >> bit) & 1) << place for place, bit in enumerate(SCIENCE))
    return (
        xr.DataArray(out)
        .astype("uint16")
        .assign_attrs(cf.flag_attrs(tuple(SCIENCE.values()), long_name="SMOS science flags"))
    )


def _moment(dataset: xr.Dataset) -> xr.DataArray | None:
    """When each cell was seen, from days, seconds and microseconds since 2000."""
    days = _first(dataset, "Days", "Mean_Acq_Time_Days", "Acquisition_Date")
    if days is None:
        return None
    seconds = _first(dataset, "Seconds", "Mean_Acq_Time_Seconds")
    micro = _first(dataset, "Microseconds")
    raw = days.values
    if raw.dtype.kind == "m":  # decoded as a length of time by its units
        raw = raw / DAY
    known = np.isfinite(raw) & (raw > 0)
    out = np.full(days.shape, np.datetime64("NaT", "ns"))
    length = np.where(known, raw, 0).astype("int64") * DAY
    for part, unit in ((seconds, SECOND), (micro, MICROSECOND)):
        if part is not None:
            more = part.values / unit if part.dtype.kind == "m" else part.values
            length = length + np.where(np.isfinite(more) & (more > 0), more, 0).astype("int64") * unit
    out[known] = EPOCH + length[known]
    return xr.DataArray(out, dims=days.dims)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """L2: one row a grid point -> dims (location) with `observation_time`. L3: (lat, lon), with time where the file has it.

    `radio_interference_probability` [1] is kept beside the flags: `vadose.qc.keep(ds, "smos")` uses both. Nothing is left out here
    but numbers that mean missing and moisture outside 0 to 1.
    """
    values = _first(dataset, "Soil_Moisture", "SM")
    if values is None:
        raise UnreadableFileError(f"not SMOS: expected Soil_Moisture, found {', '.join(map(str, dataset.variables))}")
    swath = values.ndim == 1
    ds = dataset.rename({values.dims[0]: "location"}) if swath else dataset
    values = _number(ds[str(values.name)])
    places = {
        ours: _number(found)
        for ours, names in (("lat", ("Latitude", "latitude", "lat")), ("lon", ("Longitude", "longitude", "lon")))
        if (found := _first(ds, *names)) is not None
    }
    if len(places) < 2:
        raise UnreadableFileError(f"not SMOS: no latitude and longitude in {', '.join(map(str, ds.variables))}")
    values = values.assign_coords(places)
    error = _first(ds, "Soil_Moisture_DQX", "Soil_Moisture_Dqx")
    science = _first(ds, "Science_Flags")
    extra = {}
    interference = _first(ds, "RFI_Prob", "Rfi_Prob", "Ratio_RFI")
    if interference is not None:
        extra["radio_interference_probability"] = _number(interference).assign_attrs(
            units="1", long_name="probability of radio frequency interference"
        )
    chi = _first(ds, "Chi_2_P")
    if chi is not None:
        extra["goodness_of_fit_probability"] = _number(chi).assign_attrs(units="1", long_name="probability of the fit")
    moment = _moment(ds)
    if moment is not None:
        extra["observation_time"] = moment.assign_attrs(long_name="time of observation")
    out = soil_moisture(
        values,
        top=0.0,
        bottom=0.05,
        error=None if error is None else _number(error),
        flag=None if science is None else _flag(science),
        extra=extra,
    )
    return tidy(out, product="smos", source=dataset)
