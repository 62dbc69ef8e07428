"""Which characters give way when the value at a path that exists is replaced."""

from __future__ import annotations

import re

from preflight.core.edit import Value
from preflight.core.errors import ConfigFileError
from preflight.emit.lines import Splice, line_end
from preflight.emit.path import format_path
from preflight.emit.scalar import format_value
from preflight.emit.yaml_span import Place
from preflight.emit.yaml_tree import Document, Node

_FREE_BLANK = re.compile(r" (?![ \t]*#)")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")


def replacement(document: Document, place: Place, new: Value) -> list[Splice]:
    """Splices that put ``new`` in place of the node there, and leave its anchor and tag standing.

    Raises ConfigFileError where that is not possible for this one place alone.
    """
    node = place.node
    assert node is not None
    _refuse_shared(document, place)
    written = format_value(new, _style_source(document, node), flow=place.in_flow)
    if node.style in ("|", ">"):
        return _replace_block_scalar(document.text, node, written)
    if node.kind in ("mapping", "sequence") and not node.flow:
        return _replace_block(document.text, place, node, written)
    _refuse_bare_key(document, place)
    return [fill(document.text, node, written)]


def _style_source(document: Document, node: Node) -> str:
    shown = node.resolved
    return document.content(shown) if shown.kind == "scalar" else ""


def _refuse_shared(document: Document, place: Place) -> None:
    detour = place.detour
    if detour is None:
        return
    shared, path = format_path(place.path[: detour.depth + 1]), format_path(place.path)
    if detour.kind == "alias":
        advice = f"write '{shared}: {{<<: *{detour.anchor}, ...}}' there, or map the setting to another key"
        raise ConfigFileError(
            f"cannot change '{path}' in {document.source}: '{shared}' is the alias *{detour.anchor}, so the "
            f"change would reach everything that shares it; {advice}"
        )
    raise ConfigFileError(
        f"cannot change '{path}' in {document.source}: '{shared}' comes through '<<' as a whole, and a key "
        "of its own would hide the rest of it; write that mapping out, or map the setting to its definition"
    )


def fill(text: str, node: Node, written: str) -> Splice:
    """Put ``written`` over a node; where that is empty, a blank must part it from its colon or dash."""
    if node.start != node.end or text[node.start - 1] in " \t":
        return Splice(node.start, node.end, written)
    if _FREE_BLANK.match(text, node.start):
        return Splice(node.start + 1, node.start + 1, written)
    return Splice(node.start, node.start, f" {written}")


def _refuse_bare_key(document: Document, place: Place) -> None:
    if place.entry is not None and place.entry.colon is None:
        path = format_path(place.path)
        raise ConfigFileError(
            f"cannot change '{path}' in {document.source}: the key has no ':'; write '{path}: null' there"
        )


def _replace_block_scalar(text: str, node: Node, written: str) -> list[Splice]:
    header = _BLOCK_HEADER.match(text, node.start)
    assert header is not None
    first_line_end = line_end(text, node.start)
    rest = [Splice(first_line_end, node.end, "")] if node.end > first_line_end else []
    return [Splice(node.start, header.end(), written), *rest]


def _replace_block(text: str, place: Place, node: Node, written: str) -> list[Splice]:
    last_line_end = line_end(text, node.end)
    head = _key_line_end(text, place, node)
    if head is None:
        return [Splice(node.start, last_line_end, written)]
    return [Splice(head, head, f" {written}"), Splice(line_end(text, head), last_line_end, "")]


def _key_line_end(text: str, place: Place, node: Node) -> int | None:
    """Where a value would stand on the line of its key, before that line's comment; None if it cannot."""
    entry = place.entry
    if entry is None or entry.colon is None:
        return None
    head = entry.colon
    if node.outer < node.start:
        head = node.outer + len(text[node.outer : node.start].partition("#")[0].rstrip())
    return head if line_end(text, head) < node.start else None
