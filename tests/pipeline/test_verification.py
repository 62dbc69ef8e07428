from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from preflight.advise.choose import Measure, compare
from preflight.advise.evidence import Effect
from preflight.core.errors import ConfigError, ConfigFileError, InputError, NotReproducedError
from preflight.core.params import Params
from preflight.core.settings import load
from preflight.pipeline.audience import Nobody
from preflight.pipeline.flight import fly, prepare
from preflight.pipeline.verification import Verification, verify_config
from preflight.telemetry import store
from preflight.telemetry.recording import Run
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import Result

EXACTLY = "reproduced exactly: the same score on every seed"


@pytest.fixture
def flown_copy(flown: Any, tmp_path: Path) -> Path:
    """A copy of the run that may be spoilt."""
    return Path(shutil.copytree(flown.flight.run_dir, tmp_path / "run"))


@pytest.fixture
def fixed(flown: Any, tmp_path: Path) -> Path:
    """A copy of the corrected file, in a folder of its own."""
    return Path(shutil.copy(flown.project / store.FIXED, tmp_path / "mine.yaml"))


def verify(config: Path, run_dir: Path | None = None) -> Verification:
    return verify_config(config, run_dir, (), Nobody())


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), encoding="utf-8")


def change_document(run_dir: Path, name: str, change: Callable[[Any], None]) -> None:
    document = json.loads((run_dir / name).read_text(encoding="utf-8"))
    change(document)
    (run_dir / name).write_text(json.dumps(document), encoding="utf-8")


def test_the_written_file_gives_the_same_score_on_every_seed(flown: Any, stages: Any) -> None:
    result = verify_config(flown.project / store.FIXED, flown.flight.run_dir, (), stages)
    assert result.sentence == EXACTLY
    assert result.measured == flown.flight.recommendation.after.scores
    assert result.added == {}
    assert stages.begun == [("verify", len(result.measured))]
    assert stages.counts == [len(result.measured)]


def test_the_evidence_of_the_run_is_left_alone(flown: Any, flown_copy: Path, fixed: Path) -> None:
    shutil.rmtree(flown_copy / "verify", ignore_errors=True)
    before = {path: path.read_bytes() for path in flown_copy.rglob("*") if path.is_file()}
    verify(fixed, flown_copy)
    for path, content in before.items():
        assert path.read_bytes() == content
    assert len(Run(flown_copy / "verify", {}).recordings("verify")) == len(flown.flight.recommendation.after.scores)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml is not a file"):
        verify(tmp_path / "gone.yaml")


def test_a_score_that_is_off_by_a_hair_is_another_one_on_the_same_machine(flown_copy: Path, fixed: Path) -> None:
    def shift(document: Any) -> None:
        scores: dict[str, float] = document["after"]["scores"]
        scores[min(scores)] *= 1 + 1e-9

    change_document(flown_copy, store.RECOMMENDATION, shift)
    with pytest.raises(NotReproducedError, match="the file, the data or the code has changed since"):
        verify(fixed, flown_copy)
    change_document(flown_copy, store.RUN, lambda info: info.update(torch="1.0"))
    sentence = verify(fixed, flown_copy).sentence
    assert sentence.startswith("reproduced within the seeds' noise (")
    assert "not to the last digit: torch is " in sentence


