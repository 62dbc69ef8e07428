"""Lightning's learning-rate finder (lightning.ai/docs: `Tuner.lr_find`)."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.lr_loop import CPU, counted
from benchmarks.lr_peers.base import Answers, Question, Rows, loss_of
from benchmarks.lr_tasks.base import LrTask
from benchmarks.lr_verdict import Suggestion
from preflight.tasks.seeding import seeded


def lightning(question: Question) -> Answers:
    """100 steps from 1e-8 to 1, stopped where the loss is four times the lowest one."""
    from lightning.pytorch import Trainer  # noqa: PLC0415  # of the extra "bench"
    from lightning.pytorch.tuner import Tuner  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    task = question.task
    with warnings.catch_warnings(), seeded(question.seed, CPU), counted() as steps:
        warnings.simplefilter("ignore")  # of loaders without workers
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=task.clip_norm,
            default_root_dir=question.folder,
        )
        loader = DataLoader(Rows(task), batch_size=task.batch_size, shuffle=True)
        finder = Tuner(trainer).lr_find(_module(task), loader, update_attr=False)
        lr = None if finder is None else finder.suggestion()
    error = "" if lr is not None else "no suggestion"
    return {"Lightning": Suggestion(None if lr is None else float(lr), steps.done, error)}


def _module(task: LrTask) -> object:
    from lightning.pytorch import LightningModule  # noqa: PLC0415

    class Module(LightningModule):  # type: ignore[misc]  # Any to a type checker, installed or not
        """The task as Lightning has it."""

        def __init__(self) -> None:
            super().__init__()
            self.lr, self.model, self.loss = 1e-3, task.model(), loss_of(task)

        def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
            """The loss of a batch."""
            count = len(task.inputs)
            return self.loss(self.model(*batch[:count]), *batch[count:])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """The task's own."""
            return task.optimizer(self.parameters(), lr=self.lr)

    return Module()
