"""A YAML document as a tree of nodes that know their place in the text.

Built from parse events and not from ``yaml.compose``, because only there an alias has marks of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import yaml
import yaml.reader

from preflight.core.errors import ConfigFileError
from preflight.emit.lines import BREAKS

Kind: TypeAlias = Literal["scalar", "alias", "mapping", "sequence"]

_PROPERTY = re.compile(r"&[^\s,\[\]{}]+|!\S*")
_GAP = re.compile(rf"(?:\s|#[^{BREAKS}]*)*")
_COLON = re.compile(r"\s*:")
_NULL = re.compile(r"(?:~|null|Null|NULL)?")


@dataclass(frozen=True, eq=False)
class Node:
    """One value: its span ``[start, end)`` excludes the anchor and tag, which begin at ``outer``.

    A block collection ends with its last child, and a block scalar before the empty lines that follow it;
    ``tail`` is where the parser itself stopped. ``anchor`` of an alias is the name that it refers to.
    """

    kind: Kind
    outer: int
    start: int
    end: int
    tail: int
    column: int
    flow: bool = False
    value: str = ""
    style: str = ""
    anchor: str | None = None
    tag: str | None = None
    entries: tuple[Entry, ...] = ()
    items: tuple[Node, ...] = ()
    target: Node | None = None

    @property
    def resolved(self) -> Node:
        """The node itself, or what an alias stands for."""
        return self.target or self

    @property
    def is_plain(self) -> bool:
        """Whether this is a scalar without quotes and without a tag, so that its text decides its type."""
        return self.kind == "scalar" and not self.style and self.tag is None

    @property
    def is_null(self) -> bool:
        """Whether this is nothing at all, ``~`` or ``null``."""
        return self.is_plain and _NULL.fullmatch(self.value) is not None

    @property
    def is_interpolation(self) -> bool:
        """Whether this is text with ``${`` in it, which OmegaConf replaces."""
        return self.kind == "scalar" and "${" in self.value


@dataclass(frozen=True, eq=False)
class Entry:
    """A key and its value; ``colon`` is the index after the colon, None where the key stands alone."""

    key: Node
    value: Node
    colon: int | None

    @property
    def name(self) -> str | None:
        """The key as written, or as written where its alias leads; None where it is no single value."""
        key = self.key.resolved
        return key.value if key.kind == "scalar" else None

    @property
    def is_merge(self) -> bool:
        """Whether this is ``<<: *other``."""
        return self.key.is_plain and self.key.value == "<<"


@dataclass(frozen=True, eq=False)
class Document:
    """A parsed file: ``root`` is None where it has no content; content would then be put at ``body_end``."""

    text: str
    source: str
    root: Node | None
    body_end: int

    def content(self, node: Node) -> str:
        """What stands in the file for ``node``, without its anchor and tag."""
        return self.text[node.start : node.end]


def merge_sources(node: Node) -> Iterator[Node]:
    """What ``mapping`` is merged with through ``<<``, nearest source first."""
    for entry in reversed(node.entries):
        if entry.is_merge:
            given = entry.value.resolved
            yield from (item.resolved for item in (given.items if given.kind == "sequence" else (given,)))


def merged_entries(node: Node) -> Iterator[Entry]:
    """Entries that ``mapping`` gets through ``<<`` and does not override, nearest source first."""
    seen = {entry.name for entry in node.entries}
    for source in merge_sources(node):
        own = [entry for entry in source.entries if not entry.is_merge]
        for entry in (*own, *merged_entries(source)):
            if entry.name not in seen:
                seen.add(entry.name)
                yield entry


def walk(node: Node) -> Iterator[Node]:
    """Every node that is written below and at ``node``, keys included and aliases not followed."""
    yield node
    for entry in node.entries:
        yield from walk(entry.key)
        yield from walk(entry.value)
    for item in node.items:
        yield from walk(item)


def parse(text: str, source: str) -> Document:
    """Read one YAML document whose root is a mapping.

    Raises ConfigFileError, which names ``source`` and the line and column, for anything else.
    """
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context
        raise ConfigFileError(f"{source} is not valid YAML{where}: {problem}") from None
    except yaml.reader.ReaderError as error:
        at = error.position
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        raise ConfigFileError(
            f"{source} is not valid YAML at line {line}, column {column}: {text[at]!r} is not allowed"
        ) from None
    try:
        return _document(events, text, source)
    except RecursionError:
        raise ConfigFileError(f"{source} is nested too deeply to be a config") from None


def _document(events: list[yaml.Event], text: str, source: str) -> Document:
    starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
    if len(starts) > 1:
        line = _mark(starts[1].start_mark).line + 1
        raise ConfigFileError(f"{source} holds more than one YAML document, the second from line {line} on")
    ends = [event for event in events if isinstance(event, yaml.DocumentEndEvent) and event.explicit]
    body_end = _mark(ends[0].start_mark).index if ends else len(text)
    root = _Builder(events[2:-2], text, source).build() if starts else None
    if root is not None and root.is_plain and root.value == "":
        root = None
    if root is not None and root.kind != "mapping":
        raise ConfigFileError(f"{source} must hold keys and values at its top level, got a {root.kind}")
    return Document(text, source, root, body_end)


def _mark(mark: object) -> yaml.Mark:
    assert isinstance(mark, yaml.Mark)
    return mark


class _Builder:
    """Recursive descent over the events of one document."""

    def __init__(self, events: list[yaml.Event], text: str, source: str) -> None:
        self._events = iter(events)
        self._text = text
        self._source = source
        # None while the anchored node is still being read, so that an alias to its own ancestor shows.
        self._anchors: dict[str, Node | None] = {}

    def build(self) -> Node:
        return self._node(next(self._events))

    def _node(self, event: yaml.Event) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(event)
        else:
            node = self._sequence(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        start, end = _mark(event.start_mark), _mark(event.end_mark)
        target = self._anchors.get(event.anchor or "")
        if target is None:
            unfinished = event.anchor in self._anchors
            problem = "refers to what contains it" if unfinished else "has no anchor before it"
            raise ConfigFileError(f"{self._source}, line {start.line + 1}: alias *{event.anchor} {problem}")
        index = start.index
        return Node("alias", index, index, end.index, end.index, start.column, anchor=event.anchor, target=target)

    def _content_start(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> int:
        at = _mark(event.start_mark).index
        for _ in range((event.anchor is not None) + (event.tag is not None)):
            found = _PROPERTY.match(self._text, at)
            gap = _GAP.match(self._text, found.end()) if found else None
            at = gap.end() if gap else at
        return at

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        outer, tail = _mark(event.start_mark), _mark(event.end_mark).index
        start = min(self._content_start(event), tail)
        is_block = event.style in ("|", ">")
        end = start + len(self._text[start:tail].rstrip(BREAKS)) if is_block else tail
        style = event.style or ""
        return Node(
            "scalar", outer.index, start, end, tail, outer.column,
            value=event.value, style=style, anchor=event.anchor, tag=event.tag,
        )  # fmt: skip

    def _collection(self, event: yaml.CollectionStartEvent, kind: Kind) -> Node:
        outer, start = _mark(event.start_mark), self._content_start(event)
        return Node(
            kind, outer.index, start, start, start, outer.column,
            flow=bool(event.flow_style), anchor=event.anchor, tag=event.tag,
        )  # fmt: skip

    def _end(self, node: Node, event: yaml.CollectionEndEvent, last: int) -> int:
        # Without a bracket the parser ends a collection at the next token, which may be lines away.
        is_bracketed = node.flow and self._text[node.start] in "{["
        return _mark(event.end_mark).index if is_bracketed else last

    def _mapping(self, event: yaml.MappingStartEvent) -> Node:
        entries: list[Entry] = []
        while not isinstance(ahead := next(self._events), yaml.MappingEndEvent):
            key = self._node(ahead)
            entries.append(self._entry(key, self._node(next(self._events))))
        node = self._collection(event, "mapping")
        end = self._end(node, ahead, entries[-1].value.end if entries else node.start)
        anchored = node.outer != node.start and bool(entries)  # an anchor may stand on the line above
        column = entries[0].key.column if anchored else node.column
        return replace(node, end=end, tail=end, column=column, entries=tuple(entries))

    def _entry(self, key: Node, value: Node) -> Entry:
        found = _COLON.match(self._text, key.end)
        if found is None and value.outer == value.tail and value.is_plain:
            # The parser puts a value that is not there before the next token, which may be lines away.
            value = replace(value, outer=key.end, start=key.end, end=key.end, tail=key.end)
        return Entry(key, value, found.end() if found else None)

    def _sequence(self, event: yaml.CollectionStartEvent) -> Node:
        items: list[Node] = []
        while not isinstance(ahead := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(ahead))
        node = self._collection(event, "sequence")
        end = self._end(node, ahead, items[-1].end if items else node.start)
        return replace(node, end=end, tail=end, items=tuple(items))
