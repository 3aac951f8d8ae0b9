"""Map models against known truth: what the optimist sees, what the intervals hold, where the map ends, what is refused."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from vadose import cf, learn
from vadose.errors import (
    DimensionError,
    NotFoundError,
    TooFewSamplesError,
    UnitsError,
    UnreadableFileError,
    VadoseInputError,
    VadoseWarning,
)
from vadose.learn import applicability, evaluate, explain, intervals, splits

FAST = {
    "forest": learn.Forest(trees=40),
    "boosted": learn.Boosted(rounds=60),
    "oblivious": learn.Oblivious(rounds=80, depth=4),
}


def smooth(rng, sd, size=120):
    field = gaussian_filter(rng.normal(size=(size, size)), sd, mode="wrap")
    return (field - field.mean()) / field.std()


def clustered_world(seed):
    """The field of the specification: five predictors, three at work, clustered samples, an unseen smooth residual."""
    rng = np.random.default_rng(seed)
    x = np.stack([smooth(rng, sd) for sd in (4, 6, 8, 10, 12)])
    truth = 0.25 + 0.04 * x[0] + 0.02 * x[1] + 0.01 * x[2] + 0.02 * smooth(rng, 8)
    centers = rng.integers(0, 120, (20, 2))
    at = (np.repeat(centers, 20, axis=0) + rng.integers(-5, 6, (400, 2))) % 120
    y = truth[at[:, 0], at[:, 1]] + rng.normal(0, 0.01, 400)
    return x, truth, x[:, at[:, 0], at[:, 1]].T.astype("float32"), y, np.repeat(np.arange(20), 20)


def heteroscedastic(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, 5)).astype("float32")
    sd = 0.01 + 0.04 * x[:, 1]
    return x, 0.2 + 0.1 * x[:, 0] + rng.normal(size=n) * sd, sd


def table_of(x, y, **coords):
    data = {f"p{j}": ("sample", x[:, j], {"units": "1"}) for j in range(x.shape[1])}
    rng = np.random.default_rng(9)
    place = {"lat": ("sample", rng.uniform(40, 44, y.size)), "lon": ("sample", rng.uniform(-100, -95, y.size))}
    return xr.Dataset({**data, "soil_moisture": ("sample", y, {"units": "m3 m-3"})}, coords={**place, **coords})


@pytest.mark.slow
def test_c_t1_1_2_the_random_split_flatters_and_the_blocks_tell_the_truth():
    rows = []
    for seed in range(8):
        x, truth, xs, y, cluster = clustered_world(seed)
        table = table_of(xs, y)
        names = tuple(f"p{j}" for j in range(5))
        forest = learn.Forest(trees=150)
        folds = {"random": splits.random_folds(400, rng=seed), "block": splits.group_folds(cluster, k=10, rng=seed)}
        est = {s: np.sqrt(np.mean((evaluate.out_of_fold(table, f, target="soil_moisture", predictors=names, estimator=forest, rng=seed) - y) ** 2)) for s, f in folds.items()}  # fmt: skip
        fitted = learn.Forest(trees=150).fit(xs, y, rng=seed)
        predicted = fitted.predict(x.reshape(5, -1).T.astype("float32"))
        error = np.sqrt(np.mean((predicted - truth.reshape(-1)) ** 2))
        assert np.corrcoef(predicted, truth.reshape(-1))[0, 1] >= 0.78
        assert est["random"] < error
        assert est["random"] < est["block"]
        rows.append((est["random"], error, est["block"]))
    random, true, block = np.mean(rows, axis=0)
    assert random == pytest.approx(0.021, rel=0.15)
    assert true == pytest.approx(0.030, rel=0.15)
    assert block == pytest.approx(0.034, rel=0.15)


def test_c_t1_1_3_forest_intervals_follow_the_spread():
    x, y, _ = heteroscedastic(2000, 1)
    new, truth, sd = heteroscedastic(1000, 2)
    forest = learn.Forest(trees=200).fit(x, y, rng=0)
    q = forest.quantiles(new, (0.05, 0.95))
    assert 0.88 <= intervals.coverage(truth, q[:, 0], q[:, 1]) <= 0.98
    assert np.corrcoef(q[:, 1] - q[:, 0], sd)[0, 1] >= 0.5


def test_forest_quantiles_equal_the_plain_definition():
    x, y, _ = heteroscedastic(700, 3)
    forest = learn.Forest(trees=20).fit(x, y, rng=0)
    new = heteroscedastic(50, 4)[0]
    leaves, mates = forest.estimator.apply(new), forest.estimator.apply(x)
    levels = (0.95, 0.05, 0.5)  # any order
    got = forest.quantiles(new, levels)
    order = np.argsort(y)
    for r in range(50):
        same = mates == leaves[r]
        weight = (same / same.sum(axis=0)).mean(axis=1)
        cdf = np.cumsum(weight[order])
        want = [y[order][np.searchsorted(cdf, q - 1e-12)] for q in levels]
        np.testing.assert_allclose(got[r], want)


def test_c_t1_1_4_training_points_are_like_themselves_and_far_points_are_flagged():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    area = applicability.fit(x, folds=splits.random_folds(200), importance=np.array([1.0, 0.5, 0.2]))
    np.testing.assert_allclose(area.dissimilarity(x), 0.0, atol=1e-12)
    reach = max(np.linalg.norm(a - b) for a in x for b in x)
    far = x[:1] + np.array([[10 * reach, 0, 0]])
    assert area.dissimilarity(far)[0] > area.limit
    assert np.isnan(area.dissimilarity(np.array([[np.nan, 0, 0]]))[0])


@pytest.mark.parametrize("kind", list(FAST))
def test_calibrated_intervals_hold_on_the_map_within_two_points(kind):
    # Sites at random over the map: exchangeable with the pixels, so conformal intervals must hold their nominal coverage.
    x, y, _ = heteroscedastic(4000, 5)
    table = table_of(x, y)
    model = learn.fit(
        table, estimator=FAST[kind], folds=splits.random_folds(4000, k=5), calibrated_on="random folds of random sites"
    )
    new, truth, _ = heteroscedastic(20000, 6)
    values = model.arrays(new)
    assert intervals.coverage(truth, values["q05"], values["q95"]) == pytest.approx(0.90, abs=0.02)
    assert intervals.coverage(truth, values["q16"], values["q84"]) == pytest.approx(0.68, abs=0.02)


@pytest.mark.slow
def test_blocks_calibrate_where_random_folds_lie():
    """The lesson kept alive: on clustered stations with an unseen control, random calibration breaks its promise."""
    held = {"random": [], "block": []}
    for seed in range(6):
        x, truth, xs, y, cluster = clustered_world(seed)
        new = x.reshape(5, -1).T.astype("float32")[::7]
        y_new = truth.reshape(-1)[::7]
        for name, folds in (("random", splits.random_folds(400, rng=0)), ("block", splits.group_folds(cluster, k=10))):
            model = learn.fit(table_of(xs, y), estimator=learn.Oblivious(rounds=100, depth=4), folds=folds, rng=0)
            values = model.arrays(new, parts=("mean", "quantiles"))
            held[name].append(intervals.coverage(y_new, values["q05"], values["q95"]))
    assert np.mean(held["block"]) >= 0.88
    assert np.mean(held["random"]) <= np.mean(held["block"]) - 0.08


def test_shuffled_targets_leave_no_skill():
    x, y, _ = heteroscedastic(600, 7)
    table = table_of(x, np.random.default_rng(0).permutation(y))
    out = evaluate.compare(table, predictors=tuple(f"p{j}" for j in range(5)), estimator=FAST["forest"])
    assert float(out.skill.sel(model="forest").max()) < 0.05
    honest = evaluate.compare(table_of(x, y), predictors=tuple(f"p{j}" for j in range(5)), estimator=FAST["forest"])
    assert float(honest.skill.sel(model="forest").min()) > 0.3
    assert not bool(honest.no_skill.sel(model="linear").any())
    assert honest.rmsd.attrs["units"] == "m3 m-3"
    share = table_of(x, y).rename(soil_moisture="ratio").assign(ratio=("sample", y, {"units": "1"}))
    scores = evaluate.compare(share, target="ratio", predictors=("p0",), folds={"random": splits.random_folds(600, k=2)}, estimator=FAST["oblivious"])  # fmt: skip
    assert scores.rmsd.attrs["units"] == scores.nse.attrs["units"] == "1"


def test_importance_finds_the_drivers_and_noise_ranks_last():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(800, 4)).astype("float32")
    x[:, 2] = x[:, 0] + rng.normal(0, 0.001, 800)  # a twin of the strongest driver
    y = 0.3 * x[:, 0] + 0.1 * x[:, 1] + rng.normal(0, 0.01, 800)
    table, names = table_of(x, y), ("p0", "p1", "p2", "p3")
    folds = splits.random_folds(800, k=4)
    alone = explain.importance(table, folds, predictors=names, estimator=FAST["oblivious"])
    together = explain.importance(
        table,
        folds,
        predictors=names,
        estimator=FAST["oblivious"],
        groups={"twins": ("p0", "p2"), "weak": ("p1",), "noise": ("p3",)},
    )
    assert list(together.group.values) == ["twins", "weak", "noise"]
    assert float(together.importance.sel(group="noise")) < 0.01 * float(together.importance.sel(group="weak"))
    assert float(together.importance.sel(group="twins")) > float(alone.importance.sel(group="p0"))


@pytest.mark.parametrize("kind", list(FAST))
def test_shapley_values_add_up_to_the_prediction(kind):
    if kind != "oblivious":
        pytest.importorskip("shap")
    x, y, _ = heteroscedastic(400, 8)
    table = table_of(x, y)
    model = learn.fit(table, estimator=FAST[kind], folds=splits.random_folds(400, k=3))
    out = explain.shapley(model, table.isel(sample=slice(0, 50)))
    total = out.shapley.sum("predictor") + out.expected
    np.testing.assert_allclose(total, model.arrays(x[:50], parts=("mean",))["mean"], atol=2e-5)
    assert str(abs(out.shapley).mean("sample").idxmax().values) == "p0"


def cube(model_rng=0, time=None):
    rng = np.random.default_rng(model_rng)
    lat, lon = np.linspace(40, 44, 23), np.linspace(-100, -95, 31)
    dims, shape = ("lat", "lon"), (23, 31)
    out = xr.Dataset(
        {f"p{j}": (dims, rng.uniform(size=shape).astype("float32"), {"units": "1"}) for j in range(5)},
        coords={"lat": lat, "lon": lon},
    )
    if time is not None:
        out["p0"] = (("time", *dims), rng.uniform(size=(time, *shape)).astype("float32"), {"units": "1"})
        out = out.assign_coords(time=np.datetime64("2020-01-01", "ns") + np.arange(time) * np.timedelta64(1, "D"))
    return out.where((out.lat < 43.5) | (out.lon > -97)).transpose("time", "lat", "lon", missing_dims="ignore")


@pytest.fixture(scope="module")
def trained():
    x, y, _ = heteroscedastic(500, 1)
    return {
        k: learn.fit(table_of(x, y), estimator=e, folds=splits.random_folds(500, k=4), calibrated_on="random folds")
        for k, e in FAST.items()
    }


@pytest.mark.parametrize("kind", list(FAST))
def test_c_t1_1_5_chunks_do_not_change_the_map(trained, kind):
    data = cube(time=3)
    whole = learn.predict_map(trained[kind], data)
    assert whole.soil_moisture.dims == ("time", "lat", "lon")
    for chunks in ({"time": 1, "lat": 7, "lon": 31}, {"time": 2, "lat": 23, "lon": 8}):
        lazy = learn.predict_map(trained[kind], data.chunk(chunks))
        assert lazy.soil_moisture.chunks is not None
        xr.testing.assert_identical(lazy.compute(), whole)


@pytest.mark.parametrize("kind", FAST)
def test_quantiles_alone_put_the_median_in_the_means_place(trained, kind):
    alone, both = (learn.predict_map(trained[kind], cube(), parts=p) for p in (("quantiles",), ("mean", "quantiles")))
    np.testing.assert_array_equal(alone.soil_moisture, both.soil_moisture_q50)
    np.testing.assert_array_equal(alone.soil_moisture_q05, both.soil_moisture_q05)
    assert not np.array_equal(alone.soil_moisture, both.soil_moisture)


def test_map_says_where_to_doubt_it(trained):
    data = cube()
    data["p0"][3, 3] = np.nan
    data["p1"][5, 5] = 50.0
    out = learn.predict_map(trained["boosted"], data)
    assert out.soil_moisture.attrs["ancillary_variables"].split()[0].startswith("soil_moisture_q05")
    flag = out.soil_moisture_flag
    assert bool(cf.has_flag(flag, "missing_predictor")[3, 3])
    assert bool(cf.has_flag(flag, "outside_area_of_applicability")[5, 5])
    assert int(flag[7, 7]) == 0
    assert np.isnan(out.soil_moisture[-1, 0])  # no predictor at all
    assert out.attrs["model_digest"] == trained["boosted"].digest
    low, high = out.soil_moisture_q05.values, out.soil_moisture_q95.values
    assert np.nanmin(high - low) > 0


@pytest.mark.parametrize("tile", [{"lat": 10, "lon": 9}, {"time": 2, "lat": 23, "lon": 31}])
def test_written_map_equals_the_lazy_one_and_resumes(trained, tmp_path, tile, monkeypatch):
    import zarr

    from vadose.learn import mapping

    data, model, store = cube(time=3), trained["forest"], str(tmp_path / "map.zarr")
    heard, real, calls = [], mapping._tile, []

    def fragile(*args):
        calls.append(args[2])
        if len(calls) == 2:
            raise RuntimeError("the worker was killed")
        real(*args)

    monkeypatch.setattr(mapping, "_tile", fragile)
    with pytest.raises(RuntimeError, match="killed"):
        learn.write_map(model, data, store, tile=tile, at_once=1)
    before = set(np.flatnonzero(zarr.open_group(store, mode="r")["tile_done"][:]))
    calls.clear()
    monkeypatch.setattr(mapping, "_tile", lambda *a: (calls.append(a[2]), real(*a))[1])
    assert before == {0}
    learn.write_map(model, data, store, tile=tile, report=lambda d, n: heard.append((d, n)))
    assert 0 not in calls
    assert heard[0][0] == 1
    assert heard[-1][0] == heard[-1][1]
    got = xr.open_zarr(store, consolidated=False, mask_and_scale=False).drop_vars("tile_done", errors="ignore")
    want = learn.predict_map(model, data)
    for name in want.data_vars:
        np.testing.assert_array_equal(got[name].values, want[name].values)
    with pytest.raises(VadoseInputError, match="another model"):
        learn.write_map(trained["boosted"], data, store, tile=tile)


def read_blocks(data, chunks, seen):
    """Lazy predictors that note the shape of each of their blocks that is read."""

    def noted(block):
        if block.size:
            seen.append(block.shape)
        return block

    lazy = data.chunk(chunks)
    return lazy.assign(
        {n: lazy[n].copy(data=lazy[n].data.map_blocks(noted, dtype=lazy[n].dtype)) for n in lazy.data_vars}
    )


def test_a_tile_reads_its_own_blocks_and_no_others(trained, tmp_path):
    seen, heard, tile = [], [], {"lat": 6, "lon": 10}
    data = read_blocks(cube(), tile, seen)
    learn.write_map(trained["oblivious"], data, str(tmp_path / "map.zarr"), tile=tile, at_once=2, report=lambda *now: heard.append((*now, len(seen))))  # fmt: skip
    assert heard[:2] == [(0, 16, 0), (2, 16, 2 * 5)]
    assert heard[-1] == (16, 16, 16 * 5)
    got = xr.open_zarr(tmp_path / "map.zarr", chunks=None, consolidated=False)
    np.testing.assert_array_equal(got.soil_moisture, learn.predict_map(trained["oblivious"], cube()).soil_moisture)


def test_predictors_of_unlike_chunks_make_the_same_map(trained):
    data = cube(time=2)
    mixed = data.assign(p0=data.p0.chunk(lat=5), p1=data.p1.chunk(lat=7, lon=4))
    lazy = learn.predict_map(trained["oblivious"], mixed)
    assert lazy.soil_moisture.chunks is not None
    xr.testing.assert_identical(lazy.compute(), learn.predict_map(trained["oblivious"], data))


def test_a_map_goes_nowhere_else(trained, tmp_path):
    """Neither over other data, nor on where another place or day was mapped."""
    model, data, store = trained["oblivious"], cube(), str(tmp_path / "map.zarr")
    data.to_zarr(tmp_path / "predictors.zarr", consolidated=False)
    for resume in (True, False):
        with pytest.raises(VadoseInputError, match=r"something else than a map \(lat, lon, p0"):
            learn.write_map(model, data, str(tmp_path / "predictors.zarr"), resume=resume)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "predictors.zarr", chunks=None, consolidated=False), data)
    learn.write_map(model, data, store, parts=("mean",))
    learn.write_map(model, data, store, parts=("mean",))  # all done: nothing to do
    north = data.assign_coords(lat=data.lat + 5)
    with pytest.raises(VadoseInputError, match="grid"):
        learn.write_map(model, north, store, parts=("mean",))
    learn.write_map(model, north, store, parts=("mean",), resume=False)
    assert float(xr.open_zarr(store, consolidated=False).lat[0]) == 45.0
    for wrong, error, words in (
        ({"tile": {"x": 5}}, DimensionError, "'x', the predictors have lat, lon"), ({"tile": {"lat": 0}}, VadoseInputError, "1 or more"),
        ({"tile": {"lat": 2.5}}, VadoseInputError, "whole number"), ({"at_once": 0}, VadoseInputError, "1 tile"),
        ({"parts": ("mean", "quantile")}, NotFoundError, "quantiles"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            learn.write_map(model, data, str(tmp_path / "none.zarr"), **wrong)
    assert not (tmp_path / "none.zarr").exists()
    with pytest.raises(NotFoundError, match="quantiles"):
        learn.predict_map(model, data, parts=("quantile",))


def test_tiles_side_by_side_leave_dasks_settings_alone(trained, tmp_path):
    """A setting made for a read and taken back would be taken back by another tile at another time, and stay: one thread from then on."""
    import threading

    import dask

    seen = []

    def noted(block):
        if block.size:
            seen.append((threading.get_ident(), dask.config.get("scheduler", None)))
        return block

    data = cube().chunk({"lat": 6, "lon": 10})
    data = data.assign(
        {n: data[n].copy(data=data[n].data.map_blocks(noted, dtype=data[n].dtype)) for n in data.data_vars}
    )
    with dask.config.set(num_workers=2):
        learn.write_map(trained["oblivious"], data, str(tmp_path / "map.zarr"), tile={"lat": 6, "lon": 10}, at_once=2)
    assert {setting for _, setting in seen} == {None}
    assert len({thread for thread, _ in seen}) == 2  # a tile reads in its own thread, not in more
    assert dask.config.get("scheduler", None) is None


def test_a_written_map_goes_into_a_geotiff(trained, tmp_path):
    from PIL import Image

    data = cube()
    learn.write_map(trained["oblivious"], data, str(tmp_path / "map.zarr"), tile={"lat": 10, "lon": 16})
    written = xr.open_zarr(tmp_path / "map.zarr", chunks=None, consolidated=False, mask_and_scale=False)
    for name in ("soil_moisture", "soil_moisture_flag"):
        learn.raster.write_cog(written[name], tmp_path / f"{name}.tif", tile=16)
        with Image.open(tmp_path / f"{name}.tif") as image:
            np.testing.assert_array_equal(np.asarray(image), written[name].values[::-1])  # north is up


def traced(model, data, store, tile, stop=None):
    """Bytes of Python and numpy at the peak of preparing the map, and at the peak of any tile; `stop` tiles suffice."""
    import gc
    import tracemalloc

    peaks = []

    def heard(done, _):
        peaks.append(tracemalloc.get_traced_memory()[1])
        gc.collect()  # what waits for the collector would count as another tile's
        tracemalloc.reset_peak()
        if done == stop:
            raise KeyboardInterrupt

    gc.collect()
    tracemalloc.start()
    try:
        learn.write_map(model, data, str(store), tile=tile, parts=("mean",), at_once=1, report=heard)
    except KeyboardInterrupt:
        pass
    finally:
        tracemalloc.stop()
    return peaks[0], max(peaks[1:], default=0)


def wide_cube(side, folder=None):
    """Five predictors of side x side cells, the first on two days; on disk in tiles of 256 where a folder is given."""
    rng = np.random.default_rng(0)
    names = {f"p{j}": ("time", "lat", "lon")[j > 0 :] for j in range(5)}
    place = {"lat": np.linspace(40, 44, side), "lon": np.linspace(-100, -95, side)}

    def field(dims):
        shape = (2, side, side)[-len(dims) :]
        return rng.random(shape, dtype="float32") if folder else np.broadcast_to(np.float32(0.5), shape)

    data = xr.Dataset({n: (dims, field(dims), {"units": "1"}) for n, dims in names.items()}, coords=place)
    if folder is None:
        return data
    encoding = {n: {"chunks": (1, 256, 256)[-v.ndim :]} for n, v in data.data_vars.items()}
    data.to_zarr(str(folder), consolidated=False, encoding=encoding)
    return xr.open_zarr(str(folder), chunks=None, consolidated=False)


def test_memory_of_a_map_is_bounded_by_its_tiles(trained, tmp_path):
    """Four times the pixels in the same tiles need the same memory, static fields beside daily ones included."""
    tile, peaks = {"time": 1, "lat": 256, "lon": 256}, []
    for side in (256, 512):
        lazy = wide_cube(side, tmp_path / f"predictors-{side}.zarr")
        peaks.append(traced(trained["oblivious"], lazy, tmp_path / f"map-{side}.zarr", tile)[1])
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[0] > 5 * 256 * 256 * 4  # the predictors of one tile were seen by the measurement


def test_what_is_kept_of_a_map_does_not_grow_with_its_tiles(trained, tmp_path):
    """A map of 131,072 tiles is prepared in the memory of one with 512: nothing but eight bytes a tile is kept."""
    tile, few, many = {"time": 1, "lat": 8, "lon": 8}, 128, 2048
    low, _ = traced(trained["oblivious"], wide_cube(few), tmp_path / "few.zarr", tile, stop=0)
    high, _ = traced(trained["oblivious"], wide_cube(many), tmp_path / "many.zarr", tile, stop=0)
    places = 2 * 8 * (many - few) * 4  # lat and lon in double precision, and copies while they are written
    assert high - low < 16 * 2 * (many // 8) ** 2 + places


@pytest.mark.parametrize("kind", list(FAST))
def test_models_survive_the_disk(trained, tmp_path, kind):
    model = trained[kind]
    learn.save(model, tmp_path / "m")
    learn.save(model, tmp_path / "m")  # again: replaced whole
    back = learn.load(tmp_path / "m")
    assert back.digest == model.digest
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    xr.testing.assert_identical(learn.predict_map(back, cube()), learn.predict_map(model, cube()))


def test_strange_files_are_refused(trained, tmp_path):
    with pytest.raises(UnreadableFileError, match=r"model\.json"):
        learn.load(tmp_path)
    learn.save(trained["boosted"], tmp_path / "m")
    words = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps({**words, "format": "other"}))
    with pytest.raises(UnreadableFileError, match="format"):
        learn.load(tmp_path / "m")
    (tmp_path / "m" / "model.json").write_text("[1, 2]")
    with pytest.raises(UnreadableFileError, match="format 'list'"):
        learn.load(tmp_path / "m")


@pytest.mark.parametrize("kind", list(FAST))
def test_damaged_and_missing_files_of_a_model_are_named(trained, tmp_path, kind):
    learn.save(trained[kind], tmp_path / "m")
    for file in sorted((tmp_path / "m").iterdir()):
        whole = file.read_bytes()
        flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
        for part in (whole[: len(whole) // 2], b"", *([] if file.suffix == ".json" else [flipped])):
            file.write_bytes(part)
            with pytest.raises(UnreadableFileError, match=file.name):
                learn.load(tmp_path / "m")
        file.unlink()
        with pytest.raises(UnreadableFileError, match=file.name):
            learn.load(tmp_path / "m")
        file.write_bytes(whole)
    assert learn.load(tmp_path / "m").digest == trained[kind].digest


@pytest.mark.parametrize(
    "strange", [eval, {"mean": eval}, {"mean": np.load}, {"mean": np.arange(3)}, {"mean": Fraction(1, 2)}]
)
def test_trees_that_are_no_trees_are_not_loaded(trained, tmp_path, strange):
    """A stranger's folder may hold any object with sums that fit; only classes that make up trees are brought to life."""
    import skops.io

    learn.save(trained["boosted"], tmp_path / "m")
    skops.io.dump(strange, tmp_path / "m" / "trees.skops")
    words = json.loads((tmp_path / "m" / "model.json").read_text())
    words["files"]["trees.skops"] = hashlib.sha256((tmp_path / "m" / "trees.skops").read_bytes()).hexdigest()
    (tmp_path / "m" / "model.json").write_text(json.dumps(words))
    with pytest.raises(UnreadableFileError, match=r"no tree model needs|does not hold a HistGradient"):
        learn.load(tmp_path / "m")


