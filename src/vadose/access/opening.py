"""From a catalog entry to a lazy Dataset as the files have it. Meaning (names, units, flags) is given by `vadose.products`.

One reader a value of `vadose:open`'s `reader`, in one table: a new format is a row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

import vadose
from vadose.access.catalog import Catalog, TimeSpan, open_catalog, span
from vadose.errors import NotFoundError, PlatformError, UnreadableFileError, unknown_name
from vadose.typing import BBox


def storage_options(address: str) -> dict[str, Any]:
    """How to reach an address: keys and endpoint come from the environment, nothing is asked and nothing is stored."""
    if address.startswith("s3://"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return {"client_kwargs": {"endpoint_url": endpoint}} if endpoint else {}
    return {}


def open_raw(
    collection: str,
    *,
    time: TimeSpan = None,
    bbox: BBox | None = None,
    where: dict[str, Any] | None = None,
    catalog: Catalog | str | None = None,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The Dataset of a collection as its files have it, and the collection's `vadose:open` (which names the product).

    `where` narrows items by their properties, such as `{"cmip6:source_id": "SYN-GOOD"}`. Raises NotFoundError when nothing
    in the catalog answers, with what there is.
    """
    place = catalog if isinstance(catalog, Catalog) else open_catalog(catalog)
    entry = place.collection(collection)
    how = next((a["vadose:open"] for a in entry.get("assets", {}).values() if "vadose:open" in a), None)
    if how is None:
        raise NotFoundError(
            f"collection {collection!r} says nothing about how to open it; it is a description only: {entry.get('description', '')[:200]}"
        )
    if how["reader"] not in READERS:
        raise unknown_name("reader", how["reader"], READERS)
    found = [] if how["reader"] == "kerchunk" else place.items(collection, bbox=bbox, time=time)
    found = [i for i in found if all(i["properties"].get(k) == v for k, v in (where or {}).items())]
    if how["reader"] != "kerchunk" and not found:
        first, last = entry["extent"]["temporal"]["interval"][0]
        raise NotFoundError(
            f"{collection} has nothing for time={time!r}, bbox={bbox!r}, where={where!r}; it spans {first} to {last} and {entry['extent']['spatial']['bbox'][0]}"
        )
    dataset = READERS[how["reader"]](place, entry, how, [i["assets"]["data"]["href"] for i in found])
    if "time" in dataset.indexes and time is not None:
        start, end = span(time)
        index = dataset.indexes["time"]
        if hasattr(index, "to_datetimeindex") and index.dtype == object:
            index = index.to_datetimeindex(time_unit="ns")
        keep = ((index >= start) if start is not None else True) & ((index <= end) if end is not None else True)
        dataset = dataset.isel(time=keep)
    provenance = {
        "collection": collection,
        "catalog": place.href,
        "items": [i["id"] for i in found][:1000],
        "software": f"vadose {vadose.__version__}",
    }
    dataset.attrs["vadose_provenance"] = json.dumps(provenance)
    return dataset, how


def _open_netcdf(catalog: Catalog, entry: dict, how: dict, hrefs: Sequence[str]) -> xr.Dataset:
    """Files side by side in time (or, where times repeat, by variable); each is opened lazily."""
    import fsspec

    parts = []
    for href in hrefs:
        local = href if "://" not in href else fsspec.open(href, "rb", **storage_options(href)).open()
        try:
            parts.append(xr.open_dataset(local, engine="h5netcdf", chunks=how.get("chunks", {})))
        except FileNotFoundError as error:
            raise UnreadableFileError(f"{href}: the catalog lists it, the store does not have it") from error
        except OSError as error:
            raise UnreadableFileError(f"{href}: not a whole netCDF file: {error}") from error
    if len(parts) == 1:
        return parts[0]
    names = [frozenset(p.data_vars) for p in parts]
    if len(set(names)) == 1:
        return xr.concat(parts, dim="time", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return xr.merge(parts, compat="override", join="exact", combine_attrs="drop_conflicts")


def _open_kerchunk(catalog: Catalog, entry: dict, how: dict, hrefs: Sequence[str]) -> xr.Dataset:
    """A virtual cube through kerchunk references: no file is copied, chunks are read from where they lie."""
    address = how["references"]
    if address.startswith("./"):
        address = f"{catalog.href.rstrip('/')}/{'references/' if catalog.href.startswith('http') else ''}{entry['id']}/{address[2:]}"
    references = _fetch_json(address)
    target = next((v[0] for v in references["refs"].values() if isinstance(v, list)), "")
    options = storage_options(target)
    storage: dict[str, Any] = {
        "fo": references,
        "remote_protocol": "s3" if target.startswith("s3://") else "file",
        "remote_options": {**options, "asynchronous": True} if options else {},
    }
    if target.startswith("s3://"):
        storage["remote_options"]["asynchronous"] = True
    return xr.open_dataset(
        "reference://",
        engine="zarr",
        backend_kwargs={"consolidated": False, "storage_options": storage},
        chunks=how.get("chunks", {}),
    )


def _fetch_json(address: str) -> dict[str, Any]:
    if not address.startswith("http"):
        return json.loads(Path(address).read_text())
    import urllib.request

    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=60) as answer:
            return json.loads(answer.read())
    except OSError as error:
        raise PlatformError(f"the references {address} cannot be fetched: {error}") from error


def _files_only(catalog: Catalog, entry: dict, how: dict, hrefs: Sequence[str]) -> xr.Dataset:
    """Text archives: the product reads the files itself; they are handed over by address."""
    return xr.Dataset(attrs={"files": list(hrefs)})


#: Reader -> how it opens. Text archives (`ismn`, `csv`) hand addresses to their product.
READERS: dict[str, Callable[[Catalog, dict, dict, Sequence[str]], xr.Dataset]] = {
    "netcdf": _open_netcdf,
    "kerchunk": _open_kerchunk,
    "ismn": _files_only,
    "csv": _files_only,
}
