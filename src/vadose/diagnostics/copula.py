"""How two hazards depend on each other: copulas, their fit, and what they mean for return periods (M-T2.1).

u, v are the places of the two hazards in their records, 0..1, larger is worse. Families: independence, gaussian, student, clayton
(joint extremes of small values), gumbel (joint extremes of large values), frank (no joint extremes), and the first two turned
around (`survival_clayton`, `survival_gumbel`). Nelsen 2006, doi:10.1007/0-387-28678-0; return periods after Salvadori et al. 2016,
doi:10.1002/2015WR017225.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln, ndtri

from vadose.errors import TooFewSamplesError, unknown_name
from vadose.typing import Rng

EPS = 1e-10


def ranks(values: np.ndarray, *, rng: Rng = 0) -> np.ndarray:
    """Place of each value in its record, r / (n + 1); ties (days without rain) are broken at random but reproducibly."""
    values = np.asarray(values, dtype=float)
    jitter = np.random.default_rng(rng).random(values.size)
    order = np.lexsort((jitter, values))
    out = np.empty(values.size)
    out[order] = np.arange(1, values.size + 1) / (values.size + 1)
    return out


def kendall_tau(u: np.ndarray, v: np.ndarray) -> float:
    """Kendall's rank correlation."""
    return float(stats.kendalltau(u, v).statistic)


# --- distribution functions --------------------------------------------------------------------------------------------------


def _gaussian_cdf(u, v, p):
    x, y = ndtri(np.clip(u, EPS, 1 - EPS)), ndtri(np.clip(v, EPS, 1 - EPS))
    return _binormal(x, y, p[0])


def _binormal(x, y, rho):
    """P(X < x, Y < y) of a bivariate normal: Gauss-Legendre over the correlation (Drezner and Wesolowsky 1990)."""
    nodes, weights = np.polynomial.legendre.leggauss(48)
    angle = np.arcsin(np.clip(rho, -1 + 1e-12, 1 - 1e-12)) * (nodes + 1.0) / 2.0
    s = np.sin(angle)
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    e = np.exp(-(x[..., None] ** 2 + y[..., None] ** 2 - 2 * s * x[..., None] * y[..., None]) / (2 * (1 - s * s)))
    return stats.norm.cdf(x) * stats.norm.cdf(y) + (e @ weights) * np.arcsin(rho) / (4 * np.pi)


def _gaussian_pdf(u, v, p):
    x, y, r = ndtri(u), ndtri(v), p[0]
    return -0.5 * np.log(1 - r * r) - (r * r * (x * x + y * y) - 2 * r * x * y) / (2 * (1 - r * r))


def _student_pdf(u, v, p):
    r, nu = p[0], p[1]
    x, y = stats.t.ppf(u, nu), stats.t.ppf(v, nu)
    joint = (
        gammaln((nu + 2) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) - 0.5 * np.log(1 - r * r)
        - (nu + 2) / 2 * np.log1p((x * x + y * y - 2 * r * x * y) / (nu * (1 - r * r)))
    )  # fmt: skip
    return joint - stats.t.logpdf(x, nu) - stats.t.logpdf(y, nu)


def _student_cdf(u, v, p):
    """Integral over u of the conditional distribution, on a fine axis."""
    r, nu = p[0], p[1]
    u, v = np.broadcast_arrays(np.asarray(u, float), np.asarray(v, float))
    nodes, weights = np.polynomial.legendre.leggauss(64)
    s = (nodes + 1) / 2 * u[..., None]
    x, y = stats.t.ppf(np.clip(s, EPS, 1 - EPS), nu), stats.t.ppf(np.clip(v, EPS, 1 - EPS), nu)[..., None]
    inside = stats.t.cdf((y - r * x) / np.sqrt((nu + x * x) * (1 - r * r) / (nu + 1)), nu + 1)
    return (inside @ weights) * u / 2


def _clayton_cdf(u, v, p):
    return np.maximum(u ** -p[0] + v ** -p[0] - 1.0, 0.0) ** (-1.0 / p[0])


def _clayton_pdf(u, v, p):
    t = p[0]
    return np.log1p(t) - (1 + t) * (np.log(u) + np.log(v)) - (2 + 1 / t) * np.log(u**-t + v**-t - 1)


