"""Physical lines of a YAML text, by character index."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The line breaks of YAML 1.1; a comment ends at any of them, which str.splitlines does not know.
BREAKS = "\r\n\x85\u2028\u2029"
BOM = "\ufeff"

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_COMMON_BREAK = re.compile("\r\n|\r|\n")
_INDENT = re.compile(r"[ \t]*")


@dataclass(frozen=True)
class Splice:
    """``text[start:end]`` gives way to ``new``."""

    start: int
    end: int
    new: str


def splice(text: str, splices: list[Splice]) -> str:
    """Apply splices that do not overlap; those at one place keep their order."""
    parts, at = [], 0
    for change in sorted(splices, key=lambda s: (s.start, s.end)):
        assert change.start >= at, "splices overlap"
        parts += [text[at : change.start], change.new]
        at = change.end
    return "".join([*parts, text[at:]])


def line_start(text: str, at: int) -> int:
    """Index of the first character of the line that holds ``at``, after a byte order mark."""
    start = max(text.rfind(character, 0, at) for character in BREAKS) + 1
    return start + 1 if start == 0 and text.startswith(BOM) else start


def line_end(text: str, at: int) -> int:
    """Index of the line break that ends the line of ``at``, or the length of the text."""
    found = _BREAK.search(text, at)
    return found.start() if found else len(text)


def next_line(text: str, at: int) -> int:
    """Index of the first character after the line of ``at``."""
    found = _BREAK.search(text, at)
    return found.end() if found else len(text)


def indentation(text: str, start: int) -> str:
    """Blanks at the front of the line that starts at ``start``."""
    found = _INDENT.match(text, start)
    return found[0] if found else ""


def newline(text: str) -> str:
    """The line break in use: the first one of the text, or a line feed."""
    found = _COMMON_BREAK.search(text)
    return found[0] if found else "\n"
