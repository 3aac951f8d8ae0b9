"""Texture to hydraulic limits against the rounded table of Saxton & Rawls (2006)."""

from __future__ import annotations

import pytest
import xarray as xr

from vadose.errors import VadoseInputError
from vadose.physics.pedotransfer import saxton_rawls

# sand, clay, wilting point, field capacity, saturation [% by volume], conductivity [mm h-1], at 2.5 % organic matter
TABLE = {
    "sand": (0.88, 0.05, 5, 10, 46, 108.1), "loamy sand": (0.80, 0.05, 5, 12, 46, 96.7), "sandy loam": (0.65, 0.10, 8, 18, 45, 50.3),
    "loam": (0.40, 0.20, 14, 28, 46, 15.5), "silt loam": (0.20, 0.15, 11, 31, 48, 16.1), "silt": (0.10, 0.05, 6, 30, 48, 22.0),
    "sandy clay loam": (0.60, 0.25, 17, 27, 43, 11.3), "clay loam": (0.30, 0.35, 22, 36, 48, 4.3), "silty clay loam": (0.10, 0.35, 22, 38, 51, 5.7),
    "silty clay": (0.10, 0.45, 27, 41, 52, 3.7), "sandy clay": (0.50, 0.40, 25, 36, 44, 1.4), "clay": (0.25, 0.50, 30, 42, 50, 1.1),
}  # fmt: skip


def texture(value):
    return xr.DataArray(value, attrs={"units": "1"})


@pytest.mark.parametrize("name", TABLE)
def test_c_x3_1_published_table(name):
    sand, clay, wp, fc, sat, ks = TABLE[name]
    out = saxton_rawls(texture(sand), texture(clay), 0.025)
    assert abs(float(out.wilting_point) * 100 - wp) <= 0.5001
    assert abs(float(out.field_capacity) * 100 - fc) <= 0.5001
    assert abs(float(out.saturation_moisture) * 100 - sat) <= 0.5001
    assert abs(float(out.conductivity) - ks) <= 0.0501


def test_percent_given_as_a_fraction_is_refused():
    with pytest.raises(VadoseInputError, match="mass fraction"):
        saxton_rawls(texture(40.0), texture(20.0))
    ok = saxton_rawls(xr.DataArray(40.0, attrs={"units": "%"}), xr.DataArray(20.0, attrs={"units": "%"}))
    assert float(ok.field_capacity) == pytest.approx(float(saxton_rawls(texture(0.4), texture(0.2)).field_capacity))


def test_peat_is_flagged():
    assert int(saxton_rawls(texture(0.2), texture(0.2), 0.3).hydraulics_flag) == 1
