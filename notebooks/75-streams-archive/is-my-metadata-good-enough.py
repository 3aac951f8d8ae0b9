# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Is my metadata good enough?
#
# Numbers outlive the people who know what they mean. In ten minutes: a record of two sensors as it often is, what is wrong with it in words
# that say what to write, and the same data in the three formats that archives and networks ask for.
#
# The rules are the profile `vadose-sm-1.0`: what CF, ACDD, ISMN and ESS-DIVE want to know of soil sensors, in one list. It is a proposal.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose.archive import read_record, read_series, validate, write_series
from vadose.archive.profile import GROUPS, RULES

BLUE, GREY = "#0072B2", "#BBBBBB"
work = Path(tempfile.mkdtemp())
pd.set_option("display.max_colwidth", 120)

# %% [markdown]
# ## The record as it often is
# A title, a place, a model. Whoever wrote it knows the rest.

# %%
record = {
    "dataset": {"title": "Soil data", "creator_name": "Carberry, Josiah", "institution": "Example University", "license": "free for all"},
    "sites": [{"site_id": "A", "site_name": "Upland", "lat": 41.5, "lon": 276.5, "elevation": 175, "land_cover": "forest"}],
    "sensors": [
        {"sensor_id": "A1", "site_id": "A", "model": "TEROS 12", "depth_from": -0.05, "depth_to": 0.1},
        {"sensor_id": "A1", "site_id": "A", "model": "TEROS 12", "depth_from": 0.25, "depth_to": 0.35},
    ],
    "variables": [{"name": "soil_moisture", "standard_name": "volume_fraction_of_condensed_water_in_soil", "units": "%", "time_zone": "EDT"}],
    "provenance": {"software": "a script"},
}


def findings(record):
    """What the profile says of a record, as a table."""
    found = validate(record)
    print(f"{found.score:.0%} of what is required, {len(found.errors)} to mend")
    return pd.DataFrame([vars(i) for i in found.issues], columns=["level", "rule", "path", "message"])


before = findings(record)
before[before["message"].str.contains(" is '") | before["rule"].str.startswith("X")][["rule", "path", "message"]]

# %% [markdown]
# These are wrong; the others are missing. A longitude of 276.5 is one of -83.5 written otherwise, a depth of -0.05 m lies in the air, EDT changes
# twice a year, and two sensors of one name cannot be told apart.

# %% [markdown]
# ## Mended
# An hour with the field book. Each answer is one line.

# %%
summary = (
    "Soil moisture of one upland site in Ohio at two depths, measured every 15 minutes with capacitance sensors from August to September 2023. "
    "The sensors were installed horizontally in the wall of a pit that was filled again; counts were converted with the maker's equation for "
    "mineral soil. Values outside of what is possible, far from the median of their month, or the same for a day are flagged and kept. The site "
    "lies in a forest on loam and floods in no year of the record. The data were made up for this page, so that they may be copied, changed and "
    "used in teaching, and they must not be used for anything else. Times are those of the logger, five hours behind UTC, without summer time."
)
record["dataset"] |= {
    "title": "Soil moisture at two depths of an upland forest in Ohio", "summary": summary, "Conventions": "CF-1.11, ACDD-1.3", "license": "CC-BY-4.0",
    "creator_orcid": "0000-0002-1825-0097", "date_created": "2026-05-17", "version": "1.0", "doi": "pending", "time_coverage_start": "2023-08-06",
    "time_coverage_end": "2023-08-07", "geospatial_lat_min": 41.5, "geospatial_lat_max": 41.5, "geospatial_lon_min": -83.5, "geospatial_lon_max": -83.5,
    "processing_level": "L1", "keywords": ["soil moisture", "forest", "Ohio"],
}  # fmt: skip
record["sites"][0] |= {"lon": -83.5, "datum": "NAVD88", "land_cover": "deciduous broadleaf forest (IGBP)", "climate_KG": "Dfa"}
for number, (sensor, top) in enumerate(zip(record["sensors"], (0.05, 0.25)), 1):
    sensor |= {
        "sensor_id": f"A{number}", "maker": "METER", "principle": "capacitance", "serial": f"12-00{number}", "depth_from": top, "orientation": "horizontal",
        "install_date": "2023-03-01", "removal_date": "in place", "measurement_volume": 1.01,
    }  # fmt: skip
record["variables"][0] |= {
    "units": "m3 m-3", "accuracy": 0.03, "sampling_interval": "PT15M", "averaging_interval": "instantaneous", "time_zone": "UTC-05:00", "missing_value": -9999,
    "flag_scheme": "vadose sensor stream 1", "qc_method": "M-T1.7",
}  # fmt: skip
record["provenance"] |= {"sources": [{"file": "upland.dat", "sha256": "0" * 64}], "software": "vadose 0.1.0", "methods": ["M-T1.7"]}
after = findings(record)
after[["level", "rule", "message"]].head()

# %% [markdown]
# Nothing that is required is missing. What remains would be good to have: it is told, and costs nothing.

# %%
def share(table, group):
    """Part of a group's required fields without an error, over its entries."""
    entries = len(record[group]) if isinstance(record[group], list) else 1
    asked = entries * sum(r.required for r in RULES if r.group == group)
    wrong = table[(table["level"] == "error") & table["path"].str.startswith(group) & ~table["rule"].str.startswith("X")]
    return 1 - len(wrong) / asked


fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
for table, color, label, shift in ((before, GREY, "as it often is", 0.2), (after, BLUE, "mended", -0.2)):
    ax.barh(np.arange(len(GROUPS)) + shift, [100 * share(table, g) for g in GROUPS], 0.38, color=color, label=label)
ax.set_yticks(range(len(GROUPS)), GROUPS)
ax.set(xlabel="required fields that hold [%]", xlim=(0, 100))
ax.invert_yaxis()
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2, fontsize=8, frameon=False)
plt.show()

# %% [markdown]
# ## The same data in three formats
# CF netCDF for programs, the layout of the International Soil Moisture Network, and ESS-DIVE's hydrologic monitoring format with its templates
# filled in. Each holds values and record; nothing is lost on the way through all three.

# %%
time = np.datetime64("2023-08-06", "ns") + np.arange(96) * np.timedelta64(15, "m")
wave = 0.25 + 0.05 * np.sin(np.arange(96) / 15)
data = xr.Dataset({"soil_moisture": (("sensor", "time"), np.stack([wave, wave / 2 + 0.15]))}, {"sensor": ["A1", "A2"], "time": time})
places = [write_series(data, record, work / "series.nc", "cf")]
for form in ("ismn", "essdive"):
    places.append(write_series(*read_series(places[-1]), work / form, form))
last, said = read_series(places[-1])
print("values the same:", bool((last["soil_moisture"].values == data["soil_moisture"].values).all()), " record the same:", said == record)
pd.DataFrame([(p.name, f"{validate(read_record(p)).score:.0%}") for p in places], columns=["file or folder", "of what is required"])

# %%
print(*sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file()), sep="\n")
print()
print("\n".join((work / "essdive" / "A_A1.csv").read_text().splitlines()[:7]))

# %% [markdown]
# ## What next
# `vadose metadata template` writes a record to fill in, `vadose metadata check` judges records, netCDF files, ISMN and ESS-DIVE folders and
# packages, `vadose metadata convert` goes between the formats, `vadose metadata schema` gives the fields as JSON Schema for other programs
# (docs/metadata.md).
#
# References: CF conventions 1.11; Attribute Convention for Data Discovery 1.3; Dorigo et al. 2021, doi:10.5194/hess-25-5749-2021; Goldman et al.
# 2021, doi:10.15485/1822940.
