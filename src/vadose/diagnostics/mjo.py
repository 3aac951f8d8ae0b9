"""The Madden-Julian oscillation and soil moisture of the Maritime Continent (M-T2.6).

The index is that of Wheeler and Hendon 2004, doi:10.1175/1520-0493(2004)132<1917:AARMMI>2.0.CO;2: two numbers a day whose angle is the
place of the disturbance (phases 1..8) and whose length its strength. Prefer the official series (`vadose.products.rmm`); `rmm`
computes one from fields. Filter: Lanczos, Duchon 1979, doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.signal import fftconvolve

from vadose import cf
from vadose.diagnostics.pentads import along_time
from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError
from vadose.typing import Rng

#: Fixed normalizations of OLR [W m-2] and of zonal wind at 850 and 200 hPa [m s-1], recalled from the paper.
NORMS = (15.1, 1.81, 4.81)
ACTIVE = 1.0
SEASONS = {"NDJFM": (11, 12, 1, 2, 3), "MJJAS": (5, 6, 7, 8, 9)}
CYCLE = 45.0  # d, of eight phases where the measured residence is not used


def phase(rmm1: xr.DataArray, rmm2: xr.DataArray) -> xr.DataArray:
    """Phase 1..8 of the index (0 where missing): eighths of the circle counted from -180 degrees."""

    def number(a, b):
        eighth = np.floor((np.degrees(np.arctan2(b, a)) + 180.0) / 45.0) % 8 + 1
        return np.where(np.isfinite(eighth), eighth, 0).astype("int8")

    out = xr.apply_ufunc(number, rmm1, rmm2, dask="parallelized", output_dtypes=["int8"])
    return out.rename("phase").assign_attrs(units="1", long_name="MJO phase, 0 missing")


def amplitude(rmm1: xr.DataArray, rmm2: xr.DataArray) -> xr.DataArray:
    """Length of the index [1]; the oscillation is called active from 1 on."""
    return ((rmm1**2 + rmm2**2) ** 0.5).rename("amplitude").assign_attrs(units="1")


def without_season(series: xr.DataArray, *, harmonics: int = 3, period: float = 365.25) -> xr.DataArray:
    """Departure from mean and first harmonics of the year by least squares over the whole record (time, ...)."""
    cf.check_time(series)
    days = (series.time.values - series.time.values[0]) / np.timedelta64(1, "D")
    angle = 2 * np.pi * days[:, None] * np.arange(1, harmonics + 1)[None, :] / period
    basis = np.concatenate([np.ones((days.size, 1)), np.cos(angle), np.sin(angle)], axis=1)

    def kernel(values):
        flat = values.reshape(-1, values.shape[-1])
        out = np.full(flat.shape, np.nan)
        whole = np.isfinite(flat).all(axis=1)
        if whole.any():
            solution, *_ = np.linalg.lstsq(basis, flat[whole].T, rcond=None)
            out[whole] = flat[whole] - (basis @ solution).T
        for k in np.nonzero(~whole)[0]:
            good = np.isfinite(flat[k])
            if good.sum() > 2 * basis.shape[1]:
                solution, *_ = np.linalg.lstsq(basis[good], flat[k, good], rcond=None)
                out[k, good] = flat[k, good] - basis[good] @ solution
        return out.reshape(values.shape)

    return _over_time(kernel, series)


def _over_time(kernel, series):
    return along_time(kernel, series).transpose(*series.dims).rename(series.name).assign_attrs(series.attrs)


def lanczos_weights(length: int = 201, low: float = 1 / 100, high: float = 1 / 20) -> np.ndarray:
    """Weights of a band-pass between two frequencies [cycles per step]; their sum is not forced to anything."""
    half = length // 2
    k = np.arange(1, half + 1)
    side = (np.sin(2 * np.pi * high * k) - np.sin(2 * np.pi * low * k)) / (np.pi * k) * np.sinc(k / half)
    return np.concatenate([side[::-1], [2 * (high - low)], side])


def lanczos_bandpass(
    series: xr.DataArray, *, shortest: float = 20.0, longest: float = 100.0, length: int = 201
) -> xr.DataArray:
    """Daily series (time, ...) with periods from `shortest` to `longest` days kept; remove the season first.

    (length - 1) / 2 days at each end are lost. Gaps of up to two days are filled by a straight line; longer ones spread.
    """
    cf.check_time(series)
    if length % 2 == 0 or series.sizes["time"] < length:
        raise TooFewSamplesError(
            f"the filter needs an odd length ({length}) and as many days ({series.sizes['time']} given)"
        )
    weights = lanczos_weights(length, 1 / longest, 1 / shortest)
    half = length // 2

    def kernel(values):
        flat = values.reshape(-1, values.shape[-1]).astype(float)
        filled = np.array([_fill(row) for row in flat])
        bad = ~np.isfinite(filled)
        out = np.full(flat.shape, np.nan)
        out[:, half:-half] = fftconvolve(np.where(bad, 0.0, filled), weights[None, :], mode="valid", axes=1)
        spoiled = fftconvolve(bad.astype(float), np.ones((1, length)), mode="valid", axes=1) > 0.5
        out[:, half:-half][spoiled] = np.nan
        return out.reshape(values.shape)

    return _over_time(kernel, series)


def _fill(row):
    bad = ~np.isfinite(row)
    if not bad.any() or bad.all():
        return row
    index = np.arange(row.size)
    out = row.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start <= 2 and start > 0 and stop < row.size:
            out[start:stop] = np.interp(index[start:stop], [start - 1, stop], [row[start - 1], row[stop]])
    return out


def project(field: xr.DataArray, eofs: xr.DataArray, *, dim: str = "lon") -> xr.DataArray:
    """Least-squares amplitudes of two patterns (mode, dim) in a field (time, dim), in sd of each over time: (mode, time)."""
    if eofs.sizes.get("mode") != 2:
        raise DimensionError(f"eofs must have a dimension 'mode' of length 2, got {dict(eofs.sizes)}")
    pattern = eofs.transpose("mode", dim).values
    data = field.transpose("time", dim).values
    pcs = np.linalg.solve(pattern @ pattern.T, pattern @ data.T)
    pcs = pcs / np.nanstd(pcs, axis=1, keepdims=True)
    return xr.DataArray(pcs, dims=("mode", "time"), coords={"time": field.time})


def rmm(
    olr: xr.DataArray,
    u850: xr.DataArray,
    u200: xr.DataArray,
    *,
    eofs: xr.DataArray | None = None,
    norms: tuple[float, float, float] | None = NORMS,
) -> xr.Dataset:
    """The index from daily fields (time, lat, lon) of outgoing longwave radiation [W m-2] and zonal wind [m s-1].

    Mean 15S-15N, season and the mean of the previous 120 days removed, each field over its norm (own standard deviation with
    `norms=None`), then projected on two patterns of (3 x lon): `eofs` (mode, lon) with the fields after one another, or the leading
    two of this record, turned so that the first has its convection (low OLR) over the Maritime Continent (120E) and the second
    follows east of it. The first 120 days are missing. Days that a field lacks are left out of all; DimensionError for fields on other
    longitudes. ENSO is not removed separately: the 120-day mean takes most of it.
    """
    parts = []
    for k, data in enumerate((olr, u850, u200)):
        band = data.sel(lat=(data.lat >= -15) & (data.lat <= 15)).mean("lat")
        clean = without_season(band)
        before = clean.rolling(time=120, min_periods=60).mean().shift(time=1)
        clean = (clean - before).isel(time=slice(120, None))
        parts.append(clean / (float(clean.std()) if norms is None else norms[k]))
    columns = parts[0].sizes["lon"]
    parts = list(xr.align(*parts, join="inner"))
    if any(p.sizes["lon"] != columns for p in parts):
        raise DimensionError(
            "the three fields must have the same longitudes, written alike; regrid them to those of one"
        )
    lon = parts[0]["lon"].values
    stacked = np.concatenate([p.transpose("time", "lon").values for p in parts], axis=1)
    field = xr.DataArray(stacked, dims=("time", "lon"), coords={"time": parts[0].time})
    patterns = _leading(stacked, lon) if eofs is None else eofs
    pcs = project(field, patterns)
    one, two = pcs.isel(mode=0).rename("rmm1"), pcs.isel(mode=1).rename("rmm2")
    out = xr.Dataset({"rmm1": one, "rmm2": two, "amplitude": amplitude(one, two), "phase": phase(one, two)})
    out["eofs"] = (("mode", "position"), patterns.transpose("mode", "lon").values)
    return cf.provenance(out, method="M-T2.6", references="doi:10.1175/1520-0493(2004)132<1917:AARMMI>2.0.CO;2")


def _leading(stacked, lon):
    """First two EOFs, rotated among themselves: convection of mode 1 at 120E, of mode 2 in the western Pacific (165E)."""
    clean = stacked[np.isfinite(stacked).all(axis=1)]
    _, _, v = np.linalg.svd(clean - clean.mean(axis=0), full_matrices=False)
    plane = v[:2]
    here = int(np.argmin(np.abs((lon - 120 + 180) % 360 - 180)))
    direction = -plane[:, here] / np.linalg.norm(plane[:, here])
    turned = np.array([direction @ plane, np.array([-direction[1], direction[0]]) @ plane])
    east = int(np.argmin(np.abs((lon - 165 + 180) % 360 - 180)))
    if turned[1, east] > 0:
        turned[1] *= -1.0
    return xr.DataArray(turned, dims=("mode", "lon"))


# --- composites --------------------------------------------------------------------------------------------------------------


def _passages(mask, apart=15):
    """Number of runs of True; runs fewer than `apart` days from each other are one passage that flickered."""
    days = np.flatnonzero(mask)
    return int(days.size > 0) + int((np.diff(days) > apart).sum())


def false_discovery(p: np.ndarray, *, rate: float = 0.05) -> np.ndarray:
    """Which p values stand when at most `rate` of those named may be false (Benjamini and Hochberg)."""
    flat = np.ravel(p)
    good = np.isfinite(flat)
    order = np.argsort(np.where(good, flat, 2.0))
    limit = rate * np.arange(1, flat.size + 1) / max(good.sum(), 1)
    passed = np.where(good, flat, 2.0)[order] <= limit
    keep = np.zeros(flat.size, dtype=bool)
    if passed.any():
        keep[order[: np.nonzero(passed)[0].max() + 1]] = True
    return keep.reshape(np.shape(p))


def phase_composite(
    field: xr.DataArray, index: xr.Dataset, *, season: str | None = None, rate: float = 0.05
) -> xr.Dataset:
    """Mean of a filtered anomaly (time, ...) in each phase of the active oscillation.

    `index` holds `rmm1`, `rmm2` (time). `season`: NDJFM or MJJAS. Days within one passage are one sample: the t
    test counts passages (those fewer than 15 days apart are one). Returns (phase, ...): `mean`, `p_value`, `significant` (after control of the false discovery rate over all phases and
    cells), and `events`, `days` (phase); `cycle_amplitude` and `cycle_phase` (1..8, phase of the maximum) of the first harmonic.
    Lazy but for the p values: the false discovery rate needs all of them, so they are computed here.
    """
    if season is not None and season not in SEASONS:
        raise VadoseInputError(f"season must be one of {', '.join(SEASONS)}, got {season!r}")
    field, one, two = xr.align(field, index["rmm1"], index["rmm2"], join="inner")
    if field.sizes["time"] < 100:
        raise TooFewSamplesError(f"{field.sizes['time']} common days of field and index; at least 100 are needed")
    number = phase(one, two).values
    active = (amplitude(one, two) >= ACTIVE).values
    if season is not None:
        active &= np.isin(field.time.dt.month.values, SEASONS[season])
    means, ps, events, days = [], [], [], []
    for k in range(1, 9):
        mask = active & (number == k)
        part = field.isel(time=mask)
        n = _passages(mask)
        mean, sd = part.mean("time"), part.std("time", ddof=1)
        t = mean / (sd / np.sqrt(max(n, 1)))
        p = xr.apply_ufunc(
            lambda x, n=n: 2 * stats.t.sf(np.abs(x), max(n - 1, 1)), t, dask="parallelized", output_dtypes=[float]
        )
        means.append(mean)
        ps.append(p.where(n > 2))
        events.append(n)
        days.append(int(mask.sum()))
    axis = xr.DataArray(np.arange(1, 9), dims="phase", name="phase")
    out = xr.Dataset({"mean": xr.concat(means, axis), "p_value": xr.concat(ps, axis)})
    out["significant"] = xr.apply_ufunc(lambda p: false_discovery(p, rate=rate), out["p_value"].compute())
    out["events"], out["days"] = ("phase", events), ("phase", days)
    out["cycle_amplitude"], out["cycle_phase"] = cycle(out["mean"])
    out["mean"].attrs["units"] = field.attrs.get("units", "1")
    return cf.provenance(out, method="M-T2.6", params={"season": season})


def cycle(composite: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Amplitude of the first harmonic over the phases, and the phase (1..9, cyclic) where it is largest."""
    angle = 2 * np.pi * (composite["phase"] - 1) / 8
    c, s = (composite * np.cos(angle)).mean("phase") * 2, (composite * np.sin(angle)).mean("phase") * 2
    place = xr.apply_ufunc(np.arctan2, s, c, dask="parallelized", output_dtypes=[float])
    return (c**2 + s**2) ** 0.5, (place / (2 * np.pi) * 8) % 8 + 1


