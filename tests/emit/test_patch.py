from pathlib import Path
from typing import Any

import pytest
import yaml

from preflight.core.edit import MISSING, Edit
from preflight.core.errors import ConfigFileError
from preflight.emit.patch import apply, diff


def change(text: str, path: str, old: Any, new: Any, why: str = "why") -> str:
    return apply(text, [Edit(path, old, new, why)], source="x.yaml")


def refusal(text: str, *edits: tuple[str, Any, Any]) -> str:
    with pytest.raises(ConfigFileError) as error:
        apply(text, [Edit(path, old, new, "why") for path, old, new in edits], source="x.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("a: 1\n", 1, 2, "a: 2  # preflight: was 1; why\n"),
        ("a:\n", None, 2, "a: 2  # preflight: was null; why\n"),
        ("a: \n", None, 2, "a: 2  # preflight: was null; why\n"),
        ("a:  # c\n", None, 2, "a: 2  # c  # preflight: was null; why\n"),
        ("a: &x\n", None, 2, "a: &x 2  # preflight: was null; why\n"),
        ("a:\n  1\n", 1, 2, "a:\n  2  # preflight: was 1; why\n"),
        ("a: &x !!float\n  1\n", 1.0, 2.5, "a: &x !!float\n  2.5  # preflight: was 1; why\n"),
        ("{a: }\n", None, 2, "{a: 2}  # preflight: was null; why\n"),
        ('{"a":1}', 1, 2, '{"a":2}  # preflight: was 1; why'),
        ("? a\n: 1\n", 1, 2, "? a\n: 2  # preflight: was 1; why\n"),
        ("a: 1   \n", 1, 2, "a: 2     # preflight: was 1; why\n"),
        ("a: 1\r\n", 1, 2, "a: 2  # preflight: was 1; why\r\n"),
        ("a: 1\u2028b: 1\n", 1, 2, "a: 2  # preflight: was 1; why\u2028b: 1\n"),
        ("a: |\nb: 1\n", "", "x", "a: x  # preflight: was ''; why\nb: 1\n"),
        ("a: >-\n  x", "x", "y", "a: y  # preflight: was x; why"),
        ("a: &x |\n  x\nb: 1\n", "x\n", "y", 'a: &x y  # preflight: was "x\\n"; why\nb: 1\n'),
        ("a: &x  # c\n  b: 1\n", {"b": 1}, [2], "a: &x [2]  # c  # preflight: was {b: 1}; why\n"),
        ("a: [1,  # c\n  2]\n", [1, 2], [3], "a: [3]  # preflight: was [1, 2]; why\n"),
    ],
)
def test_the_value_is_replaced_where_it_stands(before: str, old: Any, new: Any, after: str) -> None:
    assert change(before, "a", old, new) == after


def test_list_items_are_replaced() -> None:
    assert change("a:\n- b: 1  # c\n  d: 2\n- 3\n", "a[0]", {"b": 1, "d": 2}, {"b": 4}).startswith(
        "a:\n- {b: 4}  # preflight: was {b: 1, d: 2}; why\n- 3\n"
    )
    assert change("a:\n-\n- 1\n", "a[0]", None, 5) == "a:\n- 5  # preflight: was null; why\n- 1\n"
    assert change("a:\n- - 1\n  - 2\n", "a[0][1]", 2, 5) == "a:\n- - 1\n  - 5  # preflight: was 2; why\n"


def test_the_reason_is_one_printable_line() -> None:
    why = "  first\n\tsecond \x00\x1b[31m # third\u2028\u0085fourth "
    assert change("a: 1", "a", 1, 2, why) == "a: 2  # preflight: was 1; first second [31m # third fourth"
    assert change("a: 1", "a", 1, 2, " \n") == "a: 2  # preflight: was 1"


def test_a_long_old_value_is_cut_in_the_comment() -> None:
    text = change(f"a: {'x' * 100}\n", "a", "x" * 100, "y")
    assert text == f"a: y  # preflight: was {'x' * 57}...; why\n"


