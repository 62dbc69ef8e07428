"""The comments that say what was changed and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml.reader

from preflight.core.edit import Edit, _Missing
from preflight.emit.lines import Splice, indentation, line_end, line_start, newline, splice
from preflight.emit.read import value_at
from preflight.emit.scalar import format_value
from preflight.emit.yaml_span import Place, locate
from preflight.emit.yaml_tree import Document, walk

# Longer old values are cut in the comment; the diff shows them whole.
MAX_OLD_CHARACTERS = 60


@dataclass(frozen=True)
class Note:
    """What to say about the value at ``path``."""

    path: str
    text: str


def note(document: Document, place: Place, edit: Edit) -> Note:
    """The note on one edit; ``document`` is the file before it, where ``place`` is."""
    why = " ".join(yaml.reader.Reader.NON_PRINTABLE.sub(" ", edit.why).split())
    before = " ".join(_before(document, place, edit).split())
    return Note(edit.path, f"{before}; {why}" if why else before)


def _before(document: Document, place: Place, edit: Edit) -> str:
    current = value_at(document, edit.path)
    if isinstance(current, _Missing):
        return "new"
    shown = _shorten(format_value(current))
    node = place.node
    if place.is_inherited:
        return f"was {shown} through <<"
    if node is None or node.kind in ("mapping", "sequence"):
        return f"was {shown}"
    written = document.content(node)
    if node.kind == "alias" or node.is_interpolation:
        return f"was {_shorten(written)} ({shown})"
    is_one_line = node.style not in ("|", ">") and len(written.splitlines()) == 1
    return f"was {_shorten(written) if is_one_line else shown}"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_OLD_CHARACTERS else text[: MAX_OLD_CHARACTERS - 3] + "..."


def annotate(document: Document, notes: Sequence[Note]) -> str:
    """The text with every note at the end of the line of its value.

    Where that line ends within a multi-line scalar, which a comment would break, the note gets a line of its
    own above. Notes that share a line are joined, each named by its key.
    """
    behind: dict[int, list[Note]] = {}
    above: dict[int, list[Note]] = {}
    for item in notes:
        at = line_end(document.text, _position(document, item.path))
        if _scalar_start(document, at) is None:
            behind.setdefault(at, []).append(item)
        else:
            above.setdefault(_free_line(document, at), []).append(item)
    text = document.text
    trailing = [Splice(at, at, f"  # preflight: {_joined(group)}") for at, group in behind.items()]
    end = newline(text)
    leading = [
        Splice(at, at, f"{indentation(text, at)}# preflight: {_joined(group, named=True)}{end}")
        for at, group in above.items()
    ]
    return splice(text, [*trailing, *leading])


def _position(document: Document, path: str) -> int:
    place = locate(document, path)
    assert place.node is not None, path
    is_block = place.node.kind == "mapping" and not place.node.flow
    return place.entry.key.end if is_block and place.entry else place.node.end


def _scalar_start(document: Document, at: int) -> int | None:
    """Where the scalar begins that ``at`` is within, if it is within one."""
    assert document.root is not None
    scalars = (node for node in walk(document.root) if node.kind == "scalar")
    return next((node.start for node in scalars if node.start < at < node.end), None)


def _free_line(document: Document, at: int) -> int:
    """Start of the nearest line, from that of ``at`` upwards, before which a comment may stand."""
    start = line_start(document.text, at)
    while (scalar := _scalar_start(document, start)) is not None:
        start = line_start(document.text, scalar)
    return start


def _joined(notes: list[Note], *, named: bool = False) -> str:
    if len(notes) == 1 and not named:
        return notes[0].text
    return "; ".join(f"{item.path}: {item.text}" for item in notes)
