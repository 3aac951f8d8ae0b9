"""Data that outlives the project: the metadata profile `vadose-sm-1.0` with its converters, and packages that anybody can check and read."""

from __future__ import annotations

from vadose.archive.package import Found, build_package, check_package, restore

__all__ = ["Found", "build_package", "check_package", "restore"]
