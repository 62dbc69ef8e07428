"""Runs a program as preflight would: inspect, climb the ladder of learning rates, train today's settings, judge."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.plain_loop import run_loop
from benchmarks.program import Program, Training
from benchmarks.verdict import Repair, Said, Verdict
from preflight.advise.diagnosis import Diagnosis, Judged, diagnose, explained_by, remedy_to_try
from preflight.core.compose import compose_sweeps
from preflight.core.errors import PreflightError, RefusedError
from preflight.core.finding import ERROR, NOTE, Finding, Remedy
from preflight.core.params import Params
from preflight.core.settings import Settings, Trust, parse
from preflight.pipeline.audience import Nobody
from preflight.pipeline.diagnosis import after_search, gather_facts
from preflight.pipeline.inspection import Inspection, inspect_task, open_task
from preflight.pipeline.ladder import Ladders
from preflight.search.engines.inline import Inline
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.schedules import own_curves
from preflight.tasks.seeding import seeded
from preflight.telemetry import store
from preflight.telemetry.recording import Recording, Run
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import WORST_SCORE

SEEDS = (1000, 1001, 1002)
PURPOSE = "confirm"
# A score is relative to the best constant predictor: below this much between the faulty program and its twin there
# is nothing to repair.
WORTH_REPAIRING = 0.05


@dataclass(frozen=True)
class Stand:
    """A task that is ready to be trained."""

    training: Training
    settings: Settings
    task: PyTorchTask
    inspection: Inspection
    lab: Lab

    @property
    def today(self) -> Params:
        """The program's settings."""
        return self.inspection.today.params

    @property
    def steps(self) -> int:
        """Length of a run."""
        return min(self.settings.budget.confirm_steps, self.inspection.today.length.horizon_steps)

    def train(self, params: Params, folder: Path) -> list[float]:
        """Train ``params`` on all seeds, recorded in ``folder``; the true final scores."""
        habits = self.training.habits
        lab = replace(self.lab, run_dir=store.create_folder(folder))
        if habits is None:
            rungs = self.settings.budget.rungs
            specs = [TrialSpec(PURPOSE, i, params, seed, self.steps, rungs) for i, seed in enumerate(SEEDS)]
            return [lab.run(spec).penalized for spec in specs]
        folders = [(seed, folder / store.TRIALS / f"{PURPOSE}-{i:03d}") for i, seed in enumerate(SEEDS)]
        return [
            min(run_loop(self.task, habits, params, seed, self.steps, self.inspection.references, place), WORST_SCORE)
            for seed, place in folders
        ]


@lru_cache(maxsize=1)
def _defaults() -> str:
    return json.dumps(compose_sweeps([]))


def prepare(training: Training, name: str, folder: Path) -> Stand:
    """Inspect the task; raises :class:`PreflightError` where preflight refuses it."""
    values = {**json.loads(_defaults()), "workers": 1, "device": "cpu", "model": training.model()}
    settings = parse(values, name, None, Trust((Path.cwd(),)))
    task = open_task(settings)
    inspection = inspect_task(settings, task, None)
    today = inspection.today
    with seeded(settings.seed, task.device):
        curves = own_curves(task, today.params, today.length)
    samples, size = settings.budget.validation_samples, today.params.batch_size
    return Stand(
        training, settings, task, inspection, Lab(task, folder, inspection.references, size, samples, curves=curves)
    )


def judge(program: Program, runs: Path | None = None) -> Verdict:
    """Run a program and ask the rules. Recordings are kept in ``runs``, and used again where they are there."""
    started = time.perf_counter()
    with TemporaryDirectory() as scratch:
        folder = (runs or Path(scratch)) / program.name.replace("/", "__")
        try:
            verdict = _judge(program, folder)
        except Exception as error:
            verdict = replace(_empty(program), broken=f"{type(error).__name__}: {error}")
    return replace(verdict, seconds=time.perf_counter() - started)


def _empty(program: Program) -> Verdict:
    about = (program.name, program.family, program.base, program.split, program.fault, program.expected)
    return Verdict(*about, said=())


