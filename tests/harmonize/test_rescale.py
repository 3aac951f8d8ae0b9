"""Rescaling: known maps are found, order is kept, distributions meet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from vadose.errors import NotFoundError, VadoseInputError
from vadose.harmonize import rescale


def arrays(*values):
    return [
        xr.DataArray(np.asarray(v, float), dims="time", name="soil_moisture", attrs={"units": "m3 m-3"}) for v in values
    ]


@pytest.mark.parametrize("method", [m for m in rescale.METHODS if m != "triple"])
def test_c_x5_1_a_line_is_found(method):
    x = np.random.default_rng(0).gamma(2, 0.1, 3000)
    source, reference = arrays(x, 2 * x + 1)
    out = rescale.apply(source, rescale.fit(source, reference, method=method)).soil_moisture
    np.testing.assert_allclose(out, 2 * x + 1, atol=1e-10)


@pytest.mark.parametrize("method", ["mean_std", "min_max", "cdf"])
def test_c_x5_2_the_map_does_not_decrease(method):
    rng = np.random.default_rng(1)
    source, reference = arrays(rng.beta(2, 5, 2000), rng.normal(0.3, 0.1, 2000))
    p = rescale.fit(source, reference, method=method)
    (grid,) = arrays(np.linspace(-0.2, 1.2, 1001))
    assert float(rescale.apply(grid, p).soil_moisture.diff("time").min()) >= -1e-12


def test_c_x5_3_distributions_meet():
    rng = np.random.default_rng(2)
    source, reference = arrays(rng.beta(2, 5, 3000), rng.normal(0.3, 0.1, 3000))
    out = rescale.apply(source, rescale.fit(source, reference)).soil_moisture
    assert stats.ks_2samp(out, reference).statistic <= 0.02


def test_beyond_the_range_as_the_user_chooses():
    rng = np.random.default_rng(3)
    source, reference = arrays(rng.uniform(0.1, 0.4, 1000), rng.uniform(0.2, 0.5, 1000))
    p = rescale.fit(source, reference)
    (far,) = arrays([0.9])
    assert float(rescale.apply(far, p, extrapolation="clip").soil_moisture[0]) == pytest.approx(
        float(p.reference_knots[-1])
    )
    assert np.isnan(rescale.apply(far, p, extrapolation="nan").soil_moisture[0])
    out = rescale.apply(far, p)
    assert float(out.soil_moisture[0]) > float(p.reference_knots[-1])
    assert int(out.soil_moisture_rescaling_flag[0]) == 1


def test_constant_or_short_source_gives_nan_parameters():
    source, reference = arrays(np.full(500, 0.2), np.random.default_rng(0).random(500))
    assert bool(rescale.fit(source, reference).source_knots.isnull().all())
    short = [a[:20] for a in (reference, reference)]
    assert np.isnan(rescale.fit(*short, method="mean_std").slope)
    with pytest.raises(NotFoundError, match="cdf"):
        rescale.fit(source, reference, method="cfd")


def test_gaps_and_dask():
    rng = np.random.default_rng(4)
    a = xr.DataArray(rng.normal(size=(900, 4)), dims=("time", "cell"), name="soil_moisture")
    b = (a * 0.5 + 0.1).where(xr.DataArray(rng.random((900, 4)) > 0.2, dims=("time", "cell")))
    eager = rescale.apply(a, rescale.fit(a, b)).soil_moisture
    lazy = rescale.apply(
        a.chunk(cell=2, time=200), rescale.fit(a.chunk(cell=2, time=200), b.chunk(cell=2))
    ).soil_moisture
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute(), eager)


def test_triple_slope_is_free_of_the_flattening_of_errors():
    """source = truth + e1, reference = 0.1 + 2 truth + e2: the slope is 2; regression gives 2 / (1 + 0.5^2 / 1) = 1.6."""
    rng = np.random.default_rng(9)
    n = 200_000
    truth = rng.normal(size=n)
    source, reference, third = (
        xr.DataArray(v, dims="time", name="x")
        for v in (
            truth + 0.5 * rng.normal(size=n),
            0.1 + 2 * truth + 0.5 * rng.normal(size=n),
            truth + rng.normal(size=n),
        )
    )
    triple = rescale.fit(source, reference, method="triple", third=third)
    assert float(triple.slope) == pytest.approx(2.0, abs=0.02)
    assert float(triple.intercept) == pytest.approx(0.1, abs=0.02)
    assert float(rescale.fit(source, reference, method="linreg").slope) == pytest.approx(1.6, abs=0.02)
    assert int(triple.n) == n
    for options in ({"method": "triple"}, {"method": "linreg", "third": third}):
        with pytest.raises(VadoseInputError, match="go together"):
            rescale.fit(source, reference, **options)


@pytest.mark.parametrize(
    "method", ["cdf", "mean_std"]
)  # regression hides most of such a bias by drawing all to the mean
def test_a_bias_that_changes_with_the_season_goes_only_with_the_seasonal_option(method):
    time = pd.date_range("2001-01-01", "2010-12-31", freq="D")
    rng = np.random.default_rng(8)
    reference = xr.DataArray(
        0.25 + 0.03 * rng.normal(size=time.size), dims="time", coords={"time": time}, name="soil_moisture"
    )
    wet = 0.1 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 15) / 365.25)
    source = reference + wet
    left = {}
    for seasonal in (False, True):
        parameters = rescale.fit(source, reference, method=method, seasonal=seasonal)
        out = rescale.apply(source, parameters).soil_moisture
        assert out.dims == source.dims
        np.testing.assert_array_equal(out.time, source.time)
        left[seasonal] = float(abs((out - reference).groupby("time.month").mean()).max())
    assert parameters.sizes["month"] == 12
    # three months are 90 of 365 days: the fitted cycle is sin(pi / 4) / (pi / 4) = 0.90 of the true one, a tenth of 0.1 stays
    assert left[True] < 0.02
    assert left[True] < left[False] / 2


@pytest.mark.parametrize("method", ["cdf", "linreg"])
def test_seasonal_maps_leave_no_step_where_months_meet(method):
    """A source that does not change from day to day is not made to jump on the first of a month."""
    time = pd.date_range("2001-01-01", "2006-12-31", freq="D")
    rng = np.random.default_rng(10)
    noise = 0.03 * rng.normal(size=time.size)
    wet = 0.1 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 15) / 365.25)
    reference = xr.DataArray(0.25 + noise, dims="time", coords={"time": time}, name="soil_moisture")
    parameters = rescale.fit(reference + wet, reference, method=method, seasonal=True)
    still = xr.full_like(reference, 0.25)
    step = abs(rescale.apply(still, parameters).soil_moisture.diff("time"))
    # the cycle itself moves by at most 0.1 * 2 pi / 365 = 0.0017 a day; a step between months would be 0.1 * 2 pi / 12 = 0.05
    assert float(step.max()) < 0.004


@pytest.mark.parametrize("method", ["cdf", "mean_std", "triple"])
def test_seasonal_maps_are_lazy_and_kept_in_files(method, tmp_path):
    time = pd.date_range("2001-01-01", "2004-12-31", freq="D")
    rng = np.random.default_rng(11)
    truth = rng.normal(size=(time.size, 4))
    a, b, c = (
        xr.DataArray(truth + 0.3 * rng.normal(size=truth.shape), dims=("time", "cell"), coords={"time": time}, name="x").where(
            xr.DataArray(rng.random(truth.shape) > 0.2, dims=("time", "cell"))
        )
        for _ in range(3)
    )  # fmt: skip
    third = {"third": c} if method == "triple" else {}
    eager = rescale.fit(a, b, method=method, seasonal=True, **third)
    lazy = rescale.fit(
        a.chunk(cell=2, time=300), b.chunk(cell=2), method=method, seasonal=True, **{k: v.chunk(cell=2) for k, v in third.items()}
    )  # fmt: skip
    assert all(lazy[n].chunks is not None for n in lazy.data_vars)
    lazy.compute().to_netcdf(tmp_path / "parameters.nc")
    kept = xr.open_dataset(tmp_path / "parameters.nc")
    out = rescale.apply(a.chunk(cell=2, time=300), kept).x
    assert out.chunks is not None
    assert out.dims == a.dims
    np.testing.assert_allclose(out.compute(), rescale.apply(a, eager).x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["linreg", "mean_std", "min_max"])
def test_lines_end_as_the_user_chooses(method):
    source, reference = arrays(np.linspace(0.1, 0.4, 200), np.linspace(0.2, 0.8, 200))  # reference = 2 source
    p = rescale.fit(source, reference, method=method)
    (far,) = arrays([0.05, 0.3, 0.5])
    for rule, expected in {"linear": [0.1, 0.6, 1.0], "clip": [0.2, 0.6, 0.8], "nan": [np.nan, 0.6, np.nan]}.items():
        out = rescale.apply(far, p, extrapolation=rule)
        np.testing.assert_allclose(out.soil_moisture, expected, atol=1e-9)
        assert out.soil_moisture_rescaling_flag.values.tolist() == [1, 0, 1]


@pytest.mark.parametrize("method", ["linreg", "mean_std", "min_max", "cdf", "triple"])
def test_a_source_that_never_changes_has_no_scale(method):
    rng = np.random.default_rng(4)
    n = 1001
    stuck, alive, third = (xr.DataArray(v, dims="time") for v in (np.full(n, 0.1), rng.random(n), rng.random(n)))
    p = rescale.fit(stuck, alive, method=method, third=third if method == "triple" else None)
    name = "source_knots" if method == "cdf" else "slope"
    assert p[name].isnull().all()


@pytest.mark.parametrize("method", ["linreg", "mean_std", "min_max", "cdf"])
def test_single_precision_and_order_of_dimensions_change_only_rounding(method):
    """280 K added up in single precision loses the third digit after the point."""
    rng = np.random.default_rng(5)
    source = xr.DataArray((280 + rng.normal(0, 5, (4000, 3))).astype("float32"), dims=("time", "cell"))
    reference = (0.5 * source.astype(float) + 150 + rng.normal(0, 1, (4000, 3))).astype("float32")
    wanted = rescale.fit(source.astype(float), reference.astype(float), method=method)
    for x, y in ((source, reference), (source.T, reference), (source.chunk(cell=1, time=999), reference.chunk(cell=2))):
        xr.testing.assert_allclose(rescale.fit(x, y, method=method).transpose(*wanted.dims), wanted, rtol=1e-9)
