"""Catalog and access beside kerchunk, VirtualiZarr, icechunk and the bare reads, on SMAP-like files behind 30 ms of latency.

The files (47 variables a group, 406 x 964 cells, four distinct contents under 365 names) and what is built from them are made
once, in `.side/bench-access`. The server is the stub of the access tests; every process starts its own on the same folder.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import ROOT, Job

HOME = ROOT / ".side" / "bench-access"
GROUP, SHAPE, CHUNK = "Soil_Moisture_Retrieval_Data_AM", (406, 964), (203, 482)
VARIABLES, DAYS, LONG, LATENCY = 47, 365, 36_500, 0.03
SOME = 48
CELL = (150, 300)
RECIPE = {
    "source": "s3://arch/smap/*.h5",
    "format": "hdf5",
    "groups": [GROUP],
    "time": {"from": "name", "pattern": r"_(\d{8})_R\d+_(\d{3})\.h5$", "format": "%Y%m%d"},
    "dims": {2: ["y", "x"]},
    "grid": "M36",
    "chunks": {"time": 90},
    "series": ["soil_moisture"],
}


def name_of(day: int) -> str:
    import numpy as np

    return f"SMAP_L3_SM_P_{(np.datetime64('2017-01-01') + day).astype(str).replace('-', '')}_R19240_001.h5"


def write_file(path: Path, seed: int) -> None:
    """Two groups of 47 variables: floats with gaps, flags, text of fixed length; some 19 MB."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for group in (GROUP, GROUP.replace("_AM", "_PM")):
            g = file.create_group(group)
            for k in range(VARIABLES):
                kind = "u2" if k % 8 == 5 else ("S24" if k == 46 else "f4")
                fill = {"u2": 65534, "f4": -9999.0, "S24": None}[kind]
                name = "soil_moisture" if k == 0 else f"variable_{k:02d}"
                data = g.create_dataset(
                    name,
                    SHAPE,
                    kind,
                    chunks=CHUNK,
                    shuffle=True,
                    compression="gzip",
                    compression_opts=4,
                    fillvalue=fill,
                )
                if fill is not None:
                    data.attrs["_FillValue"] = np.dtype(kind).type(fill)
                data.attrs["units"] = np.bytes_("cm**3/cm**3")
                data.attrs["long_name"] = np.bytes_(f"variable {k} of a generated file")
                data[:] = _values(kind, rng, fill)


