# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which products see my basin?
#
# **You will learn** to ask the catalog what measures soil moisture over a basin and in a period, who may read it, how deep and
# how fine it looks, and where each description comes from. **Time:** 5 minutes. **Data:** the catalog itself; nothing is downloaded.

# %%
import tempfile
from pathlib import Path

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import pandas as pd

import vadose
from vadose.access import datasets

plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# The table of known data sets is written as a static STAC catalog: a folder of small JSON files that any STAC tool reads.

# %%
folder = Path(tempfile.mkdtemp()) / "catalog"
datasets.write(folder)
catalog = vadose.catalog(folder)
len(catalog.collections)

# %% [markdown]
# ## Everything that holds soil moisture in the Kansas River basin
# One question with a variable and a box; a period narrows it further.

# %%
basin = (-103.8, 38.3, -94.6, 41.0)
found = catalog.search(variable="soil_moisture", bbox=basin)
found[["title", "kind", "start", "end", "spacing", "cadence"]]

# %% [markdown]
# ## When does each look?

# %%
today = pd.Timestamp("2026-01-01")
rows = found.assign(first=pd.to_datetime(found.start), last=pd.to_datetime(found.end.replace("", None)).fillna(today))
rows = (
    rows[rows["first"] < today]
    .assign(last=rows["last"].clip(upper=today))
    .sort_values(["kind", "first"], ascending=[False, False])
)
kinds = list(dict.fromkeys(rows.kind))
colors = dict(zip(kinds, plt.get_cmap("cividis")([k / max(1, len(kinds) - 1) for k in range(len(kinds))]), strict=True))
figure, axes = plt.subplots(figsize=(9, 0.27 * len(rows) + 1.2), layout="constrained")
for y, (_, row) in enumerate(rows.iterrows()):
    axes.barh(y, row["last"] - row["first"], left=row["first"], color=colors[row.kind], height=0.65)
axes.set_yticks(range(len(rows)), [f"{name}  ({row.kind})" for name, row in rows.iterrows()], fontsize=8)
axes.axvspan(pd.Timestamp("2015-03-31"), pd.Timestamp("2022-12-31"), color="0.6", alpha=0.2, lw=0)
axes.text(pd.Timestamp("2019-02-15"), len(rows) - 0.3, "2015-2022", fontsize=8, ha="center", va="bottom")
axes.set_ylim(-0.7, len(rows) + 0.7)
axes.set_xlim(pd.Timestamp("1940-01-01"), today)
axes.xaxis.set_major_formatter(mdates.DateFormatter("%Y"))
axes.set_xlabel("year (the Earth system models begin in 1850)")
axes.set_title("Products with soil moisture over the basin, by what measures it")
plt.show()

# %% [markdown]
# The gray band is a period that satellites, models and stations share: the one to validate and merge in.

# %%
shared = catalog.search(variable="soil_moisture", bbox=basin, time="2015-04/2022-12")
print(f"{len(shared)} of {len(found)} products touch 2015-2022")
shared.groupby("kind").size().sort_values(ascending=False)

# %% [markdown]
# ## How deep, how fine, and who may read it?
# A product of 0-5 cm and one of 0-10 cm are not the same quantity; the layers say so before you compare them.

# %%
facts = pd.DataFrame(
    {
        name: {
            "top layer [m]": "-".join(f"{v:g}" for v in c["vadose:facts"]["layers"][0])
            if c["vadose:facts"]["layers"]
            else "",
            "units of the producer": c["vadose:facts"]["units"],
            "latency": c["vadose:facts"]["latency"],
            "access": c["assets"]["data"]["vadose:open"]["store"]["auth"],
            "confidence": c["vadose:facts"]["confidence"],
        }
        for name, c in ((n, catalog.collection(n)) for n in shared.index)
    }
).T
facts

# %% [markdown]
# `confidence` is how sure we are of the identifier and address: they were read in public documents, and `verified_on` stays
# empty until somebody opened the data there. What is described but not indexed says what is needed:

# %%
try:
    vadose.open("smap-l3", catalog=catalog, time="2018-07", bbox=basin)
except vadose.errors.NotFoundError as error:
    print(error)

# %% [markdown]
# ## What next
# - [Bring your own archive](bring-your-own-archive.ipynb): index a folder of files in a minute and open it like the rest.
# - `20-harmonize`: bring products to one quantity, depth, grid and time before comparing them.
#
# **References**: STAC 1.1 specification, https://stacspec.org. Each collection carries the DOI of its data and its paper.
