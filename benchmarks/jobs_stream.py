"""Logger files to one committed table. The peer is the pandas pipeline that one would write: file by file, one long frame a logger table.

`VADOSE_BENCH_OBSERVATIONS` sets the size (default 50 million); both sides always do the same files. Both copy and hash each file, read it,
join the design table, convert units, put a standard error and the file's name beside each value, check limits, outliers by the median
rule, stuck sensors and gaps, let the later of two rows win, and commit to a Delta table partitioned by logger table and month.
Ours also marks conflicts and clock faults, keeps the good cells of bad lines and lists what is bad, and can be killed and run again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Job

OBSERVATIONS = int(os.environ.get("VADOSE_BENCH_OBSERVATIONS", "50_000_000"))
BASE = Path(os.environ.get("VADOSE_BENCH_SCRATCH", tempfile.gettempdir())) / f"vadose-bench-network-{OBSERVATIONS}"
VARIABLE = "soil-vwc-10cm"


def network() -> Path:
    """The made-up network, generated once a machine."""
    from vadose import stream

    if not (BASE / "truth.json").is_file():
        shutil.rmtree(BASE, ignore_errors=True)
        stream.generate(BASE, observations=OBSERVATIONS, rng=0)
    return BASE


def taken_in() -> Path:
    """The network with a stream root in which everything is already committed."""
    from vadose import stream

    base = network()
    root = stream.init(base / "kept", inputs=[base / "raw"], design=base / "metadata", workers=2)
    stream.run(root)
    return base


def _facts(root: Path) -> dict[str, float]:
    import pyarrow.compute as pc

    from vadose import stream
    from vadose.stream.flags import GAP, OOB, STUCK

    found = stream.Table(root).read(columns=["value", "flag"], filters=pc.field("variable") == VARIABLE)
    value, flag = found["value"].to_numpy(), found["flag"].to_numpy()
    return {
        "values": float(np.isfinite(value).sum()),
        "mean": float(np.nanmean(value)),
        "beyond": float((flag & OOB).sum()),
        "stuck": float((flag & STUCK).sum() / STUCK),
        "gap": float((flag & GAP).sum() / GAP),
    }


def ours(base: Path) -> dict[str, Any]:
    from vadose import stream

    root = base / "root"
    shutil.rmtree(root, ignore_errors=True)
    stream.init(root, inputs=[base / "raw"], design=base / "metadata", workers=2)
    report = stream.run(root)
    return {"root": str(root), "worker_mb": report.worker_mb}


def again(base: Path) -> dict[str, float]:
    from vadose import stream

    report = stream.run(base / "kept")
    if report.files or report.partitions:
        raise AssertionError(f"a second run did something: {report.sentence()}")
    return {}


def pandas_pipeline(base: Path) -> dict[str, float]:
    import hashlib

    import pandas as pd
    from deltalake import write_deltalake

    from vadose import stream
    from vadose.stream.calibration import FACTORY_ERROR

    design = stream.read_design(base / "metadata")
    links = pd.DataFrame([vars(k) | {"sensor": k.sensor} for k in design.links])
    out = base / "pandas"
    shutil.rmtree(out, ignore_errors=True)
    (out / "landing").mkdir(parents=True)
    tables: dict[str, list[Path]] = {}
    seen = set()
    for path in sorted((base / "raw").glob("*.dat")):
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        if digest not in seen:
            seen.add(digest)
            (out / "landing" / digest).write_bytes(raw)
            tables.setdefault(path.stem.removesuffix("_copy").rsplit("_", 1)[0], []).append(path)
    facts = {"values": 0.0, "sum": 0.0, "beyond": 0.0, "stuck": 0.0, "gap": 0.0}
    for name, paths in tables.items():
        logger, table = name.rsplit("_", 1)
        mine = links[(links.logger == logger) & (links.table == table)]
        frames = []
        for path in paths:
            wide = pd.read_csv(path, skiprows=[0, 2, 3], na_values=["NAN"], on_bad_lines="skip", low_memory=False)
            long = wide.melt(id_vars="TIMESTAMP", value_vars=list(mine.column), var_name="column", value_name="raw")
            frames.append(long.assign(source=path.name))
        rows = pd.concat(frames)
        rows["time"] = pd.to_datetime(rows.pop("TIMESTAMP"), errors="coerce") + pd.Timedelta("5h")
        rows["raw"] = pd.to_numeric(rows["raw"], errors="coerce")
        rows = rows.dropna(subset=["time"]).merge(mine[["column", "site", "plot", "sensor", "variable"]], on="column")
        rows = rows.drop_duplicates(["sensor", "variable", "time"], keep="last")
        rows = rows.sort_values(["sensor", "variable", "time"], ignore_index=True)
        parts = []
        for variable, part in rows.groupby("variable"):
            row = design.variables[variable]
            value = part["raw"] * 3.879e-4 - 0.6956 if "vwc" in variable else part["raw"]
            error = value.where(value.isna(), FACTORY_ERROR if row.units == "m3/m3" else float("nan"))
            part = part.assign(
                value=value, beyond=(value < row.low) | (value > row.high), far=False, standard_error=error
            )
            if row.grouping:
                days = "15D" if row.grouping == "month" else "84h"
                period = (part["time"] + pd.Timedelta(days)).dt.to_period("M" if row.grouping == "month" else "W-SAT")
                keys = [part["sensor"], period]
                distance = (part["value"] - part.groupby(keys)["value"].transform("median")).abs()
                spread = 1.4826 * distance.groupby(keys).transform("median")
                part["far"] = (distance > row.threshold * spread) & (spread > 0)
            valid = part[part["value"].notna()]
            silent = valid.groupby("sensor")["time"].diff()
            part["gap"] = (silent.isna() | (silent > pd.Timedelta("1D"))).reindex(part.index, fill_value=False)
            part["stuck"] = False
            if row.grouping:
                change = (part["value"] != part["value"].shift()) | (part["sensor"] != part["sensor"].shift())
                lasts = part.groupby(change.cumsum())["time"].agg(["min", "max"])
                long = (lasts["max"] - lasts["min"]) >= pd.Timedelta("24h")
                part["stuck"] = change.cumsum().map(long)
            parts.append(part)
            if variable == VARIABLE:
                facts["values"] += part["value"].notna().sum()
                facts["sum"] += part["value"].sum()
                for name in ("beyond", "stuck", "gap"):
                    facts[name] += part[name].sum()
        done = pd.concat(parts).assign(stream=name, month=lambda d: d["time"].dt.strftime("%Y-%m"))
        write_deltalake(str(out / "table"), done, mode="append", partition_by=["stream", "month"])
    return {
        "values": float(facts["values"]),
        "mean": float(facts["sum"] / facts["values"]),
        **{name: float(facts[name]) for name in ("beyond", "stuck", "gap")},
    }


def agreement(made: dict[str, Any], theirs: dict[str, float]) -> str:
    """What the committed table says, read back outside the clock. The median groups differ by a day and are not compared."""
    mine = _facts(Path(made["root"]))
    lost = (theirs["values"] - mine["values"]) / mine["values"]
    return (
        f"{VARIABLE}: {mine['values']:,.0f} values, the peer {lost:+.1e} of that; means differ by {abs(mine['mean'] - theirs['mean']):.1e} m3/m3; "
        f"beyond limits {mine['beyond']:.0f} and {theirs['beyond']:.0f}, stuck {mine['stuck']:.0f} and {theirs['stuck']:.0f}, "
        f"after a gap {mine['gap']:.0f} and {theirs['gap']:.0f}; ours has 2 workers beside the parent, the larger {made['worker_mb']:.0f} MB"
    )


SIZE = f"{OBSERVATIONS:,} values (both sides)"
JOBS = (
    Job(
        id="stream-50m",
        job="logger files landed, calibrated, flagged, committed",
        size=SIZE,
        peer="pandas, file by file",
        prepare=network,
        ours=ours,
        theirs=pandas_pipeline,
        agreement=agreement,
        packages=("deltalake", "pyarrow", "pandas"),
        repeats=1,
    ),
    Job(
        id="stream-rerun",
        job="the same files again: nothing to do",
        size=SIZE,
        peer="pandas, which starts again",
        prepare=taken_in,
        ours=again,
        theirs=pandas_pipeline,
        agreement=lambda mine, theirs: "no file read, no partition written",
        packages=("deltalake", "pyarrow", "pandas"),
        repeats=1,
    ),
)
