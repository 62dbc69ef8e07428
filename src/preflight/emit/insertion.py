"""Putting a key that is missing into the text, where a person would have put it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from preflight.core.edit import Value
from preflight.core.errors import ConfigFileError
from preflight.emit.lines import BOM, BREAKS, Splice, line_end, newline, next_line, splice
from preflight.emit.path import format_path
from preflight.emit.replacement import fill
from preflight.emit.scalar import format_key, format_pairs, format_value
from preflight.emit.yaml_span import Place
from preflight.emit.yaml_tree import Document, Node, walk

DEFAULT_INDENT: Final = 2

_COMMENT_LINE = re.compile(rf"(?:[ \t]*(?:\r\n|[{BREAKS}]))*(?P<indent> *)#[^{BREAKS}]*(?:\r\n|[{BREAKS}]|\Z)")


def insertion(document: Document, place: Place, new: Value) -> str:
    """The whole text with ``new`` at the place, as the last entry of the deepest mapping that exists.

    Raises ConfigFileError where that is a list, a single value or something shared by alias.
    """
    keys = _new_keys(document, place)
    if document.root is None:
        return _insert_lines(document.text, document.body_end, _block_lines(keys, new, 0, DEFAULT_INDENT))
    parent = place.parents[place.detour.depth] if place.is_inherited and place.detour else place.parents[-1]
    if parent.kind == "mapping" and not parent.flow:
        return _into_block(document, parent, keys, new)
    if parent.kind == "mapping":
        return _into_flow(document, place, parent, _flow_pair(keys, new))
    return _into_null(document, place, parent, keys, new)


def _new_keys(document: Document, place: Place) -> list[str]:
    missing = place.path[-1:] if place.is_inherited else place.missing
    path, source = format_path(place.path), document.source
    if place.interpolation is not None:
        written = document.content(place.interpolation)
        raise ConfigFileError(
            f"cannot change '{path}' in {source}: what would hold it is the interpolation {written}; "
            "map the setting to where the value is defined"
        )
    if place.detour is not None and not place.is_inherited:
        shared = format_path(place.path[: place.detour.depth + 1])
        how = "an alias" if place.detour.kind == "alias" else "inherited through '<<'"
        raise ConfigFileError(
            f"cannot add '{path}' to {source}: '{shared}' is {how}, so other keys would change with it"
        )
    keys = [segment for segment in missing if isinstance(segment, str)]
    if len(keys) != len(missing):
        raise ConfigFileError(f"cannot add '{path}' to {source}: there is no list to put an item into")
    return keys


def _block_lines(keys: list[str], value: Value, indent: int, step: int) -> list[str]:
    lines = []
    for key in keys[:-1]:
        lines.append(f"{' ' * indent}{format_key(key)}:")
        indent += step
    head = f"{' ' * indent}{format_key(keys[-1])}:"
    if not isinstance(value, dict) or not value:
        return [*lines, f"{head} {format_value(value)}"]
    inner = " " * (indent + step)
    return [*lines, head, *(f"{inner}{format_key(key)}: {format_value(item)}" for key, item in value.items())]


def _flow_pair(keys: list[str], value: Value) -> str:
    """``key: value`` to stand inside of braces, with the outer keys around it."""
    *outer, last = keys
    text = format_pairs([(last, format_value(value, flow=True))])
    for key in reversed(outer):
        text = format_pairs([(key, text)])
    return text[1:-1]


def _insert_lines(text: str, at: int, lines: list[str]) -> str:
    """Lines put at the start of a line, or behind a last line that has no line break."""
    end = newline(text)
    body = end.join(lines)
    starts_line = at == 0 or text[at - 1] in BREAKS + BOM
    return text[:at] + (body + end if starts_line else end + body) + text[at:]


def _into_block(document: Document, parent: Node, keys: list[str], value: Value) -> str:
    lines = _block_lines(keys, value, parent.column, _indent_step(document))
    at = _skip_comments(document.text, _line_after(document.text, parent), parent.column)
    return _insert_lines(document.text, at, lines)


def _line_after(text: str, node: Node) -> int:
    """Start of the first line that is no longer part of a block collection."""
    last = node
    while not last.flow and (last.entries or last.items):
        last = last.entries[-1].value if last.entries else last.items[-1]
    keeps_empty_lines = last.style in ("|", ">") and "+" in text[last.start : line_end(text, last.start)]
    if keeps_empty_lines and text[last.tail - 1] in BREAKS:
        return last.tail
    return next_line(text, node.end)


def _skip_comments(text: str, at: int, indent: int) -> int:
    """Past the comments indented like this block; at the top level they may belong to what follows."""
    while (found := _COMMENT_LINE.match(text, at)) and len(found["indent"]) >= max(indent, 1):
        at = found.end()
    return at


def _into_flow(document: Document, place: Place, parent: Node, pair: str) -> str:
    if document.text[parent.start] != "{":
        path = format_path(place.path)
        raise ConfigFileError(f"cannot add '{path}' to {document.source}: its mapping has no braces")
    at = parent.entries[-1].value.end if parent.entries else parent.start + 1
    return splice(document.text, [Splice(at, at, f", {pair}" if parent.entries else pair)])


def _into_null(document: Document, place: Place, null: Node, keys: list[str], value: Value) -> str:
    """Turn an empty value into a mapping: beneath its key, or in braces where no line can follow."""
    text, entry = document.text, place.entry
    if entry is None or entry.colon is None or place.in_flow or line_end(text, entry.colon) < null.start:
        return splice(text, [fill(text, null, f"{{{_flow_pair(keys, value)}}}")])
    head = null.start if null.start == null.end else len(text[: null.start].rstrip(" \t"))
    text = splice(text, [Splice(head, null.end, "")])
    step = _indent_step(document)
    indent = entry.key.column + step
    at = _skip_comments(text, next_line(text, head), indent)
    return _insert_lines(text, at, _block_lines(keys, value, indent, step))


def _indent_step(document: Document) -> int:
    """How far this file indents a mapping within a mapping, most often; the default where it has none."""
    assert document.root is not None
    steps = Counter(
        entry.value.column - node.column
        for node in walk(document.root)
        for entry in node.entries
        if not node.flow and entry.value.kind == "mapping" and not entry.value.flow
    )
    return min(steps, key=lambda step: (-steps[step], step)) if steps else DEFAULT_INDENT
