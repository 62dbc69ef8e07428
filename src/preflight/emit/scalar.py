"""Writing a Python value as YAML that PyYAML and OmegaConf read alike, in the style of what it replaces."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflight.core.edit import Scalar, Value
from preflight.emit.lines import BREAKS

# Between these, a number without an exponent is the easier one to read.
DECIMAL_MIN: Final = 1e-3
DECIMAL_MAX: Final = 1e6

_WITH_EXPONENT = re.compile(r"[-+]?[\d_]*\.?[\d_]*[eE][-+]?\d+")
_BOOL_PAIRS = [(yes, no) for a, b in (("true", "false"), ("yes", "no"), ("on", "off"))
               for yes, no in ((a, b), (a.title(), b.title()), (a.upper(), b.upper()))]  # fmt: skip
_BOOL_STYLES = {word: pair for pair in _BOOL_PAIRS for word in pair}


def format_value(value: Value, old: str = "", *, flow: bool = False) -> str:
    """One line of YAML for ``value``; lists and dicts come in brackets and braces.

    ``old`` is the text being replaced, whose style is kept where it fits. ``flow`` says that the text will
    stand inside of brackets or braces, where a comma in plain text would end it.
    """
    if isinstance(value, dict):
        return format_pairs([(key, format_value(item, flow=True)) for key, item in value.items()])
    if isinstance(value, list):
        return "[" + ", ".join(_format_scalar(item, "", flow=True) for item in value) + "]"
    return _format_scalar(value, old, flow=flow)


def format_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """A mapping in braces, of keys and values that are already YAML."""
    return "{" + ", ".join(f"{format_key(key, flow=True)}: {text}" for key, text in pairs) + "}"


def format_key(key: str, *, flow: bool = False) -> str:
    """A mapping key, quoted where it would not be read as this very text."""
    return _format_str(key, "", "{%s: 1}" if flow else "%s: 1", {key: 1})


def _format_scalar(value: Scalar, old: str, *, flow: bool) -> str:
    if value is None:
        return "~" if old == "~" else "null"
    if isinstance(value, bool):
        return _BOOL_STYLES.get(old, ("true", "false"))[0 if value else 1]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _format_float(float(value), old)
    return _format_str(value, old[:1], "[%s]" if flow else "v: %s", [value] if flow else {"v": value})


def _format_float(value: float, old: str) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    readable = DECIMAL_MIN <= abs(value) <= DECIMAL_MAX and not _WITH_EXPONENT.fullmatch(old)
    return repr(value) if readable or value == 0 else _scientific(value)


def _scientific(value: float) -> str:
    # PyYAML takes a number for a float only with a dot, and its exponent only with a sign.
    number = Decimal(repr(value)).normalize()
    first, *rest = number.as_tuple().digits
    sign = "-" if value < 0 else ""
    return f"{sign}{first}.{''.join(map(str, rest)) or '0'}e{number.adjusted():+d}"


def _format_str(text: str, quote: str, template: str, expected: object) -> str:
    single = "'" + text.replace("'", "''") + "'"
    double = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    candidates = {"'": (single,), '"': (double,)}.get(quote, (text, single))
    if not any(character in text for character in BREAKS):
        for candidate in candidates:
            if _both_read(template % candidate, repr(expected)):
                return candidate
    # With every special character escaped; this never fails, but it escapes emoji too.
    return yaml.safe_dump(text, default_style='"', width=2**31, allow_unicode=True).rstrip("\n")


@lru_cache(maxsize=4096)
def _both_read(source: str, expected: str) -> bool:
    """Whether both loaders get the object of this repr, also with a comment behind it."""
    try:
        by_yaml = yaml.safe_load(f"{source}  # note")
        by_omegaconf = OmegaConf.to_container(OmegaConf.create(f"{source}  # note"))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OverflowError):
        return False
    return repr(by_yaml) == expected == repr(by_omegaconf)
