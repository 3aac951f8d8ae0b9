"""The synthetic Earth: a seeded world whose truth is known, and instruments that look at it with known errors.

`make` gives the truth, `observe` the satellites and models, `stations` the sensors in the ground, `layouts` writes files
as the real producers do, `demo` and `write_demo` the small world that notebooks and the local hub use.
"""

from __future__ import annotations

from vadose.world import layouts, observe, stations
from vadose.world.demo import demo, write_demo
from vadose.world.truth import make, write_truth

__all__ = ["demo", "layouts", "make", "observe", "stations", "write_demo", "write_truth"]
