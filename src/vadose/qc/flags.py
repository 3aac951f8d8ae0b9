"""What can be wrong with a reading, as data: one row a flag with its bit, its code and a sentence; and the product presets.

ISMN codes after Dorigo et al. 2013, doi:10.2136/vzj2012.0097; the boreal rows B01-B07 are for sites that freeze.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name


@dataclass(frozen=True)
class Flag:
    """One doubt: its bit, its code (the CF flag meaning) and what it says in a sentence."""

    bit: int
    code: str
    sentence: str

    @property
    def mask(self) -> int:
        """The bit as a number."""
        return 1 << self.bit


@dataclass(frozen=True)
class FlagTable:
    """A closed set of flags that share one bit-mask variable."""

    name: str
    rows: tuple[Flag, ...]
    references: str = ""

    def mask(self, *codes: str) -> int:
        """The codes' bits together; an unknown code answers with the nearest ones."""
        known = {row.code: row.mask for row in self.rows}
        total = 0
        for code in codes:
            if code not in known:
                raise unknown_name(f"flag of {self.name}", code, known)
            total |= known[code]
        return total

    @property
    def codes(self) -> tuple[str, ...]:
        """All codes in the order of their bits."""
        return tuple(row.code for row in self.rows)

    def attrs(self) -> dict[str, Any]:
        """CF attributes of a variable that holds these flags."""
        attrs = cf.flag_attrs(self.codes, [row.mask for row in self.rows], long_name=f"{self.name} quality flags")
        attrs["flag_masks"] = attrs["flag_masks"].astype("uint32")
        return {**attrs, "references": self.references} if self.references else attrs

    def decode(self, value: int) -> tuple[str, ...]:
        """The codes set in one value: `decode(40)` -> ('D01', 'D03')."""
        return tuple(row.code for row in self.rows if int(value) & row.mask)

    def encode(self, texts: Iterable[str], *, separator: str = ",") -> np.ndarray:
        """Texts such as 'D01,D03' -> bits (uint32). Codes that the table does not have (U, M) give no bit."""
        known = {row.code: row.mask for row in self.rows}
        cache: dict[str, int] = {}

        def one(text: str) -> int:
            if text not in cache:
                cache[text] = sum(known.get(c.strip(), 0) for c in dict.fromkeys(text.split(separator)))
            return cache[text]

        return np.array([one(str(t)) for t in texts], dtype=np.uint32)


_SENTENCES = (
    ("C01", "soil moisture is below zero"),
    ("C02", "soil moisture is above 0.60 m3 m-3"),
    ("C03", "soil moisture is above the saturation point of its soil"),
    ("D01", "soil temperature at the site is below 0 degC"),
    ("D02", "air temperature at the site is below 0 degC"),
    ("D03", "soil temperature of a reanalysis is below 0 degC"),
    ("D04", "soil moisture rises without rain at the site"),
    ("D05", "soil moisture rises without rain in a reanalysis"),
    ("D06", "a spike"),
    ("D07", "a drop from one hour to the next"),
    ("D08", "a jump from one hour to the next"),
    ("D09", "stays constant and low after a drop"),
    ("D10", "stays constant at its highest level"),
    ("G", "no check found a reason to doubt it"),
    ("B01", "soil is frozen: a sensor sees only the liquid part"),
    ("B02", "zero curtain: water is freezing or thawing at the sensor"),
    ("B03", "snow lies on the ground"),
    ("B04", "rises while snow melts: no rain is needed for it (cancels D04 and D05)"),
    ("B05", "more liquid water than can stay liquid at this temperature"),
    ("B06", "organic soil: its own upper limit was used for C02 and C03"),
    ("B07", "rises within a day of thawing: real, but not infiltration"),
    ("M01", "unlike the other readings of this sensor in several features at once"),
    ("no_temp", "no soil temperature: checks on frost were not made"),
    ("not_hourly", "series is not hourly: checks on spikes, breaks and plateaus were not made"),
    ("too_short", "series is shorter than 30 days: only the limits were checked"),
)

