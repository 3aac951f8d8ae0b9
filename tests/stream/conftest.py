from __future__ import annotations

import numpy as np
import pytest

from vadose import stream
from vadose.stream import network as maker


@pytest.fixture
def network(tmp_path):
    """A small generated network without faults and its stream root: `network(days=20)` -> (root, raw folder, truth)."""

    def make(*, days=40, observations=2 * 18 * 96 * 40, faults=False, start="2023-03-01", seed=1):
        base = tmp_path / "net"
        truth = maker.generate(base, observations=observations, days=days, start=start, faults=faults, rng=seed)
        root = stream.init(tmp_path / "root", inputs=[base / "raw"], design=base / "metadata", workers=0)
        return root, base / "raw", truth

    return make


@pytest.fixture
def table_bytes():
    """Every partition file that the table lists, with its bytes."""

    def read(root):
        table = stream.Table(root)
        return {key: (table.root / path).read_bytes() for key, path in table.files().items()}

    return read


@pytest.fixture
def toa5(tmp_path):
    """Write a TOA5 file of the generated network's first table."""

    def make(path, time, data, **options):
        maker.write_toa5(
            path, "Net_S01_P1", "TerosTableA", np.asarray(time, "datetime64[s]"), np.asarray(data, float), **options
        )
        return path

    return make
