"""What the present says about the future, and how much each model counts: emergent constraints and weights of models.

Emergent constraints: Cox et al. 2018, doi:10.1038/nature25450. Weights by performance and independence: Knutti et al. 2017,
doi:10.1002/2016GL072012. Bayesian model averaging: Raftery et al. 2005, doi:10.1175/MWR2906.1; on the simplex of weights after
Massoud et al. 2020, doi:10.1029/2020EF001587.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError, VadoseWarning
from vadose.typing import Rng


@dataclass(frozen=True)
class Constraint:
    """Line y = intercept + slope x over models, its residual sd, and y before and after the observation of x; `low`, `high`: 66 % range.

    `left_out` holds the constrained mean without each model in turn: how much one model decides.
    """

    slope: float
    intercept: float
    residual: float
    correlation: float
    prior_mean: float
    prior_sd: float
    mean: float
    sd: float
    low: float
    high: float
    left_out: np.ndarray
    mechanism: str
    trusted: bool


def emergent_constraint(
    x: np.ndarray, y: np.ndarray, *, observed: float, error: float, mechanism: str, least_models: int = 8
) -> Constraint:
    """Constrain y (a projection, one a model) by x (an observable, one a model) as observed with standard error `error`.

    p(y) = integral of N(y; a + b x, s_f(x)) N(x; observed, error): its mean and variance in closed form, with
    s_f^2 = s^2 (1 + 1/M + (x - mean x)^2 / Sxx). `mechanism` says in words why x should tell about y: a correlation without one is no
    constraint. Warns, and sets `trusted` to False, where |r| < 0.5 or there are fewer than eight models.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1:
        raise DimensionError(f"x and y hold one number a model each; got shapes {x.shape} and {y.shape}")
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if x.size < 4:
        raise TooFewSamplesError(f"an emergent constraint needs at least four models, got {x.size}")
    if len(mechanism.split()) < 3:
        raise VadoseInputError("mechanism must say in a sentence why the observable tells about the projection")
    r = float(np.corrcoef(x, y)[0, 1])
    trusted = abs(r) >= 0.5 and x.size >= least_models
    if not trusted:
        warnings.warn(
            f"weak emergent constraint: {x.size} models, correlation {r:.2f}; wanted are at least {least_models} and |r| of 0.5",
            VadoseWarning,
            stacklevel=2,
        )
    slope, intercept, residual, mean, sd = _line(x, y, observed, error)
    half = stats.norm.ppf(0.83) * sd
    left = np.array([_line(np.delete(x, k), np.delete(y, k), observed, error)[3] for k in range(x.size)])
    return Constraint(
        slope, intercept, residual, r, float(y.mean()), float(y.std(ddof=1)), mean, sd, mean - half, mean + half, left, mechanism, trusted
    )  # fmt: skip


def _line(x, y, observed, error):
    m = x.size
    sxx = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / sxx
    intercept = y.mean() - slope * x.mean()
    variance = ((y - intercept - slope * x) ** 2).sum() / (m - 2)
    around = variance * (1 + 1 / m + ((observed - x.mean()) ** 2 + error**2) / sxx)
    return (
        float(slope),
        float(intercept),
        float(np.sqrt(variance)),
        float(intercept + slope * observed),
        float(np.sqrt(around + slope**2 * error**2)),
    )


def performance_independence(
    distance: np.ndarray, between: np.ndarray, *, performance_radius: float, independence_radius: float
) -> np.ndarray:
    """Weights exp(-(D_i / s_D)^2) / (1 + sum_j exp(-(S_ij / s_S)^2)), normalized: good models count more, twins share.

    `distance` (model) to observations; `between` (model, model) symmetric with zeros on the diagonal, in any one unit each.
    """
    d, s = np.asarray(distance, float), np.asarray(between, float)
    if s.shape != (d.size, d.size):
        raise DimensionError(f"distances between models must be ({d.size}, {d.size}), got {s.shape}")
    if performance_radius <= 0 or independence_radius <= 0:
        raise VadoseInputError("radii must be positive")
    # the best model's distance is taken off before exp(): weights do not change, and no weight underflows with all others
    top = np.exp(-((d**2 - (d**2).min()) / performance_radius**2))
    others = np.exp(-((s / independence_radius) ** 2)) * (1 - np.eye(d.size))
    weights = top / (1 + others.sum(axis=1))
    return weights / weights.sum()


def perfect_model_radius(
    between: np.ndarray,
    truths: np.ndarray,
    *,
    independence_radius: float,
    candidates: np.ndarray | None = None,
    level: float = 0.8,
) -> float:
    """The smallest performance radius with which each model, taken as truth, lies within the others' weighted 10-90 % range often enough.

    `truths` (model) is the projected quantity; the perfect-model test of Knutti et al. 2017.
    """
    s, y = np.asarray(between, float), np.asarray(truths, float)
    scale = np.median(s[~np.eye(y.size, dtype=bool)])
    for radius in np.sort(np.linspace(0.1, 2.0, 39) * scale if candidates is None else candidates):
        inside = []
        for k in range(y.size):
            rest = np.delete(np.arange(y.size), k)
            w = performance_independence(
                s[rest, k],
                s[np.ix_(rest, rest)],
                performance_radius=float(radius),
                independence_radius=independence_radius,
            )
            order = np.argsort(y[rest])
            share = np.cumsum(w[order]) - 0.5 * w[order]
            low, high = np.interp([(1 - level) / 2, (1 + level) / 2], share, y[rest][order])
            inside.append(low <= y[k] <= high)
        if np.mean(inside) >= level:
            return float(radius)
    return float(2.0 * scale)