#: Every flag of vadose's quality control. The first fourteen are those of the International Soil Moisture Network.
FLAGS = FlagTable(
    "soil moisture",
    tuple(Flag(bit, code, sentence) for bit, (code, sentence) in enumerate(_SENTENCES)),
    "Dorigo et al. 2013, doi:10.2136/vzj2012.0097",
)
ISMN_CODES = FLAGS.codes[:14]
#: What makes a reading unusable as liquid water. Temperature below zero alone (D01-D03) does not, and neither does rain unseen.
NOT_LIQUID = ("C01", "C02", "C03", "D06", "D07", "D08", "D09", "D10", "B01", "B02", "B05")

Test = Literal["clear", "any", "at_most", "at_least", "above", "below", "equals"]


@dataclass(frozen=True)
class Rule:
    """One condition that a value must meet to be kept. `clear`: none of the meanings is set in the flag variable; the
    others compare the variable with a number. A rule on a variable that a Dataset lacks is skipped and reported, unless `needed`."""

    variable: str
    test: Test
    value: Any
    sentence: str
    needed: bool = False


@dataclass(frozen=True)
class Preset:
    """A named recipe of what to keep of a product."""

    product: str
    name: str
    rules: tuple[Rule, ...]
    source: str


_Q = "soil_moisture_flag"
_SMAP_GROUND = ("static_water", "precipitation", "snow_or_ice", "permanent_snow_or_ice", "frozen_radiometer", "frozen_ground")  # fmt: skip
_SMAP_USABLE = (
    Rule(_Q, "clear", ("not_attempted", "not_successful"), "retrieval attempted and successful", True),
    Rule(_Q, "clear", _SMAP_GROUND, "no open water, rain, snow, ice or frozen ground"),
    Rule("soil_moisture", "at_least", 0.02, "not below the retrieval's floor"),
)
_USER_GUIDE = "SMAP L3 user guide, doi:10.5067/4XXOGX0OOW1S"
_QA4SM = "filters of the QA4SM service"
_SMOS_BITS = ("strong_topography", "moderate_topography", "open_water", "frost", "ice", "urban_low", "urban_high", "external_low", "external_high", "tau")  # fmt: skip
_UNFROZEN = Rule("soil_temperature", "above", 274.15, "soil warmer than 1 degC")

#: Every preset: thresholds and bits of products, and nothing but data.
PRESETS: tuple[Preset, ...] = (
    Preset("smap", "recommended", (Rule(_Q, "clear", ("not_recommended",), "retrieval recommended", True),), _USER_GUIDE),
    Preset("smap", "usable", _SMAP_USABLE, _USER_GUIDE),
    Preset("smap", "strict", (*_SMAP_USABLE, Rule(_Q, "clear", ("not_recommended", "dense_vegetation"), "recommended, and no dense plants")), _USER_GUIDE),
    Preset("smos", "default", (
        Rule("radio_interference_probability", "at_most", 0.2, "at most 20 % of looks disturbed by transmitters"),
        Rule(_Q, "clear", _SMOS_BITS, "none of the science flags on terrain, water, frost, ice, towns")), _QA4SM),
    Preset("smos", "lenient", (
        Rule("radio_interference_probability", "at_most", 0.2, "at most 20 % of looks disturbed by transmitters"),
        Rule(_Q, "clear", ("frost", "ice"), "neither frost nor ice")), _QA4SM),
    Preset("ascat", "default", (
        Rule("surface_state", "at_most", 1, "unknown or unfrozen surface"),
        Rule(_Q, "clear", ("processing", "correction", "confidence"), "no processing, correction or confidence flag"),
        Rule("subsurface_scattering_probability", "at_most", 10.0, "subsurface scattering unlikely (%)"),
        Rule("sensitivity", "at_least", 1.0, "backscatter responds to moisture (dB)"),
        Rule("topographic_complexity", "at_most", 20.0, "not in mountains (%)"),
        Rule("wetland_fraction", "at_most", 15.0, "not in wetlands (%)")), "H SAF product user manual; " + _QA4SM),
    Preset("cci", "default", (Rule(_Q, "equals", 0, "no inconsistency detected", True),), _QA4SM),
    Preset("cci", "barren_kept", (Rule(_Q, "clear", ("snow_or_frozen", "dense_vegetation", "no_convergence",
        "unphysical", "weights_below_threshold", "all_unreliable"), "everything but the barren-ground advice", True),), "ESA CCI product user guide v9.2"),
    Preset("c3s", "default", (Rule(_Q, "equals", 0, "no inconsistency detected", True),), _QA4SM),
    Preset("gldas", "unfrozen", (
        Rule("snow_amount", "below", 0.001, "no snow"), _UNFROZEN, Rule("soil_moisture", "above", 0.0, "moisture above zero")), _QA4SM),
    Preset("era5", "unfrozen", (_UNFROZEN,), _QA4SM),
    Preset("era5_land", "unfrozen", (_UNFROZEN,), _QA4SM),
    Preset("cgls", "default", (
        Rule(_Q, "clear", ("water", "low_sensitivity", "steep_slope", "low_quality"), "not water, insensitive, steep or of low quality"),
        Rule("surface_state", "at_most", 1, "unknown or unfrozen surface")), "CGLS product user manual; " + _QA4SM),
    Preset("ismn", "good", (Rule(_Q, "any", ("G",), "flagged good by the network", True),), _QA4SM),
)  # fmt: skip


