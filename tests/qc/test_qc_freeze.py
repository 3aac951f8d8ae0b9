"""Frozen ground from polarization: the published ratio, references from the right months, a winter that is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.errors import UnitsError
from vadose.qc import freeze_references, freeze_thaw, polarization_ratio


def kelvin(*values):
    return xr.DataArray(list(values), dims="x", attrs={"units": "K"})


def test_c_t1_2_8_ratio_of_250_and_230():
    """20 / 480 = 0.0416667."""
    assert float(polarization_ratio(kelvin(250.0), kelvin(230.0))[0]) == pytest.approx(20 / 480, abs=1e-12)
    assert round(20 / 480, 7) == 0.0416667
    with pytest.raises(UnitsError):
        polarization_ratio(kelvin(250.0).assign_attrs(units="m"), kelvin(230.0))


def year():
    """Two places over three years of days: the first freezes from December to March, the second looks the same all year."""
    time = pd.date_range("2016-01-01", "2018-12-31")
    rng = np.random.default_rng(0)
    cold = np.isin(time.month, (12, 1, 2, 3))
    ratio = np.stack([np.where(cold, 0.02, 0.06), np.full(time.size, 0.05)], axis=1) + rng.normal(
        0, 0.002, (time.size, 2)
    )
    ratio[rng.random(ratio.shape) < 0.3] = np.nan
    return xr.DataArray(ratio, dims=("time", "place"), coords={"time": time}, attrs={"units": "1"}), cold


def test_a_winter_is_found_and_a_place_without_contrast_says_nothing():
    ratio, cold = year()
    references = freeze_references(ratio)
    winter = np.sort(ratio.values[np.isin(ratio.time.dt.month, (1, 2)), 0])[:20]
    assert float(references.frozen_reference[0]) == pytest.approx(winter.mean())
    out = freeze_thaw(ratio, references)
    known = out.frozen[:, 0].notnull().values
    assert known.sum() == int(ratio[:, 0].count())
    np.testing.assert_array_equal(out.frozen.values[known, 0], cold[known])
    assert out.frozen[:, 1].isnull().all()
    assert out.frozen_flag.values.tolist() == [0, 1]
    assert out.frozen.attrs["ancillary_variables"] == "frozen_flag"


def test_few_values_make_no_reference_and_lazy_stays_lazy():
    ratio, _ = year()
    assert freeze_references(ratio[:25], count=20).thawed_reference.isnull().all()  # no summer at all
    lazy = freeze_thaw(ratio.chunk(time=100, place=1), freeze_references(ratio.chunk(time=100, place=1)))
    assert lazy.frozen.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), freeze_thaw(ratio, freeze_references(ratio)))
