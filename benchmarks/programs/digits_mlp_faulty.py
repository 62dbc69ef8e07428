"""What can be wrong with a perceptron on digits: its settings, its data, its layers, its loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_loop import Habits
from benchmarks.program import STEPS, Training
from benchmarks.programs.digits_mlp import BASE, STEPS_PER_EPOCH, Data, digits, network, task


class Then(nn.Module):
    """A network, and what its author put behind it."""

    def __init__(self, inner: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self, values: Tensor) -> Tensor:
        """Output of the function."""
        return self.function(self.inner(values))


class Before(Then):
    """A network, and what its author put in front of it."""

    def forward(self, values: Tensor) -> Tensor:
        """Output of the network."""
        return self.inner(self.function(values))


def behind(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network with ``function`` behind it."""
    return lambda: Then(network(**options), function)


def in_front(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network with ``function`` in front of it."""
    return lambda: Before(network(**options), function)


def initialized(change: Callable[[nn.Linear, int], object], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network whose linear layers, numbered from 0, are ``change``d at the beginning."""

    def build() -> nn.Module:
        model = network(**options)
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        with torch.no_grad():
            for number, layer in enumerate(layers):
                change(layer, number)
        return model

    return build


def _dead_bias(layer: nn.Linear, number: int) -> None:
    if number == 0:
        layer.bias.fill_(-20.0)


def _zeros(layer: nn.Linear, _number: int) -> None:
    layer.weight.zero_()
    layer.bias.zero_()


def _constant(layer: nn.Linear, _number: int) -> None:
    layer.weight.fill_(0.05)
    layer.bias.zero_()


def _large(layer: nn.Linear, _number: int) -> None:
    layer.weight.mul_(12.0)


def _large_head(layer: nn.Linear, number: int) -> None:
    if number == 2:
        layer.weight.mul_(100.0)


def _frozen_trunk() -> nn.Module:
    model = network(depth=3)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("6."))
        if not parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)
    return model


def _without_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The optimizer was made before the head was replaced."""
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


def _only_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{**group, "params": group["params"][-2:]} for group in groups], lr=lr, momentum=0.9)


def _shuffled_labels() -> Data:
    (images, labels), (others, theirs) = digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return (images, labels[order]), (others, theirs)


def _sorted() -> Data:
    (images, labels), validation = digits()
    order = labels.argsort(stable=True)
    return (images[order], labels[order]), validation


def _with_nan() -> Data:
    (images, labels), validation = digits()
    images = images.clone()
    images[200::400, 20] = float("nan")
    return (images, labels), validation


def _shifted_validation() -> Data:
    """The loader of the validation split lacks the division by 16."""
    train, (others, theirs) = digits()
    return train, (others * 16, theirs)


def _inverted_validation() -> Data:
    train, (others, theirs) = digits()
    return train, (1 - others, theirs)


def _few() -> Data:
    (images, labels), validation = digits()
    return (images[:40], labels[:40]), validation


def _log_of_softmax(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy by hand: the softmax underflows to zero."""
    return -torch.softmax(output, dim=1)[torch.arange(len(target)), target].log().mean()


