"""Random configs in the styles people write: one edit changes one value and not a byte besides."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from preflight.core.edit import MISSING, Edit, Value
from preflight.emit.patch import apply
from preflight.emit.path import Segment, format_path
from preflight.emit.read import same_value, value_at
from preflight.emit.yaml_span import find
from preflight.emit.yaml_tree import Document, Node, parse

NOTE = re.compile(r"  # preflight: [^\r\n]*")

plain = [
    "1",
    "-3",
    "1_000",
    "0.1",
    "3e-4",
    "1.0E-8",
    "1e5",
    ".inf",
    "yes",
    "Off",
    "~",
    "null",
    "",
    "adamw",
    "a/b.c",
]
quoted = ['"relu"', "'it''s'", '"# no comment"', "'${x'", '"a: b"', "''", '"ü😀"', "!!str 1", "&a5 5"]
keys = st.sampled_from(["lr", "optim", "data", "weight decay", "x.y", "'on'", '"7"', "größe", "3", "steps", "k9"])
comments = st.sampled_from(["", "", "", "  # note", " # tab\tin it", "   # ünï 😀", "  # a: [b, {c"])
words = st.text(max_size=12).filter(lambda text: "${" not in text)
scalars = words | st.integers() | st.floats() | st.booleans() | st.none()
flat = scalars | st.lists(scalars, max_size=3)
values = flat | st.dictionaries(words, flat, max_size=3)


@dataclass
class Config:
    """Text under construction, with the paths of its values and of its mappings."""

    lines: list[str] = field(default_factory=list)
    leaves: list[tuple[Segment, ...]] = field(default_factory=list)
    mappings: list[tuple[Segment, ...]] = field(default_factory=lambda: [()])


def name(key: str) -> str:
    loaded = yaml.load(key, Loader=yaml.BaseLoader)
    assert isinstance(loaded, str)
    return loaded


class Writer:
    """Draws a config line by line."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.config = Config()
        self.scalars = 0
        self.step = draw(st.sampled_from([2, 4]))

    def scalar(self, *, flow: bool = False) -> str:
        choices = [text for text in plain + quoted if text] if flow else plain + quoted
        text = self.draw(st.sampled_from(choices))
        self.scalars += 1
        return text.replace("&a5", f"&a{self.scalars}")  # PyYAML wants anchors to differ

    def line(self, text: str) -> None:
        if self.draw(st.integers(0, 9)) == 0:
            self.config.lines.append(self.draw(st.sampled_from(["", "# a comment: [", "      # deep"])))
        self.config.lines.append(text + self.draw(comments))

    def mapping(self, path: tuple[Segment, ...], indent: int, lead: str = "") -> None:
        for key in self.draw(st.lists(keys, min_size=1, max_size=4, unique_by=name)):
            self.entry((*path, name(key)), indent, f"{lead or ' ' * indent}{key}:")
            lead = ""

    def entry(self, path: tuple[Segment, ...], indent: int, head: str) -> None:
        kind = self.draw(st.sampled_from(["scalar"] * 3 + ["flow", "mapping", "list"]))
        if kind == "mapping" and indent < 12:
            self.config.mappings.append(path)
            self.line(head)
            self.mapping(path, indent + self.step)
        elif kind == "list" and indent < 12:
            self.line(head)
            self.items(path, indent + self.draw(st.sampled_from([0, self.step])))
        elif kind == "flow":
            self.line(f"{head} {self.flow(path, 2)}")
        else:
            self.config.leaves.append(path)
            self.line(f"{head} {self.scalar()}".rstrip())

    def items(self, path: tuple[Segment, ...], indent: int) -> None:
        for index in range(self.draw(st.integers(1, 3))):
            place = (*path, index)
            if self.draw(st.booleans()):
                self.config.leaves.append(place)
                self.line(f"{' ' * indent}- {self.scalar()}".rstrip())
            else:
                self.config.mappings.append(place)
                self.mapping(place, indent + 2, f"{' ' * indent}- ")

    def flow(self, path: tuple[Segment, ...], depth: int) -> str:
        if depth == 0 or self.draw(st.booleans()):
            self.config.leaves.append(path)
            return self.scalar(flow=True)
        if self.draw(st.booleans()):
            count = self.draw(st.integers(0, 2))
            self.config.leaves += [] if count else [path]
            return f"[{', '.join(self.flow((*path, index), depth - 1) for index in range(count))}]"
        self.config.mappings.append(path)
        drawn = self.draw(st.lists(keys, max_size=3, unique_by=name))
        self.config.leaves += [] if drawn else [path]
        inner = ", ".join(f"{key}: {self.flow((*path, name(key)), depth - 1)}" for key in drawn)
        return "{" + self.draw(st.sampled_from(["", " "])) + inner + "}"


