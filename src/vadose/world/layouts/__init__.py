"""Files as the real producers lay them out: the same groups, names, fills, flags and file names, so that the same readers serve both.

Only the layout is real; the numbers are of the synthetic Earth and every file says so in its attributes.
"""

from __future__ import annotations

from vadose.world.layouts.ground import ismn_names, write_ameriflux, write_ismn
from vadose.world.layouts.models import CMIP6_VARIABLES, cmip6_name, write_cmip6, write_era5_land, write_gldas
from vadose.world.layouts.satellite import smap_l3_name, write_cci, write_smap_l3

__all__ = [
    "CMIP6_VARIABLES",
    "cmip6_name",
    "ismn_names",
    "smap_l3_name",
    "write_ameriflux",
    "write_cci",
    "write_cmip6",
    "write_era5_land",
    "write_gldas",
    "write_ismn",
    "write_smap_l3",
]
