"""Physics on tensors and networks inside physics: closure, gradients, limits, and what few data can do."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from vadose.assimilate import twin  # noqa: E402
from vadose.errors import NotFoundError, TooFewSamplesError, UnreadableFileError, VadoseInputError  # noqa: E402
from vadose.learn import hybrid, layers, sequence, tensors, windows  # noqa: E402
from vadose.physics import bucket  # noqa: E402

LOAM = {**twin.LOAM, "residual": 0.02, "infiltration_shape": 2.0, "surface_share": 0.3}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def soil(cells, **changes):
    return {k: torch.full((cells,), float(v), dtype=torch.float64) for k, v in {**LOAM, **changes}.items()}


def weather(cells, days, seed=0):
    rng = np.random.default_rng(seed)
    rain = rng.exponential(9, (cells, days)) * (rng.random((cells, days)) < 0.25)
    return torch.from_numpy(rain), torch.from_numpy(rng.uniform(0, 7, (cells, days)))


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6), ks=st.floats(0.5, 2000), b=st.floats(2, 12), fc=st.floats(0.2, 0.38), gap=st.floats(0.04, 0.12),
    smooth=st.sampled_from([None, 0.02]),
)  # fmt: skip
def test_c_x14_1_the_differentiable_bucket_conserves_water(seed, ks, b, fc, gap, smooth):
    rain, demand = weather(4, 400, seed)
    start = torch.tensor([[0.3, 0.2]] * 4, dtype=torch.float64)
    wp = fc - gap
    p = soil(4, conductivity=ks, exponent=b, field_capacity=fc, wilting_point=wp, critical_point=wp + 0.75 * gap)
    theta, fluxes = tensors.bucket(rain, demand, start, p, smooth=smooth)
    thickness = torch.tensor(tensors.DEPTHS, dtype=torch.float64)
    left = rain.sum(1) - fluxes.sum((1, 2)) - ((theta[:, -1] - start) * thickness).sum(1)
    assert float(left.abs().max()) < 1e-6
    assert float(theta.min()) >= 0
    assert float(theta.max()) <= 0.46 + 1e-9


@pytest.mark.slow
def test_c_x14_1_ten_years_of_random_forcing():
    rain, demand = weather(8, 3653)
    start = torch.tensor([[0.3, 0.2]] * 8, dtype=torch.float64)
    theta, fluxes = tensors.bucket(rain, demand, start, soil(8))
    change = ((theta[:, -1] - start) * torch.tensor(tensors.DEPTHS, dtype=torch.float64)).sum(1)
    assert float((rain.sum(1) - fluxes.sum((1, 2)) - change).abs().max()) < 1e-6


def test_hard_limits_equal_the_compiled_bucket():
    rain, demand = weather(5, 300)
    theta, fluxes = tensors.bucket(rain, demand, torch.full((5, 2), 0.25, dtype=torch.float64), soil(5), smooth=None)

    def flux(a):
        return xr.DataArray(
            a.numpy(),
            dims=("cell", "time"),
            coords={"time": np.datetime64("2017-01-01") + np.arange(300)},
            attrs={"units": "mm d-1"},
            name="p",
        )

    out = bucket.two_layer(flux(rain), flux(demand), initial=(0.25, 0.25), **LOAM)
    np.testing.assert_allclose(theta.numpy(), out.soil_moisture.transpose("cell", "time", "depth"), atol=1e-12)
    np.testing.assert_allclose(
        fluxes[..., 0].numpy(), out.evapotranspiration_flux.transpose("cell", "time") * 86400, atol=1e-9
    )


def test_c_x14_6_hand_computed_run_on_tensors():
    rain = torch.from_numpy(np.where(np.arange(60) % 5 == 0, 10.0, 0.0))[None]
    theta, fluxes = tensors.bucket(
        rain, torch.full_like(rain, 4.0), torch.tensor([[0.25, 0.26]], dtype=torch.float64), soil(1), smooth=None
    )
    for day, expected in {
        0: (0.280000, 0.261628),
        1: (0.256000, 0.258680),
        4: (0.192886, 0.249838),
        59: (0.192886, 0.174904),
    }.items():
        np.testing.assert_allclose(theta[0, day].numpy(), expected, atol=6e-7)
    np.testing.assert_allclose(fluxes.sum((0, 1)).numpy(), [181.402, 22.2947, 0.0], atol=6e-4)


@pytest.mark.parametrize("smooth", [None, 0.02])
def test_c_x14_3_gradients_equal_central_differences(smooth):
    rain, demand = weather(1, 40, 3)
    start = torch.tensor([[0.24, 0.22]], dtype=torch.float64)
    names = ("field_capacity", "wilting_point", "exponent", "infiltration_shape", "surface_share", "porosity")
    values = {n: torch.tensor([LOAM[n]], dtype=torch.float64, requires_grad=True) for n in names}

    def total(v):
        return (tensors.bucket(rain, demand, start, {**soil(1), **v}, smooth=smooth)[0] ** 2).sum()

    gradients = torch.autograd.grad(total(values), list(values.values()))
    for n, g in zip(names, gradients, strict=True):
        h = 1e-6
        up, down = ({**values, n: values[n].detach() + d} for d in (h, -h))
        numeric = float(total(up) - total(down)) / (2 * h)
        assert float(g) == pytest.approx(numeric, rel=1e-4, abs=1e-9), n


def test_smooth_and_hard_buckets_stay_close():
    rain, demand = weather(6, 400, 5)
    start = torch.full((6, 2), 0.25, dtype=torch.float64)
    a, b = (tensors.bucket(rain, demand, start, soil(6), smooth=s)[0] for s in (None, 0.02))
    assert float((a - b).abs().mean()) < 0.01


def test_c_x14_5_penalties_vanish_for_the_true_model():
    rain, demand = (w.float().requires_grad_() for w in weather(4, 60))
    p = {k: v.float() for k, v in soil(4).items()}
    theta, fluxes = tensors.bucket(rain, demand, torch.full((4, 2), 0.25), p, smooth=None)
    terms = tensors.penalties(theta, rain, demand, p["porosity"], fluxes=fluxes)
    assert set(terms) == {"balance", "rain", "demand", "bounds"}
    for name, value in terms.items():
        assert float(value) < 1e-10, name
    wrong = tensors.penalties(theta + 0.4, rain, demand, p["porosity"], fluxes=fluxes * 0)
    assert float(wrong["bounds"]) > 0
    assert float(wrong["balance"]) > 0


def test_brightness_temperatures_of_the_specification():
    # C-X13.1: Mironov, clay .2, 1.4 GHz, 293.15 K, h .15, tau .2, omega .05, 40 degrees
    theta = torch.tensor([0.05, 0.10, 0.20, 0.30, 0.40], dtype=torch.float64)
    t, tau = torch.full_like(theta, 293.15), torch.full_like(theta, 0.2)
    v, h = tensors.tau_omega(theta, 0.2, t, tau)
    np.testing.assert_allclose(v, [282.483, 276.407, 260.588, 246.206, 234.026], atol=6e-4)
    np.testing.assert_allclose(h, [264.219, 252.841, 230.833, 215.033, 203.322], atol=6e-4)
    bare, _ = tensors.tau_omega(theta[2:3], 0.2, t[:1], tau[:1] * 0, roughness=0.0)
    assert float(bare) == pytest.approx(240.201, abs=6e-4)
    moisture = torch.linspace(0.05, 0.45, 20, dtype=torch.float64, requires_grad=True)
    v, _ = tensors.tau_omega(
        moisture, 0.2, torch.full((20,), 293.15, dtype=torch.float64), torch.full((20,), 0.2, dtype=torch.float64)
    )
    (slope,) = torch.autograd.grad(v.sum(), moisture)
    assert bool((slope < 0).all())  # wetter is colder


def test_water_cloud_limits():
    theta = torch.tensor([0.1, 0.3], dtype=torch.float64)
    bare = tensors.water_cloud(theta, torch.zeros(2, dtype=torch.float64), 0.1, 0.1, -20.0, 30.0)
    np.testing.assert_allclose(bare, [-17.0, -11.0])  # c + d theta
    dense = tensors.water_cloud(theta, torch.full((2,), 500.0, dtype=torch.float64), 0.001, 0.1, -20.0, 30.0)
    assert float(dense[0]) == pytest.approx(float(dense[1]))  # no soil through so many leaves


def fields(n, days, seed, *, noise=0.01, layers=2):
    """Sites whose bucket follows from sand and clay, observed with noise: what a hybrid must find."""
    rng = np.random.default_rng(seed)
    sand = rng.uniform(0.1, 0.8, n)
    rain = rng.exponential(9, (n, days)) * (rng.random((n, days)) < 0.25)
    demand = np.clip(
        3 + 2.5 * np.sin(2 * np.pi * (np.arange(days) - 100) / 365) + rng.normal(0, 0.7, (n, days)), 0.1, None
    )
    wp, fc = 0.22 - 0.2 * sand, 0.38 - 0.25 * sand
    p = {
        "porosity": np.full(n, 0.46), "wilting_point": wp, "field_capacity": fc, "critical_point": wp + 0.75 * (fc - wp),
        "conductivity": np.exp(3 + 4 * sand), "exponent": 8 - 5 * sand, "residual": np.full(n, 0.02),
        "infiltration_shape": np.full(n, 2.0), "surface_share": np.full(n, 0.3),
    }  # fmt: skip
    with torch.no_grad():
        theta, _ = tensors.bucket(
            torch.from_numpy(rain),
            torch.from_numpy(demand),
            torch.full((n, 2), 0.25, dtype=torch.float64),
            {k: torch.from_numpy(v) for k, v in p.items()},
            smooth=None,
        )
    truth = theta.numpy()[..., :layers].astype("float32")
    y = (truth + noise * rng.normal(size=truth.shape)).astype("float32")
    return windows.Cube(
        np.stack([rain, demand], -1).astype("float32"), sand[:, None].astype("float32"), y, np.ones(y.shape, bool), np.full((n, days), np.nan, "float32"),
        np.full((n, layers), 0.46, "float32"), np.datetime64("2015-01-01") + np.arange(days), np.arange(n),
        ("precipitation_flux", "potential_evaporation_flux"), ("sand",), np.array([0.025, 0.525])[:layers],
    ), truth  # fmt: skip


@pytest.mark.slow
def test_c_x14_4_hybrid_beats_the_plain_network_on_a_tenth_of_the_data():
    train, _ = fields(24, 1095, 0)
    test, truth = fields(12, 1095, 1)
    few = np.zeros(train.valid.shape, bool)
    few[:, ::10] = True  # a tenth of the observations
    train = windows.replace(train, valid=train.valid & few)
    mixed = hybrid.fit(train.at(np.arange(24)).between(slice(0, 365)), steps=50, warmup=20)
    spec = sequence.Spec("lstm", {"hidden": 32, "dropout": 0.0}, window=365, warmup=60, epochs=60, batch=8, rate=0.01)
    plain = sequence.fit(train, spec)
    late = slice(60, None)
    error = {
        n: float(np.sqrt(np.mean((m.predict(test).soil_moisture.values - truth)[:, late] ** 2)))
        for n, m in (("hybrid", mixed), ("plain", plain))
    }
    assert error["hybrid"] <= 0.015, error
    assert error["hybrid"] <= error["plain"], error


def test_hybrids_stay_within_the_soil_and_gradients_reach_every_weight():
    data, _ = fields(4, 80, 2)
    for kind in hybrid.KINDS:
        torch.manual_seed(0)
        net = hybrid.Hybrid(2, 1, kind=kind)
        x = windows.scaler(data)(data)
        out, _ = net(*(torch.from_numpy(v) for v in (*x, data.x[..., 0], data.x[..., 1], data.upper[:, 0])))
        assert float(out.detach().min()) >= 0.0
        assert float(out.detach().max()) <= 0.46 + 1e-6
        out.pow(2).sum().backward()
        for name, p in net.named_parameters():
            assert p.grad is not None, (kind, name)
            assert bool(torch.isfinite(p.grad).all()), (kind, name)
        assert sum(float(p.grad.abs().sum()) > 0 for p in net.site.parameters()) == 4
    with pytest.raises(NotFoundError, match="static"):
        hybrid.Hybrid(2, 1, kind="sttic")
    with pytest.raises(NotFoundError, match="precipitation_flux"):
        hybrid.fit(data, rain="rain")


def test_hybrid_closes_the_water_balance_of_what_it_predicts():
    data, _ = fields(4, 120, 3)
    model = hybrid.fit(data, steps=5)
    out = model.predict(data)
    storage = out.soil_moisture.values @ np.array(tensors.DEPTHS)
    lost = sum(out[n].values for n in ("evapotranspiration_flux", "runoff_flux", "drainage_flux")) * 86400
    left = np.diff(storage, axis=1) - (data.x[..., 0] - lost)[:, 1:]
    assert np.abs(left).max() < 1e-3  # float32: 1e-7 of some 400 mm


@pytest.mark.parametrize("kind", hybrid.KINDS)
def test_hybrids_survive_the_disk_and_refuse_other_inputs(tmp_path, kind):
    data, _ = fields(3, 40, 3)
    model = hybrid.fit(data, steps=2, kind=kind, hidden=5)
    model.save(tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["model.json", "weights.safetensors"]
    back = hybrid.load(tmp_path / "m")
    xr.testing.assert_identical(back.predict(data), model.predict(data))
    turned = windows.replace(data, inputs=data.inputs[::-1])
    with pytest.raises(VadoseInputError, match="the hybrid learned from"):
        back.predict(turned)
    (tmp_path / "m" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UnreadableFileError, match=r"weights\.safetensors is damaged"):
        hybrid.load(tmp_path / "m")
    sequence.fit(data, sequence.Spec("lstm", {"hidden": 4}, epochs=1)).save(tmp_path / "other")
    with pytest.raises(UnreadableFileError, match="vadose-hybrid-1"):
        hybrid.load(tmp_path / "other")
    with pytest.raises(TooFewSamplesError, match="warm-up"):
        hybrid.fit(data, warmup=40)


def test_trained_on_brightness_temperature_it_finds_the_moisture():
    data, truth = fields(8, 150, 4, noise=0.0, layers=1)

    def look(moisture):
        t = torch.full_like(moisture[..., 0], 293.15)
        return tensors.tau_omega(moisture[..., 0], 0.2, t, torch.full_like(t, 0.2))[0][..., None]

    with torch.no_grad():
        seen = look(torch.from_numpy(truth)).numpy()
    data = windows.replace(data, y=seen + np.random.default_rng(0).normal(0, 1.3, seen.shape).astype("float32"))
    before = hybrid.fit(data, steps=1, observe=look).predict(data).soil_moisture.values[:, 20:, :1]
    after = hybrid.fit(data, steps=60, observe=look).predict(data).soil_moisture.values[:, 20:, :1]
    errors = [float(np.sqrt(np.mean((v - truth[:, 20:]) ** 2))) for v in (before, after)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.03


def test_a_residual_learns_what_the_bucket_lacks():
    """A water table that rises and falls is told as an input; no bucket parameter can make its share of the moisture."""
    data, truth = fields(6, 60, 7, noise=0.0)
    table = np.sin(2 * np.pi * np.arange(60) / 30)[None] * np.linspace(0.5, 1.5, 6)[:, None]
    y = (truth + 0.03 * table[..., None]).astype("float32")
    x = np.concatenate([data.x, table[..., None].astype("float32")], axis=2)
    data = windows.replace(data, x=x, y=y, inputs=(*data.inputs, "water_table"))
    found = {kind: hybrid.fit(data, kind=kind, steps=50, rate=0.05) for kind in ("static", "residual")}
    error = {k: float(np.sqrt(np.mean((m.predict(data).soil_moisture.values - y) ** 2))) for k, m in found.items()}
    assert error["residual"] < 0.6 * error["static"], error
    assert float(found["residual"].predict(data).soil_moisture.max()) <= 0.46 + 1e-6


def plants(n, days):
    """Water of the plants (site, day) [kg m-2] through a season."""
    season = np.clip(np.sin(2 * np.pi * np.arange(days) / (2 * days)), 0, None)
    return torch.from_numpy((np.linspace(0.5, 3.0, n)[:, None] * season).astype("float32"))


TRUE_CLOUD = {"a": 0.05, "b": 0.08, "c": -19.0, "d": 35.0}


@pytest.mark.parametrize("kind", ["backscatter", "brightness temperature"])
def test_layers_learn_their_parameters_beside_the_soil(kind):
    """The measurement is made with parameters that nobody tells: learned, the moisture is found better than with the wrong ones."""
    data, truth = fields(6, 60, 5, noise=0.0, layers=1)
    water, rng = plants(6, 60), np.random.default_rng(0)
    warm = torch.full((6, 60), 293.15)

    def layer(**options):
        if kind == "backscatter":
            return layers.WaterCloud(water, **options)
        return layers.TauOmega(warm, water, 0.2, **options)

    true, wrong = (
        (TRUE_CLOUD, {"a": 0.05, "b": 0.08, "c": -16.0, "d": 35.0}) if kind == "backscatter"
        else ({"depth": 0.10, "roughness": 0.30}, {"depth": 0.2, "roughness": 0.08})
    )  # fmt: skip
    with torch.no_grad():
        seen = layer(**true)(torch.from_numpy(truth)).numpy()
    noise = 0.5 if kind == "backscatter" else 1.3
    y = (seen + rng.normal(0, noise, seen.shape)).astype("float32")
    data = windows.replace(data, y=y, valid=np.ones(y.shape, bool))
    teaches = layer(**wrong)
    found = {
        "learned": hybrid.fit(data, steps=60, observe=teaches),
        "fixed": hybrid.fit(data, steps=60, observe=lambda m: layer(**wrong).requires_grad_(False)(m)),
    }
    error = {
        n: float(np.sqrt(np.mean((m.predict(data).soil_moisture.values[..., :1] - truth)[:, 20:] ** 2)))
        for n, m in found.items()
    }
    assert error["learned"] < 0.7 * error["fixed"], error
    assert error["learned"] < 0.04, error
    if (
        kind == "backscatter"
    ):  # plants and rough ground dampen a brightness temperature alike: only both together are found
        assert abs(teaches.parameters_of()["c"] - true["c"]) < 0.5 * abs(wrong["c"] - true["c"])
    else:
        assert teaches.parameters_of()["roughness"] > wrong["roughness"]
