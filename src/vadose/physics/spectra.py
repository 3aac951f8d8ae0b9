"""Why wet soil is dark: reflectance of soil under a film of water, and older laws of darkening (M-T1.8).

MARMIT (Bablet et al. 2018, doi:10.1016/j.rse.2018.07.031): a share of the ground lies under a film of water that absorbs and
traps light. MARMIT-2 (Dupiau et al. 2022, doi:10.1016/j.rse.2022.112951): the film carries soil particles. SWAP-Hapke (Yang et
al. 2011, doi:10.5194/hess-15-2317-2011): water in Hapke's albedo; its published wet-albedo law was not seen (experimental).
Kubelka-Munk (Sadeghi, Jones and Philpot 2015, doi:10.1016/j.rse.2015.04.007) and the exponential law of Lobell and Asner
(2002, doi:10.2136/sssaj2002.7220) relate single bands to moisture.

Reflectance is a fraction, (wavelength, ...); wavelengths are increasing, in nm unless their units say otherwise.
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from scipy.special import exp1

from vadose.errors import DimensionError, ExperimentalWarning, VadoseInputError

#: Liquid water at 25 degC: wavelength [um], refractive index, attenuation index. Hale and Querry 1973, doi:10.1364/AO.12.000555
#: (public domain through refractiveindex.info, CC0).
HALE_QUERRY = np.array([
    (0.350, 1.343, 6.50e-9), (0.375, 1.341, 3.50e-9), (0.400, 1.339, 1.86e-9), (0.425, 1.338, 1.30e-9), (0.450, 1.337, 1.02e-9),
    (0.475, 1.336, 9.35e-10), (0.500, 1.335, 1.00e-9), (0.525, 1.334, 1.32e-9), (0.550, 1.333, 1.96e-9), (0.575, 1.333, 3.60e-9),
    (0.600, 1.332, 1.09e-8), (0.625, 1.332, 1.39e-8), (0.650, 1.331, 1.64e-8), (0.675, 1.331, 2.23e-8), (0.700, 1.331, 3.35e-8),
    (0.725, 1.330, 9.15e-8), (0.750, 1.330, 1.56e-7), (0.775, 1.330, 1.48e-7), (0.800, 1.329, 1.25e-7), (0.825, 1.329, 1.82e-7),
    (0.850, 1.329, 2.93e-7), (0.875, 1.328, 3.91e-7), (0.900, 1.328, 4.86e-7), (0.925, 1.328, 1.06e-6), (0.950, 1.327, 2.93e-6),
    (0.975, 1.327, 3.48e-6), (1.0, 1.327, 2.89e-6), (1.2, 1.324, 9.89e-6), (1.4, 1.321, 1.38e-4), (1.6, 1.317, 8.55e-5),
    (1.8, 1.312, 1.15e-4), (2.0, 1.306, 1.10e-3), (2.2, 1.296, 2.89e-4), (2.4, 1.279, 9.56e-4), (2.6, 1.242, 3.17e-3),
])  # fmt: skip
#: Windows between the water vapor bands of the air [nm].
WINDOWS = ((500.0, 1320.0), (1507.0, 1766.0), (2064.0, 2300.0))
PARTICLE_INDEX = 1.53 + 0.001j
_NM = {"nm": 1.0, "um": 1e3, "µm": 1e3, "micrometer": 1e3, "m": 1e9, "nanometer": 1.0, "nanometers": 1.0}


def wavelengths(data: xr.DataArray | xr.Dataset) -> np.ndarray:
    """Wavelengths of `data` in nm, checked: present, increasing, between 300 and 2600."""
    if "wavelength" not in data.coords:
        raise DimensionError(f"no coordinate 'wavelength'; found {', '.join(map(str, data.coords)) or 'none'}")
    unit = str(data["wavelength"].attrs.get("units", "nm"))
    if unit not in _NM:
        raise VadoseInputError(f"wavelength is in {unit!r}; use one of {', '.join(_NM)}")
    values = np.atleast_1d(np.asarray(data["wavelength"].values, dtype=float)) * _NM[unit]
    if (np.diff(values) <= 0).any():
        at = int(np.argmax(np.diff(values) <= 0))
        raise VadoseInputError(
            f"wavelengths must increase; {values[at + 1]:g} nm follows {values[at]:g} nm. Sort with .sortby('wavelength')"
        )
    if values[0] < 300.0 or values[-1] > 2600.0:
        raise VadoseInputError(
            f"wavelengths run from {values[0]:g} to {values[-1]:g} nm; 300 to 2600 are known. Set units ('nm', 'um', 'm')"
        )
    return values


def check_reflectance(reflectance: xr.DataArray) -> np.ndarray:
    """Wavelengths of a reflectance [nm]; raises where it looks like percent."""
    values = wavelengths(reflectance)
    if reflectance.chunks is None and reflectance.size and float(reflectance.median()) > 1.5:
        raise VadoseInputError(
            f"reflectance must be a fraction; its median is {float(reflectance.median()):.3g}. Divide percent by 100"
        )
    return values


def usable_bands(data: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Which bands lie in the windows where the air's water vapor does not hide the soil."""
    nm = wavelengths(data)
    inside = np.any([(nm >= low) & (nm <= high) for low, high in WINDOWS], axis=0)
    return xr.DataArray(inside, dims="wavelength", coords={"wavelength": data["wavelength"]})


