"""intake as another door to the catalog: intake-stac works on it with today's intake, pystac and setuptools.

intake-stac 0.4 (2022) asks for `pkg_resources`, which setuptools no longer ships, and knows neither reference sets nor
today's Zarr media types. `patch()` mends both in memory; nothing of it touches `vadose.open`, which does not use intake.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from intake.source.base import DataSource

if TYPE_CHECKING:
    from vadose.access.catalog import Catalog

MEDIA_TYPES = (
    "application/json",
    "application/vnd.apache.parquet",
    "application/vnd.zarr",
    "application/vnd.zarr; version=2",
    "application/vnd.zarr; version=3",
    "application/vnd.zarr+icechunk",
    "application/x-hdf5",
    "application/x-netcdf",
    "application/netcdf",
)


class VirtualSource(DataSource):
    """One asset as a lazy Dataset, whatever it is: references (JSON, parquet), icechunk, Zarr, netCDF, HDF5."""

    name = "vadose_virtual"
    container = "xarray"
    version = "1"
    partition_access = False

    def __init__(
        self, urlpath: str, chunks: Any = None, metadata: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.urlpath, self.chunks, self.options = urlpath, chunks if chunks is not None else {}, options
        super().__init__(metadata=metadata)

    def to_dask(self) -> xr.Dataset:
        """The Dataset, with Dask arrays."""
        return open_asset(self.urlpath, chunks=self.chunks, **self.options)

    def read(self) -> xr.Dataset:
        """The Dataset, in memory."""
        return self.to_dask().load()


def open_asset(address: str, *, chunks: Any = None, group: str | None = None, **options: Any) -> xr.Dataset:
    """What lies at an asset's address, as its files have it."""
    from vadose.access.chunkstore import open_references
    from vadose.access.opening import open_zarr
    from vadose.access.virtual import open_icechunk

    plain = address.removeprefix("file://").rstrip("/")
    if plain.endswith((".parq", ".json", ".json.gz")):
        return open_references(plain, chunks=chunks, group=group, absent="fill" if plain.endswith("json") else "refuse")
    if plain.endswith(".icechunk"):
        return open_icechunk(plain, group=group, chunks=chunks)
    if ".zarr" in Path(plain).name:
        return open_zarr(plain, group=group, chunks=chunks)
    return xr.open_dataset(plain, engine="h5netcdf", group=group, chunks=chunks)


def patch() -> Any:
    """Make intake-stac importable and teach it the media types; returns its module. Safe to call again."""
    try:
        import pkg_resources  # noqa: F401
    except Exception:
        stub: Any = types.ModuleType("pkg_resources")
        stub.DistributionNotFound = importlib.metadata.PackageNotFoundError
        stub.get_distribution = lambda name: importlib.metadata.distribution(name.replace("_", "-"))
        sys.modules["pkg_resources"] = stub
    import intake_stac.catalog
    from intake.source import register_driver

    register_driver("vadose_virtual", VirtualSource, clobber=True)
    for media in MEDIA_TYPES:
        intake_stac.catalog.drivers[media] = "vadose_virtual"
    known = intake_stac.catalog.StacAsset._get_args
    if not hasattr(known, "absolute"):

        def with_whole_address(self: Any, asset: Any, driver: Any) -> dict[str, Any]:
            return known(self, asset, driver) | {"urlpath": asset.get_absolute_href() or asset.href}

        with_whole_address.absolute = True  # type: ignore[attr-defined]
        intake_stac.catalog.StacAsset._get_args = with_whole_address
    return intake_stac


def open_vadose_stac(href: str | Path | None = None) -> Any:
    """The catalog as an intake catalog: `cat["smap-l3"].get_asset("references-0").to_dask()`. The configured one when None.

    A folder, a static catalog's address or file, or a STAC API. UnreadableFileError or PlatformError where there is none.
    """
    module = patch()
    from vadose.access.catalog import open_catalog

    if href is not None and str(href).startswith("http") and str(href).endswith(".json"):
        return module.catalog.StacCatalog.from_url(str(href))
    place = open_catalog(href)
    if place.href.startswith("http"):
        return module.catalog.StacCatalog(_served(place))
    return module.catalog.StacCatalog.from_url(str(Path(place.href) / "catalog.json"))


def _served(place: Catalog) -> Any:
    """The collections of a STAC API as children of one catalog: pystac and intake-stac look for links, which an API does not give."""
    import pystac

    root = pystac.Catalog("vadose", "collections of a STAC API", href=place.href)
    for identifier, collection in place.collections.items():
        made = pystac.Collection.from_dict({**collection, "links": []})
        root.add_child(made)
        made.set_self_href(f"{place.href}/collections/{identifier}")
    return root


class VadoseStac(DataSource):
    """Entry for `intake.open_vadose_stac(href)`."""

    name = "vadose_stac"
    container = "catalog"
    version = "1"
    partition_access = False

    def __new__(cls, href: str | None = None, **_: Any) -> Any:
        return open_vadose_stac(href)
