from __future__ import annotations

import re

import pytest

from preflight.core import errors
from preflight.core.errors import PreflightError, alternatives

LINE = re.compile(r"^(?P<branch>[│ ├└─]*)(?P<name>[A-Z]\w+) +(?P<code>\d+) +\S", re.MULTILINE)


def drawn() -> dict[str, tuple[str, int]]:
    """Parent and exit code of every exception in the tree of the docstring."""
    tree: dict[str, tuple[str, int]] = {}
    path: list[str] = []
    for found in LINE.finditer(errors.__doc__ or ""):
        depth = len(found["branch"]) // 4
        path = [*path[:depth], found["name"]]
        tree[found["name"]] = (path[-2] if depth else "Exception", int(found["code"]))
    return tree


def defined() -> dict[str, tuple[str, int]]:
    """The same of the classes."""
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, PreflightError)]
    return {item.__name__: (item.__bases__[0].__name__, item.exit_code) for item in classes}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert drawn() == defined()


def test_the_tree_is_read_at_all() -> None:
    assert drawn()["ConfigError"] == ("InputError", 2)
    assert drawn()["Interrupted"] == ("PreflightError", 130)


def test_exit_codes_do_not_collide_with_success_or_with_each_other() -> None:
    codes = {item.exit_code for item in (PreflightError, *PreflightError.__subclasses__())}
    assert 0 not in codes
    assert len(codes) == 1 + len(PreflightError.__subclasses__())


def test_every_error_says_when_it_is_raised() -> None:
    assert all(getattr(errors, name).__doc__ for name in defined())


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("spce", ["space", "budget"], "did you mean 'space'? known: budget, space"),
        ("zzz", ["space", "budget"], "known: budget, space"),
        ("x", [], "known: (none)"),
        ("", ["a"], "known: a"),
    ],
)
def test_alternatives_are_the_nearest_and_all(name: str, known: list[str], text: str) -> None:
    assert alternatives(name, known) == text


def test_alternatives_may_come_from_anything_that_iterates() -> None:
    assert alternatives("b", (name for name in "cab")) == "did you mean 'b'? known: a, b, c"


@pytest.mark.parametrize("text", ["a:  'x  y'", "", "one\n\ttwo\r\n", "one\u2028two", "\n one two"])
def test_an_error_is_one_line(text: str) -> None:
    told = str(PreflightError(text))
    assert len(told.splitlines()) <= 1
    assert told.split() == text.split()
    if len(text.splitlines()) == 1:
        assert told == text