def _judge(program: Program, folder: Path) -> Verdict:
    training = program.build()
    try:
        stand = prepare(training, program.base, folder)
    except RefusedError as error:
        return replace(_empty(program), said=(Said(error.code, ERROR, str(error), True),), stopped=str(error))
    except PreflightError as error:
        return replace(_empty(program), stopped=str(error))
    found = _recorded(stand, folder)
    recordings = Run(folder / "today", {}).recordings(PURPOSE)
    diagnosis = diagnose([replace(item, facts={**found["facts"], **_of_its_loop(item)}) for item in recordings])
    causes = explained_by([item.as_dict() for item in diagnosis.findings])
    verdict = replace(
        _empty(program),
        said=tuple(_said(item, causes[item.rule.code]) for item in diagnosis.findings),
        scores=tuple(found["scores"]),
        lowest=tuple(_lowest(recording) for recording in recordings),
    )
    if program.is_healthy:
        return verdict
    assert program.repaired_by is not None
    healthy = prepare(program.repaired_by(), f"{program.base}-twin", folder)
    twin = _median(healthy, healthy.today, folder / "twin")
    return replace(verdict, twin=twin, repair=_repair(stand, diagnosis, verdict.score, twin, folder / "repair"))


def _recorded(stand: Stand, folder: Path) -> dict[str, Any]:
    """Facts and scores of the recordings in ``folder``; recorded now where there are none, or their file is cut off."""
    path = folder / "recorded.json"
    try:
        found = store.read_json(path)
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= {"facts", "scores"}:
        facts = _facts(stand, folder / "range")
        store.write_json(path, {"facts": facts, "scores": stand.train(stand.today, folder / "today")})
        found = store.read_json(path)
    return dict(found)


def _facts(stand: Stand, folder: Path) -> dict[str, Any]:
    """What the probes find, and the ladder of learning rates."""
    facts = gather_facts(stand.task, stand.inspection, stand.settings.seed)
    engine = Inline(replace(stand.lab, run_dir=store.create_folder(folder)))
    ladders = Ladders(engine, folder, stand.inspection, stand.settings.budget, stand.settings.seed, Nobody())
    try:
        ladders.bounds()
    except PreflightError:  # no rung made a step: today's settings will not either
        return facts
    return {**facts, **after_search(ladders.climbed, None, [])}


def _of_its_loop(recording: Recording) -> dict[str, Any]:
    """What was seen beside a loop of the program's own."""
    path = recording.folder / store.FACTS
    return dict(store.read_json(path)) if path.exists() else {}


def _said(item: Judged, causes: Sequence[str]) -> Said:
    assert isinstance(item.answer, Finding)
    answer = item.answer
    return Said(item.rule.code, answer.severity, answer.message, bool(answer.evidence), tuple(causes))


def _lowest(recording: Recording) -> float:
    """Best validation score on the way."""
    try:
        values = recording.column("losses", "val_score")
    except PreflightError:
        return WORST_SCORE
    return float(min((value for value in values if math.isfinite(value)), default=WORST_SCORE))


def _median(stand: Stand, params: Params, folder: Path) -> float:
    """Median score over the seeds; trained once in ``folder``'s lifetime."""
    path = folder / "scores.json"
    try:
        scores = store.read_json(path)
    except (OSError, ValueError):
        scores = None
    if not isinstance(scores, list) or not scores:
        store.write_json(path, scores := stand.train(params, folder))
    return float(statistics.median(scores))


def _repair(stand: Stand, diagnosis: Diagnosis, faulty: float, twin: float, folder: Path) -> Repair | None:
    """Train the first remedy that is a matter of settings; None where there is none, or nothing to repair.

    The faulty result counts as no worse than a constant predictor's: what diverged is not repaired by standing still.
    """
    begin = min(faulty, 1.0)
    found = _first_remedy(stand, diagnosis.findings)
    if found is None or begin - twin < WORTH_REPAIRING:
        return None
    code, remedy = found
    remedied = stand.today.with_values(dict(remedy.settings))
    name = hashlib.sha256(repr(remedied.key()).encode()).hexdigest()[:12]
    score = _median(stand, remedied, folder / name)
    return Repair(code, remedy.settings, score, (begin - score) / (begin - twin))


def _first_remedy(stand: Stand, findings: Sequence[Judged]) -> tuple[str, Remedy] | None:
    """Of a cause: to mend its symptoms is nobody's advice."""
    causes = explained_by([item.as_dict() for item in findings])
    for item in findings:
        if causes[item.rule.code]:
            continue
        remedy = remedy_to_try(item)
        severity = item.answer.severity if isinstance(item.answer, Finding) else NOTE
        if remedy is not None and severity != NOTE and _can_train(stand, remedy):
            return item.rule.code, remedy
    return None


def _can_train(stand: Stand, remedy: Remedy) -> bool:
    known = stand.today.flat()
    fitted = stand.task.normalizers
    return all(
        name in known and ("normalization." not in name or value == "none" or (name, value) in fitted)
        for name, value in remedy.settings.items()
    )
