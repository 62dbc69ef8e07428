"""Configs as nobody should write them: an edit changes its value alone, as both loaders see it, or is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from preflight.core.edit import MISSING, Edit, Value
from preflight.core.errors import ConfigFileError
from preflight.emit.check import leaves
from preflight.emit.patch import apply
from preflight.emit.path import Segment, format_path
from preflight.emit.read import same_value, value_at
from preflight.emit.yaml_span import find
from preflight.emit.yaml_tree import Document, parse, walk

GOLDEN = Path(__file__).parent / "golden"
BASES = [
    "a: 1\nb:\n  c: 0.1  # c\n  d: [1, 2.5, x]\n",
    "d: &d {lr: 1, wd: 0.1}\na:\n  <<: *d\n  x: 1\nb: *d\n",
    "d: &d\n  lr: 1\ne: &e {lr: 2}\na:\n  <<: [*d, *e]\n  x: 1\n",
    "a: &x 1\nb: {c: *x, d: 2}\nlist:\n- *x\n- 3\n",
    "t: |\n  one\n   two\n\nu: >-\n  folded\n  text\n\nv: |+\n  keep\n\n\nw: 1\n",
    "x:\n  t: |2\n     indented\n  y: 1\n",
    "x: {\n  a: 1,  # c\n  b: [2,\n    3], # d\n  c: 'one\n    two'\n}\n",
    '{"a": {"b": 1}, "c": [1, {"d": null}]}',
    "groups:\n  - name: a  # c\n    lr: 0.1\n  -   lr: 0.2\n      wd: ~\n- \n".replace("- \n", ""),
    "g:\n- - 1\n  - b: 2\n-\n- {c: 3}\n",
    "'a b': 1\n\"c\\td\": 2\n? e\n: 3\n? [x, y]\n: 4\n? |\n  f\n: 5\n",
    "a: 1\nb: ${a}\nc: ${b}/x\nd: {e: ${a}, f: '${.e}'}\n",
    'a: one\n  two\nb: "x\n\n  y"\nc: 1\n',
    "%YAML 1.1\n---\na: 1  # c\n# end\n...\n",
    "\ufeffa: 1\r\nb:\r\n  c: ü  # ö\r\n\r\n# tail",
    "a:\nb: ~\nc: null  # n\nd:  # to do\n  # e: 1\nf: ''\n",
    "a: !!float 1\nb: !!str 2\nc: &k !!int 3\nd: ! x\ne: !mine {f: 1}\n",
    "on: 1\n7: 2\n1.5: 3\nnull: 4\n'8': 5\n",
    "a: yes\nb: 1_000\nc: 0x1F\nd: 1:30\ne: 2020-01-01\nf: .inf\ng: 1e3\nh: ???\n",
    "",
    "# nothing but this",
    *((folder / "before.yaml").read_bytes().decode() for folder in sorted(GOLDEN.iterdir()) if folder.is_dir()),
]
SPLINTERS = [
    *"\t\n#:-,?|>'\"{}[]&*!%@`~<=",
    *["\r\n", "\r", "  ", " #", ": ", "- ", "&a ", "*a", "<<: *d\n", "|\n", ">-\n", "---\n", "...\n", "${", "!!str "],
    *["\ufeff", "\u2028", "\x85", "\xa0", "ü", "😀", "null", "a: 1\n", "\n\n", "\\"],
]  # fmt: skip
NEW: list[Value] = [2, 0.003, -1.0e-7, True, None, "adamw", "a: b #", "it's", "", [1, 2.0], {"kind": "x", "c": [0.5]}]
NOTE_ABOVE = re.compile("(?:^|[\r\n\x85\u2028\u2029])\ufeff?[ \t]*# preflight: ")
NOTE = re.compile("  # preflight: [^\r\n\x85\u2028\u2029]*")


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A config in one of many styles, broken in up to three places."""
    text = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        until = at + draw(st.sampled_from([0, 0, 0, 1, 2, 5]))
        text = text[:at] + draw(st.sampled_from([*SPLINTERS, ""])) + text[until:]
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\n", "\r\n"])))


def parsed(text: str) -> Document:
    try:
        return parse(text, "x.yaml")
    except ConfigFileError as error:
        assert "\n" not in str(error)
        assume(False)
        raise


def places(document: Document) -> list[tuple[Segment, ...]]:
    """Paths of all values, of what holds them, and of keys that are not there."""
    found = list(leaves(document))
    above = {path[:depth]: None for path in found for depth in range(len(path))}
    return [*found, *(path for path in above if path), *((*path, "new") for path in {**above, (): None})]


def as_pyyaml(text: str) -> Any:
    return yaml.safe_load(text)


def as_omegaconf(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text))


def loaded(load: Callable[[str], Any], text: str) -> Any:
    """A tree that shares nothing, whatever the aliases; None where the loader refuses the file."""
    try:
        return unshared(load(text))
    except Exception:
        return None


