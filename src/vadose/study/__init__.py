"""A study: one YAML file from products to a merged, validated, uncertainty-bearing data set on disk."""

from __future__ import annotations

from vadose.study.model import Source, Study, parse, read
from vadose.study.run import run

__all__ = ["Source", "Study", "parse", "read", "run"]