def test_missing_predictors_in_training_are_marked_for_the_forest():
    x, y, _ = heteroscedastic(600, 1)
    gone = np.random.default_rng(0).random(600) < 0.3
    y = y + 0.1 * gone  # absence itself carries a signal
    x[gone, 3] = np.nan
    model = learn.fit(table_of(x, y), estimator=FAST["forest"], folds=splits.random_folds(600, k=3))
    assert model.flagged.tolist() == [3]
    there, absent = x[:1].copy(), x[:1].copy()
    there[0, 3], absent[0, 3] = 0.5, np.nan
    assert model.arrays(absent)["mean"][0] > model.arrays(there)["mean"][0] + 0.05


def test_bad_input_is_named(trained):
    x, y, _ = heteroscedastic(500, 1)
    with pytest.raises(TooFewSamplesError):
        learn.Forest().fit(x[:20], y[:20])
    with pytest.raises(NotFoundError, match="p4"):
        learn.predict_map(trained["forest"], cube().drop_vars("p4"))
    with pytest.raises(UnitsError, match="K"):
        learn.predict_map(trained["forest"], cube().assign(p4=cube().p4.assign_attrs(units="K")))
    with pytest.raises(NotFoundError, match="boosted"):
        learn.fit(table_of(x, y), estimator="boostd")
    table = table_of(x, y)
    for call in (learn.fit, evaluate.compare):
        with pytest.raises(NotFoundError, match="unknown predictor 'p8'"):
            call(table, predictors=("p0", "p8"))
        with pytest.raises(NotFoundError, match="unknown target 'sm'"):
            call(table, target="sm", predictors=("p0",))
        with pytest.raises(VadoseInputError, match="teach its own answer"):
            call(table, predictors=("p0", "soil_moisture"))
    for strange in (learn.Forest, Fraction(1, 2)):
        with pytest.raises(VadoseInputError, match="estimator must be one of 'forest'"):
            learn.fit(table, estimator=strange)
    with pytest.raises(DimensionError, match="'lat' of every sample"):
        learn.fit(table.drop_vars(["lat", "lon"]))
    with pytest.raises(DimensionError, match="one number a sample"):
        evaluate.compare(table, predictors=("p0",), folds={"random": np.arange(5)})
    flat = table_of(x, y).assign(p9=("sample", np.ones(500)))
    with pytest.warns(VadoseWarning, match="p9"):
        model = learn.fit(flat, estimator=FAST["boosted"], folds=splits.random_folds(500, k=3))
    assert "p9" not in model.predictors


