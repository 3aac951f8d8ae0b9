"""From a catalog entry to a lazy Dataset as the files have it. Meaning (names, units, flags) is given by `vadose.products`.

One reader a value of `vadose:open`'s `reader`, in one table: a new format is a row.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

import vadose
from vadose.access import remote
from vadose.access.catalog import Catalog, TimeSpan, open_catalog, span
from vadose.access.credentials import Access
from vadose.access.stores import with_time
from vadose.errors import NotFoundError, UnreadableFileError, VadoseInputError, unknown_name
from vadose.typing import BBox

Purpose = Literal["auto", "map", "series"]
#: Up to this many degrees on a side a region counts as a few places, for which a copy chunked in time is faster.
FEW_PLACES = 3.0


@dataclass(frozen=True)
class Question:
    """What is asked of a reader: the collection, how it opens, which items, when and where."""

    catalog: Catalog
    entry: dict[str, Any]
    how: dict[str, Any]
    items: list[dict[str, Any]]
    time: TimeSpan
    bbox: BBox | None
    access: Access

    @property
    def hrefs(self) -> list[str]:
        return [i["assets"]["data"]["href"] for i in self.items]

    def place(self, href: str) -> str:
        """The address of something that lies beside the collection."""
        return self.catalog.place(self.entry["id"], href)


def storage_options(address: str) -> dict[str, Any]:
    """How fsspec reaches an address: keys and endpoint come from the environment, nothing is asked and nothing is stored."""
    if address.startswith("s3://"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        # s3fs asks five times; botocore within each would do so again, and wait a minute each time.
        limits = {"read_timeout": remote.patience(), "connect_timeout": 10, "retries": {"total_max_attempts": 1}}
        # s3fs keeps a client for ever where options are equal: keys that were set or changed since must make another one.
        # What no request knows it leaves out, so this stays here.
        options = {"config_kwargs": limits, "s3_additional_kwargs": {"vadose_keys": remote.keys_in_use()}}
        return options | ({"client_kwargs": {"endpoint_url": endpoint}} if endpoint else {})
    return {}


def open_raw(
    collection: str,
    *,
    time: TimeSpan = None,
    bbox: BBox | None = None,
    where: dict[str, Any] | None = None,
    catalog: Catalog | str | None = None,
    purpose: Purpose = "auto",
    requester_pays: bool = False,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The Dataset of a collection as its files have it, and the collection's `vadose:open` (which names the product).

    `where` narrows items by their properties, such as `{"cmip6:source_id": "SYN-GOOD"}`. Raises NotFoundError when nothing
    in the catalog answers, with what there is; AccessDeniedError where keys or consent to pay are missing.
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
    if purpose not in ("auto", "map", "series"):
        raise VadoseInputError(f"purpose is {purpose!r}; allowed: auto, map, series")
    access = Access.of(how, consent=requester_pays)
    needs_items = how["reader"] not in ("kerchunk", "icechunk", "zarr")
    needs_items = needs_items or bool(how.get("stores"))
    found: list[dict[str, Any]] = []
    if needs_items or (where and how.get("eras")):
        found = place.items(collection, bbox=bbox, time=time)
    elif how.get("eras"):
        found = place.sources(collection, time=time)
    found = [i for i in found if all(i["properties"].get(k) == v for k, v in (where or {}).items())]
    if needs_items and not found:
        raise _nothing(place, collection, entry, how, time, bbox, where)
    question = Question(place, entry, how, found, time, bbox, access)
    chosen = _series(question, purpose)
    dataset = chosen if chosen is not None else READERS[how["reader"]](question)
    dataset = _cut_time(dataset, time)
    dataset.attrs["vadose_provenance"] = json.dumps(_provenance(question, "series" if chosen is not None else "map"))
    return dataset, how


def _nothing(place, collection, entry, how, time, bbox, where) -> NotFoundError:
    address = entry.get("assets", {}).get("data", {}).get("href", "")
    if not place.items(collection):
        auth = how.get("store", {}).get("auth", "environment")
        needs = {
            "earthdata": "an Earthdata token (EARTHDATA_TOKEN)",
            "login": "your own download",
            "token": "a token (VADOSE_TOKEN)",
        }.get(auth, "no login")
        return NotFoundError(
            f"{collection} is described here, but none of its files are indexed. They are at {address} ({needs}); "
            f"index them with `vadose catalog build {collection}`, or your own copy with `vadose catalog add`"
        )
    first, last = entry["extent"]["temporal"]["interval"][0]
    return NotFoundError(
        f"{collection} has nothing for time={time!r}, bbox={bbox!r}, where={where!r}; it spans {first} to {last} and {entry['extent']['spatial']['bbox'][0]}"
    )


def _provenance(question: Question, purpose: str) -> dict[str, Any]:
    """What was opened: enough to open the same bytes again, or to see that they changed."""
    out = {
        "collection": question.entry["id"],
        "version": question.entry.get("version", ""),
        "catalog": question.catalog.href,
        "purpose": purpose,
        "items": [i["id"] for i in question.items][:1000],
        "software": f"vadose {vadose.__version__}",
    }
    etags = {
        i["id"]: i["properties"]["vadose:etag"] for i in question.items[:1000] if i["properties"].get("vadose:etag")
    }
    snapshots = {e["id"]: e["snapshot"] for e in question.how.get("eras", []) if "snapshot" in e}
    return out | ({"etags": etags} if etags else {}) | ({"snapshots": snapshots} if snapshots else {})


def _cut_time(dataset: xr.Dataset, time: TimeSpan) -> xr.Dataset:
    if "time" not in dataset.indexes or time is None:
        return dataset
    start, end = span(time)
    index: Any = dataset.indexes["time"]
    if hasattr(index, "to_datetimeindex") and index.dtype == object:
        index = index.to_datetimeindex(time_unit="ns")
    keep = ((index >= start) if start is not None else True) & ((index <= end) if end is not None else True)
    return dataset.isel(time=keep)


def _series(question: Question, purpose: Purpose) -> xr.Dataset | None:
    """The copy chunked in time, where there is one and the question is about few places."""
    copy = question.how.get("series")
    if copy is None:
        if purpose == "series":
            raise NotFoundError(
                f"{question.entry['id']} has no copy for long records; make one with `vadose catalog series {question.entry['id']}`, or leave purpose out"
            )
        return None
    box, region = question.bbox, copy.get("bbox")
    if region is not None and (box is None or not _within(box, region)):
        if purpose == "series":
            raise NotFoundError(
                f"{question.entry['id']}: its copy for long records covers {region} (west, south, east, north); ask for a bbox inside, or leave purpose out"
            )
        return None
    few = box is not None and (box[2] - box[0]) <= FEW_PLACES and (box[3] - box[1]) <= FEW_PLACES
    if purpose == "map" or (purpose == "auto" and not few):
        return None
    return open_zarr(question.place(copy["href"]), access=question.access, chunks={})


def _within(inner: Sequence[float], outer: Sequence[float]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def open_zarr(
    address: str, *, access: Access = remote.DEFAULT, group: str | None = None, chunks: Any = None
) -> xr.Dataset:
    """A Zarr store at any address as a lazy Dataset."""
    from vadose.access.chunkstore import raise_concurrency

    raise_concurrency()
    try:
        with (
            warnings.catch_warnings()
        ):  # Zarr 3 specifies no consolidated metadata: a store without it is as it should be
            warnings.filterwarnings(
                "ignore", message="Failed to open Zarr store with consolidated", category=RuntimeWarning
            )
            return xr.open_dataset(
                remote.zarr_store(address, access), engine="zarr", group=group, chunks=chunks, consolidated=None
            )
    except FileNotFoundError as error:
        raise UnreadableFileError(f"{address}: no Zarr store there: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("obstore"):
            raise remote.explain(error, address, access) from error
        raise


def _open_netcdf(question: Question) -> xr.Dataset:
    """Files side by side in time (or, where times repeat, by variable); each is opened lazily."""
    import fsspec

    parts = []
    for href in question.hrefs:
        question.access.check(href)
        try:
            local = href if "://" not in href else fsspec.open(href, "rb", **storage_options(href)).open()
            parts.append(
                xr.open_dataset(
                    local, engine="h5netcdf", group=question.how.get("group"), chunks=question.how.get("chunks", {})
                )
            )
        except FileNotFoundError as error:
            raise UnreadableFileError(f"{href}: the catalog lists it, the store does not have it") from error
        except OSError as error:
            raise UnreadableFileError(f"{href}: not a whole netCDF file: {error}") from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp"):
                raise UnreadableFileError(f"{href}: not read, though asked for again: {error}") from error
            raise
    if len(parts) == 1:
        return parts[0]
    names = [frozenset(p.data_vars) for p in parts]
    if len(set(names)) == 1:
        return xr.concat(parts, dim="time", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return xr.merge(parts, compat="override", join="exact", combine_attrs="drop_conflicts")


def _open_kerchunk(question: Question) -> xr.Dataset:
    """A virtual cube through references: no file is copied, chunks are read from where they lie.

    Eras are decoded each by its own scale, offset and fill, then laid end to end.
    """
    from vadose.access.chunkstore import open_references

    how = question.how
    chunks = how.get("chunks", {"time": 90} if how.get("eras") else {})
    options: dict[str, Any] = {"access": question.access, "locations": how.get("locations"), "group": how.get("group")}
    if "references" in how:
        # Sets of other makers leave chunks out that the producer never wrote.
        return open_references(question.place(how["references"]), chunks=chunks, absent="fill", **options)
    if not how.get("eras"):
        raise NotFoundError(f"{question.entry['id']} is not indexed yet: `vadose catalog build {question.entry['id']}`")
    start, end = span(question.time)
    wanted = [
        e
        for e in how["eras"]
        if (start is None or "end" not in e or _moment(e["end"]) >= start)
        and (end is None or "start" not in e or _moment(e["start"]) <= end)
    ]
    if not wanted:
        raise NotFoundError(f"{question.entry['id']} has nothing for time={question.time!r}")
    parts = [open_references(question.place(e["references"]), chunks=chunks, **options) for e in wanted]
    return join(parts, how.get("dim", "time"))


def join(parts: Sequence[xr.Dataset], dim: str = "time") -> xr.Dataset:
    """Eras end to end in time. Their grids must be the same; a variable that one lacks is empty there."""
    if len(parts) == 1:
        return parts[0]
    try:
        whole = xr.concat(
            parts,
            dim=dim,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except ValueError as error:
        raise VadoseInputError(
            f"its eras lie on different grids and cannot be one Dataset: {error}; ask for a time within one era"
        ) from error
    if dim not in whole.indexes:
        return whole
    return whole if whole.indexes[dim].is_monotonic_increasing else whole.sortby(dim)


def _moment(text: str):
    import pandas as pd

    return pd.Timestamp(text).tz_localize(None)


def _open_icechunk(question: Question) -> xr.Dataset:
    from vadose.access.virtual import open_icechunk

    address = question.entry["assets"]["data"]["href"]
    return open_icechunk(
        question.place(address),
        access=question.access,
        group=question.how.get("group"),
        chunks=question.how.get("chunks", {}),
    )


def _open_zarr(question: Question) -> xr.Dataset:
    how = question.how
    if how.get("stores"):
        parts = [
            with_time(
                open_zarr(h, access=question.access, group=how.get("group"), chunks=how.get("chunks", {})), h, how
            )
            for h in question.hrefs
        ]
        return join(parts, how.get("dim", "time"))
    address = question.entry["assets"]["data"]["href"]
    if address.endswith(".csv"):
        raise NotFoundError(
            f"{question.entry['id']} is a table of stores ({address}); pick a store there and open it with xarray"
        )
    return open_zarr(
        question.place(address),
        access=question.access,
        group=question.how.get("group"),
        chunks=question.how.get("chunks", {}),
    )


def _files_only(question: Question) -> xr.Dataset:
    """Text archives: the product reads the files itself; they are handed over by address."""
    return xr.Dataset(attrs={"files": list(question.hrefs)})


def _not_read(question: Question) -> xr.Dataset:
    raise UnreadableFileError(
        f"{question.entry['id']} comes as {question.how['reader']}, which vadose finds but does not read; open {question.hrefs[:1]} with rioxarray or pandas"
    )


#: Reader -> how it opens. Text archives (`ismn`, `csv`) hand addresses to their product.
READERS: dict[str, Callable[[Question], xr.Dataset]] = {
    "netcdf": _open_netcdf,
    "hdf5": _open_netcdf,
    "kerchunk": _open_kerchunk,
    "icechunk": _open_icechunk,
    "zarr": _open_zarr,
    "ismn": _files_only,
    "csv": _files_only,
    "cog": _not_read,
    "hdf4": _not_read,
    "parquet": _not_read,
}
