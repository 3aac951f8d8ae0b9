"""The demo world: a region with an arid west, a humid east and a frozen north, two years, about 160 MB in true product layouts.

`write_demo` writes it to a folder or an object store, once; what is already there stays, so it can be interrupted and run
again. `MANIFEST.json`, written last, says that it is whole and lists what a catalog must know.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose.world import layouts, observe, stations
from vadose.world.truth import make

BBOX = (-104.0, 34.0, -84.0, 56.0)
RESOLUTION = 0.5
START, END = "2017-01-01", "2018-12-31"
SEED = 42
VERSION = 2

Progress = Callable[[int, int, str], None]


def truth() -> xr.Dataset:
    """The demo's truth, computed anew (a few seconds)."""
    return make(BBOX, RESOLUTION, START, END, SEED)


def demo() -> xr.Dataset:
    """The demo's truth, kept in the user's cache folder (VADOSE_CACHE_DIR, else ~/.cache/vadose) after the first call."""
    folder = Path(
        os.environ.get("VADOSE_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vadose"
    )
    path = folder / f"demo-truth-v{VERSION}-{SEED}.nc"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=folder, suffix=".part")
        os.close(handle)
        try:
            truth().to_netcdf(partial)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
    return xr.load_dataset(path).set_coords("depth_bnds")


