from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.probes.constant import best_constants
from preflight.scenarios.icecube import angle
from preflight.tasks.base import NamedLoss


def best(
    function: Callable[[Any, Any], Tensor],
    output: Any,
    target: Tensor,
    validation: Tensor | None = None,
    batch_size: int | None = None,
) -> Any:
    targets = {"target": target}
    held_out = targets if validation is None else {"target": validation}
    return best_constants((NamedLoss("loss", function),), output, targets, held_out, batch_size)["loss"]


@pytest.fixture
def normal() -> Tensor:
    return torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("counts", [(10, 10, 10), (100, 30, 5), (1, 1, 998)])
def test_cross_entropy_reaches_the_entropy_of_the_class_prior(counts: tuple[int, ...]) -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    prior = np.array(counts) / sum(counts)
    entropy = -float((prior * np.log(prior)).sum())
    for output in (torch.zeros(8, 3), torch.randn(8, 3) * 100):
        assert best(F.cross_entropy, output, labels) == pytest.approx(entropy, rel=1e-3, abs=1e-3)


def test_the_constant_is_fitted_to_training_and_measured_on_validation() -> None:
    train, validation = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1])
    expected = -(2 * math.log(0.75) + math.log(0.25)) / 3
    assert best(F.cross_entropy, torch.zeros(2, 2), train, validation) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("batch_size", [None, 128])
