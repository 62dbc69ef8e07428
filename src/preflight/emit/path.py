"""Where a value lives in a config: dotted text to segments and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from preflight.core.errors import ConfigFileError

Segment: TypeAlias = str | int

_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"|([^.\[\]"]+)')
_INDEX = re.compile(r"\[(\d+)\]")
_ESCAPED = re.compile(r"\\(.)")
_PLAIN_KEY = re.compile(r'[^.\[\]"]+')


def parse_path(path: str, source: str) -> tuple[Segment, ...]:
    """Keys as text and bracketed list indexes as numbers: ``a.b[0]."c.d"`` is ``("a", "b", 0, "c.d")``.

    Raises ConfigFileError where ``path`` is not of that form; ``source`` is the file named in the error.
    """
    segments: list[Segment] = []
    at = 0
    while True:
        key = _KEY.match(path, at)
        if key is None:
            raise _malformed(path, at, source)
        segments.append(key[2] if key[1] is None else _ESCAPED.sub(r"\1", key[1]))
        at = key.end()
        while index := _INDEX.match(path, at):
            segments.append(int(index[1]))
            at = index.end()
        if at == len(path):
            return tuple(segments)
        if path[at] != ".":
            raise _malformed(path, at, source)
        at += 1


def format_path(segments: Sequence[Segment]) -> str:
    """Inverse of :func:`parse_path`, with keys quoted only where they need it."""
    text = ""
    for segment in segments:
        if isinstance(segment, int):
            text += f"[{segment}]"
        else:
            text += ("." if text else "") + _format_key(segment)
    return text


def _format_key(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return key
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _malformed(path: str, at: int, source: str) -> ConfigFileError:
    found = f"'{path[at]}'" if at < len(path) else "the end"
    return ConfigFileError(
        f"'{path}' is no path into {source}: found {found} at character {at + 1}; "
        'paths look like optim.groups[0].lr, and a key with a dot is quoted: optim."lr.peak"'
    )
