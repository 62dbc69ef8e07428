"""A whole run: inspect, range, explore, confirm, write."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from optuna.distributions import BaseDistribution

from preflight import __version__
from preflight.advise.choose import leaders
from preflight.advise.ladder import BEST, Rung, ladder_label, lr_bounds
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.errors import Interrupted, NothingTrainedError
from preflight.core.params import Params
from preflight.core.settings import Settings
from preflight.pipeline.audience import Audience
from preflight.pipeline.confirmation import confirm
from preflight.pipeline.inspection import (
    Inspection,
    inspect_task,
    normalization_that_fits,
    open_file,
    open_task,
)
from preflight.pipeline.ladder import HIGHEST, LOWEST, climb, reasons
from preflight.pipeline.writing import Written, output_path, write_config
from preflight.pipeline.written import is_mapped, rounded
from preflight.report.page import write_report
from preflight.search.driver import Explored, explore
from preflight.search.engines.base import Engine, Recipe
from preflight.search.engines.local import choose_engine
from preflight.search.space import distributions
from preflight.search.study import create_study
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry import store
from preflight.trials.lab import Lab
from preflight.trials.outcome import COMPLETED

RUNNING, DONE, STOPPED, FAILED = "running", "done", "interrupted", "failed"


@dataclass
class Flight:
    """A run in progress, and what it has found so far."""

    settings: Settings
    task: PyTorchTask
    inspection: Inspection
    run_dir: Path
    lab: Lab
    engine: Engine
    audience: Audience
    started: datetime = field(default_factory=lambda: datetime.now().astimezone())
    status: str = RUNNING
    error: str = ""
    ladders: dict[str, list[Rung]] = field(default_factory=dict)
    recommendation: Recommendation | None = None
    written: Written | None = None

    @property
    def today(self) -> Params:
        """Today's settings."""
        return self.inspection.today.params

    def finish(self, params: Params) -> Params:
        """Proposed settings as they can be written."""
        return rounded(params, self.inspection.today)


def fly(flight: Flight) -> Flight:
    """Run all stages of a prepared flight; the run directory is complete up to wherever this ends.

    Raises :class:`PreflightError` and its kind for everything that a user can mend, :class:`Interrupted` after
    Ctrl-C, when finished trials and a partial report are there already.
    """
    try:
        _stages(flight)
        flight.status = DONE
    except KeyboardInterrupt:
        flight.status = STOPPED
        raise Interrupted(
            f"stopped; {_finished(flight)} finished trials and a partial report are in {flight.run_dir}"
        ) from None
    except Exception as error:
        flight.status, flight.error = FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        flight.audience.end()
        flight.engine.close()
        _close(flight)
    return flight


def prepare(settings: Settings, audience: Audience) -> Flight:
    """Everything that can be wrong with the input is found here, before anything is trained or written."""
    file = open_file(settings)
    output_path(settings, None if file is None else file.path)
    task = open_task(settings)
    inspection = inspect_task(settings, task, file)
    _space(settings, inspection, task, (LOWEST, HIGHEST))
    run_dir = store.create(settings.run_dir or _default_run_dir(settings.model.name))
    lab = Lab(
        task,
        run_dir,
        inspection.references,
        inspection.today.params.batch_size,
        settings.budget.validation_samples,
    )
    recipe = Recipe(settings, str(task.device), task.normalizers, inspection.references, run_dir, lab.batch_size)
    engine = choose_engine(recipe, lab, settings.workers)
    flight = Flight(settings, task, inspection, run_dir, lab, engine, audience)
    store.write_json(run_dir / store.SETTINGS, _repeatable(settings))
    store.write_json(run_dir / store.INSPECTION, inspection.as_dict())
    if file is not None:
        store.write_text(run_dir / store.ORIGINAL, file.text)
    _write_run(flight)
    return flight


def _stages(flight: Flight) -> None:
    settings, audience = flight.settings, flight.audience
    _say_what_is_not_searched(flight)
    bounds = _range(flight)
    explored = _explore(flight, bounds)
    finished = [(item.spec.params, item.result.score) for item in explored if item.result.outcome.status == COMPLETED]
    if not finished:
        raise NothingTrainedError(f"no trial ended with a score: {reasons(item.result for item in explored)}")
    metric = settings.model.metric
    flight.recommendation = confirm(
        flight.engine,
        flight.today,
        leaders(finished, flight.today, settings.budget.candidates),
        settings.budget,
        settings.seed,
        flight.inspection.today.length.horizon_steps,
        None if metric is None else metric.goal,
        flight.finish,
        audience,
    )
    _ladder(flight, flight.recommendation.recommended)
    store.write_json(flight.run_dir / store.RECOMMENDATION, flight.recommendation.as_dict())
    if flight.recommendation.decision == CHANGE:
        flight.written = write_config(
            settings, flight.inspection.today, flight.recommendation, flight.task.normalizers, flight.run_dir
        )


