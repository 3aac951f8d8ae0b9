"""Networks for series: what they must reach, what they may not see, and that nothing is lost on the way to disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from vadose.errors import DimensionError, NotFoundError, UnreadableFileError, VadoseInputError, VadoseWarning  # noqa: E402
from vadose.learn import ensembles, sequence, sites, windows  # noqa: E402

SMALL = {
    "lstm": ({"hidden": 24, "dropout": 0.0}, 60, 0.02),
    "dilated_cnn": ({"hidden": 24, "layers": 5, "dropout": 0.0}, 80, 0.01),
    "patch_cnn": ({"hidden": 24, "dropout": 0.0}, 60, 0.02),
    "conv_lstm": ({"hidden": 6, "dropout": 0.0}, 110, 0.03),
    "transformer": ({"hidden": 32, "layers": 2, "heads": 2, "dropout": 0.0}, 150, 0.005),
}
PATCHES = {"patch_cnn": 9, "conv_lstm": 3}  # pixels of a side


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reservoir(n, days, seed, *, patch=0, noise=0.0, static=False):
    """A linear reservoir S(t + 1) = S + P - 0.1 S, its storage over 100 as target."""
    rng = np.random.default_rng(seed)
    p = rng.exponential(5, (n, days)) * (rng.random((n, days)) < 0.3)
    a = rng.uniform(0.05, 0.2, n) if static else np.full(n, 0.1)
    s, now = np.zeros((n, days)), np.full(n, 15.0)
    for t in range(days):
        now = now + p[:, t] - a * now
        s[:, t] = now
    x = p[:, :, None].astype("float32")
    if patch:  # only the middle of the picture matters; a corner is noise
        x = np.broadcast_to(x[..., None, None], (*x.shape, patch, patch)).copy()
        x[..., 0, 0] = rng.normal(size=x.shape[:3])
    y = (s / 100 + noise * rng.normal(size=s.shape))[..., None].astype("float32")
    frozen = np.where(np.arange(days) % 100 < 30, 1.0, 0.0) * np.ones((n, 1))
    return windows.Cube(
        x, a[:, None].astype("float32") if static else np.zeros((n, 0), "float32"), y, np.ones(y.shape, bool), frozen.astype("float32") * np.nan,
        np.ones((n, 1), "float32"), np.datetime64("2015-01-01") + np.arange(days), np.arange(n), ("p",), ("a",) if static else (), np.array([0.05]),
    )  # fmt: skip


def nse(model, data, warm=40):
    predicted, y = model.predict(data).soil_moisture.values[:, warm:], data.y[:, warm:]
    return 1 - ((predicted - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SMALL))
def test_c_t1_2_6_every_architecture_learns_a_reservoir(kind):
    options, epochs, rate = SMALL[kind]
    patch, small = PATCHES.get(kind, 0), kind == "conv_lstm"  # a loop over days, so fewer of them
    train = reservoir(8 if patch else 16, 100 if small else 240 if patch else 360, 0, patch=patch)
    test = reservoir(6, 100 if small else 240, 1, patch=patch)
    model = sequence.fit(train, sequence.Spec(kind, options, window=120, warmup=40, epochs=epochs, batch=8, rate=rate))
    assert nse(model, test) >= 0.95


def drifting(n, days, seed):
    """Rain falls at the western edge of the picture only and drifts a pixel a day; its arrival at the site fills a reservoir."""
    rng = np.random.default_rng(seed)
    edge = rng.exponential(5, (n, days)) * (rng.random((n, days)) < 0.3)
    data = reservoir(n, days, seed)
    x = np.zeros((n, days, 1, 5, 5), "float32")
    x[:, :, 0, 2, 0] = edge
    x[:, :, 0, 2, 2] = rng.exponential(5, (n, days)) * (rng.random((n, days)) < 0.3)  # at the site: rain that is lost
    s, now = np.zeros((n, days)), np.full(n, 15.0)
    for t in range(days):
        now = now + (edge[:, t - 2] if t >= 2 else 0.0) - 0.1 * now
        s[:, t] = now
    return windows.replace(data, x=x, y=(s / 100)[..., None].astype("float32"))


def test_convolutional_memory_follows_what_a_pixel_cannot_see():
    train, test = drifting(40, 30, 0), drifting(16, 30, 1)
    spec = {"window": 30, "warmup": 0, "epochs": 60, "batch": 8, "rate": 0.03}
    follows = sequence.fit(train, sequence.Spec("conv_lstm", {"hidden": 8, "dropout": 0.0}, **spec))
    assert nse(follows, test, warm=10) >= 0.85
    pixel, unseen = (windows.replace(d, x=d.x[..., 2, 2]) for d in (train, test))
    blind = sequence.fit(pixel, sequence.Spec("lstm", {"hidden": 24, "dropout": 0.0}, **spec))
    assert nse(blind, unseen, warm=10) < 0.2


@pytest.mark.parametrize("kind", list(SMALL))
def test_c_t1_2_6_flagged_samples_touch_neither_loss_nor_gradient(kind):
    data = reservoir(3, 60, 0, patch=PATCHES.get(kind, 0))
    spec = sequence.Spec(kind, SMALL[kind][0])
    torch.manual_seed(0)
    net = sequence.build(spec, 1, 0, 2)
    rng = np.random.default_rng(1)
    valid = torch.from_numpy(rng.random(data.y.shape) < 0.6)
    frozen = torch.full(data.y.shape[:2], float("nan"))
    x, static, upper = torch.from_numpy(data.x), torch.from_numpy(data.static), torch.from_numpy(data.upper)
    seen = []
    for _ in range(3):
        y = torch.from_numpy(data.y.copy())
        y[~valid] = torch.from_numpy(rng.choice([np.nan, 1e9, -5.0, 0.1], int((~valid).sum())).astype("float32"))
        net.zero_grad()
        loss = sequence.masked_loss(net(x, static), y, valid, upper, frozen, torch.full((y.shape[-1],), 0.1), 0.1)
        loss.backward()
        seen.append((float(loss.detach()), [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    assert np.isfinite(seen[0][0])
    for value, gradients in seen[1:]:
        assert value == seen[0][0]
        assert all(torch.equal(a, b) for a, b in zip(gradients, seen[0][1], strict=True))


@pytest.mark.parametrize("kind", list(SMALL))
def test_c_t1_2_7_the_future_does_not_change_the_past(kind):
    torch.manual_seed(0)
    net = sequence.build(sequence.Spec(kind, SMALL[kind][0]), 2, 1, 1).eval()
    shape = (3, 50, 2, *[PATCHES[kind]] * 2) if kind in PATCHES else (3, 50, 2)
    x, static = torch.randn(shape), torch.randn(3, 1)
    other = x.clone()
    other[:, 30:] = torch.randn_like(other[:, 30:]) * 10
    with torch.no_grad():
        a, b = net(x, static), net(other, static)
    assert torch.allclose(a[:, :30], b[:, :30], atol=1e-6)
    assert not torch.allclose(a[:, 30:], b[:, 30:])


def quick(kind="lstm", **changes):
    return sequence.Spec(
        kind,
        {"hidden": 12, "dropout": 0.2},
        **{"window": 80, "warmup": 20, "epochs": 4, "batch": 4, "rate": 0.01, **changes},
    )


def test_same_seed_same_weights_and_other_seed_other_weights():
    data = reservoir(6, 160, 0)
    a, b, c = (sequence.fit(data, quick(), seed=s, device="cpu") for s in (1, 1, 2))
    xr.testing.assert_identical(a.predict(data), b.predict(data))
    assert not np.allclose(a.predict(data).soil_moisture, c.predict(data).soil_moisture)


def test_half_precision_learns_the_same_and_keeps_weights_in_single():
    data = reservoir(4, 60, 0)
    spec = sequence.Spec("lstm", {"hidden": 8, "dropout": 0.0}, epochs=15, rate=0.02, batch=4)
    full, half = (sequence.fit(data, spec, precision=p, device="cpu") for p in ("float32", "bfloat16"))
    assert half.history[-1]["loss"] != full.history[-1]["loss"]
    assert half.history[-1]["loss"] == pytest.approx(full.history[-1]["loss"], rel=0.1)
    assert all(p.dtype == torch.float32 for p in half.net.parameters())
    with pytest.raises(NotFoundError, match="bfloat16"):
        sequence.fit(data, spec, precision="float16")


def test_trainings_and_predictions_side_by_side_do_not_meet():
    """Threads share PyTorch's random numbers and the network: each training draws its own, a plain prediction has no dropout."""
    from concurrent.futures import ThreadPoolExecutor

    data = reservoir(6, 100, 0)
    alone = [sequence.fit(data, quick(), seed=s) for s in (1, 2)]
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        both = list(pool.map(lambda s: sequence.fit(data, quick(), seed=s), (1, 2)))
        plain, drawn = alone[0].predict(data), alone[0].predict(data, dropout=4, seed=3)
        calls = [pool.submit(alone[0].predict, data, dropout=n, seed=3) for n in (0, 4) * 6]
        for call, want in zip(calls, (plain, drawn) * 6, strict=True):
            xr.testing.assert_identical(call.result(), want)
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(alone, both, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.net.parameters(), b.net.parameters(), strict=True))


