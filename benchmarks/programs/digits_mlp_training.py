"""What can be wrong with how a perceptron on digits is trained: rates, schedules, the loss, the optimizer, the loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain_loop import Habits
from benchmarks.program import STEPS, Training
from benchmarks.programs.digits_mlp import BASE, STEPS_PER_EPOCH, momentum, sgd, task


def _without_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The optimizer was made before the head was replaced."""
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


def _only_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{**group, "params": group["params"][-2:]} for group in groups], lr=lr, momentum=0.9)


def _sum(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


def _tiny(output: Tensor, target: Tensor) -> Tensor:
    return 1e-6 * F.cross_entropy(output, target)


def _accuracy_by_sample(output: Tensor, target: Tensor) -> Tensor:
    """The wrong axis: each class's largest sample, compared with the labels."""
    return (output.argmax(dim=0) == target[: output.shape[1]]).float().mean()


def _own(scheduler: Callable[..., Any], interval: str = "step", **changes: Any) -> Training:
    return momentum(0.1, scheduler=scheduler, scheduler_interval=interval, **changes)


def _cosine(optimizer: torch.optim.Optimizer, length: int) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=length)


def _decay_by_epochs(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)


def _ramp(optimizer: torch.optim.Optimizer, length: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / length))


def _warm_cosine(optimizer: torch.optim.Optimizer, epochs: int, length: int) -> Any:
    """A warmup counted in batches and advanced per epoch: the whole run is spent at a tenth of the rate."""
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=STEPS_PER_EPOCH * epochs)
    rest = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=length - STEPS_PER_EPOCH * epochs)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, rest], [STEPS_PER_EPOCH * epochs])


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "the learning rate of Adam is 0.1", ("PF201",), lambda: task().but(lr=0.1)),
    _case("lr_by_1000", "the learning rate of Adam is 1e-6", ("PF202",), lambda: task().but(lr=1e-6)),
    _case("sgd_lr_1e-5", "the learning rate of SGD is 1e-5", ("PF202",), lambda: sgd(1e-5)),
    _case("sgd_lr_10", "the learning rate of SGD with momentum is 10", ("PF201",), lambda: momentum(10.0)),
    _case(
        "clip_at_1e-6",
        "gradients are clipped to a norm of 1e-6, with SGD",
        ("PF105",),
        lambda: momentum(0.05, clip_norm=1e-6),
    ),
    _case(
        "weight_decay_10",
        "AdamW with a weight decay of 10",
        ("PF409",),
        lambda: task().but(optimizer=torch.optim.AdamW, weight_decay=10.0),
    ),
    _case("l2_of_0.1", "SGD with an L2 penalty of 0.1", ("PF409",), lambda: momentum(0.05, weight_decay=0.1)),
    _case(
        "head_not_in_optimizer",
        "the head's parameters are not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_head),
    ),
    _case(
        "only_head_in_optimizer",
        "only the head's parameters are in the optimizer",
        ("PF104",),
        lambda: task().but(lr=0.05, optimizer=_only_head),
    ),
    _case(
        "summed_loss",
        "the loss is summed over a batch of 64, with SGD 0.1",
        ("PF406",),
        lambda: sgd(0.1, batch_size=64, losses={"cross_entropy": _sum}),
    ),
    _case(
        "tiny_loss",
        "the loss is multiplied by 1e-6, with SGD 0.1",
        ("PF202", "PF402"),
        lambda: sgd(0.1, losses={"cross_entropy": _tiny}),
    ),
    _case(
        "warmup_of_the_whole_run",
        "the warmup is as long as the run",
        ("PF204",),
        lambda: momentum(0.05, warmup_steps=STEPS),
    ),
    _case(
        "warmup_of_ten_runs",
        "the warmup is ten times as long as the run",
        ("PF204",),
        lambda: momentum(0.05, warmup_steps=10 * STEPS),
    ),
    _case(
        "cosine_of_epochs_per_step",
        "T_max counts epochs and the scheduler is advanced per batch (Lightning #18570)",
        ("PF206",),
        lambda: _own(partial(_cosine, length=6)),
    ),
    _case(
        "step_lr_of_epochs_per_step",
        "StepLR of 2 epochs is advanced per batch",
        ("PF206",),
        lambda: _own(_decay_by_epochs),
    ),
    _case(
        "cosine_of_steps_per_epoch",
        "T_max and warmup count batches and the scheduler is advanced per epoch",
        ("PF206",),
        lambda: _own(
            partial(_warm_cosine, epochs=10, length=20 * STEPS_PER_EPOCH), "epoch", horizon_steps=6 * STEPS_PER_EPOCH
        ),
    ),
    _case(
        "scheduler_per_micro_batch",
        "a warmup of 160 steps is advanced at each of 8 micro-batches of a step (Lightning #1476)",
        ("PF206", "PF207"),
        lambda: _own(
            partial(_ramp, length=160), habits=Habits(accumulate=8, scheduler_per_micro_batch=True), horizon_steps=200
        ),
    ),
    _case(
        "gradients_not_zeroed",
        "zero_grad is never called",
        ("PF109",),
        lambda: sgd(0.05, habits=Habits(zero_grad=False)),
    ),
    _case(
        "gradients_not_zeroed_adam",
        "zero_grad is never called, with Adam",
        ("PF109",),
        lambda: task().but(habits=Habits(zero_grad=False)),
    ),
    _case(
        "validated_in_training_mode",
        "model.eval() is forgotten, with batch norm and dropout of 0.7",
        ("PF505",),
        lambda: task(norm="batch", dropout=0.7).but(habits=Habits(eval_mode=False)),
    ),
    _case(
        "recorded_zeros",
        "the validation's figures are written down as zeros",
        ("PF501",),
        lambda: task().but(habits=Habits(metrics="zeros")),
    ),
    _case(
        "stale_copy",
        "a copy is validated that is never updated",
        ("PF502",),
        lambda: task().but(habits=Habits(metrics="stale")),
    ),
    _case(
        "metric_of_wrong_axis",
        "the accuracy takes the largest over the samples in place of the classes",
        ("PF504",),
        lambda: task().but(metric={"function": _accuracy_by_sample, "goal": "maximize", "name": "accuracy"}),
    ),
    _case(
        "group_ratio_1e-5",
        "the trunk's learning rate is 1e-5 of the head's",
        ("PF208", "PF106", "PF104"),
        lambda: momentum(0.05, components={"head": "5.*", "trunk": "0.*|3.*"}, lr_ratios={"trunk": 1e-5}),
    ),
)