def _range(flight: Flight) -> tuple[float, float]:
    """Bounds of the learning rate over today's inputs and over inputs normalized as their kinds ask for."""
    fitting = normalization_that_fits(flight.inspection)
    both = [_ladder(flight, flight.today)]
    if flight.settings.space.normalization is None:
        both.append(_ladder(flight, flight.today.with_values({f"normalization.{k}": v for k, v in fitting.items()})))
    bounds = [lr_bounds(rungs) for rungs in both]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _ladder(flight: Flight, params: Params) -> list[Rung]:
    """The ladder of a normalization with today's other settings, trained once."""
    normalization = dict(params.normalization)
    label = ladder_label(normalization)
    if label not in flight.ladders:
        params = flight.today.with_values({f"normalization.{k}": v for k, v in normalization.items()})
        flight.ladders[label] = climb(
            flight.engine,
            flight.run_dir,
            params,
            flight.settings.budget,
            flight.settings.seed,
            flight.audience,
            label,
            _constant_loss(flight),
        )
    return flight.ladders[label]


def _constant_loss(flight: Flight) -> float | None:
    """Weighted loss of the best constant predictors; None where one of them is not known."""
    constants, weights = flight.inspection.constants, flight.today.loss_weights
    known = [weights[name] * value for name, value in constants.items() if value is not None]
    return sum(known) if len(known) == len(constants) else None


def _hints(flight: Flight) -> list[Params]:
    """The best rung of every ladder: measured already, and so worth one of the trials."""
    fitting = normalization_that_fits(flight.inspection)
    found = []
    for normalization in ({}, fitting):
        params = flight.today.with_values({f"normalization.{name}": option for name, option in normalization.items()})
        rungs = flight.ladders.get(ladder_label(params.normalization), [])
        found += [params.with_values({"lr": rung.lr}) for rung in rungs if rung.verdict == BEST]
    return list({params.key(): params for params in found if params.key() != flight.today.key()}.values())


def _explore(flight: Flight, bounds: tuple[float, float]) -> list[Explored]:
    settings, audience = flight.settings, flight.audience
    study = create_study(settings.model.name, flight.run_dir, settings.budget, settings.seed)
    best = [float("inf")]

    def watch(item: Explored) -> None:
        best.append(min(best[-1], item.result.penalized))
        audience.advance(best[-1])

    audience.begin("explore", settings.budget.trials)
    explored = explore(
        study,
        flight.lab,
        flight.today,
        _space(settings, flight.inspection, flight.task, bounds),
        settings.budget,
        settings.seed,
        flight.finish,
        watch,
        _hints(flight),
    )
    audience.end()
    return explored


def _space(
    settings: Settings, inspection: Inspection, task: PyTorchTask, bounds: tuple[float, float]
) -> dict[str, BaseDistribution]:
    """What is searched: where a file is corrected, only what can be written into it."""
    today = inspection.today
    found = distributions(settings.space, today.params, bounds, inspection.options, task.factory_parameters())
    return {name: axis for name, axis in found.items() if today.file is None or is_mapped(name, today)}


def _say_what_is_not_searched(flight: Flight) -> None:
    whole = distributions(
        flight.settings.space,
        flight.today,
        (LOWEST, HIGHEST),
        flight.inspection.options,
        flight.task.factory_parameters(),
    )
    file = flight.inspection.today.file
    left = [name for name in whole if file is not None and not is_mapped(name, flight.inspection.today)]
    if file is not None and left:
        flight.audience.say(
            f"not searched, since model.mapping has no key of {file.path.name} for it: {', '.join(left)}"
        )


def _close(flight: Flight) -> None:
    _write_run(flight)
    try:
        write_report(flight.run_dir)
    except Exception as error:  # the answer must not be lost with its picture
        flight.audience.say(f"the report could not be made: {type(error).__name__}: {error}")


def _finished(flight: Flight) -> int:
    return len(list((flight.run_dir / store.TRIALS).glob(f"*/{store.TRIAL}")))


def _default_run_dir(name: str) -> Path:
    stem = f"{name.replace('/', '-')}-{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}"
    path, count = Path("runs") / stem, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return path


def _repeatable(settings: Settings) -> dict[str, object]:
    return {
        "values": settings.source,
        "name": settings.model.name,
        "folder": settings.model.folder,
        "trust": asdict(settings.trust),
        "repeatable": _is_plain(settings.source),
    }


def _is_plain(value: object) -> bool:
    """Whether a configuration holds only what a file can hold, and no objects given from Python."""
    if isinstance(value, Mapping):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def _write_run(flight: Flight) -> None:
    metric = flight.settings.model.metric
    values: Mapping[str, object] = {
        "preflight": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": sys.argv[1:],
        "model": flight.settings.model.name,
        "device": str(flight.task.device),
        "seed": flight.settings.seed,
        "status": flight.status,
        "error": flight.error,
        "started": flight.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now().astimezone() - flight.started).total_seconds(),
        "metric": None if metric is None else asdict(metric) | {"function": str(metric.function)},
        "budget": asdict(flight.settings.budget),
        "ladders": {label: [asdict(rung) for rung in rungs] for label, rungs in flight.ladders.items()},
        "normalizers": {f"{name}: {option}": config for (name, option), config in flight.task.normalizers.items()},
        "config_fixed": [] if flight.written is None else list(flight.written.paths),
        "unmapped": [] if flight.written is None else list(flight.written.unmapped),
    }
    store.write_json(flight.run_dir / store.RUN, values)
