"""Finding the node that a path leads to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from preflight.core.errors import ConfigFileError, alternatives
from preflight.emit.path import Segment, format_path, parse_path
from preflight.emit.yaml_tree import Document, Entry, Node, merged_entries


@dataclass(frozen=True)
class Detour:
    """The first alias or merge key on the way, at segment ``depth``: what lies behind it is shared."""

    kind: Literal["alias", "merge"]
    depth: int
    anchor: str


@dataclass(frozen=True)
class Place:
    """Where a path leads.

    ``node`` is what stands there (possibly an alias), or None, and then ``missing`` are the segments that
    the last of ``parents`` lacks. ``parents`` are the nodes passed, the root first, aliases followed; the
    last one may be an empty value or an interpolation, which has no keys yet. ``keys`` are the keys and
    indexes found, and ``entry`` holds the last of them, None in a list.
    """

    path: tuple[Segment, ...]
    parents: tuple[Node, ...]
    keys: tuple[Node | int, ...]
    node: Node | None = None
    entry: Entry | None = None
    missing: tuple[Segment, ...] = ()
    detour: Detour | None = None

    @property
    def in_flow(self) -> bool:
        """Whether the place is inside of brackets or braces."""
        return any(parent.flow for parent in self.parents)

    @property
    def is_inherited(self) -> bool:
        """Whether the value comes only through ``<<`` into the very mapping that would hold its key."""
        detour = self.detour
        return detour is not None and detour.kind == "merge" and detour.depth == len(self.path) - 1

    @property
    def interpolation(self) -> Node | None:
        """The interpolation that the path would have to go through."""
        stop = self.parents[-1] if self.missing and self.parents else None
        return stop if stop is not None and stop.is_interpolation else None


def locate(document: Document, path: str) -> Place:
    """Follow ``path`` as far as it goes; a missing key is a Place with ``missing`` segments.

    Raises ConfigFileError where the path cannot be continued: through a scalar, past the end of a list, with
    a word into a list, or where its key stands twice in one mapping.
    """
    return _Walk(document, parse_path(path, document.source)).go()


def find(document: Document, path: str) -> Place:
    """Like :func:`locate`, but a missing key is a ConfigFileError that lists the keys of that level."""
    place = locate(document, path)
    if place.missing and place.interpolation is None:
        raise missing_key(document, place)
    return place


def missing_key(document: Document, place: Place) -> ConfigFileError:
    """The error for a key that is not there: what was found of the path, and the keys known at that level."""
    depth = len(place.path) - len(place.missing)
    above = format_path(place.path[:depth])
    within = f" in '{above}'" if above else ""
    known = alternatives(str(place.missing[0]), _key_names(place.parents[-1]) if place.parents else ())
    wanted = format_path(place.path)
    hint = "; a key is inserted only where its section is there already" if len(place.missing) > 1 else ""
    return ConfigFileError(f"{document.source} has no '{wanted}': no key '{place.missing[0]}'{within}; {known}{hint}")


def _key_names(node: Node) -> Iterable[str]:
    entries = (*(entry for entry in node.entries if not entry.is_merge), *merged_entries(node))
    return [entry.name for entry in entries if entry.name is not None]


class _Walk:
    """One pass down the tree, along one path."""

    def __init__(self, document: Document, path: tuple[Segment, ...]) -> None:
        self._document = document
        self._path = path
        self._parents: list[Node] = []
        self._keys: list[Node | int] = []
        self._entry: Entry | None = None
        self._detour: Detour | None = None

    def go(self) -> Place:
        node = self._document.root
        if node is None:
            return self._place(None, self._path)
        for depth, segment in enumerate(self._path):
            here = self._enter(node, depth)
            child = self._child(here, segment, depth)
            if child is None:
                return self._place(None, self._path[depth:])
            node = child
        return self._place(node, ())

    def _place(self, node: Node | None, missing: tuple[Segment, ...]) -> Place:
        return Place(self._path, tuple(self._parents), tuple(self._keys), node, self._entry, missing, self._detour)

    def _enter(self, node: Node, depth: int) -> Node:
        if node.kind == "alias" and self._detour is None:
            self._detour = Detour("alias", depth - 1, node.anchor or "")
        self._parents.append(node.resolved)
        return node.resolved

    def _child(self, here: Node, segment: Segment, depth: int) -> Node | None:
        if here.kind == "mapping":
            return self._value(here, segment, depth)
        if here.kind == "sequence":
            return self._item(here, segment, depth)
        if here.is_null or here.is_interpolation:
            return None
        raise self._blocked(depth, f"is the single value {self._document.content(here)}, which has no keys")

    def _value(self, here: Node, segment: Segment, depth: int) -> Node | None:
        if isinstance(segment, int):
            known = alternatives(str(segment), _key_names(here))
            raise self._blocked(depth, f"is a mapping, not a list, so [{segment}] is not in it; {known}")
        own = [e for e in here.entries if e.name == segment and not e.is_merge]
        if len(own) > 1:
            lines = ", ".join(str(self._document.text.count("\n", 0, e.key.start) + 1) for e in own)
            raise self._blocked(depth + 1, f"stands more than once (lines {lines}); keep one of them")
        entry = own[0] if own else self._inherited(here, segment, depth)
        if entry is not None:
            self._entry = entry
            self._keys.append(entry.key)
        return entry.value if entry else None

    def _inherited(self, here: Node, segment: str, depth: int) -> Entry | None:
        entry = next((entry for entry in merged_entries(here) if entry.name == segment), None)
        if entry is not None and self._detour is None:
            self._detour = Detour("merge", depth, "<<")
        return entry

    def _item(self, here: Node, segment: Segment, depth: int) -> Node:
        index = int(segment) if isinstance(segment, int) or segment.isdecimal() else None
        if index is None or index >= len(here.items):
            count = len(here.items)
            known = alternatives(str(segment), [str(number) for number in range(min(count, 20))])
            raise self._blocked(depth, f"is a list of {count}, so '{segment}' is not in it; {known}")
        self._entry = None
        self._keys.append(index)
        return here.items[index]

    def _blocked(self, depth: int, reason: str) -> ConfigFileError:
        wanted, here = format_path(self._path), format_path(self._path[:depth])
        return ConfigFileError(f"{self._document.source}: cannot follow '{wanted}': '{here}' {reason}")
