"""Train with a written config, read through the mapping like any user's file, and compare with the recorded score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.errors import ConfigError, InputError
from preflight.core.model_settings import ModelSettings
from preflight.core.params import ParamValue
from preflight.core.settings import Settings, Trust, parse
from preflight.core.units import RunLength, split_unit
from preflight.pipeline.audience import Audience
from preflight.pipeline.inspection import open_task
from preflight.pipeline.provenance import find_run
from preflight.pipeline.reproduction import differences, judge, machine
from preflight.pipeline.today import read_today
from preflight.pipeline.user_file import UserFile
from preflight.search.engines.base import check_checkpoint
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.schedules import own_curves
from preflight.telemetry import store
from preflight.telemetry.recording import Run
from preflight.trials.lab import Lab, TrialSpec


@dataclass(frozen=True)
class Verification:
    """Scores by seed, recorded and measured again, and what that means.

    ``added`` are recommended settings that the file has no key for, so that they were trained with as recommended.
    """

    recorded: Mapping[int, float]
    measured: Mapping[int, float]
    added: Mapping[str, ParamValue]
    sentence: str


def verify_config(config: Path, run_dir: Path | None, allow: Sequence[str], audience: Audience) -> Verification:
    """Train with ``config`` on the seeds that proved it.

    Raises :class:`InputError` where no run or no proof belongs to the file, :class:`NotReproducedError` where the
    scores are other ones: see :func:`judge`.
    """
    if not config.is_file():
        raise ConfigError(f"{config} is not a file")
    run = Run.open(run_dir) if run_dir is not None else find_run(config)
    document = run.document(store.RECOMMENDATION)
    answer = None if document is None else Recommendation.from_dict(document)
    if answer is None or answer.after is None or answer.decision != CHANGE:
        raise InputError(f"{run.folder} proved no config: there is nothing to compare with")
    flat = answer.recommended.flat()
    added = {name: flat[name] for name in run.info["unmapped"]}
    settings = _settings(run, allow)
    task = open_task(settings)
    check_checkpoint(task, run.folder)
    train = _trainer(run, settings, task, config, answer, added)
    recorded = answer.after.scores
    audience.begin("verify", len(recorded))
    measured = {}
    for seed in recorded:
        measured[seed] = train(seed)
        audience.advance()
    audience.end()
    different = differences(run.info, machine(task.device)) or _restless(recorded, measured, train)
    return Verification(recorded, measured, added, judge(recorded, measured, different))


def _restless(
    recorded: Mapping[int, float], measured: Mapping[int, float], train: Callable[[int], float]
) -> Sequence[str]:
    """A task that does not give the same score twice cannot be asked to; it is tried where a score is another one."""
    wrong = [seed for seed in recorded if measured[seed] != recorded[seed]]
    if not wrong or train(wrong[0]) == measured[wrong[0]]:
        return ()
    return (f"the task itself gives another score each time, twice in a row with seed {wrong[0]}",)


def _settings(run: Run, allow: Sequence[str]) -> Settings:
    saved = run.document(store.SETTINGS)
    if saved is None or not saved["repeatable"]:
        raise InputError(f"{run.folder} was started from Python with objects that a file cannot hold; it has no verify")
    folders = tuple(Path(folder) for folder in saved["trust"]["folders"])
    folder = None if saved["folder"] is None else Path(saved["folder"])
    return parse(saved["values"], saved["name"], folder, Trust(folders, tuple(allow) or tuple(saved["trust"]["allow"])))


def _trainer(
    run: Run,
    settings: Settings,
    task: PyTorchTask,
    config: Path,
    answer: Recommendation,
    added: Mapping[str, ParamValue],
) -> Callable[[int], float]:
    """What trains with ``config`` as the run proved its answer, and gives the score of a seed."""
    file = UserFile.open(config, settings.model.mapping)
    inspection = run.document(store.INSPECTION)
    model = _model(settings.model, file, RunLength(**inspection["length"]))
    params = read_today(model, task, file).params.with_values(added)
    for name, normalizer in run.info["normalizers"].items():
        setting, _, option = name.rpartition(": ")
        task.normalizers.setdefault((setting, option), normalizer)
    budget = settings.budget
    lab = Lab(
        task,
        store.scratch(run.folder),
        inspection["references"],
        answer.today.batch_size,
        budget.validation_samples,
        curves=own_curves(task, answer.today, RunLength(**inspection["length"])),
    )
    indices = count()

    def train(seed: int) -> float:
        return lab.run(TrialSpec("verify", next(indices), params, seed, answer.steps, budget.rungs)).confirmed

    return train


def _model(model: ModelSettings, file: UserFile, today: RunLength) -> ModelSettings:
    """The task as it is with the written file, which may differ by now from what the task says of today's."""
    stems = {_stem(name) for name in file.values}
    baseline = {name: value for name, value in model.baseline.items() if _stem(name) not in stems}
    horizon_steps, batch_size = model.horizon_steps, file.values.get("batch_size")
    if horizon_steps is not None and isinstance(batch_size, int):
        horizon_steps = today.at_batch_size(batch_size).horizon_steps
    return replace(model, config=file.path, baseline=baseline, horizon_steps=horizon_steps)


def _stem(name: str) -> str:
    return (split_unit(name) or (name,))[0]
