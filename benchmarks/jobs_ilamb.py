"""Model benchmarking beside ilamb3: four scores of one pair, on one grid and on nested grids. `bash benchmarks/peers-ilamb` first."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Job

YEARS = 30
NAMES = ("bias", "rmse", "phase", "distribution")
THEIRS = ("Bias Score", "RMSE Score", "Seasonal Cycle Score", "Spatial Distribution Score")


def _files(reference_size: float, model_size: float, folder: Path) -> tuple[str, str]:
    """Two monthly records of soil moisture as netCDF, chunked by years, with bounds of time."""
    import xarray as xr

    paths = []
    for seed, size in enumerate((reference_size, model_size)):
        rng = np.random.default_rng(seed)
        lat = np.arange(-90 + size / 2, 90, size)
        lon = np.arange(-180 + size / 2, 180, size)
        starts = np.concatenate(
            [[0], np.cumsum(np.tile([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], YEARS))]
        ).astype(float)
        months = np.arange(12 * YEARS)
        season = (
            0.05 * np.cos(2 * np.pi * (months - 2 * seed) / 12)[:, None, None] * np.sin(np.deg2rad(lat))[None, :, None]
        )
        pattern = 0.25 + 0.08 * np.cos(np.deg2rad(2 * lat))[:, None] * np.cos(np.deg2rad(3 * lon))[None, :]
        values = (
            season + pattern[None] + 0.02 * rng.standard_normal((months.size, lat.size, lon.size), dtype="float32")
        ).astype("float32")
        data = xr.Dataset(
            {"mrsos": (("time", "lat", "lon"), values, {"units": "m3 m-3"})},
            coords={
                "time": (
                    "time",
                    (starts[:-1] + starts[1:]) / 2,
                    {"units": "days since 1981-01-01", "calendar": "noleap", "bounds": "time_bnds"},
                ),
                "time_bnds": (("time", "bnds"), np.stack([starts[:-1], starts[1:]], axis=1)),
                "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
                "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
            },
        )
        path = folder / f"side-{seed}-{size:g}.nc"
        data.to_netcdf(path, encoding={"mrsos": {"chunksizes": (12, lat.size, lon.size)}})
        paths.append(str(path))
    return paths[0], paths[1]


def one_grid():
    return _files(1.0, 1.0, Path(tempfile.mkdtemp()))


def nested():
    return _files(0.5, 1.0, Path(tempfile.mkdtemp()))


def ours(paths):
    import netCDF4
    import xarray as xr

    from vadose.benchmark import score

    netCDF4.set_chunk_cache(2**20)  # as `vadose benchmark` opens files: no pass from start to end reads the 64 MB again
    reference, model = (xr.open_dataset(p, engine="netcdf4", chunks={"time": 12}).mrsos for p in paths)
    found = score(reference, model, scheme="ilamb3")
    found = found[found.kind == "score"].set_index("statistic").value
    return np.array([found[n] for n in NAMES])


def warm(_):
    ours(_files(10.0, 10.0, Path(tempfile.mkdtemp())))


def theirs(paths):
    import xarray as xr
    from ilamb3 import analysis

    reference, model = (xr.open_dataset(p, use_cftime=True) for p in paths)
    found = {}
    for kind in analysis.DEFAULT_ANALYSES.values():
        table, _, _ = kind(required_variable="mrsos", method="Collier2018", regions=[None])(reference, model)
        found.update({str(r["name"]): float(r["value"]) for r in table[table["type"] == "score"].to_dict("records")})
    return np.array([next(v for k, v in found.items() if k.startswith(n)) for n in THEIRS])


def agreement(a, b):
    return f"scores within {np.abs(a - b).max():.1e}"


COMMON = {
    "job": "bias, centered error, season and spatial pattern of one pair",
    "peer": "ilamb3",
    "ours": ours,
    "theirs": theirs,
    "agreement": agreement,
    "warm": warm,
    "packages": ("vadose", "ilamb3"),
    "environment": "ilamb",
    "repeats": 2,
}
JOBS = (
    Job(id="ilamb-scores", size="1 degree, 30 years monthly, 93 MB a field", prepare=one_grid, **COMMON),  # type: ignore[arg-type]
    Job(id="ilamb-nested", size="0.5 against 1 degree, 30 years monthly", prepare=nested, **COMMON),  # type: ignore[arg-type]
)
