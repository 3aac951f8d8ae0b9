"""The session's hub for the system tests."""

from real_hub import hub, world

__all__ = ["hub", "world"]
