"""Uncertainty through a computation (M-X10): linear maps, means of correlated values, Monte Carlo and first order.

Random errors add in quadrature, systematic ones (fully correlated) linearly: keep them as two variables for as long as possible.
Effective sample size of a mean after Leith 1973, doi:10.1175/1520-0450(1973)012<1066:TSEOAT>2.0.CO;2; Latin hypercube after
McKay et al. 1979, doi:10.2307/1268522.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from scipy import stats

from vadose.errors import DimensionError, VadoseInputError
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.typing import Rng

DRAWS = 200
EARTH_RADIUS = 6371.0  # km

#: An uncertain input: its value and its standard error.
Uncertain = tuple["float | xr.DataArray", "float | xr.DataArray"]


def error_covariance(standard_error: xr.DataArray, correlation: float | xr.DataArray = 0.0) -> xr.DataArray:
    """Covariance (…, product, product_2) of errors with given standard errors (…, product) and one correlation, or a matrix of them."""
    other = standard_error.rename({PRODUCT: OTHER})
    labels = standard_error[PRODUCT].values
    same = xr.DataArray(np.eye(labels.size, dtype=bool), dims=(PRODUCT, OTHER), coords={PRODUCT: labels, OTHER: labels})
    return standard_error * other * xr.where(same, 1.0, correlation)


def linear(weight: xr.DataArray, covariance: xr.DataArray) -> xr.DataArray:
    """Standard error of y = sum of weight * x over `product`, from the error covariance (…, product, product_2) of x."""
    if PRODUCT not in weight.dims or {PRODUCT, OTHER} - set(covariance.dims):
        raise DimensionError(
            f"a linear map needs weight ({PRODUCT}) and covariance ({PRODUCT}, {OTHER}); got {weight.dims} and {covariance.dims}"
        )
    variance = (weight * weight.rename({PRODUCT: OTHER}) * covariance).sum([PRODUCT, OTHER], skipna=False)
    return variance**0.5


def effective_count(n: float | xr.DataArray, rho: float | xr.DataArray) -> float | xr.DataArray:
    """Independent values that n values with lag-1 correlation rho are worth in a mean: n (1 - rho) / (1 + rho)."""
    if not getattr(rho, "chunks", None) and bool(np.any(np.abs(np.asarray(rho)) >= 1)):
        raise VadoseInputError(f"a lag-1 correlation must lie between -1 and 1, got {np.asarray(rho)}")
    return n * (1 - rho) / (1 + rho)


def time_mean_error(
    standard_error: float | xr.DataArray, n: float | xr.DataArray, rho: float | xr.DataArray
) -> float | xr.DataArray:
    """Standard error of the mean of n values, each with `standard_error`, whose errors have lag-1 correlation `rho`."""
    return standard_error / effective_count(n, rho) ** 0.5


def distance(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Great-circle distances between points [degrees] in km: (points, points)."""
    phi, lam = np.deg2rad(np.ravel(lat)), np.deg2rad(np.ravel(lon))
    half = (
        np.sin((phi[:, None] - phi[None, :]) / 2) ** 2
        + np.cos(phi)[:, None] * np.cos(phi)[None, :] * np.sin((lam[:, None] - lam[None, :]) / 2) ** 2
    )
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))


def space_mean_error(
    standard_error: float | np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    length: float,
    *,
    weight: np.ndarray | None = None,
) -> float:
    """Standard error of a spatial mean of values at points [degrees] whose errors correlate as exp(-distance / length km).

    With equal errors and weights var = s^2 times the mean of exp(-d_ij / length) over all pairs; `weight` (points) for areas.
    """
    if length <= 0:
        raise VadoseInputError(f"length must be positive (km), got {length}")
    rows = np.broadcast_to(np.asarray(standard_error, float), np.shape(np.ravel(lat)))
    share = np.ones(rows.size) if weight is None else np.ravel(weight).astype(float)
    part = rows * share / share.sum()
    return float(np.sqrt(part @ np.exp(-distance(lat, lon) / length) @ part))


