"""A user's own model, from outside of the repository: a module that preflight has never seen, a file of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

import preflight as package
from preflight.cli.main import main
from preflight.core.errors import ConfigError, ConfigFileError, InputError

REPOSITORY = Path(__file__).parent.parent
CHANGED = ("height", "kind", "center", "scale", "optim")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Path:
    """The project in a folder that has nothing to do with preflight's own."""
    folder = make_project(tmp_path_factory.mktemp("somewhere") / "my project")
    assert not folder.is_relative_to(REPOSITORY)
    return folder


@pytest.fixture(scope="module")
def original(project: Path) -> bytes:
    return (project / "train.yaml").read_bytes()


@pytest.fixture(scope="module")
def tuned(project: Path, original: bytes, preflight: Callable[..., Any], small: tuple[str, ...]) -> Any:
    """What the command printed when it was run in the project's folder."""
    done = preflight("--config-dir", "conf", "+model=mine", *small, folder=project)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def fixed(tuned: Any, project: Path) -> dict[str, Any]:
    """The corrected file, read."""
    loaded: dict[str, Any] = yaml.safe_load((project / "config_fixed.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def mine(project: Path) -> ModuleType:
    """The user's module."""
    spec = importlib.util.spec_from_file_location("mine_of_a_user", project / "mine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_file_is_short(project: Path) -> None:
    lines = (project / "conf" / "model" / "mine.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 18


def test_the_faults_are_found_and_named(tuned: Any) -> None:
    out = tuned.stdout
    assert "Change: on fresh seeds" in out
    changed = [line for line in out.splitlines() if "normalization." in line and " standardize " in line]
    assert len(changed) == 1
    assert "normalization.height" in changed[0]
    assert "worst_miss" in out
    assert "config_fixed.yaml" in out
    assert tuned.stderr == ""


def test_what_is_printed_into_a_pipe_is_plain(tuned: Any) -> None:
    assert "\x1b" not in tuned.stdout
    assert "\r" not in tuned.stdout


def test_the_original_is_not_touched(tuned: Any, project: Path, original: bytes) -> None:
    assert (project / "train.yaml").read_bytes() == original


def test_only_what_changed_differs_and_comments_survive(tuned: Any, project: Path, original: bytes) -> None:
    old = original.decode().splitlines()
    new = (project / "config_fixed.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in old if line not in new] == ['    optim: {name: adamw, lr: 0.3}   # "bigger is faster"']
    added = [line for line in new if line not in old]
    assert [line.split(":")[0].strip() for line in added] == list(CHANGED)
    assert [line for line in new if line in old] == [line for line in old if line in new]
    assert '# "bigger is faster"  # preflight: was 0.3; lowers the validation score by' in added[-1]
    assert "# preflight: new; lowers the validation score by" in added[0]


def test_the_written_file_holds_better_values(fixed: dict[str, Any]) -> None:
    assert fixed["training"]["optim"]["lr"] == 0.03
    assert fixed["training"]["schedule"] == {"epochs": 8, "warmup": 0}
    assert fixed["training"]["loader"] == {"batch_size": 20}
    assert fixed["name"] == "ballistics-${training.schedule.epochs}"


def test_the_long_run_can_use_the_written_statistics(fixed: dict[str, Any], mine: ModuleType) -> None:
    normalizer = package.InputNormalizer.from_config(fixed["inputs"]["height"])
    train, _ = mine.load_data()
    assert train["height"].mean() > 2000
    normalized = normalizer(train["height"])
    assert normalized.shape == train["height"].shape
    assert float(normalized.mean()) == pytest.approx(0, abs=1e-4)
    assert float(normalized.std(correction=0)) == pytest.approx(1, abs=1e-4)
    model = torch.nn.Sequential(normalizer, torch.nn.Linear(1, 1))
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]
    assert "0.center" in model.state_dict()


def test_the_written_file_reproduces_its_score(tuned: Any, project: Path, preflight: Callable[..., Any]) -> None:
    done = preflight("verify", "config_fixed.yaml", folder=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("reproduced exactly")
    seeds = [line for line in done.stdout.splitlines() if line.startswith("seed ")]
    assert len(seeds) >= 3
    for line in seeds:
        measured, recorded = line.split("score ")[1].split(", recorded ")
        assert measured == recorded


def test_a_result_is_not_overwritten_without_being_told(
    make_project: Callable[..., Path], tmp_path: Path, preflight: Callable[..., Any], small: tuple[str, ...]
) -> None:
    folder = make_project(tmp_path / "project")
    (folder / "config_fixed.yaml").write_text("precious", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    done = preflight("--config-dir", "conf", "+model=mine", *small, folder=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for part in (str(folder / "config_fixed.yaml"), "exists already", "overwrite=true", "output=PATH"):
        assert part in done.stderr
    assert (folder / "config_fixed.yaml").read_text(encoding="utf-8") == "precious"
    assert sorted(folder.rglob("*")) == before


def test_it_runs_from_another_folder_and_overwrites_when_told(
    make_project: Callable[..., Path],
    tmp_path: Path,
    tuned: Any,
    project: Path,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    fresh_imports: None,
) -> None:
    folder, elsewhere = make_project(tmp_path / "project"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "config_fixed.yaml").write_text("outdated", encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    assert main(["--config-dir", str(folder / "conf"), "+model=mine", *small, "overwrite=true"]) == 0
    assert [path.name for path in elsewhere.iterdir()] == ["runs"]
    assert {path.name for path in folder.iterdir() if path.is_dir()} <= {"conf", "__pycache__"}
    # The same seed and the same task, so the same answer wherever it runs.
    written = (folder / "config_fixed.yaml").read_bytes()
    assert written == (project / "config_fixed.yaml").read_bytes()
    (run_dir,) = (elsewhere / "runs").iterdir()
    assert (run_dir / "config_fixed.yaml").read_bytes() == written


def test_the_same_from_python_with_lambdas_and_closures(
    mine: ModuleType,
    project: Path,
    original: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yaml").write_bytes(original)
    width, threads = 24, torch.get_num_threads()
    torch.set_num_threads(threads + 1)

    def build(dropout: float = 0.0) -> torch.nn.Module:
        return mine.Ballistics(width, dropout)  # type: ignore[no-any-return]

    answer = package.tune(
        build,
        mine.load_data(),
        {
            "distance": lambda output, target: ((output["distance"] - target["distance"]) ** 2).mean(),
            "time": lambda output, target: (output["time"] - target["time"]).abs().mean(),
        },
        config="train.yaml",
        mapping={
            "lr": "training.optim.lr",
            "horizon_epochs": "training.schedule.epochs",
            "batch_size": "training.loader.batch_size",
            "normalization.height": "inputs.height",
        },
        inputs=["height", "angles"],
        targets=["distance", "time"],
        metric=lambda output, target: (output["distance"] - target["distance"]).abs().max(),
        components={"body": "body.*", "out": "out.*"},
        optimizer=lambda groups, **settings: torch.optim.Adam(groups, betas=(0.9, 0.99), **settings),
        overrides=[override for override in small if not override.startswith("workers")],
    )
    assert torch.get_num_threads() == threads + 1  # the caller's own
    torch.set_num_threads(threads)
    assert answer.changed
    assert answer.recommendation.gain is not None
    assert answer.recommendation.gain.low > 0
    assert answer.recommendation.recommended.normalization["height"] == "standardize"
    assert answer.config_fixed == tmp_path / "config_fixed.yaml"
    assert "kind: standardize" in answer.config_fixed.read_text(encoding="utf-8")
    assert answer.report.is_file()
    assert answer.run_dir.parent == Path("runs")
    assert (tmp_path / "train.yaml").read_bytes() == original


@pytest.fixture
def ask(mine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., package.Answer]:
    """preflight.tune of the same task, without a file."""
    monkeypatch.chdir(tmp_path)

    def loss(output: Any, target: Any) -> torch.Tensor:
        return ((output["distance"] - target["distance"]) ** 2).mean()  # type: ignore[no-any-return]

    def run(**arguments: Any) -> package.Answer:
        given = {"inputs": ["height", "angles"], "targets": ["distance", "time"], "horizon_steps": 100}
        given |= {"baseline": {"lr": 0.3, "batch_size": 20}}
        return package.tune(mine.build, mine.load_data, {"miss": loss}, **{**given, **arguments})

    return run


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"overrides": ["model.schedule=cosine"]}, r"overrides of the model are arguments of tune\(\)"),
        ({"overrides": ["budget.trails=3"]}, r"budget\.trails.*did you mean 'trials'"),
        ({"overrides": ["budget=smokey"]}, r"budget=smokey.*did you mean 'smoke'"),
        ({"baseline": {"batch_size": 20}}, r"today's lr is not known"),
        ({"baseline": {"lr": 0.1, "droput": 0.1}}, r"droput.*did you mean 'dropout'"),
        ({"horizon_steps": None}, r"the length of the long run is not known"),
        ({"metric": lambda output, target: 0.0, "metric_goal": "small"}, r"model\.metric\.goal=small"),
        ({"schedule": "cosine", "scheduler": torch.optim.lr_scheduler.StepLR}, r"are both given"),
        ({"scheduler_interval": "epoch"}, r"model\.scheduler_interval is given without model\.scheduler"),
        ({"mapping": {"lr": "lr"}}, r"model\.mapping is given without model\.config"),
        ({"config": "nothing.yaml"}, r"model\.config=nothing\.yaml is not a file"),
        ({"overrides": "budget=smoke"}, r"overrides of tune\(\) must be a list such as .*, got 'budget=smoke' \(str\)"),
        ({"horizon_steps": "many"}, r"model\.horizon_steps must be a whole number of at least 1, got 'many'"),
        ({"log_every_steps": 0.5}, r"model\.log_every_steps must be a whole number"),
        ({"fields": {"height": 3}}, r"model\.fields\.height must be a mapping of keys, got 3"),
        ({"lr_ratios": {"body": "x"}}, r"model\.lr_ratios\.body must be a finite number, got 'x'"),
        ({"baseline": {"lr": "fast", "batch_size": 20}}, r"model\.baseline\.lr must be a finite number, got 'fast'"),
        ({"inputs": "heigth"}, r"has no field 'heigth'; did you mean 'height'"),
    ],
)
def test_what_cannot_be_tuned_from_python_is_an_error_of_preflight(
    ask: Callable[..., package.Answer], tmp_path: Path, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        ask(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_arguments_in_no_order_are_an_error_of_preflight() -> None:
    with pytest.raises(ConfigError, match=r"factory of tune\(\) must be a function that builds the model, got 1"):
        package.tune(1, 2, 3, config="train.yaml")  # type: ignore[arg-type]


def test_a_model_in_place_of_its_factory_is_told() -> None:
    model = torch.nn.Linear(1, 1)
    with pytest.raises(
        ConfigError, match=r"must be a function that builds a new model every time, got a model \(Linear"
    ):
        package.tune(model, (1, 2), {"mse": torch.nn.functional.mse_loss})


def test_an_output_without_a_file_is_refused_from_python_too(
    ask: Callable[..., package.Answer], tmp_path: Path
) -> None:
    with pytest.raises(ConfigFileError, match=r"model\.config names no file to correct"):
        ask(overrides=["output=fixed.yaml"])
    assert list(tmp_path.iterdir()) == []
