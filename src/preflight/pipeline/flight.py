"""A whole run: inspect, range, explore, confirm, write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from preflight.advise.choose import leaders
from preflight.advise.diagnosis import Diagnosis, diagnose, errors_left, with_speeds
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.errors import Interrupted, NothingTrainedError
from preflight.core.params import Params
from preflight.core.settings import Settings
from preflight.pipeline.audience import Audience
from preflight.pipeline.axes import (
    free_normalizations,
    may_be_mended,
    not_searched,
    range_of_lr,
    room_to_refine,
    searched,
    why_closed,
)
from preflight.pipeline.balancing import methods_to_compare, other_weights
from preflight.pipeline.confirmation import Bench, confirm, described
from preflight.pipeline.diagnosis import after_search, gather_facts, metrics_of
from preflight.pipeline.inspection import (
    Inspection,
    inspect_task,
    open_file,
    open_task,
    staying,
)
from preflight.pipeline.ladder import HIGHEST, LOWEST, Ladders, reasons
from preflight.pipeline.logbook import origin, write_inputs
from preflight.pipeline.noise import look_at_noise
from preflight.pipeline.rehearsal import rehearse
from preflight.pipeline.remedies import candidates_with, try_remedies
from preflight.pipeline.workers import with_workers
from preflight.pipeline.writing import Written, output_path, write_config
from preflight.pipeline.written import rounded
from preflight.probes.reading import look_at_reading
from preflight.report.page import write_report
from preflight.search.driver import Explored, explore
from preflight.search.engines.base import Engine, Recipe
from preflight.search.engines.local import choose_engine
from preflight.search.importance import importance
from preflight.search.study import create_study
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.schedules import own_curves
from preflight.telemetry import store
from preflight.telemetry.recording import Run
from preflight.trials.lab import Lab
from preflight.trials.outcome import COMPLETED, INTERRUPTED

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
    ladders: Ladders
    audience: Audience
    facts: dict[str, Any]
    started: datetime = field(default_factory=lambda: datetime.now().astimezone())
    status: str = RUNNING
    error: str = ""
    recommendation: Recommendation | None = None
    diagnosis: Diagnosis | None = None
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
        try:
            _write_run(flight)  # first: what sent SIGTERM may not wait for the rest
        finally:
            flight.engine.close()
            _close(flight)
    return flight


def prepare(settings: Settings, audience: Audience) -> Flight:
    """Everything that can be wrong with the input is found here, before anything is trained or written."""
    if settings.run_dir is not None:
        store.refuse_used(settings.run_dir)
    file = open_file(settings)
    output_path(settings, None if file is None else file.path)
    with staying():
        task = open_task(settings)
        inspection = inspect_task(settings, task, file)
        rehearse(settings, inspection, task)
        facts = gather_facts(task, inspection, settings.seed)
    run_dir = store.create(settings.run_dir or _default_run_dir(settings.model.name))
    lab = Lab(
        task,
        run_dir,
        inspection.references,
        inspection.today.params.batch_size,
        settings.budget.validation_samples,
        curves=own_curves(task, inspection.today.params, inspection.today.length),
    )
    recipe = Recipe(
        settings, str(task.device), task.normalizers, inspection.references, run_dir, lab.batch_size, lab.curves
    )
    engine = choose_engine(recipe, lab, settings.workers)
    ladders = Ladders(engine, run_dir, inspection, settings.budget, settings.seed, audience)
    flight = Flight(settings, task, inspection, run_dir, lab, engine, ladders, audience, facts)
    write_inputs(run_dir, settings, inspection)
    store.write_json(run_dir / store.FACTS, facts)
    _write_run(flight)
    return flight


def _stages(flight: Flight) -> None:
    settings, audience = flight.settings, flight.audience
    left = not_searched(settings.space, flight.inspection, flight.task, (LOWEST, HIGHEST))
    if left:
        audience.say(f"not searched, since model.mapping has no key of your file for it: {', '.join(left)}")
    bounds = flight.ladders.bounds(free_normalizations(settings.space, flight.inspection))
    axes = searched(settings.space, flight.inspection, flight.task, bounds)
    explored = _explore(flight, axes)
    metric, horizon = settings.model.metric, flight.inspection.today.length.horizon_steps
    bench = Bench(flight.engine, settings.budget, settings.seed, horizon, audience)
    finished = [(item.spec.params, item.result.score) for item in explored if item.result.outcome.status == COMPLETED]
    metrics = metrics_of(metric, [item.result for item in explored if item.result.outcome.status == COMPLETED])
    flight.facts |= after_search(flight.ladders.climbed, range_of_lr(axes), finished, metrics)
    leading = leaders(finished, flight.today, settings.budget.candidates)
    _diagnose(flight, leading[0] if leading else flight.today, bench)
    if not finished:
        raise NothingTrainedError(f"no trial ended with a score: {reasons(item.result for item in explored)}")
    candidates, closed = _with_remedies(flight, leading, axes)
    candidates += _other_weights(flight, candidates, axes, bench)
    goal = None if metric is None else metric.goal
    flight.recommendation = confirm(
        bench, flight.today, candidates, goal, flight.finish, room_to_refine(axes, settings.space)
    )
    more = [text for text in (closed, _left_to_do(flight)) if text]
    if more:
        reason = ". ".join((flight.recommendation.reason, *more))
        flight.recommendation = replace(flight.recommendation, reason=reason)
    assert flight.diagnosis is not None
    today = bench.measure([flight.today])[0]
    flight.recommendation = with_workers(flight.recommendation, flight.diagnosis, flight.inspection, today)
    store.write_json(flight.run_dir / store.RECOMMENDATION, flight.recommendation.as_dict())
    if flight.recommendation.decision == CHANGE:
        flight.written = write_config(
            settings, flight.inspection.today, flight.recommendation, flight.task.normalizers, flight.run_dir
        )
    flight.ladders.of(flight.recommendation.recommended)
    look_at_noise(flight.engine, flight.recommendation, today, settings, flight.run_dir, audience)


def _diagnose(flight: Flight, leader: Params, bench: Bench) -> None:
    """What the rules say of today's settings, and what their remedies do on the seeds of the confirming runs."""
    flight.audience.begin("today's settings", bench.due([flight.today]))
    bench.measure([flight.today])
    flight.audience.end()
    trials = Run(flight.run_dir, {}).recordings()
    flight.facts |= look_at_reading(flight.task, [item.info.get("reading", {}) for item in trials])
    recordings = [
        replace(recording, facts=flight.facts)
        for recording in trials
        if recording.purpose == bench.purpose and recording.params.key() == flight.today.key()
    ]
    found = with_speeds(diagnose(recordings), flight.facts)
    flight.diagnosis = try_remedies(found, flight.today, leader, bench, flight.task.normalizers)
    store.write_json(flight.run_dir / store.FACTS, flight.facts)
    store.write_json(flight.run_dir / store.FINDINGS, flight.diagnosis.as_dict())