def _gumbel_cdf(u, v, p):
    return np.exp(-(((-np.log(u)) ** p[0] + (-np.log(v)) ** p[0]) ** (1.0 / p[0])))


def _gumbel_pdf(u, v, p):
    t = p[0]
    x, y = -np.log(u), -np.log(v)
    s = x**t + y**t
    w = s ** (1 / t)
    return -w + x + y + (t - 1) * (np.log(x) + np.log(y)) + (1 / t - 2) * np.log(s) + np.log(w + t - 1)


def _frank_cdf(u, v, p):
    t = p[0]
    return -np.log1p(np.expm1(-t * u) * np.expm1(-t * v) / np.expm1(-t)) / t


def _frank_pdf(u, v, p):
    t = p[0]
    bottom = -np.expm1(-t) - np.expm1(-t * u) * np.expm1(-t * v)
    return np.log(t * -np.expm1(-t)) - t * (u + v) - 2 * np.log(np.abs(bottom))


# --- sampling --------------------------------------------------------------------------------------------------------------


def _gaussian_draw(n, p, rng):
    x = rng.standard_normal((2, n))
    return stats.norm.cdf(x[0]), stats.norm.cdf(p[0] * x[0] + np.sqrt(1 - p[0] ** 2) * x[1])


def _student_draw(n, p, rng):
    x = rng.standard_normal((2, n))
    w = np.sqrt(p[1] / rng.chisquare(p[1], n))
    return stats.t.cdf(x[0] * w, p[1]), stats.t.cdf((p[0] * x[0] + np.sqrt(1 - p[0] ** 2) * x[1]) * w, p[1])


def _clayton_draw(n, p, rng):
    u, w = rng.random((2, n))
    return u, ((w ** (-p[0] / (1 + p[0])) - 1) * u ** -p[0] + 1) ** (-1 / p[0])


def _gumbel_draw(n, p, rng):
    """Marshall and Olkin: exponentials over a positive stable variable (Chambers, Mallows and Stuck)."""
    a = 1 / p[0]
    angle = np.pi * (rng.random(n) - 0.5)
    e = rng.exponential(size=n)
    if p[0] == 1.0:
        stable = np.ones(n)
    else:
        shift = np.pi / 2
        stable = (
            np.sin(a * (angle + shift))
            / np.cos(angle) ** (1 / a)
            * (np.cos(angle - a * (angle + shift)) / e) ** ((1 - a) / a)
        )
    x = rng.exponential(size=(2, n)) / stable
    return np.exp(-(x[0] ** a)), np.exp(-(x[1] ** a))


def _frank_draw(n, p, rng):
    u, w = rng.random((2, n))
    t = p[0]
    return u, -np.log1p(w * np.expm1(-t) / (w + (1 - w) * np.exp(-t * u))) / t


def _frank_tau(t):
    from scipy.integrate import quad

    debye = quad(lambda x: x / np.expm1(x) if x > 0 else 1.0, 0, abs(t))[0] / abs(t)
    return np.sign(t) * (1 - 4 / abs(t) * (1 - debye)) if t else 0.0


def _frank_start(tau):
    from scipy.optimize import brentq

    return (
        0.0
        if abs(tau) < 1e-3
        else brentq(lambda t: _frank_tau(t) - tau, -60, -1e-4)
        if tau < 0
        else brentq(lambda t: _frank_tau(t) - tau, 1e-4, 60)
    )


@dataclass(frozen=True)
class Family:
    """One family: distribution function, log density, draw, parameter from Kendall's tau, bounds, tails, Kendall function."""

    cdf: Callable[..., Any]
    log_density: Callable[..., Any]
    draw: Callable[..., Any]
    from_tau: Callable[[float], float]
    bounds: tuple[float, float]
    tails: Callable[..., tuple[float, float]]  # lower, upper
    kendall: Callable[..., Any] | None = None
    parameters: int = 1


def _turned(base: Family) -> Family:
    """The family of (1 - u, 1 - v)."""
    return Family(
        cdf=lambda u, v, p: u + v - 1 + base.cdf(1 - u, 1 - v, p),
        log_density=lambda u, v, p: base.log_density(1 - u, 1 - v, p),
        draw=lambda n, p, rng: tuple(1 - x for x in base.draw(n, p, rng)),
        from_tau=base.from_tau,
        bounds=base.bounds,
        tails=lambda p: base.tails(p)[::-1],
    )