@dataclass
class Text:
    """A finished config."""

    text: str
    leaves: list[tuple[Segment, ...]]
    mappings: list[tuple[Segment, ...]]


@st.composite
def configs(draw: st.DrawFn) -> Text:
    writer = Writer(draw)
    writer.mapping((), 0)
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    head = draw(st.sampled_from(["", "", "\ufeff", "# head\n---\n", "%YAML 1.1\n---\n"]))
    tail = draw(st.sampled_from(["", "\n", "\n\n# tail\n", "\n...\n"]))
    config = writer.config
    text = head + "\n".join(config.lines) + tail
    return Text(text.replace("\n", newline), config.leaves, config.mappings)


def others(text: str, config: Text, edited: tuple[Segment, ...]) -> dict[str, Any]:
    document = parse(text, "x.yaml")
    paths = [format_path(path) for path in config.leaves if path != edited[: len(path)]]
    return {path: value_at(document, path) for path in paths if not is_unfinished(document, path)}


def node_at(document: Document, path: str) -> Node:
    node = find(document, path).node
    assert node is not None
    return node


def is_unfinished(document: Document, path: str) -> bool:
    return "${x" in document.content(node_at(document, path))


def loaded_by_both(text: str) -> list[Any]:
    """Whole files as the two loaders see them; OmegaConf cannot load an unfinished interpolation."""
    whole = [yaml.safe_load(text)]
    return whole if "${" in text else [*whole, OmegaConf.to_container(OmegaConf.create(text))]


def descend(loaded: Any, path: tuple[Segment, ...]) -> Any:
    for segment in path:
        # Keys are text in a path and may be a number in the file.
        loaded = loaded[segment if isinstance(segment, int) or segment in loaded else int(segment)]
    return loaded


@settings(deadline=None, max_examples=60)
@given(configs(), st.data(), values, words)
def test_one_edit_changes_one_span_and_adds_one_comment(
    config: Text, data: st.DataObject, new: Value, why: str
) -> None:
    text, path = config.text, data.draw(st.sampled_from(config.leaves))
    dotted, before = format_path(path), parse(text, "x.yaml")
    if is_unfinished(before, dotted):
        return
    if node_at(before, dotted).tag is not None:
        new = "a text, as its tag says"
    old = value_at(parse(text, "x.yaml"), dotted)
    after = apply(text, [Edit(dotted, old, new, why)], source="x.yaml")
    if same_value(old, new):
        assert after == text
        return
    assert same_value(value_at(parse(after, "x.yaml"), dotted), new)
    assert others(after, config, path) == others(text, config, path)
    for loaded in loaded_by_both(after):
        assert same_value(descend(loaded, path), new)
    without = NOTE.sub("", after, count=1)
    old_node, new_node = node_at(before, dotted), node_at(parse(without, "x.yaml"), dotted)
    assert without[: new_node.start].rstrip(" ") == text[: old_node.start].rstrip(" ")
    assert without[new_node.end :].lstrip(" ") == text[old_node.end :].lstrip(" ")


@settings(deadline=None, max_examples=60)
@given(configs(), st.data(), values, st.lists(words, min_size=1, max_size=2))
def test_one_insertion_removes_nothing(config: Text, data: st.DataObject, new: Value, names: list[str]) -> None:
    text = config.text
    path = (*data.draw(st.sampled_from(config.mappings)), *(f"new{name}" for name in names))
    dotted = format_path(path)
    after = apply(text, [Edit(dotted, MISSING, new, "why")], source="x.yaml")
    assert same_value(value_at(parse(after, "x.yaml"), dotted), new)
    assert others(after, config, path) == others(text, config, path)
    for loaded in loaded_by_both(after):
        assert same_value(descend(loaded, path), new)
    without = NOTE.sub("", after, count=1)
    head = next((i for i, (a, b) in enumerate(zip(text, without, strict=False)) if a != b), len(text))
    assert without.endswith(text[head:])
    assert len(without) > len(text)
