"""The command from first file to release, the page it writes, and files that lie in an object store."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from vadose import stream
from vadose.cli.stream import command


def say(*words):
    done = CliRunner().invoke(command, [str(w) for w in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_from_real_logger_files_to_releases(tmp_path, shared_data):
    folder, root = shared_data / "compass_fme", tmp_path / "root"
    assert "next: vadose stream run" in say("init", root, "--input", folder / "raw", "--design", folder / "metadata")
    first = say("run", root, "--workers", 0)
    assert "3 new files" in first
    assert "PNNL_23" in first, "a file that no design row explains is named"
    assert "0 new files" in say("run", root, "--workers", 0)
    assert "Compass_PTR_TR_312.TerosTableB" in say("status", root)
    assert "How late are the data?" in (root / "status.html").read_text()
    for level in ("L0", "L1", "L2"):
        say("release", root, "--level", level, "--version", "v1-0")
        made = root / "releases" / level / "v1-0"
        assert (made / "manifest-sha256.txt").is_file()
        assert list((made / "data").glob("PTR_TR_2023_soil-vwc-10cm_*.parquet"))
    assert "0 new files" in say("watch", root, "--rounds", 1)


def test_generate_writes_files_that_run(tmp_path):
    assert "planted faults" in say("generate", tmp_path / "net", "--observations", 20_000, "--days", 12)
    root = tmp_path / "root"
    say("init", root, "--input", tmp_path / "net" / "raw", "--design", tmp_path / "net" / "metadata")
    assert "values" in say("run", root, "--workers", 0)


def test_a_prefix_of_an_object_store_gives_the_same_table_as_a_folder(network, tmp_path, table_bytes):
    import fsspec

    root, raw, _ = network()
    stream.run(root)
    store = fsspec.filesystem("memory")
    for path in raw.glob("*.dat"):
        store.pipe(f"/loggers/{path.name}", path.read_bytes())
    try:
        other = stream.init(tmp_path / "object", inputs=["memory://loggers"], design=raw.parent / "metadata")
        assert stream.run(other, workers=0).landed == len(list(raw.glob("*.dat")))
        assert table_bytes(other) == table_bytes(root)
        assert stream.run(other, workers=0).landed == 0
    finally:
        store.rm("/loggers", recursive=True)


def test_a_root_that_is_no_stream_says_how_to_make_one(tmp_path):
    done = CliRunner().invoke(command, ["run", str(tmp_path / "nothing")])
    assert "vadose stream init" in str(done.exception)


def test_a_calibration_that_begins_later_leaves_earlier_months_as_they_were(network, tmp_path):
    import pyarrow.compute as pc

    root, raw, _ = network()
    stream.run(root)
    wanted = (pc.field("sensor") == "S01-P1-TEROS12-A-1") & (pc.field("variable") == "soil-vwc-10cm")
    old = stream.Table(root).read(filters=wanted).to_pandas()
    (raw.parent / "metadata" / "calibrations.csv").write_text(
        "calibration_id,sensor,research_name,equation,coefficients,covariance,residual,raw_low,raw_high,valid_from,valid_through,source\n"
        "first,S01-P1-TEROS12-A-1,soil-vwc-10cm,teros_mineral,,,,,,,2023-03-19,made for this test\n"
        'then,S01-P1-TEROS12-A-1,soil-vwc-10cm,,"[-0.7, 0.0004]",,0.02,,,2023-03-20,,made for this test\n'
    )
    stream.run(root)
    new = stream.Table(root).read(filters=wanted).to_pandas()
    local = new["time"].dt.tz_localize(None) - np.timedelta64(5, "h")
    early = (local < "2023-03-20").to_numpy()
    np.testing.assert_array_equal(new["value"][early], old["value"][early])
    np.testing.assert_allclose(new["value"][~early], 4e-4 * old["raw"][~early] - 0.7)
    assert new["standard_error"][~early].iloc[0] == pytest.approx(0.02)
