"""Neighbors help, far cells only seem to: weights that fall to zero, and an analysis over 3 x 3 cells.

`Neighbors` is the value for `localization=` of `vadose.assimilate.run`; `neighborhood` makes one such analysis of any ensemble.

Gaspari and Cohn 1999, doi:10.1002/qj.49712555417; Hunt et al. 2007, doi:10.1016/j.physd.2006.11.008 (local analysis).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import xarray as xr

from vadose.assimilate.analysis import etkf
from vadose.errors import DimensionError, UnitsError, VadoseInputError

DEGREE = 111_195.0  # m of latitude
LEAST = 1e-6  # weights below count as none
GRIDS = (("lat", "lon"), ("y", "x"))


@dataclass(frozen=True)
class Neighbors:
    """Every cell learns from the observations around it, their errors grown with distance until they say nothing.

    radius : from here on [m] an observation has no weight (Gaspari and Cohn).
    cells : rows and columns on each side that are looked at; 1 is a neighborhood of 3 x 3.
    correlation : length L [m] over which the errors of weather, model and soil are alike between cells, as exp(-(d / L)^2 / 2); `radius`
        when left out, 0 for none. Neighbors teach only what errs alike: with 0 they add noise, and too long a length trusts them too much.

    The errors of neighboring observations count as independent. A learned map errs alike over many cells: as an observation of
    neighbors it would be trusted too much, so leave it to the column or grow its standard error.
    """

    radius: float = 500.0
    cells: int = 1
    correlation: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.radius, Real) or not 0 < self.radius < np.inf:
            raise VadoseInputError(f"radius must be a positive number, got {self.radius!r}; it is a distance in m")
        if not isinstance(self.cells, Integral) or self.cells < 1:
            raise VadoseInputError(f"cells must be a whole number of 1 or more, got {self.cells!r}")
        if self.correlation is not None and (
            not isinstance(self.correlation, Real) or not 0 <= self.correlation < np.inf
        ):
            raise VadoseInputError(f"correlation must be a length of 0 m or more, got {self.correlation!r}")


def grid_of(like: xr.DataArray) -> tuple[str, str]:
    """The two dims of a grid that are rows and columns: lat and lon [degrees], or y and x [m]."""
    rest = {str(d) for d in like.dims} - {"time"}
    for pair in GRIDS:
        if rest == set(pair):
            for name in pair:
                if name not in like.coords or (like.sizes[name] > 1 and not _monotonic(like[name].values)):
                    raise DimensionError(f"localization needs the coordinate {name!r}, growing or falling")
            if pair == ("y", "x"):
                for name in pair:
                    unit = like[name].attrs.get("units", "m")
                    if unit not in ("m", "meter", "metre", "meters", "metres"):
                        raise UnitsError(f"localization needs {name!r} in m, it has {unit!r}; convert it first")
            return pair
    raise DimensionError(
        f"localization needs a grid of lat and lon, or y and x, besides time; found {', '.join(sorted(rest)) or 'no other dim'}"
    )


def _monotonic(values: np.ndarray) -> bool:
    steps = np.diff(values.astype(float))
    return bool((steps > 0).all() or (steps < 0).all())


def weights(rows: np.ndarray, columns: np.ndarray, option: Neighbors, *, degrees: bool) -> dict[str, np.ndarray]:
    """What `vadose.assimilate.field.run` needs to know of a grid.

    Parameters
    ----------
    rows, columns : places of rows and columns, in degrees of latitude and longitude or in m.

    Returns
    -------
    `near` and `share` (cell, n): neighbors of a cell and their weights; `down` (row, row) and `across` (column, column): how the
    errors of rows and of columns mix, each row of unit norm (one width of a column for the whole grid, that of its middle).
    """
    scale = DEGREE if degrees else 1.0
    y, x = np.asarray(rows, float) * scale, np.asarray(columns, float) * scale
    shrink = np.cos(np.deg2rad(rows)) if degrees else np.ones(y.size)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(y.size), np.arange(x.size), indexing="ij"))
    near, share, closest = [], [], np.inf
    for di in range(-option.cells, option.cells + 1):
        for dj in range(-option.cells, option.cells + 1):
            a, b = i + di, j + dj
            inside = (a >= 0) & (a < y.size) & (b >= 0) & (b < x.size)
            a, b = np.where(inside, a, i), np.where(inside, b, j)
            away = np.hypot(y[a] - y[i], (x[b] - x[j]) * shrink[i])
            closest = min(closest, float(away[inside].min(initial=np.inf)) if di or dj else np.inf)
            weight = gaspari_cohn(away, option.radius)
            near.append(np.where(inside & (weight > LEAST), a * x.size + b, -1))
            share.append(np.maximum(weight, LEAST))
    if closest >= option.radius:
        raise VadoseInputError(
            f"no neighbor lies within the radius of {option.radius:g} m, the nearest is {closest:.0f} m away; "
            "use a larger radius, or leave localization out"
        )
    length = option.radius if option.correlation is None else option.correlation
    return {
        "near": np.stack(near, axis=1), "share": np.stack(share, axis=1), "down": _mixing(y, length), "across": _mixing(x * shrink.mean(), length),
    }  # fmt: skip


def _mixing(at: np.ndarray, length: float) -> np.ndarray:
    """Weights (n, n) that give white noise the correlation exp(-(d / length)^2 / 2), unit variance kept at the edges."""
    if length <= 0:
        return np.eye(at.size)
    kernel = np.exp(-(((at[:, None] - at[None]) / length) ** 2))
    kernel[kernel < 1e-3] = 0.0
    return kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))


def gaspari_cohn(distance: np.ndarray, radius: float) -> np.ndarray:
    """Correlation-like weight of a distance: 1 at 0, 0 from `radius` on, smooth between (the half-width is radius / 2)."""
    z = np.abs(np.asarray(distance, float)) / (radius / 2.0)
    near = ((-0.25 * z + 0.5) * z + 0.625) * z**3 - 5.0 / 3.0 * z**2 + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        far = ((((z / 12.0 - 0.5) * z + 0.625) * z + 5.0 / 3.0) * z - 5.0) * z + 4.0 - 2.0 / (3.0 * z)
    return np.where(z <= 1, near, np.where(z < 2, np.maximum(far, 0.0), 0.0))


def neighborhood(
    ensemble: np.ndarray,
    seen: np.ndarray,
    observation: np.ndarray,
    variance: np.ndarray,
    *,
    spacing: float | tuple[float, float],
    radius: float = 500.0,
) -> np.ndarray:
    """Local analysis: every cell uses the observations of its 3 x 3 neighborhood, their errors grown with distance.

    Parameters
    ----------
    ensemble : (row, column, state, member); `seen` (row, column, member); `observation`, `variance` (row, column).
    spacing : cell size in the unit of `radius` (default m), one number or (rows, columns).
    """
    if ensemble.ndim != 4 or seen.shape != (*ensemble.shape[:2], ensemble.shape[3]):
        raise DimensionError(
            f"expected ensemble (row, column, state, member) and seen without state, got {ensemble.shape} and {seen.shape}"
        )
    dy, dx = (spacing, spacing) if isinstance(spacing, int | float) else spacing
    rows, columns = observation.shape
    wide = {
        "y": np.pad(observation.astype(float), 1, constant_values=np.nan),
        "r": np.pad(np.asarray(variance, float), 1, constant_values=1.0),
    }
    hx = np.pad(seen, ((1, 1), (1, 1), (0, 0)), mode="edge")
    ys, rs, hs = [], [], []
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            weight = float(gaspari_cohn(np.hypot(i * dy, j * dx), radius))
            if weight <= 1e-9:
                continue
            window = (slice(1 + i, 1 + i + rows), slice(1 + j, 1 + j + columns))
            ys.append(wide["y"][window])
            rs.append(wide["r"][window] / weight)
            hs.append(hx[window])
    return etkf(ensemble, np.stack(hs, axis=-2), np.stack(ys, axis=-1), np.stack(rs, axis=-1))
