"""The generating response is found again among five."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

from vadose.diagnostics import response_fit as r
from vadose.errors import TooFewSamplesError

SHAPES = {"damm": (-6.002, -0.917), "yan": (0.514, 0.75), "moyano": (2.42,), "orchidee": (), "century": (5.0,)}


def fluxes(form, shape, rng, n=300, porosity=0.5):
    theta = rng.uniform(0.03, 0.49, n)
    t = rng.uniform(275, 300, n)
    flux = 3.0 * form.function(theta, porosity, shape) * 2.2 ** ((t - 288.15) / 10) * (1 + rng.normal(0, 0.1, n))
    return [xr.DataArray(v, dims="x") for v in (flux, theta, t)]


@pytest.mark.parametrize("form", r.FORMS, ids=lambda f: f.name)
def test_c_t2_2_7_generating_function_ranks_first(form):
    shape = SHAPES[form.name]
    first, optima = 0, []
    for seed in range(10):
        table = r.benchmark_response(*fluxes(form, shape, np.random.default_rng(seed)), 0.5)
        first += table.response.iloc[0] == form.name
        optima.append(float(table.set_index("response").optimum[form.name]))
        assert table.set_index("response").q10[form.name] == pytest.approx(2.2, rel=0.1)
    assert first >= 8
    truth = minimize_scalar(
        lambda x: -float(form.function(np.array(x), 0.5, shape)), bounds=(0.01, 0.5), method="bounded"
    ).x
    assert np.abs(np.array(optima) - truth).max() <= 0.03


def test_bins_and_too_few():
    rng = np.random.default_rng(0)
    flux, theta, t = fluxes(r.FORMS[3], (), rng)
    bins = r.bin_by_pore_space(flux, theta, 0.5)
    assert bins["count"].sum() == 300
    with pytest.raises(TooFewSamplesError, match="30"):
        r.benchmark_response(flux[:10], theta[:10], t[:10], 0.5)
