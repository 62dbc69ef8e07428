"""Proof that an edited text changed what it should and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from preflight.core.edit import Edit
from preflight.core.errors import ConfigFileError
from preflight.emit.path import Segment, format_path, parse_path
from preflight.emit.read import same_value, value_at
from preflight.emit.yaml_tree import Document, Node, merge_sources, merged_entries, parse, walk

_SHARED: Final = (
    ", by an anchor or '<<' that shares the value; "
    "map the setting to a key that nothing shares, or write the value out there"
)

_Path: TypeAlias = tuple[Segment, ...]
_Raw: TypeAlias = tuple[str, ...]


def verify(old: Document, new: Document, edits: Sequence[Edit]) -> None:
    """Compare what was read again: every edit must have arrived, and every other value must be as it was.

    Aliases and merge keys are followed on both sides, so a change that would reach a value elsewhere shows.
    Raises ConfigFileError otherwise.
    """
    failure = _failure(old, edits)
    for edit in edits:
        try:
            arrived = value_at(new, edit.path)
        except ConfigFileError as error:
            raise ConfigFileError(f"{failure}: {error}") from None
        if not same_value(arrived, edit.new):
            raise ConfigFileError(f"{failure}: '{edit.path}' would read {arrived!r} instead of {edit.new!r}")
    _refuse_side_effects(old, new, edits, failure)


def reparse(new_text: str, old: Document, edits: Sequence[Edit]) -> Document:
    """Parse what ``edits`` made of ``old``; that it does not parse is the edits' failure, not the user's."""
    try:
        return parse(new_text, old.source)
    except ConfigFileError as error:
        raise ConfigFileError(f"{_failure(old, edits)}: after the edit, {error}") from None


def _failure(old: Document, edits: Sequence[Edit]) -> str:
    names = ", ".join(f"'{edit.path}'" for edit in edits)
    return f"cannot edit {names} in {old.source} safely"


def _refuse_side_effects(old: Document, new: Document, edits: Sequence[Edit], failure: str) -> None:
    before, after = leaves(old), leaves(new)
    edited = [_names(parse_path(edit.path, old.source)) for edit in edits]
    touched = [
        path
        for path in {**before, **after}
        if before.get(path) != after.get(path) and not _belongs(_names(path), edited, before.get(path))
    ]
    if touched:
        others = ", ".join(f"'{format_path(path)}'" for path in touched[:5])
        shares = old.root is not None and any(node.kind == "alias" for node in walk(old.root))
        raise ConfigFileError(f"{failure}: {others} would change too{_SHARED if shares else ''}")


def _names(path: _Path) -> tuple[str, ...]:
    return tuple(map(str, path))


def _belongs(path: tuple[str, ...], edited: list[tuple[str, ...]], before: _Raw | None) -> bool:
    """Whether an edit accounts for this change: at or below its path, or an empty value filled above it."""
    for target in edited:
        if path[: len(target)] == target:
            return True
        if target[: len(path)] == path and before in (("null",), ("mapping",)):
            return True
    return False


def leaves(document: Document) -> dict[_Path, _Raw]:
    """Every value of the document as written, by path, with aliases and merge keys followed."""
    return dict(_leaves(document.root, ())) if document.root else {}


def _leaves(node: Node, path: _Path) -> Iterator[tuple[_Path, _Raw]]:
    node = node.resolved
    if node.kind == "mapping" and node.entries:
        counts: Counter[str] = Counter()
        for name, value in _named_entries(node):
            counts[name] += 1
            # A key that stands twice would hide its first value from the comparison.
            key = name if counts[name] == 1 else f"{name} (again {counts[name]})"
            yield from _leaves(value, (*path, key))
    elif node.kind == "sequence" and node.items:
        for index, item in enumerate(node.items):
            yield from _leaves(item, (*path, index))
    elif node.is_null:
        yield path, ("null",)
    else:
        written = (node.tag or "", node.style, node.value) if node.kind == "scalar" else ()
        yield path, (node.kind, *written)


def _named_entries(node: Node) -> Iterator[tuple[str, Node]]:
    for entry in (*node.entries, *merged_entries(node)):
        if not entry.is_merge:
            yield entry.name if entry.name is not None else "(a key that is no single value)", entry.value
    for source in merge_sources(node):
        if source.kind != "mapping":  # which no loader merges: a change to it or from it must show
            yield "<<", source
