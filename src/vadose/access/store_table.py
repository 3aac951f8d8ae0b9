"""Tables of Zarr stores, such as Pangeo's of CMIP6: a row a store, its columns say which model, experiment and variable it is."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import pandas as pd

from vadose.access import remote
from vadose.access.credentials import Access
from vadose.errors import NotFoundError, UnreadableFileError, VadoseInputError

#: Columns in which stores that are opened together must agree, in the order in which one is asked to choose.
ALIKE = ("source_id", "experiment_id", "table_id", "member_id", "grid_label")
ADDRESS = "zstore"


@lru_cache(maxsize=4)
def table(address: str, access: Access, etag: str) -> pd.DataFrame:
    """The whole table as text; kept for the life of the process while it does not change."""
    try:
        found = pd.read_csv(io.BytesIO(remote.read(address, access=access)), dtype=str)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UnreadableFileError(f"{address}: not a table of stores: {error}") from error
    missing = [c for c in (ADDRESS, "variable_id", *ALIKE) if c not in found]
    if missing:
        raise UnreadableFileError(
            f"{address}: columns {', '.join(missing)} are missing; found {', '.join(found.columns)}"
        )
    return found


def stores(address: str, where: dict[str, Any] | None, access: Access) -> list[str]:
    """Stores of one model, run and grid, one a variable, each in its newest version. The error names what there is to choose."""
    found = table(address, access, remote.stat(address, access).etag)
    for key, value in (where or {}).items():
        column = key.removeprefix("cmip6:")
        if column not in found:
            raise VadoseInputError(f"{address}: no column {column!r}; where= may name {', '.join(found.columns)}")
        kept = found[found[column] == str(value)]
        if kept.empty:
            raise NotFoundError(f"{address}: no store with {column} {value!r}; there are {_some(found[column])}")
        found = kept
    for column in ("variable_id", *ALIKE):
        asked = any(k.removeprefix("cmip6:") == column for k in where or {})
        if column == "variable_id" and not asked and found[column].nunique() > 8:
            raise VadoseInputError(
                f"{address}: {found[column].nunique()} variables; choose with where={{'variable_id': 'mrsos', ...}}"
            )
        if column in ALIKE and found[column].nunique() > 1:
            raise VadoseInputError(
                f"{address}: stores of {found[column].nunique()} different {column} would be joined; choose with where={{{column!r}: ...}}: {_some(found[column])}"
            )
    newest = found.sort_values("version") if "version" in found else found
    return newest.drop_duplicates("variable_id", keep="last")[ADDRESS].str.rstrip("/").tolist()


def _some(column: pd.Series) -> str:
    names = sorted(column.dropna().unique())
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