def _student_tail(p):
    value = 2 * stats.t.cdf(-np.sqrt((p[1] + 1) * (1 - p[0]) / (1 + p[0])), p[1] + 1)
    return float(value), float(value)


_CLAYTON = Family(
    _clayton_cdf, _clayton_pdf, _clayton_draw, lambda tau: 2 * tau / (1 - tau), (0.01, 40.0), lambda p: (2 ** (-1 / p[0]), 0.0),
    lambda t, p: t + t * (1 - t ** p[0]) / p[0],
)  # fmt: skip
_GUMBEL = Family(
    _gumbel_cdf, _gumbel_pdf, _gumbel_draw, lambda tau: 1 / (1 - tau), (1.0001, 40.0), lambda p: (0.0, 2 - 2 ** (1 / p[0])),
    lambda t, p: t - t * np.log(t) / p[0],
)  # fmt: skip
FAMILIES: dict[str, Family] = {
    "gaussian": Family(
        _gaussian_cdf, _gaussian_pdf, _gaussian_draw, lambda tau: np.sin(np.pi * tau / 2), (-0.995, 0.995), lambda p: (0.0, 0.0)
    ),
    "student": Family(
        _student_cdf, _student_pdf, _student_draw, lambda tau: np.sin(np.pi * tau / 2), (-0.995, 0.995), _student_tail, None, 2
    ),
    "clayton": _CLAYTON,
    "gumbel": _GUMBEL,
    "frank": Family(
        _frank_cdf, _frank_pdf, _frank_draw, _frank_start, (-50.0, 50.0), lambda p: (0.0, 0.0),
        lambda t, p: t - np.log(np.expm1(-p[0] * t) / np.expm1(-p[0])) * np.expm1(p[0] * t) / p[0],
    ),
    "survival_clayton": _turned(_CLAYTON),
    "survival_gumbel": _turned(_GUMBEL),
}  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A fitted copula: family, parameters, log likelihood, AIC, number of pairs."""

    family: str
    parameters: tuple[float, ...]
    log_likelihood: float
    aic: float
    n: int

    def cdf(self, u, v):
        """C(u, v)."""
        return family(self.family).cdf(np.asarray(u, float), np.asarray(v, float), self.parameters)

    @property
    def tails(self) -> tuple[float, float]:
        """Lower and upper tail dependence."""
        return family(self.family).tails(self.parameters)


def family(name: str) -> Family:
    """The family called `name`; an unknown one answers with the nearest names."""
    if name not in FAMILIES:
        raise unknown_name("copula", name, FAMILIES)
    return FAMILIES[name]


def fit_family(u: np.ndarray, v: np.ndarray, name: str) -> Fitted:
    """Maximum pseudo-likelihood of one family for ranks u, v, from the parameter that Kendall's tau suggests."""
    row = family(name)
    u, v = (np.clip(np.asarray(a, float), EPS, 1 - EPS) for a in (u, v))
    tau = kendall_tau(u, v)
    low, high = row.bounds
    start = float(np.clip(row.from_tau(np.clip(tau, -0.97, 0.97)), low + 1e-6, high - 1e-6))

    def cost(theta):
        if name == "frank" and abs(theta) < 1e-6:
            return 0.0
        value = -float(np.sum(row.log_density(u, v, (theta,))))
        return value if np.isfinite(value) else 1e12

    if row.parameters == 2:
        best = minimize(
            lambda x: -float(np.sum(row.log_density(u, v, (np.tanh(x[0]), 2.0 + np.exp(x[1]))))),
            [np.arctanh(np.clip(start, -0.99, 0.99)), 1.5],
            method="Nelder-Mead",
            bounds=[(-3, 3), (-3.0, 4.6)],
            options={"xatol": 1e-3, "fatol": 1e-2, "maxiter": 120},
        )
        parameters: tuple[float, ...] = (float(np.tanh(best.x[0])), float(2.0 + np.exp(best.x[1])))
        height = -float(best.fun)
    else:
        width = 0.5 + 0.6 * abs(start)
        near = minimize_scalar(
            cost, bounds=(max(low, start - width), min(high, start + width)), method="bounded", options={"xatol": 1e-5}
        )
        parameters, height = (float(near.x),), -float(near.fun)
    return Fitted(name, parameters, height, 2 * row.parameters - 2 * height, u.size)


