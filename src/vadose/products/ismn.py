"""ISMN station files in the header+values and CEOP text forms, in a folder or a zip. doi:10.5194/hess-25-5749-2021."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.products.canonical import tidy
from vadose.qc.flags import FLAGS

#: ISMN short name -> (our variable, factor, offset).
VARIABLES = {
    "sm": ("soil_moisture", 1.0, 0.0),
    "ts": ("soil_temperature", 1.0, 273.15),
    "p": ("precipitation_flux", 1.0 / 3600.0, 0.0),
    "ta": ("air_temperature", 1.0, 273.15),
}


_DATE = re.compile(r"\d{4}/\d{2}/\d{2}")
#: Values down here say that there is none.
MISSING = -999.0


def parse(text: str, name: str) -> tuple[dict, pd.DataFrame]:
    """One file -> its header and a table (time, value, flag). Any line end, also carriage return alone.

    Header+values files begin with the station, CEOP files (`ceop_sep`) repeat it on each line: nominal and actual time, reference
    site, network, station, place, depths, value, flags. Of the two times the nominal one is used.
    Raises UnreadableFileError naming file and line.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines:
        raise UnreadableFileError(f"{name}: line 1: empty file; expected the station header of ISMN")
    words = lines[0].split()
    if _DATE.fullmatch(words[0] if words else ""):
        return _parse_ceop(lines, name)
    try:
        # cse, network, station (may hold spaces), lat, lon, elevation, depth from, depth to, sensor
        at = next(
            k
            for k in range(2, len(words) - 4)
            if _is_number(words[k])
            and _is_number(words[k + 1])
            and _is_number(words[k + 2])
            and _is_number(words[k + 3])
            and _is_number(words[k + 4])
        )
        lat, lon, elevation, top, bottom = (float(w) for w in words[at : at + 5])
    except StopIteration as error:
        raise UnreadableFileError(
            f"{name}: line 1: not an ISMN header (network, station, lat, lon, elevation, depth from, depth to, sensor): {lines[0][:120]!r}"
        ) from error
    header = {
        "network": words[1],
        "station": " ".join(words[2:at]),
        "lat": lat,
        "lon": lon,
        "elevation": elevation,
        "top": top,
        "bottom": bottom,
        "sensor": " ".join(words[at + 5 :]),
    }
    return header, _values(lines, name, first=2, at=2, expected="'YYYY/MM/DD HH:MM value flag'")


def _values(lines: list[str], name: str, *, first: int, at: int, expected: str) -> pd.DataFrame:
    """Lines from number `first` on: date, time, the value in field `at` and its flag behind it."""
    stamps, values, flags, numbers = [], [], [], []
    for number, line in enumerate(lines[first - 1 :], first):
        if not line.strip():
            continue
        parts = line.split()
        try:
            stamps.append(f"{parts[0]} {parts[1]}")
            values.append(float(parts[at]))
            flags.append(parts[at + 1] if len(parts) > at + 1 else "")
            numbers.append(number)
        except (IndexError, ValueError) as error:
            raise UnreadableFileError(f"{name}: line {number}: expected {expected}, found {line[:80]!r}") from error
    try:
        time = pd.to_datetime(stamps, format="%Y/%m/%d %H:%M")
    except ValueError as error:
        bad = next(
            k for k, s in enumerate(stamps) if pd.isna(pd.to_datetime(s, format="%Y/%m/%d %H:%M", errors="coerce"))
        )
        raise UnreadableFileError(
            f"{name}: line {numbers[bad]}: {stamps[bad]!r} is not a time like 2017/05/01 13:00"
        ) from error
    found = np.array(values)
    return pd.DataFrame({"value": np.where(found <= MISSING, np.nan, found), "flag": flags}, index=time)


def _parse_ceop(lines: list[str], name: str) -> tuple[dict, pd.DataFrame]:
    """CEOP form: 15 fields a line, of which the first line names the station; the sensor is in the file's name."""
    expected = "two times, reference site, network, station, lat, lon, elevation, depth from, depth to, value, flags"
    words = lines[0].split()
    # a station's name may hold spaces: it ends where six numbers in a row begin
    at = next((k for k in range(6, len(words) - 6) if all(_is_number(w) for w in words[k + 1 : k + 7])), None)
    if at is None:
        raise UnreadableFileError(f"{name}: line 1: not CEOP ({expected}): {lines[0][:120]!r}")
    lat, lon, elevation, top, bottom = (float(w) for w in words[at + 1 : at + 6])
    parts = Path(name).stem.split("_")
    header = {
        "network": words[5], "station": " ".join(words[6 : at + 1]), "lat": lat, "lon": lon, "elevation": elevation,
        "top": top, "bottom": bottom, "sensor": parts[-3] if len(parts) > 5 else "",
    }  # fmt: skip
    return header, _values(lines, name, first=1, at=at + 6, expected=expected)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def texts(place: str | Path | Iterable[str], storage_options: dict | None = None) -> Iterable[tuple[str, str]]:
    """Every .stm file of a folder, a zip, or a list of addresses: (name, text)."""
    import fsspec

    if isinstance(place, str | Path):
        path = Path(place)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in sorted(n for n in archive.namelist() if n.endswith(".stm")):
                    yield name, archive.read(name).decode("utf-8", "replace")
            return
        addresses: list[str] = [str(p) for p in sorted(path.rglob("*.stm"))] if path.is_dir() else [str(path)]
    else:
        addresses = list(place)
    if addresses and "://" in addresses[0]:
        fs, _ = fsspec.core.url_to_fs(addresses[0], **(storage_options or {}))
        found = fs.cat([fs._strip_protocol(a) for a in addresses])
        for address in addresses:
            yield address, found[fs._strip_protocol(address)].decode("utf-8", "replace")
        return
    for address in addresses:
        yield address, Path(address).read_text(encoding="utf-8", errors="replace")