def _with_remedies(flight: Flight, candidates: list[Params], axes: Collection[str]) -> tuple[list[Params], str]:
    """Candidates with the confirmed remedies among them, and in words those that may not change."""
    assert flight.diagnosis is not None
    is_open = partial(may_be_mended, space=flight.settings.space, inspection=flight.inspection, axes=axes)
    found, left = candidates_with(flight.diagnosis, flight.today, candidates, is_open)
    said = "; ".join(f"{described(settings)} ({why_closed(settings, flight.inspection)})" for settings in left)
    return found, f"Confirmed, and left out: {said}" if said else ""


def _other_weights(flight: Flight, candidates: list[Params], axes: Collection[str], bench: Bench) -> list[Params]:
    """Candidates with loss weights of other methods than the search, where those did better."""
    assert flight.diagnosis is not None
    methods = methods_to_compare(flight.settings.space.balancing, flight.diagnosis, axes)
    if not methods:
        return []
    return other_weights(
        bench, candidates or [flight.today], methods, flight.facts.get("losses", {}), flight.inspection, flight.run_dir
    )


def _left_to_do(flight: Flight) -> str:
    """Errors that stand, where the settings are to stay as they are; empty without any."""
    assert flight.diagnosis is not None
    assert flight.recommendation is not None
    errors = errors_left(flight.diagnosis)
    if flight.recommendation.decision == CHANGE or not errors:
        return ""
    return f"That settles no error: see what {' and '.join(errors)} {'ask' if len(errors) > 1 else 'asks'} for"


def _explore(flight: Flight, axes: Mapping[str, BaseDistribution]) -> list[Explored]:
    settings, audience = flight.settings, flight.audience
    study = create_study(settings.model.name, flight.run_dir, settings.budget, settings.seed)
    best = [float("inf")]

    def watch(item: Explored) -> None:
        best.append(min(best[-1], item.result.penalized))
        audience.advance(best[-1])

    audience.begin("explore", settings.budget.trials)
    explored = explore(
        study,
        flight.engine,
        flight.today,
        axes,
        settings.budget,
        settings.seed,
        flight.finish,
        watch,
        flight.ladders.hints(),
        audience.say,
    )
    audience.end()
    found = importance(explored, axes, settings.seed)
    store.write_json(flight.run_dir / store.IMPORTANCE, found.as_dict())
    return explored


def _close(flight: Flight) -> None:
    _write_run(flight)
    try:
        write_report(flight.run_dir)
    except Exception as error:  # the answer must not be lost with its picture
        flight.audience.say(f"the report could not be made: {type(error).__name__}: {error}")


def _finished(flight: Flight) -> int:
    return sum(item.status != INTERRUPTED for item in Run(flight.run_dir, {}).recordings())


def _default_run_dir(name: str) -> Path:
    stem = f"{name.replace('/', '-')}-{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}"
    path, count = Path("runs") / stem, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return path


def _write_run(flight: Flight) -> None:
    values: Mapping[str, object] = {
        **origin(flight.settings, flight.task.device),
        "status": flight.status,
        "error": flight.error,
        "started": flight.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now().astimezone() - flight.started).total_seconds(),
        "ladders": {label: [asdict(rung) for rung in rungs] for label, rungs in flight.ladders.climbed.items()},
        "normalizers": {f"{name}: {option}": config for (name, option), config in flight.task.normalizers.items()},
        "config_fixed": [] if flight.written is None else list(flight.written.paths),
        "unmapped": [] if flight.written is None else list(flight.written.unmapped),
        "not_written": "" if flight.written is None else flight.written.problem,
    }
    store.write_json(flight.run_dir / store.RUN, values)
