"""Weights against arithmetic, and a blend whose stated uncertainty is true."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from vadose.errors import VadoseInputError
from vadose.merge import blend, diagonal, weights


def matrix(s, cov01=0.0):
    c = np.diag(np.asarray(s) ** 2)
    c[0, 1] = c[1, 0] = cov01
    names = list("xyz")[: len(s)]
    return xr.DataArray(c, dims=("product", "product_2"), coords={"product": names, "product_2": names})


def test_c_x8_1_independent_errors():
    out = weights(matrix([0.02, 0.03, 0.04]))
    np.testing.assert_allclose(out.weight, [0.590164, 0.262295, 0.147541], atol=5e-7)
    assert float(np.sqrt(out.merged_variance)) == pytest.approx(0.0153644, abs=5e-8)


def test_c_x8_2_correlated_errors():
    out = weights(matrix([0.02, 0.03, 0.04], 0.00036))
    np.testing.assert_allclose(out.weight, [0.745856, 0.055249, 0.198895], atol=5e-7)
    assert float(np.sqrt(out.merged_variance)) == pytest.approx(0.0178391, abs=5e-8)


@given(s=st.lists(st.floats(0.005, 0.1), min_size=3, max_size=3), rho=st.floats(-0.9, 0.95))
def test_c_x8_3_weights_sum_to_one_and_never_do_worse_than_the_best(s, rho):
    out = weights(matrix(s, rho * s[0] * s[1]))
    assert float(out.weight.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(out.weight.min()) >= 0
    assert float(out.merged_variance) <= min(s) ** 2 * (1 + 1e-9)


def test_c_x8_4_merged_error_is_what_was_predicted():
    rng = np.random.default_rng(0)
    truth = rng.normal(0.2, 0.05, 20_000)
    s = [0.02, 0.03, 0.04]
    data = xr.DataArray(
        truth + rng.normal(size=(3, 20_000)) * np.array(s)[:, None],
        dims=("product", "time"),
        coords={"product": list("xyz")},
    )
    data = data.where(xr.DataArray(rng.random((3, 20_000)) > 0.3, dims=("product", "time")))
    out = blend(data, matrix(s))
    z = (out.soil_moisture - truth) / out.soil_moisture_standard_error
    assert float((z**2).mean()) == pytest.approx(1.0, abs=0.05)
    whole = out.n_products == 3
    rmse = float(np.sqrt(((out.soil_moisture - truth) ** 2).where(whole).mean()))
    assert rmse == pytest.approx(0.0153644, rel=0.05)


def test_every_value_says_which_products_made_it():
    data = xr.DataArray(
        [[0.1, np.nan, np.nan], [0.2, 0.2, np.nan]], dims=("product", "time"), coords={"product": list("xy")}
    )
    out = blend(data, matrix([0.02, 0.02]))
    assert out.n_products.values.tolist() == [2, 1, 0]
    np.testing.assert_allclose(out.soil_moisture, [0.15, 0.2, np.nan])
    np.testing.assert_allclose(out.weight.sum("product"), [1, 1, 0])


def test_lazy_equals_eager():
    rng = np.random.default_rng(1)
    data = xr.DataArray(rng.normal(size=(3, 100, 4)), dims=("product", "time", "cell"), coords={"product": list("xyz")})
    lazy = blend(
        data.chunk(cell=2, time=30),
        diagonal(xr.DataArray([0.1, 0.2, 0.3], dims="product", coords={"product": list("xyz")})),
    )
    assert lazy.soil_moisture.chunks is not None
    np.testing.assert_allclose(
        lazy.soil_moisture.compute(), blend(data, matrix([0.1**0.5, 0.2**0.5, 0.3**0.5])).soil_moisture
    )


def test_a_shrinkage_beyond_one_is_refused_by_blend_as_by_weights():
    covariance = diagonal(xr.DataArray([0.01, 0.04], dims="product", coords={"product": ["a", "b"]}))
    data = xr.DataArray(np.full((2, 3), 0.2), dims=("product", "time"), coords={"product": ["a", "b"]})
    for call in (lambda: weights(covariance, shrinkage=1.5), lambda: blend(data, covariance, shrinkage=1.5)):
        with pytest.raises(VadoseInputError, match=r"between 0 and 1, got 1\.5"):
            call()
