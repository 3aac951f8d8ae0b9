"""Reports: results on disk become pages that open without a network. No science is computed here."""

from __future__ import annotations

from vadose.report.benchmark import write_benchmark
from vadose.report.page import write

__all__ = ["write", "write_benchmark"]
