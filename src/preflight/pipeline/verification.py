"""Train with a written config, read through the mapping like any user's file, and compare with the recorded score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preflight.advise.evidence import MIN_GAIN, effect
from preflight.advise.recommendation import Recommendation
from preflight.core.errors import ConfigError, InputError, NotReproducedError
from preflight.core.settings import Settings, Trust, parse
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
    """Scores by seed, recorded and measured again, and what that means."""

    recorded: Mapping[int, float]
    measured: Mapping[int, float]
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
    if answer is None or answer.after is None:
        raise InputError(f"{run.folder} proved no config: there is nothing to compare with")
    measured = _train(run, _settings(run, allow), config, answer, audience)
    return _compare(answer.after.scores, measured)


def _find_run(config: Path) -> Run:
    """The run that wrote ``config``: in its own folder, or under runs/ here or beside it."""
    if (config.parent / store.RUN).exists():
        return Run.open(config.parent)
    places = [Path("runs"), config.parent / "runs"]
    found = [Run.open(path.parent) for place in places for path in sorted(place.glob(f"*/{store.RUN}"))]
    own = [run for run in found if str(config.absolute()) in run.info.get("config_fixed", [])]
    if not own:
        raise InputError(f"no run in {places[0]} or {places[1]} wrote {config}; give it with --run DIR")
    return own[-1]


def _settings(run: Run, allow: Sequence[str]) -> Settings:
    saved = run.document(store.SETTINGS)
    if saved is None or not saved["repeatable"]:
        raise InputError(f"{run.folder} was started from Python with objects that a file cannot hold; it has no verify")
    folders = tuple(Path(folder) for folder in saved["trust"]["folders"])
    folder = None if saved["folder"] is None else Path(saved["folder"])
    return parse(saved["values"], saved["name"], folder, Trust(folders, tuple(allow) or tuple(saved["trust"]["allow"])))


def _train(run: Run, settings: Settings, config: Path, answer: Recommendation, audience: Audience) -> dict[int, float]:
    assert answer.after is not None
    task = open_task(settings)
    model = replace(settings.model, config=config)
    file = UserFile.open(config, model.mapping)
    params = read_today(model, task, file).params
    references = run.document(store.INSPECTION)["references"]
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


def _compare(recorded: Mapping[int, float], measured: Mapping[int, float]) -> Verification:
    if all(abs(measured[seed] - score) <= EXACT * abs(score) for seed, score in recorded.items()):
        return Verification(recorded, measured, "reproduced: the same score on every seed")
    difference = effect(recorded, measured)
    if abs(difference.gain) < MIN_GAIN or difference.low < 0 < difference.high:
        return Verification(recorded, measured, f"reproduced within the seeds' noise: {difference}")
    raise NotReproducedError(f"the written config does not give the recorded score: it takes {difference} off it")
