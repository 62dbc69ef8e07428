"""Optimizers that need no learning rate, in place of the task's own: judged by what they train to alone."""

from __future__ import annotations

from benchmarks.lr_loop import counted, train_with
from benchmarks.lr_peers.base import Answers, Question
from benchmarks.lr_truth import FIRST_SEED
from benchmarks.lr_verdict import Suggestion


def prodigy(question: Question) -> Answers:
    """Prodigy (arXiv 2306.06101), at its rate of 1 with the task's schedule on it."""
    from prodigyopt import Prodigy  # noqa: PLC0415  # of the extra "bench"

    with counted() as steps:
        loss = train_with(question.task, lambda parameters: Prodigy(parameters, lr=1.0), FIRST_SEED + question.seed)
    return {"Prodigy": Suggestion(None, steps.done, loss=loss)}


def schedule_free(question: Question) -> Answers:
    """Schedule-free AdamW (arXiv 2405.15682), at its default rate with the task's warmup and no schedule."""
    from schedulefree import AdamWScheduleFree  # noqa: PLC0415

    warmup = round(question.task.warmup_fraction * question.task.horizon_steps)
    with counted() as steps:
        loss = train_with(
            question.task,
            lambda parameters: AdamWScheduleFree(parameters, warmup_steps=warmup),
            FIRST_SEED + question.seed,
            scheduled=False,
        )
    return {"schedule-free AdamW": Suggestion(None, steps.done, loss=loss)}
