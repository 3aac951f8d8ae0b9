"""Products: what each archive's names, units, fills and flags mean. One pure `standardize(ds)` a product: a module where it takes
code, a block of `declared.yaml` where names, units, layers and flags say all.

The names of producers (`swvl1`, `sm`, `mrsos`) exist here and nowhere further in.
"""

from __future__ import annotations

import importlib
from typing import Any

import xarray as xr

from vadose.errors import unknown_name
from vadose.products import declared

#: The module that standardizes every product of `declared.yaml`.
DECLARED = "vadose.products.declared"

#: Product -> the module that standardizes it.
PRODUCTS: dict[str, str] = {
    "smap_l3": "vadose.products.smap",
    "smap_l2": "vadose.products.smap_l2",
    "smap_l4": "vadose.products.smap_l4",
    "smos": "vadose.products.smos",
    "ascat": "vadose.products.ascat",
    "neon": "vadose.products.neon",
    "compass": "vadose.products.compass",
    "cgls_ssm": "vadose.products.cgls",
    "cgls_swi": "vadose.products.cgls",
    "smap_series": "vadose.products.smap_series",
    "esa_cci": "vadose.products.esa_cci",
    "era5_land": "vadose.products.era5_land",
    "gldas": "vadose.products.gldas",
    "cmip6": "vadose.products.cmip6",
    "cf": "vadose.products.conventions",
    "elm": "vadose.products.elm",
    "ismn": "vadose.products.ismn",
    "uscrn": "vadose.products.uscrn",
    "ameriflux": "vadose.products.ameriflux",
    "rmm": "vadose.products.rmm",
    "ecostress": "vadose.products.ecostress",
    "fluxnet": "vadose.products.fluxnet",
    "truth": "vadose.products.truth",
} | dict.fromkeys(declared.table(), DECLARED)


def module(product: str) -> Any:
    """The module of a product; an unknown one answers with the nearest names."""
    if product not in PRODUCTS:
        raise unknown_name("product", product, PRODUCTS)
    return importlib.import_module(PRODUCTS[product])


def standardize(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """`dataset` as its producer wrote it -> canonical names, units, depth bounds and flags. Lazy in, lazy out."""
    if PRODUCTS.get(product) == DECLARED:
        return declared.standardize(dataset, product)
    return module(product).standardize(dataset)
