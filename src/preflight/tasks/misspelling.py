"""Which part of a dotted name does not import, and what it may have meant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

MAX_SHOWN = 8


def why_not(target: str) -> str:
    """What is wrong with a dotted name that does not import; nothing where every part of it is found.

    Imports as much of it as can be.
    """
    parts = target.split(".")
    found: Any = None
    for index, part in enumerate(parts):
        path, parent = ".".join(parts[: index + 1]), ".".join(parts[:index])
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
            continue
        if found is not None and not isinstance(found, ModuleType):
            return f"'{parent}' has no '{part}'{_members(found, part)}"
        try:
            found = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if found is not None and error.name in (path, parent):
                return f"'{parent}' has no '{part}'{_members(found, part)}"
            return _failed(path, error)
        except Exception as error:  # the user's module
            return _failed(path, error)
    return ""


def close_names(name: str, known: Iterable[str]) -> str:
    """The names most like ``name``, as the end of a sentence; nothing where none is."""
    names = set(known)
    folded = {other.lower(): other for other in sorted(names, reverse=True)}
    found = [folded[other] for other in difflib.get_close_matches(name.lower(), folded, n=3)]
    return f"; did you mean {' or '.join(repr(other) for other in found)}?" if found else ""


def _members(owner: Any, name: str) -> str:
    """Members like ``name``, or what a small module defines itself."""
    public = [member for member in dir(owner) if not member.startswith("_")]
    near = close_names(name, public)
    if near or not isinstance(owner, ModuleType):
        return near
    own = [member for member in public if getattr(getattr(owner, member), "__module__", None) == owner.__name__]
    more = f" and {len(own) - MAX_SHOWN} more" if len(own) > MAX_SHOWN else ""
    return f"; it defines {', '.join(own[:MAX_SHOWN])}{more}" if own else ""


def _failed(path: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"importing '{path}' fails: {type(error).__name__}: {'; '.join(lines[:3])}"
