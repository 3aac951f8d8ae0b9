"""Error variances without a truth: triple and extended triple collocation, N-way with declared error correlations, EIVD.

Model: x_k = a_k + b_k P + e_k with zero-mean errors that are independent of the signal P. Everything is computed from a
covariance matrix, so it works on merged states. Gruber et al. 2016, doi:10.1002/2015JD024027 (N-way);
McColl et al. 2014, doi:10.1002/2014GL061322 (extended); Dong et al. 2020, doi:10.1016/j.jhydrol.2019.124413 (EIVD).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError, VadoseInputError, unknown_name
from vadose.metrics.moments import OTHER, PRODUCT, covariance

#: Why an estimate is NaN.
REASONS = ("too_few", "covariance_not_positive", "correlation_out_of_range", "negative_error_variance")
TRIPLETS = 100

Pairs = Sequence[tuple[str, str]]


def triple_collocation(state: xr.Dataset, *, n_min: int = TRIPLETS) -> xr.Dataset:
    """Triple collocation of a state of exactly three products.

    Returns, by product: `error_variance` [squared units], `error_sd`, `correlation` with the unknown truth (1), `snr_db`,
    `beta` (factor that scales the product to the first), `collocation_flag` (bits of `REASONS`), and `n`. Rejected estimates
    are NaN with a reason: a covariance that is not positive, R2 outside (0, 1], a negative variance.
    """
    if state.sizes[PRODUCT] != 3:
        raise DimensionError(
            f"triple collocation needs three products, got {list(state[PRODUCT].values)}; use extended(...) for more"
        )
    c = covariance(state)

    def part(i, j):
        return c.isel({PRODUCT: i, OTHER: j}, drop=True)

    error, r2, beta = [], [], []
    for i in range(3):
        j, k = [m for m in range(3) if m != i]
        signal = part(i, j) * part(i, k) / part(j, k)
        error.append(part(i, i) - signal)
        r2.append(signal / part(i, i))
    for i in range(3):
        other = 3 - i if i else 1
        beta.append(xr.ones_like(error[0]) if i == 0 else part(0, other) / part(i, other))
    labels = xr.DataArray(state[PRODUCT].values, dims=PRODUCT, name=PRODUCT)
    error_variance, squared, scale = (xr.concat(parts, labels) for parts in (error, r2, beta))
    few = state.n < n_min
    crossed = (part(0, 1) <= 0) | (part(0, 2) <= 0) | (part(1, 2) <= 0)
    return _result(state, error_variance, squared, scale, few, crossed)


def _result(state, error_variance, squared, scale, few, crossed):
    outside = ~((squared > 0) & (squared <= 1))
    negative = error_variance < 0
    flag = (few * 1 + crossed * 2 + (outside & ~few) * 4 + negative * 8).astype("uint8")
    good = flag == 0
    out = xr.Dataset(
        {
            "error_variance": error_variance.where(good),
            "error_sd": np.sqrt(error_variance.where(good)),
            "correlation": np.sqrt(squared.where(good)),
            "snr_db": 10 * np.log10((squared / (1 - squared)).where(good)),
            "beta": scale.where(good),
            "collocation_flag": flag.assign_attrs(
                cf.flag_attrs(REASONS, long_name="why a collocation estimate is missing")
            ),
            "n": state.n,
        }
    )
    return cf.provenance(out, method="M-X7", references="doi:10.1002/2014GL061322")


def extended(state: xr.Dataset, *, correlated: Pairs = (), n_min: int = TRIPLETS) -> xr.Dataset:
    """N-way collocation by least squares with declared pairs of products whose errors are correlated.

    Returns `signal_variance`, `error_variance`, `error_sd`, `correlation`, `snr_db` by product and `error_covariance`
    (product, product_2): the declared pairs' error covariances off the diagonal, error variances on it.

    Raises VadoseInputError when a product is in no triplet free of declared pairs: its error cannot be told apart.
    """
    names = list(state[PRODUCT].values)
    if len(names) < 3:
        raise DimensionError(f"collocation needs three products or more, got {names}")
    declared = _declared(names, correlated)
    for k, name in enumerate(names):
        if not any(
            k in t and not any(frozenset(p) in declared for p in combinations(t, 2))
            for t in combinations(range(len(names)), 3)
        ):
            raise VadoseInputError(
                f"product {name!r} is in no triplet without a declared error correlation; add a product that is independent of it"
            )
    c = covariance(state)
    size = len(names)
    pairs = sorted(tuple(sorted(p)) for p in declared)

    def solve(matrix):
        flat = matrix.reshape(-1, size, size)
        error = np.full((flat.shape[0], size, size), np.nan)
        signal = np.full((flat.shape[0], size), np.nan)
        for row in range(flat.shape[0]):
            if np.isfinite(flat[row]).all():
                signal[row], error[row] = _least_squares(flat[row], pairs, declared)
        return signal.reshape(*matrix.shape[:-2], size), error.reshape(matrix.shape)

    signal, error = xr.apply_ufunc(
        solve,
        c,
        input_core_dims=[[PRODUCT, OTHER]],
        output_core_dims=[[PRODUCT], [PRODUCT, OTHER]],
        dask="parallelized",
        output_dtypes=[float, float],
    )
    signal, error = signal.assign_coords({PRODUCT: names}), error.assign_coords({PRODUCT: names, OTHER: names})
    labels = xr.DataArray(names, dims=PRODUCT, name=PRODUCT)
    variance = xr.concat([error.isel({PRODUCT: k, OTHER: k}, drop=True) for k in range(size)], labels)
    total = xr.concat([c.isel({PRODUCT: k, OTHER: k}, drop=True) for k in range(size)], labels)
    scale = np.sqrt(signal.isel({PRODUCT: 0}, drop=True) / signal)
    out = _result(state, variance, signal / total, scale, state.n < n_min, xr.zeros_like(state.n, dtype=bool))
    out["signal_variance"], out["error_covariance"] = signal, error.where(state.n >= n_min)
    return out


def _declared(names, correlated):
    out = set()
    for pair in correlated:
        for name in pair:
            if name not in names:
                raise unknown_name("product in a correlated pair", name, names)
        out.add(frozenset(names.index(n) for n in pair))
    return out


def _least_squares(c, pairs, declared):
    """Signal variances, error variances and declared error covariances of one covariance matrix (equal weights)."""
    size = c.shape[0]
    unknowns = 2 * size + 2 * len(
        pairs
    )  # signal variances, error variances, signal covariances and error covariances of pairs
    rows, values = [], []

    def equation(entries, value):
        row = np.zeros(unknowns)
        for at, factor in entries:
            row[at] = factor
        rows.append(row)
        values.append(value)

    for a in range(size):
        equation([(a, 1.0), (size + a, 1.0)], c[a, a])
    for k, (a, b) in enumerate(pairs):
        equation([(2 * size + k, 1.0), (2 * size + len(pairs) + k, 1.0)], c[a, b])
        for d, e in permutations([m for m in range(size) if m not in (a, b)], 2):
            clean = not ({frozenset((a, d)), frozenset((b, e)), frozenset((d, e))} & declared)
            if clean and c[d, e] != 0:
                equation([(2 * size + k, 1.0)], c[a, d] * c[b, e] / c[d, e])
    for a in range(size):
        for b, d in combinations([m for m in range(size) if m != a], 2):
            if not ({frozenset((a, b)), frozenset((a, d)), frozenset((b, d))} & declared) and c[b, d] != 0:
                equation([(a, 1.0)], c[a, b] * c[a, d] / c[b, d])
    solution, *_ = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)
    error = np.diag(solution[size : 2 * size])
    for k, (a, b) in enumerate(pairs):
        error[a, b] = error[b, a] = solution[2 * size + len(pairs) + k]
    return solution[:size], error


def instrumental(c: xr.DataArray, lagged: xr.DataArray) -> xr.Dataset:
    """EIVD for three products of which the first two share errors, from covariances and lag-1 autocovariances.

    `c` (product, product_2), `lagged` (product). All errors must be white in time. Returns `error_variance` (product) and
    `error_covariance` of the first two: the mean of the two equivalent estimates.
    """
    x, y, z = (lagged.isel({PRODUCT: k}, drop=True) for k in range(3))

    def part(i, j):
        return c.isel({PRODUCT: i, OTHER: j}, drop=True)

    first = [
        part(0, 0) - part(0, 2) * np.sqrt(x / z),
        part(1, 1) - part(1, 2) * np.sqrt(y / z),
        part(2, 2) - part(0, 2) * np.sqrt(z / x),
    ]
    second = [
        part(0, 0) - part(1, 2) * x / np.sqrt(y * z),
        part(1, 1) - part(0, 2) * y / np.sqrt(x * z),
        part(2, 2) - part(1, 2) * np.sqrt(z / y),
    ]
    shared = [part(0, 1) - part(0, 2) * np.sqrt(y / z), part(0, 1) - part(1, 2) * np.sqrt(x / z)]
    labels = xr.DataArray(c[PRODUCT].values, dims=PRODUCT, name=PRODUCT)
    variance = xr.concat([(a + b) / 2 for a, b in zip(first, second, strict=True)], labels)
    return xr.Dataset(
        {"error_variance": variance.where(variance >= 0), "error_covariance": (shared[0] + shared[1]) / 2}
    )


def lagged_autocovariance(data: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Lag-1 autocovariance of each product over neighboring samples where all products have values."""
    whole = data.notnull().all(PRODUCT)
    anomaly = (data - data.where(whole).mean(dim)).where(whole)
    before = anomaly.isel({dim: slice(None, -1)}).drop_vars(dim, errors="ignore")
    after = anomaly.isel({dim: slice(1, None)}).drop_vars(dim, errors="ignore")
    return (before * after).mean(dim)
