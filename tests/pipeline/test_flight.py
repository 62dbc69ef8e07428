from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml

from preflight.advise.diagnosis import diagnose
from preflight.advise.recommendation import CHANGE
from preflight.cli.analyze import with_proofs
from preflight.pipeline import flight as module
from preflight.telemetry import store
from preflight.telemetry.foreign import open_foreign
from preflight.telemetry.recording import Run

FlyProject = Callable[..., Any]


@pytest.fixture(scope="module")
def run(flown: Any) -> Run:
    return Run.open(flown.flight.run_dir)


@pytest.fixture(scope="module")
def study(flown: Any) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=store.study_url(flown.flight.run_dir))


def test_the_faults_of_the_project_are_found(flown: Any) -> None:
    answer = flown.flight.recommendation
    assert answer.decision == CHANGE
    assert {change.name for change in answer.changes} == {"lr", "normalization.height"}
    assert answer.gain.low > 0
    assert all(change.needed.is_better for change in answer.changes)


def test_the_run_directory_is_complete(flown: Any, run: Run) -> None:
    names = {path.name for path in run.folder.iterdir()} - {"verify"}
    assert names == {
        store.RUN,
        store.SETTINGS,
        store.INSPECTION,
        store.FACTS,
        store.FINDINGS,
        store.STUDY,
        store.TRIALS,
        store.RECOMMENDATION,
        store.IMPORTANCE,
        store.NOISE_SCALE,
        store.ORIGINAL,
        store.FIXED,
        store.DIFF,
        store.REPORT,
    }
    assert run.info["status"] == "done"
    assert run.info["config_fixed"] == [str(run.folder / store.FIXED), str(flown.project / store.FIXED)]


def test_analyzing_the_run_again_says_what_the_run_said(run: Run) -> None:
    said = {name: [item["code"] for item in items] for name, items in run.document(store.FINDINGS).items()}
    found = with_proofs(diagnose(open_foreign(run.folder).recordings).as_dict(), run.folder)
    assert [item["proof"] for item in found["findings"]] == [
        item["proof"] for item in run.document(store.FINDINGS)["findings"]
    ]
    assert {name: [item["code"] for item in items] for name, items in found.items()} == said
    assert said["findings"]


def test_the_first_trial_has_todays_settings(flown: Any, run: Run, study: optuna.Study) -> None:
    first = run.recordings("explore")[0]
    assert first.params == flown.flight.today
    assert first.params.lr == 0.3
    assert study.trials[0].params["lr"] == 0.3
    assert study.trials[0].params["normalization.height"] == "none"


def test_the_study_holds_every_explored_trial(run: Run, study: optuna.Study) -> None:
    recordings = run.recordings("explore")
    assert len(recordings) == 4  # two learning rates with two normalizations are all that there is, of 12 trials
    trained = [trial for trial in study.trials if "same settings as" not in trial.user_attrs]
    for trial, recording in zip(trained, recordings, strict=True):
        assert trial.user_attrs["outcome"] == recording.status
        assert trial.user_attrs["recording"] == f"trials/{recording.folder.name}"
    assert all(trial.state.is_finished() for trial in study.trials)


def test_what_was_trained_is_what_can_be_written(flown: Any, run: Run) -> None:
    for recording in run.recordings("explore"):
        assert flown.flight.finish(recording.params) == recording.params


def test_choosing_and_proving_share_no_seed_with_each_other_or_with_exploring(run: Run) -> None:
    seeds = {stage: {item.seed for item in run.recordings(stage)} for stage in ("range", "explore", "confirm", "proof")}
    assert all(seeds.values())
    assert not seeds["confirm"] & seeds["proof"]
    assert not (seeds["range"] | seeds["explore"]) & (seeds["confirm"] | seeds["proof"])


def test_only_the_changed_lines_of_the_file_differ(flown: Any) -> None:
    old = (flown.project / "train.yaml").read_text(encoding="utf-8").splitlines()
    new = (flown.project / store.FIXED).read_text(encoding="utf-8").splitlines()
    rate = next(line for line in old if "optim:" in line)
    assert [line for line in old if line not in new] == [rate]
    added = [line for line in new if line not in old]
    assert [line.split(":")[0].strip() for line in added] == ["height", "kind", "center", "scale", "optim"]
    assert '# "bigger is faster"' in added[-1]
    assert "was 0.3" in added[-1]
    fixed = yaml.safe_load("\n".join(new))
    answer = flown.flight.recommendation.recommended
    assert float(fixed["training"]["optim"]["lr"]) == answer.lr
    assert fixed["inputs"]["height"] == dict(flown.flight.task.normalizers["normalization.height", "standardize"])


