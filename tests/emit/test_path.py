import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.errors import ConfigFileError
from preflight.emit.path import format_path, parse_path


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("lr", ("lr",)),
        ("optim.groups[0].lr", ("optim", "groups", 0, "lr")),
        ("grid[1][2]", ("grid", 1, 2)),
        ("a.0.c", ("a", "0", "c")),
        ('optim."lr.peak"', ("optim", "lr.peak")),
        (r'"say \"hi\"\\"', ('say "hi"\\',)),
        ("weight decay", ("weight decay",)),
    ],
)
def test_parse_path(path: str, segments: tuple[str | int, ...]) -> None:
    assert parse_path(path, "x.yaml") == segments


@pytest.mark.parametrize("path", ["", ".", "a.", "a..b", "[0]", "a[x]", "a[-1]", "a[0", "a[0]b", '"open', 'a"b"'])
def test_malformed_paths_are_refused(path: str) -> None:
    with pytest.raises(ConfigFileError, match=r"is no path into x\.yaml: found .* at character \d+; paths look"):
        parse_path(path, "x.yaml")


keys = st.text(min_size=1).filter(lambda key: "\n" not in key)


@given(st.tuples(keys), st.lists(keys | st.integers(0, 99)))
def test_format_path_is_the_inverse(first: tuple[str], rest: list[str | int]) -> None:
    segments = (*first, *rest)
    assert parse_path(format_path(segments), "x.yaml") == segments