def water_optics(
    data: xr.DataArray | xr.Dataset, *, table: np.ndarray | None = None, name: str = "hale_querry_1973"
) -> xr.Dataset:
    """Refractive index [1], attenuation index [1] and absorption [cm-1] of water at the wavelengths of `data`.

    `table` rows are (wavelength [um], n, k); its `name` travels in the attributes because results depend on the table. n is
    interpolated linearly, ln k linearly.
    """
    nm = wavelengths(data)
    rows = HALE_QUERRY if table is None else np.asarray(table, dtype=float)
    if table is not None and name == "hale_querry_1973":
        name = "given by the caller"
    um = nm / 1e3
    n = np.interp(um, rows[:, 0], rows[:, 1])
    k = np.exp(np.interp(um, rows[:, 0], np.log(rows[:, 2])))
    absorption = 4.0 * np.pi * k / (um * 1e-4)
    coords = {"wavelength": data["wavelength"] if "wavelength" in data.dims else ("wavelength", nm)}
    return xr.Dataset(
        {
            "refractive_index": ("wavelength", n, {"units": "1"}),
            "attenuation_index": ("wavelength", k, {"units": "1"}),
            "absorption": ("wavelength", absorption, {"units": "cm-1"}),
        },
        coords=coords,
        attrs={"water_optics": name},
    )


def hemispheric_fresnel(n):
    """Reflectivity of a smooth surface of index n [1] under light from the whole half space (closed form)."""
    n2 = n * n
    return (
        (3 * n2 + 2 * n + 1) / (3 * (n + 1) ** 2)
        - 2 * n**3 * (n2 + 2 * n - 1) / ((n2 + 1) ** 2 * (n2 - 1))
        + n2 * (n2 + 1) * np.log(n) / (n2 - 1) ** 2
        - n2 * (n2 - 1) ** 2 * np.log(n * (n + 1) / (n - 1)) / (n2 + 1) ** 3
    )


def fresnel(n, zenith: float = 0.0):
    """Reflectivity of a smooth surface for unpolarized light at a zenith angle [degrees]."""
    c = np.cos(np.deg2rad(zenith))
    inside = np.sqrt(n * n - (1.0 - c * c))
    s = ((c - inside) / (c + inside)) ** 2
    p = ((n * n * c - inside) / (n * n * c + inside)) ** 2
    return 0.5 * (s + p)


def internal_reflectivity(n):
    """Share of diffuse light that the film's surface throws back down."""
    return 1.0 - (1.0 - hemispheric_fresnel(n)) / (n * n)


