# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Why does wet soil look cold to a satellite, and can we read moisture from it?
#
# Water raises the permittivity of soil; a soil of high permittivity is a better mirror and therefore emits less. In ten minutes you
# follow this chain forward (moisture, permittivity, brightness temperature), turn it around, see what noise and plants do to the
# answer, and repeat NASA's own retrieval on a real SMAP half-orbit.
#
# You need: nothing but the package; the last part uses a SMAP L2 granule where one lies beside the checkout.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from vadose import world
from vadose.physics import dielectric, emission

REAL = Path(os.environ.get("VADOSE_SHARED_DATA", "../../../shared/data"))
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]

# %% [markdown]
# ## From water to permittivity to temperature
# Three models of permittivity for one loam, and the brightness temperature that follows, bare and under plants.

# %%
theta = xr.DataArray(np.linspace(0.02, 0.5, 97), dims="moisture", attrs={"units": "m3 m-3"})
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for model, color in zip(("mironov", "dobson", "peplinski"), COLORS, strict=False):
    eps = dielectric.permittivity(theta, 0.2, sand=0.4, model=model)
    left.plot(theta, eps.relative_permittivity, color=color, label=f"{model}, real part")
    left.plot(theta, eps.dielectric_loss, color=color, ls=":", label=f"{model}, loss")
for tau, style in ((0.0, "-"), (0.2, "--"), (0.6, ":")):
    seen = emission.brightness_temperature(theta, 0.2, 293.15, optical_depth=tau)
    right.plot(theta, seen.brightness_temperature_v, style, color=COLORS[0], label=f"vertical, opacity {tau}")
    right.plot(theta, seen.brightness_temperature_h, style, color=COLORS[1], label=f"horizontal, opacity {tau}")
left.set(xlabel="soil moisture (m³ m⁻³)", ylabel="relative permittivity (1)", title="Permittivity at 1.41 GHz")
right.set(xlabel="soil moisture (m³ m⁻³)", ylabel="brightness temperature (K)", title="Seen at 40°, soil at 20 °C")
left.legend(fontsize=8)
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# Plants flatten the curves: the same radiometer noise costs more moisture. How much?

# %%
truth = xr.DataArray(np.tile([0.05, 0.15, 0.25, 0.35], (4000, 1)), dims=("draw", "level"), attrs={"units": "m3 m-3"})
rng = np.random.default_rng(1)
rows = {}
for tau in (0.05, 0.2, 0.4, 0.6):
    seen = emission.brightness_temperature(truth, 0.2, 293.15, optical_depth=tau).brightness_temperature_v
    out = emission.retrieve_single(seen + rng.normal(0, 1.3, seen.shape), 0.2, 293.15, optical_depth=tau)
    rows[f"opacity {tau}"] = out.soil_moisture.std("draw").values
table = pd.DataFrame(rows, index=[f"at {v:.2f}" for v in truth[0].values]).T.round(4)
table.columns.name = "sd of retrieved moisture (m³ m⁻³), 1.3 K noise"
table

# %% [markdown]
# ## A day of the synthetic Earth
# Forward with the world's own moisture, clay and leaves; backward with both polarizations, when the plants are known to only ±0.05.

# %%
day = world.demo().sel(time="2017-07-15", method="nearest")
top = day.soil_moisture.isel(depth=0, drop=True)
warm = day.soil_temperature.isel(depth=0, drop=True)
opacity = 0.11 * 0.5 * day.leaf_area_index
seen = emission.brightness_temperature(top, day.clay, warm, optical_depth=opacity)
noisy = [seen[f"brightness_temperature_{p}"] + rng.normal(0, 1.3, top.shape) for p in "vh"]
guess = opacity + rng.normal(0, 0.05, top.shape)
back = emission.retrieve_dual(
    *noisy, day.clay, warm, optical_depth=guess, optical_depth_error=0.05, porosity=day.porosity
)
fig, axes = plt.subplots(1, 4, figsize=(15, 4.2), layout="constrained", sharey=True)
for axis, (field, title, unit, options) in zip(
    axes,
    [
        (noisy[0], "seen, vertical", "K", {"cmap": "cividis"}),
        (top, "truth", "m³ m⁻³", {"cmap": "viridis", "vmin": 0, "vmax": 0.5}),
        (back.soil_moisture, "retrieved", "m³ m⁻³", {"cmap": "viridis", "vmin": 0, "vmax": 0.5}),
        (back.soil_moisture - top, "retrieved − truth", "m³ m⁻³", {"cmap": "RdBu", "vmin": -0.08, "vmax": 0.08}),
    ],
    strict=True,
):
    image = field.plot(ax=axis, cbar_kwargs={"label": unit, "orientation": "horizontal"}, **options)
    image.colorbar.ax.locator_params(nbins=5)
    axis.set(title=title, xlabel="longitude (°E)", ylabel="latitude (°N)" if axis is axes[0] else "")
    axis.locator_params(axis="x", nbins=4)

