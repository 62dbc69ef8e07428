import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.core.errors import ConfigFileError
from preflight.emit.read import value_at
from preflight.emit.yaml_span import find, locate
from preflight.emit.yaml_tree import parse


def content(text: str, path: str) -> str:
    document = parse(text, "x.yaml")
    node = find(document, path).node
    assert node is not None
    return document.content(node)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("a: 1\n", "a", "1"),
        ("a: &x !!float 1  # c\n", "a", "1"),
        ("a: !!float\n  # between\n  &x 1\n", "a", "1"),
        ("\ufeffä: {ö: 'ü'}\n", "ä.ö", "'ü'"),
        ("😀: 1\r\nb: 22\r\n", "b", "22"),
        ("a: &x 1\nb: *x\n", "b", "*x"),
        ("a:\nb: 1\n", "a", ""),
        ("a: &x\nb: 1\n", "a", ""),
        ("a: |\n  x\n\n  y\n\n\nb: 1\n", "a", "|\n  x\n\n  y"),
        ("a:\n  b: 1\n  c:\n  - 2\n\n# tail\nd: 1\n", "a", "b: 1\n  c:\n  - 2"),
        ("a: [1, 2 ]  # c\n", "a", "[1, 2 ]"),
        ("a: [b: 1 , c]\n", "a[0]", "b: 1"),
        ("? a\n: 1\n", "a", "1"),
        ("? a\n# c\n\n? b\n", "b", ""),
        ("1: x\ntrue: y\n", "1", "x"),
        ("1: x\ntrue: y\n", "true", "y"),
        ('"a.b": 1\n', '"a.b"', "1"),
        ("a:\n- b: 1\n- b: 2\n", "a.1.b", "2"),
        ("{a: 1}: x\nb: 2\n", "b", "2"),
    ],
)
def test_span_of_a_value(text: str, path: str, expected: str) -> None:
    assert content(text, path) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "a: 1\n  b: 2\n",
            "x.yaml is not valid YAML at line 2, column 4: mapping values are not allowed here",
        ),
        ("a: [1\n", "x.yaml is not valid YAML at line 2, column 1: expected ',' or ']'"),
        ("a: 1\nb: \x07\n", r"x.yaml is not valid YAML at line 2, column 4: '\x07' is not allowed"),
        ("a: 1\n---\nb: 1\n", "x.yaml holds more than one YAML document, the second from line 2 on"),
        ("- 1\n", "x.yaml must hold keys and values at its top level, got a sequence"),
        ("word\n", "x.yaml must hold keys and values at its top level, got a scalar"),
        ("a: " + "[" * 3000 + "]" * 3000, "x.yaml is nested too deeply"),
        ("a: 1\nb: *x\n", "x.yaml, line 2: alias *x has no anchor before it"),
        ("a: &x\n  b: *x\n", "x.yaml, line 2: alias *x refers to what contains it"),
    ],
)
def test_unusable_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigFileError) as error:
        parse(text, "x.yaml")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (
            "optim: {lr: 1, wd: 2}\n",
            "optim.lrr",
            "x.yaml has no 'optim.lrr': no key 'lrr' in 'optim'; did you mean 'lr'? known: lr, wd",
        ),
        ("a: 1\n", "b.c", "x.yaml has no 'b.c': no key 'b'; known: a"),
        ("# nothing\n", "b", "x.yaml has no 'b': no key 'b'; known: (none)"),
        ("a:\n", "a.b", "x.yaml has no 'a.b': no key 'b' in 'a'; known: (none)"),
        ("d: &d {x: 1}\nt: {<<: *d, y: 2}\n", "t.z", "no key 'z' in 't'; known: x, y"),
        ("a: 1\n", "a.b", "x.yaml: cannot follow 'a.b': 'a' is the single value 1, which has no keys"),
        ("a: [1, 2]\n", "a[2]", "cannot follow 'a[2]': 'a' is a list of 2, so '2' is not in it; known: 0, 1"),
        ("a: [1, 2]\n", "a.b", "cannot follow 'a.b': 'a' is a list of 2, so 'b' is not in it; known: 0, 1"),
        ("a: {b: 1}\n", "a[0]", "'a' is a mapping, not a list, so [0] is not in it; known: b"),
        (
            "a: {b: 1}\nc: 1\na: {b: 2}\n",
            "a.b",
            "x.yaml: cannot follow 'a.b': 'a' stands more than once (lines 1, 3); keep one of them",
        ),
    ],
)
def test_paths_that_lead_nowhere(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigFileError) as error:
        find(parse(text, "x.yaml"), path)
    assert reason in str(error.value)


def test_duplicate_keys_elsewhere_do_not_matter() -> None:
    assert content("a: 1\nb: 2\nb: 3\n", "a") == "1"


@settings(deadline=None)
@given(st.lists(st.sampled_from([*"\n\n  abx:-?&*!|>[]{},#'\"%~", ": ", "- ", "? ", "<<: ", "*a", "&a ", "!!int "])))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    try:
        document = parse("".join(parts), "x.yaml")
        value_at(document, "a.b")
    except ConfigFileError as error:
        assert "x.yaml" in str(error)


def test_a_value_behind_an_alias_or_merge_key_says_so() -> None:
    document = parse("d: &d {x: {y: 1}}\nt: *d\nu: {<<: *d}\n", "x.yaml")
    through_alias, through_merge = locate(document, "t.x.y"), locate(document, "u.x.y")
    assert through_alias.detour is not None
    assert (through_alias.detour.kind, through_alias.detour.depth) == ("alias", 0)
    assert through_merge.detour is not None
    assert (through_merge.detour.kind, through_merge.detour.depth) == ("merge", 1)
    assert locate(document, "u.x").is_inherited
    assert not through_merge.is_inherited
    assert locate(document, "t").detour is None