@dataclass(frozen=True)
class Average:
    """Weights of models and the sd of each; `mean` and `variance` (within and between models) for forecasts given."""

    weights: np.ndarray
    sd: np.ndarray
    iterations: int

    def predict(self, forecasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the mixture for forecasts (..., model): sum w f and sum w (s^2 + (f - mean)^2)."""
        mean = (forecasts * self.weights).sum(-1)
        return mean, (self.weights * (self.sd**2 + (forecasts - mean[..., None]) ** 2)).sum(-1)


def bayesian_average(
    observed: np.ndarray, forecasts: np.ndarray, *, tolerance: float = 1e-8, longest: int = 500
) -> Average:
    """Mixture of normals around the models' values by expectation-maximization: observed (sample), forecasts (sample, model)."""
    y, f = np.asarray(observed, float), np.asarray(forecasts, float)
    good = np.isfinite(y) & np.isfinite(f).all(axis=1)
    y, f = y[good], f[good]
    if y.size < 10:
        raise TooFewSamplesError(f"model averaging needs at least 10 common samples, got {y.size}")
    squares = (y[:, None] - f) ** 2
    w, s2 = np.full(f.shape[1], 1 / f.shape[1]), np.maximum(squares.mean(axis=0), 1e-300)
    before, steps = -np.inf, 0
    for steps in range(1, longest + 1):  # noqa: B007 - how many it took is told
        logs = np.log(np.maximum(w, 1e-300)) - 0.5 * np.log(2 * np.pi * s2) - 0.5 * squares / s2
        top = logs.max(axis=1, keepdims=True)
        z = np.exp(logs - top)
        likelihood = float((top[:, 0] + np.log(z.sum(axis=1))).sum())
        z /= z.sum(axis=1, keepdims=True)
        w = z.mean(axis=0)
        w = w / w.sum()
        known = z.sum(axis=0) > 1e-12
        s2 = np.where(known, (z * squares).sum(axis=0) / np.maximum(z.sum(axis=0), 1e-300), s2)
        s2 = np.maximum(s2, 1e-12 * squares.mean())
        if abs(likelihood - before) < tolerance * max(1.0, abs(likelihood)):
            break
        before = likelihood
    return Average(w, np.sqrt(s2), steps)


@dataclass(frozen=True)
class Posterior:
    """Draws of weights (draw, model), their mean, and the potential scale reduction of each (below 1.01: the chains agree)."""

    draws: np.ndarray
    mean: np.ndarray
    r_hat: np.ndarray


def weight_posterior(
    observed: np.ndarray, forecasts: np.ndarray, *, error: float, draws: int = 4000, chains: int = 4, rng: Rng = 0
) -> Posterior:
    """Posterior of weights on the simplex: a flat Dirichlet prior, normal likelihood (sd `error`) of the weighted mean of forecasts.

    Metropolis steps in centered log-ratios, adapted in the first half, which is dropped. The likelihood counts each sample as
    independent: give `error` the size that holds for the mean of alike samples.
    """
    y, f = np.asarray(observed, float), np.asarray(forecasts, float)
    m = f.shape[1]
    gram, cross = f.T @ f / error**2, f.T @ y / error**2
    generator = np.random.default_rng(rng)

    def log_density(z):
        shifted = np.append(z, 0.0)
        w = np.exp(shifted - shifted.max())
        w = w / w.sum()
        return -0.5 * w @ gram @ w + w @ cross + np.log(np.maximum(w, 1e-300)).sum(), w  # the last term: Jacobian

    kept = np.empty((chains, draws, m))
    for c in range(chains):
        z = generator.normal(0, 1, m - 1)
        here, w = log_density(z)
        step, past = 0.5, []
        covariance: np.ndarray = np.eye(m - 1)
        for k in range(2 * draws):
            new = z + step * covariance @ generator.normal(0, 1, m - 1)
            there, w_new = log_density(new)
            chance = np.exp(min(0.0, there - here))
            if generator.random() < chance:
                z, here, w = new, there, w_new
            if k < draws:
                past.append(z)
                step *= np.exp((chance - 0.3) / np.sqrt(k + 1))
                if k > 200 and k % 200 == 0:
                    recent = np.cov(np.array(past[k // 2 :]).T).reshape(m - 1, m - 1)
                    covariance = np.linalg.cholesky(recent + 1e-8 * np.eye(m - 1))
            else:
                kept[c, k - draws] = w
    means, variances = kept.mean(axis=1), kept.var(axis=1, ddof=1)
    within = variances.mean(axis=0)
    pooled = within * (draws - 1) / draws + means.var(axis=0, ddof=1)
    flat = kept.reshape(-1, m)
    return Posterior(flat, flat.mean(axis=0), np.sqrt(pooled / np.maximum(within, 1e-300)))