def test_a_note_that_cannot_stand_behind_goes_above() -> None:
    before = '\ufeff{a: "x\n  y", b: 1, c: "z\n  w"}\n'
    after = '\ufeff# preflight: b: was 1; why\n{a: "x\n  y", b: 2, c: "z\n  w"}\n'
    assert change(before, "b", 1, 2) == after


def test_the_old_value_may_be_an_equal_number() -> None:
    assert change("a: 1\n", "a", 1.0, 2.0) == "a: 2.0  # preflight: was 1; why\n"


@pytest.mark.parametrize(("text", "value"), [("3e-4", 3e-4), ("yes", True), ("~", None), (".nan", float("nan"))])
def test_a_value_that_is_there_already_changes_nothing(text: str, value: Any) -> None:
    before = f"a: {text}   # c\n"
    assert change(before, "a", value, value) == before
    assert change(before, "a", "as it was before the edit", value) == before


def test_an_equal_number_of_another_type_is_a_change() -> None:
    assert change("a: 1\n", "a", 1, 1.0) == "a: 1.0  # preflight: was 1; why\n"


@pytest.mark.parametrize(
    ("text", "edits", "reason"),
    [
        (
            "a: 1\n",
            [("a", 2, 3)],
            "x.yaml: 'a' is 1, but the edit was made for 2: the file has changed meanwhile",
        ),
        ("a: 1\n", [("a", True, 3)], "x.yaml: 'a' is 1, but the edit was made for true"),
        ("a: 1\n", [("a", MISSING, 3)], "'a' is 1, but the edit was made for a key that is not there"),
        ("lr: 1\n", [("lrr", 1, 3)], "x.yaml has no 'lrr': no key 'lrr'; did you mean 'lr'? known: lr"),
        ("a: 1\n", [("a", 1, 2), ("a", 1, 3)], "x.yaml: the edits of 'a' and 'a' overlap"),
        ("a: [1]\n", [("a[0]", 1, 2), ("a", [1], [3])], "x.yaml: the edits of 'a[0]' and 'a' overlap"),
        ("a: 1\n", [("a", 1, "${b}")], "cannot write '${b}' to 'a' in x.yaml: OmegaConf would read '${'"),
        ("{a, b: 1}\n", [("a", None, 2)], "cannot change 'a' in x.yaml: the key has no ':'; write 'a: null'"),
        (
            "a: &x 1\nb: *x\nc: {d: *x}\n",
            [("a", 1, 2)],
            "cannot edit 'a' in x.yaml safely: 'b', 'c.d' would change too, by an anchor or '<<'",
        ),
        (
            "a: &x {b: 1}\nc: {<<: [*x]}\n",
            [("a", {"b": 1}, 2)],
            "cannot edit 'a' in x.yaml safely: 'c.b', 'c.<<' would change too, by an anchor or '<<'",
        ),
        (
            "a: &x k\n*x : 1\n",
            [("a", "k", "j")],
            "cannot edit 'a' in x.yaml safely: 'k', 'j' would change too, by an anchor or '<<'",
        ),
        (
            "a: &x {b: 1}\nc: {<<: *x}\n",
            [("a.b", 1, 2)],
            "cannot edit 'a.b' in x.yaml safely: 'c.b' would change",
        ),
        ("a: &x {b: 1}\nc: *x\n", [("c.b", 1, 2)], "cannot change 'c.b' in x.yaml: 'c' is the alias *x"),
        (
            "a: &x {b: {d: 1}}\nc: {<<: *x}\n",
            [("c.b.d", 1, 2)],
            "cannot change 'c.b.d' in x.yaml: 'c.b' comes through '<<' as a whole",
        ),
        (
            "a: [&x 1]\nb: *x\n",
            [("a", [1], [2])],
            "in x.yaml safely: after the edit, x.yaml, line 2: alias *x has no anchor before it",
        ),
        (
            "a: !!int 1\n",
            [("a", 1, 0.5)],
            "cannot edit 'a' in x.yaml safely: x.yaml, line 1: cannot read !!int",
        ),
        (
            "a: !!str 1\n",
            [("a", "1", 5)],
            "cannot edit 'a' in x.yaml safely: 'a' would read '5' instead of 5",
        ),
        ("a: ${b.c}\n", [("a", 1, 5)], "x.yaml: cannot read 'a': 'a' is ${b.c}, which does not resolve"),
        (
            "b: {c: 1}\na: ${b}\n",
            [("a.c", 1, 5)],
            "cannot change 'a.c' in x.yaml: what would hold it is the interpolation ${b}; map the setting to",
        ),
    ],
)
def test_what_is_refused(text: str, edits: list[tuple[str, Any, Any]], reason: str) -> None:
    assert reason in refusal(text, *edits)


