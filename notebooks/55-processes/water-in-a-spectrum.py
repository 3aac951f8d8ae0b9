# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # How much water is in a spectrum of soil?
#
# Everyone knows that wet soil is dark. This notebook makes it a measurement: a film of water absorbs light and traps it, its mean
# thickness follows from the spectrum, and a calibration turns thickness into moisture. In ten minutes: the model, an image inverted
# pixel by pixel, and real spectra from a laboratory, a drone and a field, always judged on samples that were left out.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import TooFewSamplesError
from vadose.physics import spectra, spectra_calibration, spectra_fit
from vadose.products import soil_spectra

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))

# %% [markdown]
# ## Darker with every hundredth of a millimeter

# %%
nm = np.arange(450.0, 2400, 5)
dry = xr.DataArray(0.18 + 0.22 * (1 - np.exp(-(nm - 400) / 500)), dims="wavelength", coords={"wavelength": nm})
fig, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
axis.plot(nm, dry, color="black", label="dry")
for k, film in enumerate((0.0, 0.002, 0.01, 0.03, 0.1)):
    axis.plot(
        nm, spectra.marmit(dry, film, 0.9), color=plt.cm.viridis(0.9 - 0.2 * k), label=f"{10 * film:g} mm on 90 %"
    )
axis.set(
    xlabel="wavelength (nm)", ylabel="reflectance (1)", ylim=(0, 0.5), title="Soil under a film of water (MARMIT)"
)
axis.legend(ncol=3, loc="upper left")
plt.show()

# %% [markdown]
# ## An image, inverted
# 200 x 200 pixels, 60 bands, noise 0.002. Thickness and wet share trade against each other; their product is what the spectrum knows.

# %%
rng = np.random.default_rng(0)
bands = dry[spectra.usable_bands(dry).values][::3]
y, x = np.mgrid[0:200, 0:200] / 200
film = xr.DataArray(0.004 + 0.02 * np.exp(-((x - 0.4) ** 2 + (y - 0.6) ** 2) / 0.05), dims=("y", "x"))
share = xr.DataArray(0.5 + 0.4 * np.sin(9 * x) ** 2, dims=("y", "x"))
image = spectra.marmit(bands, film, share)
image = image + rng.normal(0, 0.002, image.shape)
out = spectra_fit.invert_reflectance(image, bands, error_floor=0.002, error_rate=0.0)
water = 10 * film * share
fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for axis, (data, title, cmap) in zip(
    axes,
    [
        (water, "true water thickness", "viridis"),
        (out.water_thickness, "retrieved", "viridis"),
        (out.water_thickness / water - 1, "relative error", "RdBu"),
    ],
    strict=True,
):
    limits = {"vmin": -0.1, "vmax": 0.1} if cmap == "RdBu" else {"vmin": 0, "vmax": 0.22}
    data.plot(ax=axis, cmap=cmap, cbar_kwargs={"label": "1" if cmap == "RdBu" else "mm"}, **limits)
    axis.set(title=title, xlabel="pixel", ylabel="pixel")
relative = out.water_thickness / water - 1
print(
    f"{out.water_thickness.size} pixels; relative error {100 * float(relative.mean()):+.2f} ± {100 * float(relative.std()):.2f} %"
)

# %% [markdown]
# ## Real spectra
# - Laboratory goniometer (grit-lab): two sands, moisture by weighing; the first run is the dry spectrum.
# - Drone (grit-lab): 18 plots of a beach; the driest plot stands in for dry soil.
# - Field camera (Karlsruhe): 679 spectra over five days, 454-950 nm only, where water hardly absorbs.
#
# Each prediction comes from a calibration that has not seen the sample. In the laboratory a run wets all copies of a soil at once, so leaving out
# one spectrum is kinder than leaving out its run: both are shown. Beside them what others published, where they did.


# %%
def left_out(inverted, moisture, groups):
    predicted = np.full(moisture.size, np.nan)
    for g in np.unique(groups):
        test = groups == g
        try:
            curve = spectra_calibration.fit_calibration(inverted.water_thickness[~test], moisture[~test])
        except TooFewSamplesError:
            continue
        predicted[test] = spectra_calibration.apply_calibration(inverted.isel(sample=test), curve).soil_moisture
    return predicted


def retrieve(data, dry_spectrum, table, **options):
    keep = spectra.usable_bands(data.reflectance).values
    water = spectra.water_optics(data.reflectance[keep], table=table, name="grit-lab table")
    return spectra_fit.invert_reflectance(data.reflectance[keep], dry_spectrum[keep], optics=water, **options)


