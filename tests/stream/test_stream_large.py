"""One damaged logger file of any size: no good row is lost, each bad one is named, memory does not grow with the file.

`VADOSE_DAMAGED_MB=5000 pytest -s tests/stream/test_stream_large.py` is the same test with a file of 5 GB (12 GB of disk more while it runs).
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow.compute as pc
import pytest
from damaged_file import BAD, write

from vadose import stream
from vadose.stream import upsert
from vadose.stream.flags import CLOCK, CUT, DUP
from vadose.stream.ledger import bad_rows

MEGABYTES = float(os.environ.get("VADOSE_DAMAGED_MB", "6"))
RUN = """
import resource, sys, time
from vadose import stream
began = time.monotonic()
print(stream.run(sys.argv[1], workers=0, cells=int(sys.argv[2]), tell=lambda text: print(text, file=sys.stderr)).sentence())
print(f"{time.monotonic() - began:.0f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")
"""


@pytest.mark.timeout(600 + 2 * MEGABYTES)
def test_a_damaged_file_loses_no_good_row_and_names_each_bad_one(tmp_path):
    """The quick size is cut as the large one is, into a few columns at a time: `cells` is as much smaller."""
    truth = write(tmp_path / "field", MEGABYTES)
    assert len(truth["bad"]) >= 2 * len(BAD)
    root = stream.init(tmp_path / "root", inputs=[tmp_path / "field" / "raw"], design=tmp_path / "field" / "metadata")
    cells = upsert.CELLS if MEGABYTES > 500 else 200_000
    done = subprocess.run([sys.executable, "-c", RUN, str(root), str(cells)], check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
    print(done.stdout)

    named = {row["line"]: row for row in bad_rows(root)}
    assert named.keys() == set(truth["bad"])
    for line, kind in truth["bad"].items():
        assert bool(named[line]["cell"]) == (kind == "garbled"), named[line]

    rows, values, hundredths, clock = (np.zeros(18, np.int64) for _ in range(4))
    place = {name: k for k, name in enumerate(truth["columns"])}
    table = stream.Table(root).open().to_pyarrow_dataset()
    for batch in table.to_batches(columns=["column", "raw", "flag"], batch_size=1 << 20):
        counted = np.array([place[name] for name in batch["column"].unique().to_pylist()])
        for k in counted:
            mine = batch.filter(pc.equal(batch["column"], truth["columns"][k]))
            raw, flag = mine["raw"].drop_null().to_numpy(), mine["flag"].to_numpy()
            rows[k] += mine.num_rows
            values[k] += raw.size
            hundredths[k] += np.rint(raw * 100).astype(np.int64).sum()
            clock[k] += ((flag & CLOCK) > 0).sum()
            assert not (flag & (DUP | CUT)).any()
    assert (rows == truth["rows"]).all(), "every good row, once"
    assert values.tolist() == truth["values"]
    assert hundredths.tolist() == truth["hundredths"]
    assert (clock == truth["clock"]).all(), "both sides of each time the clock was set back"
    assert not (root / "work").exists()
