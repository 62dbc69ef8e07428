"""Runs trial specifications: builds the job, trains it, and leaves its recording in the run directory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from preflight.core.model_settings import OWN_SCHEDULE
from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.tasks.base import Job, Task
from preflight.tasks.schedules import Curve, interval_of
from preflight.tasks.seeding import seeded
from preflight.telemetry import store
from preflight.telemetry.recorder import Cadence, Recorder
from preflight.telemetry.tables import Frame, write_telemetry
from preflight.trials.balancing import Balancing
from preflight.trials.batch_order import steps_per_epoch
from preflight.trials.evaluation import Evaluation
from preflight.trials.loop import ENDINGS, Hopeless, Plan, Progress, ended_by, rungs, train
from preflight.trials.noise import moments
from preflight.trials.outcome import Outcome, Result

CONSTANT_LR = "constant"
DEFAULT_CADENCE = Cadence()


@dataclass(frozen=True)
class TrialSpec:
    """One training run to do. ``steps`` are steps at today's batch size; others see as many samples.

    ``schedule`` replaces the task's; ``rungs`` is the number of evaluations. With ``balancing`` the loss weights of
    the settings are those it begins from. ``noise_at`` are shares of the run after which its noise scale is measured.
    """

    purpose: str
    index: int
    params: Params
    seed: int
    steps: int
    rungs: int
    schedule: str | None = None
    balancing: Balancing | None = None
    noise_at: tuple[float, ...] = ()

    @property
    def folder_name(self) -> str:
        """Name of its folder, in the order of the trials."""
        return f"{self.purpose}-{self.index:03d}"


def never(_step: int, _evaluation: Evaluation) -> bool:
    """Not hopeless: a run whose result is wanted whatever it is."""
    return False


@dataclass(frozen=True)
class Lab:
    """A task with what all its trials share: run directory, references of the score, today's batch size.

    ``curves`` are the task's own schedule over the long run, where it has one, by the unit it is advanced in.
    """

    task: Task
    run_dir: Path
    references: Mapping[str, float]
    batch_size: int
    validation_samples: int
    cadence: Cadence = DEFAULT_CADENCE
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def run(self, spec: TrialSpec, hopeless: Hopeless = never) -> Result:
        """Train ``spec`` and write its folder; the same spec on the same device gives the same result."""
        data = self.task.data
        started, spared_s = time.perf_counter(), data.spared_s
        today = RunLength(spec.steps, self.batch_size, len(data.train), data.drop_last)
        steps = today.at_batch_size(spec.params.batch_size).horizon_steps
        plan = Plan(
            steps,
            self._schedule(spec),
            rungs(steps, spec.rungs),
            self.references,
            self.validation_samples,
            self.batch_size,  # today's fits, and losses that depend on the batch stay comparable
            spec.seed,
            spec.balancing,
            moments(steps, spec.noise_at),
        )
        recorder: Recorder | None = None
        with seeded(spec.seed, self.task.device):
            try:
                job = self.task.job(spec.params)
                batches = self.task.batches(spec.params, spec.seed)
                recorder = self._recorder(job)
            except ENDINGS as error:
                outcome, progress = ended_by(error, spec.params.batch_size, 0), Progress({})
            else:
                outcome, progress = train(job, self.task, batches, plan, recorder, hopeless)
        seconds = time.perf_counter() - started
        result = _result(outcome, progress, seconds, data.spared_s - spared_s)
        self._write(spec, steps, recorder, progress, result)
        return result

    def record_loss(self, spec: TrialSpec, outcome: Outcome) -> Result:
        """Record a trial whose process did not live to tell."""
        result = _result(outcome, Progress({}), 0.0)
        self._write(spec, spec.steps, None, Progress({}), result)
        return result

    def _schedule(self, spec: TrialSpec) -> str | Curve:
        if spec.schedule is not None or self.task.schedule != OWN_SCHEDULE:
            return spec.schedule or self.task.schedule
        return self.curves[interval_of(self.task, spec.params)]

    def _recorder(self, job: Job) -> Recorder:
        return Recorder(job.parameters, job.components, [loss.name for loss in job.losses], self.cadence, job.head)

    def _write(
        self, spec: TrialSpec, steps: int, recorder: Recorder | None, progress: Progress, result: Result
    ) -> None:
        folder = store.empty_folder(self.run_dir / store.TRIALS / spec.folder_name)
        tables: Mapping[str, int] = {}
        if recorder is not None:
            frame = Frame(
                steps_per_epoch=steps_per_epoch(self.task.data, spec.params.batch_size),
                deltas_every_steps=self.cadence.deltas_every_steps,
                head=self.task.head,
                evaluations={step: item.columns() for step, item in progress.evaluations.items()},
            )
            tables = write_telemetry(folder, recorder.history(), recorder.layout, frame)
        # trial.json comes last: a folder without it is a trial that did not finish.
        store.write_json(folder / store.TRIAL, {**self._info(spec, steps, result), "tables": tables})

    def _info(self, spec: TrialSpec, steps: int, result: Result) -> dict[str, object]:
        return {
            "purpose": spec.purpose,
            "index": spec.index,
            "params": asdict(spec.params),
            "seed": spec.seed,
            "steps": steps,
            "steps_done": result.steps_done,
            "schedule": spec.schedule or self.task.schedule,
            **({} if spec.balancing is None else {"balancing": asdict(spec.balancing)}),
            **({} if result.balance is None else {"balance": asdict(result.balance)}),
            **({"noise": [asdict(item) for item in result.noise]} if result.noise else {}),
            "deltas_every_steps": self.cadence.deltas_every_steps,
            "outcome": result.outcome.as_dict(),
            "score": result.score,
            "penalized_score": result.penalized,
            "metric": result.metric,
            "losses": result.losses,
            "seconds": result.seconds,
            "device": str(self.task.device),
            "reading": self.task.data.reading(),
        }


def _result(outcome: Outcome, progress: Progress, seconds: float, spared_s: float = 0.0) -> Result:
    if not progress.evaluations:
        return Result(
            outcome, math.nan, math.nan, {}, progress.steps_done, seconds, spared_s, noise=tuple(progress.noise)
        )
    last = progress.evaluations[max(progress.evaluations)]
    return Result(
        outcome,
        last.score,
        last.metric,
        last.losses,
        progress.steps_done,
        seconds,
        spared_s,
        progress.balance,
        tuple(progress.noise),
    )
