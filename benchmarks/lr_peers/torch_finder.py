"""torch-lr-finder (github.com/davidtvs/pytorch-lr-finder), as its readme has it."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.lr_loop import CPU, counted
from benchmarks.lr_peers.base import Answers, OneArgument, Pairs, Question, loss_of
from benchmarks.lr_verdict import Suggestion
from preflight.tasks.seeding import seeded

START_LR = 1e-7


def torch_lr_finder(question: Question) -> Answers:
    """100 steps from 1e-7 to 10, stopped where the loss is five times the lowest one; the steepest point."""
    from torch_lr_finder import LRFinder  # noqa: PLC0415  # of the extra "bench"

    task, loss = question.task, loss_of(question.task)

    def criterion(output: Any, targets: tuple[Tensor, ...]) -> Tensor:
        return loss(output, *targets)

    with seeded(question.seed, CPU), counted() as steps, redirect_stdout(StringIO()):
        model = OneArgument(task.model())
        optimizer = task.optimizer(model.parameters(), lr=START_LR)
        _clip(model, optimizer, task.clip_norm)
        loader = DataLoader(Pairs(task), batch_size=task.batch_size, shuffle=True)
        finder = LRFinder(model, optimizer, criterion, device="cpu")
        finder.range_test(loader, end_lr=10, num_iter=100)
        figure, axes = plt.subplots()
        try:
            found = finder.plot(ax=axes, suggest_lr=True)
        finally:
            plt.close(figure)
    # Without enough points it draws the curve alone.
    lr = float(found[1]) if isinstance(found, tuple) else None
    return {"torch-lr-finder": Suggestion(lr, steps.done, "" if lr else "no suggestion")}


def _clip(model: nn.Module, optimizer: torch.optim.Optimizer, limit: float | None) -> None:
    """It knows no clipping, and the task may have it."""

    def clip(*_: Any) -> None:
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)

    optimizer.register_step_pre_hook(clip)
