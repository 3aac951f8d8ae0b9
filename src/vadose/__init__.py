"""vadose: a cloud-native platform for soil-moisture analysis.

Importing this package defines names and does nothing else; heavy libraries load when a function first needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public shortcuts and where they live; resolved on first use so that ``import vadose`` stays light.
_SHORTCUTS = {
    "open": ("vadose.products.opening", "open_product"),
    "catalog": ("vadose.access.catalog", "open_catalog"),
    "search": ("vadose.access.catalog", "search"),
    "extract_points": ("vadose.access.points", "extract_points"),
    "items": ("vadose.access.catalog", "items"),
}

__all__ = ["__version__", "catalog", "extract_points", "items", "open", "search"]

if TYPE_CHECKING:
    from vadose.access.catalog import items, search
    from vadose.access.catalog import open_catalog as catalog
    from vadose.access.points import extract_points
    from vadose.products.opening import open_product as open


def __getattr__(name: str) -> Any:
    if name in _SHORTCUTS:
        module, attribute = _SHORTCUTS[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'vadose' has no attribute {name!r}; it offers {', '.join(__all__)}")
