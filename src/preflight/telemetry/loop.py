"""Habits of somebody's own training loop, seen by hooks on its optimizer and its model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

# A habit shows at once; looking at gradients makes a GPU wait.
STEPS = 10
PARAMETERS = 4


class LoopWatch:
    """Looks on while a loop trains; changes nothing, and holds no gradient.

    Whether gradients of the step before are still there when new ones arrive, and in which mode the model is
    evaluated: passes without gradients count as evaluation. ``parameters`` are the trained ones.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._steps, self._stale, self._evaluations, self._in_training = 0, 0, 0, 0
        self._due: set[int] = set()  # parameters that got no gradient since the last step
        self._parameters = [id(item) for item in parameters]
        spread = parameters[:: max(1, len(parameters) // PARAMETERS)]
        self._handles: list[Any] = [
            optimizer.register_step_post_hook(self._stepped),
            network.register_forward_pre_hook(self._passes),
            *(item.register_hook(partial(self._arrives, item)) for item in spread),
        ]

    def facts(self) -> dict[str, Any]:
        """``{"loop": {stale_gradients, evaluations, evaluated_in_training_mode}}``: the latter two are counts."""
        return {
            "loop": {
                "stale_gradients": self._stale > 0,
                "evaluations": self._evaluations,
                "evaluated_in_training_mode": self._in_training,
            }
        }

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _stepped(self, *_: object) -> None:
        self._steps += 1
        self._due = set(self._parameters) if self._steps <= STEPS else set()

    def _arrives(self, parameter: Tensor, _gradient: Tensor) -> None:
        """A gradient that is about to be added to what is there: of micro-batches, or of a step that is over."""
        if id(parameter) in self._due:
            self._due.remove(id(parameter))
            self._stale += parameter.grad is not None and bool(parameter.grad.any())

    def _passes(self, network: nn.Module, _inputs: object) -> None:
        if not torch.is_grad_enabled():
            self._evaluations += 1
            self._in_training += network.training
