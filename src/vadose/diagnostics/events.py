"""Events in time: from a detector's positions to dates, to a table of rows, and their agreement with a catalog (M-T2.3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.diagnostics.pentads import along_time
from vadose.errors import TimeAxisError, TooFewSamplesError

#: name, unit, meaning of what is known of an event, after its three positions in time.
_NUMBERS = (
    ("minimum", "1", "lowest value during the event"),
    ("rate", "1", "mean decline from onset per step"),
    ("severity", "1", "sum of the departure below the threshold"),
)


def find_events(kernel, *series, unit, threshold, per_year, method, definition, **params):
    """Run a detector over cells and dress its rows: positions become times, steps become days."""
    main = series[0]
    cf.check_time(main)
    steps = main.sizes["time"]
    time = main.time.values
    step = float(np.median(np.diff(time) / np.timedelta64(1, "D"))) if steps > 1 else 1.0
    most = max(int(np.ceil(steps * step / 365.0 * per_year)), 1) + 1

    def wrapped(*arrays):
        shape = arrays[0].shape
        flat = [np.ascontiguousarray(np.broadcast_to(a, shape).reshape(-1, shape[-1]), dtype=float) for a in arrays]
        out = np.full((flat[0].shape[0], most, 6), np.nan)
        kernel(*flat, out)
        return out.reshape(*shape[:-1], most * 6)

    flat = along_time(wrapped, *series, output="part", size=most * 6)
    rows = [flat.isel(part=slice(k, None, 6)).rename(part="event").transpose("event", ...) for k in range(6)]

    def when(position, days):
        def look(p):
            out = np.full(p.shape, np.datetime64("NaT", "ns"), dtype="datetime64[ns]")
            good = np.isfinite(p)
            out[good] = time[p[good].astype(int)] + np.timedelta64(days, "D")
            return out

        return xr.apply_ufunc(look, position, dask="parallelized", output_dtypes=["datetime64[ns]"])

    out = xr.Dataset()
    for k, (name, last) in enumerate((("onset", 0), ("time_of_minimum", 0), ("end", round(step) - 1))):
        out[name] = when(rows[k], last)
        out[name].attrs["long_name"] = {"end": "last day of the event"}.get(name, name.replace("_", " "))
    out["duration"] = ((rows[2] - rows[0] + 1) * step).assign_attrs(units="d", long_name="duration")
    for k, (name, _, text) in enumerate(_NUMBERS):
        out[name] = rows[3 + k].assign_attrs(units=unit, long_name=text)
    out["count"] = rows[0].notnull().sum("event").assign_attrs(units="1", long_name="number of events")
    out["onset_position"] = rows[0].assign_attrs(units="1", long_name="position of the onset in the series")
    out["end_position"] = rows[2].assign_attrs(units="1", long_name="position of the end in the series")
    out = out.assign_attrs(definition=definition, threshold=threshold, step_days=step)
    return cf.provenance(out, method=method, params={"definition": definition, **params})


def event_table(events: xr.Dataset) -> pd.DataFrame:
    """One row an event with its cell's coordinates, sorted by onset (computes)."""
    names = ["onset", "time_of_minimum", "end", "duration", "minimum", "rate", "severity"]
    table = events[names].to_dataframe().reset_index()
    return table[table["onset"].notna()].drop(columns="event").sort_values("onset").reset_index(drop=True)


def event_skill(reference: pd.DataFrame, events: pd.DataFrame, *, by: tuple[str, ...] = ()) -> dict[str, float]:
    """How events agree with a catalog: share found (POD), share of false alarms (FAR), mean onset error [d], hits and counts.

    Two events agree when they overlap in time (in the same cell, named by the columns `by`); each is used once.
    """
    if reference.empty:
        raise TooFewSamplesError("the reference catalog has no event")
    hits, errors = 0, []
    groups = events.groupby(list(by)) if by else None
    used: set = set()
    for _, row in reference.sort_values("onset").iterrows():
        pool = events
        if groups is not None:
            key = tuple(row[c] for c in by)
            pool = groups.get_group(key) if key in groups.groups else events.iloc[:0]
        near = pool[(pool["onset"] <= row["end"]) & (pool["end"] >= row["onset"]) & ~pool.index.isin(used)]
        if not near.empty:
            best = (near["onset"] - row["onset"]).abs().idxmin()
            used.add(best)
            hits += 1
            errors.append((near.loc[best, "onset"] - row["onset"]) / pd.Timedelta(days=1))
    return {
        "pod": hits / len(reference),
        "far": 1.0 - hits / len(events) if len(events) else float("nan"),
        "onset_error": float(np.mean(errors)) if errors else float("nan"),
        "hits": float(hits),
        "reference_events": float(len(reference)),
        "events": float(len(events)),
    }


def onset_composite(events: xr.Dataset, field: xr.DataArray, *, before: int = 60, after: int = 60) -> xr.Dataset:
    """Mean course of a daily field (time, ...) around the onsets of events, over all cells: (lag).

    `field` has the events' cell dimensions and their coordinates. Returns `mean`, `standard_error` (events as independent samples), `n`.
    Use anomalies of rain, evaporation or vapor pressure deficit to see what leads and what follows. Computes. Raises TimeAxisError
    for a field that is not of every day.
    """
    if (np.diff(field.time.values) != np.timedelta64(1, "D")).any():
        raise TimeAxisError(
            "the composite counts days: the field must have every day once; reindex it to all days first"
        )
    cells = [d for d in field.dims if d != "time"]
    onset = events["onset"].transpose("event", *cells).values.reshape(events.sizes["event"], -1)
    values = field.transpose("time", *cells).values.reshape(field.sizes["time"], -1)
    start = field.time.values[0]
    lags = np.arange(-before, after + 1)
    rows = []
    for cell in range(values.shape[1]):
        for stamp in onset[~np.isnat(onset[:, cell]), cell]:
            at = int((stamp - start) / np.timedelta64(1, "D")) + lags
            inside = (at >= 0) & (at < values.shape[0])
            rows.append(np.where(inside, values[np.clip(at, 0, values.shape[0] - 1), cell], np.nan))
    if not rows:
        raise TooFewSamplesError("no event: a composite needs at least one onset")
    stack = np.array(rows)
    n = np.isfinite(stack).sum(axis=0)
    with np.errstate(all="ignore"):
        error = np.nanstd(stack, axis=0, ddof=1) / np.sqrt(n) if len(rows) > 1 else np.full(lags.size, np.nan)
    data = {"mean": ("lag", np.nanmean(stack, axis=0)), "standard_error": ("lag", error), "n": ("lag", n)}
    out = xr.Dataset(data, coords={"lag": ("lag", lags, {"units": "d"})})
    for name in ("mean", "standard_error"):
        out[name].attrs["units"] = field.attrs.get("units", "1")
    return out
