"""preflight from Python: the same run as `preflight +model=...`, with objects in place of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.arguments import check_arguments
from preflight.core.compose import compose_sweeps
from preflight.core.errors import ConfigError
from preflight.core.settings import Trust, parse
from preflight.pipeline.audience import Audience, Nobody
from preflight.pipeline.flight import fly, prepare
from preflight.tasks.base import Loss


@dataclass(frozen=True)
class Answer:
    """What a run found.

    ``config_fixed`` is the corrected file, or None where nothing was changed or no file was given; ``report`` an
    HTML page with the evidence. ``not_written`` says why a corrected file is not where it should be, if it is not.
    """

    recommendation: Recommendation
    run_dir: Path
    config_fixed: Path | None
    not_written: str = ""

    @property
    def report(self) -> Path:
        """The report of the run."""
        return self.run_dir / "report.html"

    @property
    def changed(self) -> bool:
        """Whether settings are recommended that are better than today's."""
        return self.recommendation.decision == CHANGE


def tune(
    factory: Callable[..., nn.Module],
    data: Callable[[], Any] | tuple[Any, Any],
    losses: Mapping[str, Loss],
    *,
    baseline: Mapping[str, Any] | None = None,
    horizon_steps: int | None = None,
    config: str | Path | None = None,
    mapping: Mapping[str, str] | None = None,
    checkpoint: str | Path | None = None,
    metric: Callable[[Any, Any], Tensor | float] | None = None,
    metric_goal: str = "minimize",
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    components: Mapping[str, str] | None = None,
    head: str | None = None,
    optimizer: Callable[..., Any] | None = None,
    schedule: str | None = None,
    scheduler: Callable[..., Any] | None = None,
    scheduler_interval: str | None = None,
    log_every_steps: int | None = None,
    fields: Mapping[str, Mapping[str, Any]] | None = None,
    lr_ratios: Mapping[str, float] | None = None,
    name: str = "model",
    overrides: Sequence[str] = (),
    audience: Audience | None = None,
) -> Answer:
    """Find settings that train better than today's, prove them on fresh seeds, and write the corrected config.

    ``factory(**extras)`` builds the model; ``data`` is ``(train, validation)`` or a function that returns it: tensors,
    arrays, mappings of them, map-style data sets or their loaders. Each loss is a scalar function of
    ``(output, target)``, the mean over the batch; ``metric`` is one too, over the whole validation set. Today's
    settings are in ``baseline`` (``{"lr": 1e-3, "batch_size": 32}``), in the YAML file ``config`` by way of
    ``mapping`` (``{"lr": "optimizer.lr"}``), or in both. ``horizon_steps`` is the length of the long run in optimizer
    steps, unless ``mapping`` has it. ``optimizer`` is called with parameter groups, ``lr`` and, where it is set,
    ``weight_decay``; AdamW without it. ``schedule`` is constant (the default), cosine or linear; or ``scheduler`` is
    called with the optimizer and gives an LR scheduler of torch, which the long run advances once per
    ``scheduler_interval``: "step" (the default) or "epoch". ``log_every_steps`` is how often the long run logs. Every
    network starts from the weights in ``checkpoint``, a file of ``torch.save``, where there is one; the optimizer is
    new.
    ``overrides`` are the command line's:
    ``["budget=smoke", "seed=1", "space.lr.low=1e-5", "run_dir=runs/mine"]``.

    Trials run one after the other in this process; ``overrides=["workers=2"]`` trains in worker processes, where what
    kills a trial's process does not end the program. That needs what every program with worker processes needs:
    functions that are importable, and a script guarded by ``if __name__ == "__main__"``.

    Raises :class:`preflight.core.errors.PreflightError` for everything the command line ends with an exit code for.
    """
    check_arguments(locals())
    if isinstance(factory, nn.Module):
        raise ConfigError(
            f"factory of tune() must be a function that builds a new model every time, got a model "
            f"({type(factory).__name__}); lambda: copy.deepcopy(model) will do"
        )
    model = {
        "factory": factory,
        "data": data,
        "losses": dict(losses),
        "baseline": dict(baseline or {}),
        "horizon_steps": horizon_steps,
        "config": None if config is None else str(config),
        "mapping": dict(mapping or {}),
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "metric": None if metric is None else {"function": metric, "goal": metric_goal, "name": _name(metric)},
        "inputs": inputs,
        "targets": targets,
        "components": dict(components or {}),
        "head": head,
        "optimizer": optimizer,
        "schedule": schedule,
        "scheduler": scheduler,
        "scheduler_interval": scheduler_interval,
        "log_every_steps": log_every_steps,
        "fields": dict(fields or {}),
        "lr_ratios": dict(lr_ratios or {}),
    }
    if any(override.lstrip("+").startswith("model") for override in overrides):
        raise ConfigError("overrides of the model are arguments of tune()")
    values = compose_sweeps(overrides)
    if values["workers"] == "auto":
        values["workers"] = 1
    given = {key: value for key, value in model.items() if value is not None}
    settings = parse({**values, "model": given}, name, None, Trust((Path.cwd(),)))
    threads = torch.get_num_threads()
    try:
        flight = fly(prepare(settings, audience or Nobody()))
    finally:
        torch.set_num_threads(threads)  # the caller's own
    assert flight.recommendation is not None
    paths, problem = ((), "") if flight.written is None else (flight.written.paths, flight.written.problem)
    return Answer(flight.recommendation, flight.run_dir, paths[-1] if paths else None, problem)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
