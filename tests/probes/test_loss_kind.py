from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.probes.heads import Head
from preflight.probes.loss_kind import (
    chance_of,
    classes_second,
    floor_of,
    is_of_all_pairs,
    kind_of,
    rank_of_target,
    scaling_of,
    valued,
)
from preflight.tasks.base import NamedLoss

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(32, 5, generator=GENERATOR)
CLASSES = torch.randint(0, 5, (32,), generator=GENERATOR)
BITS = torch.randint(0, 2, (32, 5), generator=GENERATOR).float()
VALUES = torch.randn(32, 5, generator=GENERATOR)


def focal(output: Tensor, target: Tensor) -> Tensor:
    chosen = F.log_softmax(output, 1).gather(1, target[:, None])
    return (-((1 - chosen.exp()) ** 2) * chosen).mean()


def hot(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output / 0.05, target)


def smooth(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, label_smoothing=0.1)


def value_of(function: Any, target: Tensor) -> Any:
    return valued(NamedLoss("a", function), {"target": target})


@pytest.mark.parametrize(
    ("function", "target", "kind"),
    [
        (F.cross_entropy, CLASSES, "cross_entropy"),
        (smooth, CLASSES, "cross_entropy"),
        (hot, CLASSES, "cross_entropy"),
        (F.nll_loss, CLASSES, "nll"),
        (focal, CLASSES, None),
        (F.multi_margin_loss, CLASSES, None),
        (F.binary_cross_entropy_with_logits, BITS, "bce_logits"),
        (F.mse_loss, VALUES, "fit"),
        (F.huber_loss, VALUES, "fit"),
        (F.binary_cross_entropy, BITS, "fit"),
        (lambda output, target: -F.cosine_similarity(output, target).mean(), VALUES, None),
        (lambda output, target: 1 / 0, VALUES, None),
    ],
)
def test_a_loss_is_known_by_how_it_behaves(function: Any, target: Tensor, kind: str | None) -> None:
    assert kind_of(value_of(function, target), LOGITS, target) == kind


@pytest.mark.parametrize(
    ("function", "target", "chance"),
    [
        (F.cross_entropy, CLASSES, math.log(5)),
        (F.nll_loss, CLASSES, math.log(5)),
        (F.binary_cross_entropy_with_logits, BITS, math.log(2)),
        (F.mse_loss, VALUES, None),
    ],
)
def test_the_level_of_guessing(function: Any, target: Tensor, chance: float | None) -> None:
    value = value_of(function, target)
    found = chance_of(kind_of(value, LOGITS, target), value, LOGITS, target)
    assert (None if found is None else found[0]) == (None if chance is None else pytest.approx(chance))


def test_directions_have_a_geometric_chance() -> None:
    def angle(output: Tensor, target: Tensor) -> Tensor:
        return torch.acos((F.normalize(output, dim=1) * target).sum(1).clamp(-0.999999, 0.999999)).mean()

    target = F.normalize(torch.randn(512, 3, generator=GENERATOR), dim=1)
    found = chance_of(None, value_of(angle, target), torch.randn(512, 3), target)
    assert found is not None
    assert found[0] == pytest.approx(math.pi / 2, rel=0.05)


SIGMOID, RELU, TANH = Head("sigmoid", 0.0, 1.0), Head("relu", 0.0, math.inf), Head("tanh", -1.0, 1.0)


@pytest.mark.parametrize(
    ("function", "target", "head", "floor"),
    [
        (F.cross_entropy, CLASSES, SIGMOID, math.log(1 + 4 * math.exp(-1))),
        (F.cross_entropy, CLASSES, TANH, math.log(1 + 4 * math.exp(-2))),
        (F.cross_entropy, CLASSES, RELU, 0.0),
        (F.cross_entropy, CLASSES, Head("log_softmax", -math.inf, 0.0), 0.0),
        (hot, CLASSES, SIGMOID, 0.0),  # a temperature makes up for the bounds
        (F.mse_loss, VALUES, RELU, float(VALUES.clamp(max=0).square().mean())),
        (F.mse_loss, VALUES.abs(), RELU, 0.0),
        (F.binary_cross_entropy_with_logits, torch.zeros(32, 5), RELU, math.log(2)),
    ],
)
def test_the_loss_that_bounds_leave(function: Any, target: Tensor, head: Head, floor: float) -> None:
    value = value_of(function, target)
    kind = kind_of(value, LOGITS, target) or "bce_logits"
    assert floor_of(kind, value, LOGITS, target, head) == pytest.approx(floor, abs=1e-3)