def test_every_stage_is_announced_with_the_runs_that_it_takes(flown: Any) -> None:
    stages = [stage for stage, _ in flown.stages.begun if stage != "remedies"]
    assert stages == [
        "learning rates, inputs as they are",
        "explore",
        "today's settings",
        "confirm",
        "single changes",
        "fresh seeds",
        "learning rates, height: standardize",
        "noise scale",
    ]
    totals = dict(flown.stages.begun)
    assert totals["explore"] == 12
    counts = dict(zip((stage for stage, _ in flown.stages.begun), flown.stages.counts, strict=True))
    assert counts["explore"] == 4
    for stage, total in flown.stages.begun:
        if stage.startswith(("learning", "today", "confirm")):
            assert counts[stage] == total


def test_the_noise_scale_is_measured_without_touching_the_training(run: Run) -> None:
    document = run.document(store.NOISE_SCALE)
    assert (document["failed"], document["disturbed"]) == ("", [])
    steps = run.recordings("proof")[0].steps
    assert [moment["step"] for moment in document["moments"]] == [0, round(steps / 3), steps]
    assert all(moment["scale"]["low"] > 0 for moment in document["moments"])
    proofs = {(item.params.key(), item.seed): item for item in run.recordings("proof")}
    for again in run.recordings("noise"):
        proof = proofs[again.params.key(), again.seed]
        assert again.losses.equals(proof.losses)
        assert again.gradient_norms.equals(proof.gradient_norms)
    text = run.text(store.REPORT)
    assert text is not None and "<h2>Batch size</h2>" in text


def test_the_same_seed_gives_the_same_run(
    flown: Any, study: optuna.Study, run: Run, fly_project: FlyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_report", lambda run_dir: run_dir)
    torch.manual_seed(12345)  # whatever state the caller is in
    again = fly_project()
    other = optuna.load_study(study_name=None, storage=store.study_url(again.flight.run_dir))
    for one, two in zip(study.trials, other.trials, strict=True):
        assert (one.params, one.value, one.state) == (two.params, two.value, two.state)
        assert one.intermediate_values == two.intermediate_values
    for stage in ("range", "explore", "confirm", "proof"):
        first, second = run.recordings(stage), Run.open(again.flight.run_dir).recordings(stage)
        assert [(item.params, item.seed, repr(item.score)) for item in first] == [
            (item.params, item.seed, repr(item.score)) for item in second
        ]
        assert first[-1].losses.equals(second[-1].losses)
    assert again.flight.recommendation == flown.flight.recommendation
    for path in (store.RECOMMENDATION, store.FIXED):
        assert (again.flight.run_dir / path).read_bytes() == (flown.flight.run_dir / path).read_bytes()


def test_the_callers_random_state_is_untouched(
    fly_project: FlyProject, monkeypatch: pytest.MonkeyPatch, explore_only: Callable[[], None]
) -> None:
    explore_only()
    monkeypatch.setattr(module, "write_report", lambda run_dir: run_dir)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fly_project("budget.trials=2", "budget.trial_steps=4")
    assert torch.equal(torch.rand(4), expected)


def test_another_seed_gives_another_run(
    study: optuna.Study, fly_project: FlyProject, monkeypatch: pytest.MonkeyPatch, explore_only: Callable[[], None]
) -> None:
    explore_only()
    monkeypatch.setattr(module, "write_report", lambda run_dir: run_dir)
    again = fly_project("seed=1", "budget.trials=3", "budget.trial_steps=4")
    other = optuna.load_study(study_name=None, storage=store.study_url(again.flight.run_dir))
    assert [trial.params for trial in other.trials[1:]] != [trial.params for trial in study.trials[1:3]]


def test_run_directories_of_the_same_second_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for _ in range(4):
        found.append(module._default_run_dir("group/digits"))
        found[-1].mkdir(parents=True)
    assert len(set(found)) == 4
    assert all(path.parent == Path("runs") and path.name.startswith("group-digits-") for path in found)


def test_scores_relate_to_the_best_constant_predictor(flown: Any, run: Run) -> None:
    document = run.document(store.INSPECTION)
    assert document["references"] == document["constants"]
    assert document["constants"]["distance"] == pytest.approx(1.17, abs=0.3)
    last = run.recordings("proof")[-1]
    losses = {name: last.info["losses"][name] / value for name, value in document["constants"].items()}
    assert last.score == pytest.approx(math.fsum(losses.values()) / 2)
