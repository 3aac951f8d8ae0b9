"""Presets are data; each is held to a small table of readings that it must keep or drop, and to real files where they are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import cf, products, qc
from vadose.errors import NotFoundError, VadoseInputError
from vadose.qc.flags import PRESETS

#: One row a preset: variables by reading (the last reading passes every rule), and what must be kept.
SMAP_FLAGS = (
    "not_recommended", "not_attempted", "not_successful", "static_water", "precipitation", "snow_or_ice",
    "permanent_snow_or_ice", "frozen_radiometer", "frozen_ground", "dense_vegetation",
)  # fmt: skip


def reading(flags=(), known=(), n=1, **values):
    """A Dataset with `n` readings: lists of set meanings, and other variables."""
    bits = {m: 1 << k for k, m in enumerate(known)}
    out = xr.Dataset({"soil_moisture": ("time", np.full(n, 0.25), {"units": "m3 m-3"})})
    if known:
        numbers = [sum(bits[m] for m in row) for row in flags]
        out["soil_moisture_flag"] = ("time", np.array(numbers, "uint32"), cf.flag_attrs(known))
    for name, v in values.items():
        out[name] = ("time", np.asarray(v, float))
    return out


def kept(dataset, product, name="default"):
    return qc.keep(dataset, product, name).values.tolist()


def test_smap():
    rows = [(m,) for m in SMAP_FLAGS] + [()]
    data = reading(rows, SMAP_FLAGS, len(rows))
    drops = dict(zip(SMAP_FLAGS, range(len(rows)), strict=False))

    def expected(*meanings):
        return [k not in {drops[m] for m in meanings} for k in range(len(rows))]

    assert kept(data, "smap", "recommended") == expected("not_recommended")
    assert kept(data, "smap", "usable") == expected(*SMAP_FLAGS[1:9])
    assert kept(data, "smap", "strict") == expected(*SMAP_FLAGS)
    dry = data.assign(soil_moisture=("time", np.r_[np.full(len(rows) - 1, 0.25), 0.019]))
    assert kept(dry, "smap", "usable")[-1] is False


def test_smos():
    known = ("strong_topography", "moderate_topography", "open_water", "frost", "ice", "urban_low", "urban_high", "external_low", "external_high", "tau")  # fmt: skip
    data = reading([("open_water",), ("ice",), (), ()], known, 4, radio_interference_probability=[0, 0, 0.21, 0.20])
    assert kept(data, "smos") == [False, False, False, True]
    assert kept(data, "smos", "lenient") == [True, False, False, True]


def test_ascat():
    known = ("processing", "correction", "confidence")
    data = reading(
        [(), (), (), (), (), (), ("correction",), ()], known, 8,
        surface_state=[0, 2, 1, 1, 1, 1, 1, 1],
        subsurface_scattering_probability=[0, 0, 10.1, 10, 0, 0, 0, 0],
        sensitivity=[1, 1, 1, 0.99, 1, 1, 1, 1],
        topographic_complexity=[0, 0, 0, 0, 20.1, 0, 0, 20],
        wetland_fraction=[0, 0, 0, 0, 0, 15.1, 0, 15],
    )  # fmt: skip
    assert kept(data, "ascat") == [True, False, False, False, False, False, False, True]


def test_cci_and_c3s():
    known = (
        "snow_or_frozen", "dense_vegetation", "no_convergence",
        "unphysical", "weights_below_threshold", "all_unreliable",
        "barren_ground_advisory_flag",
    )  # fmt: skip
    data = reading([(known[0],), (known[5],), (known[6],), ()], known, 4)
    assert kept(data, "cci") == kept(data, "c3s") == [False, False, False, True]
    assert kept(data, "cci", "barren_kept") == [False, False, True, True]


def test_models():
    data = reading(n=4, snow_amount=[0.0, 0.001, 0.0, np.nan], soil_temperature=[274.15, 280, 274.16, 280])
    assert kept(data, "gldas", "unfrozen") == [False, False, True, False]
    assert kept(data, "era5", "unfrozen") == kept(data, "era5_land", "unfrozen") == [False, True, True, True]


def test_cgls_and_ismn():
    known = ("water", "low_sensitivity", "steep_slope", "low_quality")
    data = reading([(k,) for k in known] + [(), ()], known, 6, surface_state=[0, 0, 0, 0, 2, 1])
    assert kept(data, "cgls") == [False] * 5 + [True]
    stations = reading([("G",), ("D01",)], ("D01", "G"), 2)
    assert kept(stations, "ismn", "good") == [True, False]


def test_rules_used_and_skipped_are_told():
    mask = qc.keep(reading(n=2, soil_temperature=[280, 270]), "gldas", "unfrozen")
    assert "no snow" in mask.attrs["skipped"]
    assert "soil warmer" in mask.attrs["rules"]
    with pytest.raises(VadoseInputError, match="soil_moisture_flag"):
        qc.keep(reading(n=2), "smap", "recommended")
    with pytest.raises(NotFoundError, match="recommended"):
        qc.preset("smap", "recomended")
    with pytest.raises(NotFoundError, match="gldas"):
        qc.preset("gldass", "unfrozen")


def test_presets_are_lazy_and_named_once():
    assert len({(p.product, p.name) for p in PRESETS}) == len(PRESETS)
    assert all(p.source and p.rules for p in PRESETS)
    data = reading(n=4, soil_temperature=[270, 280, 290, 270]).chunk(time=2)
    mask = qc.keep(data, "era5", "unfrozen")
    assert mask.chunks is not None
    assert mask.values.tolist() == [False, True, True, False]


def test_real_cci_keeps_what_has_no_inconsistency(shared_data):
    raw = xr.open_dataset(shared_data / "c3s_cci/c3s_combined_v202505/0165.nc")
    out = products.standardize(raw, "esa_cci")
    mask = qc.keep(out, "cci") & out.soil_moisture.notnull()
    direct = (raw.flag == 0) & raw.sm.notnull() & (raw.sm >= 0)
    assert int(mask.sum()) == int(direct.sum()) > 0


def test_real_gldas_drops_frozen_and_snow(shared_data):
    out = products.standardize(xr.open_dataset(shared_data / "gldas/timeseries/0165.nc"), "gldas")
    mask = qc.keep(out, "gldas", "unfrozen")
    left = out.soil_moisture.where(mask)
    assert int(left.count()) <= int(out.soil_moisture.count())
    if "soil_temperature" in out:
        assert not bool((mask & (out.soil_temperature <= 274.15)).any())


def test_real_smap_files_know_the_meanings_that_presets_ask_for(shared_data):
    out = products.standardize(xr.open_dataset(shared_data / "smap/L3_v9_timeseries/0165.nc"), "smap_series")
    words = out.soil_moisture_flag.attrs["flag_meanings"].split()
    assert "not_recommended" in words
    assert bool(qc.keep(out, "smap", "recommended").where(out.soil_moisture.notnull()).any())