def test_folds_that_leak_must_be_called_by_their_name():
    x, y, _ = heteroscedastic(120, 1)
    table = table_of(x, y, station=("sample", np.arange(120) // 4))
    options = {"estimator": FAST["boosted"]}
    with pytest.raises(VadoseInputError, match="stations lie in several folds, the first is 0"):
        learn.fit(table, folds=splits.random_folds(120, k=3), **options)
    named = learn.fit(table, folds=splits.random_folds(120, k=3), calibrated_on="random folds", **options)
    assert named.calibrated_on == "random folds"
    whole = learn.fit(table, folds=splits.group_folds(table.station.values, k=3), **options)
    assert whole.calibrated_on == "folds of the caller"
    assert learn.fit(table, **options).calibrated_on == "spatial blocks"
    at = 0.1 * table.station.values
    places = table.drop_vars("station").assign_coords(lat=("sample", at), lon=("sample", -90 - at))
    with pytest.raises(VadoseInputError, match="29 places lie in several folds"):
        learn.fit(places, folds=splits.random_folds(120, k=3), **options)
    with pytest.raises(DimensionError, match="one number a sample"):
        learn.fit(table, folds=np.arange(5), **options)


def test_predictions_at_the_limit_of_the_training_are_flagged():
    """Trees end where their samples end: beyond, the largest target is all they can say, and the flag says that."""
    x = np.random.default_rng(0).uniform(0, 1, (400, 2)).astype("float32")
    y = np.where(x[:, 0] > 0.6, 0.4, 0.1 + 0.4 * x[:, 0])
    forest = learn.Forest(trees=20, share=1.0)  # every tree sees the predictor that counts
    model = learn.fit(table_of(x, y), estimator=forest, folds=splits.random_folds(400, k=3))
    flag = model.arrays(np.array([[5.0, 0.5], [0.3, 0.5]], "float32"))["flag"]
    assert flag[0] & 4
    assert not flag[1] & 4


def test_card_needs_its_fields_and_shows_the_optimist(trained):
    x, y, _ = heteroscedastic(500, 1)
    table = table_of(x, y)
    names = tuple(f"p{j}" for j in range(5))
    scores = evaluate.compare(table, predictors=names, estimator=FAST["boosted"])
    facts = dict.fromkeys(learn.card.REQUIRED, "synthetic")
    with pytest.raises(VadoseInputError, match="frozen_season"):
        learn.card.make(trained["boosted"], scores, **{k: v for k, v in facts.items() if k != "frozen_season"})
    with pytest.raises(VadoseInputError, match="honest"):
        learn.card.make(trained["boosted"], scores.sel(scheme=["random"]), **facts)
    card = learn.card.make(trained["boosted"], scores, **facts)
    assert json.loads(json.dumps(card)) == card
    assert 0.85 < card["coverage_90_out_of_fold"] < 0.95
    text = learn.card.render(card)
    assert "| random | boosted |" in text
    assert "spatial block" in text


@pytest.mark.parametrize("estimator", ["forest", "boosted"])
def test_nothing_of_the_held_out_part_reaches_the_training(estimator):
    """Poison half of a held-out fold: predictions for its other half may not move by a bit (medians, scalers, trees)."""
    x, y, _ = heteroscedastic(300, 1)
    folds, names = np.arange(300) % 3, tuple(f"p{j}" for j in range(5))
    x[::17, 2] = np.nan
    poisoned, y_bad = x.copy(), y.copy()
    bad = (folds == 0) & (np.arange(300) < 150)
    poisoned[bad], y_bad[bad] = 1e6, -9.0
    two = np.where(folds == 0, 0, 1)
    runs = [
        evaluate.out_of_fold(table_of(a, b), two, target="soil_moisture", predictors=names, estimator=FAST[estimator])
        for a, b in ((x, y), (poisoned, y_bad))
    ]
    kept = (folds == 0) & ~bad
    np.testing.assert_array_equal(runs[0][kept], runs[1][kept])
    models = [learn.fit(table_of(a, b), estimator=FAST[estimator], folds=two) for a, b in ((x, y), (poisoned, y_bad))]
    np.testing.assert_array_equal(*(m.out_of_fold.predicted.values[kept] for m in models))
    lines = [evaluate._linear(a.astype(float), b, two)[kept] for a, b in ((x, y), (poisoned, y_bad))]
    np.testing.assert_array_equal(*lines)
