"""The chart, rendered, for the tests of this folder."""

from rendered_chart import chart

__all__ = ["chart"]
