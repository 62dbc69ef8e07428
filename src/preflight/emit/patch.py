"""Edits to text: only the changed values change, each with a comment that says what it was and why."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import combinations

from preflight.core.edit import Edit, Value, _Missing
from preflight.core.errors import ConfigFileError
from preflight.emit.check import reparse, verify
from preflight.emit.insertion import insertion
from preflight.emit.lines import Splice, splice
from preflight.emit.notes import Note, annotate, note
from preflight.emit.path import parse_path
from preflight.emit.read import same_value, value_at
from preflight.emit.replacement import replacement
from preflight.emit.scalar import format_value
from preflight.emit.yaml_span import Place, find, locate
from preflight.emit.yaml_tree import Document, parse


def apply(text: str, edits: Sequence[Edit], *, source: str) -> str:
    """``text`` with every edit made; edits whose value is already there change nothing.

    A key that is MISSING is inserted after the last entry of the mapping it belongs to, with the mappings in between;
    one that comes only through ``<<`` is added as an override. ``source`` names the file in errors.
    Raises ConfigFileError where an edit does not fit the text, or cannot be made without changing something else.
    """
    document = parse(text, source)
    _refuse_overlaps(edits, source)
    pending = [edit for edit in edits if not same_value(value_at(document, edit.path), edit.new)]
    if not pending:
        return text
    notes: list[Note] = []
    splices: list[Splice] = []
    absent: list[Edit] = []
    for edit in pending:
        _refuse_outdated(document, edit)
        place = _place(document, edit)
        notes.append(note(document, place, edit))
        if place.missing or place.is_inherited:
            absent.append(edit)
        else:
            splices += replacement(document, place, edit.new)
    return _finish(document, splice(text, splices), absent, notes, edits)


def diff(old: str, new: str, *, old_name: str, new_name: str) -> str:
    """Unified diff that ``patch`` accepts; empty where the texts are equal."""
    lines = difflib.unified_diff(_lines(old), _lines(new), old_name, new_name)
    mark = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + mark for line in lines)


def _lines(text: str) -> list[str]:
    # Not str.splitlines: it breaks lines at characters, such as a form feed, where `patch` does not.
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _finish(document: Document, text: str, absent: list[Edit], notes: list[Note], edits: Sequence[Edit]) -> str:
    """Insert what is absent, write the notes, and check both steps against ``document``."""
    step = reparse(text, document, edits)
    for edit in absent:
        step = reparse(insertion(step, locate(step, edit.path), edit.new), document, edits)
    verify(document, step, edits)
    step = reparse(annotate(step, notes), document, edits)
    verify(document, step, edits)
    return step.text


def _place(document: Document, edit: Edit) -> Place:
    if "${" in format_value(edit.new):
        raise ConfigFileError(
            f"cannot write {edit.new!r} to '{edit.path}' in {document.source}: "
            "OmegaConf would read '${' as an interpolation"
        )
    return locate(document, edit.path)


def _refuse_outdated(document: Document, edit: Edit) -> None:
    """The value there now must be the one that the edit was made for."""
    current = value_at(document, edit.path)
    if isinstance(current, _Missing) and not isinstance(edit.old, _Missing):
        find(document, edit.path)
    may_be_unknown = isinstance(edit.old, _Missing) and locate(document, edit.path).is_inherited
    if not may_be_unknown and not _same_or_equal(current, edit.old):
        raise ConfigFileError(
            f"{document.source}: '{edit.path}' is {_shown(current)}, but the edit was made for "
            f"{_shown(edit.old)}: the file has changed meanwhile"
        )


def _same_or_equal(one: Value | _Missing, other: Value | _Missing) -> bool:
    are_numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (one, other))
    return same_value(one, other) or (are_numbers and one == other)


def _shown(value: Value | _Missing) -> str:
    return "a key that is not there" if isinstance(value, _Missing) else format_value(value)


def _refuse_overlaps(edits: Sequence[Edit], source: str) -> None:
    paths = [(edit.path, tuple(map(str, parse_path(edit.path, source)))) for edit in edits]
    for (one_name, one), (other_name, other) in combinations(paths, 2):
        shorter = min(len(one), len(other))
        if one[:shorter] == other[:shorter]:
            raise ConfigFileError(f"{source}: the edits of '{one_name}' and '{other_name}' overlap")