# %%
z = (back.soil_moisture - top) / back.soil_moisture_standard_error
print(f"{int(z.count())} cells")
pd.Series(
    {
        "bias (m³ m⁻³)": float((back.soil_moisture - top).mean()),
        "error sd (m³ m⁻³)": float((back.soil_moisture - top).std()),
        "stated sd (m³ m⁻³)": float((back.soil_moisture_standard_error**2).mean() ** 0.5),
        "error over stated, sd (1 if honest)": float(z.std()),
    }
).round(4).to_frame("dual channel, one day")

# %% [markdown]
# ## The real thing: NASA's own retrieval, repeated
# A SMAP L2 granule holds brightness temperature *and* everything the mission's algorithms used: soil temperature, clay, roughness,
# vegetation. Feed these to vadose and compare with the moisture in the file: single channel (option 2) and modified dual channel
# (option 3, the default). Recommended cells only. The file's opacity is along the slant path, ours at nadir: hence the cosine.

# %%
granules = sorted((REAL / "smap/L2").glob("*R18290*.h5")) if REAL.is_dir() else []
if granules:
    raw = xr.open_dataset(
        granules[0], group="Soil_Moisture_Retrieval_Data", engine="h5netcdf", phony_dims="sort", decode_cf=False
    )
    good = ((raw.retrieval_qual_flag & 1) == 0).values
    units = {"tb_v_corrected": "K", "tb_h_corrected": "K", "surface_temperature": "K"}

    def field(name):
        return raw[name].astype(float)[good].assign_attrs(units=units.get(name, "1"))

    slant = np.cos(np.deg2rad(40))
    common = {"porosity": 1 - field("bulk_density") / 2.65}
    single = emission.retrieve_single(
        field("tb_v_corrected"), field("clay_fraction"), field("surface_temperature"),
        optical_depth=field("vegetation_opacity_option2") * slant, roughness=field("roughness_coefficient"),
        albedo=field("albedo"), **common,
    )  # fmt: skip
    rough = field("roughness_coefficient_option3")
    dual = emission.retrieve_dual(
        field("tb_v_corrected"), field("tb_h_corrected"), field("clay_fraction"), field("surface_temperature"),
        optical_depth=field("vegetation_opacity_option2") * slant, optical_depth_error=slant / 20, error=1.0,
        roughness=rough, mixing=0.1771 * rough, albedo=field("albedo_option3"), **common,
    )  # fmt: skip
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained", sharey=True)
    summary = {}
    for axis, ours, option, title in ((axes[0], single, 2, "single channel"), (axes[1], dual, 3, "dual channel")):
        theirs = field(f"soil_moisture_option{option}")
        axis.plot([0, 0.4], [0, 0.4], color="0.6", lw=1)
        axis.scatter(theirs, ours.soil_moisture, s=8, color=COLORS[0])
        axis.set(xlabel="in the file (m³ m⁻³)", ylabel="vadose (m³ m⁻³)", title=f"SMAP, {title}, n = {good.sum()}")
        departure = np.abs(ours.soil_moisture - theirs)
        summary[title] = {
            "median |difference|": float(departure.median()),
            "largest |difference|": float(departure.max()),
        }
    display(pd.DataFrame(summary).T.rename_axis("m³ m⁻³"))  # noqa: F821
else:
    print("No SMAP granule beside the checkout: this part was left out.")

# %% [markdown]
# Half of the cells agree within 0.0001 m³ m⁻³, the worst within 0.001. So the retrieval is the mission's, while roughness, albedo and vegetation by land
# cover remain the mission's table: give yours as fields or with `emission.by_class`.
#
# ## What next
# - [Flags: which retrievals to keep](thermal-and-towers.ipynb). How satellites err together: `00-start/synthetic-earth`.
#
# ## References
# Mironov et al. 2009, doi:10.1109/TGRS.2008.2011631; Dobson et al. 1985, doi:10.1109/TGRS.1985.289498; Peplinski et al. 1995,
# doi:10.1109/36.387598; Entekhabi et al. 2010, doi:10.1109/JPROC.2010.2043918; Chaubell et al. 2020, doi:10.1109/TGRS.2019.2959522.