def test_an_anchor_may_change_where_its_aliases_are_overridden_or_edited_too() -> None:
    before = "a: &x {b: 1}\nc: {<<: *x, b: 5}\n"
    assert yaml.safe_load(change(before, "a.b", 1, 2)) == {"a": {"b": 2}, "c": {"b": 5}}
    edits = [Edit("a", 1, 2, ""), Edit("b", 1, 3, "")]
    assert yaml.safe_load(apply("a: &x 1\nb: *x\n", edits, source="x")) == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("before", "path", "new", "after"),
    [
        ("", "a.b", 1, "a:\n  b: 1  # preflight: new; why\n"),
        ("\ufeff", "a", 1, "\ufeffa: 1  # preflight: new; why\n"),
        ("# c", "a", 1, "# c\na: 1  # preflight: new; why"),
        ("---\n...\n", "a", 1, "---\na: 1  # preflight: new; why\n...\n"),
        ("{}\n", "a", 1, "{a: 1}  # preflight: new; why\n"),
        ("{b}\n", "a", 1, "{b, a: 1}  # preflight: new; why\n"),
        ("x: {b: 1,}\n", "x.a.c", 1, "x: {b: 1, a: {c: 1},}  # preflight: new; why\n"),
        ("x: 1\n", '"a.b"."1"', 1, "x: 1\na.b:\n  '1': 1  # preflight: new; why\n"),
        ("x: 1\n", "a", {}, "x: 1\na: {}  # preflight: new; why\n"),
        ("x: 1\n", "a", {"k": [1, "b, c"]}, "x: 1\na:  # preflight: new; why\n  k: [1, 'b, c']\n"),
        ("x: 1\n\n# tail\n", "a", 1, "x: 1\na: 1  # preflight: new; why\n\n# tail\n"),
        ("x: 1\n# tail\n", "a", 1, "x: 1\na: 1  # preflight: new; why\n# tail\n"),
        (
            "x:\n  y: 1\n\n  # z: 2\n# of w\nw: 1\n",
            "x.a",
            1,
            "x:\n  y: 1\n\n  # z: 2\n  a: 1  # preflight: new; why\n# of w\nw: 1\n",
        ),
        ("x:\n  y: 1\n  # z: 2\n", "a", 1, "x:\n  y: 1\n  # z: 2\na: 1  # preflight: new; why\n"),
        (
            "x:\n   y:\n      z: 1\n",
            "x.a.b",
            1,
            "x:\n   y:\n      z: 1\n   a:\n      b: 1  # preflight: new; why\n",
        ),
        ("x:\n- y: 1\n- z: 1\n", "x[0].a", 1, "x:\n- y: 1\n  a: 1  # preflight: new; why\n- z: 1\n"),
        ("x:\n-\n- z: 1\n", "x[0].a", 1, "x:\n- {a: 1}  # preflight: new; why\n- z: 1\n"),
        ("x: {y: }\n", "x.y.a", 1, "x: {y: {a: 1}}  # preflight: new; why\n"),
        ("? [b]\n: c: 2\n", "a", 1, "? [b]\n: c: 2\na: 1  # preflight: new; why\n"),
        ("x: &x\n  y: 1\n", "x.a", 1, "x: &x\n  y: 1\n  a: 1  # preflight: new; why\n"),
        ("x:\n  null\n", "x.a", 1, "x:\n  {a: 1}  # preflight: new; why\n"),
        ("x: &y null  # c\n", "x.a", 1, "x: &y  # c\n  a: 1  # preflight: new; why\n"),
        (
            "x:\n  y: |+\n    t\n\nz: 1\n",
            "x.a",
            1,
            "x:\n  y: |+\n    t\n\n  a: 1  # preflight: new; why\nz: 1\n",
        ),
        (
            "x:\n  y: |+\n    t\n\nz: 1\n",
            "x.y2",
            1,
            "x:\n  y: |+\n    t\n\n  y2: 1  # preflight: new; why\nz: 1\n",
        ),
    ],
)
def test_insertion(before: str, path: str, new: Any, after: str) -> None:
    edit = Edit(path, MISSING, new, "why")
    assert apply(before, [edit], source="x.yaml") == after


