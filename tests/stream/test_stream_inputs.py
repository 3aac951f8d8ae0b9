"""Every kind of input from its file to the table, the ways of looking for files, and the means of a release against arithmetic."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose import qc, stream
from vadose.cli.stream import command
from vadose.stream import latency, text
from vadose.stream import network as maker
from vadose.stream.flags import CLOCK, DROPPED
from vadose.stream.formats import _digits, read
from vadose.stream.ledger import bad_rows
from vadose.stream.release import release

ISMN = "COSMOS_COSMOS_ARM-1_sm_0.000000_0.050000_Probe_20230301_20230302.stm"


@pytest.fixture
def mixed(tmp_path):
    """A design with a CSV logger, an AmeriFlux site and an ISMN station beside a TEROS logger; gives (root, raw folder)."""
    folder = maker.write_design(tmp_path / "metadata", 1, 1)
    raw = tmp_path / "raw"
    raw.mkdir()

    def add(name, *rows):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        with (folder / name).open("a") as file:
            file.write(out.getvalue())

    ismn = read(io.BytesIO(_ismn()), ISMN, lambda header: list(header.columns[1:]))
    header = next(ismn).header
    add(
        "design_table.csv",
        ["hill", "ten", "swc", "HIL", "A", "probe", "", "1", "", "", "soil-vwc-20cm", ""],
        ["US-Ton", "ameriflux", "SWC_1_1_1", "TON", "A", "probe", "", "1", "", "", "soil-vwc-20cm", ""],
        [header.logger, "ismn", header.columns[1], "ARM", "A", "probe", "", "1", "", "", "soil-vwc-0cm", ""],
    )
    add(
        "variables_metadata.csv",
        ["any", "SWC", "soil-vwc-20cm", "%", "m3/m3", "x / 100", "0", "0.7", "Soil moisture at 20 cm"],
        ["any", "SM", "soil-vwc-0cm", "m3/m3", "m3/m3", "x * 1", "0", "0.7", "Soil moisture, 0 to 5 cm"],
    )
    add("qaqc_table.csv", *([f"soil-vwc-{d}", "", "", "", "2 hours", "TRUE", ""] for d in ("0cm", "20cm")))
    add("timezones.csv", ["HIL", "Etc/GMT-1", ""], ["TON", "Etc/GMT+8", ""], ["ARM", "Etc/GMT", ""])
    return stream.init(tmp_path / "root", inputs=[raw], design=folder, workers=0), raw


def _ismn():
    return b"COSMOS COSMOS ARM-1 36.6 -97.5 300.0 0.00 0.05 Probe\n2023/03/01 00:00 0.25 G\n2023/03/01 01:00 bad G\n2023/03/01 02:00 0.26 G\n"


def test_csv_ameriflux_and_ismn_files_reach_the_table_in_utc_and_in_one_unit(mixed):
    root, raw = mixed
    (raw / "hill__ten.csv").write_text(
        "TIMESTAMP,swc,other\n2023-03-01 00:00:00,20,x\n2023-03-01 00:10:00,21,y\n2023-03-01,torn\n"
    )
    (raw / "AMF_US-Ton_BASE_HH_1-5.csv").write_text(
        "# Site: US-Ton\nTIMESTAMP_START,TIMESTAMP_END,SWC_1_1_1\n202303010000,202303010030,31.5\n202303010030,202303010100,-9999\n"
        "202302300000,202302300030,30\n"
    )
    (raw / ISMN).write_bytes(_ismn())
    report = stream.run(root)
    assert (report.files, report.waiting, report.unreadable) == (3, [], [])
    table = stream.Table(root).read().to_pandas().sort_values(["site", "time"])
    found = {
        site: [(str(t)[:16], v) for t, v in zip(rows["time"], rows["value"]) if not np.isnan(v)]
        for site, rows in table.groupby("site")
    }
    assert found == {
        "ARM": [("2023-03-01 00:00", 0.25), ("2023-03-01 02:00", 0.26)],
        "HIL": [("2023-02-28 23:00", 0.20), ("2023-02-28 23:10", 0.21)],  # an hour ahead of UTC
        "TON": [("2023-03-01 08:00", 0.315)],  # eight hours behind
    }
    assert sorted((b["file"][:4], b["line"]) for b in bad_rows(root)) == [("AMF_", 5), ("COSM", 3), ("hill", 4)]


def test_watch_takes_in_a_file_that_comes_between_two_looks(mixed, monkeypatch):
    root, raw = mixed
    (raw / "hill__ten.csv").write_text("TIMESTAMP,swc\n2023-03-01 00:00:00,20\n")

    def sleep(seconds):
        assert seconds == 5
        (raw / "hill__ten_b.csv").write_text("# logger: hill\n# table: ten\nTIMESTAMP,swc\n2023-03-01 00:10:00,21\n")

    monkeypatch.setattr("vadose.cli.stream.sleep", sleep)
    done = CliRunner().invoke(command, ["watch", str(root), "--every", "5", "--rounds", "3"])
    assert done.exit_code == 0, done.output
    assert done.output.count("1 new files") == 2
    assert stream.Table(root).read().num_rows == 2
    assert (root / "status.html").is_file()


def test_memory_of_workers_is_told(network):
    root, _, _ = network(days=10, observations=2 * 18 * 96 * 10)
    report = stream.run(root, workers=2)
    assert 40 < report.worker_mb < 2000, "a process with arrow in it"


def test_a_clock_set_back_in_a_file_is_marked_in_the_table(network, toa5):
    root, raw, _ = network(days=4, observations=18 * 96 * 4)
    quarter = np.timedelta64(15, "m")
    forward = np.datetime64("2024-06-01T00:00", "s") + np.arange(8) * quarter
    jumped = np.concatenate([forward, forward[4:] - quarter / 3 * 2])
    toa5(raw / "jump.dat", jumped, np.arange(12 * 18).reshape(12, 18) + 2000.0)
    stream.run(root)
    rows = stream.Table(root).read().to_pandas()
    rows = rows[rows["time"] >= "2024-06-01"]
    assert len(rows) == 12 * 18, "nothing is dropped"
    # Rows of 00:50, 01:05, ... repeat the time from 00:50 on: both sides from there are in doubt.
    doubt = rows["time"] >= "2024-06-01 05:50"
    np.testing.assert_array_equal((rows["flag"] & CLOCK) > 0, doubt)


@pytest.mark.parametrize(("step", "minutes"), [("15min", 15), ("hourly", 60), ("daily", 1440)])
def test_l2_means_and_plot_means_are_the_means_of_the_rows_without_doubt(network, step, minutes):
    root, _, _ = network(days=6, observations=18 * 96 * 6)
    stream.run(root)
    made = release(root, "L2", "v1-0", step=step)
    rows = stream.Table(root).read().to_pandas()
    rows = rows[(rows["variable"] == "soil-temp-10cm") & ((rows["flag"] & DROPPED) == 0)]
    width = pd.Timedelta(minutes=minutes)
    rows["step"] = (rows["time"].dt.tz_localize(None) + width / 2).dt.floor(width)
    expected = rows.groupby(["sensor", "step"])["value"].mean()
    found = pd.read_parquet(made / "data" / "S01_P1_2023_soil-temp-10cm_L2_v1-0.parquet")
    kept = found[found["n_avg"] > 0].set_index(["sensor", "time"])["value"]
    assert len(kept) == len(expected)
    np.testing.assert_allclose(kept.to_numpy(), expected.to_numpy(), rtol=1e-12)
    assert len(found) == 4 * (365 * 1440 // minutes), "the axis is complete"
    # The check table asks for the annual cycle. With one year it is the median of that time of day within seven days.
    one = found[found["sensor"] == found["sensor"].iloc[0]].set_index("time")
    at = one.index[(one["n_avg"] > 0).to_numpy()][len(one[one["n_avg"] > 0]) // 2]
    near = one["value"].mask(one["interpolated"] == 1).reindex(at + np.arange(-7, 8) * pd.Timedelta(1, "D"))
    assert one["annual_cycle"].loc[at] == pytest.approx(np.nanmedian(near), rel=1e-12)
    assert one["annual_cycle"].isna().any(), "nothing where nothing was measured in that season"
    plot = pd.read_parquet(made / "data" / "S01_P1_2023_soil-temp-10cm_L2_plot-mean_v1-0.parquet")
    np.testing.assert_allclose(
        plot[plot["sensors"] == 4]["value"].to_numpy(), expected.unstack(0).mean(axis=1).to_numpy(), rtol=1e-12
    )


def test_hourly_releases_carry_the_networks_own_flags(network):
    """A month of one sensor that stands still for a day in its winter and jumps: what qc.flag says of its hourly means is in the release."""
    root, _, _ = network(days=40, observations=18 * 96 * 40, faults=True)
    stream.run(root)
    made = release(root, "L2", "v1-0", step="hourly")
    found = pd.read_parquet(made / "data" / "S01_P1_2023_soil-vwc-10cm_L2_v1-0.parquet")
    warm = pd.read_parquet(made / "data" / "S01_P1_2023_soil-temp-10cm_L2_v1-0.parquet")
    name = found["sensor"].iloc[0]
    one, heat = (t[t["sensor"] == name].sort_values("time") for t in (found, warm))
    direct = xr.Dataset(
        {"soil_moisture": ("time", one["value"].to_numpy(), {"units": "m3 m-3"}), "soil_temperature": ("time", heat["value"].to_numpy(), {"units": "degC"})},
        {"time": one["time"].dt.tz_localize(None) if one["time"].dt.tz is not None else one["time"].to_numpy()},
    )  # fmt: skip
    # short gaps of temperature are filled in its release, not in what is given to the checks: compare where none was
    same = ~heat["interpolated"].astype(bool).to_numpy()
    expected = qc.flag(direct, depth=0.1)["soil_moisture_flag"].to_numpy()
    np.testing.assert_array_equal(one["network_flag"].to_numpy()[same], expected[same])
    assert (one["network_flag"][one["value"].notna()] > 0).all(), "each value has G or a doubt"
    assert (one["network_flag"][one["value"].isna()] == 0).all()
    assert "network_flag" in pd.read_csv(made / "columns.csv")["column"].to_list()
    assert "network_flag" not in warm


def test_l0_holds_what_was_logged_and_l1_what_it_means(network):
    root, _, _ = network(days=4, observations=18 * 96 * 4)
    stream.run(root)
    name = "S01_P1_2023_soil-vwc-10cm_{}_v1-0.parquet"
    made = release(root, "L0", "v1-0")
    zero = pd.read_parquet(made / "data" / name.format("L0"))
    counts = pd.read_csv(made / "availability.csv")
    rows = stream.Table(root).read().to_pandas()
    assert counts["values"].sum() == rows["value"].notna().sum()
    assert counts["in_doubt"].sum() == ((rows["flag"] & DROPPED) > 0).sum()
    one = pd.read_parquet(release(root, "L1", "v1-0") / "data" / name.format("L1"))
    assert "value" not in zero
    np.testing.assert_array_equal(zero["raw"], one["raw"])
    np.testing.assert_allclose(one["value"], 3.879e-4 * zero["raw"] - 0.6956, atol=1e-12)
    known = json.loads((root / "releases" / "L1" / "v1-0" / "release.json").read_text())
    assert known["table_version"] == stream.Table(root).version()


@settings(deadline=None)
@given(
    st.lists(
        st.from_regex(r"(19|20)[0-9]{2}(0[0-9]|1[0-3])[0-3][0-9]([01][0-9]|2[0-5])[0-6][0-9]", fullmatch=True),
        min_size=1,
    )
)
def test_twelve_digits_are_read_as_one_by_one(words):
    import pyarrow as pa

    try:
        expected = [_digits(w) for w in words]
    except ValueError:
        with pytest.raises(ValueError, match="date"):
            text.twelve_digits(pa.chunked_array([words]))
        return
    np.testing.assert_array_equal(text.twelve_digits(pa.chunked_array([words])), np.array(expected))


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.integers(4, 2003), st.sampled_from([b"", b"x", b'"', b"1,2", b"\0\0", b'"TIMESTAMP",']), max_size=6
    ),
    st.booleans(),
)
def test_cutting_a_damaged_block_finer_changes_nothing(damage, ended):
    time = np.datetime64("2023-03-01", "s") + np.arange(2000) * np.timedelta64(15, "m")
    values = np.arange(2000 * 18, dtype=float).reshape(2000, 18)
    lines = _LINES or _LINES.extend(_toa5(time, values)) or _LINES
    damaged = [damage.get(k, line) for k, line in enumerate(lines)]
    raw = b"\r\n".join(damaged) + (b"\r\n" if ended else b"")

    def parse():
        blocks = list(read(io.BytesIO(raw), "a.dat", lambda header: maker.names("TerosTableA")))
        return (
            np.concatenate([b.time for b in blocks]),
            np.concatenate([b.values for b in blocks]),
            [row for b in blocks for row in b.bad],
            blocks[-1].cut,
        )

    assert len(raw) > 4 * text.PIECE
    fine = parse()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "PIECE", 1 << 30)
        whole = parse()
    np.testing.assert_array_equal(fine[0], whole[0])
    np.testing.assert_array_equal(fine[1], whole[1])
    assert fine[2:] == whole[2:]


_LINES: list[bytes] = []


def _toa5(time, values):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dat"
        maker.write_toa5(path, "L", "TerosTableA", time, values)
        return path.read_bytes().rstrip().split(b"\r\n")


def test_a_weak_battery_is_an_alarm_before_the_silence(network, toa5):
    """BattV_Avg of the made-up loggers is 12.5 V. The limit is the variable table's low_bound, which a technician sets."""
    root, raw, _ = network(days=3, observations=18 * 96 * 3)
    tables = raw.parent / "metadata"
    design = (tables / "design_table.csv").read_text().splitlines()
    at = next(k for k, line in enumerate(design) if "BattV_Avg" in line and "TerosTableA" in line)
    design[at] = "Net_S01_P1,TerosTableA,BattV_Avg,S01,P1,Datalogger,A,,,,battery-voltage,"
    (tables / "design_table.csv").write_text("\n".join(design) + "\n")
    variables = (tables / "variables_metadata.csv").read_text()
    now = np.datetime64("2023-03-04T05:00")
    for low, weak in (("11", False), ("12.6", True)):
        row = f"Datalogger,BattV_Avg,battery-voltage,V,V,x * 1,{low},14,Battery of the logger\n"
        (tables / "variables_metadata.csv").write_text(variables + row)
        stream.run(root)
        (state,) = latency.status(root, now=now)
        assert (state.battery, state.silent, state.weak, state.alert) == (12.5, False, weak, weak)
        assert ("battery 12.5 V, below 12.6" in latency.page(root, now=now).read_text()) == weak