def fit_copula(x: np.ndarray, y: np.ndarray, *, families: tuple[str, ...] = tuple(FAMILIES), rng: Rng = 0) -> Fitted:
    """The family that fits two hazards best by AIC. At least 20 complete pairs; margins are ranks."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    good = np.isfinite(x) & np.isfinite(y)
    if good.sum() < 20:
        raise TooFewSamplesError(f"{int(good.sum())} complete pairs, at least 20 are needed for a copula")
    u, v = ranks(x[good], rng=rng), ranks(y[good], rng=rng)
    return min((fit_family(u, v, name) for name in families), key=lambda f: f.aic)


def goodness(fitted: Fitted, u: np.ndarray, v: np.ndarray, *, draws: int = 200, rng: Rng = 0) -> tuple[float, float]:
    """Cramer-von Mises distance of a fitted copula from the empirical one, and its p value by parametric bootstrap."""
    generator = np.random.default_rng(rng)

    def distance(a, b, model):
        empirical = ((a[None, :] <= a[:, None]) & (b[None, :] <= b[:, None])).mean(axis=1)
        return float(((empirical - model.cdf(a, b)) ** 2).sum())

    observed = distance(u, v, fitted)
    above = 0
    for _ in range(draws):
        a, b = family(fitted.family).draw(u.size, fitted.parameters, generator)
        a, b = ranks(a, rng=generator), ranks(b, rng=generator)
        above += distance(a, b, fit_family(a, b, fitted.family)) >= observed
    return observed, (above + 0.5) / (draws + 1)


def multiplication_factor(name: str, parameters: tuple[float, ...], p: float) -> float:
    """How much likelier both hazards exceed their upper `p` together than if independent, under a copula of the upper corner.

    For symmetric use with lower corners (as droughts are often given) C(p, p) / p^2 equals the upper-corner value of the turned copula.
    """
    return float(family(name).cdf(np.array(p), np.array(p), parameters) / p**2)


def return_periods(fitted: Fitted, u: float, v: float, *, interval: float = 1.0) -> dict[str, float]:
    """Return periods [unit of `interval`, the mean time between events] of u and v: each, both, either, and Kendall's."""
    c = float(fitted.cdf(u, v))
    row = family(fitted.family)
    out = {
        "first": interval / (1 - u),
        "second": interval / (1 - v),
        "and": interval / max(1 - u - v + c, 1e-300),
        "or": interval / (1 - c),
        "second_given_first": (1 - u) / max(1 - u - v + c, 1e-300) * interval,
    }
    if row.kendall is not None:
        out["kendall"] = float(interval / (1 - row.kendall(c, fitted.parameters)))
    return out


def dependence_trend(u: np.ndarray, v: np.ndarray, time: np.ndarray, *, name: str = "gaussian") -> dict[str, float]:
    """Does the dependence of two hazards change with time? Likelihood-ratio test of theta(t) = a + b t against a constant.

    u, v: ranks; time: any increasing number (years). Returns `start` and `end` (the parameter at the first and last time), `slope` per unit
    of time, and `p_value` (chi-squared, one degree of freedom). One-parameter families only.
    """
    row = family(name)
    if row.parameters != 1:
        raise unknown_name("one-parameter copula", name, [k for k, f in FAMILIES.items() if f.parameters == 1])
    u, v = (np.clip(np.asarray(a, float), EPS, 1 - EPS) for a in (u, v))
    t = np.asarray(time, float)
    t = (t - t.min()) / np.ptp(t)
    low, high = row.bounds
    fixed = fit_family(u, v, name)

    def cost(x):
        theta = np.clip(x[0] + x[1] * t, low, high)
        value = -float(np.sum(row.log_density(u, v, (theta,))))
        return value if np.isfinite(value) else 1e12

    best = minimize(cost, [fixed.parameters[0], 0.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6})
    gain = 2 * max(-float(best.fun) - fixed.log_likelihood, 0.0)
    start, change = (float(x) for x in best.x)
    span = float(np.ptp(np.asarray(time, float)))
    return {"start": start, "end": start + change, "slope": change / span, "p_value": float(stats.chi2.sf(gain, 1))}
