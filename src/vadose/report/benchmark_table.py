"""Pieces of a benchmark's tables: a score as a shaded cell, the words of the scores, places to link to."""

from __future__ import annotations

from html import escape

import numpy as np

#: Dark to light, in the order of luminance: reads in gray and by color-blind eyes.
RAMP = ((0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56))
#: Names of the scores as people read them, in the order of the columns.
WORDS = {
    "overall": "overall", "bias": "mean", "rmse": "departures", "phase": "season", "iav": "year to year", "distribution": "pattern", "coverage": "coverage",
    "memory": "memory", "values": "values", "anomaly": "anomalies", "drydown": "drydown",
}  # fmt: skip


def anchor(name: str) -> str:
    """The id under which the section of a page is found."""
    return "p-" + "".join(c if c.isalnum() else "-" for c in name.lower())


def shade(value: float) -> str:
    """Background and ink of a score: text stays readable on every shade (contrast above 4.5)."""
    if not np.isfinite(value):
        return "background:#fff;color:#566469"
    x = min(max(value, 0.0), 1.0) * (len(RAMP) - 1)
    k = min(int(x), len(RAMP) - 2)
    rgb = [round(a + (b - a) * (x - k)) for a, b in zip(RAMP[k], RAMP[k + 1], strict=True)]
    linear = [(c / 255 / 12.92) if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    ink = "#fff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#000"
    return f"background:rgb({rgb[0]},{rgb[1]},{rgb[2]});color:{ink}"


def cell(value: float, link: str = "", title: str = "", mark: str = "") -> str:
    """A score as a shaded cell; `link` is an id, `title` is shown on hovering, `mark` follows the number."""
    text = f"{value:.2f}{mark}" if np.isfinite(value) else "–"
    tip = f' title="{escape(title, quote=True)}"' if title else ""
    inner = f'<a href="#{link}"{tip}>{text}</a>' if link else f"<span{tip}>{text}</span>"
    return f'<td style="{shade(value)}">{inner}</td>'
