"""Figures of a report as PNG data, drawn from results on disk. Colors serve color-blind readers; units are on every axis."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
import xarray as xr

P = ParamSpec("P")

#: Okabe and Ito's palette; the merged product is always black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "svg.fonttype": "none",
    "figure.dpi": 130,
}


def _png(figure: Any) -> str:
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _start() -> Any:
    if "matplotlib.pyplot" not in sys.modules:  # a notebook keeps the backend that shows its own figures
        import matplotlib

        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _styled(draw: Callable[P, str]) -> Callable[P, str]:
    """A figure in the report's style, which a notebook that writes a report does not keep."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> str:
        with _start().rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def color_of(names: list[str]) -> dict[str, str]:
    """A color for each product, the same in every figure."""
    return {n: COLORS[k % len(COLORS)] for k, n in enumerate(names)} | {"merged": "black"}


@_styled
def maps(panels: list[tuple[str, xr.DataArray, str]], *, units: str, alike: Sequence[str] = ()) -> str:
    """Maps side by side: (title, field with lat and lon, colormap), each with its scale beside it; those titled in `alike` share one."""
    plt = _start()
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.3 * columns, 3.7 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    together = [field.values.ravel() for title, field, _ in panels if title in alike]
    common = np.nanpercentile(np.concatenate(together), [2, 98]) if together else None
    for axis, (title, field, cmap) in zip(axes.flat, panels, strict=False):
        low, high = common if common is not None and title in alike else np.nanpercentile(field, [2, 98])
        if field.ndim == 2:
            shown = axis.pcolormesh(
                field.lon,
                field.lat,
                field.transpose("lat", "lon"),
                cmap=cmap,
                vmin=low,
                vmax=high,
                shading="nearest",
                rasterized=True,
            )
        else:
            axis.scatter(field.lon, field.lat, s=90, facecolor="none", edgecolor="0.7", linewidth=0.8)
            known = field.notnull().values
            here = field.isel({field.dims[0]: known})
            shown = axis.scatter(
                here.lon, here.lat, c=here, cmap=cmap, vmin=low, vmax=high, s=90, edgecolor="0.3", linewidth=0.5
            )
            axis.margins(0.12)
            axis.set_aspect(1 / np.cos(np.deg2rad(float(field.lat.mean()))), adjustable="datalim")
        axis.set(title=title, xlabel="longitude [°E]", ylabel="latitude [°N]")
        figure.colorbar(shown, ax=axis, label=units, shrink=0.85)
    return _png(figure)


@_styled
def series(products: pd.DataFrame, merged: pd.Series, sigma: pd.Series, truth: pd.Series | None = None) -> str:
    """Regional means: every product thin, the merged one black with its one-sigma band."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(11, 3.8), layout="constrained")
    colors = color_of(list(products.columns))
    for name in map(str, products.columns):
        axis.plot(products.index, products[name], color=colors[name], lw=0.9, alpha=0.8, label=name)
    axis.fill_between(
        merged.index,
        merged - sigma,
        merged + sigma,
        color="black",
        alpha=0.18,
        lw=0,
        label="merged ± 1 σ (mean of places)",
    )
    axis.plot(merged.index, merged, color="black", lw=1.6, label="merged")
    axis.set(ylabel="soil moisture [m³ m⁻³]")
    axis.margins(x=0.01)
    axis.legend(ncol=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    return _png(figure)


@_styled
def errors(table: pd.DataFrame) -> str:
    """Estimated error sd of each product with its interval."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(5.2, 0.4 * len(table) + 0.9), layout="constrained")
    at = np.arange(len(table))[::-1]
    axis.errorbar(
        table["error_sd"],
        at,
        xerr=[table["error_sd"] - table["low"], table["high"] - table["error_sd"]],
        fmt="o",
        color="#0072B2",
        capsize=4,
    )
    axis.set_yticks(at, table["product"])
    axis.set(xlabel="random error, 1 σ [m³ m⁻³]", xlim=(0, None))
    axis.set_ylim(-0.6, len(table) - 0.4)
    return _png(figure)


@_styled
def against_truth(table: pd.DataFrame) -> str:
    """Estimated and true error of each product side by side, and what the merged product has on that product's days."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(5.2, 0.42 * len(table) + 1.2), layout="constrained")
    at = np.arange(len(table))[::-1]
    axis.hlines(at, 0, table[["true_error_sd", "estimated_error_sd"]].max(axis=1), color="0.88", lw=1)
    marks = (
        ("estimated_error_sd", "o", "#0072B2", "estimated"),
        ("true_error_sd", "D", "#D55E00", "true"),
        ("merged_on_its_days", "|", "black", "merged, true, same days"),
    )
    for name, marker, color, label in marks:
        axis.plot(table[name], at, marker, color=color, ms=14 if marker == "|" else 7, mew=2.5, mfc="none", label=label)
    axis.set_yticks(at, table["product"])
    axis.set(xlabel="random error on the reference's scale, 1 σ [m³ m⁻³]", xlim=(0, None))
    axis.set_ylim(-0.6, len(table) - 0.4)
    figure.legend(frameon=False, loc="outside lower center", ncol=3, columnspacing=1.0, handletextpad=0.3)
    return _png(figure)


@_styled
def intervals(table: pd.DataFrame) -> str:
    """Biases with intervals about zero, one row a family or product."""
    plt = _start()
    figure, axis = plt.subplots(figsize=(5.2, 0.36 * len(table) + 1.1), layout="constrained")
    at = np.arange(len(table))[::-1]
    tint = {"drier": "#B35806", "wetter": "#2166AC"}
    axis.axvline(0, color="0.5", lw=1)
    rows: Any = table.itertuples()
    for y, row in zip(at, rows, strict=True):
        color = tint.get(str(row.verdict), "0.45")
        axis.errorbar(
            [row.bias],
            [y],
            xerr=[[row.bias - row.low], [row.high - row.bias]] if np.isfinite(row.low) else None,
            fmt="o",
            color=color,
            capsize=4,
        )
    labels = [f"{of} (family)" if kind == "family" else of for of, kind in zip(table["of"], table["kind"], strict=True)]
    axis.set_yticks(at, labels)
    axis.locator_params(axis="x", nbins=5)
    axis.set(xlabel="← drier    bias to the median of products [m³ m⁻³]    wetter →")
    axis.set_ylim(-0.6, len(table) - 0.4)
    return _png(figure)


@_styled
def station_scores(table: pd.DataFrame) -> str:
    """Distribution over stations of ubRMSD and correlation, one row a product, the merged one last."""
    plt = _start()
    names = [n for n in dict.fromkeys(table["product"]) if n != "merged"] + ["merged"]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.5 * len(names) + 1.4), layout="constrained", sharey=True)
    colors = color_of(names[:-1])
    for axis, (score, label) in zip(
        axes, (("ubrmsd", "ubRMSD to stations [m³ m⁻³]"), ("pearson", "correlation with stations [1]")), strict=True
    ):
        for y, name in enumerate(reversed(names)):
            values = table[(table["product"] == name) & (table["score"] == score)]["value"].dropna()
            axis.plot(values, np.full(len(values), y), "|", color=colors[name], ms=14, alpha=0.7)
            if len(values):
                axis.plot(values.median(), y, "o", color=colors[name], ms=7)
        axis.set(xlabel=label)
        axis.set_yticks(range(len(names)), list(reversed(names)))
    return _png(figure)