def unshared(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: unshared(value) for key, value in tree.items()}
    return [unshared(value) for value in tree] if isinstance(tree, list) else tree


def changed(tree: Any, path: tuple[Segment, ...], value: Value) -> Any:
    """``tree`` with the value at ``path``; an empty value on the way becomes a mapping."""
    if not path:
        return value
    head, *rest = path
    if isinstance(tree, list):
        index = int(head)
        return [*tree[:index], changed(tree[index], tuple(rest), value), *tree[index + 1 :]]
    tree = dict(tree or {})
    key = next((key for key in tree if repr(key) in (repr(head), repr(plain(str(head))))), head)
    return tree | {key: changed(tree.get(key), tuple(rest), value)}


def has_twins(document: Document) -> bool:
    """Whether a mapping has one key in two spellings, such as `on` and `yes` or 1, of which loaders see the last."""
    for node in walk(document.root) if document.root else ():
        names = [entry.name for entry in node.entries if entry.name is not None]
        if len({*map(plain, names)}) < len({*names}):
            return True
    return False


def plain(key: str) -> Any:
    """How a key without quotes is read: `on` and `7` are no text."""
    try:
        read = yaml.safe_load(key)
    except (yaml.YAMLError, ValueError):
        return key
    return key if isinstance(read, dict | list) else read


def same_tree(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return {*map(repr, one)} == {*map(repr, other)} and all(same_tree(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_tree, one, other))
    return same_value(one, other) or (type(one) is type(other) and one == other)


@settings(deadline=None, max_examples=300)
@given(texts(), st.data())
def test_an_edit_is_seen_by_both_loaders_and_nothing_else_is(text: str, data: st.DataObject) -> None:
    document = parsed(text)
    assume(not has_twins(document))
    path = data.draw(st.sampled_from(places(document)), label="path")
    new = data.draw(st.sampled_from(NEW), label="new")
    dotted = format_path(path)
    try:
        old = value_at(document, dotted)
        after = apply(text, [Edit(dotted, old, new, "why")], source="x.yaml")
    except ConfigFileError as error:
        assert "\n" not in str(error)
        return
    assert same_value(value_at(parse(after, "x.yaml"), dotted), new)
    if same_value(old, new):
        assert after == text
        return
    for load in (as_pyyaml, as_omegaconf):
        before = loaded(load, text)
        if before is not None or not text.strip():
            assert same_tree(loaded(load, after), changed(before, path, new))
    check_span(document, after, dotted, is_new=old is MISSING)


def check_span(document: Document, after: str, path: str, *, is_new: bool) -> None:
    """What stood before and behind a single value stands there still, and one comment more."""
    text = document.text
    if NOTE_ABOVE.search(after):
        return
    without = NOTE.sub("", after, count=1)
    if is_new:
        head = next((i for i, (a, b) in enumerate(zip(text, without, strict=False)) if a != b), len(text))
        # The characters around what is new may be the same as its own.
        assert any(without.endswith(text[at:]) for at in range(max(0, head - 2), head + 1)) or "null" in text[head:]
        return
    old = find(document, path)
    if old.node is None or old.node.kind != "scalar" or old.node.style in ("|", ">") or old.is_inherited:
        return
    new = find(parse(without, "x.yaml"), path).node
    assert new is not None
    assert without[: new.start].rstrip(" ") == text[: old.node.start].rstrip(" ")
    assert without[new.end :].lstrip(" ") == text[old.node.end :].lstrip(" ")


@settings(deadline=None, max_examples=100)
@given(texts())
def test_every_span_of_the_tree_lies_in_the_text_and_in_its_parent(text: str) -> None:
    document = parsed(text)
    for node in walk(document.root) if document.root else ():
        assert 0 <= node.outer <= node.start <= node.end <= node.tail <= len(text)
        for child in (*node.items, *(part for entry in node.entries for part in (entry.key, entry.value))):
            assert node.start <= child.outer
            assert child.end <= node.end


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n", "a: 1\nb: [\n", "- 1\n", "5\n", "a: *x\n", "a: \x00\n", "\t\n"])
def test_what_is_no_config_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigFileError) as error:
        apply(text, [Edit("a", 1, 2, "why")], source="x.yaml")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x.yaml")


def test_a_file_of_thousands_of_lines_is_edited_like_a_short_one() -> None:
    lines = [f"section{number}:\n  lr: 0.1  # c\n" for number in range(500)]
    edits = [Edit("section250.lr", 0.1, 0.2, "why"), Edit("section499.new", MISSING, 1, "why")]
    after = apply("".join(lines), edits, source="x.yaml")
    lines[250] = "section250:\n  lr: 0.2  # c  # preflight: was 0.1; why\n"
    lines[499] += "  new: 1  # preflight: new; why\n"
    assert after == "".join(lines)
