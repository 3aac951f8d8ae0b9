"""One logger file of any size, a row each second for as long as it takes, damaged here and there; what was done to it is told.

    python tests/stream/damaged_file.py FOLDER --megabytes 5000

writes FOLDER/raw, FOLDER/metadata and FOLDER/truth.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from vadose.stream import network

LOGGER, TABLE = "Net_S01_P1", "TerosTableB"
START = np.datetime64("2023-01-01T05:00", "s")  # 10:00 UTC
#: Rows that are damaged once in each way, of a small file and of a large one.
CHUNK, WIDE = 20_000, 200_000
#: Seconds that the clock is set back, and how many rows are written before it is right again.
BACK, WRONG = 300, 60
FIRST = 5  # position of the first value in a row
#: What is done to a row, or to the rows from it on; in a chunk of rows each of them once, at rows of its own.
KINDS = (
    "cut", "garbled", "zero bytes", "utf-16", "latin-1", "extra", "no time", "clock not set", "empty", "missing",
    "header again", "rows again", "clock set back",
)  # fmt: skip
#: Rows that are bad: named, and lost but for a garbled number, which loses one value.
BAD = ("cut", "garbled", "zero bytes", "utf-16", "extra", "no time", "clock not set")


def write(folder: Path, megabytes: float, seed: int = 0) -> dict:
    """Write the file, the tables that explain it, and the truth: lines that are bad, rows, sums and numbers of values by column."""
    (folder / "raw").mkdir(parents=True)
    network.write_design(folder / "metadata", 1, 1)
    rng = np.random.default_rng(seed)
    header = network.toa5_header(LOGGER, TABLE)
    columns = network.names(TABLE)
    chunk = CHUNK if megabytes < 500 else WIDE
    day = np.arange(chunk)[:, None]
    shape = np.tile([2200.0, 14.0, 90.0], 6) + np.tile([120.0, 4.0, 30.0], 6) * np.sin(day / 3000 + np.arange(18))
    truth: dict = {
        "bad": {},
        "rows": 0,
        "clock": 0,
        "hundredths": np.zeros(18, np.int64),
        "values": np.zeros(18, np.int64),
    }
    line, record = 5, 0
    with (folder / "raw" / f"{LOGGER}_{TABLE}.dat").open("wb") as file:
        file.write(header)
        while file.tell() < megabytes * 1e6:
            time = START + (record + np.arange(chunk)).astype("timedelta64[s]")
            data = shape + rng.normal(0, 0.4, 18)
            for q, decimals in enumerate((2, 1, 0)):  # counts, degrees, uS/cm as the loggers write them
                data[:, q::3] = np.round(data[:, q::3], decimals)
            rows = network.toa5_rows(LOGGER, time, data, first_record=record).split(b"\r\n")[:-1]
            at = dict(zip(KINDS, _places(rng, chunk)))
            lost = _damage(rows, at, time, data, header)
            kept = np.ones(chunk, bool)
            kept[lost] = False
            values = ~np.isnan(data) & kept[:, None]
            truth["hundredths"] += np.where(values, np.rint(data * 100), 0).astype(np.int64).sum(axis=0)
            truth["values"] += values.sum(axis=0)
            truth["rows"] += int(kept.sum())
            truth["clock"] += BACK - 1 + WRONG
            body = b"\r\n".join(rows) + b"\r\n"
            # A repeated stretch or header moves the lines below it.
            for kind in BAD:
                above = sum(rows[k].count(b"\n") for k in range(at[kind]))
                truth["bad"][line + at[kind] + above] = kind
            line += body.count(b"\n")
            file.write(body)
            record += chunk
    truth |= {"hundredths": truth["hundredths"].tolist(), "values": truth["values"].tolist(), "columns": columns}
    (folder / "truth.json").write_text(json.dumps(truth))
    return truth


def _places(rng: np.random.Generator, chunk: int) -> list[int]:
    """Rows far enough from each other that no damage reaches another."""
    wide = chunk // len(KINDS)
    return (np.arange(len(KINDS)) * wide + rng.integers(BACK + 1, wide - WRONG - 1, len(KINDS))).tolist()


def _damage(rows: list[bytes], at: dict[str, int], time: np.ndarray, data: np.ndarray, header: bytes) -> list[int]:
    """Damage the rows; missing numbers become so in `data`. Gives the rows that are lost."""

    def cell(kind: str, number: int, text: bytes) -> None:
        found = rows[at[kind]].split(b",")
        found[number] = text
        rows[at[kind]] = b",".join(found)

    row = at["cut"]
    rows[row] = rows[row][: len(rows[row]) // 2].rsplit(b",", 1)[0]
    cell("garbled", FIRST + 4, b"2x4.1")
    data[at["garbled"], 4] = np.nan
    cell("zero bytes", FIRST + 2, b"1\0\0\0")
    row = at["utf-16"]
    rows[row] = rows[row].decode().encode("utf-16-le")
    cell("latin-1", 3, '"Sonde 12 \xb0C"'.encode("latin-1"))
    rows[at["extra"]] += b",1"
    cell("no time", 0, b'"2023-13-45 00:00:00"')
    cell("clock not set", 0, b'"1990-01-01 00:00:12"')
    rows[at["empty"]] = b""
    cell("missing", FIRST + 1, b'"NAN"')
    data[at["missing"], 1] = np.nan
    row = at["header again"]
    rows[row] = header + rows[row]
    row = at["rows again"]
    rows[row] = b"\r\n".join([rows[row], *rows[row - 30 : row + 1]])
    row = at["clock set back"]
    for k in range(row, row + WRONG):  # half a second beside every other row, so that none takes another's place
        was = (time[k] - np.timedelta64(BACK, "s")).astype(str).replace("T", " ")
        rows[k] = f'"{was}.5",'.encode() + rows[k].split(b",", 1)[1]
    return [at[kind] for kind in (*BAD, "empty") if kind != "garbled"]


if __name__ == "__main__":
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("folder", type=Path)
    said.add_argument("--megabytes", type=float, default=6)
    chosen = said.parse_args()
    made = write(chosen.folder, chosen.megabytes)
    print(f"{made['rows']:,} good rows, {len(made['bad']):,} bad ones")
