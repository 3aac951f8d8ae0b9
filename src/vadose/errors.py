"""The family of errors: each says what was expected, what came, and what to do next.

Every class is also a built-in kind, so that callers who know nothing of vadose can still catch it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class VadoseError(Exception):
    """Base of all errors that vadose raises on purpose."""


class VadoseInputError(VadoseError, ValueError):
    """An argument breaks a rule: name the variable, the rule, the value found and the next step."""


class UnitsError(VadoseInputError):
    """Units are missing, unknown, or of the wrong dimension. Not for values out of range."""


class DimensionError(VadoseInputError):
    """A required dimension or coordinate is missing, or lengths disagree."""


class TimeAxisError(VadoseInputError):
    """Time is unsorted, duplicated, of mixed calendars, or does not cover what was asked."""


class TooFewSamplesError(VadoseInputError):
    """A whole computation has too few samples. Per-pixel shortage is NaN and a flag, never this error."""


class NotFoundError(VadoseError, KeyError):
    """A name is not in a closed set: a collection, variable, preset, score. The message offers the nearest names."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0]) if self.args else ""


class UnreadableFileError(VadoseError, OSError):
    """A file cannot be read as what it claims to be: name file, place in it, and what was expected there."""


class SourceChangedError(VadoseError, OSError):
    """A remote object is not the one that was indexed: changed, truncated, replaced or gone."""


class AccessDeniedError(VadoseError, PermissionError):
    """Credentials are missing, expired or refused; the message says how to get them."""


class StudyError(VadoseInputError):
    """A study or recipe file is wrong: line, key, allowed values."""


class PlatformError(VadoseError, RuntimeError):
    """A service of the hub cannot start, stop or answer; the message names it and the next step."""


class VadoseWarning(UserWarning):
    """Class of every warning that vadose emits, so that users can silence or harden them."""


class ExperimentalWarning(VadoseWarning):
    """The method's primary document was not seen; the docstring lists the alternatives."""


def unknown_name(kind: str, name: object, allowed: Iterable[object]) -> NotFoundError:
    """A `NotFoundError` that offers the nearest allowed names, for `raise unknown_name("score", "rmes", SCORES)`."""
    names = [str(n) for n in allowed]
    near = get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return NotFoundError(f"unknown {kind} {name!r}: {hint}allowed: {', '.join(sorted(names))}")
