"""From what a sensor counts to what it means: factory equations, formulae from a table, coefficients with dates and covariance."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vadose.errors import VadoseInputError, unknown_name

#: Standard error of the factory calibration for mineral soil [m3 m-3].
FACTORY_ERROR = 0.03
NAT = np.datetime64("NaT", "s")


def teros_mineral(raw: Any) -> Any:
    """TEROS 11/12 counts -> soil moisture of mineral soil [m3 m-3]; +-0.03. Maker's manual, linear; zero at 1793.246 counts."""
    return 3.879e-4 * raw - 0.6956


def teros_soilless(raw: Any) -> Any:
    """TEROS 11/12 counts -> soil moisture of soilless media [m3 m-3]. Maker's manual, cubic."""
    return ((6.771e-10 * raw - 5.105e-6) * raw + 1.302e-2) * raw - 10.848


def teros_permittivity(raw: Any) -> Any:
    """TEROS 11/12 counts -> apparent permittivity [1]. Maker's manual, square of a cubic."""
    return (((2.887e-9 * raw - 2.080e-5) * raw + 5.276e-2) * raw - 43.39) ** 2


def topp(permittivity: Any) -> Any:
    """Apparent permittivity [1] -> soil moisture of mineral soil [m3 m-3]. Topp et al. 1980, doi:10.1029/WR016i003p00574."""
    return ((4.3e-6 * permittivity - 5.5e-4) * permittivity + 2.92e-2) * permittivity - 5.3e-2


def pore_water_conductivity(bulk: Any, permittivity: Any, temperature: Any, *, moisture: Any = None) -> Any:
    """Bulk conductivity [dS/m], permittivity [1], temperature [degC] -> conductivity of the pore water [dS/m].

    Missing where `moisture` is given and not above 0.1 m3 m-3, and where permittivity does not exceed 4.1 (dry soil).
    Hilhorst 2000, doi:10.2136/sssaj2000.6461922x.
    """
    water = 80.3 - 0.37 * (np.asarray(temperature, dtype=float) - 20.0)
    excess = np.asarray(permittivity, dtype=float) - 4.1
    valid = excess > 0 if moisture is None else (excess > 0) & (np.asarray(moisture) > 0.1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(valid, water * np.asarray(bulk, dtype=float) / excess, np.nan)


#: Equations that a calibration table may name.
EQUATIONS: dict[str, Callable[[Any], Any]] = {
    "teros_mineral": teros_mineral,
    "teros_soilless": teros_soilless,
    "teros_permittivity": teros_permittivity,
    "topp": topp,
    "teros_topp": lambda raw: topp(teros_permittivity(raw)),
}

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip


@lru_cache(maxsize=256)
def formula(text: str) -> Callable[[Any], Any]:
    """`(3.879*10^-4) * x - 0.6956` -> a function of x. Numbers, x, + - * / ^ and brackets; anything else is refused."""
    try:
        tree = ast.parse(text.replace("^", "**"), mode="eval").body
    except SyntaxError as error:
        raise VadoseInputError(f"formula {text!r} is not one of numbers, x, + - * / ^ and brackets") from error

    def build(node: ast.AST) -> Callable[[Any], Any]:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            value = node.value
            return lambda x: value
        if isinstance(node, ast.Name) and node.id == "x":
            return lambda x: x
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner, sign = build(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0
            return lambda x: sign * inner(x)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right, act = build(node.left), build(node.right), _BINARY[type(node.op)]
            return lambda x: act(left(x), right(x))
        raise VadoseInputError(f"formula {text!r} holds {ast.unparse(node)!r}; only numbers, x, + - * / ^ and brackets")

    return build(tree)


@dataclass(frozen=True)
class Calibration:
    """One row of a calibration table: whose, from when to when, which equation, how well.

    `coefficients` (lowest order first) make a polynomial; `covariance` is theirs. Without coefficients `equation` is a name of
    EQUATIONS or a formula in x. `residual` is the standard error that remains in the calibrated value's units.
    """

    name: str
    equation: str = "x"
    coefficients: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()
    residual: float = float("nan")
    low: float = float("-inf")  # raw range that the calibration was made for
    high: float = float("inf")
    valid_from: np.datetime64 = NAT
    valid_through: np.datetime64 = NAT
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.coefficients)
        if self.covariance and (len(self.covariance) != n or any(len(row) != n for row in self.covariance)):
            raise VadoseInputError(f"calibration {self.name}: the covariance must be {n} x {n}, one row a coefficient")
        if not n:
            self.function()

    def function(self) -> Callable[[Any], Any]:
        """The equation as a function of the raw value."""
        if self.coefficients:
            return lambda x: np.polynomial.polynomial.polyval(x, self.coefficients)
        if self.equation in EQUATIONS:
            return EQUATIONS[self.equation]
        if self.equation.isidentifier() and self.equation != "x":
            raise unknown_name("sensor equation", self.equation, EQUATIONS)
        return formula(self.equation)

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated values."""
        out = np.asarray(self.function()(np.asarray(raw, dtype=float)), dtype=float)
        return np.broadcast_to(out, np.shape(raw)).copy() if out.shape != np.shape(raw) else out

    def standard_error(self, raw: np.ndarray) -> np.ndarray:
        """sqrt(J C J^T + residual^2) of each value; J holds the powers of the raw value. Missing where nothing is known."""
        raw = np.asarray(raw, dtype=float)
        residual = FACTORY_ERROR if np.isnan(self.residual) and self.equation == "teros_mineral" else self.residual
        if not self.covariance:
            return np.where(np.isnan(raw), np.nan, residual)
        powers = raw[..., None] ** np.arange(len(self.coefficients))
        spread = np.einsum("...i,ij,...j->...", powers, np.asarray(self.covariance), powers)
        return np.sqrt(spread + (0.0 if np.isnan(residual) else residual) ** 2)

    def covers(self, time: np.ndarray) -> np.ndarray:
        """Which times this calibration is valid for (both ends included, as whole days)."""
        inside = np.ones(np.shape(time), dtype=bool)
        if not np.isnat(self.valid_from):
            inside &= time >= self.valid_from
        if not np.isnat(self.valid_through):
            inside &= time < self.valid_through + np.timedelta64(1, "D")
        return inside


def apply_dated(raw: np.ndarray, time: np.ndarray, rows: Sequence[Calibration]) -> tuple[np.ndarray, np.ndarray]:
    """Each value with the calibration of its date -> (value, outside its raw range). Raises when two rows cover one date."""
    if len(rows) == 1 and np.isnat(rows[0].valid_from) and np.isnat(rows[0].valid_through):
        row = rows[0]
        beyond = (
            (raw < row.low) | (raw > row.high) if row.low > -np.inf or row.high < np.inf else np.zeros(raw.shape, bool)
        )
        return row.apply(raw), beyond
    value = np.full(raw.shape, np.nan)
    beyond = np.zeros(raw.shape, bool)
    taken = np.zeros(raw.shape, bool)
    for row in rows:
        here = row.covers(time)
        if (both := here & taken).any():
            raise VadoseInputError(
                f"two calibrations cover {time[both][0]}: {[r.name for r in rows]}; end one before the other begins"
            )
        taken |= here
        value[here] = row.apply(raw[here])
        beyond[here] = (raw[here] < row.low) | (raw[here] > row.high)
    return value, beyond