def hypercube(names: Sequence[str], draws: int = DRAWS, *, rng: Rng = 0, correlation: np.ndarray | None = None):
    """Standard normal draws by Latin hypercube: a Dataset of `names` over `draw`; `correlation` (names, names) mixes them."""
    sampler = stats.qmc.LatinHypercube(len(names), rng=np.random.default_rng(rng))
    z = stats.norm.ppf(sampler.random(draws))
    if correlation is not None:
        try:
            z = z @ np.linalg.cholesky(np.asarray(correlation, float)).T
        except np.linalg.LinAlgError as error:
            raise VadoseInputError("correlation is not positive definite; no errors can be correlated so") from error
    return xr.Dataset({name: ("draw", z[:, k]) for k, name in enumerate(names)})


def monte_carlo(
    function: Callable[..., xr.DataArray],
    inputs: Mapping[str, Uncertain],
    *,
    draws: int = DRAWS,
    rng: Rng = 0,
    correlation: np.ndarray | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    """`function(**inputs)` with each input drawn from a normal distribution (value, standard error).

    Every input gets one error a draw, common to all its places and times: the spread at a place is that place's, and a mean
    over places treats the error as systematic. Returns `mean`, `standard_error`, `low`, `high` (percentiles of `level`).
    Any xarray function works; lazy in, lazy out.
    """
    if draws < 20:
        raise VadoseInputError(f"at least 20 draws are needed for a spread, got {draws}")
    z = hypercube(list(inputs), draws, rng=rng, correlation=correlation)
    out = function(**{name: value + error * z[name] for name, (value, error) in inputs.items()})
    if getattr(out, "chunks", None) is not None:
        out = out.chunk(draw=-1)
    tail = (1 - level) / 2
    bounds = out.quantile([tail, 1 - tail], "draw")
    return xr.Dataset(
        {
            "mean": out.mean("draw"),
            "standard_error": out.std("draw", ddof=1),
            "low": bounds.isel(quantile=0, drop=True),
            "high": bounds.isel(quantile=1, drop=True),
        }
    )


def first_order(
    function: Callable[..., xr.DataArray],
    inputs: Mapping[str, Uncertain],
    *,
    correlation: np.ndarray | None = None,
    step: float = 1e-3,
) -> xr.Dataset:
    """`function(**inputs)` with its standard error from the Jacobian, by central differences of `step` standard errors.

    Right while the function is straight over a few standard errors; `monte_carlo` where it is not.
    Returns `value`, `standard_error`, and `share` (input): the part of the variance that each input causes by itself.
    """
    values = {name: value for name, (value, _) in inputs.items()}
    slopes = []
    for name, (value, error) in inputs.items():
        high = function(**{**values, name: value + step * error})
        low = function(**{**values, name: value - step * error})
        slopes.append(xr.DataArray((high - low) / (2 * step)))
    labels = xr.DataArray(list(inputs), dims=PRODUCT, name=PRODUCT)
    parts = xr.concat(slopes, labels)
    mixed = error_covariance(xr.ones_like(labels, dtype=float).assign_coords({PRODUCT: labels}), 0.0)
    if correlation is not None:
        mixed = mixed.copy(data=np.asarray(correlation, float))
    spread = linear(parts, mixed)
    return xr.Dataset(
        {
            "value": xr.DataArray(function(**values)),
            "standard_error": spread,
            "share": (parts**2 / spread**2).rename({PRODUCT: "input"}),
        }
    )


def combine_errors(
    random: Sequence[float | xr.DataArray] = (), systematic: Sequence[float | xr.DataArray] = ()
) -> xr.Dataset:
    """Error parts of a sum: random parts add in quadrature, systematic (fully correlated) ones linearly.

    Returns `random`, `systematic` and `total` (their quadrature sum).
    """
    if not random and not systematic:
        raise VadoseInputError("give at least one random or systematic error part")
    scatter = np.sqrt(sum((xr.DataArray(part) ** 2 for part in random), xr.DataArray(0.0)))
    shift = sum((xr.DataArray(part) for part in systematic), xr.DataArray(0.0))
    return xr.Dataset({"random": scatter, "systematic": shift, "total": np.sqrt(scatter**2 + shift**2)})
