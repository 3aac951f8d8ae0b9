"""Figures of a benchmark as PNG data: maps of means and biases, intervals of scores, response curves, the constraint."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.report.figures import COLORS, _png, _start, _styled

#: Letters of a title that fit over a map.
TITLE = 30


def for_eyes(variable: str, units: str) -> tuple[float, str]:
    """Factor and unit in which people read a variable: a day's water in mm, a day's carbon in g, not a second's in kg."""
    if units != "kg m-2 s-1":
        return 1.0, _raised(units)
    return (86400.0, "mm d⁻¹") if variable.endswith("_flux") else (86400.0 * 1000.0, "g m⁻² d⁻¹")


def _raised(units: str) -> str:
    """A unit with its exponents raised: m3 m-3 is m³ m⁻³."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"(?<=[A-Za-z])-?\d+", lambda found: found[0].translate(raised), units)


def _draw(axis: Any, field: xr.DataArray, **style: Any) -> Any:
    axis.set_facecolor("0.88")
    if field.ndim == 2:
        return axis.pcolormesh(
            field.lon, field.lat, field.transpose("lat", "lon"), shading="nearest", rasterized=True, **style
        )
    return axis.scatter(
        field.lon,
        field.lat,
        c=field,
        s=4 if field.size > 2000 else 45,
        edgecolor="0.3",
        linewidth=0.0 if field.size > 2000 else 0.4,
        **style,
    )


@_styled
def biases(data: Mapping[str, xr.Dataset], factor: float, units: str) -> str:
    """The reference's mean and each model's bias, the biases on one scale centered on zero; values times `factor` are in `units`."""
    data = {name: one[["reference_mean", "bias"]] * factor for name, one in data.items()}
    plt = _start()
    count = 1 + len(data)
    columns = min(3, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.9 * columns, 3.2 * rows),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    whole = [d.bias.values.ravel() for d in data.values()]
    most = float(np.nanpercentile(np.abs(np.concatenate(whole)), 98)) or 1.0
    widest = max(data.values(), key=lambda d: int(d.reference_mean.notnull().sum()))
    shown = _draw(axes.flat[0], widest.reference_mean, cmap="cividis")
    axes.flat[0].set_title("reference, mean")
    figure.colorbar(shown, ax=axes.flat[0], label=units, shrink=0.8)
    for axis, (name, one) in zip(list(axes.flat)[1:], data.items(), strict=False):
        shown = _draw(axis, one.bias, cmap="BrBG", vmin=-most, vmax=most)
        axis.set_title(textwrap.fill(f"{name}, bias", TITLE))
    figure.colorbar(
        shown,
        ax=axes.flat[1:count].tolist() if count > 1 else axes.flat[0],
        label=f"model − reference [{units}]",
        shrink=0.8,
    )
    for axis in axes[:, 0]:
        axis.set_ylabel("latitude [°N]")
    for column in range(columns):
        axes[-1, column].set_xlabel("longitude [°E]")
    return _png(figure)


@_styled
def intervals(table: pd.DataFrame) -> str:
    """Overall scores with intervals, one row a model; nothing where no interval is known."""
    part = table[np.isfinite(table["value"])]
    if part.empty or not np.isfinite(part["low"]).any():
        return ""
    plt = _start()
    figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(part) + 1.0), layout="constrained")
    at = np.arange(len(part))[::-1]
    low = np.nan_to_num((part["value"] - part["low"]).clip(lower=0).to_numpy())
    high = np.nan_to_num((part["high"] - part["value"]).clip(lower=0).to_numpy())
    axis.errorbar(part["value"], at, xerr=[low, high], fmt="o", color="#0072B2", capsize=3, ms=5)
    axis.set_yticks(at, part["model"])
    axis.set(xlabel="overall score [1]", xlim=(-0.02, 1.02))
    axis.grid(axis="x", color="0.92")
    return _png(figure)


@_styled
def curves(table: pd.DataFrame) -> str:
    """Response curves of the reference (black, with its band) and of every model."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    relation = str(table["relation"].iloc[0])
    response, driver = relation.split(" by ")
    down, driver_units = for_eyes(driver, table["driver_units"].iloc[0])
    up, response_units = for_eyes(response, table["response_units"].iloc[0])
    table = table.assign(driver=table["driver"] * down, **{k: table[k] * up for k in ("response", "low", "high")})
    models = list(dict.fromkeys(table["model"]))
    reference = table[(table["source"] == "reference") & (table["model"] == models[0])].dropna(subset=["response"])
    axis.fill_between(reference["driver"], reference["low"], reference["high"], color="black", alpha=0.15, lw=0)
    axis.plot(reference["driver"], reference["response"], color="black", lw=2.2, label="reference")
    dashes = ("-", "--", "-.", ":")
    for k, name in enumerate(models):
        one = table[(table["source"] == "model") & (table["model"] == name)].dropna(subset=["response"])
        color = COLORS[k % len(COLORS)]
        axis.fill_between(one["driver"], one["low"], one["high"], color=color, alpha=0.12, lw=0)
        axis.plot(
            one["driver"],
            one["response"],
            color=color,
            lw=1.6,
            ls=dashes[(k // len(COLORS)) % 4],
            marker="os^vD<>"[k % 7],
            ms=3.5,
            label=name,
        )
    names = [w.replace("_", " ") for w in (driver, response)]
    axis.set(xlabel=f"{names[0]} [{driver_units}]", ylabel=f"{names[1]} [{response_units}]")
    axis.legend(frameon=False, ncol=2, fontsize=8.5)
    return _png(figure)


@_styled
def constraint(table: pd.DataFrame) -> str:
    """Projection against observable with the line, the observation and the constrained range."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    one = table.iloc[0]
    x = np.linspace(
        min(table["x"].min(), one.observed - 2 * one.error), max(table["x"].max(), one.observed + 2 * one.error), 50
    )
    axis.axvspan(
        one.observed - one.error, one.observed + one.error, color="#E69F00", alpha=0.25, lw=0, label="observed ± 1 σ"
    )
    axis.axhspan(one.low, one.high, color="#56B4E9", alpha=0.3, lw=0, label="constrained, 66 %")
    axis.plot(x, one.intercept + one.slope * x, color="0.3")
    axis.plot(table["x"], table["y"], "o", color="#0072B2")
    for r in table.to_dict("records"):
        axis.annotate(r["model"], (r["x"], r["y"]), textcoords="offset points", xytext=(5, 4), fontsize=8)
    axis.set(xlabel="observable, mean of the model", ylabel="projection")
    axis.legend(frameon=False)
    return _png(figure)