if REAL.is_dir():
    folder = REAL / "hyperspectral"
    table = soil_spectra.open_water_table(folder / "grit_lab/water_optics/nw_abs_grit.csv")
    results = {}
    for soil, copies in (
        ("nevada", (1, 2)),
        ("hogp", (1, 2, 3)),
    ):  # the third nevada file repeats the second byte for byte
        parts = []
        for k in copies:
            lab = soil_spectra.open_goniometer(folder / f"grit_lab/lab/{soil}_sample{k}.csv")
            inverted = retrieve(lab, lab.reflectance.isel(sample=0, drop=True), table)
            parts.append(inverted.assign(moisture=lab.moisture).isel(sample=slice(1, None)))
        both = xr.concat(parts, "sample")
        results[f"laboratory, {soil}"] = (both, both.moisture, both.run.values, "gravimetric")
    drone = soil_spectra.open_drone(folder / "grit_lab/uas")
    driest = int(drone.moisture.argmin("sample"))
    inverted = retrieve(drone, drone.reflectance.isel(sample=driest, drop=True), table, model="marmit2")
    rest = np.arange(drone.sizes["sample"]) != driest
    results["drone (MARMIT-2)"] = (
        inverted.isel(sample=rest),
        drone.moisture[rest],
        np.arange(rest.sum()),
        "gravimetric",
    )
    camera = soil_spectra.open_camera(folder / "kit_karlsruhe/soilmoisture_dataset.csv")
    reference = camera.reflectance[:, np.argsort(camera.moisture.values)[:10]].mean("sample")
    inverted = retrieve(camera, reference, table)
    results["field camera"] = (inverted, camera.moisture, camera.time.dt.day.values, "volumetric")
    published = {"laboratory": "normalized RMSE < 0.145 (shortwave infrared)"}
    rows, shown = {}, {}
    for name, (inverted, moisture, groups, kind) in results.items():
        predicted = left_out(inverted, moisture, groups)
        rmse = float(np.sqrt(np.nanmean((predicted - moisture.values) ** 2)))
        span = float(np.ptp(moisture.values))
        single = np.nan  # of the camera's 679 spectra neighbors are seconds apart: one left out says nothing
        if moisture.size < 100:
            each = left_out(inverted, moisture, np.arange(moisture.size))
            single = float(np.sqrt(np.nanmean((each - moisture.values) ** 2)))
        rows[name] = {
            "moisture": kind,
            "n": moisture.size,
            "sd of moisture": round(float(moisture.std()), 3),
            "RMSE, sample left out": round(single, 3),
            "of the range": round(single / span, 3),
            "RMSE, run or day left out": round(rmse, 3),
            "of the range ": round(rmse / span, 3),
            "published": published.get(name.split(",")[0], "none for samples left out"),
            "poor fits (%)": round(100 * float((inverted.fit_rmse > 0.03).mean())),
        }
        shown[name] = (moisture, predicted)
    fig, axes = plt.subplots(1, 4, figsize=(15, 4.2), layout="constrained")
    for axis, (name, (moisture, predicted)) in zip(axes, shown.items(), strict=True):
        span = [0, float(moisture.max()) * 1.1]
        axis.plot(span, span, color="0.6", lw=1)
        axis.scatter(moisture, predicted, s=12, color="#0072B2", alpha=0.6)
        axis.set(title=name, xlabel="measured (1)", ylabel="predicted, left out (1)")
    display(pd.DataFrame(rows).T)  # noqa: F821
else:
    print("No spectra beside the checkout: this part was left out.")

# %% [markdown]
# The laboratory spectra give moisture to about 0.026 (gravimetric) where it varies by 0.05, mostly by telling wet from moist (below 0.1 the
# nevada sand looks all alike); a published study on such sediments (Eon and
# Bachmann 2021) reports a normalized RMSE below 0.145 with shortwave infrared bands, ours is 0.15 to 0.18 with one sample left out and 0.16 to
# 0.19 with its run left out: not as good. The drone comes to 0.11. Film models fit these real
# sands only roughly (many fits above 0.03): the thickness is an index that needs its calibration. The camera tells two
# or three degrees of wetness, not more: 0.027 (volumetric) where moisture varies by 0.036. In its visible bands most of the signal is brightness,
# which light changes too.
#
# ## What next
# - [What a radiometer sees](microwave-emission.ipynb). Change the table of water's optics: results depend on it.
#
# ## References
# Bablet et al. 2018, doi:10.1016/j.rse.2018.07.031; Dupiau et al. 2022, doi:10.1016/j.rse.2022.112951; Hale and Querry 1973,
# doi:10.1364/AO.12.000555; Eon and Bachmann 2021, doi:10.1038/s41598-021-82783-3; Riese and Keller 2018, doi:10.5281/zenodo.1227837.
