"""What citizens' observations are held against, set by one command: the sea, what is usual, frozen days, reference sensors."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from vadose.cli.stream import command
from vadose.errors import NotFoundError, UnitsError, VadoseInputError
from vadose.stream import citizen, moderation
from vadose.stream.references import References, read_references, usual, write_references

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
SAID = {**citizen.EXAMPLE, "time": "2026-05-01T10:30"}


def seen(**change):
    return citizen.observation({**SAID, **change}, now=NOW) | {"observer": change.get("observer_id", "meadow-7")}


def product(**attrs):
    """Two cells for two years: .2 and .3 by turns from day to day in the west, .4 in the east. Longitudes run to 360."""
    time = np.arange("2024-01-01", "2026-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.stack([np.where(np.arange(time.size) % 2, 0.2, 0.3), np.full(time.size, 0.4)], axis=1)
    return xr.Dataset(
        {"soil_moisture": (("time", "lat", "lon"), values[:, None], {"units": "m3 m-3", **attrs})},
        {"time": time, "lat": [47.5], "lon": [8.0, 359.0]},
    )


@pytest.fixture
def files(tmp_path):
    """A mask whose second cell is sea, the product, and the temperature of two days, the second frozen."""
    data = tmp_path / "data"
    data.mkdir()
    land = xr.Dataset({"land": (("lat", "lon"), [[1, 0]])}, {"lat": [47.5], "lon": [8.0, 9.0]})
    days = np.array(["2026-05-01", "2026-05-02"], "datetime64[ns]")
    cold = xr.Dataset({"air_temperature": (("time", "lat", "lon"), [[[5.0]], [[-1.0]]], {"units": "degC"})}, {"time": days, "lat": [47.5], "lon": [8.0]})  # fmt: skip
    out = {}
    for name, made in {"land": land, "reference": product(), "temperature": cold}.items():
        out[name] = data / f"{name}.nc"
        made.to_netcdf(out[name])
    return out


def test_one_command_sets_what_the_others_use(tmp_path, files):
    """EXAMPLE is .325 m3 m-3: 31 days of .2 and .3 by turns have mean .25 and a deviation of .05, three of which are .15 away."""
    folder, sheet = tmp_path / "kept", tmp_path / "mine.csv"
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    done = CliRunner().invoke(command, ["citizen", "checks", str(folder), *options])
    assert done.exit_code == 0, done.output
    assert "land.nc" in CliRunner().invoke(command, ["citizen", "checks", str(folder)]).output
    rows = [
        {**citizen.EXAMPLE, "time": "2026-05-01T10:30Z"},
        {**citizen.EXAMPLE, "time": "2026-05-01T12:30Z", "wet": "160"},  # .35 x 1.3 = .455
        {**citizen.EXAMPLE, "time": "2026-05-02T10:30Z"},
        {**citizen.EXAMPLE, "time": "2026-05-01T10:30Z", "longitude": "9"},
        {
            **citizen.EXAMPLE,
            "time": "2026-05-01T10:30Z",
            "longitude": "60",
        },  # beyond every grid: nothing is known there
    ]
    lines = [",".join(citizen.COLUMNS), *(",".join(f'"{r.get(c, "")}"' for c in citizen.COLUMNS) for r in rows)]
    sheet.write_text("\n".join(lines))
    done = CliRunner().invoke(command, ["citizen", "submit", str(sheet), "--into", str(folder)])
    assert "line 5: Where: that is in the sea" in done.output
    assert "4 new in" in done.output
    found = {
        j.observation["time"][:16] + f" {j.observation['longitude']:g}": j.doubts for j in moderation.judged(folder)
    }
    assert found == {
        "2026-05-01T10:30 8.2504": (),
        "2026-05-01T12:30 8.2504": ("more than 3 standard deviations from what is usual there",),
        "2026-05-02T10:30 8.2504": ("the soil may be frozen",),
        "2026-05-01T10:30 60": (),
    }


def test_usual_is_the_season_of_that_cell_and_depth():
    grid = product()["soil_moisture"].assign_coords(lon=[8.0, -1.0]).sortby("lon")
    mean, spread = usual(grid, seen())
    days = np.arange(31 * 2)  # 31 days in each of two years, .2 and .3 by turns, 31 of each
    assert (mean, spread) == pytest.approx((0.25, np.std(np.where(days % 2, 0.2, 0.3), ddof=1)), abs=2e-3)
    assert usual(grid, seen(longitude="-1"))[0] == pytest.approx(0.4)
    assert np.isnan(usual(grid, seen(depth_from="0.2", depth_to="0.3"))).all(), "a product of the surface"
    assert np.isnan(usual(grid.isel(time=slice(0, 200)), seen(time="2025-12-01T10:00"))).all(), "no such season in it"


def test_an_anchor_is_the_truth_that_others_are_measured_by():
    """Two who agree with each other and not with the sensor: among themselves nothing is wrong, beside it their scatter is .1."""
    rng = np.random.default_rng(0)
    rows = []
    for k, day in enumerate(range(1, 29)):
        away = 0.1 * (-1) ** k  # the same for both: what they share they cannot see in each other
        for who, wet in (("a", 0.25 + away), ("b", 0.25 + away + 0.001 * rng.normal()), ("sensor", 0.25)):
            rows.append({**seen(), "observer": who, "soil_moisture": wet, "time": f"2026-05-{day:02d}T10:00:00+00:00"})
    alone = moderation.trust([r for r in rows if r["observer"] != "sensor"])
    beside = moderation.trust(rows, anchors=("sensor",))
    assert min(alone.values()) > 0.99
    assert max(beside.values()) < 0.01
    assert set(beside) == {"a", "b"}


def test_what_is_wrong_is_said_before_anything_is_kept(tmp_path, files):
    assert read_references(tmp_path) == References()
    with pytest.raises(VadoseInputError, match="has no variable soil_moisture; it has land"):
        write_references(tmp_path, reference=files["land"])
    product(units="K").to_netcdf(tmp_path / "wrong.nc")
    with pytest.raises(UnitsError):
        write_references(tmp_path, reference=tmp_path / "wrong.nc")
    assert not (tmp_path / "checks.toml").exists()
    (tmp_path / "checks.toml").write_text('land = "nowhere.nc"')
    with pytest.raises(NotFoundError, match=r"nowhere\.nc is not there"):
        read_references(tmp_path)
    (tmp_path / "checks.toml").write_text('lnad = "x.nc"')
    with pytest.raises(VadoseInputError, match="'lnad' is not one of"):
        read_references(tmp_path)
