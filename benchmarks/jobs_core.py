"""The science core beside pytesmo, flagit, xskillscore, xarray-regrid and scipy: validation, collocation, climatology, matching, grids.

Series follow one recipe: an annual cycle and an AR(1) truth, products that are noisy linear views of it, a tenth missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Job

DAYS, PERIOD = 3653, 365.25
PEERS = "peers"


def series(cells: int, products: int, *, days: int = DAYS, seed: int = 1) -> np.ndarray:
    """(product, cell, day): truth 0.25 + 0.08 cos(season) + AR(1) of 0.93; product k = 0.02 k + (1 - 0.15 k) truth + noise."""
    rng = np.random.default_rng(seed)
    truth = np.empty((cells, days))
    step = rng.normal(0, 0.012, (days, cells))
    now = np.zeros(cells)
    for t in range(days):
        now = 0.93 * now + step[t]
        truth[:, t] = 0.25 + 0.08 * np.cos(2 * np.pi * t / PERIOD) + now
    out = np.empty((products, cells, days))
    for k in range(products):
        out[k] = np.clip(0.02 * k + (1 - 0.15 * k) * truth + rng.normal(0, 0.02 + 0.01 * k, truth.shape), 0, 0.7)
    out[rng.random(out.shape) < 0.1] = np.nan
    return out


def _stamps(days: int = DAYS, hour: int = 0):
    import pandas as pd

    return pd.date_range("2010-01-01", periods=days, freq="D") + pd.Timedelta(hour, "h")


def _arrays(data: np.ndarray, *hours: int):
    import xarray as xr

    hours = hours or (0,) * len(data)
    return [
        xr.DataArray(d, dims=("cell", "time"), coords={"time": _stamps(d.shape[1], h)}, attrs={"units": "m3 m-3"})
        for d, h in zip(data, hours, strict=True)
    ]


def _worst(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], note: str = "") -> str:
    """The largest difference by name, over places where both have a value."""
    parts = []
    for name in theirs:
        a, b = np.asarray(ours[name], float).ravel(), np.asarray(theirs[name], float).ravel()
        both = np.isfinite(a) & np.isfinite(b)
        lone = int((np.isfinite(a) != np.isfinite(b)).sum())
        parts.append(f"{name} {np.abs(a[both] - b[both]).max():.1e}" + (f" ({lone} in one only)" if lone else ""))
    return "largest difference: " + ", ".join(parts) + (f"; {note}" if note else "")


# -- validation ----------------------------------------------------------------------------------------------------------


def two():
    return series(1000, 2)


def _evaluate(data, hours, scores, match):
    from vadose.harmonize import in_time
    from vadose.metrics import evaluate

    reference, other = _arrays(data, *hours)
    if match:
        other = in_time(other, reference.time, window=np.timedelta64(6, "h"))
    out = evaluate({"reference": reference, "other": other}, scores=scores, level=0.95)
    return out.isel(pair=0, group=0)


def _table(out, names):
    found = {n: out.score.sel(metric=n, bound="value").values for n in names}
    return {**found, "n": out.n.values}


FOUR = ("bias", "rmsd", "ubrmsd", "pearson")


def end_to_end_ours(data):
    return _table(_evaluate(data, (0, 5), (*FOUR, "spearman"), True), (*FOUR, "spearman"))


def end_to_end_theirs(data):
    import warnings

    import pandas as pd
    from pygeogrids.grids import BasicGrid
    from pytesmo.validation_framework.metric_calculators import PairwiseIntercomparisonMetrics
    from pytesmo.validation_framework.temporal_matchers import make_combined_temporal_matcher
    from pytesmo.validation_framework.validation import Validation

    class Reader:
        def __init__(self, values: np.ndarray, name: str, hour: int) -> None:
            self.values, self.name, self.index = values, name, _stamps(values.shape[1], hour)
            cells = np.arange(values.shape[0])
            self.grid = BasicGrid(cells * 0.1, cells * 0.0, gpis=cells)

        def read(self, gpi: int, **_: Any):
            return pd.DataFrame({self.name: self.values[gpi]}, index=self.index).dropna()

    calculator = PairwiseIntercomparisonMetrics(calc_spearman=True, calc_kendall=False, analytical_cis=True)
    datasets = {
        "reference": {"class": Reader(data[0], "reference", 0), "columns": ["reference"]},
        "other": {"class": Reader(data[1], "other", 5), "columns": ["other"]},
    }
    validation = Validation(
        datasets,
        "reference",
        metrics_calculators={(2, 2): calculator.calc_metrics},
        temporal_matcher=make_combined_temporal_matcher(pd.Timedelta(6, "h")),
        scaling=None,
    )
    cells = np.arange(data.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = validation.calc(cells, cells * 0.1, cells * 0.0, rename_cols=False, only_with_reference=True)
    one = next(iter(found.values()))
    get = {"bias": "BIAS", "rmsd": "RMSD", "ubrmsd": "urmsd", "pearson": "R", "spearman": "rho"}
    out = {ours: np.asarray(one[theirs]) for ours, theirs in get.items()}
    return {**out, "n": np.asarray(one["n_obs"])}


def pair_ours(data):
    return _table(_evaluate(data, (0, 0), FOUR, False), FOUR)


def pair_spearman_ours(data):
    return _table(_evaluate(data, (0, 0), (*FOUR, "spearman"), False), (*FOUR, "spearman"))


def _pair_theirs(data, spearman):
    import pandas as pd
    from pytesmo.validation_framework.metric_calculators import PairwiseIntercomparisonMetrics

    calculator = PairwiseIntercomparisonMetrics(calc_spearman=spearman, calc_kendall=False, analytical_cis=True)
    index = _stamps(data.shape[2])
    get = {"bias": "BIAS", "rmsd": "RMSD", "ubrmsd": "urmsd", "pearson": "R", "n": "n_obs"}
    if spearman:
        get["spearman"] = "rho"
    rows = []
    for cell in range(data.shape[1]):
        frame = pd.DataFrame({"ref": data[0, cell], "other": data[1, cell]}, index=index).dropna()
        found = calculator.calc_metrics(frame, (cell, 0.0, 0.0))
        rows.append([np.ravel(found[name])[0] for name in get.values()])
    out = dict(zip(get, np.array(rows, float).T, strict=True))
    out["bias"] = -out["bias"]
    return out


def pair_theirs(data):
    return _pair_theirs(data, False)


def pair_spearman_theirs(data):
    return _pair_theirs(data, True)


NOTE_32 = "the peer stores single precision and its intervals take days for independent"


def pair_agreement(ours, theirs):
    return _worst(ours, theirs, NOTE_32)


# -- five metrics --------------------------------------------------------------------------------------------------------


def _resident(what: str) -> float:
    """VmRSS (now) or VmHWM (the most so far) of this process [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def five_ours(data):
    from scipy import special

    from vadose.metrics import compare

    before = _resident("VmRSS")
    found = compare(*_arrays(data))
    added = (_resident("VmHWM") - before) / (data.nbytes / 2**20)
    r, df = found.pearson.values, found.n.values - 2
    p = special.betainc(df / 2, 0.5, df / (df + r**2 / (1 - r**2) * df))
    scores = {"me": found.bias.values, "rmse": found.rmsd.values, "mse": found.rmsd.values**2, "pearson_r": r, "p": p}
    return {**scores, "added": added}


def five_theirs(data):
    import xskillscore as xs

    before = _resident("VmRSS")
    reference, other = _arrays(data)
    kind = {"dim": "time", "skipna": True}
    scores = {
        "me": xs.me(other, reference, **kind).values,
        "rmse": xs.rmse(other, reference, **kind).values,
        "mse": xs.mse(other, reference, **kind).values,
        "pearson_r": xs.pearson_r(other, reference, **kind).values,
        "p": xs.pearson_r_p_value(other, reference, **kind).values,
    }
    return {**scores, "added": (_resident("VmHWM") - before) / (data.nbytes / 2**20)}


def five_agreement(ours, theirs):
    more = [f"{side.pop('added'):.2f}" for side in (ours, theirs)]
    return _worst(ours, theirs, f"memory beyond the input: {more[0]} of its size, the peer {more[1]}")


# -- collocation ---------------------------------------------------------------------------------------------------------


def three():
    return series(1000, 3)


def three_few():
    return series(10, 3)


def _stacked(data):
    import xarray as xr

    return xr.DataArray(data, dims=("product", "cell", "time"), coords={"product": list("xyz")})


def tc_ours(data):
    from vadose.metrics import moments, triple_collocation

    out = triple_collocation(moments(_stacked(data)))
    return {n: out[n].transpose("cell", "product").values for n in ("snr_db", "error_sd", "beta")}


def tc_theirs(data):
    import pandas as pd
    from pytesmo.validation_framework.metric_calculators import TripleCollocationMetrics

    calculator = TripleCollocationMetrics("x")
    index, rows = _stamps(data.shape[2]), []
    for cell in range(data.shape[1]):
        frame = pd.DataFrame(dict(zip("xyz", data[:, cell], strict=True)), index=index).dropna()
        found = calculator.calc_metrics(frame, (cell, 0.0, 0.0))
        by_name = {(k[0], k[1]) if isinstance(k, tuple) else k: v for k, v in found.items()}
        rows.append([[np.ravel(by_name[(m, p)])[0] for p in "xyz"] for m in ("snr", "err_std", "beta")])
    a = np.array(rows, float)
    return {"snr_db": a[:, 0], "error_sd": a[:, 1] / a[:, 2], "beta": a[:, 2]}


def tc_agreement(ours, theirs):
    return _worst(ours, theirs, "the peer's error sd is on the reference's scale: divided by its beta")


def boot_ours(data):
    from vadose.metrics import bootstrap, triple_collocation

    out = bootstrap(_stacked(data), triple_collocation, block=30, draws=1000, rng=0)
    return {b: out[f"error_sd_{b}"].transpose("cell", "product").values for b in ("low", "high")}


def boot_theirs(data):
    import pandas as pd
    from pytesmo.validation_framework.metric_calculators import TripleCollocationMetrics

    calculator = TripleCollocationMetrics("x", bootstrap_cis=True)
    index, rows = _stamps(data.shape[2]), []
    for cell in range(data.shape[1]):
        frame = pd.DataFrame(dict(zip("xyz", data[:, cell], strict=True)), index=index).dropna()
        found = calculator.calc_metrics(frame, (cell, 0.0, 0.0))
        beta = np.array([np.ravel(found[("beta", p)])[0] for p in "xyz"], float)
        rows.append([[np.ravel(found[(f"err_std_ci_{b}", p)])[0] for p in "xyz"] / beta for b in ("lower", "upper")])
    a = np.array(rows, float)
    return {"low": a[:, 0], "high": a[:, 1]}


def boot_agreement(ours, theirs):
    wide = np.median(((ours["high"] - ours["low"]) / (theirs["high"] - theirs["low"]))[:, 0])
    return f"our interval of the reference's error sd is {wide:.2f} times as wide (median): blocks of 30 days against single days"


# -- scale and season ----------------------------------------------------------------------------------------------------


def cdf_ours(data):
    from vadose.harmonize import rescale

    reference, source = _arrays(data)
    return {"rescaled": rescale.apply(source.rename("x"), rescale.fit(source, reference))["x"].values}


def cdf_theirs(data):
    from pytesmo.scaling import cdf_match

    return {"rescaled": np.array([cdf_match(s, r) for r, s in zip(data[0], data[1], strict=True)])}


def season():
    return series(200, 1)


def season_ours(data):
    from vadose.harmonize import anomaly, climatology

    (values,) = _arrays(data)
    cycle = climatology(values)
    return {
        "climatology": cycle.transpose("cell", "dayofyear").values,
        "anomaly": anomaly(values, cycle).transpose("cell", "time").values,
    }


def season_theirs(data):
    import pandas as pd
    from pytesmo.time_series.anomaly import calc_anomaly, calc_climatology

    index, cycles, rest = _stamps(data.shape[2]), [], []
    for row in data[0]:
        one = pd.Series(row, index=index)
        cycle = calc_climatology(one, interpolate_leapday=True)
        cycles.append(np.asarray(cycle, float))
        rest.append(np.asarray(calc_anomaly(one, climatology=cycle, respect_leap_years=False), float))
    return {"climatology": np.array(cycles), "anomaly": np.array(rest)}


def season_agreement(ours, theirs):
    rms = np.sqrt(np.nanmean((ours["anomaly"] - theirs["anomaly"]) ** 2))
    return _worst(
        ours, theirs, f"rms of anomalies {rms:.1e} (gaps at window edges and the leap day are treated otherwise)"
    )


# -- matching ------------------------------------------------------------------------------------------------------------


def streams():
    """A hundred places: an irregular reference of 3653 moments, an hourly series and a daily one."""
    rng = np.random.default_rng(2)
    moments = np.sort(np.arange(DAYS) * 86400 + 60 * rng.integers(0, 1440, DAYS) + 17)  # seconds; never half way
    hourly = rng.random((100, DAYS * 24))
    hourly[rng.random(hourly.shape) < 0.1] = np.nan
    daily = rng.random((100, DAYS))
    return {"moments": moments, "hourly": hourly, "daily": daily}


def _match_ours(data, method):
    import pandas as pd
    import xarray as xr

    from vadose.harmonize import in_time

    start = pd.Timestamp("2010-01-01")
    want = xr.DataArray(start + pd.to_timedelta(data["moments"], "s"), dims="time")
    want = want.assign_coords(time=want.values)
    out = {}
    for name, freq in (("hourly", "h"), ("daily", "D")):
        values = data[name]
        have = xr.DataArray(
            values, dims=("cell", "time"), coords={"time": pd.date_range(start, periods=values.shape[1], freq=freq)}
        )
        out[name] = in_time(have, want, window=np.timedelta64(6, "h"), method=method).transpose("cell", "time").values
    return out


def _match_theirs(data, method):
    import pandas as pd
    from pytesmo.temporal_matching import combined_temporal_collocation

    start = pd.Timestamp("2010-01-01")
    index = pd.DatetimeIndex(start + pd.to_timedelta(data["moments"], "s"))
    reference = pd.DataFrame({"reference": np.zeros(index.size)}, index=index)
    axes = {n: pd.date_range(start, periods=data[n].shape[1], freq=f) for n, f in (("hourly", "h"), ("daily", "D"))}
    out: dict[str, list[np.ndarray]] = {"hourly": [], "daily": []}
    for cell in range(data["daily"].shape[0]):
        others = [pd.DataFrame({n: data[n][cell]}, index=axes[n]).dropna() for n in ("hourly", "daily")]
        found = combined_temporal_collocation(reference, others, pd.Timedelta(6, "h"), method=method)
        for name in out:
            out[name].append(found[name].reindex(index).to_numpy())
    return {name: np.array(rows) for name, rows in out.items()}


def nearest_ours(data):
    return _match_ours(data, "nearest")


def nearest_theirs(data):
    return _match_theirs(data, "nearest")


def window_ours(data):
    return _match_ours(data, "window_mean")


def window_theirs(data):
    return _match_theirs(data, "mean")


def nearest_agreement(ours, theirs):
    same = [np.mean((ours[n] == theirs[n]) | (np.isnan(ours[n]) & np.isnan(theirs[n]))) for n in ("hourly", "daily")]
    return f"equal at {min(same):.4%} of moments"


# -- flags ---------------------------------------------------------------------------------------------------------------

HOURS = 87_648
LETTERS = ("C01", "C02", "C03", "D01", "D02", "D03", "D04", "D05", "D06", "D07", "D08", "D09", "D10")
COLUMNS = {
    "soil_moisture": ("soil_moisture", "%"), "soil_temperature": ("soil_temperature", "degC"), "air_temperature": ("air_temperature", "degC"),
    "precipitation": ("precipitation_flux", "mm h-1"), "gldas_precipitation": ("reanalysis_precipitation_flux", "mm h-1"),
    "gldas_soil_temperature": ("reanalysis_soil_temperature", "degC"),
}  # fmt: skip


def station():
    """Ten years of hours in percent with spikes, drops, plateaus and impossible values."""
    rng = np.random.default_rng(3)
    rain = np.where(rng.random(HOURS) < 0.02, rng.exponential(2.0, HOURS), 0.0)
    x = np.empty(HOURS)
    now = 20.0
    for t in range(HOURS):
        now = min(0.9985 * now + 0.012 + 0.9 * rain[t], 52.0)
        x[t] = max(now, 3.0)
    x += rng.normal(0, 0.05, HOURS)
    for s in rng.integers(200, HOURS - 200, 60):
        kind = rng.integers(0, 5)
        if kind == 0:
            x[s] *= 1.4
        elif kind == 1:
            x[s : s + 60] -= 6
        elif kind == 2:
            x[s : s + 40] = 55.0
        else:
            x[s] = 70.0 if kind == 3 else -1.0
    year = np.cos(2 * np.pi * np.arange(HOURS) / 8766)
    soil = 10 - 12 * year + rng.normal(0, 0.3, HOURS)
    return {
        "soil_moisture": np.round(x, 2), "soil_temperature": soil, "air_temperature": soil + rng.normal(0, 4, HOURS),
        "precipitation": rain, "gldas_precipitation": rain * rng.random(HOURS), "gldas_soil_temperature": soil + rng.normal(0, 1, HOURS),
    }  # fmt: skip


def _hours():
    import pandas as pd

    return pd.date_range("2010-01-01", periods=HOURS, freq="h")


def flags_ours(data):
    import xarray as xr

    from vadose import qc
    from vadose.qc.flags import FLAGS

    columns = {COLUMNS[n][0]: ("time", v, {"units": COLUMNS[n][1]}) for n, v in data.items()}
    made = qc.flag(
        xr.Dataset(columns, coords={"time": _hours()}), depth=0.05, saturation=0.42, frost=False, windows="samples"
    )
    bits = made.soil_moisture_flag.values
    return np.array([(bits & FLAGS.mask(c)) != 0 for c in LETTERS])


def flags_theirs(data):
    import pandas as pd
    from flagit import flagit

    out = flagit.Interface(pd.DataFrame(data, index=_hours()), sat_point=42.0, depth_from=0.05).run()
    found = out.qflag.reindex(_hours())
    return np.array(
        [[code in one if isinstance(one, (set, list, str)) else False for one in found] for code in LETTERS]
    )


def flags_agreement(ours, theirs):
    differ = {code: int((a != b).sum()) for code, a, b in zip(LETTERS, ours, theirs, strict=True) if (a != b).any()}
    return f"{f'differ: {differ}' if differ else 'identical flags'} ({int(theirs.sum())} set, {len(LETTERS)} kinds, {HOURS} hours)"


# -- grids ---------------------------------------------------------------------------------------------------------------


def fields():
    """Global daily fields of 0.25 degrees with a sea mask and another swath gap every day, single precision."""
    rng = np.random.default_rng(4)
    days, lat, lon = 20, np.arange(-89.875, 90, 0.25), np.arange(-179.875, 180, 0.25)
    base = 0.25 + 0.15 * np.cos(np.deg2rad(2 * lat))[:, None] + 0.05 * np.sin(np.deg2rad(3 * lon))[None, :]
    sea = rng.random((72, 144)).repeat(10, 0).repeat(10, 1) < 0.35
    out = (base + rng.normal(0, 0.02, (days, *base.shape))).astype("float32")
    for day in range(days):
        out[day, sea | (((lon + 7 * day) % 25) < 9)[None, :]] = np.nan
    return {"values": out, "lat": lat, "lon": lon}


def _field(data):
    import pandas as pd
    import xarray as xr

    time = pd.date_range("2017-01-01", periods=data["values"].shape[0])
    return xr.DataArray(
        data["values"],
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": data["lat"], "lon": data["lon"]},
        name="x",
    )


def regrid_ours(data):
    from vadose.harmonize import Grid, regrid

    return regrid(_field(data), Grid.regular((-180, -90, 180, 90), 1.0)).x.values


def warm_bandwidth(data):
    """One thread's rate of reading the fields while it regrids them, over its rate of copying them into memory that is there."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    from vadose.harmonize import Grid, regrid

    warm_regrid(data)
    values, copy = data["values"], np.zeros_like(data["values"])
    field, target = _field(data), Grid.regular((-180, -90, 180, 90), 1.0)

    def least(work):
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    with ThreadPoolExecutor(1) as pool:  # beside the main thread vadose does not split its work
        data["share"] = least(lambda: np.copyto(copy, values)) / least(
            lambda: pool.submit(regrid, field, target).result()
        )


def bandwidth_ours(data):
    return {"values": regrid_ours(data), "share": data["share"]}


def regrid_theirs(data):
    import xarray as xr
    import xarray_regrid  # noqa: F401

    target = xr.Dataset(coords={"lat": np.arange(-89.5, 90), "lon": np.arange(-179.5, 180)})
    field = _field(data).chunk(time=10)
    out = field.regrid.conservative(target, latitude_coord="lat", skipna=True, nan_threshold=0.5)
    return out.transpose("time", "lat", "lon").compute().values


def regrid_agreement(found, theirs):
    ours = found["values"]
    a, b = ours[:, 2:-2], theirs[:, 2:-2]
    both = np.isfinite(a) & np.isfinite(b)
    lone = (np.isfinite(a) != np.isfinite(b)).mean()
    polar = np.nanmax(np.abs(ours[:, [0, -1]] - theirs[:, [0, -1]]))
    return f"largest difference {np.abs(a - b)[both].max():.1e} off the poles, {polar:.1e} in polar rows; {lone:.2%} of cells valid in one only; one thread reads the fields at {found['share']:.0%} of the rate of a copy"


def _csr(source_edges, target_edges):
    """Weights of separable grids as one sparse matrix (target cells, source cells)."""
    from scipy import sparse

    from vadose.harmonize.grid import overlaps

    (slat, slon), (tlat, tlon) = source_edges, target_edges

    def one(o, rows, columns):
        return sparse.csr_array((o.weight, o.index, o.start), shape=(rows, columns))

    lat = one(overlaps(np.sin(np.deg2rad(slat)), np.sin(np.deg2rad(tlat))), tlat.size - 1, slat.size - 1)
    lon = one(overlaps(np.deg2rad(slon), np.deg2rad(tlon), period=2 * np.pi), tlon.size - 1, slon.size - 1)
    return sparse.kron(lat, lon, format="csr")


def fields_with_matrix(name=""):
    from vadose.harmonize import Grid

    data = fields()
    source, target = Grid.of(_field(data)), Grid.ease2(name) if name else Grid.regular((-180, -90, 180, 90), 1.0)
    data["matrix"] = _csr((source.lat_edges, source.lon_edges), (target.lat_edges, target.lon_edges))
    data["area"] = target.area.ravel()
    data["shape"] = target.area.shape
    return data


def fields_to_ease2():
    return fields_with_matrix("M36")


def csr_theirs(data):
    out = np.empty((data["values"].shape[0], *data["shape"]))
    for day, field in enumerate(data["values"]):
        flat = field.ravel()
        good = np.isfinite(flat)
        top, bottom = data["matrix"] @ np.where(good, flat, 0.0), data["matrix"] @ good.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[day] = np.where(bottom >= 0.5 * data["area"], top / bottom, np.nan).reshape(data["shape"])
    return out


def ease2_ours(data):
    from vadose.harmonize import Grid, regrid

    return regrid(_field(data), Grid.ease2("M36")).x.values


def csr_agreement(ours, theirs):
    both = np.isfinite(ours) & np.isfinite(theirs)
    lone = int((np.isfinite(ours) != np.isfinite(theirs)).sum())
    return f"largest difference {np.abs(ours - theirs)[both].max():.1e}; {lone} of {ours.size} cells valid in one only (share at the limit)"


def _small(data):
    return data[:, :20]


def warm_regrid(data):
    regrid_ours({**data, "values": data["values"][:1]})


def warm_match(data):
    small = {"moments": data["moments"][:50], "hourly": data["hourly"][:1, :2000], "daily": data["daily"][:1, :100]}
    nearest_ours(small), window_ours(small)


GRID = "20 days of 720 x 1440, gaps differ daily"
PYTESMO = ("pytesmo", "numpy", "pandas")

JOBS: tuple[Job, ...] = (
    Job("validate-end-to-end", "match, five scores, ranks and intervals", "1000 series x 10 y", "pytesmo Validation", two, end_to_end_ours, end_to_end_theirs, pair_agreement, warm=lambda d: end_to_end_ours(_small(d)), packages=PYTESMO, environment=PEERS, their_repeats=1),
    Job("pair-metrics", "pair metrics with intervals", "1000 pairs x 3653 d", "pytesmo PairwiseIntercomparisonMetrics", two, pair_ours, pair_theirs, pair_agreement, warm=lambda d: pair_ours(_small(d)), packages=PYTESMO, environment=PEERS),
    Job("pair-metrics-spearman", "pair metrics with ranks and intervals", "1000 pairs x 3653 d", "pytesmo PairwiseIntercomparisonMetrics", two, pair_spearman_ours, pair_spearman_theirs, pair_agreement, warm=lambda d: pair_spearman_ours(_small(d)), packages=PYTESMO, environment=PEERS),
    Job("five-metrics", "mean error, rmsd, mse, correlation and its p in one pass", "1000 pairs x 3653 d", "xskillscore", two, five_ours, five_theirs, five_agreement, warm=lambda d: five_ours(_small(d)), packages=("xskillscore", "numpy", "xarray"), environment=PEERS),
    Job("triple-collocation", "triple collocation", "1000 triplets x 3653 d", "pytesmo TripleCollocationMetrics", three, tc_ours, tc_theirs, tc_agreement, warm=lambda d: tc_ours(_small(d)), packages=PYTESMO, environment=PEERS),
    Job("tc-bootstrap", "triple collocation with 1000 draws", "10 triplets x 3653 d", "pytesmo (single days drawn)", three_few, boot_ours, boot_theirs, boot_agreement, warm=lambda d: boot_ours(d[:, :1]), packages=PYTESMO, environment=PEERS),
    Job("cdf-match", "CDF matching, 100 bins", "1000 pairs x 3653 d", "pytesmo cdf_match", two, cdf_ours, cdf_theirs, _worst, warm=lambda d: cdf_ours(_small(d)), packages=PYTESMO, environment=PEERS),
    Job("climatology-anomaly", "two-window climatology and anomaly", "200 series x 3653 d", "pytesmo", season, season_ours, season_theirs, season_agreement, warm=lambda d: season_ours(_small(d)), packages=PYTESMO, environment=PEERS),
    Job("ismn-flags", "all ISMN flags with ancillary data", "10 y hourly station", "flagit", station, flags_ours, flags_theirs, flags_agreement, warm=flags_ours, packages=("flagit", "numpy", "pandas"), environment=PEERS, their_repeats=1),
    Job("match-nearest", "nearest sample within 6 h", "100 x (hourly 10 y + daily) to 3653 moments", "pytesmo combined_temporal_collocation", streams, nearest_ours, nearest_theirs, nearest_agreement, warm=warm_match, packages=PYTESMO, environment=PEERS),
    Job("match-window", "mean within 6 h", "100 x (hourly 10 y + daily) to 3653 moments", "pytesmo combined_temporal_collocation", streams, window_ours, window_theirs, _worst, warm=warm_match, packages=PYTESMO, environment=PEERS),
    Job("regrid-conservative", "conservative 0.25 to 1 degree with gaps", GRID, "xarray-regrid (dask, no sparse)", fields, bandwidth_ours, regrid_theirs, regrid_agreement, warm=warm_bandwidth, packages=("xarray-regrid", "numpy", "xarray"), environment=PEERS),
    Job("regrid-csr", "conservative 0.25 to 1 degree with gaps", GRID, "scipy CSR, numerator and denominator", fields_with_matrix, regrid_ours, csr_theirs, csr_agreement, warm=warm_regrid, packages=("scipy", "numpy")),
    Job("regrid-ease2", "conservative 0.25 degree to EASE-Grid 2.0 M36", GRID, "scipy CSR, numerator and denominator", fields_to_ease2, ease2_ours, csr_theirs, csr_agreement, warm=warm_regrid, packages=("scipy", "numpy")),
)  # fmt: skip