def test_label_smoothing_is_no_floor_of_the_head() -> None:
    value = value_of(smooth, CLASSES)
    assert floor_of("cross_entropy", value, LOGITS, CLASSES, RELU) == pytest.approx(0.0, abs=1e-6)
    assert floor_of("cross_entropy", value, LOGITS, CLASSES, None) is None


@pytest.mark.parametrize(
    ("function", "halves", "quarters"),
    [
        (F.mse_loss, 1, 1),
        (lambda output, target: F.mse_loss(output, target, reduction="sum"), 2, 4),
        (lambda output, target: (output - target).square().sum(dim=1).mean(), 1, 1),
    ],
)
def test_a_sum_grows_with_the_batch(function: Any, halves: float, quarters: float) -> None:
    found = scaling_of(NamedLoss("a", function), LOGITS, {"target": VALUES})
    assert found == {"2": pytest.approx(halves), "4": pytest.approx(quarters)}


def test_a_loss_over_pairs_is_neither_mean_nor_sum() -> None:
    def contrastive(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output @ target.T, torch.arange(len(output)))

    found = scaling_of(NamedLoss("a", contrastive), 0.01 * LOGITS, {"target": VALUES})
    assert 1.1 < found["2"] < 1.6


def test_structures_are_cut_as_a_whole() -> None:
    def both(output: dict[str, Tensor], target: Tensor) -> Tensor:
        return F.mse_loss(output["a"], target) + output["penalty"]

    output = {"a": LOGITS, "penalty": torch.tensor(0.0)}
    assert scaling_of(NamedLoss("a", both), output, {"target": VALUES})["2"] == pytest.approx(1.0)


def test_the_rank_of_the_right_class() -> None:
    hot_right = F.one_hot(CLASSES, 5).float()
    assert rank_of_target(hot_right, CLASSES) == 1.0
    assert rank_of_target(-hot_right, CLASSES) == 0.0
    assert rank_of_target(torch.zeros(32, 5), CLASSES) == 0.5
    assert rank_of_target(torch.zeros(32, 5, 3), CLASSES) is None


def test_classes_on_the_last_axis_are_found_as_sequence_models_give_them() -> None:
    logits = torch.randn(8, 6, 5, generator=GENERATOR)  # [B, T, C]
    tokens = torch.randint(0, 5, (8, 6), generator=GENERATOR)

    def by_token(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    value, plain = classes_second(value_of(by_token, tokens), logits, tokens)
    assert plain.shape == (8, 5, 6)
    assert value(plain) == pytest.approx(float(by_token(logits, tokens)))
    assert kind_of(value, plain, tokens) == "cross_entropy"
    assert chance_of("cross_entropy", value, plain, tokens) == (math.log(5), "ln(classes)")


def test_classes_on_the_second_axis_stay_there() -> None:
    logits, tokens = torch.randn(8, 5, 6, generator=GENERATOR), torch.randint(0, 5, (8, 6), generator=GENERATOR)
    _, plain = classes_second(value_of(F.cross_entropy, tokens), logits, tokens)
    assert plain is logits


def plain_square(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


def squeezed_square(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output.squeeze(1), target.to(output.dtype))


@pytest.mark.parametrize(
    ("function", "target", "is_broadcast"),
    [
        (plain_square, VALUES[:, 0], True),
        (plain_square, 1e6 + VALUES[:, 0], True),
        (plain_square, VALUES[:, :1], False),
        (squeezed_square, VALUES[:, 0], False),
        (plain_square, torch.ones(32), False),  # any order of equal targets is the right one
        (F.binary_cross_entropy_with_logits, BITS[:, 0], False),  # refuses
        (lambda output, target: output.sum() * 0 + target.mean(), VALUES[:, 0], False),
    ],
)
def test_shapes_that_make_a_loss_compare_all_pairs(function: Any, target: Tensor, is_broadcast: bool) -> None:
    assert is_of_all_pairs(value_of(function, target), LOGITS[:, :1], target) is is_broadcast