def test_insertions_into_one_mapping_keep_their_order() -> None:
    edits = [Edit("x.c", MISSING, 1, ""), Edit("x.a", MISSING, 2, ""), Edit("x.b", MISSING, 3, "")]
    after = "x:\n  y: 0\n  c: 1  # preflight: new\n  a: 2  # preflight: new\n  b: 3  # preflight: new\nz: 1\n"
    assert apply("x:\n  y: 0\nz: 1\n", edits, source="x.yaml") == after


def test_an_inherited_key_is_overridden_whether_or_not_the_edit_knew_it() -> None:
    before = "a: &x {b: 1}\nc:\n  <<: *x\n"
    after = f"{before}  b: 2  # preflight: was 1 through <<; why\n"
    assert change(before, "c.b", 1, 2) == after
    assert apply(before, [Edit("c.b", MISSING, 2, "why")], source="x.yaml") == after
    assert change(before, "c.b", 1, 1) == before


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("a: 1\n", "a", "x.yaml: 'a' is 1, but the edit was made for a key that is not there"),
        ("a: 1\n", "a.b", "x.yaml: cannot follow 'a.b': 'a' is the single value 1, which has no keys"),
        ("a: [1]\n", "a.b", "x.yaml: cannot follow 'a.b': 'a' is a list of 1, so 'b' is not in it"),
        ("a:\n", "a.b[0]", "cannot add 'a.b[0]' to x.yaml: there is no list to put an item into"),
        ("a: [b: 1]\n", "a[0].c", "cannot add 'a[0].c' to x.yaml: its mapping has no braces"),
        ("a: &x {b: 1}\nc: *x\n", "c.d", "cannot add 'c.d' to x.yaml: 'c' is an alias"),
        (
            "a: &x {b: {}}\nc: {<<: *x}\n",
            "c.b.d",
            "cannot add 'c.b.d' to x.yaml: 'c.b' is inherited through '<<'",
        ),
        ("a: &x {b: 1}\nc: *x\n", "a.d", "cannot edit 'a.d' in x.yaml safely: 'c.d' would change too"),
    ],
)
def test_insertions_that_are_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigFileError) as error:
        apply(text, [Edit(path, MISSING, 5, "why")], source="x.yaml")
    assert reason in str(error.value)


def test_diff_is_a_unified_diff() -> None:
    text = diff("a: 1\r\nb: \x0c2", "a: 2\r\nb: \x0c2", old_name="c.yaml", new_name="f.yaml")
    mark = "\\ No newline at end of file"
    assert text == f"--- c.yaml\n+++ f.yaml\n@@ -1,2 +1,2 @@\n-a: 1\r\n+a: 2\r\n b: \x0c2\n{mark}\n"
    assert diff("a: 1\n", "a: 1\n", old_name="c", new_name="f") == ""
    assert diff("", "a: 1\n", old_name="c", new_name="f").endswith("@@ -0,0 +1 @@\n+a: 1\n")


def test_golden_files_are_not_touched_by_git() -> None:
    assert (Path(__file__).parent / "golden" / ".gitattributes").read_text() == "* -text\n"
