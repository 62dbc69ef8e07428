"""What the losses are related to: the best constant predictor, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import RefusedError
from preflight.pipeline.inspection import Inspection
from preflight.pipeline.references import validation_targets

Split = dict[str, Tensor]
Inspect = Callable[..., Inspection]


def test_a_validation_loss_that_no_constant_mends_is_bad_input(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    def infinite_on_negative(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target) + (1 / (target >= 0).all().float() if len(target) == 300 else 0.0)

    with pytest.raises(RefusedError, match=r"'odd' is inf on the validation data, before any training \(PF108, see"):
        inspect(losses={"odd": infinite_on_negative}, baseline={"lr": 0.1, "batch_size": 301})


def small(output: Tensor, _target: Tensor) -> Tensor:
    return output.square().mean()


def test_a_penalty_stays_out_of_the_score_and_that_is_said(inspect: Inspect) -> None:
    found = inspect(losses={"mse": F.mse_loss, "small": small})
    assert set(found.references) == {"mse"}
    assert found.constants["small"] == pytest.approx(0.0, abs=1e-9)
    assert any(note.startswith("the loss 'small' asks nothing of the data") for note in found.notes)


def test_where_there_are_only_penalties_they_are_the_score(inspect: Inspect) -> None:
    found = inspect(losses={"small": small})
    assert (set(found.references), found.notes) == ({"small"}, ())


def test_a_loss_that_falls_without_end_relates_to_its_value_before_training(inspect: Inspect) -> None:
    found = inspect(losses={"endless": lambda output, target: (output * target.abs()).mean()})
    assert found.constants == {"endless": None}
    assert found.references == found.initial
    assert any("falls without end" in note for note in found.notes)


class Silent(nn.Module):
    """One answer for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.answer.expand(len(x), 4)


def contrasted(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output @ output.T, torch.arange(len(output)))


def pulled_to_its_neighbour(output: Tensor, target: Tensor) -> Tensor:
    """Pairs of samples that follow each other, of a batch whose order counts."""
    alike = (target[1:] * target[:-1] > 0).float().squeeze(1)
    return F.binary_cross_entropy_with_logits((output[1:] * output[:-1]).sum(dim=1) - 4, alike, reduction="sum")


@pytest.mark.parametrize("loss", [contrasted, pulled_to_its_neighbour])
def test_a_model_that_ignores_its_input_has_the_score_of_a_constant_whatever_the_batch_holds(
    loss: Callable[[Tensor, Tensor], Tensor], inspect: Inspect
) -> None:
    found = inspect(factory=Silent, losses={"loss": loss}, baseline={"lr": 0.1, "batch_size": 64})
    assert found.references["loss"] == pytest.approx(found.initial["loss"], rel=0.05)


class Triple(nn.Module):
    """Three directions of every sample, by one network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        three = torch.stack([x, x.roll(1, dims=1), x.roll(1, dims=0)], dim=1)
        return F.normalize(self.layer(three), dim=2)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    anchor, positive, negative = output.unbind(dim=1)
    return F.triplet_margin_loss(anchor, positive, negative)


class Apart(Triple):
    """The three as parts of an output."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).unbind(dim=1)


def hinge_of_parts(output: tuple[Tensor, ...], target: Tensor) -> Tensor:
    return F.triplet_margin_loss(*output)


@pytest.mark.parametrize(("factory", "loss"), [(Triple, hinge), (Apart, hinge_of_parts)])
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_embeddings_by_one_network_share_their_constant(
    shift: float, factory: Any, loss: Any, inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    data = tuple({**part, "x": part["x"] + shift * torch.arange(3)} for part in parts)
    found = inspect(factory=factory, losses={"hinge": loss}, data=data)
    assert found.references == found.constants == {"hinge": pytest.approx(1.0, rel=1e-4)}  # the margin
    assert found.notes == ()


def test_a_contrast_beside_a_loss_of_targets_is_no_penalty(inspect: Inspect) -> None:
    class Both(Triple):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            three = super().forward(x)
            return {"three": three, "amount": three[:, 0, :1]}

    losses = {"hinge": {"function": hinge, "output": "three"}, "mse": {"function": F.mse_loss, "output": "amount"}}
    assert set(inspect(factory=Both, losses=losses).references) == {"hinge", "mse"}


def beyond_one(output: Tensor, target: Tensor) -> Tensor:
    """Satisfied by no cosine."""
    anchor, positive, _ = output.unbind(dim=1)
    return F.relu(1.5 - (anchor * positive).sum(dim=1)).mean()


def test_a_constant_out_of_the_models_reach_is_no_reference(inspect: Inspect) -> None:
    found = inspect(factory=Triple, losses={"cosine": beyond_one})
    assert 0.5 < found.references["cosine"] == found.constants["cosine"] <= 1.5
    assert any("'cosine' is next to nothing for some constant" in note for note in found.notes)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_small_loss_of_targets_that_hardly_vary_is_a_reference(
    shift: float, inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    close = [{**part, "target": 1e-3 * part["target"] + shift} for part in parts]
    found = inspect(data=tuple(close))
    assert found.references["mse"] == found.constants["mse"] < 1e-5
    assert found.notes == ()


def test_the_references_of_large_samples_are_those_of_full_batches(parts: tuple[Split, Split]) -> None:
    def task(size: int) -> Any:
        return SimpleNamespace(data=SimpleNamespace(validation=range(size), roles=SimpleNamespace(targets=("target",))))

    settings: Any = SimpleNamespace(budget=SimpleNamespace(validation_samples=4000))
    numbers = torch.arange(300)
    for size, expected in ((300, 300), (9000, 256)):
        found = validation_targets(settings, task(size), (numbers, parts[1]), 64)
        assert found["target"].shape == (expected, 1)
