from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import RefusedError
from preflight.core.params import Params
from preflight.probes.classes import check_classes
from preflight.probes.flaws import TRAINING, VALIDATION
from preflight.tasks.data import take_samples

MakeTask = Callable[..., Any]
TODAY = Params(lr=0.1, batch_size=8)
SIZE, CLASSES, PLACES = 200, 5, 7


def inputs() -> Tensor:
    return torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(0))


def labels(*shape: int) -> Tensor:
    return torch.randint(0, CLASSES, (SIZE, *shape), generator=torch.Generator().manual_seed(1))


class Positions(nn.Module):
    """``[B, P, C]`` or ``[B, C, P]``."""

    def __init__(self, is_last: bool = False) -> None:
        super().__init__()
        self.layer, self.is_last = nn.Linear(3, CLASSES * PLACES), is_last

    def forward(self, x: Tensor) -> Tensor:
        shape = (PLACES, CLASSES) if self.is_last else (CLASSES, PLACES)
        output: Tensor = self.layer(x).unflatten(1, shape)
        return output


@pytest.fixture
def check(make_task: MakeTask) -> Callable[..., None]:
    """Check a task of five classes, whose labels of one split have some values replaced: ``{sample: value}``."""

    def run(changed: dict[int, float], split: str = TRAINING, target: Tensor | None = None, **changes: Any) -> None:
        known = labels() if target is None else target
        moved = known.clone()
        for sample, value in changed.items():
            moved[sample] = value
        parts = {TRAINING: (inputs(), known), VALIDATION: (inputs(), known)} | {split: (inputs(), moved)}
        values = {"factory": lambda: nn.Linear(3, CLASSES), **changes}
        task = make_task(data=(parts[TRAINING], parts[VALIDATION]), **values)
        check_classes(task, TODAY, 0, (take_samples(task.data.train), take_samples(task.data.validation)))

    return run


@pytest.mark.parametrize("split", [TRAINING, VALIDATION])
@pytest.mark.parametrize("value", [-1, CLASSES, 70])
def test_a_label_that_the_loss_refuses_is_told_with_its_place(
    value: int, split: str, check: Callable[..., None]
) -> None:
    with pytest.raises(RefusedError) as error:
        check({123: value, 150: value}, split)
    text = str(error.value)
    assert text.startswith(f"in the {split} data, target 'target' is {value} in samples 123, 150, and the model gives ")
    assert f"the loss 'cross_entropy' {CLASSES} classes, 0 to {CLASSES - 1}" in text
    assert ("ignore_index" in text) == (value < 0)


def gathered(output: Tensor, target: Tensor) -> Tensor:
    return -output.log_softmax(1).gather(1, target).mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"factory": Positions, "target": labels(PLACES)},
        {
            "factory": partial(Positions, is_last=True),
            "target": labels(PLACES),
            "losses": {"ce": lambda output, target: F.cross_entropy(output.movedim(-1, 1), target)},
        },
        {"target": labels(1), "losses": {"own": gathered}},
    ],
)
def test_positions_and_a_loss_of_the_users_own(changes: dict[str, Any], check: Callable[..., None]) -> None:
    check({}, **changes)
    with pytest.raises(RefusedError, match="is 9 in sample 3, "):
        check({3: 9}, **changes)


@pytest.mark.parametrize(
    ("changed", "changes"),
    [
        ({}, {}),
        ({1: -100, 2: -100}, {}),  # left out by default
        ({1: -1, 9: -1}, {"losses": {"ce": partial(F.cross_entropy, ignore_index=-1)}}),
        ({1: 70}, {"losses": {"own": lambda output, target: output.pow(2).mean() + 0 * target.sum()}}),
        ({1: 70}, {"losses": {"count": lambda output, target: F.mse_loss(output[:, 0], target.float())}}),
        ({1: 0.3}, {"target": F.one_hot(labels(), CLASSES).float()}),  # probabilities of classes
    ],
)
def test_what_the_loss_takes_is_a_label(
    changed: dict[int, float], changes: dict[str, Any], check: Callable[..., None]
) -> None:
    check(changed, **changes)


def test_labels_that_begin_at_one_are_known(check: Callable[..., None]) -> None:
    with pytest.raises(RefusedError, match=r"The labels begin at 1: take 1 off them"):
        check({}, target=labels() + 1)


def test_a_loss_that_fails_anyway_and_a_model_that_does_are_left_to_others(check: Callable[..., None]) -> None:
    def refuse(output: Tensor, target: Tensor) -> Tensor:
        raise ValueError("never")

    check({1: 70}, losses={"own": refuse})
    check({1: 70}, factory=lambda: nn.Linear(4, CLASSES))
