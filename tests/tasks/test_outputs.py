"""Outputs of every structure that models give back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from preflight.tasks.outputs import detached, has_graph, is_known, joined, mapped, replaced, tensors_of


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Record:
    logits: Tensor
    name: str = "a"


class Attributed(OrderedDict[str, Tensor]):
    """Items that are attributes as well, as those of transformers."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]


class Hidden:
    __slots__ = ("value",)

    def __init__(self, value: Tensor) -> None:
        self.value = value


Make = Callable[[Tensor], Any]
STRUCTURES: dict[str, Make] = {
    "tensor": lambda item: item,
    "mapping": lambda item: {"a": item, "note": "text"},
    "mapping with attributes": lambda item: Attributed(a=item),
    "tuple": lambda item: (item, None, 2 * item),
    "list": lambda item: [item],
    "named tuple": lambda item: Pair(item, 2 * item),
    "dataclass": Record,
    "distribution": lambda item: Normal(item, item.exp()),
    "nested": lambda item: {"a": (item, [Pair(item, item)]), "b": {"c": item}},
}


@pytest.fixture(params=STRUCTURES.values(), ids=STRUCTURES)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def leaf() -> Tensor:
    return torch.arange(6.0).reshape(3, 2).requires_grad_()


def test_an_output_is_cut_off_the_graph_in_its_structure(make: Make, leaf: Tensor) -> None:
    output = make(2 * leaf)
    cut = detached(output)
    assert type(cut) is type(output)
    assert (has_graph(output), has_graph(cut)) == (True, False)
    pairs = zip(tensors_of(output).values(), tensors_of(cut).values(), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)
    assert is_known(output)


def test_every_tensor_is_changed(make: Make, leaf: Tensor) -> None:
    with torch.no_grad():
        output = make(leaf)
        halves = tensors_of(mapped(output, lambda item: item[:1]))
        assert halves.keys() == tensors_of(output).keys()
        assert all(len(item) == 1 for item in halves.values())


def test_what_is_named_keeps_its_graph() -> None:
    first, second = (torch.ones(2, requires_grad=True) * 2 for _ in range(2))
    found = replaced({(1,): second}, (first, second))
    assert [item.requires_grad for item in found] == [False, True]


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "distribution"])
def test_batches_are_joined(name: str, leaf: Tensor) -> None:
    make = STRUCTURES[name]
    whole, found = make(leaf), joined([make(leaf[:2]), make(leaf[2:])])
    assert type(found) is type(whole)
    pairs = zip(tensors_of(whole).values(), tensors_of(found).values(), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_what_cannot_be_looked_into_is_said(leaf: Tensor) -> None:
    for output in (Hidden(leaf), (leaf, Hidden(leaf)), lambda: leaf):
        assert not is_known(output)
    assert detached(held := Hidden(leaf)) is held
