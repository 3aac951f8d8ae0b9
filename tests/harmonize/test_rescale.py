"""Rescaling: known maps are found, order is kept, distributions meet."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from vadose.errors import NotFoundError
from vadose.harmonize import rescale


def arrays(*values):
    return [
        xr.DataArray(np.asarray(v, float), dims="time", name="soil_moisture", attrs={"units": "m3 m-3"}) for v in values
    ]


@pytest.mark.parametrize("method", rescale.METHODS)
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
