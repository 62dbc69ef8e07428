"""fastai's `lr_find` with all its four suggestions (docs.fast.ai/callback.schedule.html)."""

from __future__ import annotations

from functools import partial

from benchmarks.lr_loop import CPU, counted
from benchmarks.lr_peers.base import Answers, Question, Rows, loss_of
from benchmarks.lr_verdict import Suggestion
from preflight.tasks.seeding import seeded


def fastai(question: Question) -> Answers:
    """100 steps from 1e-7 to 10, stopped where the loss flies off; on the task's own optimizer."""
    from fastai.callback.schedule import minimum, slide, steep, valley  # noqa: PLC0415  # of the extra "bench"
    from fastai.callback.training import GradientClip  # noqa: PLC0415
    from fastai.data.core import DataLoaders  # noqa: PLC0415
    from fastai.data.load import DataLoader  # noqa: PLC0415
    from fastai.learner import Learner  # noqa: PLC0415
    from fastai.optimizer import OptimWrapper  # noqa: PLC0415

    task = question.task
    with seeded(question.seed, CPU), counted() as steps:
        rows = Rows(task)
        loaders = DataLoaders(*(DataLoader(rows, bs=task.batch_size, shuffle=True, num_workers=0) for _ in range(2)))
        loaders.n_inp = len(task.inputs)
        learner = Learner(
            loaders,
            task.model(),
            loss_func=loss_of(task),
            opt_func=partial(OptimWrapper, opt=task.optimizer),
            cbs=[] if task.clip_norm is None else [GradientClip(task.clip_norm)],
            path=question.folder,
        )
        with learner.no_bar(), learner.no_logging():
            found = learner.lr_find(suggest_funcs=(valley, minimum, slide, steep), show_plot=False)
    return {f"fastai {name}": Suggestion(float(getattr(found, name)), steps.done) for name in found._fields}
