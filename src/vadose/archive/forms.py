"""What a metadata field may hold: a few kinds of form, each of which judges a value, reads one from text and says itself as JSON Schema."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """Words: between `low` and `high` of them, and like `pattern` where one is given; with `number` maybe a number."""

    low: int = 1
    high: int = 100_000
    pattern: str = ""
    number: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        text = str(value)
        return self.low <= len(text.split()) <= self.high and (
            not self.pattern or re.fullmatch(self.pattern, text) is not None
        )

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds."""
        if not self.number:
            return text
        try:
            return json.loads(text)
        except ValueError:
            return text

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        if self.pattern:
            return {"type": ["string", "boolean", "number"], "pattern": f"^(?:{self.pattern})$"}
        if self.low > 1 or self.high < 100_000:
            most = "" if self.high >= 100_000 else str(self.high - 1)
            return {"type": "string", "pattern": rf"^\s*\S+(?:\s+\S+){{{self.low - 1},{most}}}\s*$"}
        return {"type": ["string", "number"], "minLength": 1}


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float
    high: float

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False
        return not isinstance(value, bool) and math.isfinite(number) and self.low <= number <= self.high

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds."""
        try:
            return float(text)
        except ValueError:
            return text

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Date:
    """A date or time in ISO 8601, or one of some words."""

    words: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        if value in self.words:
            return True
        try:
            datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            return False
        return True

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds."""
        return text

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        date = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([T ].*)?$"}
        return {"anyOf": [{"enum": list(self.words)}, date]} if self.words else date


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        return value in self.words

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds."""
        return text

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Listed:
    """`low` entries or more; with `hashes` each names a file and its sha256."""

    low: int = 1
    hashes: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        if not isinstance(value, list | tuple) or len(value) < self.low:
            return False
        return not self.hashes or all(
            isinstance(s, Mapping) and re.fullmatch(r"[0-9a-f]{64}", str(s.get("sha256", ""))) for s in value
        )

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds: JSON, or words between commas."""
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        return found if isinstance(found, list) else [word.strip() for word in text.split(",") if word.strip()]

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        item: dict[str, Any] = {"type": ["string", "number", "object"]}
        if self.hashes:
            digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
            item = {"type": "object", "required": ["sha256"], "properties": {"sha256": digest}}
        return {"type": "array", "minItems": self.low, "items": item}


@dataclass(frozen=True)
class Orcid:
    """Sixteen signs, the last a check digit (ISO 7064 11,2)."""

    def holds(self, value: Any) -> bool:
        """Whether a value is of this form."""
        digits = str(value).removeprefix("https://orcid.org/").replace("-", "")
        if not re.fullmatch(r"\d{15}[\dX]", digits):
            return False
        total = 0
        for digit in digits[:-1]:
            total = (total + int(digit)) * 2
        return "0123456789X"[(12 - total % 11) % 11] == digits[-1]

    def read(self, text: str) -> Any:
        """The value that a text file, which knows only text, holds."""
        return text

    def schema(self) -> dict[str, Any]:
        """As JSON Schema, which cannot count the check digit."""
        return {"type": "string", "pattern": r"^(https://orcid\.org/)?\d{4}-?\d{4}-?\d{4}-?\d{3}[\dX]$"}


Form = Text | Number | Date | Choice | Listed | Orcid


def written(value: Any) -> str:
    """A value as a text file holds it; `read` of its form gives it back."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
