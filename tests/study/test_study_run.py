"""Studies run to the end, survive what is broken, and take up where they were stopped."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import study
from vadose.errors import PlatformError, StudyError
from vadose.study import compute, parse


def results(folder):
    return xr.open_zarr(folder / "merged.zarr", consolidated=False).load()


def command(folder, output):
    return [sys.executable, "-m", "vadose", "run", str(folder / "study.yaml"), "-o", str(output)]


def test_real_satellites_are_drier_than_the_models_on_hawaii_and_the_merged_series_carries_its_error(hawaii, tmp_path):
    folder = study.run(hawaii / "study.yaml", tmp_path / "out")
    merged = results(folder)
    assert merged.soil_moisture.attrs["units"] == "m3 m-3"
    known = merged.soil_moisture.notnull()
    assert int(known.sum()) > 1000
    assert bool((merged.soil_moisture_standard_error.where(known) > 0).where(known, True).all())
    table = pd.read_parquet(folder / "tables" / "discrepancies.parquet").set_index(["kind", "of"])
    # The working group's question; real data of this cell answer it with intervals that exclude zero.
    assert table.loc[("family", "remote-sensing"), "verdict"] == "drier"
    assert table.loc[("product", "gldas"), "verdict"] == "wetter"
    assert table.loc[("product", "smap"), "days"] > 100
    facts = json.loads((folder / "provenance.json").read_text())
    assert {len(v) for i in facts["inputs"] for v in i["sha256"].values()} == {64}


@pytest.mark.slow
def test_on_the_synthetic_earth_merging_beats_every_input_and_the_stated_error_covers_the_truth(demo_results):
    table = pd.read_parquet(demo_results / "tables" / "truth.parquet").set_index("product")
    inputs = table.drop(index="merged")
    assert len(inputs) == 4
    assert (inputs["merged_on_its_days"] < inputs["true_error_sd"]).all()
    facts = json.loads((demo_results / "provenance.json").read_text())["facts"]
    assert 0.60 <= facts["coverage_68"] <= 0.76
    # Collocation never saw the truth, and yet its errors are within a fifth of the true ones.
    np.testing.assert_allclose(inputs["estimated_error_sd"], inputs["true_error_sd"], rtol=0.2)


@pytest.mark.slow
def test_on_unfrozen_days_the_merged_product_agrees_with_stations_better_than_the_models(demo_results):
    table = pd.read_parquet(demo_results / "tables" / "stations.parquet")
    table = table[(table["score"] == "pearson") & (table["n"] >= 30)]
    medians = table.groupby("product")["value"].median()
    assert medians["merged"] > medians["reanalysis"]
    assert medians["merged"] > medians["landmodel"]
    assert medians["merged"] > 0.7
    # Against the satellites only the days they saw are a fair match.
    same = table.groupby("product")["merged_same_days"].median()
    assert (same >= medians - 0.01).all()


def test_a_truncated_file_is_reported_and_does_not_stop_the_run(hawaii, tmp_path):
    data = (hawaii / "smap.nc").read_bytes()
    (hawaii / "smap.nc").write_bytes(data[: len(data) // 2])
    folder = study.run(hawaii / "study.yaml", tmp_path / "out")
    rows = json.loads((folder / "failures.json").read_text())
    assert {r["source"] for r in rows} == {"smap"}
    assert "smap.nc" in rows[0]["what"]
    assert list(xr.open_zarr(folder / "products.zarr", consolidated=False)["product"].values) == [
        "c3s",
        "era5land",
        "gldas",
    ]


def test_too_few_readable_sources_say_which_and_why(hawaii, tmp_path):
    (hawaii / "c3s.nc").write_bytes(b"not a netCDF file")
    with pytest.raises(StudyError, match=r"three sources, 2 of 3 could be read.*c3s"):
        study.run(hawaii / "study.yaml", tmp_path / "out")
    # Nothing that looks finished is left.
    assert not (tmp_path / "out" / "provenance.json").exists()


def test_a_reference_that_cannot_be_read_stops_the_study(hawaii, tmp_path):
    (hawaii / "gldas.nc").unlink()
    with pytest.raises(StudyError, match=r"reference 'gldas' cannot be read.*no file is .*gldas\.nc; correct 'files'"):
        study.run(hawaii / "study.yaml", tmp_path / "out")


def test_a_second_run_takes_every_step_from_the_first_and_a_changed_file_is_read_again(hawaii, tmp_path):
    states: dict[str, str] = {}
    study.run(hawaii / "study.yaml", tmp_path / "out")
    first = results(tmp_path / "out")
    study.run(hawaii / "study.yaml", tmp_path / "out", tell=lambda s, state: states.__setitem__(s, state))
    assert {v for k, v in states.items() if k != "write"} == {"kept"}
    xr.testing.assert_identical(first, results(tmp_path / "out"))
    os.utime(hawaii / "c3s.nc", ns=(1, 1))
    study.run(hawaii / "study.yaml", tmp_path / "out", tell=lambda s, state: states.__setitem__(s, state))
    assert states["prepare-c3s"] == "done"
    assert states["prepare-era5land"] == "kept"
    file = hawaii / "study.yaml"
    file.write_text(file.read_text() + "climatology: short-term\n")
    study.run(file, tmp_path / "out", tell=lambda s, state: states.__setitem__(s, state))
    assert (states["prepare-c3s"], states["collocation"], states["errors"]) == ("kept", "done", "done")


def wait_for(condition, process):
    """Until it holds or the process ends; the time is that of a machine with much other work."""
    deadline = time.monotonic() + 240
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("step", ["prepare-era5land", "collocation", "merge"])
def test_killed_after_any_step_a_second_run_ends_with_the_same_numbers(hawaii, tmp_path, step):
    whole = results(study.run(hawaii / "study.yaml", tmp_path / "whole"))
    process = subprocess.Popen(command(hawaii, tmp_path / "out"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: list((tmp_path / "out" / "steps").glob(f"{step}-*")), process)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (tmp_path / "out" / "provenance.json").exists()
    study.run(hawaii / "study.yaml", tmp_path / "out")
    xr.testing.assert_allclose(whole, results(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*.part"))


def test_interrupted_from_the_keyboard_it_says_how_to_continue(hawaii, tmp_path):
    process = subprocess.Popen(command(hawaii, tmp_path / "out"), stderr=subprocess.PIPE, text=True)
    try:
        # As soon as it is at work: a small study can end before a busy machine lets this process look again.
        wait_for((tmp_path / "out" / ".lock").exists, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert "again" in errors


def test_a_folder_in_use_is_refused_and_a_dead_owner_is_forgotten(hawaii, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text(str(os.getpid()))
    with pytest.raises(PlatformError, match=f"in use by process {os.getpid()}"):
        study.run(hawaii / "study.yaml", out)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (out / ".lock").write_text(str(gone.pid))
    study.run(hawaii / "study.yaml", out)
    assert not (out / ".lock").exists()
    (out / ".lock").write_text(f"{os.getpid()} 1000.0")  # after a restart the number is another's
    study.run(hawaii / "study.yaml", out)
    assert not (out / ".lock").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_sentence(hawaii, tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(command(hawaii, tmp_path / "file" / "out"), capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "choose another folder with --output" in done.stderr


def test_fresh_computes_every_step_anew(hawaii, tmp_path):
    study.run(hawaii / "study.yaml", tmp_path / "out")
    states: dict[str, str] = {}
    study.run(hawaii / "study.yaml", tmp_path / "out", fresh=True, tell=lambda s, state: states.__setitem__(s, state))
    assert set(states.values()) == {"done"}


def test_a_full_disk_is_told_and_what_was_finished_stays(hawaii, tmp_path, monkeypatch):
    real = xr.Dataset.to_netcdf

    def full(self, path=None, *args, **kwargs):
        if "merge" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, path, *args, **kwargs)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(PlatformError, match="No space left on device; finished steps are kept, make room"):
        study.run(hawaii / "study.yaml", tmp_path / "out")
    monkeypatch.undo()
    states: dict[str, str] = {}
    study.run(hawaii / "study.yaml", tmp_path / "out", tell=lambda s, state: states.__setitem__(s, state))
    assert states["prepare-gldas"] == "kept"
    assert states["merge"] == "done"


def test_season_removed_or_kept_is_the_study_s_choice():
    text = """\
