from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.spelling import closest, edits_between, is_slip

words = st.text("abc", max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("lr", "lr", 0),
        ("lr", "rl", 1),
        ("bacth_size", "batch_size", 1),
        ("wramup", "warmup", 1),
        ("decay", "deccay", 1),
        ("decay", "dekay", 1),
        ("kitten", "sitting", 3),
        ("ca", "abc", 3),  # a letter that was swapped is not edited again
    ],
)
def test_edits_are_counted(one: str, other: str, edits: int) -> None:
    assert edits_between(one, other) == edits


@given(words, words)
def test_the_way_back_is_as_long(one: str, other: str) -> None:
    assert edits_between(one, other) == edits_between(other, one)
    assert (edits_between(one, other) == 0) == (one == other)
    assert abs(len(one) - len(other)) <= edits_between(one, other) <= max(len(one), len(other))


@given(words, st.data())
def test_one_slip_is_one_edit(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word)))
    assert edits_between(word, f"{word[:at]}x{word[at:]}") == 1
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    assert edits_between(word, swapped) == (swapped != word)


KNOWN = ("lr", "batch_size", "warmup_steps", "weight_decay", "model", "seed")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rl", "lr"),
        ("LR", "lr"),
        ("bacth_size", "batch_size"),
        ("batchsize", "batch_size"),
        ("mdel", "model"),
        ("mdoel", "model"),
        ("sead", "seed"),
        ("warmup", "warmup_steps"),
        ("weightdecay", "weight_decay"),
        ("dropout", None),
        ("x", None),
        ("", None),
    ],
)
def test_the_closest_name(name: str, meant: str | None) -> None:
    assert closest(name, KNOWN) == meant
    assert closest(name, ()) is None


@pytest.mark.parametrize(("name", "other"), [("wramup", "warmup"), ("batch_sizes", "batch_size"), ("Lera", "lera")])
def test_a_slip_of_the_pen(name: str, other: str) -> None:
    assert is_slip(name, other)
    assert is_slip(other, name)


@pytest.mark.parametrize(("name", "other"), [("lr", "wd"), ("w1", "w2"), ("warmup", "warmup"), ("video", "audio")])
def test_names_of_their_own(name: str, other: str) -> None:
    assert not is_slip(name, other)