def write_demo(
    root: str, *, storage_options: dict[str, Any] | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the demo archive under `root` (a folder or an s3:// URL) and return its manifest.

    `progress(done, total, what)` hears of every file. Files already there are kept; each appears under its name only when
    it is whole. Raises OSError when the store cannot be written.
    """
    import fsspec

    fs, base = fsspec.core.url_to_fs(str(root), **(storage_options or {}))
    done = f"{base}/MANIFEST.json"
    if fs.exists(done):
        manifest = json.loads(fs.cat_file(done))
        if manifest.get("version") == VERSION:
            if progress:
                progress(1, 1, "already there")
            return manifest
    world = demo()
    with tempfile.TemporaryDirectory() as scratch:
        plan = list(_plan(world, Path(scratch)))
        present = set(fs.find(base)) if fs.exists(base) else set()
        for number, (name, write) in enumerate(plan, 1):
            target = f"{base}/{name}"
            if target not in present:
                local = Path(scratch) / "file" / Path(name).name
                local.parent.mkdir(exist_ok=True)
                write(local)
                _upload(fs, local, target)
            if progress:
                progress(number, len(plan), name)
        manifest = _manifest(world, [name for name, _ in plan], Path(scratch))
        local = Path(scratch) / "MANIFEST.json"
        local.write_text(json.dumps(manifest, indent=1))
        _upload(fs, local, done)
    return manifest


def _upload(fs, local: Path, target: str) -> None:
    """An object store shows an object only when it is whole; on a file system that takes a rename."""
    if "file" in (fs.protocol if isinstance(fs.protocol, tuple | list) else (fs.protocol,)):
        fs.makedirs(os.path.dirname(target), exist_ok=True)
        partial = f"{target}.{os.getpid()}.part"  # another process may write the same archive
        fs.put_file(str(local), partial)
        fs.mv(partial, target)
    else:
        fs.put_file(str(local), target)
    local.unlink()


def _plan(world: xr.Dataset, scratch: Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every file of the archive: its name under the root and how to write it to a local path."""
    lband, merged = observe.lband(world, seed=SEED), observe.merged(world, seed=SEED)
    reanalysis, land = observe.reanalysis(world, seed=SEED), observe.land_model(world, seed=SEED)
    for day in world.time.values:
        yield (
            layouts.smap_l3_name(day),
            lambda path, day=day: layouts.write_smap_l3(lband.sel(time=day), world.sel(time=day), path),
        )
    for month, group in _months(merged):
        yield (
            f"cci/ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-{month}-fv09.2.nc",
            lambda path, g=group: layouts.write_cci(g, path),
        )
    for month, group in _months(reanalysis):
        weather = world.sel(time=group.time.values)
        yield (
            f"era5-land/era5-land-daily-{month}.nc",
            lambda path, g=group, w=weather: layouts.write_era5_land(g, w, path),
        )
    for month, group in _months(land):
        yield (
            f"gldas/GLDAS_NOAH025_D.A{month}.021.nc4",
            lambda path, g=group: layouts.write_gldas(g, world.sel(time=g.time.values), path),
        )
    for number, (model, faults) in enumerate(MODELS.items()):
        run = observe.earth_system_model(world, faults=faults, seed=SEED + number, name=model)
        for variable in layouts.CMIP6_VARIABLES:
            yield (
                layouts.cmip6_name(model, variable, run),
                lambda path, r=run, v=variable, m=model: layouts.write_cmip6(r, v, path, model=m),
            )
    network = stations.network(world, 14, rng=SEED)
    for station in network.station.values:
        for name in layouts.ismn_names(network.sel(station=station)):
            yield f"ismn/{name}", lambda path, s=station, n=name: layouts.write_ismn(network.sel(station=s), n, path)
    towers = stations.half_hourly(stations.flux_towers(world, 3, rng=SEED))
    for tower in towers.station.values:
        yield (
            f"ameriflux/AMF_{tower}_BASE_HH_1-5.csv",
            lambda path, t=tower: layouts.write_ameriflux(towers.sel(station=t), path),
        )
    yield (
        "truth/truth.nc",
        lambda path: world.astype("float32").to_netcdf(
            path,
            encoding={
                v: {"zlib": True, "complevel": 4, "shuffle": True, "significant_digits": 5} for v in world.data_vars
            },
        ),
    )


#: Earth system models of the demo and the fault planted in each.
MODELS: dict[str, tuple[str, ...]] = {
    "SYN-GOOD": (),
    "SYN-DRY": ("dry_bias",),
    "SYN-LATE": ("late_season",),
    "SYN-DECOUPLED": ("wrong_relationship",),
    "SYN-SOUTHERN": ("missing_north",),
}


def _months(data: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    stamps = data.time.dt.strftime("%Y%m").values
    for month in dict.fromkeys(stamps):
        yield str(month), data.isel(time=np.flatnonzero(stamps == month))


#: Collection -> (title, reader, folder, variables, what it is). A catalog is built from this and the files.
COLLECTIONS: dict[str, tuple[str, str, str, tuple[str, ...], str]] = {
    "demo-smap-l3": (
        "Demo: SMAP-like L3 radiometer",
        "hdf5",
        "smap",
        ("soil_moisture",),
        "L-band soil moisture of the synthetic Earth on the 36 km EASE-Grid 2.0, in the layout of SPL3SMP",
    ),
    "demo-cci": (
        "Demo: CCI-like merged satellite record",
        "netcdf",
        "cci",
        ("soil_moisture",),
        "merged satellite soil moisture of the synthetic Earth, in the layout of ESA CCI COMBINED",
    ),
    "demo-era5-land": (
        "Demo: ERA5-Land-like reanalysis",
        "netcdf",
        "era5-land",
        ("soil_moisture", "soil_temperature", "air_temperature", "precipitation_flux", "snow_amount"),
        "reanalysis of the synthetic Earth, in the layout of ERA5-Land",
    ),
    "demo-gldas": (
        "Demo: GLDAS-like land model",
        "netcdf",
        "gldas",
        ("soil_moisture", "soil_temperature"),
        "land-surface model of the synthetic Earth, in the layout of GLDAS Noah",
    ),
    "demo-cmip6": (
        "Demo: Earth system models with planted faults",
        "netcdf",
        "cmip6",
        (
            "soil_moisture_content",
            "evapotranspiration_flux",
            "precipitation_flux",
            "air_temperature",
            "gross_primary_productivity",
        ),
        "five model runs, four with a known fault, in the layout of CMIP6",
    ),
    "demo-ismn": (
        "Demo: station network",
        "ismn",
        "ismn",
        ("soil_moisture", "soil_temperature", "precipitation_flux"),
        "hourly probes with planted spikes, drops, plateaus and frost, in the layout of ISMN header+values",
    ),
    "demo-ameriflux": (
        "Demo: flux towers",
        "csv",
        "ameriflux",
        ("latent_heat_flux", "sensible_heat_flux", "net_radiation", "soil_moisture"),
        "half-hourly tower data in local standard time, in the layout of AmeriFlux BASE",
    ),
    "demo-truth": (
        "Demo: the truth",
        "netcdf",
        "truth",
        ("soil_moisture", "precipitation_flux", "air_temperature"),
        "what really happened on the synthetic Earth; no real place has this",
    ),
}


def _manifest(world: xr.Dataset, names: list[str], scratch: Path) -> dict[str, Any]:
    west, south, east, north = BBOX
    collections = []
    for identifier, (title, reader, folder, variables, description) in COLLECTIONS.items():
        collections.append(
            {
                "id": identifier,
                "title": title,
                "description": description,
                "reader": reader,
                "hrefs": [n for n in names if n.startswith(f"{folder}/")],
                "variables": list(variables),
                "time": [START, END],
                "bbox": [west, south, east, north],
            }
        )
    return {"version": VERSION, "seed": SEED, "resolution": RESOLUTION, "collections": collections}
