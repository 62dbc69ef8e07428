"""Bad input: one line that names the parameter, its value and the alternatives; exit code 2; nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]
Refused = Callable[..., str]


def test_the_project_itself_is_accepted(command: Command, project: Path, module: str, no_training: None) -> None:
    with pytest.raises(AssertionError, match="accepted, and about to train"):
        command("--config-dir", "conf", f"+model={module}", "budget=smoke", "workers=1")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["no model", "+model=NAME", "digits", "icecube"]),
        (["+model=digit"], ["unknown model 'digit'", "did you mean 'digits'?", "icecube"]),
        (["+model="], ["unknown model ''", "digits"]),
        (["+mdel=digits"], ["unknown key 'mdel'", "did you mean +model=digits?"]),
        (["+model=digits", "+model=icecube"], ["more than one model: digits, icecube"]),
        (
            ["--config-dir", "conf/model", "+model=mine_on_the_command_line"],
            ["--config-dir is the folder above model/"],
        ),
        (["model=nothing_of_the_kind"], ["unknown model 'nothing_of_the_kind'", "known: digits"]),
        (["--config-dir", "conf", "+model=mine_on"], ["unknown model 'mine_on'", "mine_on_the_command_line"]),
        (["--config-dir", "nowhere", "+model=digits"], ["--config-dir nowhere is not a folder"]),
        (["--config-dir"], ["--config-dir", "preflight --help"]),
        (["--config-dirs=conf", "+model=digits"], ["--config-dirs", "preflight --help"]),
        (["digits"], ["'digits' is not of the form key=value", "preflight --help"]),
        (["--multirun", "+model=digits"], ["--multirun", "preflight --help"]),
        (["verify"], ["config", "preflight --help"]),
        (["verify", "nothing.yaml"], ["nothing.yaml is not a file"]),
        (["verify", "train.yaml"], ["no run that wrote train.yaml", "preflight verify train.yaml --run RUN_DIR"]),
        (["verify", "train.yaml", "--run", "conf"], ["conf is not a run directory"]),
        (["report"], ["run_dir", "preflight --help"]),
        (["report", "conf"], ["conf is not a run directory"]),
    ],
)
def test_a_command_that_cannot_be(refused: Refused, project: Path, arguments: list[str], names: list[str]) -> None:
    text = refused(*arguments)
    for name in names:
        assert name in text


@pytest.mark.parametrize(
    ("override", "names"),
    [
        # groups
        ("budget=smokey", ["budget=smokey", "did you mean 'smoke'?", "quick, smoke, standard, thorough"]),
        ("space=defualt", ["space=defualt", "did you mean 'default'?", "wide"]),
        ("sweep=wide", ["'sweep'", "known: budget, device, model"]),
        ("+sweep=wide", ["'sweep'", "known: budget, device, model"]),
        ("+spaec=wide", ["'spaec'", "did you mean 'space'?"]),
        ("budgets=smoke", ["'budgets'", "did you mean 'budget'?"]),
        # keys
        ("sede=1", ["'sede'", "did you mean 'seed'?", "run_dir"]),
        ("budget.trails=3", ["'budget.trails'", "did you mean 'trials'?", "confirm_steps"]),
        ("space.lrr=[0.1]", ["'space.lrr'", "did you mean 'lr'?", "weight_decay"]),
        ("space.lr.lwo=0.1", ["'space.lr.lwo'", "did you mean 'low'?", "high"]),
        ("model.factry=x", ["'model.factry'", "did you mean 'factory'?", "losses"]),
        ("model.losses.distance.fuction=x", ["'model.losses.distance.fuction'", "did you mean 'function'?"]),
        # names of things that are not there
        ("space.normalization={hight: [none]}", ["'hight'", "did you mean 'height'?", "angles"]),
        ("space.loss_weights={tmie: {low: 1, high: 2}}", ["'tmie'", "did you mean 'time'?", "distance"]),
        ("space.extras={droput: [0.1]}", ["'droput'", "model.factory", "did you mean 'dropout'?", "width"]),
        ("space.normalization={height: [standardise]}", ["=standardise", "did you mean 'standardize'?", "robust"]),
        ("model.baseline={learning_rate: 0.1}", ["'learning_rate'", "model.baseline.learning_rate", "known:"]),
        ("model.inputs=[height, angel]", ["'angel'", "known: angles, distance, height, time"]),
        ("model.fields={hight: {kind: count}}", ["'hight'", "did you mean 'height'?"]),
        ("model.fields={height: {kind: counts}}", ["model.fields.height.kind=counts", "did you mean 'count'?"]),
        ("model.components.body=bdy.*", ["model.components.body=bdy.*", "body.0.weight"]),
        ("model.head=bdy", ["model.head=bdy", "known: body, out"]),
        ("model.schedule=step", ["model.schedule=step", "constant, cosine, linear"]),
        ("model.metric.goal=smaller", ["model.metric.goal=smaller", "maximize, minimize"]),
        ("device=gpu", ["device=gpu", "known: auto, cpu"]),
        # what would have no effect
        ("hydra.run.dir=x", ["hydra.run.dir=x has no effect", "run_dir=PATH"]),
        ("model.losses={}", ["model.losses={} changes nothing", "~model.losses.distance"]),
    ],
)
def test_a_misspelt_name_lists_the_alternatives(refused_mine: Refused, override: str, names: list[str]) -> None:
    text = refused_mine(override)
    for name in names:
        assert name in text


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("space.lr={low: 1.0, high: 0.1}", "space.lr.low must be below space.lr.high, got low=1 and high=0.1"),
        ("space.lr.low=0", "space.lr.low must be positive on a log scale, got low=0"),
        ("space.lr=[0.1, 0]", "space.lr must be positive, got lr=0"),
        ("space.batch_size={low: 64, high: 16}", "space.batch_size.low must be below space.batch_size.high"),
        ("space.batch_size=[16.5]", "space.batch_size must be a whole number of at least 1, got 16.5"),
        ("space.warmup_fraction=[1.5]", "space.warmup_fraction"),
        ("space.loss_weights={time: {low: 0, high: 2}}", "space.loss_weights.time.low must be positive on a log scale"),
        ("space.extras={dropout: {low: 0.5, high: 0.1}}", "space.extras.dropout.low must be below"),
        ("budget.trials=0", "budget.trials must be a whole number of at least 1, got 0"),
        ("budget.seeds=1", "budget.seeds must be a whole number of at least 2, got 1"),
        ("budget.confirm_steps=many", "budget.confirm_steps must be a whole number of at least 4, got 'many'"),
        ("budget.seeds=334", "budget.seeds must be a whole number of at most 333, got 334"),
        ("threads=100000", "threads must be a whole number of at most 1024, got 100000"),
        ("run_dir=", "run_dir is empty; give run_dir=PATH, or leave it out"),
        ("seed=-1", "seed must be a whole number of at least 0, got -1"),
        ("workers=lots", "workers must be a whole number of at least 1, got 'lots'"),
        ("overwrite=maybe", "overwrite must be true or false, got 'maybe'"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_bound(refused_mine: Refused, override: str, text: str) -> None:
    assert text in refused_mine(override)


def test_a_seed_that_is_too_large(refused_mine: Refused) -> None:
    assert "seed must be" in refused_mine("seed=5000000000")


@pytest.mark.parametrize(
    ("override", "names"),
    [
        (
            "model.mapping.lr=training.optim.learning_rate",
            [
                "model.mapping.lr=training.optim.learning_rate",
                "train.yaml",
                "no key 'learning_rate'",
                "known: lr, name",
            ],
        ),
        ("model.mapping.lr=training.optm.lr", ["model.mapping.lr=training.optm.lr", "did you mean 'optim'?"]),
        ("model.mapping.lr=training.optim", ["training.optim in train.yaml must be a finite number"]),
        ("model.mapping.lr=name", ["name in train.yaml must be a finite number, got 'ballistics-8'"]),
        ("model.mapping.warmup_epochs=training.schedule.warmups", ["'warmups'", "did you mean 'warmup'?"]),
        ("model.mapping.lrr=training.optim.lr", ["'lrr' (training.optim.lr in train.yaml)", "did you mean 'lr'?"]),
        ("model.mapping.dropout=training.optim.dropout", ["no key 'dropout' in 'training.optim'"]),
        ("model.mapping.warmup_steps=training.schedule.warmup", ["the warmup twice: warmup_epochs, warmup_steps"]),
        ("model.baseline={lr: 0.1}", ["lr is 0.1 by model.baseline.lr and 0.3 by training.optim.lr in train.yaml"]),
        ("model.horizon_steps=100", ["given twice", "model.horizon_steps", "training.schedule.epochs in train.yaml"]),
        ("model.config=trian.yaml", ["model.config=trian.yaml is not a file", "looked for"]),
        ("model.config=null", ["model.mapping is given without model.config"]),
        ("model.mapping.lr=null", ["model.mapping.lr must be a dotted key of the file to correct, got None"]),
    ],
)
def test_a_mapping_that_does_not_fit_the_file(refused_mine: Refused, override: str, names: list[str]) -> None:
    text = refused_mine(override)
    for name in names:
        assert name in text


@pytest.mark.parametrize(
    "text", ["a: [1,\nb: }\n", "a: 1\n\tb: 2\n", "training: {optim: {lr: 0.1\n", "a: *nobody\n", "- 1\n- 2\n"]
)
def test_a_file_to_correct_that_does_not_parse(refused_mine: Refused, project: Path, text: str) -> None:
    (project / "train.yaml").write_text(text, encoding="utf-8")
    assert refused_mine().startswith(str(project / "train.yaml"))


def test_a_file_to_correct_that_does_not_parse_names_the_place(refused_mine: Refused, project: Path) -> None:
    (project / "train.yaml").write_text("name: x\ntraining:\n  lr: 'open\n", encoding="utf-8")
    text = refused_mine()
    assert text.startswith(f"{project / 'train.yaml'} is not valid YAML at line 4, column 1: ")


def test_a_learning_rate_in_quotes_says_how_to_write_it(refused_mine: Refused, project: Path) -> None:
    path = project / "train.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("lr: 0.3", "lr: '3e-1'"), encoding="utf-8")
    text = refused_mine()
    assert text.startswith("training.optim.lr in train.yaml must be a finite number, got '3e-1', which is text: ")
    assert text.endswith("write it without quotes, as 0.3")


def test_a_file_to_correct_that_is_no_text(refused_mine: Refused, project: Path) -> None:
    (project / "train.yaml").write_bytes(b"lr: 0.1 # \xe4\n")
    assert "train.yaml is not UTF-8" in refused_mine()


@pytest.mark.parametrize("text", ["factory: [1,\nlosses: }\n", "factory: 1\n\tlosses: 2\n"])
def test_a_model_file_that_does_not_parse(refused_mine: Refused, project: Path, module: str, text: str) -> None:
    (project / "conf" / "model" / f"{module}.yaml").write_text(text, encoding="utf-8")
    assert f"{module}.yaml".replace(module, "MODULE") in refused_mine()


@pytest.mark.parametrize("missing", ["factory", "data", "losses"])
def test_a_model_file_that_lacks_what_it_needs(refused_mine: Refused, project: Path, module: str, missing: str) -> None:
    path = project / "conf" / "model" / f"{module}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    losses = ("  distance: {", "  time: {") if missing == "losses" else ()
    path.write_text("".join(line for line in lines if not line.startswith((f"{missing}:", *losses))), encoding="utf-8")
    text = refused_mine()
    assert text.startswith(f"'model.{missing}' is missing; it looks like: {missing}: ")


def test_a_run_directory_that_cannot_be_written(refused_mine: Refused, project: Path) -> None:
    text = refused_mine("run_dir=train.yaml/runs")
    assert text == "run_dir=train.yaml/runs cannot be written: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_directory_in_a_folder_that_is_read_only(refused_mine: Refused, project: Path) -> None:
    (project / "locked").mkdir(mode=0o555)
    assert "run_dir=locked/run cannot be written" in refused_mine("run_dir=locked/run")


def test_a_run_directory_that_holds_a_run(refused_mine: Refused, project: Path) -> None:
    (project / "there").mkdir()
    (project / "there" / "run.json").write_text("{}", encoding="utf-8")
    assert refused_mine("run_dir=there") == "run_dir=there holds a run already; give another run_dir"


@pytest.mark.parametrize("folder", ["conf", "."])
def test_a_run_directory_among_the_users_own_files(refused_mine: Refused, folder: str) -> None:
    text = refused_mine(f"run_dir={folder}")
    assert text.startswith(f"run_dir={folder} is not empty: it holds ")
    assert "such as run_dir=" in text


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("train.yaml", ["output=", "train.yaml is the original"]),
        ("nowhere/x.yaml", ["output=", "there is no folder"]),
        ("conf", ["output=", "conf is a folder"]),
        ("/proc/x.yaml", ["output=/proc/x.yaml cannot be written"]),
    ],
)
def test_an_output_that_cannot_be_written(refused_mine: Refused, output: str, names: list[str]) -> None:
    text = refused_mine(f"output={output}", "overwrite=true")
    for name in names:
        assert name in text


def test_a_result_that_is_there_already(refused_mine: Refused, project: Path) -> None:
    (project / "config_fixed.yaml").write_text("precious", encoding="utf-8")
    text = refused_mine()
    for name in ("config_fixed.yaml exists already", "overwrite=true", "output=PATH"):
        assert name in text


def test_a_key_that_is_given_twice(refused_mine: Refused) -> None:
    assert refused_mine("seed=1", "seed=2") == "'seed' is given twice: seed=1 and seed=2; keep one"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("=", "'=' names no key; write key=value"),
        ("~seed", "~seed takes out what every run needs; leave it away for the default, or give seed=VALUE"),
        ("~model.factory", "'model.factory' is missing; it looks like: factory: "),
        ("~budget.trials", "'budget.trials' is missing; it looks like: trials: "),
    ],
)
def test_a_key_that_is_not_there_or_is_needed(refused_mine: Refused, override: str, text: str) -> None:
    assert refused_mine(override).startswith(text)


@pytest.mark.parametrize("override", ["space.lr={low: 1", "key=value=x", "space.lr=${nope}", "a b=1", "space.lr=[1,"])
def test_an_override_that_does_not_parse_is_repeated(refused_mine: Refused, override: str) -> None:
    text = refused_mine(override)
    assert override in text or "space.lr" in text


def test_the_console_script_ends_the_same_way(
    preflight: Callable[..., Any], project: Path, module: str, contents: Contents
) -> None:
    before = contents(project)
    name = "model.losses.time.function=torch.nn.functional.l2"
    done = preflight("--config-dir", "conf", f"+model={module}", name, folder=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("preflight: model.losses.time=torch.nn.functional.l2 does not import")
    assert done.stderr.count("\n") == 1
    assert contents(project) == before
