"""Logger files as a network of many sites makes them, with faults whose places are written down: for load tests and classes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

SENSORS = 6
DEPTHS = ("10cm", "10cm", "10cm", "10cm", "30cm", "30cm")
COLUMNS = 3 * SENSORS
STEP = np.timedelta64(15, "m")
TABLES = ("TerosTableA", "TerosTableB")


@dataclass(frozen=True)
class Fault:
    """One planted fault: in which file, at which column and logger times, of which kind."""

    kind: str
    file: str
    column: str = ""
    start: str = ""
    stop: str = ""
    line: int = 0


def names(table: str) -> list[str]:
    """The 18 value columns of a TEROS table: sensor by sensor counts, temperature, conductivity."""
    return [f"{table.replace('Table', '')}({s},{q})" for s in range(1, SENSORS + 1) for q in (1, 2, 3)]


def write_design(folder: Path, sites: int, plots: int) -> Path:
    """Design, variable, check and time-zone tables of the generated network."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        [
            "Logger",
            "Table",
            "loggernet_variable",
            "Site",
            "Plot",
            "Instrument",
            "Instrument_ID",
            "Sensor_ID",
            "Location",
            "valid_through",
            "research_name",
            "note",
        ]
    ]
    for site, plot in ((s, p) for s in range(sites) for p in range(plots)):
        for table in TABLES:
            stem = table.replace("Table", "")
            rows.append(
                [
                    f"Net_{_site(site)}_P{plot + 1}",
                    table,
                    "BattV_Avg",
                    _site(site),
                    f"P{plot + 1}",
                    "TEROS12",
                    table[-1],
                    "",
                    "",
                    "",
                    "",
                    "",
                ]
            )
            for q, name in ((1, "soil-vwc"), (2, "soil-temp"), (3, "soil-EC")):
                for span, depth in (("1:4", "10cm"), ("5:6", "30cm")):
                    rows.append(
                        [
                            f"Net_{_site(site)}_P{plot + 1}",
                            table,
                            f"{stem}({{{span}}},{q})",
                            _site(site),
                            f"P{plot + 1}",
                            "TEROS12",
                            table[-1],
                            f"{{{span}}}",
                            "",
                            "",
                            f"{name}-{depth}",
                            "",
                        ]
                    )
    variables = [
        [
            "table",
            "variable",
            "research_name",
            "sensor_units",
            "final_units",
            "conversion",
            "low_bound",
            "high_bound",
            "description",
        ]
    ]
    checks = [["variable", "time_grouping", "outlier_detection", "params", "max_interp", "do_MAC", "Notes"]]
    for depth in ("10cm", "30cm"):
        variables += [
            ["TerosTable", "VWC", f"soil-vwc-{depth}", "m3/m3", "m3/m3", "(3.879*10^-4) * x - 0.6956", "0", "0.7", f"Soil volumetric water content at {depth}"],
            ["TerosTable", "TSOIL", f"soil-temp-{depth}", "degC", "degC", "x * 1", "-40", "60", f"Soil temperature at {depth}"],
            ["TerosTable", "EC", f"soil-EC-{depth}", "uS/cm", "uS/cm", "x * 1", "0", "20000", f"Soil electrical conductivity at {depth}"],
        ]  # fmt: skip
        gap = "2 hours" if depth == "10cm" else "3 hours"
        checks += [
            [f"soil-vwc-{depth}", "1 month", "MAD", "threshold=8", "2 hours", "TRUE", ""],
            [f"soil-temp-{depth}", "1 week", "MAD", "threshold=8", gap, "TRUE", ""],
            [f"soil-EC-{depth}", "", "", "", gap, "TRUE", "Too variable"],
        ]
    zones = [
        ["Site", "Datalogger_time_zone", "Comment"],
        *([_site(s), "Etc/GMT+5", "standard time"] for s in range(sites)),
    ]
    for name, table_rows in (
        ("design_table.csv", rows),
        ("variables_metadata.csv", variables),
        ("qaqc_table.csv", checks),
        ("timezones.csv", zones),
    ):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(table_rows)
        (folder / name).write_text(text.getvalue())
    return folder


