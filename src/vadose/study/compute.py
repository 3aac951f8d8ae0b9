"""From comparable products to error estimates, a merged product and its scores. Pure functions on what `prepare` made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose import merge
from vadose.errors import StudyError
from vadose.harmonize import anomaly, at_points
from vadose.harmonize.climatology import short_term_anomaly
from vadose.metrics import collocation, compare, covariance, moments, pooled
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.study.model import Study

SCORES = ("bias", "ubrmsd", "rmsd", "pearson")


def together(parts: dict[str, xr.Dataset]) -> xr.DataArray:
    """Products side by side: (product, time, place...)."""
    names = xr.DataArray(list(parts), dims=PRODUCT, name=PRODUCT)
    return xr.concat(
        [p.soil_moisture for p in parts.values()], names, join="override", coords="minimal", compat="override"
    )


def places_of(data: xr.DataArray) -> list[str]:
    """The dimensions that are neither product nor time."""
    return [str(d) for d in data.dims if d not in (PRODUCT, "time")]


def signal(data: xr.DataArray, study: Study) -> xr.DataArray:
    """What collocation compares of the collocated products: their values, or departures from season or running mean as the study says."""
    chosen = data.sel({PRODUCT: list(study.collocate)})
    if study.climatology == "removed":
        return anomaly(chosen.transpose("time", ...), kind="harmonics").transpose(*chosen.dims)
    if study.climatology == "short-term":
        return short_term_anomaly(chosen, minimum=5)
    return chosen


def collocate(data: xr.DataArray, study: Study) -> xr.Dataset:
    """Error sd, correlation with the unknown truth and scaling factor of each product by place; merged states, no reference.

    Three products without declared pairs go through triple collocation, more through the N-way form.
    """
    return _estimate(moments(signal(data, study)), study)


def _estimate(state: xr.Dataset, study: Study) -> xr.Dataset:
    pairs = [p for p in study.correlated if set(p) <= set(study.collocate)]
    if len(study.collocate) == 3 and not pairs:
        out = collocation.triple_collocation(state)
        out["error_covariance"] = merge.diagonal(out.error_variance)
        return out
    out = collocation.extended(state, correlated=pairs)
    # A rejected product has no error variance: its row must not enter the merging either.
    good = out.error_variance.notnull()
    out["error_covariance"] = out.error_covariance.where(good & good.rename({PRODUCT: OTHER}))
    return out


def regional(data: xr.DataArray, study: Study, *, rng: int = 0) -> pd.DataFrame:
    """Error estimates of the whole region with bootstrap intervals: months of pooled states are drawn in blocks.

    States are additive, so a draw costs a sum of a few small matrices, not another pass over the data.
    """
    departure = _departures(data, study)
    spatial = places_of(departure)
    length = study.block_days
    blocks = [
        pooled(moments(departure.isel(time=slice(k, k + length))), spatial)
        for k in range(0, departure.sizes["time"], length)
    ]
    blocks = [b for b in blocks if float(b.n) > 0]
    if not blocks:
        raise StudyError(
            f"{', '.join(study.collocate)} have no common day at any place: collocate others, or change 'period' or 'bbox'"
        )
    states = xr.concat(blocks, "block")
    whole = _estimate(pooled(states, "block"), study)
    generator = np.random.default_rng(rng)
    picked = xr.DataArray(generator.integers(0, len(blocks), (study.bootstrap, len(blocks))), dims=("draw", "block"))
    spread = _estimate(pooled(states.isel(block=picked), "block"), study).error_sd
    rows = []
    for name in study.collocate:
        low, high = (float(v) for v in np.nanpercentile(spread.sel({PRODUCT: name}), [2.5, 97.5]))
        one = whole.sel({PRODUCT: name})
        rows.append(
            {
                "product": name,
                "error_sd": float(one.error_sd),
                "low": low,
                "high": high,
                "snr_db": float(one.snr_db),
                "correlation": float(one.correlation),
                "n": int(whole.n),
            }
        )
    return pd.DataFrame(rows)


def _departures(data: xr.DataArray, study: Study) -> xr.DataArray:
    """What collocation compares, less its mean over common days at each place: moments of places can then be pooled."""
    chosen = signal(data, study)
    return chosen - chosen.where(chosen.notnull().all(PRODUCT)).mean("time")


def _scale_of(study: Study) -> str:
    """The product whose level and amplitude the merged one takes: the reference, or the first where that is not collocated."""
    return study.reference if study.reference in study.collocate else study.collocate[0]


def rescaled(data: xr.DataArray, estimates: xr.Dataset, study: Study) -> tuple[xr.DataArray, xr.DataArray]:
    """Products on the scale of the reference, and their error covariance on that scale.

    x' = beta (x - mean) + mean of the reference over common days; beta is the ratio of signal amplitudes that collocation
    found, so noise does not shrink the signal as it does in variance matching. Where a place has no valid estimate, the
    region's median takes its part, and where no place has one, the estimate from all places pooled.
    """
    chosen = data.sel({PRODUCT: list(study.collocate)})
    mean = chosen.where(chosen.notnull().all(PRODUCT)).mean("time")
    reference = _scale_of(study)
    beta = estimates.beta / estimates.beta.sel({PRODUCT: reference}, drop=True)
    spatial = places_of(chosen)
    beta = beta.where((beta > 0.2) & (beta < 5.0))
    error = estimates.error_covariance
    whole = error.notnull().all([PRODUCT, OTHER])
    if spatial:
        region = _of_region(data, study)
        wide = region.beta / region.beta.sel({PRODUCT: reference}, drop=True)
        beta = beta.fillna(beta.median(spatial)).fillna(wide)
        error = error.where(whole, error.where(whole).median(spatial)).fillna(region.error_covariance)
    scaled = beta * (chosen - mean) + mean.sel({PRODUCT: reference}, drop=True)
    return scaled.transpose(PRODUCT, "time", ...), error * beta * beta.rename({PRODUCT: OTHER})


def _of_region(data: xr.DataArray, study: Study) -> xr.Dataset:
    """One estimate from the departures of all places, pooled."""
    departure = _departures(data, study)
    return _estimate(pooled(moments(departure), places_of(departure)), study)


def merged(data: xr.DataArray, estimates: xr.Dataset, study: Study) -> xr.Dataset:
    """The merged product with its standard error, the number of products in each value and their weights."""
    scaled, error = rescaled(data, estimates, study)
    return merge.blend(scaled, error)


def discrepancies(data: xr.DataArray, study: Study, *, draws: int = 1000, rng: int = 0) -> pd.DataFrame:
    """Bias of each family and product to the median of the collocated products, with a block-bootstrap interval.

    A collocated product is compared where all of those have values; another one where at least two of them have, for it may
    see other places than they all do. "drier" when the interval lies below zero, "wetter" when above, else "not told apart".
    """
    core = data.sel({PRODUCT: list(study.collocate)})
    count = core.notnull().sum(PRODUCT)
    inside = data[PRODUCT].isin(list(study.collocate))
    middle = core.median(PRODUCT).where((count == len(study.collocate)) | (~inside & (count >= 2)))
    departure = (data - middle).mean(places_of(data)).dropna("time", how="all")
    generator = np.random.default_rng(rng)
    families: dict[str, list[str]] = {}
    read = [s for s in study.sources if s.name in data[PRODUCT].values]
    for source in read:
        families.setdefault(source.family, []).append(source.name)
    groups = [("family", label, members) for label, members in families.items()]
    groups += [("product", s.name, [s.name]) for s in read]
    rows = []
    for kind, label, members in groups:
        series = departure.sel({PRODUCT: members}).mean(PRODUCT).dropna("time").values
        days = series.size
        if days < 2 * study.block_days:
            low = high = np.nan
        else:
            blocks = -(-days // study.block_days)
            starts = generator.integers(0, days, (draws, blocks))
            index = ((starts[..., None] + np.arange(study.block_days)) % days).reshape(draws, -1)[:, :days]
            low, high = np.percentile(series[index].mean(axis=1), [2.5, 97.5])
        verdict = "drier" if high < 0 else "wetter" if low > 0 else "not told apart"
        rows.append(
            {
                "of": label,
                "kind": kind,
                "members": ", ".join(members),
                "bias": float(series.mean()) if days else np.nan,
                "low": low,
                "high": high,
                "verdict": verdict,
                "days": days,
            }
        )
    return pd.DataFrame(rows)


def against_stations(data: xr.DataArray, merged_product: xr.Dataset, stations: xr.Dataset) -> pd.DataFrame:
    """Scores of every product and the merged one at each station: tidy rows (product, station, score, value, low, high, n, n_eff).

    `merged_same_days` is the merged product's score on the days that the product has: products see different days.
    """
    tables = []
    quality = stations[["readings", "readings_kept"]].reset_coords(drop=True).to_dataframe()
    candidates = {str(n): data.sel({PRODUCT: n}, drop=True) for n in data[PRODUCT].values} | {
        "merged": merged_product.soil_moisture
    }
    lat, lon = (stations[name].reset_coords(drop=True) for name in ("lat", "lon"))
    at_stations = {
        name: at_points(values, lat, lon).assign_coords(station=stations.station) for name, values in candidates.items()
    }
    for name, values in at_stations.items():
        reference, other = xr.align(stations.soil_moisture, values, join="inner")
        same = at_stations["merged"].reindex_like(other).where(other.notnull())
        tables.append(_tidy(compare(reference, other), compare(reference, same), name))
    return pd.concat(tables, ignore_index=True).merge(quality, left_on="station", right_index=True)


def _tidy(scores: xr.Dataset, same: xr.Dataset, product: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for k, station in enumerate(scores.station.values):
        one = scores.isel(station=k)
        for score in SCORES:
            rows.append(
                {
                    "product": product,
                    "station": str(station),
                    "lat": float(one.lat),
                    "lon": float(one.lon),
                    "score": score,
                    "value": float(one[score]),
                    "merged_same_days": float(same[score].isel(station=k)),
                    "low": float(one[f"{score}_low"]) if f"{score}_low" in one else np.nan,
                    "high": float(one[f"{score}_high"]) if f"{score}_high" in one else np.nan,
                    "units": one[score].attrs.get("units", "1"),
                    "n": int(one.n),
                    "n_eff": float(one.n_eff),
                }
            )
    return pd.DataFrame(rows)


def against_truth(
    data: xr.DataArray, estimates: xr.Dataset, merged_product: xr.Dataset, truth: xr.Dataset, study: Study
) -> tuple[pd.DataFrame, dict[str, float]]:
    """What a synthetic study alone can know: the true error of every product beside the estimated one, and whether intervals hold.

    Truth is carried to the reference's scale by regression at each place (the truth has no error, so this is unbiased); the
    true error of a product is the sd of what then remains, on days that the merged product has too.
    """
    reference = _scale_of(study)
    true = truth.soil_moisture
    state = moments(
        xr.concat(
            [true, data.sel({PRODUCT: reference}, drop=True)],
            xr.DataArray(["truth", "reference"], dims=PRODUCT, name=PRODUCT),
            join="override",
            coords="minimal",
            compat="override",
        )
    )
    c = covariance(state)
    slope = c.sel({PRODUCT: "truth", OTHER: "reference"}, drop=True) / c.sel(
        {PRODUCT: "truth", OTHER: "truth"}, drop=True
    )
    line = slope * (true - state["mean"].sel({PRODUCT: "truth"}, drop=True)) + state["mean"].sel(
        {PRODUCT: "reference"}, drop=True
    )
    scaled, error = rescaled(data, estimates, study)
    after = merged_product.soil_moisture - line
    rows = []
    for name in study.collocate:
        rest = scaled.sel({PRODUCT: name}, drop=True) - line
        stated = np.sqrt(float(error.sel({PRODUCT: name, OTHER: name}).mean()))
        same = after.where(rest.notnull())
        rows.append(
            {
                "product": name,
                "true_error_sd": _sd(rest),
                "estimated_error_sd": stated,
                "merged_on_its_days": _sd(same),
                "n": int(rest.count()),
            }
        )
    sigma = merged_product.soil_moisture_standard_error
    inside = (np.abs(after) <= sigma).where(after.notnull() & sigma.notnull())
    whole = _sd(after)
    rows.append(
        {
            "product": "merged",
            "true_error_sd": whole,
            "estimated_error_sd": float(np.sqrt((sigma**2).mean())),
            "merged_on_its_days": whole,
            "n": int(after.count()),
        }
    )
    return pd.DataFrame(rows), {"coverage_68": float(inside.mean()), "n": int(inside.count())}


def _sd(rest: xr.DataArray) -> float:
    """Spread of a residual about its mean at each place, over all places."""
    return float(np.sqrt(((rest - rest.mean("time")) ** 2).mean()))