def preset(product: str, name: str) -> Preset:
    """The recipe `name` of a product."""
    of_product = {p.name: p for p in PRESETS if p.product == product}
    if not of_product:
        raise unknown_name("product with presets", product, sorted({p.product for p in PRESETS}))
    if name not in of_product:
        raise unknown_name(f"preset of {product}", name, of_product)
    return of_product[name]


_COMPARE = {
    "at_most": operator.le,
    "at_least": operator.ge,
    "above": operator.gt,
    "below": operator.lt,
    "equals": operator.eq,
}


def _keeps(rule: Rule, values: xr.DataArray) -> xr.DataArray:
    if rule.test == "clear":
        return ~cf.has_flag(values, *rule.value)
    if rule.test == "any":
        return cf.has_flag(values, *rule.value)
    return _COMPARE[rule.test](values, rule.value)


def _known(rule: Rule, values: xr.DataArray) -> tuple[Rule, tuple[str, ...]]:
    """The rule on those meanings that the flag variable has, and the meanings that it lacks."""
    if rule.test not in ("clear", "any"):
        return rule, ()
    words = str(values.attrs.get("flag_meanings", "")).split()
    lacking = tuple(m for m in rule.value if m not in words)
    return replace(rule, value=tuple(m for m in rule.value if m in words)), lacking


def keep(dataset: xr.Dataset, product: str, name: str = "default") -> xr.DataArray:
    """Where a preset keeps `soil_moisture`, or `soil_saturation` of products in percent (bool). Lazy in, lazy out.

    `attrs` list the rules used and those skipped, because the dataset lacks their variable or the flag their meaning.
    Comparisons with a missing number are not met. Raises VadoseInputError when a variable the preset cannot do without is missing.
    """
    recipe = preset(product, name)
    subject = "soil_moisture" if "soil_moisture" in dataset else "soil_saturation"
    if subject not in dataset:
        raise VadoseInputError(f"no 'soil_moisture' nor 'soil_saturation' in {sorted(map(str, dataset.data_vars))}")
    mask = xr.ones_like(dataset[subject], dtype=bool)
    used, skipped = [], []
    for rule in recipe.rules:
        variable = rule.variable.replace("soil_moisture", subject)
        if variable not in dataset:
            if rule.needed:
                raise VadoseInputError(
                    f"preset {product}/{name} needs {variable!r} ({rule.sentence}); the dataset has {sorted(map(str, dataset.data_vars))}"
                )
            skipped.append(rule.sentence)
            continue
        part, lacking = _known(rule, dataset[variable])
        if lacking and rule.needed:
            raise VadoseInputError(f"preset {product}/{name}: {variable!r} does not know {', '.join(lacking)}")
        if lacking:
            skipped.append(f"{rule.sentence}: {', '.join(lacking)} unknown here")
        if rule.test in ("clear", "any") and not part.value:
            continue
        mask = mask & _keeps(part, dataset[variable])
        used.append(rule.sentence)
    mask.attrs = {
        "long_name": f"kept by {product}/{name}",
        "rules": "; ".join(used),
        "skipped": "; ".join(skipped),
        "source": recipe.source,
    }
    return mask.rename("keep")
