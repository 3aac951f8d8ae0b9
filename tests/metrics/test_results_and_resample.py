"""Labelled results say what each number is; block resampling keeps its promise and merges what moments know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.errors import DimensionError, NotFoundError, VadoseInputError
from vadose.metrics import (
    block_length,
    bootstrap,
    compare,
    evaluate,
    moments,
    rank_scores,
    scores,
    stack,
    tidy,
    triple_collocation,
)


def products(n=400, stations=3, seed=0):
    rng = np.random.default_rng(seed)
    coords = {"time": pd.date_range("2017-01-01", periods=n), "station": list("abc")[:stations]}
    coords["lat"] = ("station", np.arange(stations) + 40.0)
    truth = rng.normal(0.25, 0.05, (n, stations))

    def one(name, bias, error):
        values = truth + bias + rng.normal(0, error, truth.shape)
        return xr.DataArray(values, dims=("time", "station"), coords=coords, name=name, attrs={"units": "m3 m-3"})

    return {"station": one("station", 0, 0.01), "smap": one("smap", 0.02, 0.03), "model": one("model", -0.03, 0.02)}


def test_every_number_has_its_labels():
    data = products()
    season = data["smap"].time.dt.season
    out = evaluate(data, groups=season, scores=("bias", "mae", "pearson", "spearman", "kendall", "kge"))
    assert out.score.dims == ("metric", "pair", "group", "station", "bound")
    assert list(out.pair.values) == ["smap vs station", "model vs station"]
    assert list(out.group.values) == ["all", "DJF", "JJA", "MAM", "SON"]
    assert out.units.sel(metric="bias") == "m3 m-3"
    assert out.units.sel(metric="kge") == "1"
    direct = compare(data["station"], data["smap"])
    got = out.score.sel(pair="smap vs station", group="all")
    for bound in ("value", "low", "high"):
        name = "bias" if bound == "value" else f"bias_{bound}"
        np.testing.assert_allclose(got.sel(metric="bias", bound=bound), direct[name])
    ranks = rank_scores(data["station"], data["smap"])
    np.testing.assert_allclose(got.sel(metric="kendall", bound="low"), ranks.kendall_low)
    summer = compare(*(data[k].where(season == "JJA") for k in ("station", "smap")))
    np.testing.assert_allclose(
        out.score.sel(pair="smap vs station", group="JJA", metric="bias", bound="value"), summer.bias
    )
    assert int(out.n.sel(group="all").min()) == 400
    assert (
        float(out.score.sel(metric="kge", bound="low").notnull().sum()) == 0
    )  # without draws no interval is known for it


def test_tidy_table_and_netcdf_hold_the_same(tmp_path):
    out = evaluate(products(), scores=("bias", "pearson"))
    table = tidy(out)
    assert len(table) == 2 * 2 * 1 * 3
    assert list(table.columns[-5:]) == ["value", "low", "high", "n", "n_eff"]
    row = table[(table.metric == "pearson") & (table.other == "model") & (table.station == "b")].iloc[0]
    wanted = out.score.sel(metric="pearson", pair="model vs station", station="b", group="all")
    assert [row.value, row.low, row.high] == wanted.values.tolist()
    assert row.lat == 41.0
    out.to_netcdf(tmp_path / "results.nc")
    xr.testing.assert_equal(xr.open_dataset(tmp_path / "results.nc").load(), out)


def test_too_few_samples_are_missing_and_lazy_stays_lazy():
    data = products(n=40)
    assert evaluate(data, n_min=41).score.isnull().all()
    lazy = evaluate({k: v.chunk(station=1) for k, v in data.items()}, scores=("bias", "spearman"))
    assert lazy.score.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), evaluate(data, scores=("bias", "spearman")))


def test_wrong_names_are_answered_with_right_ones():
    data = products()
    with pytest.raises(NotFoundError, match="pearson"):
        evaluate(data, scores=("person",))
    with pytest.raises(NotFoundError, match="smap"):
        evaluate(data, pairs=[("station", "smop")])
    with pytest.raises(VadoseInputError, match="two series"):
        evaluate({"a": data["smap"]})


def ar1(rng, n, phi, draws):
    out = rng.normal(size=(n, draws))
    for t in range(1, n):
        out[t] = phi * out[t - 1] + np.sqrt(1 - phi**2) * out[t]
    return out


def test_drawn_states_are_moments_of_drawn_days():
    """One block as long as the series is the series itself, turned: the state of every draw is the state of all."""
    rng = np.random.default_rng(0)
    a, b = (xr.DataArray(rng.normal(size=(2, 90)), dims=("cell", "time")) for _ in range(2))
    a[0, 5] = np.nan
    data = stack(a, b, names=["a", "b"])
    direct = scores(moments(data), "a", "b")
    out = bootstrap(data, lambda s: scores(s, "a", "b"), block=90, draws=7)
    for name in ("bias", "pearson", "kge", "nse"):
        np.testing.assert_allclose(out[f"{name}_low"], direct[name], rtol=1e-9)
        np.testing.assert_allclose(out[f"{name}_high"], direct[name], rtol=1e-9)


def test_single_days_cover_too_little():
    """Bias of AR(1) differences, phi 0.8, n 1500, 400 series: blocks of 60 days against blocks of one."""
    rng = np.random.default_rng(4)
    x = ar1(rng, 1500, 0.8, 400)
    y = x + ar1(rng, 1500, 0.8, 400) + 0.1
    data = stack(*(xr.DataArray(v, dims=("time", "cell")) for v in (x, y)), names=["x", "y"])

    def covered(block):
        out = bootstrap(data, lambda s: scores(s, "x", "y")[["bias"]], block=block, draws=300, rng=1)
        return float(((out.bias_low <= 0.1) & (out.bias_high >= 0.1)).mean())

    assert 0.92 <= covered(60) <= 0.97
    assert covered(1) < 0.75


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_nominal_95_percent_intervals_of_blocks_cover_92_to_97(phi):
    """Known truth: x = 1 + a, y = 1.1 + 0.6 a + 0.8 e with a, e AR(1) of variance 1; 1200 series of 1000 days, blocks by the rule."""
    rng = np.random.default_rng(20)
    a, e = ar1(rng, 1000, phi, 1200), ar1(rng, 1000, phi, 1200)
    x, y = (xr.DataArray(v, dims=("time", "cell"), attrs={"units": "1"}) for v in (1 + a, 1.1 + 0.6 * a + 0.8 * e))
    out = evaluate({"x": x, "y": y}, scores=("bias", "ubrmsd", "pearson", "nse", "kge"), draws=400, rng=1)
    out = out.score.isel(pair=0, group=0)
    spread = np.sqrt(0.4**2 + 0.8**2)
    truth = {
        "bias": 0.1, "ubrmsd": spread, "pearson": 0.6, "nse": 1 - (0.1**2 + spread**2), "kge": 1 - np.sqrt(0.4**2 + 0.1**2),
    }  # fmt: skip
    for name, value in truth.items():
        one = out.sel(metric=name)
        inside = float(((one.sel(bound="low") <= value) & (one.sel(bound="high") >= value)).mean())
        assert 0.92 <= inside <= 0.97, (name, inside)


def test_drawn_intervals_have_their_labels_and_stay_in_their_range():
    data = products()
    out = evaluate(data, scores=("rmsd", "mae", "slope", "nse", "kge", "pearson"), draws=60, block=20)
    assert bool(out.score.notnull().all())
    assert bool((out.score.sel(bound="low") <= out.score.sel(bound="value")).all())
    assert bool((out.score.sel(bound="high") >= out.score.sel(bound="value")).all())
    assert float(out.score.sel(metric=["nse", "kge", "pearson"], bound="high").max()) <= 1.0
    again = evaluate(data, scores=("kge",), draws=60, block=20)
    xr.testing.assert_equal(
        again.score.sel(metric="kge"), out.score.sel(metric="kge")
    )  # the same draws for the same seed


def test_length_of_blocks_grows_with_memory():
    assert block_length(1000, 0.0) == 1
    # r 0.6: (sqrt(6) 0.6 / 0.64)^(2/3) 1000^(1/3) = 2.2964^(2/3) * 10 = 17.40, twice that is 34.8
    assert block_length(1000, 0.6) == 35
    assert block_length(100, 0.99) == 20


def test_c_x7_2_block_intervals_of_collocation_hold_the_true_error():
    rng = np.random.default_rng(2)
    signal = 0.05 * ar1(rng, 1000, 0.8, 200)
    parts = [b * signal + s * rng.normal(size=signal.shape) for b, s in ((1, 0.02), (0.8, 0.03), (1.2, 0.04))]
    data = stack(*(xr.DataArray(p, dims=("time", "cell")) for p in parts), names=list("xyz"))
    out = bootstrap(data, lambda s: triple_collocation(s)[["error_sd"]], block=30, draws=200, rng=3)
    for name, truth in zip("xyz", (0.02, 0.03, 0.04), strict=True):
        low, high = out.error_sd_low.sel(product=name), out.error_sd_high.sel(product=name)
        inside = float(((low <= truth) & (high >= truth)).mean())
        assert 0.88 <= inside <= 0.99, (name, inside)


def test_resampling_refuses_what_cannot_be():
    data = xr.DataArray(np.zeros((2, 10)), dims=("product", "time"))
    with pytest.raises(VadoseInputError, match="block"):
        bootstrap(data, triple_collocation, block=11)
    with pytest.raises(DimensionError, match="stack"):
        bootstrap(data.rename(product="set"), triple_collocation)
