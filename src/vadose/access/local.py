"""The demo world where there is no hub: written into the cache folder on first use."""

from __future__ import annotations

import os
from pathlib import Path


def demo_folder() -> Path:
    """Where the demo catalog lies or would lie; nothing is made."""
    base = Path(
        os.environ.get("VADOSE_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vadose"
    )
    return base / "demo" / "catalog"


def demo_catalog() -> Path:
    """The folder of the demo catalog, made on first use together with the archive it points to."""
    catalog = demo_folder()
    if not (catalog / "catalog.json").exists():
        from vadose.access.demo import write_catalog
        from vadose.world import write_demo

        root = str(catalog.parent / "archive")
        write_catalog(write_demo(root), root, catalog)
    return catalog
