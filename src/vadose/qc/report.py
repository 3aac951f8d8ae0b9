"""What the checks found, station by station: counts and shares of every flag."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.qc.flags import FLAGS


def report(dataset: xr.Dataset) -> xr.Dataset:
    """Per series of `soil_moisture_flag`: `count` and `share` (flag), `n`, `missing`, `first`, `last`, `usable_share`.

    Dims are those of the flags without time, plus `flag` (code, with its sentence as coordinate `meaning`). `missing` counts
    axis times without a value. Lazy in, lazy out.
    """
    if "soil_moisture_flag" not in dataset:
        raise VadoseInputError("no 'soil_moisture_flag' to report on; make one with vadose.qc.flag(dataset)")
    known = dataset["soil_moisture"].notnull()
    bits = dataset["soil_moisture_flag"]
    words = str(bits.attrs.get("flag_meanings", "")).split()
    counts = xr.concat(
        [cf.has_flag(bits, word).where(known, False).sum("time") for word in words],
        xr.DataArray(words, dims="flag", name="flag"),
    )
    n = known.sum("time")
    time = dataset["time"]
    out = xr.Dataset(
        {
            "count": counts.assign_attrs(units="1", long_name="readings with the flag"),
            "share": (counts / n.where(n > 0)).assign_attrs(units="1", long_name="share of readings with the flag"),
            "n": n.assign_attrs(units="1", long_name="readings"),
            "missing": (time.size - n).assign_attrs(units="1", long_name="times without a reading"),
            "first": _edge(time, known, "min"),
            "last": _edge(time, known, "max"),
        }
    )
    if "liquid_valid" in dataset:
        usable = (dataset["liquid_valid"] & known).sum("time") / n.where(n > 0)
        out["usable_share"] = usable.assign_attrs(units="1", long_name="share usable as liquid water")
    sentences = {row.code: row.sentence for row in FLAGS.rows}
    return out.assign_coords(meaning=("flag", [sentences.get(w, w.replace("_", " ")) for w in words]))


def _edge(time, known, how):
    """First or last time with a reading, NaT where there is none; through whole nanoseconds, since NaT would win a minimum."""
    stamps = time.astype("datetime64[ns]").astype("int64").drop_vars("time")
    stamps = xr.where(known.drop_vars("time", errors="ignore"), stamps, stamps.max() if how == "min" else stamps.min())
    edge = getattr(stamps, how)("time").astype("datetime64[ns]")
    return edge.where(known.any("time"))


def table(summary: xr.Dataset) -> pd.DataFrame:
    """A report to look at: one row a series, n, share usable, and percent of readings for each flag that occurs anywhere."""
    whole = summary if summary["n"].dims else summary.expand_dims("series")
    shares = (100.0 * whole["share"]).reset_coords(drop=True)
    frame = shares.to_dataframe("percent")["percent"].unstack("flag")
    frame = pd.DataFrame(frame)[[f for f in summary["flag"].values if float(shares.sel(flag=f).max()) > 0]]
    left = whole[[v for v in ("n", "usable_share") if v in whole]].reset_coords(drop=True).to_dataframe()
    return left.drop(columns="flag", errors="ignore").join(frame).astype({"n": np.int64})
