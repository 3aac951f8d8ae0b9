"""How late the data are: one page that opens from disk, with alerts, what is waiting and what could not be read."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from vadose.stream.design import read_design
from vadose.stream.ledger import BAD, Ledger, bad_rows
from vadose.stream.root import settings
from vadose.stream.table import Table

#: Hours without data after which a stream is in alarm.
LATE_HOURS = 6.0
#: The research name of a logger's battery; its low_bound in the variable table is where an alarm begins.
BATTERY = "battery-voltage"
#: Older readings say nothing about a battery.
RECENT = np.timedelta64(60, "D")


@dataclass(frozen=True)
class StreamState:
    """One stream: how far it reaches, how late that is, how much of it there is by month."""

    stream: str
    last: np.datetime64
    hours_late: float
    values: int
    months: dict[str, int]
    battery: float = float("nan")  # newest reading [V], where the design table has one
    battery_low: float = float("nan")

    @property
    def silent(self) -> bool:
        """Nothing for longer than LATE_HOURS."""
        return self.hours_late > LATE_HOURS

    @property
    def weak(self) -> bool:
        """The battery is below its limit."""
        return self.battery < self.battery_low

    @property
    def alert(self) -> bool:
        """Somebody should look: silent, or about to be."""
        return self.silent or self.weak


def status(root: str | Path, *, now: np.datetime64 | None = None) -> list[StreamState]:
    """State of every stream from the table's own statistics (of data only the newest battery voltages are read), the latest first.

    Raises VadoseInputError for a folder that is no stream.
    """
    settings(root)
    table = Table(root)
    if not table.exists():
        return []
    moment = now if now is not None else np.datetime64(datetime.now(UTC).replace(tzinfo=None))
    actions = (
        pa.table(table.open().get_add_actions(flatten=True))
        .select(["partition.stream", "partition.month", "num_records", "max.time"])
        .to_pandas()
    )
    out = []
    low, volts = _batteries(Path(root), table, moment - RECENT)
    for stream, rows in actions.groupby("partition.stream"):
        last = np.datetime64(
            rows["max.time"].max().tz_localize(None) if rows["max.time"].dt.tz is not None else rows["max.time"].max()
        )
        hours = float((moment - last) / np.timedelta64(1, "s")) / 3600
        months = {str(m): int(n) for m, n in zip(rows["partition.month"], rows["num_records"])}
        battery = volts.get(str(stream), float("nan"))
        out.append(StreamState(str(stream), last, hours, int(rows["num_records"].sum()), dict(sorted(months.items())), battery, low))  # fmt: skip
    return sorted(out, key=lambda s: -s.hours_late)


def _batteries(root: Path, table: Table, since: np.datetime64) -> tuple[float, dict[str, float]]:
    """Where the alarm begins [V] and the newest voltage of each stream that has one; files without any are not opened."""
    variables = read_design(settings(root)["design"]).variables
    if BATTERY not in variables:
        return float("nan"), {}
    begin = pa.scalar(since.astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    wanted = (compute.field("variable") == BATTERY) & (compute.field("time") >= begin)
    rows = table.read(columns=["stream", "time", "value"], filters=wanted).to_pandas()
    newest = rows.dropna().sort_values("time").groupby("stream", observed=True)["value"].last()
    return variables[BATTERY].low, {str(k): float(v) for k, v in newest.items()}


def ago(hours: float) -> str:
    """A stretch of time in the unit that people would use."""
    if hours < 1:
        return f"{max(hours, 0) * 60:.0f} min"
    if hours < 48:
        return f"{hours:.1f} h"
    return f"{hours / 24:.0f} days" if hours < 24 * 730 else f"{hours / 24 / 365.25:.1f} years"


def _calendar(months: set[str]) -> list[str]:
    """Every month from the first to the last, those without a value too."""
    if not months:
        return []
    first, last = (np.datetime64(edge, "M") for edge in (min(months), max(months)))
    return [str(month) for month in np.arange(first, last + 1)]


def _weak(state: StreamState) -> str:
    return f"<br>&#9888; battery {state.battery:.1f} V, below {state.battery_low:g}" if state.weak else ""


def page(root: str | Path, *, now: np.datetime64 | None = None) -> Path:
    """Write `status.html` below the root (atomic) and give its path."""
    base = Path(root)
    states = status(base, now=now)
    ledger = Ledger(base)
    troubles = ledger.troubles()
    count = sum(s.bad for s in ledger.sources.values())
    bad = bad_rows(base, 200)
    months = _calendar({m for s in states for m in s.months})[-24:]
    top = {s.stream: max(s.months.values(), default=1) for s in states}

    def cell(s: StreamState, m: str) -> str:
        share = s.months.get(m, 0) / top[s.stream]
        return f'<td class="m" style="background:rgba(0,70,120,{share:.2f})" title="{m}: {s.months.get(m, 0):,} values"></td>'

    rows = "".join(
        f'<tr class="{"late" if s.alert else ""}"><td>{html.escape(s.stream)}</td><td>{"&#9888; " if s.silent else ""}{ago(s.hours_late)}{_weak(s)}</td>'
        f"<td>{str(s.last)[:16].replace('T', ' ')}</td><td>{s.values:,}</td>{''.join(cell(s, m) for m in months)}</tr>"
        for s in states
    )
    listed = "".join(f"<li>{html.escape(t)}</li>" for t in troubles) or "<li>none</li>"
    shown = "".join(
        f"<tr><td>{html.escape(b['file'])}</td><td>{b['line']}</td><td>{html.escape(b['reason'])}</td></tr>"
        for b in bad
    )
    listing = (
        f'<div class="wide"><table><tr><th>file</th><th>line</th><th>why</th></tr>{shown}</table></div>'
        if shown
        else "<p>none</p>"
    )
    more = f", the first {len(bad)}; all of them are in {html.escape(str(base / BAD))}" if count > len(bad) else ""
    stamp = now if now is not None else np.datetime64(datetime.now(UTC).replace(tzinfo=None), "m")
    text = f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Sensor streams</title><style>
body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;color:#222}}.wide{{overflow-x:auto}}table{{border-collapse:collapse;font-size:13px}}td{{white-space:nowrap}}th{{white-space:nowrap}}td:last-child:not(.m){{white-space:normal;min-width:14rem}}
td,th{{padding:3px 10px;border-bottom:1px solid #ddd;text-align:left}}td.m{{padding:0;width:14px;border:1px solid #eee}}.late td{{background:#fff1e0}}
@media(max-width:700px){{body{{margin:1rem}}td,th{{padding:3px 5px}}td.m{{padding:0}}td:first-child{{white-space:normal;overflow-wrap:anywhere;min-width:6rem}}td:last-child:not(.m){{min-width:11rem}}}}</style>
<h1>How late are the data?</h1><p>{len(states)} stream{"" if len(states) == 1 else "s"}, {sum(s.values for s in states):,} values, {sum(s.silent for s in states)} silent for more than {LATE_HOURS:g} hours, {sum(s.weak for s in states)} with a weak battery.
Seen at {str(stamp)[:16].replace("T", " ")} UTC. Darker months hold more values.</p>
<div class="wide"><table><tr><th>stream</th><th>silent for</th><th>last value (UTC)</th><th>values</th><th colspan="{max(len(months), 1)}">{months[0] if months else ""} to {months[-1] if months else ""}</th></tr>{rows}</table></div>
<h2>Waiting or not readable</h2><ul>{listed}</ul><h2>Bad rows ({count:,}{more})</h2>{listing}</html>"""
    final = base / "status.html"
    temporary = base / f".status.{os.getpid()}"
    temporary.write_text(text)
    temporary.replace(final)
    return final
