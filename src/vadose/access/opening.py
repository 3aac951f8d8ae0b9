"""From a catalog entry to a lazy Dataset as the files have it. Meaning (names, units, flags) is given by `vadose.products`.

One reader a value of `vadose:open`'s `reader`, in one table: a new format is a row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

import vadose
from vadose import ease
from vadose.access import remote
from vadose.access.blocks import LazyFile
from vadose.access.catalog import Catalog, TimeSpan, open_catalog, region, span, way_of
from vadose.access.credentials import Access
from vadose.access.stores import with_time
from vadose.errors import (
    NotFoundError,
    SourceChangedError,
    UnreadableFileError,
    VadoseError,
    VadoseInputError,
    unknown_name,
)
from vadose.typing import BBox

Purpose = Literal["auto", "map", "series"]
#: Up to this many degrees on a side a region counts as a few places, for which a copy chunked in time is faster.
FEW_PLACES = 3.0
#: Files that are opened one by one for one Dataset: more take minutes and a graph that nobody wants.
MOST_FILES = 2000


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
    each: Callable[[xr.Dataset], xr.Dataset] | None = None
    where: dict[str, Any] | None = None

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
    each: Callable[[xr.Dataset, str], xr.Dataset] | None = None,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The Dataset of a collection as its files have it, and the collection's `vadose:open` (which names the product).

    `each` gives a file its meaning where files are points of their own (`join: location`), before they are put end to end.
    `where` narrows items by their properties, such as `{"cmip6:source_id": "SYN-GOOD"}`. Raises NotFoundError when nothing
    in the catalog answers, with what there is; AccessDeniedError where keys or consent to pay are missing.
    """
    place = catalog if isinstance(catalog, Catalog) else open_catalog(catalog)
    entry = place.collection(collection)
    how = next((a["vadose:open"] for a in entry.get("assets", {}).values() if "vadose:open" in a), None)
    if how is None and _has_images(entry):
        how = {"version": 1, "reader": "cog", "product": None}
    if how is None:
        raise NotFoundError(
            f"collection {collection!r} says nothing about how to open it; it is a description only: {entry.get('description', '')[:200]}"
        )
    if how["reader"] not in READERS:
        raise unknown_name("reader", how["reader"], READERS)
    if purpose not in ("auto", "map", "series"):
        raise VadoseInputError(f"purpose is {purpose!r}; allowed: auto, map, series")
    span(time)
    bbox = region(bbox)
    access = Access.of(how, consent=requester_pays)
    needs_items = how["reader"] not in ("kerchunk", "icechunk", "zarr")
    needs_items = needs_items or bool(how.get("stores"))
    if where and not needs_items and not _is_table(entry):
        raise VadoseInputError(
            f"{collection} is one cube, not files to choose among: where={where!r} means nothing here; leave it out, "
            "and choose with time, bbox and variables"
        )
    found: list[dict[str, Any]] = []
    if needs_items:
        found = place.items(collection, bbox=bbox, time=time)
    elif how.get("eras"):
        found = place.sources(collection, time=time)
    found = [i for i in found if all(i["properties"].get(k) == v for k, v in (where or {}).items())]
    if needs_items and not found:
        raise _nothing(place, collection, entry, how, time, bbox, where)
    _alike(found, how, collection)
    product = how.get("product")
    meaning = (lambda one: each(one, product)) if each and product and how.get("join") == "location" else None
    question = Question(place, entry, how, found, time, bbox, access, meaning, where)
    chosen = _series(question, purpose)
    dataset = chosen if chosen is not None else READERS[how["reader"]](question)
    dataset = cut_time(dataset, time, collection)
    dataset.attrs["vadose_provenance"] = json.dumps(_provenance(question, "series" if chosen is not None else "map"))
    return dataset, how


def _has_images(entry: dict[str, Any]) -> bool:
    """Whether a collection that others described says that its items are GeoTIFFs."""
    return any("image/tiff" in str(a.get("type", "")) for a in entry.get("item_assets", {}).values())


