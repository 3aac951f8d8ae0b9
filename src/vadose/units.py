"""Units are part of a signature: convert any compatible unit, refuse the wrong kind, put units on the output.

Backed by pint with the CF conventions of cf-xarray. A water flux in `mm d-1` and one in `kg m-2 s-1` are the same
quantity (a millimetre of water on a square metre is a kilogram), so both are accepted for variables that are one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import xarray as xr

from vadose.errors import UnitsError

#: Spellings found in files that the CF grammar does not know, and what they mean.
SPELLINGS = {
    "": "1", "-": "1", "none": "1", "unitless": "1", "fraction": "1", "proportion": "1", "index": "1",
    "m3/m3": "m3 m-3", "m^3/m^3": "m3 m-3", "m^3 m^-3": "m3 m-3", "m**3 m**-3": "m3 m-3", "cm**3/cm**3": "m3 m-3", "m³/m³": "m3 m-3",
    "cm3/cm3": "m3 m-3", "cm3 cm-3": "m3 m-3", "m³ m-³": "m3 m-3", "[m3 m-3]": "m3 m-3", "volumetric": "m3 m-3",
    "vol%": "percent", "% vol": "percent", "%": "percent", "%vol": "percent", "vol.%": "percent", "vol.-%": "percent", "vol %": "percent", "percentage": "percent", "pct": "percent", "%vwc": "percent",
    "kelvin": "K", "k": "K", "degrees_kelvin": "K", "degc": "degC", "deg c": "degC", "celsius": "degC", "c": "degC", "°c": "degC",
    "degrees celsius": "degC", "degree_celsius": "degC", "degrees_celsius": "degC", "degreesc": "degC", "℃": "degC",
    "kg/m2": "kg m-2", "kg/m^2": "kg m-2", "kg m**-2": "kg m-2", "kg m^-2": "kg m-2", "m of water equivalent": "m",
    "mm/day": "mm d-1", "mm/d": "mm d-1", "mm day-1": "mm d-1", "mm/h": "mm h-1", "mm hr-1": "mm h-1",
    "kg/m2/s": "kg m-2 s-1", "kg m**-2 s**-1": "kg m-2 s-1", "w/m2": "W m-2", "w m**-2": "W m-2",
}  # fmt: skip

#: Units of depth of water over time or area, and the mass units they equal at 1000 kg m-3.
_WATER = {"[length]": "kg m-2", "[length] / [time]": "kg m-2 s-1"}


@cache
def registry() -> Any:
    """The unit registry (cf-xarray's, with percent)."""
    from cf_xarray.units import units

    return units


@cache
def parse(text: str) -> Any:
    """A pint unit from what a file or a person wrote; `UnitsError` when nobody could know what it means."""
    cleaned = SPELLINGS.get(text.strip().lower(), text.strip())
    try:
        return registry().Unit(cleaned) if cleaned != "1" else registry().Unit("")
    except Exception as error:  # pint raises many kinds
        raise UnitsError(
            f"units {text!r} are not understood; write them as CF does, for example 'm3 m-3', 'kg m-2 s-1', '%'"
        ) from error


def compatible(units: str, to: str) -> bool:
    """Whether a value in `units` can be converted to `to` (water depth and water mass count as one kind)."""
    try:
        return _factors(units, to) is not None
    except UnitsError:
        return False


@cache
def _factors(units: str, to: str) -> tuple[float, float] | None:
    """(scale, offset) with out = in * scale + offset, or None where the kinds differ."""
    source, target = parse(units), parse(to)
    quantity = registry().Quantity
    extra = 1.0
    if not source.is_compatible_with(target):
        dims = {str(source.dimensionality): "source", str(target.dimensionality): "target"}
        water = [d for d in dims if d in _WATER]
        if len(water) != 1:
            return None
        mass = parse(_WATER[water[0]])
        depth = registry().Unit("m") if water[0] == "[length]" else registry().Unit("m/s")
        if dims[water[0]] == "source" and mass.is_compatible_with(target):
            extra, source = float(quantity(1.0, source).to(depth).magnitude) * 1000.0, mass
        elif dims[water[0]] == "target" and mass.is_compatible_with(source):
            extra, target = 1.0 / (float(quantity(1.0, target).to(depth).magnitude) * 1000.0), mass
        else:
            return None
    zero = float(quantity(0.0, source).to(target).magnitude)
    one = float(quantity(1.0, source).to(target).magnitude)
    return (one - zero) * extra, zero * extra


def of(array: xr.DataArray) -> str:
    """The units an array carries; `UnitsError` when it carries none."""
    units = array.attrs.get("units")
    if units is None:
        raise UnitsError(f"variable {array.name!r} has no units; set .attrs['units'], for example 'm3 m-3'")
    return str(units)


def convert(array: xr.DataArray, to: str) -> xr.DataArray:
    """`array` in units `to`. Lazy in, lazy out; attributes kept; nothing is computed when the units already agree.

    Raises `UnitsError` when units are missing or of another kind.
    """
    have = of(array)
    factors = _factors(have, to)
    if factors is None:
        raise UnitsError(
            f"variable {array.name!r} is in {have!r}, which cannot become {to!r}: a different kind of quantity"
        )
    scale, offset = factors
    if (scale, offset) == (1.0, 0.0):
        out = array.copy(deep=False)
    else:
        out = array * scale + offset if offset else array * scale
        out.attrs.update(array.attrs)
        out.name = array.name
    out.attrs["units"] = to
    return out


def taken_as(value: Any, to: str) -> Any:
    """`value` in units `to`: an array that says its units is converted, all else is taken to be in `to` already.

    Raises `UnitsError` for units of another kind. Lazy in, lazy out.
    """
    return convert(value, to) if isinstance(value, xr.DataArray) and "units" in value.attrs else value


def like(array: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """`array` in the units of `reference` where both say theirs and a factor leads from one to the other; else as it is.

    K and degC stay apart: a departure does not say that it is one, and must not be moved by 273.15. Lazy in, lazy out.
    """
    have, want = array.attrs.get("units"), reference.attrs.get("units")
    if have is None or want is None or have == want or not compatible(str(have), str(want)):
        return array
    _, offset = _factors(str(have), str(want)) or (1.0, 0.0)
    return array if offset else convert(array, str(want))


def declare(*, returns: str | None = None, **expected: str) -> Callable:
    """Decorator: the named arguments arrive in the stated units whatever compatible units the caller used.

    DataArrays are converted; plain numbers and numpy arrays are taken to be in the stated units already.
    `returns` puts units on a DataArray result.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            for name, units in expected.items():
                value = bound.arguments.get(name)
                if isinstance(value, xr.DataArray):
                    try:
                        bound.arguments[name] = convert(value, units)
                    except UnitsError as error:
                        raise UnitsError(f"{function.__name__}: argument {name!r}: {error}") from error
            result = function(*bound.args, **bound.kwargs)
            if returns is not None and isinstance(result, xr.DataArray):
                result.attrs["units"] = returns
            return result

        return wrapper

    return decorate
