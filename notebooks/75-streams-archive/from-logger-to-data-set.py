# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # How does a logger file become a data set that others can cite?
#
# Loggers write counts, lose power in the middle of a line, and send the same file twice. In ten minutes: what is done with their files so that
# every good row is kept, every bad one is named, every value can be followed back to its file, and a version of the data never changes again.
#
# The network is made up, so its faults are known.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.dates import ConciseDateFormatter

from vadose import stream
from vadose.archive import build_package, check_package
from vadose.stream.flags import DROPPED, STREAM_FLAGS
from vadose.stream.latency import status
from vadose.stream.release import release

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Files, and tables that explain them
# Ten logger tables, a quarter of a year. `metadata/` holds the tables in the layout of COMPASS-FME: which column of which logger is which
# sensor until when, how counts become units, which values are possible, and on which standard time each site keeps its clocks.

# %%
truth = stream.generate(work / "net", observations=10 * 18 * 96 * 90, days=90, start="2023-03-01", rng=4)
root = stream.init(work / "root", inputs=[work / "net" / "raw"], design=work / "net" / "metadata", workers=0)
report = stream.run(root)
print(report.sentence())

# %%
one = (pc.field("sensor") == "S01-P1-TEROS12-A-1") & (pc.field("variable") == "soil-vwc-10cm")
rows = stream.Table(root).read(filters=one).to_pandas()
doubt = (rows["flag"] & DROPPED) > 0
fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
top.plot(rows["time"], rows["raw"], color=GREY, lw=0.8)
top.set(ylabel="counts", title="What the logger wrote")
good = rows["value"].where(~doubt)
bottom.plot(rows["time"], good, color=BLUE, lw=0.8, label="calibrated")
bottom.fill_between(
    rows["time"],
    good - rows["standard_error"],
    good + rows["standard_error"],
    color=BLUE,
    alpha=0.2,
    lw=0,
    label="1 standard error",
)
bottom.plot(rows["time"][doubt], rows["value"][doubt], "x", color=ORANGE, label="flagged, kept")
bottom.set(ylabel="soil moisture [m³ m⁻³]", title="What it means: TEROS 12, factory equation for mineral soil, ±0.03")
bottom.legend(ncols=3, fontsize=8)
bottom.xaxis.set_major_formatter(ConciseDateFormatter(bottom.xaxis.get_major_locator()))
plt.show()

# %% [markdown]
# The spike in March was planted and is found. The crosses in the middle of March are a storm: the median rule, which looks at a month at a
# time, takes the first wet days after dry ones for outliers. That is why a flag never removes a value, and why L2 says how many were left out.

# %% [markdown]
# ## No good row is lost, each bad one is named
# Lines that a power cut has halved, zero bytes, a number with a letter in it: the file, the line and the reason are kept.

# %%
bad = pd.DataFrame(stream.bad_rows(root))[["file", "line", "reason"]]
damaged = [f for f in truth["faults"] if f["kind"] in ("truncated_line", "garbled_number", "zero_bytes")]
print(f"{len(damaged)} lines were damaged, {len(bad)} are named")
bad

# %% [markdown]
# ## The same files again, and one that came late
# Files are known by the hash of their bytes. A second run finds nothing to do. A correction (`_r1` in its name) replaces four values: one
# partition is written, and whoever reads an older version of the table still sees the old values.

# %%
print("again:     ", stream.run(root).sentence())
before = stream.Table(root).version()
path = next((work / "net" / "raw").glob("Net_S01_P1_TerosTableA_202304.dat"))
lines = path.read_bytes().split(b"\r\n")
fixed = [line.replace(line.split(b",")[5], b"2400", 1) for line in lines[100:104]]
path.with_name(path.stem + "_r1.dat").write_bytes(b"\r\n".join([*lines[:4], *fixed, b""]))
print("correction:", stream.run(root).sentence())
now = stream.Table(root).read(filters=one).to_pandas().set_index("time")["raw"].sort_index()
then = stream.Table(root).read(filters=one, version=before).to_pandas().set_index("time")["raw"].sort_index()
print(f"{int((now != then).sum())} values of this sensor changed; version {before} is still there")

