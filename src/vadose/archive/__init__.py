"""Data that outlives the project: the metadata profile `vadose-sm-1.0` with its converters, and packages that anybody can check and read."""

from __future__ import annotations

from vadose.archive.kinds import read_record, read_series, write_series
from vadose.archive.package import Found, build_package, check_package, restore
from vadose.archive.profile import validate

__all__ = [
    "Found", "build_package", "check_package", "read_record", "read_series", "restore", "validate", "write_series",
]  # fmt: skip