def residence(index: xr.Dataset) -> float:
    """Mean days per phase of the active oscillation, from the speed of its angle: 45 degrees over degrees per day."""
    angle = np.unwrap(np.arctan2(index["rmm2"].values, index["rmm1"].values))
    active = (amplitude(index["rmm1"], index["rmm2"]) >= ACTIVE).values
    turn = np.diff(angle)
    good = active[1:] & active[:-1] & np.isfinite(turn)
    return float(45.0 / np.degrees(np.mean(turn[good])))


def lag_regression(field: xr.DataArray, index: xr.DataArray, *, lags: range = range(-30, 31)) -> xr.Dataset:
    """Slope of field(t + lag) on the index(t) per standard deviation of the index: (lag, ...) in the unit of `field`, with p values.

    field (time, ...) filtered or without season, index (time); `lags` in days, positive where the field follows. Significance by the effective number of days n (1 - r1 r2) / (1 + r1 r2) from both lag-one autocorrelations.
    """
    field, index = xr.align(field, index, join="inner")
    x = index.values
    r_index = pd.Series(x).autocorr(1)
    shifted = field.shift(time=1)
    r_field = xr.corr(field, shifted, dim="time")
    joint = r_index * r_field
    slopes, ps = [], []
    for lag in lags:
        moved = field.shift(time=-lag)
        driver = index.where(moved.notnull())
        dx, dy = driver - driver.mean("time"), moved.where(index.notnull())
        dy = dy - dy.mean("time")
        r = (dx * dy).sum("time") / ((dx**2).sum("time") * (dy**2).sum("time")) ** 0.5
        n = (dx * dy).notnull().sum("time") * (1 - joint) / (1 + joint)
        n = n.clip(min=3.0)
        t = r * ((n - 2) / (1 - r**2).clip(min=1e-12)) ** 0.5
        slopes.append((dx * dy).sum("time") / (dx**2).sum("time") * float(np.nanstd(x)))
        ps.append(
            xr.apply_ufunc(
                lambda a, b: 2 * stats.t.sf(np.abs(a), b - 2), t, n, dask="parallelized", output_dtypes=[float]
            )
        )
    axis = xr.DataArray(list(lags), dims="lag", name="lag", attrs={"units": "d"})
    out = xr.Dataset({"slope": xr.concat(slopes, axis), "p_value": xr.concat(ps, axis)})
    out["slope"].attrs["units"] = field.attrs.get("units", "1")
    out["p_value"].attrs["units"] = "1"
    return out


