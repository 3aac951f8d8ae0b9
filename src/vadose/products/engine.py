"""`xr.open_dataset("smap-l3", engine="vadose", time=..., bbox=...)`: the catalog behind xarray's own door."""

from __future__ import annotations

from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint


class VadoseBackend(BackendEntrypoint):
    """Collections of the configured catalog as xarray Datasets; options are those of `vadose.open`."""

    description = "Collections of the vadose catalog, by their id"
    url = ""
    open_dataset_parameters: ClassVar[Any] = (
        "filename_or_obj", "drop_variables", "time", "bbox", "variables", "where", "catalog", "purpose", "requester_pays",
    )  # fmt: skip

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None, **question: Any) -> xr.Dataset:  # type: ignore[override]
        from vadose.products.opening import open_product

        unknown = sorted(set(question) - set(self.open_dataset_parameters))
        if unknown:
            raise TypeError(
                f"engine='vadose' has no option {unknown[0]!r}: what it opens is decoded already; "
                f"it takes {', '.join(self.open_dataset_parameters[1:])}"
            )
        out = open_product(str(filename_or_obj).removeprefix("vadose:"), **question)
        return out.drop_vars(drop_variables, errors="ignore") if drop_variables else out

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        return isinstance(filename_or_obj, str) and filename_or_obj.startswith("vadose:")