def variable_of(name: str) -> str:
    """The ISMN short name (`sm`, `ts`, ...) in a file name."""
    parts = Path(name).stem.split("_")
    at = next(
        (
            k
            for k in range(len(parts) - 1, 2, -1)
            if parts[k] in VARIABLES and k + 2 < len(parts) and _is_number(parts[k + 1])
        ),
        None,
    )
    return parts[at] if at is not None else ""


def open(
    place: str | Path | Iterable[str],
    *,
    variables: Iterable[str] = ("soil_moisture", "soil_temperature", "precipitation_flux"),
    storage_options: dict | None = None,
) -> xr.Dataset:
    """Stations of a folder, zip or list of files -> one Dataset (station, time) hourly; a station here is one sensor at one depth.

    Soil temperature and rain are those of the same station, the temperature at the nearest depth. `soil_moisture_flag` holds
    the network's own flags (C01 ... D10, G) as bits; nothing is removed by them.

    `attrs["failed"]` lists files that could not be read, each with its reason: one bad file does not stop the others.
    """
    wanted = {short: row for short, row in VARIABLES.items() if row[0] in set(variables)}
    if not wanted:
        raise VadoseInputError(
            f"variables {list(variables)} are none of ISMN's here: {sorted(r[0] for r in VARIABLES.values())}"
        )
    records: dict[str, list[tuple[dict, pd.DataFrame]]] = {}
    failed: list[str] = []
    for name, text in texts(place, storage_options):
        short = variable_of(name)
        if short not in wanted:
            continue
        try:
            header, table = parse(text, name)
        except UnreadableFileError as error:
            failed.append(str(error))
            continue
        records.setdefault(short, []).append((header, table[~table.index.duplicated()]))
    if not records:
        raise UnreadableFileError(
            f"no readable ISMN file with {', '.join(variables)} in {place!s:.200}"
            + (f"; first failure: {failed[0]}" if failed else "")
        )
    out = _assemble(records)
    out.attrs["failed"] = failed
    return tidy(out, product="ismn", source=out)


def _companion(head: dict, candidates: list[tuple[dict, pd.DataFrame]]) -> pd.DataFrame | None:
    """The record that belongs to a soil moisture sensor: of the same station, the nearest in depth."""
    same = [r for r in candidates if (r[0]["network"], r[0]["station"]) == (head["network"], head["station"])]
    if not same:
        return None
    return min(same, key=lambda r: (abs(r[0]["bottom"] - head["bottom"]), r[0]["sensor"] != head["sensor"]))[1]


def _assemble(records):
    """One station a soil moisture sensor (a sensor of the first variable where no soil moisture was asked for)."""
    lead = "sm" if "sm" in records else next(iter(records))
    time = pd.DatetimeIndex(sorted(set().union(*(t.index for rows in records.values() for _, t in rows))))
    heads = [head for head, _ in records[lead]]
    data = {}
    for short, rows in records.items():
        variable, factor, offset = VARIABLES[short]
        tables = [table for _, table in rows] if short == lead else [_companion(head, rows) for head in heads]
        values = np.full((len(heads), time.size), np.nan)
        bits = np.zeros(values.shape, "uint32")
        for k, table in enumerate(tables):
            if table is None:
                continue
            at = time.get_indexer(table.index)
            values[k, at] = table["value"].where(~table["flag"].str.startswith("M")) * factor + offset
            bits[k, at] = FLAGS.encode(table["flag"])
        data[variable] = cf.describe(xr.DataArray(values, dims=("station", "time")), variable)
        if short == "sm":
            data[f"{variable}_flag"] = xr.DataArray(bits, dims=("station", "time"), attrs=FLAGS.attrs())
            data[variable] = data[variable].assign_attrs(ancillary_variables=f"{variable}_flag")
    coords = {
        "time": time,
        "station": (
            "station",
            [f"{h['network']}/{h['station']}@{h['bottom']:.2f}m" for h in heads],
            {"cf_role": "timeseries_id"},
        ),
        "network": ("station", [h["network"] for h in heads]),
        "lat": ("station", [h["lat"] for h in heads]),
        "lon": ("station", [h["lon"] for h in heads]),
        "elevation": ("station", [h["elevation"] for h in heads]),
        "top": ("station", [h["top"] for h in heads], {"units": "m"}),
        "bottom": ("station", [h["bottom"] for h in heads], {"units": "m"}),
        "sensor": ("station", [h["sensor"] for h in heads]),
    }
    return xr.Dataset(data, coords=coords)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """A list of files handed over by the catalog (`attrs["files"]`) -> stations; an opened Dataset passes through."""
    return open(dataset.attrs["files"]) if "files" in dataset.attrs else dataset
