from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna_dashboard import wsgi

from preflight.core.errors import ConfigError
from preflight.core.params import Params
from preflight.search.driver import explore
from preflight.search.study import SCORE_NAME, STARTUP_TRIALS, create_study
from preflight.telemetry import store

SPACE = {"lr": FloatDistribution(1e-4, 1.0, log=True)}


def load(folder: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=store.study_url(folder))


# What a URL, a shell or Optuna's own templates could take for something else.
ODD_NAMES = [
    "with space",
    "what?",
    "a?mode=memory",
    "a#b",
    "100%",
    "a%20b",
    "größe-日本",
    "{SCHEMA_VERSION}",
    "it's",
    'a"b',
    "a@b:c",
    "a&b;c$d",
    "a\\b",
]


@pytest.mark.parametrize("is_relative", [False, True])
@pytest.mark.parametrize("folder", ["plain", *ODD_NAMES])
def test_a_study_lies_in_the_run_directory_under_its_name(
    folder: str, is_relative: bool, tmp_path: Path, make_budget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir = Path(folder) if is_relative else tmp_path / folder
    run_dir.mkdir()
    create_study("digits", run_dir, make_budget(), 0)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [folder, f"{folder}/{store.STUDY}"]
    study = load(run_dir, "digits")
    assert study.direction == StudyDirection.MINIMIZE
    assert study.metric_names == [SCORE_NAME]
    assert SCORE_NAME in study.user_attrs


@pytest.mark.parametrize("folder", ["plain", *ODD_NAMES])
def test_the_dashboard_opens_the_address_as_it_is_printed(
    folder: str, tmp_path: Path, make_budget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir = Path("runs") / folder
    run_dir.mkdir(parents=True)
    create_study("digits", run_dir, make_budget(), 0)
    address = store.study_url(run_dir)
    assert shlex.split(address) == [address]
    answer = json.loads(get(wsgi(address), "/api/studies"))
    assert [study["study_name"] for study in answer["study_summaries"]] == ["digits"]


def get(application: Any, path: str) -> bytes:
    """Body of the answer of a WSGI application."""
    environment: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environment)
    return b"".join(application(environment, lambda status, headers, exc_info=None: None))


def test_a_folder_that_is_gone_is_named_and_no_traceback(tmp_path: Path, make_budget: Any) -> None:
    with pytest.raises(ConfigError, match=r"study\.db in the run directory cannot be written: unable to open"):
        create_study("digits", tmp_path / "gone", make_budget(), 0)


def test_what_was_explored_is_read_back_from_the_file(
    tmp_path: Path, make_budget: Any, make_engine: Any, today: Params
) -> None:
    study = create_study("small", tmp_path, make_budget(), 0)
    explore(study, make_engine(), today, SPACE, make_budget(trials=3), 0, lambda params: params, lambda item: None)
    trials = load(tmp_path, "small").trials
    assert [trial.user_attrs["recording"] for trial in trials] == [f"trials/explore-00{index}" for index in range(3)]
    assert trials[0].params == {"lr": 0.3}
    assert list(trials[0].intermediate_values) == [4, 8]


def test_the_sampler_follows_the_seed(tmp_path: Path, make_budget: Any) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        study = create_study(name, tmp_path, make_budget(), seed)
        found.append([study.ask(SPACE).params["lr"] for _ in range(3)])
    assert found[0] == found[1] != found[2]


def reported(study: optuna.Study, values: dict[int, float]) -> bool:
    trial = study.ask()
    pruned = False
    for step, value in values.items():
        trial.report(value, step)
        pruned = pruned or trial.should_prune()
    study.tell(trial, values[max(values)])
    return pruned


def test_nothing_is_pruned_before_there_is_something_to_compare_with(tmp_path: Path, make_budget: Any) -> None:
    study = create_study("small", tmp_path, make_budget(), 0)
    assert [reported(study, {8: float(index)}) for index in range(STARTUP_TRIALS)] == [False] * STARTUP_TRIALS
    assert reported(study, {8: 100.0})
    assert not reported(study, {8: 0.0})


def test_nothing_is_pruned_in_the_first_third_of_a_trial(tmp_path: Path, make_budget: Any) -> None:
    study = create_study("small", tmp_path, make_budget(trial_steps=10), 0)
    for _ in range(STARTUP_TRIALS):
        reported(study, {3: 1.0, 4: 1.0})
    assert not reported(study, {3: 100.0})
    assert reported(study, {4: 100.0})