def _alike(items: Sequence[dict[str, Any]], how: dict[str, Any], collection: str) -> None:
    """Refuse to join what is not the same thing: two models, two tiles."""
    for key in how.get("alike", ()):
        there = sorted({str(i["properties"].get(key)) for i in items})
        if len(there) > 1:
            raise VadoseInputError(
                f"{collection}: files of {len(there)} different {key} would be joined; choose one with where={{{key!r}: {there[0]!r}}} "
                f"(there are {', '.join(there[:12])})"
            )


def _is_table(entry: dict[str, Any]) -> bool:
    """Whether a collection's stores stand in a table, of which `where` chooses rows."""
    return str(entry.get("assets", {}).get("data", {}).get("href", "")).endswith(".csv")


def _nothing(place, collection, entry, how, time, bbox, where) -> NotFoundError:
    there = place.items(collection)
    if not there:
        return _not_indexed(collection, entry, how)
    for key, value in (where or {}).items():
        known = {str(i["properties"][key]) for i in there if i["properties"].get(key) is not None}
        if not known:
            keys = {k for i in there for k, v in i["properties"].items() if v is not None}
            return unknown_name(f"property of the items of {collection}", key, keys)
        if str(value) not in known:
            return unknown_name(f"value of {key}", value, known)
    first, last = entry["extent"]["temporal"]["interval"][0]
    return NotFoundError(
        f"{collection} has nothing for time={time!r}, bbox={bbox!r}, where={where!r}; it spans {first} to {last} and {entry['extent']['spatial']['bbox'][0]}"
    )