def _values(kind: str, rng: Any, fill: Any) -> Any:
    import numpy as np

    if kind == "S24":
        return np.full(SHAPE, b"2017-01-01T06:00:00.000Z")
    seen = np.add.outer(np.arange(SHAPE[0]) // 3, np.arange(SHAPE[1])) % 100 < 25
    if kind == "u2":
        return np.where(seen, rng.integers(0, 16, SHAPE), fill).astype("u2")
    return np.where(seen, np.round(rng.uniform(0.02, 0.5, SHAPE), 4), fill).astype("f4")


def serve(latency: float) -> SimpleNamespace:
    """The stub over the folder, for the life of this process; `.latency(seconds)` changes what each request waits."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "access" / "s3stub.py"), str(HOME / "s3")],
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-west-2",
    }
    os.environ.pop("VADOSE_CACHE_GB", None)

    def wait(seconds: float) -> None:
        body = json.dumps({"latency": seconds, "match": "/arch/"}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}/_faults", data=body, method="POST")).read()

    wait(latency)
    return SimpleNamespace(url=url, latency=wait)


def files() -> None:
    """Four files under 365 names."""
    folder = HOME / "s3" / "arch" / "smap"
    if (HOME / "files.done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for day in range(DAYS):
        if day < 4:
            write_file(folder / name_of(day), day)
            os.utime(folder / name_of(day), (1_500_000_000, 1_500_000_000))
        else:
            os.link(folder / name_of(day % 4), folder / name_of(day))
    (HOME / "files.done").touch()


def _stats(n: int) -> list[Any]:
    from vadose.access import remote

    return remote.listing(RECIPE["source"])[:n]


@functools.lru_cache(maxsize=1)
def scans() -> SimpleNamespace:
    """Server and files: what the scanning jobs need."""
    files()
    server = serve(LATENCY)
    return SimpleNamespace(server=server, stats=_stats(SOME), all=_stats(DAYS))


def ours_scan(data: Any) -> Any:
    from vadose.access import blocks
    from vadose.access.cube import scan_file
    from vadose.access.recipe import parse

    recipe, known, learned, rows = parse(RECIPE), set(), {}, []

    def work(file: Any, stat: Any) -> Any:
        out = scan_file(file, stat, recipe, known, learned)
        known.add(out.era)
        return out

    for _, found in blocks.each(data.stats, work):
        if isinstance(found, Exception):
            raise found
        rows.append((len(found.number), int(found.offset.sum()), int(found.length.sum())))
    return rows


def kerchunk_scan(data: Any) -> Any:
    """With the cache of s3fs under which kerchunk reads least: blocks of 1 MiB."""
    import fsspec
    import h5py
    from kerchunk.hdf import SingleHdf5ToZarr

    rows = []
    fs = fsspec.filesystem("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for stat in data.stats:
        with fs.open(stat.href, "rb", cache_type="blockcache", block_size=1 << 20) as handle, h5py.File(handle) as file:
            options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
            refs = SingleHdf5ToZarr(file[GROUP], stat.href, storage_options=options, inline_threshold=0).translate()
        places = [v for v in refs["refs"].values() if isinstance(v, list)]
        rows.append((len(places), sum(v[1] for v in places), sum(v[2] for v in places)))
    return rows


def _virtual(href: str) -> Any:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import S3Store
    from virtualizarr import open_virtual_dataset
    from virtualizarr.parsers import HDFParser

    store = S3Store(
        "arch",
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region="us-west-2",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    registry = ObjectStoreRegistry({"s3://arch": store})
    return open_virtual_dataset(href, registry=registry, parser=HDFParser(group=GROUP), loadable_variables=[])


def virtualizarr_scan(data: Any) -> Any:
    rows = []
    for stat in data.stats:
        places = [c for v in _virtual(stat.href).variables.values() for c in v.data.manifest.dict().values()]
        rows.append((len(places), sum(c["offset"] for c in places), sum(c["length"] for c in places)))
    return rows


def same_places(ours: Any, theirs: Any) -> str:
    wrong = sum(a != b for a, b in zip(ours, theirs, strict=True))
    return f"chunks, offsets and lengths of {len(ours)} files equal" if not wrong else f"{wrong} FILES DIFFER"


def ours_year(data: Any) -> Any:
    """List, scan, write kerchunk parquet and icechunk, items, commit, tag."""
    from vadose.access import build

    folder = HOME / "year"
    shutil.rmtree(folder, ignore_errors=True)
    build.add(folder, "smap", RECIPE)
    done = build.build(folder, "smap")
    return done.indexed * VARIABLES


def virtualizarr_year(data: Any) -> Any:
    """The same to icechunk alone: open each, concatenate, write references, commit."""
    import icechunk
    import xarray as xr

    parts = [_virtual(stat.href) for stat in data.all]
    whole = xr.concat(parts, dim="time", coords="minimal", compat="override", combine_attrs="override")
    place = HOME / "year-virtualizarr"
    shutil.rmtree(place, ignore_errors=True)
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer("s3://arch/", icechunk.s3_store(region="us-west-2"))
    )
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)), config=config)
    session = repository.writable_session("main")
    whole.vz.to_icechunk(session.store)
    session.commit("a year")
    return len(parts) * len(whole.data_vars)


def same_number(ours: Any, theirs: Any) -> str:
    return f"{ours} arrays in both" if ours == theirs else f"{ours} AND {theirs} ARRAYS"


@functools.lru_cache(maxsize=1)
def year() -> SimpleNamespace:
    """A built year with its series copy, and the references in kerchunk's JSON."""
    data = scans()
    folder = HOME / "catalog"
    if not (HOME / "catalog.done").exists():
        from vadose.access import build
        from vadose.access.series import build_series

        data.server.latency(0)
        shutil.rmtree(folder, ignore_errors=True)
        build.add(folder, "smap", RECIPE)
        build.build(folder, "smap")
        build_series(folder, "smap")
        (HOME / "catalog.done").touch()
        data.server.latency(LATENCY)
    data.catalog = str(folder)
    entry = json.loads((folder / "smap" / "collection.json").read_text())["assets"]["data"]["vadose:open"]
    data.references = str(folder / "smap" / entry["eras"][0]["references"])
    data.icechunk = str(folder / "smap" / entry["eras"][0]["icechunk"])
    data.json = _as_json(data.references, HOME / "year.json", ["soil_moisture"])
    return data


def _as_json(references: str, target: Path, names: list[str]) -> str:
    """What kerchunk would write for the same chunks (without grid coordinates)."""
    import numpy as np

    from vadose.access.parquet import References

    if not target.exists():
        known = References(references)
        refs: dict[str, Any] = {".zgroup": json.dumps({"zarr_format": 2})}
        for name in names:
            for kind in (".zarray", ".zattrs"):
                refs[f"{name}/{kind}"] = json.dumps(known.metadata[f"{name}/{kind}"])
            table, grid = known.table(name), known.grid(name)
            for number, index in enumerate(np.ndindex(*grid)):
                where = [table["path"][number], int(table["offset"][number]), int(table["size"][number])]
                refs[f"{name}/{'.'.join(map(str, index))}"] = where
        target.write_text(json.dumps({"version": 1, "refs": refs}))
    return str(target)


@functools.lru_cache(maxsize=1)
def century() -> SimpleNamespace:
    """References to 36,500 days of six variables, in our parquet, kerchunk's parquet and JSON, and icechunk.

    What a notebook has loaded anyway, xarray with dask, is loaded here: opening is timed and not Python's imports.
    """
    import dask.array  # noqa: F401
    import xarray  # noqa: F401

    data = year()
    folder = HOME / "century"
    if not (HOME / "century.done").exists():
        _write_century(data, folder)
        (HOME / "century.done").touch()
    return SimpleNamespace(
        parquet=str(folder / "refs.parq"),
        json=str(folder / "refs.json"),
        kerchunk=str(folder / "kerchunk.parq"),
        icechunk=str(folder / "refs.icechunk"),
    )


def _write_century(data: Any, folder: Path) -> None:
    import numpy as np
    from kerchunk.df import refs_to_dataframe

    from vadose.access import parquet, virtual
    from vadose.access.cube import assemble, scan_file
    from vadose.access.recipe import parse
    from vadose.access.remote import Stat

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = ["soil_moisture", *(f"variable_{k:02d}" for k in (1, 2, 3, 4, 6))]
    recipe = parse({**RECIPE, "only": names})
    local = HOME / "s3" / "arch" / "smap" / name_of(0)
    first = scan_file(str(local), data.all[0], recipe, set())
    scanned = []
    for day in range(LONG):
        stat = data.all[day % DAYS]
        where = stat.href.replace("/smap/", f"/{1950 + day // DAYS}/")
        one = type(first)(**{**vars(first), "stat": Stat(where, stat.size, stat.etag, stat.modified), "forms": None})
        one.times = np.array([np.datetime64("1950-01-01", "ns") + np.timedelta64(day, "D")])
        scanned.append(one)
    era = assemble(scanned, first.forms, recipe)
    parquet.write(era, recipe, folder / "refs.parq")
    virtual.write(era, recipe, str(folder / "refs.icechunk"), message="a century", tag="first")
    _as_json(str(folder / "refs.parq"), folder / "refs.json", names)
    refs_to_dataframe(str(folder / "refs.json"), str(folder / "kerchunk.parq"), record_size=10_000)


def ours_open(data: Any) -> Any:
    """The sizes, and how much opening adds [MB] to a process that has xarray and dask."""
    import psutil

    memory = psutil.Process().memory_info
    before = memory().rss
    from vadose.access.chunkstore import open_references

    opened = open_references(data.parquet, chunks={"time": 90})
    return dict(opened.soil_moisture.sizes), (memory().rss - before) / 1e6


def _kerchunk_open(place: str, chunks: Any = None, group: Any = None) -> Any:
    import xarray as xr

    options = {"remote_protocol": "s3", "remote_options": {"endpoint_url": os.environ.get("AWS_ENDPOINT_URL")}}
    return xr.open_dataset(place, engine="kerchunk", storage_options=options, chunks=chunks)


def json_open(data: Any) -> Any:
    return dict(_kerchunk_open(data.json, {"time": 90}).soil_moisture.sizes)


def parquet_open(data: Any) -> Any:
    return dict(_kerchunk_open(data.kerchunk, {"time": 90}).soil_moisture.sizes)


def _plain_icechunk(place: str, chunks: Any = None) -> Any:
    """As its documentation opens one; the number of reads under way stays at Zarr's own."""
    import icechunk
    import xarray as xr

    where = icechunk.local_filesystem_storage(place)
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(  # a store remembers where its bucket was served, and this server is another one
        icechunk.VirtualChunkContainer(
            "s3://arch/",
            icechunk.s3_store(
                region="us-west-2",
                endpoint_url=os.environ["AWS_ENDPOINT_URL"],
                allow_http=True,
                s3_compatible=True,
                force_path_style=True,
            ),
        )
    )
    repository = icechunk.Repository.open(
        where,
        config,
        authorize_virtual_chunk_access=icechunk.containers_credentials(
            {"s3://arch/": icechunk.s3_from_env_credentials()}
        ),
    )
    session: Any = repository.readonly_session("main")
    return xr.open_dataset(session.store, engine="zarr", consolidated=False, zarr_format=3, chunks=chunks)


def icechunk_open(data: Any) -> Any:
    return dict(_plain_icechunk(data.icechunk, {"time": 90}).soil_moisture.sizes)


def same_sizes(found: Any, theirs: Any) -> str:
    ours, added = found
    return (
        f"{ours} in both" if ours == theirs else f"{ours} AND {theirs}"
    ) + f"; ours adds {added:.0f} MB to its imports"


def reading(form: str) -> SimpleNamespace:
    """The year, opened in a peer's form and read once elsewhere: neither opening nor imports are timed."""
    data = year()
    openers = {
        "json": lambda: _kerchunk_open(data.json),
        "parquet": lambda: _kerchunk_open(data.references),
        "icechunk": lambda: _plain_icechunk(data.icechunk),
    }
    data.peer = openers[form]().soil_moisture if form in openers else None
    if data.peer is not None:
        data.peer[3, :5, :5].values  # noqa: B018
    else:
        floor(data, [(3, 0, 0)])
    return data


def floor(data: Any, chunks: list[tuple[int, int, int]]) -> list[bytes]:
    """The bare ranges, all at once: what the network and the server allow."""
    import obstore
    from obstore.store import S3Store

    if not hasattr(data, "bare"):
        from vadose.access.parquet import References

        data.bare = S3Store(
            "arch",
            endpoint=os.environ["AWS_ENDPOINT_URL"],
            region="us-west-2",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        data.places = References(data.references)
    where = [data.places.chunk("soil_moisture", c) for c in chunks]

    async def fetch() -> list[Any]:
        return await asyncio.gather(
            *(obstore.get_range_async(data.bare, a.removeprefix("s3://arch/"), start=o, length=n) for a, o, n in where)
        )

    return [bytes(b) for b in asyncio.run(fetch())]


def _decoded(body: bytes, cells: Any = None) -> Any:
    """Inflated with isal; all cells, or one gathered from the shuffled bytes."""
    import numcodecs
    import numpy as np
    from isal import isal_zlib

    raw = isal_zlib.decompress(body)
    if cells is None:
        return np.frombuffer(numcodecs.Shuffle(4).decode(raw), "f4").reshape(CHUNK)
    return np.frombuffer(raw, np.uint8).reshape(4, -1)[:, cells].copy().view("f4")[0]


def _masked(values: Any) -> Any:
    import numpy as np

    out = np.asarray(values, "f4")
    return np.where(out == -9999.0, np.float32(np.nan), out)


def floor_pixel(data: Any) -> Any:
    place = (CELL[0] // CHUNK[0], CELL[1] // CHUNK[1])
    bodies = floor(data, [(t, *place) for t in range(DAYS)])
    flat = (CELL[0] % CHUNK[0]) * CHUNK[1] + CELL[1] % CHUNK[1]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return _masked(list(pool.map(lambda b: _decoded(b, flat), bodies)))


def _where() -> tuple[float, float]:
    from vadose import ease

    lat, lon = ease.centers("M36")
    return float(lat[CELL[0]]), float(lon[CELL[1]])


def ours_pixel(data: Any, time: str | None = None) -> Any:
    import vadose

    lat, lon = _where()
    out = vadose.extract_points("smap", [lat], [lon], variables=["soil_moisture"], catalog=data.catalog, time=time)
    return out.soil_moisture.values[:, 0]


def warm_pixel(data: Any) -> Any:
    return ours_pixel(data, "2017-01-05/2017-01-06")


def peer_pixel(data: Any) -> Any:
    return data.peer[:, CELL[0], CELL[1]].values


def _box() -> tuple[float, float, float, float]:
    lat, lon = _where()
    return (lon - 0.5, lat - 0.5, lon + 0.5, lat + 0.5)


def series_pixel(data: Any) -> Any:
    """Open the copy and read the record."""
    import vadose

    lat, lon = _where()
    ds = vadose.open("smap", catalog=data.catalog, purpose="series", bbox=_box())
    return ds.soil_moisture.sel(lat=lat, lon=lon, method="nearest").values if "lat" in ds.indexes else _by_cell(ds)


def _by_cell(ds: Any) -> Any:
    import numpy as np

    lat, lon = _where()
    row, column = int(np.abs(ds.lat.values - lat).argmin()), int(np.abs(ds.lon.values - lon).argmin())
    return ds.soil_moisture[:, row, column].values


def ours_map(data: Any) -> Any:
    return data.ours.soil_moisture[100].values


def warm_map(data: Any) -> None:
    import vadose

    data.ours = vadose.open("smap", catalog=data.catalog)
    data.ours.soil_moisture[3].values  # noqa: B018


def floor_map(data: Any) -> Any:
    import numpy as np

    bodies = floor(data, [(100, r, c) for r in range(2) for c in range(2)])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        a, b, c, d = pool.map(_decoded, bodies)
    return _masked(np.block([[a, b], [c, d]]))


def peer_map(data: Any) -> Any:
    return data.peer[100].values


def same_values(ours: Any, theirs: Any) -> str:
    import numpy as np

    return f"all {ours.size} values equal" if np.array_equal(ours, theirs, equal_nan=True) else "VALUES DIFFER"


PACKAGES = ("zarr", "xarray", "icechunk", "kerchunk", "virtualizarr", "obstore", "s3fs", "h5py")
SCAN = f"{SOME} files x {VARIABLES} variables, 30 ms"
YEAR = f"{DAYS} files x {VARIABLES} variables, 30 ms"
CENTURY = f"{LONG} days x 6 variables, 876k references"


def _job(id: str, job: str, size: str, peer: str, prepare: Any, ours: Any, theirs: Any, agreement: Any, **more: Any) -> Job:  # fmt: skip
    return Job(id, job, size, peer, prepare, ours, theirs, agreement, packages=PACKAGES, **more)


def _reads(kind: str, job: str, size: str, ours: Any, warm: Any, bare: Any, theirs: Any) -> list[Job]:
    peers = {"json": "kerchunk JSON", "parquet": "kerchunk parquet", "icechunk": "icechunk, as it comes"}
    out = [_job(kind, job, size, "the bare ranges (obstore, isal)", functools.partial(reading, "floor"), ours, bare, same_values, warm=warm, repeats=5)]  # fmt: skip
    for form, peer in peers.items():
        out.append(_job(f"{kind}-{form}", job, size, peer, functools.partial(reading, form), ours, theirs, same_values, warm=warm))  # fmt: skip
    return out


JOBS: tuple[Job, ...] = (
    _job("scan-kerchunk", "where chunks lie, files in a bucket", SCAN, "kerchunk SingleHdf5ToZarr, s3fs blocks of 1 MiB", scans, ours_scan, kerchunk_scan, same_places, their_repeats=2),
    _job("scan-virtualizarr", "where chunks lie, files in a bucket", SCAN, "VirtualiZarr HDFParser", scans, ours_scan, virtualizarr_scan, same_places, their_repeats=2),
    _job("commit-year", "scan, write and commit a year", YEAR, "VirtualiZarr, xr.concat, to_icechunk", scans, ours_year, virtualizarr_year, same_number, their_repeats=1),
    _job("open-100y", "open a century of days", CENTURY, "kerchunk JSON", century, ours_open, json_open, same_sizes),
    _job("open-100y-parquet", "open a century of days", CENTURY, "kerchunk parquet", century, ours_open, parquet_open, same_sizes),
    _job("open-100y-icechunk", "open a century of days", CENTURY, "icechunk, as it comes", century, ours_open, icechunk_open, same_sizes),
    *_reads("pixel-year", "a year at one cell, through references", "365 chunks, 30 ms", ours_pixel, warm_pixel, floor_pixel, peer_pixel),
    _job("pixel-year-series", "a year at one cell, from the copy for records", "365 days, local store", "the bare ranges behind references (obstore, isal)", functools.partial(reading, "floor"), series_pixel, floor_pixel, same_values, warm=series_pixel),
    *_reads("day-map", "a global day, through references", "4 chunks, 30 ms", ours_map, warm_map, floor_map, peer_map),
)  # fmt: skip