def crossings(
    index: xr.Dataset, moisture: xr.DataArray, *, before: int = 10, within: int = 25, draws: int = 1000, rng: Rng = 0
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Does the oscillation cross the Maritime Continent more often over wet or over dry land?

    Events enter phase 4 from phase 3 while active; they cross when phase 6 or 7 is reached at amplitude 1 or more within `within` days.
    `moisture` (time) is the land's mean anomaly; its mean over the `before` days before entry sorts events in thirds. Returns the
    event table and P(crossing) of the dry and wet third, the odds ratio wet : dry, and a permutation p value.
    """
    one, two, theta = xr.align(index["rmm1"], index["rmm2"], moisture, join="inner")
    number, size = phase(one, two).values, amplitude(one, two).values
    time, past = one.time.values, theta.rolling(time=before, min_periods=before // 2).mean().shift(time=1).values
    rows = []
    last = -within
    for t in range(1, number.size):
        if number[t] == 4 and number[t - 1] == 3 and size[t] >= ACTIVE and t - last > within and np.isfinite(past[t]):
            ahead = slice(t, t + within + 1)
            crossed = bool((np.isin(number[ahead], (6, 7)) & (size[ahead] >= ACTIVE)).any())
            rows.append((time[t], past[t], size[t], crossed))
            last = t
    table = pd.DataFrame(rows, columns=["entry", "moisture", "amplitude", "crossed"])
    if len(table) < 9:
        raise TooFewSamplesError(f"{len(table)} events entered phase 4; at least 9 are needed for thirds")
    third = pd.qcut(table["moisture"].rank(method="first"), 3, labels=["dry", "middle", "wet"])
    table["third"] = third.astype(str)

    def difference(crossed):
        return crossed[table["third"] == "wet"].mean() - crossed[table["third"] == "dry"].mean()

    generator = np.random.default_rng(rng)
    observed = difference(table["crossed"])
    values = table["crossed"].to_numpy()
    chance = np.array([difference(pd.Series(generator.permutation(values))) for _ in range(draws)])
    wet, dry = (table.loc[table["third"] == k, "crossed"] for k in ("wet", "dry"))
    odds = (wet.sum() + 0.5) / ((~wet).sum() + 0.5) / ((dry.sum() + 0.5) / ((~dry).sum() + 0.5))
    p = (1 + (np.abs(chance) >= abs(observed)).sum()) / (draws + 1)
    return table, {
        "wet": float(wet.mean()),
        "dry": float(dry.mean()),
        "odds_ratio": float(odds),
        "p_value": float(p),
        "events": float(len(table)),
    }