def _not_indexed(collection: str, entry: dict[str, Any], how: dict[str, Any]) -> NotFoundError:
    """What to do first, which differs: an index of files where they lie, a search, a download, another product."""
    address = entry.get("assets", {}).get("data", {}).get("href", "")
    auth = how.get("store", {}).get("auth", "environment")
    needs = {
        "earthdata": "an Earthdata token (EARTHDATA_TOKEN)",
        "login": "your own download",
        "token": "a token (VADOSE_TOKEN)",
    }
    build = f"vadose catalog build {collection}"
    steps = {
        "index": f"index them with `{build}`, or a copy of your own with `{build} --source FOLDER`",
        "search": f"index the scenes of a search with `{build} --source SEARCH` (`vadose catalog show {collection}` writes one), or your own download with `--source FOLDER`",
        "download": f"download what you need and index it with `{build} --source FOLDER`",
        "described": f"`vadose catalog show {collection}` says why, and what to take instead",
    }
    way = way_of(entry, 0)
    words = "are not opened by vadose as they come" if way == "described" else "are not indexed"
    return NotFoundError(
        f"{collection} is described here, but its files {words}. They are at {address} ({needs.get(auth, 'no login')}); {steps.get(way, steps['index'])}"
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


def cut_time(dataset: xr.Dataset, time: TimeSpan, collection: str) -> xr.Dataset:
    """The steps within a time. NotFoundError where there is none, with what there is."""
    if "time" not in dataset.indexes or time is None:
        return dataset
    index: Any = dataset.indexes["time"]
    ends: list[Any] = list(span(time))
    if index.dtype == object:  # a calendar of its own may have days that no other has: dates are compared as written
        index, ends = np.array([t.isoformat() for t in index]), [t and t.isoformat() for t in ends]
    start, end = ends
    keep = ((index >= start) if start is not None else True) & ((index <= end) if end is not None else True)
    if not np.any(keep):
        has = f"it has {len(index)} steps from {index[0]} to {index[-1]}" if len(index) else "it has no step at all"
        raise NotFoundError(f"{collection} has nothing for time={time!r}; {has}")
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
    box, covered = question.bbox, copy.get("bbox")
    if covered is not None and (box is None or not _within(box, covered)):
        if purpose == "series":
            raise NotFoundError(
                f"{question.entry['id']}: its copy for long records covers {covered} (west, south, east, north); ask for a bbox inside, or leave purpose out"
            )
        return None
    few = box is not None and 0 <= box[2] - box[0] <= FEW_PLACES and box[3] - box[1] <= FEW_PLACES
    if purpose == "map" or (purpose == "auto" and not few):
        return None
    return open_zarr(question.place(copy["href"]), access=question.access, chunks={})


def _within(inner: Sequence[float], outer: Sequence[float]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def open_zarr(
    address: str, *, access: Access = remote.DEFAULT, group: str | None = None, chunks: Any = None
) -> xr.Dataset:
    """A Zarr store at any address as a lazy Dataset."""
    from vadose.access.chunkstore import Named, calm, raise_concurrency

    raise_concurrency()
    calm()
    store: Any = remote.zarr_store(address, access)
    if not remote.is_local(address):
        store = Named(store, address, access)
    try:
        return xr.open_dataset(store, engine="zarr", group=group, chunks=chunks, consolidated=None)
    except FileNotFoundError as error:
        raise UnreadableFileError(f"{address}: no Zarr store there: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("obstore"):
            raise remote.explain(error, address, access) from error
        raise


def _open_netcdf(question: Question) -> xr.Dataset:
    """Files side by side: along the dimension that the collection names, else in time, and variables beside each other."""
    how = question.how
    if how.get("join") and len(question.items) > MOST_FILES:
        raise VadoseInputError(
            f"{question.entry['id']}: {len(question.items)} files would be opened one by one; ask for a time, a bbox or where= "
            f"that leaves at most {MOST_FILES}"
        )
    parts = []
    for item, href in zip(question.items, question.hrefs, strict=True):
        one = open_file(href, access=question.access, group=how.get("group"), chunks=how.get("chunks", {}))
        one = _on_named_dims(one, {int(k): tuple(v) for k, v in how.get("dims", {}).items()}, how.get("grid"))
        if how.get("time_of") == "item" and how.get("join") == "time" and "time" not in one.dims:
            one = one.expand_dims(time=[_moment(item["properties"]["start_datetime"]).to_datetime64()])
        parts.append(question.each(one) if question.each else one)
    if how.get("join") == "location":
        return _end_to_end(parts, "location")
    return _once_a_time(_by_variables(parts), question)


def _once_a_time(dataset: xr.Dataset, question: Question) -> xr.Dataset:
    """Refuse files that hold the same times: they are of different models, runs or versions, and one Dataset would mix them."""
    index = dataset.indexes.get("time")
    if index is None or index.is_unique:
        return dataset
    keys = sorted(
        {k for i in question.items for k, v in i["properties"].items() if v is not None and "datetime" not in k}
    )
    choose = "where={" + f"{keys[0]!r}: ...}}" + f" (items tell {', '.join(keys)})" if keys else "another bbox"
    raise VadoseInputError(
        f"{question.entry['id']}: {len(question.items)} files hold the same times, first {index[index.duplicated()][0]}, and would be mixed; choose with {choose}"
    )


def open_file(href: str, *, access: Access = remote.DEFAULT, group: str | None = None, chunks: Any = None) -> xr.Dataset:  # fmt: skip
    """One netCDF-4 or HDF5 file, wherever it lies, lazily; errors name it, those of a computation later too."""
    try:
        if remote.is_local(href):
            source: Any = remote.local_path(href)
        else:
            source = LazyFile(remote.stat(href, access), access)
        return xr.open_dataset(source, engine="h5netcdf", group=group, chunks=chunks, phony_dims="sort")
    except (FileNotFoundError, SourceChangedError) as error:
        raise UnreadableFileError(f"{href}: the catalog lists it, the store does not have it: {error}") from error
    except VadoseError:
        raise
    except (OSError, KeyError) as error:
        raise UnreadableFileError(f"{href}: not a whole netCDF or HDF5 file{f' with the group {group}' if group else ''}: {error}") from error  # fmt: skip


def _on_named_dims(one: xr.Dataset, dims: dict[int, tuple[str, ...]], grid: str | None = None) -> xr.Dataset:
    """Dimensions without names (HDF5) by the rank of their variables, degrees of an EASE-Grid 2.0 where `grid` names it; rows and
    columns become points where they are told to.
    """
    for rank in sorted(dims, reverse=True):
        for array in one.data_vars.values():
            if array.ndim == rank and any(str(d).startswith("phony_dim") for d in array.dims):
                renamed = {d: n for d, n in zip(array.dims, dims[rank], strict=True) if d != n and str(d).startswith("phony")}  # fmt: skip
                one = one.rename({d: n for d, n in renamed.items() if d in one.dims and n not in one.dims})
                break
    if grid and {"y", "x"} <= set(one.dims) and "lat" not in one.variables:
        lat, lon = ease.centers(grid)
        one = one.assign_coords(lat=("y", lat), lon=("x", lon))
    if {"location_y", "location_x"} <= set(one.dims):
        one = one.stack(location=("location_y", "location_x"), create_index=False)
    return one


def _end_to_end(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Points of several files as one list; times that only some of them have are empty in the others, flags are 0 there."""
    if len(parts) == 1:
        return parts[0]
    names = set.intersection(*(set(p.variables) for p in parts))
    kept = [p[[n for n in p.data_vars if n in names]] for p in parts]
    fill = {
        n: 0 if n.endswith("_flag") else np.nan for n in map(str, kept[0].data_vars) if kept[0][n].dtype.kind != "M"
    }
    return xr.concat(
        kept, dim, data_vars="minimal", coords="minimal", compat="override", join="outer", fill_value=fill, combine_attrs="override"
    )  # fmt: skip


def _by_variables(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Files of the same variables joined in time, then those of different ones beside each other."""
    if len(parts) == 1:
        return parts[0]
    groups: dict[frozenset[Any], list[xr.Dataset]] = {}
    for part in parts:
        groups.setdefault(frozenset(part.data_vars), []).append(part)
    joined = [
        g[0]
        if len(g) == 1
        else xr.concat(g, dim="time", data_vars="minimal", coords="minimal", compat="override", join="exact")
        for g in groups.values()
    ]
    if len(joined) == 1:
        return joined[0]
    return xr.merge(joined, compat="override", join="exact", combine_attrs="drop_conflicts")


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
        from vadose.access.store_table import stores

        found = stores(question.place(address), question.where, question.access)
        return _by_variables([open_zarr(h, access=question.access, chunks=how.get("chunks", {})) for h in found])
    return open_zarr(
        question.place(address),
        access=question.access,
        group=question.how.get("group"),
        chunks=question.how.get("chunks", {}),
    )


def _files_only(question: Question) -> xr.Dataset:
    """Text archives: the product reads the files itself; they are handed over by address."""
    return xr.Dataset(attrs={"files": list(question.hrefs)})


def _open_images(question: Question) -> xr.Dataset:
    """Bands of GeoTIFFs as variables, items as times; one tile, one projection."""
    from vadose.access.images import open_images

    return open_images(question.items, access=question.access, chunks=question.how.get("chunks"))


def _open_parquet(question: Question) -> xr.Dataset:
    """Tables: handed over to their product by address; without a product their columns along `row`."""
    if question.how.get("product"):
        return _files_only(question)
    import io

    import pandas as pd

    tables = [pd.read_parquet(io.BytesIO(remote.read(h, access=question.access))) for h in question.hrefs]
    return xr.Dataset.from_dataframe(pd.concat(tables, ignore_index=True).rename_axis("row"))


def _not_read(question: Question) -> xr.Dataset:
    """HDF4: no library that reads it comes with vadose, and the same products come as GeoTIFFs and HDF5."""
    raise UnreadableFileError(
        f"{question.entry['id']} comes as HDF4, which vadose does not read. Take the same product as cloud-optimized GeoTIFF "
        "(Planetary Computer: modis-13A1-061, modis-16A3GF-061 ...; NASA AppEEARS) and index it: vadose catalog add my-modis "
        "'PATH/*BAND*.tif' --format tiff --time-pattern '(\\d{7})' --time-format %Y%j, or convert the files with gdal_translate"
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
    "cog": _open_images,
    "parquet": _open_parquet,
    "hdf4": _not_read,
}
