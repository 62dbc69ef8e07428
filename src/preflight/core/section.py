"""A section of the configuration: a mapping whose keys are known and whose values are checked as they are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from preflight.core.errors import ConfigError, alternatives


class Section:
    """Typed access to a mapping; every error names the full key, the value and what would be accepted."""

    def __init__(self, values: object, path: str, known: Iterable[str]) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path or 'the configuration'} must be a mapping of keys, got {values!r}")
        self.values: Mapping[str, Any] = values
        self.path = path
        names = tuple(known)
        for key in values:
            if key not in names:
                raise ConfigError(f"unknown key '{self.name(str(key))}'; {alternatives(str(key), names)}")

    def name(self, key: str) -> str:
        """Dotted name of ``key`` from the root of the configuration."""
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, default: Any = None) -> Any:
        """Value of ``key``; a key that is absent or null gives ``default``."""
        value = self.values.get(key)
        return default if value is None else value

    def required(self, key: str, example: str) -> Any:
        """Value of ``key``, which must be there."""
        value = self.values.get(key)
        if value is None or value == "???":
            raise ConfigError(f"'{self.name(key)}' is missing; it looks like: {key}: {example}")
        return value

    def integer(self, key: str, default: int, *, low: int = 1, high: int | None = None) -> int:
        """Whole number from ``low`` to ``high``."""
        return check_integer(self.get(key, default), self.name(key), low=low, high=high)

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.name(key)} must be true or false, got {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        """Text, or ``default``."""
        value = self.get(key, default)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{self.name(key)} must be text, got {value!r}")
        return value

    def choice(self, key: str, default: str, known: Iterable[str]) -> str:
        """One of a few words."""
        value, names = str(self.get(key, default)), tuple(known)
        if value not in names:
            raise ConfigError(f"{self.name(key)}={value} is not one of them; {alternatives(value, names)}")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Mapping with text keys; empty when absent."""
        value = self.get(key, {})
        if not isinstance(value, Mapping):
            raise ConfigError(f"{self.name(key)} must be a mapping of keys, got {value!r}")
        return {str(name): item for name, item in value.items()}

    def names(self, key: str) -> tuple[str, ...]:
        """List of names; one name alone is taken as a list of one."""
        value = self.get(key, ())
        items = (value,) if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{self.name(key)} must be a list of names, got {value!r}")
        return tuple(items)


def check_integer(value: object, name: str, *, low: int = 1, high: int | None = None) -> int:
    """``value`` as a whole number from ``low`` to ``high``, or a ConfigError that names the parameter."""
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value) and int(value) == value:
        whole = int(value)
        if high is not None and whole > high:
            raise ConfigError(f"{name} must be a whole number of at most {high}, got {value!r}")
        if whole >= low:
            return whole
    raise ConfigError(f"{name} must be a whole number of at least {low}, got {value!r}{_unquoted(value)}")


def check_number(value: object, name: str, *, positive: bool = False) -> float:
    """``value`` as a finite float (``positive``: above zero), or a ConfigError that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ConfigError(f"{name} must be a finite number, got {value!r}{_unquoted(value)}")
    if positive and value <= 0:
        raise ConfigError(f"{name} must be positive, got {name.rsplit('.', 1)[-1]}={value}")
    return float(value)


def _unquoted(value: object) -> str:
    """How to write a number that was given as text, so that every YAML reader takes it for a number."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    written = str(int(number)) if number.is_integer() and abs(number) < 1e6 else repr(number)
    if "e" in written and "." not in written:  # PyYAML takes 1e-05 for text
        written = written.replace("e", ".0e")
    return f", which is text: write it without quotes, as {written}"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
