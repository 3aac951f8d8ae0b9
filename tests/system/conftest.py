"""The session's hub for the system tests."""

from real_hub import hub

__all__ = ["hub"]
