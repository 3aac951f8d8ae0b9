"""`vadose.open`: a catalog entry to a lazy Dataset with canonical names, units, layers and flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from vadose.access.catalog import Catalog, TimeSpan, region
from vadose.access.opening import Purpose, cut_time, open_raw
from vadose.errors import NotFoundError, unknown_name
from vadose.products import standardize
from vadose.typing import BBox


def open_product(
    collection: str,
    *,
    time: TimeSpan = None,
    bbox: BBox | None = None,
    variables: Sequence[str] | str | None = None,
    where: dict[str, Any] | None = None,
    catalog: Catalog | str | None = None,
    purpose: Purpose = "auto",
    requester_pays: bool = False,
) -> xr.Dataset:
    """Open a collection of the catalog, lazily.

    Parameters
    ----------
    collection : its id, as `vadose.search()` lists them.
    time : "2017", "2017-05/2017-09", a pair of dates; everything when None.
    bbox : west, south, east, north [degrees]; a west greater than the east spans the date line.
    variables : canonical names to keep, or one of them; all when None.
    where : item properties that must hold, such as {"cmip6:source_id": "SYN-GOOD"}.
    catalog : another catalog than the configured one.
    purpose : "map" reads the producer's files, "series" a copy chunked in time where one was made; "auto" takes the copy for
        regions of a few degrees.
    requester_pays : agree that reading is billed to your AWS account, where an archive asks for it.

    Returns
    -------
    Dataset with canonical names and units; `attrs["vadose_provenance"]` says what was opened. NotFoundError when the
    catalog has no such collection, time, place or variable: it names what there is. VadoseInputError for a time or bbox that
    makes no sense.
    """
    bbox = region(bbox)
    raw, how = open_raw(
        collection, time=time, bbox=bbox, where=where, catalog=catalog, purpose=purpose, requester_pays=requester_pays,
        each=standardize,
    )  # fmt: skip
    # A collection without a product opens with its producer's names; points got their meaning file by file.
    given = not how.get("product") or how.get("join") == "location"
    out = raw if given else standardize(raw, how["product"])
    if "time" not in raw.indexes:  # tables and text: they have a time only now
        out = cut_time(out, time, collection)
    if bbox is not None:
        whole, out = out, cut(out, bbox)
        empty = [d for d in out.dims if out.sizes[d] == 0 and whole.sizes[d] > 0]
        if empty:
            raise NotFoundError(
                f"{collection} has nothing inside bbox={bbox!r} (west, south, east, north){_reach(whole)}; take a wider one"
            )
    if variables is not None:
        variables = [variables] if isinstance(variables, str) else variables
        for name in variables:
            if name not in out:
                raise unknown_name(f"variable of {collection}", name, out.data_vars)
        linked = {
            a for name in variables for a in str(out[name].attrs.get("ancillary_variables", "")).split() if a in out
        }
        out = out[[*dict.fromkeys([*variables, *sorted(linked)])]]
    return out


def _reach(dataset: xr.Dataset) -> str:
    """How far a Dataset's places lie, in words; nothing where they are not known."""
    if not {"lat", "lon"} <= set(dataset.variables):
        return ""
    west, south, east, north = (
        float(v) for v in (dataset.lon.min(), dataset.lat.min(), dataset.lon.max(), dataset.lat.max())
    )
    return f"; its places lie within {west:g}, {south:g}, {east:g}, {north:g}"


def cut(dataset: xr.Dataset, bbox: BBox) -> xr.Dataset:
    """The part inside west, south, east, north, whatever the grid: regular, projected rows and columns, or points."""
    west, south, east, north = bbox
    if "lat" not in dataset.variables:
        return _cut_projected(dataset, bbox)
    inside_lat = (dataset.lat >= south) & (dataset.lat <= north)
    inside_lon = (
        (dataset.lon >= west) & (dataset.lon <= east) if west <= east else (dataset.lon >= west) | (dataset.lon <= east)
    )
    if dataset.lat.dims == dataset.lon.dims and dataset.lat.ndim == 1:
        return dataset.isel({dataset.lat.dims[0]: (inside_lat & inside_lon).values})
    if dataset.lat.ndim == 1:
        return dataset.isel({dataset.lat.dims[0]: inside_lat.values, dataset.lon.dims[0]: inside_lon.values})
    return dataset.where((inside_lat & inside_lon).compute(), drop=True)


def _cut_projected(dataset: xr.Dataset, bbox: BBox) -> xr.Dataset:
    """Rows and columns that a box of degrees covers, where x and y are in a projection that the Dataset names."""
    if "crs" not in dataset.attrs or not {"x", "y"} <= set(dataset.indexes):
        return dataset
    from pyproj import Transformer

    move = Transformer.from_crs("EPSG:4326", dataset.attrs["crs"], always_xy=True)
    left, bottom, right, top = move.transform_bounds(*bbox, densify_pts=51)
    inside_x = (dataset.x >= left) & (dataset.x <= right)
    inside_y = (dataset.y >= bottom) & (dataset.y <= top)
    return dataset.isel(x=inside_x.values, y=inside_y.values)
