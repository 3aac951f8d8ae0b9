"""Images of many bands (GeoTIFF, cloud optimized or not) as one lazy Dataset: bands are variables, items are times.

Only headers are read when it is opened, some kilobytes a file; tiles come by range reads when they are computed. Images of
different tiles or projections are never put on one grid: which there are is said, and how one is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from vadose.access import references, remote
from vadose.access.credentials import Access
from vadose.access.files import header
from vadose.access.remote import Stat
from vadose.access.scan import Variable, fingerprint
from vadose.access.tiff import scan_tiff
from vadose.errors import UnreadableFileError, VadoseInputError

if TYPE_CHECKING:
    import xarray as xr

#: Attribute that says whether a band's scale stood in its file (and was applied).
SCALED = "scaled_by_file"
#: Headers asked for at the same time.
AT_ONCE = 32
#: Roles of assets that are no data.
NO_DATA = {"thumbnail", "overview", "metadata", "visual"}


def bands(item: dict[str, Any]) -> dict[str, str]:
    """Assets of an item that are GeoTIFF bands: name -> address."""
    out = {}
    for name, asset in item["assets"].items():
        if not asset or not asset.get("href"):  # another item of the collection has it
            continue
        form = f"{asset.get('type', '')} {asset['href'].split('?')[0].lower()}"
        if ("tiff" in form or form.endswith(".tif")) and not NO_DATA & set(asset.get("roles") or ()):
            out[name] = asset["href"]
    return out


def open_images(items: Sequence[dict[str, Any]], *, access: Access = remote.DEFAULT, chunks: Any = None) -> xr.Dataset:
    """Items of one tile as a Dataset (time, y, x), one variable a band; scale, offset and missing value as the files say.

    `x`, `y` are the centers of columns and rows in the projection that `attrs["crs"]` names. VadoseInputError where items lie on
    different grids, with the choices; UnreadableFileError where an item has no bands or a file is no GeoTIFF.
    """
    import pandas as pd
    import xarray as xr

    wanted = [(k, name, href) for k, item in enumerate(items) for name, href in bands(item).items()]
    if not wanted:
        raise UnreadableFileError(
            f"{items[0]['id']}: no asset of it is a GeoTIFF; it has {', '.join(items[0]['assets'])}"
        )

    def look(entry: tuple[int, str, str]) -> tuple[Stat, dict[str, Variable]]:
        href = entry[2]
        stat = remote.stat(href, access)
        with header(href, access, stat) as handle:
            return stat, scan_tiff(handle, href)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        scans = list(pool.map(look, wanted))
    times = pd.to_datetime([i["properties"].get("datetime") or i["properties"]["start_datetime"] for i in items])
    moments = times.tz_localize(None) if times.tz is not None else times
    stamps = moments.to_numpy().astype("datetime64[ns]")
    names = list(dict.fromkeys(name for _, name, _ in wanted))
    parts: list[xr.Dataset] = []
    grids: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for name in names:
        mine = [(k, stat, scan) for (k, n, _), (stat, scan) in zip(wanted, scans, strict=True) if n == name]
        for k, _, scan in mine:
            grids.setdefault(_grid(scan), []).append(items[k])
        if len(grids) == 1:
            parts.append(_band(name, mine, stamps, access, chunks))
    if len(grids) > 1:
        _several(grids)
    out = xr.merge(parts, join="outer", compat="override", combine_attrs="drop_conflicts", fill_value=np.nan)
    crs = next((v.attrs["crs"] for v in out.data_vars.values() if "crs" in v.attrs), None)
    return out.assign_attrs({"crs": crs} if crs else {})


def _grid(scan: dict[str, Variable]) -> tuple[Any, ...]:
    """What must be the same in images of one Dataset: projection, rows and columns."""
    data = scan["data"]
    axes = [v for n, v in scan.items() if n != "data"]
    ends = tuple((v.name, v.shape, *np.frombuffer(v.inline or b"", v.dtype)[[0, -1]].tolist()) for v in axes)
    return (data.attrs.get("crs"), *ends)


def _several(grids: dict[tuple[Any, ...], list[dict[str, Any]]]) -> None:
    """Refuse to mix grids: name them, and a property that tells them apart."""
    groups = list(grids.values())
    shown = []
    for grid, members in grids.items():
        shape = " x ".join(str(part[1][0]) for part in grid[1:]) or "without places"
        shown.append(f"{grid[0] or 'no EPSG code'}, {shape} ({len({i['id'] for i in members})} items, such as {members[0]['id']})")  # fmt: skip
    said = [{k: {str(i["properties"].get(k)) for i in g} for k in g[0]["properties"]} for g in groups]
    telling = [k for k in said[0] if all(len(s.get(k, ())) == 1 for s in said) and len({*(next(iter(s[k])) for s in said)}) == len(said)]  # fmt: skip
    best = next((k for k in telling if "tile" in k or "grid" in k), next(iter(t for t in telling if "proj" in t), None))
    choice = ""
    if best:
        values = sorted(next(iter(s[best])) for s in said)
        choice = f"; choose one with where={{{best!r}: {values[0]!r}}} (there are {', '.join(values[:8])})"
    raise VadoseInputError(
        f"images of {len(groups)} grids cannot be one Dataset: {'; '.join(shown[:6])}{choice or '; ask for a smaller bbox, or bands of one resolution with variables='}"
    )


def _band(name: str, mine: Sequence[tuple[int, Stat, dict[str, Variable]]], stamps: np.ndarray, access: Access, chunks: Any) -> xr.Dataset:  # fmt: skip
    """One band of all items, in order of time; files that are packed in another way are decoded apart and joined after."""
    import xarray as xr

    from vadose.access.chunkstore import JsonReferences, ReferenceStore

    alike: dict[str, list[tuple[int, Stat, dict[str, Variable]]]] = {}
    seen: set[int] = set()
    for k, stat, scan in sorted(mine, key=lambda entry: (stamps[entry[0]], entry[0])):
        if int(stamps[k].astype("int64")) in seen:
            continue  # the same moment again: a second version of an image
        seen.add(int(stamps[k].astype("int64")))
        alike.setdefault(fingerprint({"data": scan["data"]}), []).append((k, stat, scan))
    parts = []
    for members in alike.values():
        scan = members[0][2]
        data = scan["data"]
        dims = list(data.dims or ())
        axes = {n: ((n,), np.frombuffer(v.inline or b"", v.dtype), v.attrs) for n, v in scan.items() if n != "data"}
        seconds = np.array([stamps[k].astype("datetime64[s]").astype("int64") for k, _, _ in members])
        axes["time"] = (("time",), seconds, {"units": "seconds since 1970-01-01", "calendar": "standard"})
        refs = references.stack([(s.href, {name: _named(v["data"], name)}) for _, s, v in members], dim="time", dims={"*": dims}, coords=axes)  # fmt: skip
        held = JsonReferences(refs, f"images of {name}")
        held.sources = {s.href: s for _, s, _ in members if s.etag}
        store: Any = ReferenceStore(held, access, absent="fill")
        part = xr.open_dataset(store, engine="zarr", consolidated=False, zarr_format=2, chunks=chunks or {})
        part[name].attrs[SCALED] = int("scale_factor" in data.attrs)
        parts.append(part)
    return parts[0] if len(parts) == 1 else xr.concat(parts, "time", join="exact", combine_attrs="override").sortby("time")  # fmt: skip


def _named(v: Variable, name: str) -> Variable:
    from dataclasses import replace

    return replace(v, name=name)