def test_a_prior_of_few_samples_of_many_classes_is_no_worse_than_none(batch_size: int | None) -> None:
    labels = torch.arange(1000).repeat(5)[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
    found = best(F.cross_entropy, torch.zeros(2, 1000), labels[:4000], labels[4000:], batch_size)
    assert found == pytest.approx(math.log(1000), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_mean_squared_error_reaches_the_variance_at_any_scale(scale: float, shift: float, normal: Tensor) -> None:
    target = scale * (normal + shift)
    variance = float(target.double().var(dim=0, correction=0).mean())
    assert best(F.mse_loss, torch.zeros(4, 3), target) == pytest.approx(variance, rel=1e-3)


def test_mean_absolute_error_reaches_the_spread_about_the_median(normal: Tensor) -> None:
    target = 1e4 * normal.exp()
    spread = float((target - target.median(dim=0).values).abs().mean())
    assert best(F.l1_loss, torch.zeros(4, 3), target) == pytest.approx(spread, rel=0.02)


def test_binary_cross_entropy_reaches_the_entropy_of_the_prior() -> None:
    target = (torch.arange(100) < 20).float().unsqueeze(1)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert best(F.binary_cross_entropy_with_logits, torch.zeros(4, 1), target) == pytest.approx(entropy, rel=1e-3)


def test_the_angle_to_directions_all_over_the_sphere_is_a_right_one(normal: Tensor) -> None:
    directions = F.normalize(normal, dim=1)
    output = F.normalize(torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    assert best(angle, output, directions) == pytest.approx(math.pi / 2, abs=0.05)


def test_a_loss_over_sequences_gets_a_constant_that_it_can_view() -> None:
    tokens = torch.tensor([[0, 1, 0, 0]] * 5)

    def over_positions(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.view(-1, 2), target.view(-1))

    assert best(over_positions, torch.zeros(3, 4, 2), tokens) == pytest.approx(0.0, abs=1e-3)


class Heads(NamedTuple):
    left: Tensor
    right: Tensor


def on_dict(output: dict[str, Tensor], target: Tensor) -> Tensor:
    return F.mse_loss(output["left"] + 0 * output["right"], target)


def on_rest(output: dict[str, Any], target: Tensor) -> Tensor:
    assert output["note"] == "text"
    return F.mse_loss(output["left"], target) + output["penalty"]


def on_tuple(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return F.mse_loss(output[0] + 0 * output[1], target)


def on_names(output: Heads, target: Tensor) -> Tensor:
    return F.mse_loss(output.left + 0 * output.right, target)


def on_last(output: tuple[Any, ...], target: Tensor) -> Tensor:
    return F.mse_loss(output[-1], target)


def on_numbers(output: dict[str, Tensor], target: Tensor) -> Tensor:
    return F.mse_loss(output["0"], target)


A, B = torch.full((4, 3), 7.0), torch.ones(4, 3)
STRUCTURES: dict[str, tuple[Callable[[Any, Tensor], Tensor], Any]] = {
    "mapping": (on_dict, {"left": A, "right": B}),
    "mapping with other entries": (on_rest, {"left": A, "penalty": torch.tensor(0.0), "note": "text"}),
    "mapping of numbered heads": (on_numbers, {"0": A, "1": B}),
    "tuple": (on_tuple, (A, B)),
    "list": (on_tuple, [A, B]),
    "named tuple": (on_names, Heads(A, B)),
    "tuple that starts with nothing": (on_last, (None, A)),
}


@pytest.mark.parametrize(("function", "output"), STRUCTURES.values(), ids=STRUCTURES)
def test_outputs_of_several_tensors_keep_their_structure(
    function: Callable[[Any, Tensor], Tensor], output: Any, normal: Tensor
) -> None:
    variance = float(normal.double().var(dim=0, correction=0).mean())
    assert best(function, output, normal) == pytest.approx(variance, rel=1e-3)


def test_every_loss_picks_its_own_output_and_target(normal: Tensor) -> None:
    targets = {"a": normal, "b": 10 * normal}
    losses = (
        NamedLoss("first", F.mse_loss, "left", "a"),
        NamedLoss("second", F.mse_loss, "right", "b"),
    )
    found = best_constants(losses, {"left": torch.zeros(4, 3), "right": torch.zeros(4, 3)}, targets, targets)
    variance = float(normal.double().var(dim=0, correction=0).mean())
    assert found == {"first": pytest.approx(variance, rel=1e-3), "second": pytest.approx(100 * variance, rel=1e-3)}


def contrasted(output: Tensor, target: Tensor) -> Tensor:
    """Every sample against all others of its batch."""
    return F.cross_entropy(output @ output.T, torch.arange(len(output)))


def summed(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


def summed_and_bounded(output: Tensor, target: Tensor) -> Tensor:
    return summed(output, target) + 30 * output[0].square().sum()


def test_a_contrast_within_a_batch_is_measured_on_batches_of_that_size_the_last_one_too(normal: Tensor) -> None:
    assert best(contrasted, torch.zeros(4, 3), normal) == pytest.approx(math.log(1000))
    expected = (15 * 64 * math.log(64) + 40 * math.log(40)) / 1000
    assert best(contrasted, torch.zeros(4, 3), normal, batch_size=64) == pytest.approx(expected)


def test_a_sum_is_measured_on_batches_and_a_mean_is_the_same_on_any(normal: Tensor) -> None:
    whole = best(summed, torch.zeros(4, 3), normal)
    assert best(summed, torch.zeros(4, 3), normal, batch_size=10) == pytest.approx(whole / 100, rel=1e-3)
    mean = best(F.mse_loss, torch.zeros(4, 3), normal)
    assert best(F.mse_loss, torch.zeros(4, 3), normal, batch_size=64) == pytest.approx(mean, rel=1e-4)


def test_the_constant_is_fitted_to_batches_where_the_whole_asks_for_another(normal: Tensor) -> None:
    target = 5 + 0.1 * normal[:80]
    centre = 10 / 40 * 5  # ten samples a batch against a weight of 30
    expected = 3 * (10 * (5 - centre) ** 2 + 30 * centre**2)
    found = best(summed_and_bounded, torch.zeros(4, 3), target, batch_size=10)
    assert found == pytest.approx(expected, rel=0.03)


def never(output: Tensor, target: Tensor) -> Tensor:
    return output.sum() * torch.nan


def refuses(output: Tensor, target: Tensor) -> Tensor:
    raise AssertionError("outputs must differ from each other")


def takes_other_names(output: Any, target: Tensor) -> Tensor:
    return F.mse_loss(output.logits, target)


def unbounded(output: Tensor, target: Tensor) -> Tensor:
    return output.mean() / 0


@pytest.mark.parametrize("function", [never, refuses, takes_other_names, unbounded])
@pytest.mark.parametrize("output", [torch.zeros(4, 3), {"logits": torch.zeros(4, 3)}, object()], ids=type)
def test_none_where_no_constant_has_a_finite_loss(
    function: Callable[[Any, Tensor], Tensor], output: Any, normal: Tensor
) -> None:
    assert best(function, output, normal) is None


def test_a_loss_that_asserts_that_outputs_are_finite_is_fitted(normal: Tensor) -> None:
    def careful(output: Tensor, target: Tensor) -> Tensor:
        assert bool(output.isfinite().all())
        return F.mse_loss(output, target)

    assert best(careful, torch.zeros(4, 3), normal) == pytest.approx(float(normal.var(dim=0).mean()), rel=0.01)


def test_a_loss_without_a_useful_gradient_is_measured_at_the_starting_points(normal: Tensor) -> None:
    def share_above(output: Tensor, target: Tensor) -> Tensor:
        return (target > output).float().mean()

    assert best(share_above, torch.zeros(4, 3), normal) == pytest.approx(0.5, abs=0.05)


def noisy(output: Tensor, target: Tensor) -> Tensor:
    noise = torch.randn_like(target) + random.random() + float(np.random.rand())
    return F.mse_loss(output, target + 0.1 * noise)


def test_the_random_state_of_the_caller_is_untouched(normal: Tensor) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = best(noisy, torch.zeros(4, 3), normal)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    torch.manual_seed(17)
    assert best(noisy, torch.zeros(4, 3), normal) == first


def test_outputs_and_targets_are_not_changed(normal: Tensor) -> None:
    output = torch.ones(4, 3, requires_grad=True)
    target = normal.clone()
    best(F.mse_loss, 2 * output, target)
    assert output.grad is None and torch.equal(output.detach(), torch.ones(4, 3))
    assert torch.equal(target, normal)


def test_it_works_where_gradients_are_switched_off(normal: Tensor) -> None:
    with torch.no_grad():
        assert best(F.mse_loss, torch.zeros(4, 3), 5 + normal) == pytest.approx(1.0, abs=0.1)


def test_what_has_no_graph_beside_an_answer_is_held_against_it_and_no_constant(normal: Tensor) -> None:
    """A teacher's word stays what it is for every sample: the best constant student answers with its mean."""
    student, teacher = normal[:64, :4].clone().requires_grad_(), 3 * normal[64:128, :4]
    targets = {"y": torch.zeros(64)}
    loss = NamedLoss("dino", lambda output, _: cross(output["student"], output["teacher"]))
    found = best_constants((loss,), {"student": student, "teacher": teacher}, targets, targets)["dino"]
    mean = teacher.softmax(dim=1).mean(dim=0)
    assert found == pytest.approx(float(-(mean * mean.log()).sum()), rel=1e-3)
    longer = {"y": torch.zeros(640)}
    assert best_constants((loss,), {"student": student, "teacher": teacher}, longer, longer)["dino"] == pytest.approx(
        found, rel=1e-3
    )


def cross(student: Tensor, teacher: Tensor) -> Tensor:
    return -(teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum(dim=1).mean()
