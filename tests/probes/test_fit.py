from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import TaskError
from preflight.core.params import Params
from preflight.probes.fit import check_fit

TODAY = Params(lr=0.1, batch_size=8)


def test_a_task_that_fits_gives_its_output(make_task: Any) -> None:
    output = check_fit(make_task(), TODAY, 0)
    assert output.shape == (8, 4)


def test_the_output_follows_from_the_seed(make_task: Any) -> None:
    task = make_task()
    assert torch.equal(check_fit(task, TODAY, 3), check_fit(task, TODAY, 3))
    assert not torch.equal(check_fit(task, TODAY, 3), check_fit(task, TODAY, 4))


def test_a_task_with_a_metric_and_several_outputs_fits(make_task: Any) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, values: Tensor) -> dict[str, Tensor]:
            logits = self.layer(values)
            return {"logits": logits, "size": logits.norm()}

    losses = {
        "cross_entropy": {"function": F.cross_entropy, "output": "logits"},
        "size": lambda output, target: output["size"],
    }
    metric = {"function": lambda output, target: output["logits"].sum(), "goal": "minimize"}
    output = check_fit(make_task(factory=Two, losses=losses, metric=metric), TODAY, 0)
    assert set(output) == {"logits", "size"}


def vector(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


def detached(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.detach(), target)


def whole_numbers(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float().mean()


def no_tensor(output: Tensor, target: Tensor) -> float:
    return 0.5


def unrelated(output: Tensor, target: Tensor) -> Tensor:
    return torch.ones((), requires_grad=True) * 2


class Overwrites(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("no gradient\nis known")


def not_differentiable(output: Tensor, target: Tensor) -> Tensor:
    return Overwrites.apply(output).sum()


def top_five(output: Tensor, target: Tensor) -> Tensor:
    return (output.topk(5).indices == target.unsqueeze(1)).any(dim=1).float().mean()


def frozen() -> nn.Module:
    return nn.Linear(3, 4).requires_grad_(False)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 4).requires_grad_(False), nn.Linear(3, 4)

    def forward(self, values: Tensor) -> Tensor:
        return self.used(values).requires_grad_()


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "model does not take the batch": (
        {"factory": lambda: nn.Linear(5, 4)},
        r"^the model does not take a batch of input float32\[8, 3\], target int64\[8\]: RuntimeError: ",
    ),
    "model takes another number of inputs": (
        {"factory": lambda: nn.Bilinear(3, 3, 4)},
        r"^the model does not take a batch of .*: TypeError: .*missing",
    ),
    "output does not fit the loss": (
        {"factory": lambda: nn.Linear(3, 1), "losses": {"nll": F.nll_loss}},
        r"^the loss 'nll' does not fit output float32\[8, 1\] and target int64\[8\]: IndexError: ",
    ),
    "loss not scalar": (
        {"losses": {"a": F.cross_entropy, "b": vector}},
        r"^the loss 'b' must be a scalar, got shape \[8\]; average it over the batch$",
    ),
    "loss not a tensor": ({"losses": {"a": no_tensor}}, r"^the loss 'a' must be a scalar, got float;"),
    "loss picks an output that is not there": (
        {"losses": {"a": {"function": F.cross_entropy, "output": "logits"}}},
        r"^the loss 'a' does not fit output float32\[8, 4\]",
    ),
    "loss picks a target that is not there": (
        {"losses": {"a": {"function": F.cross_entropy, "target": "lable"}}},
        r"^the loss 'a' does not fit output .*: KeyError: 'lable'",
    ),
    "loss detached": ({"losses": {"a": F.cross_entropy, "b": detached}}, r"^the loss 'b' carries no gradient: "),
    "loss of whole numbers": ({"losses": {"a": whole_numbers}}, r"^the loss 'a' carries no gradient: "),
    "loss of something else": ({"losses": {"a": unrelated}}, r"^no trained parameter has a gradient: "),
    "model whose trained parameters are not used": ({"factory": Unused}, r"^no trained parameter has a gradient: "),
    "loss without a derivative": (
        {"losses": {"a": not_differentiable}},
        r"^the losses cannot be differentiated: RuntimeError: no gradient; is known$",
    ),
    "model frozen": ({"factory": frozen}, r"^the model has no parameter that is trained: none has requires_grad$"),
    "metric raises": (
        {"metric": {"function": top_five, "goal": "maximize"}},
        r"^the metric does not fit output float32\[8, 4\] and target int64\[8\]: RuntimeError: ",
    ),
    "metric gives several numbers": (
        {"metric": {"function": vector, "goal": "minimize"}},
        r"^the metric does not fit output float32\[8, 4\]",
    ),
}


@pytest.mark.parametrize(("changes", "text"), MISFITS.values(), ids=MISFITS)
def test_a_misfit_is_told_by_name(changes: dict[str, Any], text: str, make_task: Any) -> None:
    with pytest.raises(TaskError, match=text) as error:
        check_fit(make_task(**changes), TODAY, 0)
    assert "\n" not in str(error.value)


def a_float(output: Tensor, target: Tensor) -> float:
    warnings.warn("this is not what you think", stacklevel=1)
    return float(F.cross_entropy(output, target))  # of which torch warns as well


def test_warnings_do_not_come_before_the_error(make_task: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(TaskError, match="must be a scalar, got float"):
            check_fit(make_task(losses={"a": a_float}), TODAY, 0)
    assert caught == []


def test_a_warning_that_is_shown_once_is_still_to_come(make_task: Any) -> None:
    def warning(output: Tensor, target: Tensor) -> Tensor:
        warnings.warn("mind the gap", stacklevel=1)
        return F.cross_entropy(output, target)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("once")
        check_fit(make_task(losses={"a": warning}), TODAY, 0)
        warning(torch.zeros(1, 4), torch.zeros(1, dtype=torch.long))
    assert [str(item.message) for item in caught] == ["mind the gap"]


def test_a_loss_of_a_broadcast_target_is_refused(make_task: Any) -> None:
    parts = (torch.randn(40, 3), torch.randn(40)), (torch.randn(20, 3), torch.randn(20))
    task = make_task(factory=lambda: nn.Linear(3, 1), data=parts, losses={"mse": F.mse_loss})
    with pytest.raises(TaskError, match=r"the loss 'mse' does not fit .* Using a target size"):
        check_fit(task, TODAY, 0)


def test_a_batch_larger_than_the_data_is_told(make_task: Any) -> None:
    with pytest.raises(TaskError, match="batch_size=41 is larger than the 40 training samples"):
        check_fit(make_task(), Params(lr=0.1, batch_size=41), 0)


def states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("losses", [{"a": F.cross_entropy}, {"a": vector}])
def test_the_random_state_of_the_caller_is_untouched(losses: dict[str, Any], make_task: Any) -> None:
    def drawing() -> nn.Module:
        random.random()
        np.random.rand()
        return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))

    task = make_task(factory=drawing, losses=losses)
    before = states()
    try:
        check_fit(task, TODAY, 0)
    except TaskError:
        assert losses["a"] is vector
    assert states() == before