def diffuse_transmission(x):
    """Share of diffuse light that crosses a film of optical thickness x: (1 - x) e^-x + x^2 E1(x)."""
    x = np.asarray(x, dtype=float)
    safe = np.where(x > 0, x, 1.0)
    return np.where(x > 0, (1.0 - x) * np.exp(-x) + x * x * exp1(safe), 1.0)


def film_interface(
    optics: xr.Dataset, sun_zenith: float | None = None
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """What MARMIT's film does to light: mirrored at once, let through both ways, thrown back inside. `sun_zenith` None: laboratory."""
    n = optics["refractive_index"]
    mirror = xr.zeros_like(n) if sun_zenith is None else fresnel(n, sun_zenith)
    back = internal_reflectivity(n)
    return mirror, (1.0 - mirror) * (1.0 - back), back


def marmit(
    dry: xr.DataArray,
    thickness: xr.DataArray | float,
    fraction: xr.DataArray | float,
    *,
    sun_zenith: float | None = None,
    optics: xr.Dataset | None = None,
) -> xr.DataArray:
    """Reflectance of soil of which `fraction` lies under a film of `thickness` [cm]; `dry` (wavelength, ...) is its dry reflectance.

    `sun_zenith` [degrees] for light from the sun; None for the laboratory (no mirrored light seen). `optics`: `water_optics`.
    A film of no thickness still darkens: its surface traps light.
    """
    check_reflectance(dry)
    water = water_optics(dry) if optics is None else optics
    out = marmit_law(dry, thickness, fraction, water["absorption"], *film_interface(water, sun_zenith))
    return out.rename("reflectance").assign_attrs(units="1")


def marmit_law(dry, thickness, fraction, absorption, mirror, through, back):
    """MARMIT's formula for arrays of any kind."""
    light = dry * np.exp(-2.0 * absorption * thickness)
    return fraction * (mirror + through * light / (1.0 - back * light)) + (1.0 - fraction) * dry


def marmit2(
    dry: xr.DataArray,
    thickness: xr.DataArray | float,
    fraction: xr.DataArray | float,
    *,
    particles: float = 5e-4,
    mixing: float = 2.27,
    optics: xr.Dataset | None = None,
) -> xr.DataArray:
    """As `marmit`, with soil particles of volume share `particles` in the film, diffuse light, and a mixture that is not linear."""
    check_reflectance(dry)
    water = water_optics(dry) if optics is None else optics
    return (
        marmit2_law(dry, thickness, fraction, *_loaded_film(water, wavelengths(dry), particles), mixing=mixing)
        .rename("reflectance")
        .assign_attrs(units="1")
    )


def _loaded_film(water, nm, particles):
    """Absorption [cm-1], outer and inner reflectivity of water that carries particles."""
    index = water["refractive_index"] + 1j * water["attenuation_index"]
    mixed = (particles * PARTICLE_INDEX**2 + (1.0 - particles) * index**2) ** 0.5
    absorption = 4.0 * np.pi * mixed.imag / xr.DataArray(nm * 1e-7, dims="wavelength")
    outside = hemispheric_fresnel(mixed.real)
    return absorption, outside, 1.0 - (1.0 - outside) / mixed.real**2


def marmit2_law(dry, thickness, fraction, absorption, outside, back, *, mixing=2.27):
    """MARMIT-2's formula for arrays of any kind."""
    x = absorption * thickness
    if isinstance(x, xr.DataArray):
        crossing = xr.apply_ufunc(diffuse_transmission, x, dask="parallelized", output_dtypes=[float])
    else:
        crossing = diffuse_transmission(x)
    light = dry * crossing**2
    wet = (1.0 - outside) * (1.0 - back) * light / (1.0 - back * light)
    power = 1.0 / mixing
    return (fraction * wet**power + (1.0 - fraction) * dry**power) ** mixing


def hapke(
    albedo, incidence: float = 30.0, emergence: float = 0.0, *, b=0.0, c=0.0, opposition=0.0, width=0.1, phase=None
):
    """Hapke's bidirectional reflectance of a surface of single-scattering `albedo` [1]; angles in degrees.

    `phase` defaults to incidence + emergence (both in the sun's plane). Hapke 2012, doi:10.1017/CBO9781139025683.
    """
    mu0, mu = np.cos(np.deg2rad(incidence)), np.cos(np.deg2rad(emergence))
    g = np.deg2rad(incidence + emergence if phase is None else phase)
    root = (1.0 - albedo) ** 0.5
    h0, h1 = ((1.0 + 2.0 * m) / (1.0 + 2.0 * m * root) for m in (mu0, mu))
    scatter = 1.0 + b * np.cos(g) + c * (3.0 * np.cos(g) ** 2 - 1.0) / 2.0
    surge = opposition / (1.0 + np.tan(g / 2.0) / width)
    return albedo / 4.0 / (mu0 + mu) * ((1.0 + surge) * scatter + h0 * h1 - 1.0)


def hapke_albedo(reflectance: xr.DataArray, incidence: float = 30.0, emergence: float = 0.0, **options) -> xr.DataArray:
    """Single-scattering albedo that gives `reflectance` (bisection; NaN above what Hapke's law can reach)."""

    return xr.apply_ufunc(
        albedo_law, reflectance, incidence, emergence, kwargs=options, dask="parallelized", output_dtypes=[float]
    ).rename("albedo")


def albedo_law(reflectance, incidence=30.0, emergence=0.0, **options):
    """Inverse of `hapke` for numpy arrays."""
    low, high = np.zeros_like(reflectance), np.ones_like(reflectance)
    for _ in range(50):
        middle = 0.5 * (low + high)
        below = hapke(middle, incidence, emergence, **options) < reflectance
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    reachable = (reflectance >= 0) & (reflectance <= hapke(1.0, incidence, emergence, **options))
    return np.where(reachable, 0.5 * (low + high), np.nan)


def swap_hapke(
    dry: xr.DataArray,
    thickness: xr.DataArray | float,
    *,
    incidence: float = 30.0,
    emergence: float = 0.0,
    interface: bool = False,
    optics: xr.Dataset | None = None,
) -> xr.DataArray:
    """Reflectance of soil whose grains carry `thickness` [cm] of water: Hapke with albedo w_dry exp(-a L). Experimental.

    The published form of the wet albedo was not seen. Alternatives: `interface=True` puts MARMIT's film around the darkened soil.
    """
    warnings.warn(
        "SWAP-Hapke: the published wet-albedo law was not seen; exp(-a L) is vadose's own",
        ExperimentalWarning,
        stacklevel=2,
    )
    check_reflectance(dry)
    water = water_optics(dry) if optics is None else optics
    albedo = hapke_albedo(dry, incidence, emergence) * np.exp(-water["absorption"] * thickness)
    wet = hapke(albedo, incidence, emergence)
    if interface:
        _, through, back = film_interface(water)
        wet = through * wet / (1.0 - back * wet)
    return wet.rename("reflectance").assign_attrs(units="1", experimental="wet-albedo law of vadose")


def kubelka_munk(reflectance):
    """Absorption over scattering of a thick layer: (1 - R)^2 / (2 R)."""
    return (1.0 - reflectance) ** 2 / (2.0 * reflectance)


def kubelka_munk_moisture(
    reflectance: xr.DataArray, dry: xr.DataArray, saturated: xr.DataArray, porosity: xr.DataArray | float
) -> xr.DataArray:
    """Soil moisture [m3 m-3] by Kubelka-Munk's transform, linear between `dry` and `saturated`; meant for 2.1 to 2.2 um."""
    low, high = kubelka_munk(dry), kubelka_munk(saturated)
    return (
        (porosity * (kubelka_munk(reflectance) - low) / (high - low))
        .rename("soil_moisture")
        .assign_attrs(units="m3 m-3")
    )


def lobell_asner(saturation, dry, saturated, rate):
    """Reflectance at a degree of saturation: R_sat + (R_dry - R_sat) exp(-c S). Visible bands stop changing near 20 % by volume."""
    return saturated + (dry - saturated) * np.exp(-rate * saturation)
