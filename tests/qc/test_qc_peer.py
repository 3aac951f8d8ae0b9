"""The same flags as the network's own code: its answers are recorded here, and asked for again where it is installed (`.side/peers`).

The peer computes with rounded decimals, so a reading that meets a threshold exactly can fall on either side there. The series
here has more decimals than the thresholds, so that no such tie occurs, and agreement must be complete.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import qc
from vadose.qc.flags import FLAGS, ISMN_CODES

#: Bits by hour that flagit 0.3 sets on `station(20_000, 3, gaps)`, as `ask` returns them.
RECORDED = Path(__file__).with_name("flagit-0.3.npz")
PYTHON = Path(__file__).parents[2] / ".side" / "peers" / "bin" / "python"
SCRIPT = """
import sys, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from flagit import flagit
table = pd.read_csv(sys.argv[1], index_col=0, parse_dates=True)
out = flagit.Interface(table, sat_point=42.0, depth_from=0.05).run()
out.qflag.map(lambda found: ",".join(sorted(found))).to_csv(sys.argv[2])
"""
NAMES = {
    "soil_moisture": ("soil_moisture", "%"), "soil_temperature": ("soil_temperature", "degC"), "air_temperature": ("air_temperature", "degC"),
    "precipitation": ("precipitation_flux", "mm h-1"), "gldas_precipitation": ("reanalysis_precipitation_flux", "mm h-1"),
    "gldas_soil_temperature": ("reanalysis_soil_temperature", "degC"),
}  # fmt: skip


def station(n, seed, gaps):
    """An hourly station in percent and degC: rain, dry-downs, spikes, breaks, plateaus, drops to zero, and gaps if wanted."""
    rng = np.random.default_rng(seed)
    rain = np.zeros(n)
    for s in rng.integers(0, n - 10, n // 120):
        rain[s : s + rng.integers(1, 8)] += rng.exponential(2.0)
    x = np.empty(n)
    x[0] = 25.0
    for t in range(1, n):
        x[t] = min(x[t - 1] - 0.004 * (x[t - 1] - 8) + (rain[t] * 1.2 if rng.random() < 0.8 else 0), 42.0)
    x += rng.normal(0, 0.03, n)
    for s in rng.integers(100, n - 100, n // 1500):
        x[s] += rng.choice([-1, 1]) * rng.uniform(3, 15)
    for s in rng.integers(100, n - 400, n // 4000):
        x[s : s + rng.integers(20, 200)] = x[s - 1] * 0.5
    for s in rng.integers(100, n - 400, n // 4000):
        x[s : s + rng.integers(20, 200)] = 55.0 + rng.random()
    for s in rng.integers(100, n - 400, n // 8000):
        x[s : s + rng.integers(20, 100)] = 0.0
    for s in rng.integers(100, n - 400, n // 3000):
        x[s : s + 30] += 9.0
    if gaps:
        for s in rng.integers(100, n - 400, n // 700):
            x[s : s + rng.integers(1, 60)] = np.nan
    warm = 10 + 12 * np.sin(np.arange(n) / 8766 * 2 * np.pi) + 5 * np.sin(np.arange(n) / 24 * 2 * np.pi)
    table = {
        "soil_moisture": np.round(x, 4), "soil_temperature": np.round(warm, 2), "air_temperature": np.round(warm + rng.normal(0, 3, n), 2),
        "precipitation": np.round(rain, 3), "gldas_precipitation": np.round(rain * rng.uniform(0, 2, n), 5),
        "gldas_soil_temperature": np.round(warm + 1, 2),
    }  # fmt: skip
    return pd.DataFrame(table, index=pd.date_range("2010-01-01", periods=n, freq="h"))


def ask(table, folder):
    """Bits that the network's code sets, run in its own environment."""
    table.to_csv(folder / "in.csv")
    command = [str(PYTHON), "-c", SCRIPT, str(folder / "in.csv"), str(folder / "out.csv")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    theirs = pd.read_csv(folder / "out.csv", index_col=0, parse_dates=True).qflag.reindex(table.index).fillna("")
    return FLAGS.encode(theirs.to_numpy())


@pytest.mark.parametrize("gaps", [False, True])
def test_flags_are_those_of_flagit(tmp_path, gaps):
    table = station(20_000, 3, gaps)
    with np.load(RECORDED) as recorded:
        peer = recorded["gaps" if gaps else "whole"]
    if PYTHON.exists():
        np.testing.assert_array_equal(ask(table, tmp_path), peer, "the record is not what flagit says now")
    data = {NAMES[c][0]: ("time", table[c].to_numpy(), {"units": NAMES[c][1]}) for c in table}
    ours = qc.flag(
        xr.Dataset(data, coords={"time": table.index.to_numpy()}),
        depth=0.05,
        saturation=0.42,
        frost=False,
        windows="samples",
    )
    valid = table.soil_moisture.notnull().to_numpy()
    for code in ISMN_CODES:
        expected = valid & ((peer & FLAGS.mask(code)) != 0)
        got = (ours.soil_moisture_flag.values & FLAGS.mask(code)) != 0
        assert np.flatnonzero(expected != got).size == 0, code
        if code not in ("C01", "C02"):
            assert expected.any(), f"{code} does not occur: the comparison says nothing"
