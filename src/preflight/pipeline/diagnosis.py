"""Looks at a task with every probe, and tries the remedies that the rules propose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from preflight.advise.diagnosis import Diagnosis, diagnose, with_speeds
from preflight.advise.ladder import Rung
from preflight.core.errors import ConfigError
from preflight.core.model_settings import MetricSettings
from preflight.core.params import Params
from preflight.core.settings import Settings
from preflight.core.units import RunLength
from preflight.pipeline.inspection import Inspection, inspect_task, open_file, open_task, staying
from preflight.pipeline.rehearsal import rehearse
from preflight.pipeline.today import read_today
from preflight.probes.activations import look_at_activations
from preflight.probes.distributions import look_at_fields
from preflight.probes.first_layer import look_at_first_layers
from preflight.probes.fit import one_line
from preflight.probes.labels import look_at_labels
from preflight.probes.loading import look_at_loading, look_at_logging
from preflight.probes.losses import look_at_losses
from preflight.probes.memory import look_at_memory
from preflight.probes.modes import look_at_modes
from preflight.probes.order import look_at_order
from preflight.probes.parameters import look_at_parameters
from preflight.probes.reading import look_at_reading
from preflight.probes.schedule import look_at_schedule
from preflight.probes.throughput import look_at_throughput
from preflight.probes.usage import look_at_usage
from preflight.rules.pf601_loader_bound import is_loader_bound, proposed_workers
from preflight.rules.start import CHECKPOINT, INITIALISATION
from preflight.tasks.extent import AS_USUAL, Extent
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry.recording import Recording
from preflight.telemetry.schema import TABLES
from preflight.trials.outcome import Result

NOT_RUN = "it takes a run, and inspect makes none"
Look = Callable[[], Mapping[str, Any]]


def look(settings: Settings, extent: Extent = AS_USUAL) -> tuple[Inspection, dict[str, Any], Diagnosis]:
    """Inspect a task and ask the rules of what was seen; nothing is trained as a trial, and nothing written.

    Raises :class:`ConfigError` for an ``extent`` that the training data do not allow.
    """
    file = open_file(settings)
    with staying():
        task = open_task(settings)
        length = read_today(settings.model, task, file, settings.space.plain).length
        task.extent = allowed(extent, length)
        inspection = inspect_task(settings, task, file)
        rehearse(settings, inspection, task)
        facts = gather_facts(task, inspection, settings.seed)
    info = {"params": asdict(inspection.today.params), "seed": settings.seed}
    recording = Recording(Path(), info, facts, {}, _not_run())
    return inspection, facts, with_speeds(diagnose([recording]), facts)


def allowed(extent: Extent, length: RunLength) -> Extent:
    """An extent that the training data of a run of ``length`` have room for; raises :class:`ConfigError`."""
    samples, batches = extent.samples, extent.loss_batches
    if samples is not None and not length.batch_size <= samples <= length.train_size:
        raise ConfigError(
            f"--samples must be from {length.batch_size} (one batch) to {length.train_size} (all training samples), "
            f"got {samples}; leave it out for as many as tell enough"
        )
    if batches is not None and not 1 <= batches <= length.steps_per_epoch:
        raise ConfigError(
            f"--loss-batches must be from 1 to {length.steps_per_epoch} (the batches of an epoch, {length.batch_size} "
            f"samples each), got {batches}; leave it out for as many as tell enough"
        )
    return extent


def _not_run() -> dict[str, str]:
    return {table.file.removesuffix(".csv"): NOT_RUN for table in TABLES}


def gather_facts(task: PyTorchTask, inspection: Inspection, seed: int) -> dict[str, Any]:
    """What the probes find before training, as facts.json holds it.

    A probe that a user's model breaks is left out, and said so under ``failed``: rules that need it do not apply.
    """
    facts: dict[str, Any] = {"failed": {}}
    for name, look in _probes(task, inspection, seed).items():
        try:
            facts |= look()
        except Exception as error:  # the user's model, in a situation that training does not bring about
            facts["failed"][name] = one_line(error)
    return facts | _throughput(task, inspection, seed, facts)


def _throughput(task: PyTorchTask, inspection: Inspection, seed: int, facts: dict[str, Any]) -> dict[str, Any]:
    """What more loader workers and a larger batch do, where training was seen to wait for its data."""
    recording = Recording(Path(), {}, facts, {})
    if not is_loader_bound(recording):
        return {}
    try:
        workers = proposed_workers(recording)
        return look_at_throughput(task, inspection.today.params, seed, facts["loading"], workers)
    except Exception as error:  # the user's loader, made again
        return {"throughput": {"variants": [], "failed": one_line(error)}}


def _probes(task: PyTorchTask, inspection: Inspection, seed: int) -> dict[str, Look]:
    params = inspection.today.params
    looks: dict[str, Callable[..., dict[str, Any]]] = {
        "fields": look_at_fields,
        "first layers": look_at_first_layers,
        "order": look_at_order,
        "labels": look_at_labels,
        "parameters": look_at_parameters,
        "activations": look_at_activations,
        "usage": look_at_usage,
        "losses": partial(look_at_losses, constants=inspection.constants_with(params)),
        "schedule": partial(look_at_schedule, length=inspection.today.length),
        "modes": look_at_modes,
        "loading": look_at_loading,
        "memory": look_at_memory,
    }
    logging = partial(look_at_logging, task, inspection.today.length)
    named = {name: partial(look, task, params, seed) for name, look in looks.items()}
    of_task = {"start": _start, "metric": _metric, "reading": look_at_reading}
    return {**named, "logging": logging, **{name: partial(look, task) for name, look in of_task.items()}}


def _start(task: PyTorchTask) -> dict[str, Any]:
    """What training starts from."""
    return {"start": INITIALISATION if task.checkpoint is None else CHECKPOINT}


def _metric(task: PyTorchTask) -> dict[str, Any]:
    metric = task.settings.metric
    return {} if metric is None else {"metric": {"name": metric.name, "goal": metric.goal}}


def after_search(
    ladders: Mapping[str, Sequence[Rung]],
    rates: tuple[float, float] | None,
    finished: Sequence[tuple[Params, float]],
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Facts that the range and the search add: the ladders by their labels, and where the best learning rate lies.

    ``rates`` are the lowest and the highest of the search, None where the rate is kept; ``metrics`` are those of
    :func:`metrics_of`.
    """
    facts: dict[str, Any] = {"ladders": {label: [asdict(rung) for rung in rungs] for label, rungs in ladders.items()}}
    if finished and rates is not None:
        best, _ = min(finished, key=lambda item: item[1])
        facts["search"] = {"lr": {"low": rates[0], "high": rates[1], "best": best.lr}}
    if metrics:
        facts.setdefault("search", {})["metric"] = dict(metrics)
    return facts


def metrics_of(metric: MetricSettings | None, results: Sequence[Result]) -> dict[str, Any]:
    """``{name, goal, runs, lowest, highest, best, worst}``: the metric over runs of the search, and their scores."""
    found = [(item.metric, item.score) for item in results if math.isfinite(item.metric) and math.isfinite(item.score)]
    if metric is None or not found:
        return {}
    values, scores = zip(*found, strict=True)
    return {
        "name": metric.name,
        "goal": metric.goal,
        "runs": len(found),
        "lowest": min(values),
        "highest": max(values),
        "best": min(scores),
        "worst": max(scores),
    }
