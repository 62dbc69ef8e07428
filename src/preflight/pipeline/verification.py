"""Train with a written config, read through the mapping like any user's file, and compare with the recorded score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preflight.advise.evidence import MIN_GAIN, effect
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.errors import ConfigError, InputError, NotReproducedError
from preflight.core.model_settings import ModelSettings
from preflight.core.params import ParamValue
from preflight.core.settings import Settings, Trust, parse
from preflight.core.units import RunLength, split_unit
from preflight.pipeline.audience import Audience
from preflight.pipeline.inspection import open_task
from preflight.pipeline.today import read_today
from preflight.pipeline.user_file import UserFile
from preflight.telemetry import store
from preflight.telemetry.recording import Run
from preflight.trials.lab import Lab, TrialSpec

EXACT = 1e-6


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
    scores differ by more than a gain worth having.
    """
    if not config.is_file():
        raise ConfigError(f"{config} is not a file")
    run = Run.open(run_dir) if run_dir is not None else _find_run(config)
    document = run.document(store.RECOMMENDATION)
    answer = None if document is None else Recommendation.from_dict(document)
    if answer is None or answer.after is None or answer.decision != CHANGE:
        raise InputError(f"{run.folder} proved no config: there is nothing to compare with")
    flat = answer.recommended.flat()
    added = {name: flat[name] for name in run.info["unmapped"]}
    measured = _train(run, _settings(run, allow), config, answer, added, audience)
    return Verification(answer.after.scores, measured, added, _compare(answer.after.scores, measured))


def _find_run(config: Path) -> Run:
    """The run that wrote ``config``: in its own folder, or under runs/ here or beside it."""
    if (config.parent / store.RUN).exists():
        return Run.open(config.parent)
    places = [Path("runs"), config.parent / "runs"]
    found = [Run.open(path.parent) for place in places for path in sorted(place.glob(f"*/{store.RUN}"))]
    own = [run for run in found if config.resolve() in map(_resolved, run.info.get("config_fixed", []))]
    if not own:
        raise InputError(f"no run in {places[0]} or {places[1]} wrote {config}; give it with --run DIR")
    return own[-1]


def _resolved(path: str) -> Path:
    return Path(path).resolve()


def _settings(run: Run, allow: Sequence[str]) -> Settings:
    saved = run.document(store.SETTINGS)
    if saved is None or not saved["repeatable"]:
        raise InputError(f"{run.folder} was started from Python with objects that a file cannot hold; it has no verify")
    folders = tuple(Path(folder) for folder in saved["trust"]["folders"])
    folder = None if saved["folder"] is None else Path(saved["folder"])
    return parse(saved["values"], saved["name"], folder, Trust(folders, tuple(allow) or tuple(saved["trust"]["allow"])))


def _train(
    run: Run,
    settings: Settings,
    config: Path,
    answer: Recommendation,
    added: Mapping[str, ParamValue],
    audience: Audience,
) -> dict[int, float]:
    assert answer.after is not None
    task = open_task(settings)
    file = UserFile.open(config, settings.model.mapping)
    inspection = run.document(store.INSPECTION)
    model = _model(settings.model, file, RunLength(**inspection["length"]))
    params = read_today(model, task, file).params.with_values(added)
    for name, normalizer in run.info["normalizers"].items():
        field, _, option = name.rpartition(": ")
        task.normalizers.setdefault((field, option), normalizer)
    references = inspection["references"]
    scratch = store.scratch(run.folder)
    lab = Lab(task, scratch, references, answer.today.batch_size, settings.budget.validation_samples)
    audience.begin("verify", len(answer.after.scores))
    scores = {}
    for index, seed in enumerate(answer.after.scores):
        result = lab.run(TrialSpec("verify", index, params, seed, answer.steps, settings.budget.rungs))
        scores[seed] = result.penalized
        audience.advance()
    audience.end()
    return scores


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


def _compare(recorded: Mapping[int, float], measured: Mapping[int, float]) -> str:
    if all(abs(measured[seed] - score) <= EXACT * abs(score) for seed, score in recorded.items()):
        return "reproduced: the same score on every seed"
    difference = effect(recorded, measured)
    if abs(difference.gain) < MIN_GAIN or difference.low < 0 < difference.high:
        return f"reproduced within the seeds' noise: {difference}"
    raise NotReproducedError(
        f"the written config does not give the recorded score: over {difference.seeds} seeds it is "
        f"{abs(difference.gain):.0%} {'lower (better)' if difference.gain > 0 else 'higher (worse)'}"
    )