def _sum(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


def _tiny(output: Tensor, target: Tensor) -> Tensor:
    return 1e-6 * F.cross_entropy(output, target)


def _accuracy_by_sample(output: Tensor, target: Tensor) -> Tensor:
    """The wrong axis: each class's largest sample, compared with the labels."""
    return (output.argmax(dim=0) == target[: output.shape[1]]).float().mean()


def _sgd(lr: float, **changes: Any) -> Training:
    return task().but(optimizer=torch.optim.SGD, lr=lr, **changes)


def _momentum(lr: float, **changes: Any) -> Training:
    return task().but(optimizer=partial(torch.optim.SGD, momentum=0.9), lr=lr, **changes)


def _own(scheduler: Callable[..., Any], interval: str = "step", **changes: Any) -> Training:
    return _momentum(0.1, scheduler=scheduler, scheduler_interval=interval, **changes)


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
BOUNDED = ("PF407", "PF408")

FAULTY = (
    _case("lr_times_100", "the learning rate of Adam is 0.1", ("PF201",), lambda: task().but(lr=0.1)),
    _case("lr_by_1000", "the learning rate of Adam is 1e-6", ("PF202",), lambda: task().but(lr=1e-6)),
    _case("sgd_lr_1e-5", "the learning rate of SGD is 1e-5", ("PF202",), lambda: _sgd(1e-5)),
    _case("sgd_lr_10", "the learning rate of SGD with momentum is 10", ("PF201",), lambda: _momentum(10.0)),
    _case(
        "inputs_times_1000",
        "pixels from 0 to 1000, mean 305",
        ("PF301",),
        lambda: task().but(data=partial(digits, 1000 / 16)),
    ),
    _case(
        "inputs_offset",
        "pixels around 500 with deviation 0.4",
        ("PF301",),
        lambda: task().but(data=partial(digits, 1 / 16, 500.0)),
    ),
    _case(
        "normalized_twice",
        "pixels divided by 16 and by 255",
        ("PF309", "PF301"),
        lambda: task().but(data=partial(digits, 1 / 16 / 255)),
    ),
    _case(
        "labels_shuffled", "labels do not belong to their images", ("PF310",), lambda: task().but(data=_shuffled_labels)
    ),
    _case(
        "sorted_by_label",
        "sorted by label and not shuffled",
        ("PF307",),
        lambda: task().but(data=_sorted, shuffle=False),
    ),
    _case("nan_pixels", "a NaN in three images of 1,297", ("PF305",), lambda: task().but(data=_with_nan)),
    _case(
        "validation_not_scaled",
        "the validation pixels are 16 times as large",
        ("PF306",),
        lambda: task().but(data=_shifted_validation),
    ),
    _case(
        "validation_inverted",
        "the validation images are inverted",
        ("PF306",),
        lambda: task().but(data=_inverted_validation),
    ),
    _case(
        "forty_images",
        "40 images to train on, 3 x 512 units",
        ("PF507",),
        lambda: task(depth=3, width=512).but(data=_few),
    ),
    _case(
        "log_of_pixels",
        "the model takes the logarithm of pixels that are 0",
        ("PF108", "PF305"),
        lambda: task().but(factory=in_front(torch.log)),
    ),
    _case(
        "log_of_softmax",
        "log(softmax(x)) by hand underflows once logits are large",
        ("PF108",),
        lambda: _momentum(0.1, losses={"cross_entropy": _log_of_softmax}, factory=behind(lambda x: 60 * x)),
    ),
    _case(
        "dead_relu",
        "biases of the first layer are -20: every ReLU is dead",
        ("PF702", "PF103", "PF107"),
        lambda: task().but(factory=initialized(_dead_bias)),
    ),
    _case("zero_init", "all weights begin at zero", ("PF107",), lambda: task().but(factory=initialized(_zeros))),
    _case(
        "constant_init",
        "all weights begin at 0.05: units stay alike",
        ("PF107",),
        lambda: task().but(factory=initialized(_constant)),
    ),
    _case(
        "large_init",
        "all weights are 12 times as large as they should be at first",
        ("PF107",),
        lambda: task().but(factory=initialized(_large)),
    ),
    _case(
        "large_head",
        "the head's weights are 100 times too large: the first loss is 30",
        ("PF405", "PF107"),
        lambda: _sgd(0.003, factory=initialized(_large_head)),
    ),
    _case(
        "deep_sigmoid",
        "14 layers of sigmoids: no gradient reaches the first",
        ("PF102", "PF107"),
        lambda: _momentum(0.05, factory=partial(network, depth=14, activation="sigmoid")),
    ),
    _case(
        "clip_at_1e-6",
        "gradients are clipped to a norm of 1e-6, with SGD",
        ("PF105",),
        lambda: _momentum(0.05, clip_norm=1e-6),
    ),
    _case(
        "weight_decay_10",
        "AdamW with a weight decay of 10",
        ("PF409",),
        lambda: task().but(optimizer=torch.optim.AdamW, weight_decay=10.0),
    ),
    _case("l2_of_0.1", "SGD with an L2 penalty of 0.1", ("PF409",), lambda: _momentum(0.05, weight_decay=0.1)),
    _case("dropout_0.95", "dropout of 0.95", ("PF409", "PF505"), lambda: task(dropout=0.95)),
    _case(
        "double_softmax",
        "a softmax in the model, and another in the cross-entropy",
        ("PF408",),
        lambda: task().but(factory=behind(partial(torch.softmax, dim=1))),
    ),
    _case(
        "sigmoid_head", "a sigmoid before the cross-entropy", BOUNDED, lambda: task().but(factory=behind(torch.sigmoid))
    ),
    _case(
        "relu_head",
        "a ReLU before the cross-entropy",
        (*BOUNDED, "PF702"),
        lambda: _momentum(0.05, factory=behind(torch.relu)),
    ),
    _case(
        "frozen_trunk",
        "all but the last layer is frozen at random weights of 0.02",
        ("PF104",),
        lambda: task().but(factory=_frozen_trunk),
    ),
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
        "batch_norm_batch_2", "batch norm with batches of 2", ("PF506",), lambda: task(norm="batch").but(batch_size=2)
    ),
    _case(
        "batch_norm_batch_3",
        "batch norm with batches of 3",
        ("PF506",),
        lambda: task(norm="batch", depth=3).but(batch_size=3),
    ),
    _case(
        "summed_loss",
        "the loss is summed over a batch of 64, with SGD 0.1",
        ("PF406",),
        lambda: _sgd(0.1, batch_size=64, losses={"cross_entropy": _sum}),
    ),
    _case(
        "tiny_loss",
        "the loss is multiplied by 1e-6, with SGD 0.1",
        ("PF202", "PF402"),
        lambda: _sgd(0.1, losses={"cross_entropy": _tiny}),
    ),
    _case(
        "warmup_of_the_whole_run",
        "the warmup is as long as the run",
        ("PF204",),
        lambda: _momentum(0.05, warmup_steps=STEPS),
    ),
    _case(
        "warmup_of_ten_runs",
        "the warmup is ten times as long as the run",
        ("PF204",),
        lambda: _momentum(0.05, warmup_steps=10 * STEPS),
    ),
    _case(
        "ignored_input",
        "the model multiplies its input by zero",
        ("PF410",),
        lambda: task().but(factory=in_front(lambda x: 0 * x)),
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
        lambda: _sgd(0.05, habits=Habits(zero_grad=False)),
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
        lambda: _momentum(0.05, components={"head": "5.*", "trunk": "0.*|3.*"}, lr_ratios={"trunk": 1e-5}),
    ),
)