def test_a_training_that_diverges_says_so():
    data = reservoir(4, 60, 0)
    poisoned = windows.replace(data, x=np.where(data.x == data.x.max(), np.nan, data.x))
    with pytest.raises(VadoseInputError, match="diverged"):
        sequence.fit(poisoned, quick())


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    data, stop = reservoir(6, 160, 0), reservoir(3, 160, 5)

    class Killed(Exception):
        pass

    def kill(row):
        if row["epoch"] == 1:
            raise Killed

    with pytest.raises(Killed):
        sequence.fit(data, quick(), held_out=stop, checkpoint=tmp_path, report=kill)
    heard = []
    resumed = sequence.fit(data, quick(), held_out=stop, checkpoint=tmp_path, report=heard.append)
    whole = sequence.fit(data, quick(), held_out=stop)
    assert [h["epoch"] for h in heard] == [2.0, 3.0]
    for a, b in zip(resumed.net.parameters(), whole.net.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(VadoseInputError, match="another spec"):
        sequence.fit(data, quick(rate=0.5), checkpoint=tmp_path)
    with pytest.raises(VadoseInputError, match="another seed"):
        sequence.fit(data, quick(), held_out=stop, seed=4, checkpoint=tmp_path)
    for other in ((stop, data), (data, None)):
        with pytest.raises(VadoseInputError, match="another data"):
            sequence.fit(other[0], quick(), held_out=other[1], checkpoint=tmp_path)
    from safetensors.torch import save

    file = tmp_path / "checkpoint.safetensors"
    for part in (file.read_bytes()[:1000], b"", save({"x": torch.zeros(3)})):
        file.write_bytes(part)
        with pytest.raises(UnreadableFileError, match="checkpoint"):
            sequence.fit(data, quick(), held_out=stop, checkpoint=tmp_path)


@pytest.mark.parametrize("kind", [k for k in SMALL if k != "lstm"])
def test_every_architecture_is_deterministic_resumes_and_survives_the_disk(kind, tmp_path):
    data = reservoir(4, 40, 0, patch=PATCHES.get(kind, 0), static=True)
    options = {**SMALL[kind][0], "dropout": 0.1}

    def spec(epochs):  # the rate falls over the epochs, so an interrupted training has the spec of the whole one
        return sequence.Spec(kind, options, window=30, warmup=5, epochs=epochs, batch=3, rate=0.01)

    def stop(row):
        if row["epoch"] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sequence.fit(data, spec(2), checkpoint=tmp_path / "c", report=stop)
    resumed = sequence.fit(data, spec(2), checkpoint=tmp_path / "c")
    whole = sequence.fit(data, spec(2))
    for a, b in zip(resumed.net.parameters(), whole.net.parameters(), strict=True):
        assert torch.equal(a, b)
    whole.save(tmp_path / "m")
    xr.testing.assert_identical(sequence.load(tmp_path / "m").predict(data), resumed.predict(data))


def damaged(folder, load):
    """Half a file, an empty one, none, a flipped bit of numbers: each is named, and the whole folder loads again."""
    for file in (p for p in sorted(folder.rglob("*")) if p.is_file()):
        whole = file.read_bytes()
        flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
        for part in (whole[: len(whole) // 2], b"", *([] if file.suffix == ".json" else [flipped])):
            file.write_bytes(part)
            with pytest.raises(UnreadableFileError, match=file.name):
                load(folder)
        file.unlink()
        with pytest.raises(UnreadableFileError, match=file.name):
            load(folder)
        file.write_bytes(whole)
    load(folder)


def test_models_survive_the_disk_and_refuse_other_inputs(tmp_path):
    data = reservoir(5, 120, 0, static=True)
    model = sequence.fit(data, quick())
    model.save(tmp_path / "m")
    assert not any(p.suffix in (".pkl", ".pt") for p in (tmp_path / "m").iterdir())
    back = sequence.load(tmp_path / "m")
    xr.testing.assert_identical(back.predict(data), model.predict(data))
    with pytest.raises(VadoseInputError, match="learned from"):
        model.predict(reservoir(5, 120, 0))
    damaged(tmp_path / "m", sequence.load)
    words = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps({**words, "format": "x"}))
    with pytest.raises(UnreadableFileError, match="format"):
        sequence.load(tmp_path / "m")
    with pytest.raises(UnreadableFileError, match=r"model\.json"):
        sequence.load(tmp_path)


def test_other_units_and_strange_sites_are_warned_of():
    data = reservoir(4, 60, 0, static=True)
    model = sequence.fit(data, sequence.Spec("lstm", {"hidden": 4, "dropout": 0.0}, epochs=1))
    model.predict(data)  # in silence: warnings are looked for below
    for name, other in (
        ("p", windows.replace(data, x=data.x / 86400)),  # kg m-2 s-1 where mm d-1 were learned
        ("p", windows.replace(data, x=data.x + 273.15)),
        ("a", windows.replace(data, static=data.static * 100)),
    ):
        with pytest.warns(VadoseWarning, match=f"^{name}: far from what"):
            model.predict(other)


def test_predictions_stay_between_zero_and_porosity():
    data = reservoir(5, 120, 0)
    low = windows.replace(data, upper=np.full_like(data.upper, 0.12), x=data.x * 30)
    out = sequence.fit(low, quick()).predict(low).soil_moisture
    assert float(out.min()) >= 0
    assert float(out.max()) <= 0.12


def test_frozen_head_learns_the_state():
    rng = np.random.default_rng(0)
    data = reservoir(8, 300, 0)
    warmth = 10 * np.sin(2 * np.pi * np.arange(300) / 100)[None] + rng.normal(0, 1, (8, 300))
    data = windows.replace(
        data,
        x=np.concatenate([data.x, warmth[..., None].astype("float32")], axis=2),
        inputs=("p", "t"),
        frozen=(warmth < 0).astype("float32"),
    )
    model = sequence.fit(data, quick(epochs=30, rate=0.02, frozen_weight=1.0))
    probability = model.predict(data).frozen_probability.values
    assert ((probability > 0.5) == (warmth < 0))[:, 20:].mean() > 0.93


def test_scaling_is_that_of_the_training_sites():
    data = reservoir(6, 100, 0)
    scale = windows.scaler(data.at(np.arange(3)))
    poisoned = data.x.copy()
    poisoned[3:] = 1e6
    assert windows.scaler(windows.replace(data, x=poisoned).at(np.arange(3))).mean == scale.mean
    x, _ = scale(data.at(np.arange(3)))
    assert x.mean() == pytest.approx(0, abs=1e-5)
    assert x.std() == pytest.approx(1, abs=1e-4)


def test_windows_cover_every_day_once_after_their_warmup():
    for days in (50, 365, 700, 1000):
        first = sequence.starts(days, 365, 60)
        seen = np.zeros(days, int)
        for s in first:
            seen[s + (60 if s else 0) : s + 365] += 1
        assert seen.min() >= 1
        assert first[-1] + min(365, days) == days


def test_phases_of_the_ground():
    frozen = np.array([[0.0] * 20 + [1.0] * 30 + [0.0] * 10])
    phase = windows.phases(frozen, days=7)[0]
    assert phase[:13].tolist() == [0] * 13
    assert (phase[13:28] == 1).all()
    assert (phase[28:43] == 2).all()
    assert windows.phases(np.array([[np.nan, 0.0]]))[0].tolist() == [-1, 0]


def test_cube_from_a_dataset_and_its_errors():
    rng = np.random.default_rng(0)
    time = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    data = xr.Dataset(
        {
            "rain": (("station", "time"), rng.random((3, 40))),
            "sand": ("station", [0.2, 0.4, 0.6]),
            "porosity": ("station", [0.4, 0.45, 0.8]),
            "soil_moisture": (("station", "time", "depth"), rng.random((3, 40, 2))),
        },
        coords={"time": time, "station": list("abc"), "depth": [0.05, 0.5]},
    )
    data["soil_moisture"][0, 5, 1] = np.nan
    out = windows.cube(data, ["rain"], static=["sand"])
    assert out.x.shape == (3, 40, 1)
    assert out.y.shape == (3, 40, 2)
    assert not out.valid[0, 5, 1]
    assert out.valid.sum() == 3 * 40 * 2 - 1
    np.testing.assert_allclose(out.upper[:, 1], [0.4, 0.45, 0.8], rtol=1e-6)
    lazy = windows.cube(data.chunk(time=7), ["rain"], static=["sand"])
    np.testing.assert_array_equal(lazy.x, out.x)
    with pytest.raises(NotFoundError, match="rain"):
        windows.cube(data, ["rian"])
    holes = data.assign(rain=data.rain.where(data.time.dt.day != 3))
    with pytest.raises(VadoseInputError, match="gaps: rain"):
        windows.cube(holes, ["rain"])
    with pytest.raises(NotFoundError, match="porosity"):
        windows.cube(data.drop_vars("porosity"), ["rain"])
    for gone in (data.sand.where(data.station != "b"), data.porosity.where(data.station != "b")):
        with pytest.raises(VadoseInputError, match=r"gaps: sand|'porosity' must be positive"):
            windows.cube(data.assign({gone.name: gone}), ["rain"], static=["sand"])
    with pytest.raises(DimensionError, match="row, column"):
        sequence.fit(out, sequence.Spec("patch_cnn"))
    with pytest.raises(NotFoundError, match="lstm"):
        sequence.build(sequence.Spec("ltsm"), 1, 0, 1)
    with pytest.raises(NotFoundError, match="hidden"):
        sequence.build(sequence.Spec("lstm", {"hiden": 8}), 1, 0, 1)
    with pytest.raises(VadoseInputError, match="odd"):
        sequence.build(sequence.Spec("conv_lstm", {"kernel": 4}), 1, 0, 1)


def test_masks_belong_to_their_site_and_day():
    """Sites in another order, more days than the data: what may teach is found by name, what is unknown may not."""
    time = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    rng, place = np.random.default_rng(0), {"station": list("abc"), "time": time}
    data = xr.Dataset({n: (("station", "time"), rng.random((3, 40))) for n in ("rain", "soil_moisture")}, coords=place)
    good = xr.DataArray(rng.random((3, 40)) < 0.5, dims=("station", "time"), coords=place)
    want = windows.cube(data, ["rain"], upper=0.6, valid=good, frozen=good)
    turned, part = good.isel(station=[2, 0, 1]), data.isel(time=slice(5, 30))
    got = windows.cube(part, ["rain"], upper=0.6, valid=turned, frozen=turned)
    np.testing.assert_array_equal(got.valid, want.valid[:, 5:30])
    np.testing.assert_array_equal(got.frozen, want.frozen[:, 5:30])
    unknown = windows.cube(data, ["rain"], upper=0.6, valid=good.where(good.station != "a"))
    assert not unknown.valid[0].any()
    np.testing.assert_array_equal(unknown.valid[1:], want.valid[1:])
    with pytest.raises(VadoseInputError, match="valid has no station c"):
        windows.cube(data, ["rain"], upper=0.6, valid=good.isel(station=[0, 1]))


def test_the_block_is_prepared_by_all_workers_of_a_cluster():
    """Lazy series are reckoned by dask's workers, each of which leaves its number; the block is the one that memory gives."""
    distributed = pytest.importorskip("distributed")
    rain = xr.DataArray(
        np.random.default_rng(0).random((16, 40)), dims=("station", "time"),
        coords={"time": np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D"), "station": np.arange(16)},
    )  # fmt: skip
    data = xr.Dataset({"rain": rain, "soil_moisture": rain / 2})

    def by(block):
        import time

        time.sleep(0.05)
        return np.full(block.shape, float(distributed.get_worker().name))

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
        ) as two,
        distributed.Client(two),
    ):
        lazy = data.chunk(station=2)
        lazy["worker"] = lazy.rain.copy(data=lazy.rain.data.map_blocks(by, dtype=float, meta=np.zeros((0, 0))))
        got = windows.cube(lazy, ["rain", "worker"], upper=0.6)
    np.testing.assert_array_equal(got.x[..., :1], windows.cube(data, ["rain"], upper=0.6).x)
    assert set(np.unique(got.x[..., 1])) == {0.0, 1.0}


@pytest.mark.slow
def test_ensemble_intervals_hold_at_unseen_sites(tmp_path):
    """Sites differ by an attribute that is not told: only calibration on held-out sites can know how wrong it is."""
    data = reservoir(70, 200, 3, noise=0.005, static=True)
    blind = windows.replace(data, static=np.zeros((70, 0), "float32"), attributes=())
    raw = ensembles.fit(blind.at(np.arange(20)), quick(epochs=15, rate=0.02), seeds=(0, 1, 2), dropout=9)
    ensemble = raw.calibrate(blind.at(np.arange(20, 45)))
    test = blind.at(np.arange(45, 70))
    out = ensemble.predict(test)
    held = (out.soil_moisture_q05.values <= test.y) & (test.y <= out.soil_moisture_q95.values)
    assert held.mean() == pytest.approx(0.90, abs=0.06)
    assert ensemble.factor[0.9] > 1.645  # the raw spread was too sure
    ensemble.save(tmp_path / "e")
    xr.testing.assert_identical(ensembles.load(tmp_path / "e").predict(test), out)


def test_a_damaged_ensemble_is_refused(tmp_path):
    data = reservoir(4, 40, 0)
    ensembles.fit(data, quick(epochs=1), seeds=(0, 1), dropout=2).save(tmp_path / "e")
    damaged(tmp_path / "e", ensembles.load)


def test_integrated_gradients_are_complete_and_right_for_a_linear_network():
    data = reservoir(4, 60, 0)
    model = sequence.fit(data, quick(epochs=8, rate=0.02))
    out = ensembles.integrated_gradients(model, data, site=1, day=50)
    assert float(out.completeness_error) < 0.01
    assert float(out.attribution.sum()) == pytest.approx(float(out.prediction - out.baseline), rel=0.01)
    recent, early = abs(out.attribution.values[-10:]).sum(), abs(out.attribution.values[:10]).sum()
    assert recent > early  # a reservoir forgets


class Switch(torch.nn.Module):
    """On within a hair of the path from mean weather to that of the site, off again later, with a small slope that stays."""

    def __init__(self, total):
        super().__init__()
        self.total = total

    def forward(self, x, static):
        share = x.sum(dim=(1, 2)) / self.total
        on = torch.tanh(3000 * (share - 0.3012)) - torch.tanh(3000 * (share - 0.7023))
        return (on + 0.05 * share)[:, None, None].expand(-1, x.shape[1], 1)


def test_integrated_gradients_do_not_step_over_a_switch():
    """A sum S of all inputs decides, so input i gave x_i / S of prediction minus baseline; 64 even points miss both switches."""
    data = reservoir(4, 60, 0)
    model = sequence.fit(data, quick(epochs=1))
    x = model.scale(data.at(np.array([1])))[0][0, :51]
    model.net = Switch(float(x.sum()))
    out = ensembles.integrated_gradients(model, data, site=1, day=50)
    assert abs(float(out.prediction - out.baseline)) < 0.02
    assert float(out.completeness_error) < 0.01
    change = float(out.prediction - out.baseline)
    np.testing.assert_allclose(out.attribution, x / x.sum() * change, atol=0.01 * np.abs(x / x.sum() * change).max())
    with pytest.warns(VadoseWarning, match="larger most"):
        ensembles.integrated_gradients(model, data, site=1, day=50, most=64)


def test_leave_site_out_never_shows_a_site_to_its_own_model():
    data = reservoir(12, 120, 0, static=True)
    regions = np.repeat(np.arange(4), 3)
    seen = []

    def spy(train, stop):
        class Mean:
            def predict(self, test):
                seen.append((set(train.sites) | set(stop.sites), set(test.sites)))
                return xr.Dataset(
                    {"soil_moisture": (("station", "time", "depth"), np.full(test.y.shape, train.y.mean()))}
                )

        return Mean()

    out = sites.leave_out(data, regions, spy)
    assert len(seen) == 4
    assert all(not a & b for a, b in seen)
    assert bool(out.notnull().all())


def test_baselines_are_in_the_table_by_phase_and_depth():
    data = reservoir(10, 400, 0, static=True)
    data = windows.replace(data, frozen=np.tile((np.arange(400) % 365 < 60).astype("float32"), (10, 1)))
    runs = {n: sites.leave_out(data, data.sites, make, k=5) for n, make in sites.BASELINES.items()}
    runs["truth"] = xr.DataArray(data.y, dims=("station", "time", "depth"), coords=runs["linear"].coords)
    out = sites.table(data, runs)
    assert out.rmsd.dims == ("model", "phase", "depth")
    assert float(out.rmsd.sel(model="truth").max()) == 0
    everywhere = out.sel(phase="all").isel(depth=0)
    assert float(everywhere.skill.sel(model="trees")) > 0.3
    assert float(everywhere.skill.sel(model="climatology")) == 0
    blank = windows.replace(data, valid=np.zeros_like(data.valid))
    assert np.isnan(sites.BASELINES["linear"](blank, blank).predict(data).soil_moisture).all()
    n = out.n.sel(model="linear").isel(depth=0)
    assert float(n.sel(phase=["thawed", "transition", "frozen"]).sum()) == float(n.sel(phase="all")) == 4000


def test_bucket_is_a_baseline_that_knows_water_and_no_more():
    """Sites that are the bucket itself: it wins over what has no water balance, at depths named in meters."""
    from vadose.assimilate import twin

    forcing = twin.weather(8, years=1, rng=1)
    moisture = twin.truth(forcing).transpose("cell", "time", "depth").values.astype("float32")
    x = np.stack([forcing[n].values.T for n in ("precipitation_flux", "potential_evaporation_flux")], axis=-1)
    y = np.concatenate([moisture, moisture[..., 1:]], axis=-1)  # probes at 5, 50 and 80 cm
    none = np.zeros((8, 0), "float32")
    data = windows.Cube(
        x.astype("float32"), none, y, np.ones(y.shape, bool), np.zeros(y.shape[:2], "float32"),
        np.full((8, 3), 0.46, "float32"), forcing.time.values, np.arange(8), ("rain", "demand"), (), np.array([0.05, 0.5, 0.8]),
    )  # fmt: skip
    models = sites.baselines(rain="rain", demand="demand", steps=30)
    assert list(models) == ["climatology", "linear", "trees", "bucket"]
    runs = {n: sites.leave_out(data, data.sites, models[n], k=2) for n in ("climatology", "linear", "bucket")}
    skill = sites.table(data, runs).skill.sel(phase="all")
    assert (skill.sel(model="bucket") > skill.sel(model="linear")).all()
    assert (skill.sel(model="bucket").isel(depth=[0, 1]) > 0.5).all()
    np.testing.assert_allclose(runs["bucket"].isel(depth=1), runs["bucket"].isel(depth=2))  # one lower layer
    with pytest.raises(NotFoundError, match="rain"):
        sites.bucket(rain="rainfall", demand="demand")(data, data)


def test_depths_of_unequal_spread_weigh_the_same():
    """Errors count in units of the spread of their depth; a depth without targets stays out."""
    data = reservoir(4, 80, 0)
    y = np.concatenate([data.y, 0.05 * data.y + 0.2, data.y * np.nan], axis=-1)
    data = windows.replace(data, y=y, valid=np.isfinite(y), upper=np.ones((4, 3), "float32"), depths=np.arange(3))
    spread = windows.scaler(data).target_spread
    assert spread[0] == pytest.approx(np.std(data.y[..., 0]), rel=1e-5)
    assert spread[1] == pytest.approx(max(0.05 * spread[0], 0.01), rel=1e-4)
    assert spread[2] == 1.0
    out = torch.logit(torch.from_numpy(np.nan_to_num(y, nan=0.5).clip(1e-4, 0.999)))
    upper, valid = torch.ones(4, 3), torch.isfinite(torch.from_numpy(y))
    none, unit = torch.full((4, 80), float("nan")), torch.from_numpy(spread)
    losses = []
    for k in (0, 1):
        moved = torch.from_numpy(y.copy())
        moved[..., k] += 0.5 * spread[k]
        losses.append(float(sequence.masked_loss(out, moved, valid, upper, none, unit, 0.1)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(0.5 * 0.5**2 / 2, rel=0.02)  # Huber inside its corner, half of the valid targets
