"""Where B2 starts from: tasks at settings that train well, and the same tasks with one thing wrong.

They were fixed before anything was measured. A rate that trains well is the best one of B1's grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from benchmarks.lr_tasks import TASKS
from benchmarks.lr_tasks.base import Batch, LrTask
from preflight.core.params import ParamValue
from preflight.scenarios.icecube_data import load_data as load_events

Data = Callable[[], tuple[Batch, Batch]]


@dataclass(frozen=True)
class Start:
    """A task with today's settings. ``mended`` are settings that do without the fault; a healthy start has no fault.

    ``lr`` is relative to the task's best rate; ``baseline`` are other settings of today's.
    """

    name: str
    task: LrTask
    fault: str = ""
    lr: float = 1.0
    baseline: Mapping[str, ParamValue] = field(default_factory=dict)
    mended: Mapping[str, ParamValue] = field(default_factory=dict)

    def settings(self, best_lr: float) -> dict[str, ParamValue]:
        """Today's settings as a user would give them."""
        task = self.task
        return {
            "lr": float(f"{self.lr * best_lr:.2g}"),
            "batch_size": task.batch_size,
            "warmup_fraction": task.warmup_fraction,
            "clip_norm": task.clip_norm,
            **{f"loss_weights.{item.name}": item.weight for item in task.losses},
            **self.baseline,
        }

    def known_good(self, best_lr: float) -> dict[str, ParamValue]:
        """Changes to today's settings that are known to train well."""
        task = self.task
        usual: dict[str, ParamValue] = {"lr": best_lr, "warmup_fraction": task.warmup_fraction}
        usual |= {name: getattr(task, name) for name in ("clip_norm",)}
        return {**usual, **{f"loss_weights.{item.name}": item.weight for item in task.losses}, **self.mended}


def _units(data: Data, name: str, scale: float, offset: float) -> tuple[Batch, Batch]:
    train, validation = ({**part, name: offset + scale * part[name]} for part in data())
    return train, validation


def _sorted(data: Data, name: str) -> tuple[Batch, Batch]:
    train, validation = data()
    order = torch.argsort(train[name], stable=True)
    return {key: values[order] for key, values in train.items()}, validation


def _raw_events() -> tuple[Batch, Batch]:
    train, validation = load_events()
    return dict(train), dict(validation)


def _starts() -> Iterator[Start]:
    tasks = {task.name: task for task in TASKS}
    adam, sgd = tasks["digits_standardized_adam"], tasks["digits_standardized_sgd"]
    waves, two, events = tasks["mnist1d_conv"], tasks["two_losses"], tasks["icecube"]
    text = next(task for task in TASKS if task.warmup_fraction > 0)
    for task in (adam, sgd, waves, text, two, events):
        yield Start(f"{task.name}", task)
        yield Start(f"{task.name} at twice its rate", task, lr=2.0)
    yield Start("digits, Adam at 100 x", adam, "rate", 100)
    yield Start("digits, SGD at 1/100", sgd, "rate", 0.01)
    yield Start("mnist1d at 1/100", waves, "rate", 0.01)
    yield Start("mnist1d at 100 x", waves, "rate", 100)
    yield Start("text at 10 x without a warmup", text, "rate", 10, {"warmup_fraction": 0.0})
    yield Start("icecube at 1/30", events, "rate", 1 / 30)
    yield Start("digits, SGD with a warmup over all of it", sgd, "warmup", baseline={"warmup_fraction": 1.0})
    yield Start("digits, SGD clipped at 1e-3", sgd, "clipping", baseline={"clip_norm": 1e-3})
    yield Start("mnist1d with a weight decay of 30", waves, "decay", 1, {"weight_decay": 30.0}, {"weight_decay": 0.01})
    in_order = partial(_sorted, adam.data, "label")
    yield Start(
        "digits, Adam, in the order of the classes",
        replace(adam, data=in_order),
        "order",
        baseline={"shuffle": False},
        mended={"shuffle": True},
    )
    pixels = partial(_units, sgd.data, "image", 77.0, 78.0)
    standardized: Mapping[str, Any] = {"normalization.image": "standardize"}
    yield Start("digits, SGD, raw pixels", replace(sgd, data=pixels), "inputs", mended=standardized)
    signal = partial(_units, waves.data, "signal", 1000.0, 5000.0)
    standardized = {"normalization.signal": "standardize"}
    yield Start("mnist1d in raw units", replace(waves, data=signal), "inputs", mended=standardized)
    kinds = {"pulses": {**events.fields["pulses"], "kind": ["continuous", "heavy_tailed", "identifier", "binary"]}}
    yield Start(
        "icecube, raw pulses",
        replace(events, data=_raw_events, fields=kinds),
        "inputs",
        mended={"normalization.pulses": "per_kind"},
    )
    picture = replace(two, data=partial(_units, two.data, "picture", 300.0, 1000.0))
    standardized = {"target_normalization.picture": "standardize"}
    yield Start("two losses, one target in raw units", picture, "targets", mended=standardized)
    yield Start("two losses, one weighted by 1e4", two, "weights", baseline={"loss_weights.picture": 1e4})
    yield Start("two losses, one weighted by 1e-4", two, "weights", baseline={"loss_weights.picture": 1e-4})


STARTS = tuple(_starts())