# %% [markdown]
# ## Releases
# L1 is every value with its flag, L2 the means of those without doubt on a complete time axis. A release lists the logger files that it is
# made of and what changed since the one before; it is never written again.

# %%
first = release(root, "L1", "v1-0", form="csv")
means = release(root, "L2", "v1-0", step="daily")
print(*sorted(p.name for p in first.iterdir()), sep="\n")
table = pd.read_parquet(next((means / "data").glob("S01_P1_2023_soil-vwc-10cm_L2_plot-mean_v1-0.parquet")))
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.plot(table["time"], table["value"], color=BLUE, label="mean of the plot's sensors")
ax.fill_between(
    table["time"],
    table["value"] - table["spread"],
    table["value"] + table["spread"],
    color=BLUE,
    alpha=0.2,
    lw=0,
    label="1 standard deviation between sensors",
)
ax.set(ylabel="soil moisture [m³ m⁻³]", title="L2: daily means at 10 cm, site S01, plot P1")
ax.legend(fontsize=8)
ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
plt.show()

# %% [markdown]
# ## How often was there doubt, and how late are the data?

# %%
flags = stream.Table(root).read(columns=["flag"])["flag"].to_numpy()
share = pd.DataFrame(
    [(r.code, 100 * np.mean((flags & r.mask) > 0), r.sentence) for r in STREAM_FLAGS.rows],
    columns=["flag", "percent of values", "meaning"],
)
print(share.round(4).to_string(index=False))
late = status(root, now=np.datetime64("2023-05-30T09:00"))
print(
    f"\n{sum(s.alert for s in late)} of {len(late)} streams silent for more than 6 hours; the longest for {late[0].hours_late:.1f} h"
)

# %% [markdown]
# ## A package that can be cited
# The release, with what others must know of it, becomes one package: a BagIt bag with RO-Crate, DataCite and ESS-DIVE descriptions. The same
# release and words give the same bytes, and whoever has the package can check and read it without vadose.

# %%
words = {
    "title": "Made-up soil moisture and temperature of five sites in spring 2023",
    "summary": "Soil moisture, soil temperature and bulk electrical conductivity of five made-up sites, each with capacitance sensors at 10 and 30 cm "
    "depth that were read every 15 minutes in spring 2023. The logger files were generated, with faults at known places: cut lines, garbled numbers, "
    "spikes, sensors that stand still or are out of service. Counts were converted with the maker's equation for mineral soil. Values outside of what is possible, far "
    "from the median of their month or week, or the same for a day are flagged and kept, so that everybody can decide anew. The data show how logger "
    "files become a data set that others can cite; they say nothing about any real place and must not be used for anything but teaching and tests.",
    "creator_name": "Carberry, Josiah",
    "creator_orcid": "0000-0002-1825-0097",
    "institution": "Example University",
    "license": "CC-BY-4.0",
    "keywords": ["soil moisture", "sensors", "made-up data"],
    "date_created": "2023-06-01",
}
package = build_package([first], words, work / "package")
found = check_package(package)
print(f"{found.files} files, {found.octets:,} bytes, {len(found.problems)} problems")
print(*sorted(p.name for p in (package / "data").iterdir()), sep="\n")

# %% [markdown]
# One byte is changed in one file. The package says which.

# %%
victim = next((package / "data" / "content" / "data").glob("*.csv"))
whole = victim.read_bytes()
victim.write_bytes(whole.replace(b"0", b"1", 1))
print(*check_package(package).problems, sep="\n")
victim.write_bytes(whole)
print("mended:", check_package(package).problems or "whole")

# %% [markdown]
# ## What next
# On the command line: `vadose stream init`, `run`, `watch`, `status`, `release` (docs/streams.md). `vadose archive pack`, `verify` and
# `restore` make, check and open packages (docs/archive.md). Whether the metadata are good enough is the next notebook.
#
# References: Pennington et al., COMPASS-FME sensor data, doi:10.15485/2439400; METER Group, TEROS 11/12 manual; Topp et al. 1980,
# doi:10.1029/WR016i003p00574.
