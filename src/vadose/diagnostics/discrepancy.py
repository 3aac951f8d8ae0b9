"""Is remote sensing drier than the models? Biases of product families by zone and season, with intervals and error control (M-T1.3).

The unit of evidence is the year: a draw of the bootstrap takes whole years, the same for all products. The reference is the
median over products of their means (a minority cannot move it much) or measurements. False discoveries over zones and seasons
are held by Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x. Precedent: Shi et al. 2025, doi:10.1038/s41597-025-04657-x.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from vadose.diagnostics.zones import cell_area, names_of
from vadose.errors import DimensionError, TooFewSamplesError, unknown_name
from vadose.metrics.moments import PRODUCT
from vadose.typing import Rng

SEASONS = ("DJF", "MAM", "JJA", "SON")
DRAWS = 1000
YEARS = 3


def year_means(
    data: xr.DataArray, zones: xr.DataArray, *, seasons: bool = True, minimum: int = 5, common: bool = True
) -> xr.DataArray:
    """Area-weighted means (product, zone, season, year) of a cube (product, time, lat, lon).

    With `common` only days count on which all products see a cell: products that miss the frozen or the rainy days would
    otherwise seem drier or wetter. Zone-years with fewer than `minimum` days (of at least one cell) are NaN. December counts to
    its own year. Lazy input is computed here, one reduced array.
    """
    for dim in (PRODUCT, "time"):
        if dim not in data.dims:
            raise DimensionError(f"no dimension {dim!r}; the cube has {data.dims}")
    spatial = [d for d in data.dims if d not in (PRODUCT, "time")]
    kept = data.where(data.notnull().all(PRODUCT)) if common else data
    area = cell_area(zones)
    names = {k: v for k, v in names_of(zones).items() if k != 0 and bool((zones == k).any())}
    groups = [*names.values(), "all"]
    masks = xr.concat([(zones == k) * area for k in names] + [(zones != 0) * area], "zone").assign_coords(zone=groups)
    masks = masks.astype(float)
    inside = kept.notnull()
    top = xr.dot(kept.fillna(0.0).astype(float), masks, dim=spatial)
    bottom = xr.dot(inside.astype(float), masks, dim=spatial)
    top, bottom = (a.compute() for a in (top, bottom))
    year, season = data.time.dt.year, data.time.dt.season
    labels = ["year", *(SEASONS if seasons else ())]
    parts = []
    for label in labels:
        here = (season == label) if label != "year" else xr.ones_like(season, dtype=bool)
        grouped = [a.where(here, 0.0).assign_coords(time=year.values).groupby("time").sum() for a in (top, bottom)]
        days = ((bottom > 0) & here).assign_coords(time=year.values).groupby("time").sum()
        parts.append((grouped[0] / grouped[1].where((grouped[1] > 0) & (days >= minimum))).rename(time="year"))
    return xr.concat(parts, "season").assign_coords(season=labels).transpose(PRODUCT, "zone", "season", "year")


def discrepancy(
    data: xr.DataArray,
    families: Mapping[str, str],
    zones: xr.DataArray,
    *,
    reference: xr.DataArray | None = None,
    seasons: bool = True,
    draws: int = DRAWS,
    level: float = 0.95,
    rate: float = 0.05,
    common: bool = True,
    rng: Rng = 0,
) -> pd.DataFrame:
    """Bias of each family by zone and season, one row each.

    Parameters
    ----------
    data : (product, time, lat, lon) on one grid, layer and step [m3 m-3].
    families : product -> family, for every product of `data`.
    zones : (lat, lon) classes with `flag_values` and `flag_meanings`; 0 is left out.
    reference : (time, lat, lon) measurements to compare with; default the median of the products.

    Returns
    -------
    Columns `family, members, zone, season, against, bias, low, high, p, q, verdict, years` and `bias_least`, `bias_most`: the
    range of the bias when any one other product is left out. `q` is p adjusted over zones and seasons within the family and
    reference; "drier" or "wetter" where the interval excludes zero and q <= `rate`. The interval comes from `draws` resamples of
    years, widened by the t quantile for few years; fewer than three years raise TooFewSamplesError.
    """
    products = [str(p) for p in data[PRODUCT].values]
    for name in products:
        if name not in families:
            raise unknown_name("product in families", name, families)
    members = {f: [p for p in products if families[p] == f] for f in dict.fromkeys(families[p] for p in products)}
    cube = data
    if reference is not None:
        label = xr.DataArray(["_reference"], dims=PRODUCT, name=PRODUCT)
        cube = xr.concat(
            [data, reference.expand_dims({PRODUCT: label})], PRODUCT, join="inner", coords="minimal", compat="override"
        )
    table = year_means(cube, zones, seasons=seasons, common=common)
    whole = table.dropna("year", how="all")
    if whole.sizes["year"] < YEARS:
        raise TooFewSamplesError(
            f"{whole.sizes['year']} year(s) of common data; a bootstrap over years needs {YEARS} or more"
        )
    generator = np.random.default_rng(rng)
    rows = []
    for zone in table.zone.values:
        for season in table.season.values:
            block = table.sel(zone=zone, season=season).dropna("year", how="any")
            years = block.sizes["year"]
            if years < YEARS:
                continue
            values = block.transpose(PRODUCT, "year").values
            picked = generator.integers(0, years, (draws, years))
            means = np.concatenate([values.mean(1)[None], values[:, picked].mean(2).T])
            own = means[:, : len(products)]
            base = np.median(own, axis=1) if reference is None else means[:, -1]
            for family, names in members.items():
                at = [products.index(n) for n in names]
                departure = own[:, at].mean(1) - base
                rows.append(
                    {
                        "family": family,
                        "members": ", ".join(names),
                        "zone": str(zone),
                        "season": str(season),
                        "against": "product median" if reference is None else "reference",
                        **_judged(departure, years, level),
                        **_sensitivity(own[0], base[0], at, reference is None),
                        "years": years,
                    }
                )
    out = pd.DataFrame(rows)
    out["q"] = out.groupby("family")["p"].transform(lambda p: false_discovery(p.to_numpy()))
    told = out.q <= rate
    out["verdict"] = np.where(
        told & (out.high < 0), "drier", np.where(told & (out.low > 0), "wetter", "not told apart")
    )
    order = ["family", "members", "zone", "season", "against", "bias", "low", "high", "p", "q", "verdict", "bias_least", "bias_most", "years"]  # fmt: skip
    return out[order]


def _judged(departure, years, level):
    """Bias, interval and two-sided p of a bootstrap whose first entry is the estimate.

    Percentiles of few resampled years are too narrow by sqrt((K - 1) / K) and by the normal quantile: both are mended.
    """
    estimate, spread = departure[0], departure[1:].std(ddof=1) * np.sqrt(years / (years - 1))
    quantile = stats.t.ppf(0.5 + level / 2, years - 1)
    p = 2 * stats.t.sf(abs(estimate) / spread, years - 1) if spread > 0 else float(estimate == 0)
    return {
        "bias": float(estimate),
        "low": float(estimate - quantile * spread),
        "high": float(estimate + quantile * spread),
        "p": float(p),
    }


def _sensitivity(own, base, at, median):
    """Range of a family's bias when any one other product is left out."""
    others = [k for k in range(own.size) if k not in at]
    values = [own[at].mean() - (np.median(np.delete(own, k)) if median else base) for k in others] or [
        own[at].mean() - base
    ]
    return {"bias_least": float(min(values)), "bias_most": float(max(values))}


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values: the false discovery rate at which each would just be accepted."""
    order = np.argsort(p)
    ranked = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    out = np.empty_like(adjusted)
    out[order] = adjusted
    return out
