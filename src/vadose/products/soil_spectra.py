"""Reflectance of soil with measured moisture: field camera of Karlsruhe, goniometer and drone of the grit-lab.

Karlsruhe: Riese and Keller 2018, doi:10.5281/zenodo.1227837. Moisture is volumetric there, gravimetric in the grit-lab tables.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import UnreadableFileError
from vadose.products.canonical import tidy


def _dataset(wavelength, reflectance, moisture, unit, **coords):
    out = xr.Dataset(
        {
            "reflectance": (("wavelength", "sample"), reflectance, {"units": "1"}),
            "moisture": ("sample", moisture, {"units": unit, "long_name": "measured moisture"}),
        },
        coords={
            "wavelength": ("wavelength", wavelength, {"units": "nm"}),
            **{k: ("sample", v) for k, v in coords.items()},
        },
    )
    return out.sortby("wavelength")


def open_camera(path: str | Path) -> xr.Dataset:
    """Karlsruhe: `reflectance` (wavelength, sample) 454-950 nm, `moisture` (sample) [m3 m-3] at 2 cm, `time`, `soil_temperature` [K]."""
    table = pd.read_csv(path)
    bands = [c for c in table.columns if str(c).isdigit()]
    if "soil_moisture" not in table or not bands:
        raise UnreadableFileError(
            f"{path}: expected soil_moisture and one column a wavelength; found {', '.join(table.columns[:6])}"
        )
    out = _dataset(
        np.array(bands, dtype=float), table[bands].to_numpy(dtype=float).T, table["soil_moisture"].to_numpy() / 100.0, "m3 m-3",
        time=pd.to_datetime(table["datetime"]).to_numpy(),
    )  # fmt: skip
    out["soil_temperature"] = ("sample", table["soil_temperature"].to_numpy() + 273.15, {"units": "K"})
    return tidy(out, product="soil_spectra", source=out)


def open_goniometer(path: str | Path) -> xr.Dataset:
    """grit-lab laboratory: `reflectance` (wavelength, sample) 350-2500 nm, `moisture` (sample) gravimetric [1]; sample 1 is dry."""
    table = pd.read_csv(path)
    if list(table.columns[:2]) != ["Run", "SMC (%)"]:
        raise UnreadableFileError(
            f"{path}: expected columns Run, SMC (%), wavelengths; found {', '.join(map(str, table.columns[:4]))}"
        )
    values = table.iloc[:, 2:].to_numpy(dtype=float).T
    out = _dataset(
        table.columns[2:].astype(float),
        values,
        table["SMC (%)"].to_numpy(dtype=float) / 100.0,
        "1",
        run=table["Run"].to_numpy(),
    )
    return tidy(out, product="soil_spectra", source=out)


def open_drone(folder: str | Path) -> xr.Dataset:
    """grit-lab drone plots: spectra/*.csv with sun and sensor angles, and uas_smc.csv. Plots without a weighed sample are left out.

    `reflectance` (wavelength, sample), `moisture` gravimetric [1], `solar_zenith` [degrees]. Zero and negative reflectance is NaN.
    """
    folder = Path(folder)
    smc = pd.read_csv(folder / "uas_smc.csv").set_index("Run")["SMC(%)"]
    spectra, wetness, zenith, names, wavelength = [], [], [], [], None
    for path in sorted((folder / "spectra").glob("*.csv")):
        if path.stem not in smc.index:
            continue
        table = pd.read_csv(path)
        if "Reflectance" not in table:
            raise UnreadableFileError(f"{path}: expected Wavelength and Reflectance; found {', '.join(table.columns)}")
        nm = table["Wavelength"].to_numpy(dtype=float)
        wavelength = nm if wavelength is None else wavelength
        values = table["Reflectance"].to_numpy(dtype=float)
        spectra.append(np.interp(wavelength, nm, np.where(values > 0, values, np.nan)))
        wetness.append(float(smc[path.stem]) / 100.0)
        zenith.append(float(table["Solar zenith"].iloc[0]))
        names.append(path.stem)
    if not spectra:
        raise UnreadableFileError(f"{folder}: no spectrum in spectra/ has a row in uas_smc.csv")
    out = _dataset(wavelength, np.array(spectra).T, np.array(wetness), "1", plot=np.array(names))
    out["solar_zenith"] = ("sample", np.array(zenith), {"units": "degrees"})
    return tidy(out, product="soil_spectra", source=out)


def open_water_table(path: str | Path) -> np.ndarray:
    """Optics of water of the grit-lab (wavelength nm, absorption cm-1, refractive index) -> rows (um, n, k) for `water_optics`."""
    table = pd.read_csv(path)
    if table.shape[1] != 3:
        raise UnreadableFileError(f"{path}: expected wavelength, absorption coefficient, refractive index")
    nm, absorption, n = table.to_numpy(dtype=float).T
    return np.column_stack([nm / 1e3, n, absorption * nm * 1e-7 / (4 * np.pi)])