def test_the_data_is_not_changed(make_task: Any) -> None:
    task = make_task()
    rows = task.data.train.tensors["input"]
    before = rows.clone()
    check_fit(task, TODAY, 0)
    assert torch.equal(rows, before) and rows.grad is None


def test_a_loss_that_is_not_finite_before_any_training_is_told(make_task: Any) -> None:
    task = make_task(losses={"a": lambda output, target: F.cross_entropy(output, target) * float("nan")})
    with pytest.raises(TaskError, match="the loss 'a' is nan on the first batch, before any training"):
        check_fit(task, TODAY, 0)


class Arrays(nn.Linear):
    """Gives numpy's arrays, under a name or without one."""

    def __init__(self, name: str | None) -> None:
        super().__init__(3, 4)
        self.name = name

    def forward(self, values: Tensor) -> Any:
        array = super().forward(values).detach().numpy()
        return array if self.name is None else {self.name: array}


@pytest.mark.parametrize(
    ("name", "loss", "place"),
    [
        (None, F.cross_entropy, "the model's output"),
        ("logits", {"function": F.cross_entropy, "output": "logits"}, "'logits' of the model's output"),
        ("logits", lambda output, target: output["logits"].mean(), "'logits' of the model's output"),
    ],
)
def test_an_array_where_a_tensor_is_needed_is_told(name: str | None, loss: Any, place: str, make_task: Any) -> None:
    task = make_task(factory=lambda: Arrays(name), losses={"loss": loss})
    with pytest.raises(TaskError) as error:
        check_fit(task, TODAY, 0)
    assert f"the loss 'loss' cannot be trained: {place} is a numpy array, float32[8, 4], where a tensor is" in str(
        error.value
    )


def test_an_array_beside_the_tensors_is_left_alone(make_task: Any) -> None:
    class Both(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 4)

        def forward(self, values: Tensor) -> dict[str, Any]:  # type: ignore[override]
            logits = super().forward(values)
            return {"logits": logits, "shown": logits.detach().numpy()}

    losses = {"loss": lambda output, target: F.cross_entropy(output["logits"], target)}
    check_fit(make_task(factory=Both, losses=losses), TODAY, 0)


def test_raw_inputs_that_overflow_the_loss_are_named(make_task: Any) -> None:
    """A rate is the exponential of the output: inputs in the thousands take it out of float32's range."""
    task = make_task(losses={"poisson": lambda output, target: (output.exp() - target[:, None] * output).mean()})
    task.data.train.tensors["input"].mul_(1e4)
    with pytest.raises(TaskError, match=r"on the first batch.*'input' up to \d.*\(PF301\).*make it finite"):
        check_fit(task, TODAY, 0)
