"""Damaged logger files: no good row is lost and each bad one is named."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import UnreadableFileError
from vadose.stream import network as maker
from vadose.stream.formats import read
from vadose.stream.grid import clock_marks
from vadose.stream.landing import describe

N = 60
TIME = np.datetime64("2023-03-01", "s") + np.arange(N) * np.timedelta64(15, "m")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.dat"
    data = np.round(np.random.default_rng(0).uniform(1900, 2900, (N, 18)), 2)
    maker.write_toa5(path, "L", "TerosTableA", TIME, data)
    return path.read_bytes(), data


def parse(raw, size=1 << 12, name="a.dat"):
    blocks = list(read(io.BytesIO(raw), name, lambda header: maker.names("TerosTableA"), size=size))
    time = np.concatenate([b.time for b in blocks])
    return time, np.concatenate([b.values for b in blocks]), [b for k in blocks for b in k.bad], blocks


@pytest.mark.parametrize("size", [64, 1000, 1 << 20])
def test_block_size_does_not_matter(clean, size):
    raw, data = clean
    time, values, bad, _ = parse(raw, size)
    np.testing.assert_array_equal(values, data)
    assert (time == TIME).all()
    assert not bad


@pytest.mark.parametrize("encode", [
    lambda t: t.encode("utf-8-sig"), lambda t: t.encode("utf-16"), lambda t: b"\xff\xfe" + t.encode("utf-16-le"),
    lambda t: t.replace("\r\n", "\n").encode(), lambda t: t.replace("\r\n", "\r").encode(), lambda t: t.replace("Volts", "\xb0C").encode("latin-1"),
    lambda t: ("\r\n".join(x + "\0\0" if k == 9 else x for k, x in enumerate(t.split("\r\n")))).encode(),
], ids=["bom", "utf-16", "utf-16-le", "lf", "cr", "latin-1", "zero bytes after a line"])  # fmt: skip
def test_other_encodings_and_line_ends_lose_nothing(clean, encode):
    raw, data = clean
    _, values, bad, _ = parse(encode(raw.decode()))
    np.testing.assert_array_equal(values, data)
    assert not bad


def test_repeated_header_and_repeated_rows(clean):
    raw, data = clean
    time, values, bad, _ = parse(raw + raw)
    assert len(time) == 2 * N
    assert not bad
    half = raw.split(b"\r\n")
    partial = b"\r\n".join([*half[:20], half[1], half[2], half[3], *half[20:]])
    _, values, bad, _ = parse(partial)
    np.testing.assert_array_equal(values, data)
    assert not bad


def test_last_line_without_end_is_taken_and_marked(clean):
    raw, data = clean
    _, values, bad, blocks = parse(raw.rstrip())
    np.testing.assert_array_equal(values, data)
    assert blocks[-1].cut
    assert not bad
    time, _, bad, _ = parse(raw[:-40])
    assert len(time) == N - 1
    assert [b.line for b in bad] == [N + 4]


def test_columns_that_change_under_a_new_header(clean):
    raw, _ = clean
    lines = raw.split(b"\r\n")
    head = [b",".join(line.split(b",")[:2] + line.split(b",")[3:]) if k else line for k, line in enumerate(lines[:4])]
    rows = [b",".join(line.split(b",")[:2] + line.split(b",")[3:]) for line in lines[4:10]]
    _, values, bad, _ = parse(raw + b"\r\n".join([*head, *rows]) + b"\r\n")
    assert len(values) == N + 6
    np.testing.assert_array_equal(values[N:], values[:6])
    assert not bad


_DAMAGE = st.sampled_from(["truncate", "extra", "letters", "time", "zero", "clock", "empty", "quote"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, N - 1), _DAMAGE, max_size=12), st.integers(60, 5000))
def test_any_mixture_of_damage(clean, damage, size):
    raw, data = clean
    lines = raw.rstrip().split(b"\r\n")
    expected_bad, lost, masked = set(), set(), set()
    for row, kind in damage.items():
        k = row + 4
        cells = lines[k].split(b",")
        if kind == "truncate":
            cells = cells[: len(cells) // 2]
        elif kind == "extra":
            cells = [*cells, b"1"]
        elif kind == "letters":
            cells[10] = b"21.3.4"
            masked.add(row)
        elif kind == "time":
            cells[0] = b'"2023-13-45 00:00:00"'
        elif kind == "zero":
            cells[6] = cells[6][:1] + b"\0\0" + cells[6][3:]
        elif kind == "clock":
            cells[0] = b'"1990-01-01 00:00:00"'
        elif kind == "quote":
            cells[7] = b'"' + cells[7]
        lines[k] = b"" if kind == "empty" else b",".join(cells)
        if kind != "empty":
            expected_bad.add(k + 1)
        if kind not in ("letters",):
            lost.add(row)
    time, values, bad, _ = parse(b"\r\n".join(lines) + b"\r\n", size)
    kept = np.array([r for r in range(N) if r not in lost])
    assert (time == TIME[kept]).all()
    truth = data.copy()
    truth[list(masked), 10 - 5] = np.nan
    np.testing.assert_array_equal(values, truth[kept])
    assert {b.line for b in bad} == expected_bad


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_clear_refusal_or_rows(data):
    landed = describe("0" * 64, "x.dat", len(data), data, data)
    assert landed.problem or landed.stream
    with contextlib.suppress(UnreadableFileError):
        list(read(io.BytesIO(data), "x.dat", lambda header: list(header.columns[1:])))


def test_the_clocks_marks_do_not_depend_on_where_a_block_ends(clean):
    """Set back by an hour after 40 rows, in blocks of nine rows or so: the four rows before and after are in doubt, wherever a block ends."""
    raw, _ = clean
    lines = raw.rstrip().split(b"\r\n")
    back = TIME - np.timedelta64(63, "m")
    for k in range(40, 44):
        said = str(back[k]).replace("T", " ").encode()
        lines[4 + k] = said + b"," + lines[4 + k].split(b",", 1)[1]
    whole = b"\r\n".join(lines) + b"\r\n"
    expected = np.isin(np.arange(N), range(36, 44))
    for size in (1300, 1400, 1500, 1600, 1 << 20):
        _, _, _, blocks = parse(whole, size)
        pairs = list(clock_marks(blocks))
        assert len(pairs) == len(blocks)
        np.testing.assert_array_equal(np.concatenate([marks for _, marks in pairs]), expected, str(size))


def test_a_table_written_into_its_file_again_is_no_doubt_of_the_clock(network, monkeypatch):
    """A file of two blocks appended to itself: the second writing says what the first said."""
    from vadose import stream
    from vadose.stream import upsert
    from vadose.stream.flags import CLOCK, DUP

    root, raw, _ = network(days=10, observations=18 * 96 * 10)
    (path,) = raw.glob("*.dat")
    path.write_bytes(path.read_bytes() * 2)
    monkeypatch.setattr(upsert, "read", lambda *a: read(*a, size=path.stat().st_size // 4))
    stream.run(root)
    rows = stream.Table(root).read()
    assert rows.num_rows == 18 * 960
    assert not (rows["flag"].to_numpy() & (CLOCK | DUP)).any()


def test_csv_ameriflux_and_ismn_files_are_streams_too():
    def all_columns(header):
        return list(header.columns[1:])

    csv = b"# logger: hill\n# table: ten\nTIMESTAMP,a,b\n2023-03-01 00:00:00,1,2\n2023-03-01 00:10:00,x,NAN\n2023-03-01T00:20:00+01:00,1,2\n"
    blocks = list(read(io.BytesIO(csv), "any.csv", all_columns))
    assert blocks[0].header.stream == "hill.ten"
    assert blocks[0].values.shape == (2, 2)
    assert [b.line for k in blocks for b in k.bad] == [5, 6]
    flux = b"# Site: US-Ton\nTIMESTAMP_START,TIMESTAMP_END,SWC_1_1_1\n202303010000,202303010030,31.5\n"
    block = next(read(io.BytesIO(flux), "AMF_US-Ton_BASE_HH_1-5.csv", all_columns))
    assert block.header.logger == "US-Ton"
    assert str(block.time[0]) == "2023-03-01T00:00:00.000000"
    ismn = b"COSMOS COSMOS ARM-1 36.6 -97.5 300.0 0.00 0.05 Probe\n2023/03/01 00:00 0.25 G\n2023/03/01 01:00 bad G\n2023/03/01 02:00 0.26 G\n"
    block = next(
        read(io.BytesIO(ismn), "COSMOS_COSMOS_ARM-1_sm_0.000000_0.050000_Probe_20230301_20230302.stm", all_columns)
    )
    assert block.values[:, 0].tolist() == [0.25, 0.26]
    assert [b.line for b in block.bad] == [3]


def test_a_large_file_is_read_in_little_memory(tmp_path):
    """The reader holds one block at a time: a file of 300 blocks takes the memory of a few."""
    import tracemalloc

    path = tmp_path / "big.dat"
    time = np.datetime64("2023-01-01", "s") + np.arange(40_000) * np.timedelta64(60, "s")
    maker.write_toa5(path, "L", "TerosTableA", time, np.full((40_000, 18), 2500.25))
    tracemalloc.start()
    rows = 0
    with path.open("rb") as file:
        for block in read(file, "big.dat", lambda header: maker.names("TerosTableA"), size=1 << 16):
            rows += block.time.size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 40_000
    assert peak < 5e6 < path.stat().st_size