def test_a_task_that_never_gives_the_same_score_is_judged_by_its_noise(
    flown: Any, fixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()

    class Restless(Lab):
        def run(self, spec: TrialSpec, *rest: Any) -> Result:
            result = super().run(spec, *rest)
            return replace(result, score=result.score * (1 + 1e-6 * next(calls)))

    monkeypatch.setattr("preflight.pipeline.verification.Lab", Restless)
    sentence = verify(fixed, flown.flight.run_dir).sentence
    assert "reproduced within the seeds' noise (" in sentence
    assert "the task itself gives another score each time, twice in a row with seed " in sentence


@pytest.mark.parametrize(
    ("old", "new"), [("kind: standardize", "kind: none"), ("lr: 0.03", "lr: 0.00003"), ("lr: 0.03", "lr: 3.0")]
)
def test_a_file_that_was_tampered_with_does_not_pass(flown: Any, fixed: Path, old: str, new: str) -> None:
    replaced(fixed, old, new)
    with pytest.raises(NotReproducedError, match=r"over \d+ seeds it is \d+% higher \(worse\)") as error:
        verify(fixed, flown.flight.run_dir)
    assert error.value.exit_code == 4


def test_the_original_does_not_pass_for_the_corrected_file(flown: Any) -> None:
    with pytest.raises(NotReproducedError):
        verify(flown.project / "train.yaml", flown.flight.run_dir)


def test_a_better_score_is_not_the_recorded_one_either(flown: Any, flown_copy: Path, fixed: Path) -> None:
    def worsen(document: Any) -> None:
        scores: Mapping[str, float] = document["after"]["scores"]
        document["after"]["scores"] = {seed: 3 * score for seed, score in scores.items()}

    change_document(flown_copy, store.RECOMMENDATION, worsen)
    with pytest.raises(NotReproducedError, match=r"it is 67% lower \(better\)"):
        verify(fixed, flown_copy)


def test_a_file_with_a_key_taken_away_is_refused(flown: Any, fixed: Path) -> None:
    replaced(fixed, "        batch_size: 20\n", "        size: 20\n")
    with pytest.raises(ConfigFileError, match=r"model\.mapping\.batch_size=training\.loader\.batch_size"):
        verify(fixed, flown.flight.run_dir)


def test_a_run_that_changed_nothing_has_nothing_to_verify(flown_copy: Path, fixed: Path) -> None:
    change_document(flown_copy, store.RECOMMENDATION, lambda document: document.update(decision="keep"))
    with pytest.raises(InputError, match="proved no config"):
        verify(fixed, flown_copy)


def test_a_run_without_an_answer_has_nothing_to_verify(flown_copy: Path, fixed: Path) -> None:
    (flown_copy / store.RECOMMENDATION).unlink()
    with pytest.raises(InputError, match="proved no config"):
        verify(fixed, flown_copy)


def test_a_run_of_objects_from_python_says_that_it_cannot(flown_copy: Path, fixed: Path) -> None:
    change_document(flown_copy, store.SETTINGS, lambda document: document.update(repeatable=False))
    with pytest.raises(InputError, match="started from Python"):
        verify(fixed, flown_copy)


def test_a_folder_that_is_no_run_is_named(fixed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        verify(fixed, tmp_path)


def test_a_setting_without_a_key_is_verified_as_recommended(flown: Any, flown_copy: Path, fixed: Path) -> None:
    text = fixed.read_text(encoding="utf-8")
    start, end = text.index("    height:"), text.index("\ntraining:")
    fixed.write_text(text[:start] + text[end:], encoding="utf-8")
    change_document(flown_copy, store.RUN, lambda info: info.update(unmapped=["normalization.height"]))
    result = verify(fixed, flown_copy)
    assert result.added == {"normalization.height": "standardize"}
    assert "reproduced" in result.sentence


def test_what_the_file_says_now_goes_before_the_baseline_of_the_task(flown_copy: Path, fixed: Path) -> None:
    def repeat_todays(document: Any) -> None:
        document["values"]["model"]["baseline"] = {"lr": 0.3, "warmup_steps": 0}

    change_document(flown_copy, store.SETTINGS, repeat_todays)
    assert "reproduced" in verify(fixed, flown_copy).sentence


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_another_batch_size_is_verified_with_the_warmup_that_was_proved(
    unit: str,
    tmp_path: Path,
    make_project: Callable[..., Path],
    small_with: Callable[..., list[str]],
    fresh_imports: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The length of the run is not in the file: at another batch size it has another number of steps."""
    module = f"verified_{unit}"
    project = make_project(tmp_path / "project", module)
    model = project / "conf" / "model" / f"{module}.yaml"
    replaced(model, "  horizon_epochs: training.schedule.epochs\n", "")
    replaced(model, "warmup_epochs", f"warmup_{unit}")
    model.write_text(f"{model.read_text(encoding='utf-8')}horizon_steps: 120\n", encoding="utf-8")
    replaced(project / "train.yaml", "warmup: 0 ", f"warmup: {5 if unit == 'steps' else 0.5} ")
    axes = ("space.batch_size=[64]", "space.lr=[0.03]", "space.normalization={height: [standardize]}")
    overrides = small_with(*axes, "budget.trials=2", f"run_dir={tmp_path / 'run'}")
    flight = prepare(load([f"+model={module}", *overrides], [project / "conf"]), Nobody())
    recommended = flight.finish(
        flight.today.with_values({"batch_size": 64, "lr": 0.03, "normalization.height": "standardize"})
    )

    def choose_this(today: Params, best: Params, measure: Measure) -> tuple[Params, dict[str, Effect]]:
        return recommended, dict.fromkeys(recommended.changes_from(today), compare(today, recommended, measure))

    monkeypatch.setattr("preflight.pipeline.confirmation.choose.minimal", choose_this)
    monkeypatch.setattr("preflight.pipeline.ladder.Ladders.bounds", lambda ladders, free: (0.01, 1.0))
    monkeypatch.setattr("preflight.pipeline.ladder.Ladders.of", lambda ladders, params: [])
    monkeypatch.setattr("preflight.pipeline.flight.write_report", lambda run_dir: run_dir)
    fly(flight)
    assert flight.recommendation is not None
    assert flight.recommendation.recommended == recommended
    assert verify(project / store.FIXED, flight.run_dir).sentence == EXACTLY