def _site(number: int) -> str:
    return f"S{number + 1:02d}"


def generate(
    folder: str | Path,
    *,
    observations: int = 50_000_000,
    days: int = 365,
    start: str = "2023-01-01",
    plots: int = 5,
    faults: bool = True,
    rng: np.random.Generator | int = 0,
) -> dict:
    """Write `raw/` (TOA5, one file a logger table and month), `metadata/` and `truth.json` below `folder`.

    Tables are added until `observations` values are reached: each has 18 columns every 15 minutes. `truth.json` lists every
    planted fault and the numbers of files and values; that is also what is returned.
    """
    base = Path(folder)
    raw = base / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(rng)
    steps = days * 96
    streams = max(1, round(observations / (steps * COLUMNS)))
    sites = -(-streams // (plots * len(TABLES)))
    write_design(base / "metadata", sites, plots)
    time = np.datetime64(start, "s") + np.arange(steps) * STEP.astype("timedelta64[s]")
    planted: list[Fault] = []
    written = values = 0
    for number in range(streams):
        site, rest = divmod(number, plots * len(TABLES))
        plot, which = divmod(rest, len(TABLES))
        logger, table = f"Net_{_site(site)}_P{plot + 1}", TABLES[which]
        data = _series(time, rng)
        if faults:
            planted += _plant(data, time, names(table), f"{logger}_{table}", rng)
        files = _write(raw, logger, table, time, data)
        if faults:
            planted += _damage(files, number, rng)
        written += len(files)
        values += data.size
    truth = {"files": written, "values": values, "streams": streams, "faults": [asdict(f) for f in planted]}
    (base / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _series(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts, temperature, conductivity of six sensors: showers that drain away, a year and a day of warmth, salt with water."""
    n = time.size
    day = np.arange(n) / 96.0
    rain = rng.exponential(0.06, n) * (rng.random(n) < 0.004)
    from scipy.signal import lfilter

    out = np.empty((n, COLUMNS))
    year = 12 - 11 * np.cos(2 * np.pi * (day - 20) / 365.25)
    for s in range(SENSORS):
        deep = DEPTHS[s] == "30cm"
        keep = np.exp(-1 / (96 * (12 if deep else 5)))
        wet = lfilter([1.0], [1.0, -keep], rain * (0.4 if deep else 0.7))
        base = rng.uniform(0.16, 0.26)
        moisture = np.clip(base + 0.35 * (1 - np.exp(-wet)), 0.03, 0.6) + rng.normal(0, 0.0008, n)
        temperature = year + (1.0 if deep else 3.0) * np.sin(2 * np.pi * (day - 0.4)) + rng.normal(0, 0.05, n)
        salt = np.clip(400 * moisture + rng.normal(0, 5, n), 0, None)
        out[:, 3 * s] = np.round((moisture + 0.6956) / 3.879e-4, 2)
        out[:, 3 * s + 1] = np.round(temperature, 1)
        out[:, 3 * s + 2] = np.round(salt)
    return out


def _plant(data: np.ndarray, time: np.ndarray, columns: list[str], stem: str, rng: np.random.Generator) -> list[Fault]:
    """A stuck sensor for three days, spikes, counts below zero, an outage of half a day."""
    n = time.size
    out = []

    def note(kind: str, column: int, a: int, b: int) -> None:
        month = str(time[a].astype("datetime64[M]")).replace("-", "")
        out.append(Fault(kind, f"{stem}_{month}.dat", columns[column], str(time[a]), str(time[b - 1])))

    if n > 96 * 20:
        a, c = int(rng.integers(96, n - 96 * 4)), 3 * int(rng.integers(0, SENSORS))
        data[a : a + 96 * 3, c] = data[a, c]
        note("stuck", c, a, a + 96 * 3)
    for _ in range(3):
        a, c = int(rng.integers(0, n)), 3 * int(rng.integers(0, SENSORS))
        data[a, c] += 1100.0
        note("spike", c, a, a + 1)
    a, c = int(rng.integers(0, n)), 3 * int(rng.integers(0, SENSORS))
    data[a, c] = 900.0
    note("out_of_bounds", c, a, a + 1)
    a = int(rng.integers(0, max(n - 48, 1)))
    data[a : a + 48, 3:6] = np.nan
    note("outage", 3, a, min(a + 48, n))
    return out


def write_toa5(
    path: Path, logger: str, table: str, time: np.ndarray, data: np.ndarray, *, first_record: int = 0
) -> None:
    """One TOA5 file as a CR1000X writes it: four header lines, quoted names, "NAN" for missing, CR LF."""
    path.write_bytes(toa5_header(logger, table) + toa5_rows(logger, time, data, first_record=first_record))


def toa5_header(logger: str, table: str) -> bytes:
    """The four header lines of a TEROS table."""
    value_names = names(table)
    lines = [
        ["TOA5", logger, "CR1000X", "28735", "CR1000X.Std.05.01", "CPU:NET_v1.CR1X", "53163", table],
        ["TIMESTAMP", "RECORD", "PB", "Statname", "BattV_Avg", *value_names],
        ["TS", "RN", "", "", "Volts", *[""] * len(value_names)],
        ["", "", "Smp", "Smp", "Avg", *["Smp"] * len(value_names)],
    ]
    return "".join(",".join(f'"{c}"' for c in line) + "\r\n" for line in lines).encode()


def toa5_rows(logger: str, time: np.ndarray, data: np.ndarray, *, first_record: int = 0) -> bytes:
    """Rows under that header."""
    n = time.size
    arrays = [
        pa.array(time.astype("datetime64[s]")), pa.array(np.arange(first_record, first_record + n)), pa.array(np.full(n, 101)),
        pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), pa.array([logger])).cast(pa.string()), pa.array(np.full(n, 12.5)),
        *(pa.array(data[:, k], from_pandas=True) for k in range(data.shape[1])),
    ]  # fmt: skip
    sink = io.BytesIO()
    pc.write_csv(
        pa.table(arrays, names=[str(k) for k in range(len(arrays))]),
        sink,
        pc.WriteOptions(include_header=False, quoting_style="none"),
    )
    return (
        sink.getvalue()
        .replace(b",,", b',"NAN",')
        .replace(b",,", b',"NAN",')
        .replace(b",\n", b',"NAN"\n')
        .replace(b"\n", b"\r\n")
    )


def _write(raw: Path, logger: str, table: str, time: np.ndarray, data: np.ndarray) -> list[Path]:
    month = time.astype("datetime64[M]")
    out = []
    for m in np.unique(month):
        rows = np.flatnonzero(month == m)
        path = raw / f"{logger}_{table}_{str(m).replace('-', '')}.dat"
        write_toa5(path, logger, table, time[rows], data[rows], first_record=int(rows[0]))
        out.append(path)
    return out


def _damage(files: list[Path], number: int, rng: np.random.Generator) -> list[Fault]:
    """Damage a file here and there as power cuts, modems and people do; what was done is told."""
    kind = ("truncated_line", "repeated_header", "garbled_number", "duplicate_file", "zero_bytes")[number % 5]
    path = files[int(rng.integers(0, len(files)))]
    lines = path.read_bytes().split(b"\r\n")
    at = int(rng.integers(6, len(lines) - 2))
    if kind == "truncated_line":
        lines[at] = lines[at][: len(lines[at]) // 2].rsplit(b",", 1)[0]
    elif kind == "garbled_number":
        cells = lines[at].split(b",")
        cells[8] = b"2x4.1"
        lines[at] = b",".join(cells)
    elif kind == "zero_bytes":
        lines[at] = lines[at][:30] + b"\0" * 20 + lines[at][50:]
    elif kind == "repeated_header":
        lines[at:at] = lines[:4]
    else:
        copy = path.with_name(path.stem + "_copy.dat")
        copy.write_bytes(path.read_bytes())
        return [Fault(kind, copy.name)]
    path.write_bytes(b"\r\n".join(lines))
    return [Fault(kind, path.name, line=at + 1)]