title: t
period: [2017-01-01, 2018-12-31]
bbox: [0, 0, 1, 1]
climatology: CHOICE
sources: {a: {collection: x}, b: {collection: y}, c: {collection: z}}
"""
    days = pd.date_range("2017-01-01", "2018-12-31")
    rng = np.random.default_rng(1)
    season = 0.1 * np.sin(2 * np.pi * days.day_of_year.values / 365.25)
    noise = np.array([0.01, 0.02, 0.03])
    weather = 0.02 * rng.standard_normal(days.size)
    # The third product's season lags: with the season kept it looks far worse than its noise of 0.03.
    lagged = 0.1 * np.sin(2 * np.pi * (days.day_of_year.values - 60) / 365.25)
    data = xr.DataArray(
        0.25 + np.stack([season, season, lagged]) + weather + noise[:, None] * rng.standard_normal((3, days.size)),
        dims=("product", "time"),
        coords={"product": ["a", "b", "c"], "time": days},
        attrs={"units": "m3 m-3"},
    )
    kept = compute.collocate(data, parse(text.replace("CHOICE", "kept"))).error_sd
    removed = compute.collocate(data, parse(text.replace("CHOICE", "removed"))).error_sd
    short = compute.collocate(data, parse(text.replace("CHOICE", "short-term"))).error_sd
    # 730 days and a signal of 0.02 give a smallest error with a relative sampling sd of about 8 %.
    np.testing.assert_allclose(removed, noise, rtol=0.25)
    np.testing.assert_allclose(short, noise, rtol=0.25)
    assert float(kept.sel(product="c")) > 0.06


def test_too_few_common_days_at_any_place_are_merged_with_the_errors_of_all_places_together():
    study_of_short = parse(
        """\
title: t
period: [2018-01-01, 2018-03-01]
bbox: [0, 0, 4, 4]
resolution: 1.0
sources: {a: {collection: x}, b: {collection: y}, c: {collection: z}}
"""
    )
    rng = np.random.default_rng(2)
    days = pd.date_range("2018-01-01", "2018-03-01")
    noise = np.array([0.01, 0.02, 0.03])[:, None, None, None]
    shape = (days.size, 4, 4)
    data = xr.DataArray(
        0.25 + 0.04 * rng.standard_normal(shape) + noise * rng.standard_normal((3, *shape)),
        dims=("product", "time", "lat", "lon"),
        coords={"product": ["a", "b", "c"], "time": days, "lat": np.arange(4.0), "lon": np.arange(4.0)},
    )
    estimates = compute.collocate(data, study_of_short)
    assert not bool(estimates.error_sd.notnull().any())  # 60 days are too few for any one place
    merged = compute.merged(data, estimates, study_of_short)
    # 1 / (1 / 0.01^2 + 1 / 0.02^2 + 1 / 0.03^2) = 7.347e-5: the least variance of three independent products.
    np.testing.assert_allclose(merged.soil_moisture_standard_error, np.sqrt(7.347e-5), rtol=0.12)
