from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from preflight.core.catalog import packaged_conf
from preflight.core.compose import compose_run, compose_sweeps

Refusal = Callable[..., str]
AddModel = Callable[[Path, str, str], Path]

MINE = "factory: net.build\ndata: net.load\nlosses: {mse: torch.nn.functional.mse_loss}\n"


@pytest.mark.parametrize("override", ["+model=digits", "model=digits", "++model=digits"])
def test_a_model_is_chosen_with_and_without_a_plus(override: str) -> None:
    composed = compose_run([override])
    assert (composed.model, composed.folder) == ("digits", packaged_conf() / "model")
    assert composed.values["model"]["head"] == "head"


def test_hydras_own_settings_are_left_out() -> None:
    assert set(compose_run(["+model=digits"]).values) == {
        "model",
        "space",
        "budget",
        "seed",
        "device",
        "threads",
        "workers",
        "run_dir",
        "output",
        "overwrite",
    }


def test_sweeps_compose_without_a_model() -> None:
    values = compose_sweeps(["budget=smoke", "seed=3"])
    assert "model" not in values
    assert (values["budget"]["trials"], values["seed"]) == (4, 3)


def test_no_model_lists_the_models(refusal: Refusal) -> None:
    text = refusal(compose_run, ["seed=1"])
    assert text.startswith("no model: give +model=NAME; known: digits, ")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+model=digts", "unknown model 'digts'; did you mean 'digits'? known: "),
        ("model=", "unknown model ''; known: "),
    ],
)
def test_an_unknown_model_lists_the_models(override: str, named: str, refusal: Refusal) -> None:
    text = refusal(compose_run, [override])
    assert text.startswith(named)
    assert "icecube" in text


def test_two_models_are_one_too_many(refusal: Refusal) -> None:
    text = refusal(compose_run, ["+model=digits", "model=icecube"])
    assert text == "more than one model: digits, icecube; give one +model=NAME, a run is of one model"


@pytest.mark.parametrize("override", ["+mdel=digits", "mdoel=digits", "+Model=digits", "models=digits"])
def test_a_misspelt_model_is_told_from_none(override: str, refusal: Refusal) -> None:
    key = override.lstrip("+").partition("=")[0]
    text = refusal(compose_run, [override])
    assert text.startswith(f"unknown key '{key}'; did you mean +model=digits? models: digits, ")


def test_the_folder_of_the_models_is_not_the_one_above_them(
    add_model: AddModel, tmp_path: Path, refusal: Refusal
) -> None:
    add_model(tmp_path / "conf", "mine", MINE)
    text = refusal(compose_run, ["+model=mine"], [tmp_path / "conf" / "model"])
    assert f"--config-dir is the folder above model/, here {tmp_path / 'conf'};" in text


@pytest.mark.parametrize(
    "override", ["hydra.run.dir=x", "+hydra.job.name=x", "hydra/launcher=basic", "hydra.searchpath=[x]", "~hydra"]
)
def test_what_hydra_would_do_is_refused_and_not_ignored(override: str, refusal: Refusal) -> None:
    text = refusal(compose_run, ["+model=digits", override])
    assert text.startswith(f"{override} has no effect: ")
    assert "run_dir=PATH" in text


def test_a_key_that_begins_like_hydra_is_a_key() -> None:
    assert compose_run(["+model=digits", "hydrant=1"]).values["hydrant"] == 1


@pytest.mark.parametrize(
    ("override", "key"), [("model.losses={}", "model.losses.cross_entropy"), ("budget={ }", "budget.trials")]
)
def test_an_empty_mapping_that_would_be_merged_is_refused(override: str, key: str, refusal: Refusal) -> None:
    text = refusal(compose_run, ["+model=digits", override])
    assert text.startswith(f"{override} changes nothing: ")
    assert text.endswith(f"take one out with ~{key}")
    there = compose_run(["+model=digits", f"~{key}"]).values
    group, *inner, last = key.split(".")
    assert last not in (there[group][inner[0]] if inner else there[group])


def test_an_empty_mapping_where_there_is_none_is_one() -> None:
    values = compose_run(["+model=digits", "model.lr_ratios={}", "space.extras={}", "space.lr={}"]).values
    assert (values["model"]["lr_ratios"], values["space"]["extras"], values["space"]["lr"]) == ({}, {}, {})


@pytest.mark.parametrize("given", ["{}", "{width: [8]}"])
def test_extras_given_whole_replace_those_of_the_model(given: str, add_model: AddModel, tmp_path: Path) -> None:
    own = "space: {extras: {dropout: [0.1]}, lr: [0.1]}\n"
    folder = add_model(tmp_path, "mine", MINE + own)
    values = compose_run(["+model=mine", f"space.extras={given}"], [folder]).values
    assert values["model"]["space"] == {"lr": [0.1]}
    assert values["space"]["extras"] == ({} if given == "{}" else {"width": [8]})


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("space=lrr", "space=lrr does not exist; did you mean 'lr'? known: default, lr, wide"),
        ("budget=none", "budget=none does not exist; known: quick, smoke, standard, thorough"),
        ("+space=lrr", "space=lrr does not exist; did you mean 'lr'? known: default, lr, wide"),
    ],
)
def test_an_option_that_a_group_does_not_have_lists_the_others(override: str, text: str, refusal: Refusal) -> None:
    assert refusal(compose_run, ["+model=digits", override]) == text


@pytest.mark.parametrize("override", ["seed", "foo bar", "run_dir=a=b", "run_dir=größe", "seed=[1", "space.lr={low: 1"])
def test_a_malformed_override_is_quoted(override: str, refusal: Refusal) -> None:
    assert refusal(compose_run, ["+model=digits", override]).startswith(f"{override} is not of the form key=value: ")


@pytest.mark.parametrize("override", ["budget=5"])
def test_an_override_that_makes_no_sense_is_quoted_too(override: str, refusal: Refusal) -> None:
    assert refusal(compose_run, ["+model=digits", override]).startswith(f"+model=digits {override} does not compose: ")


def test_odd_text_may_be_quoted() -> None:
    assert compose_sweeps(["run_dir='/tmp/größe/a=b, c'"])["run_dir"] == "/tmp/größe/a=b, c"


@pytest.mark.parametrize("override", ["seed=${nothing}", "seed=${no.such:resolver}", "run_dir=${budget.nothing}"])
def test_an_interpolation_that_leads_nowhere_names_its_key(override: str, refusal: Refusal) -> None:
    assert f"full_key: {override.partition('=')[0]}" in refusal(compose_run, ["+model=digits", override])


def test_a_key_may_be_new_and_is_judged_by_the_settings() -> None:
    values = compose_run(["+model=digits", "sead=1", "budget.trails=2", "model.baseline.lr=0.1"]).values
    assert (values["sead"], values["budget"]["trails"]) == (1, 2)
    assert values["model"]["baseline"] == {"lr": 0.1}


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_an_axis_is_replaced_as_a_whole(plus: str) -> None:
    axes = {
        "lr": "[0.001, 0.01]",
        "warmup_fraction": "{low: 0.0, high: 0.1}",
        "normalization": "{input: [none]}",
        "extras": "{dropout: [0.0, 0.1]}",
    }
    space = compose_sweeps([f"{plus}space.{key}={value}" for key, value in axes.items()])["space"]
    assert {key: space[key] for key in axes} == {
        "lr": [0.001, 0.01],
        "warmup_fraction": {"low": 0.0, "high": 0.1},
        "normalization": {"input": ["none"]},
        "extras": {"dropout": [0.0, 0.1]},
    }


def test_a_range_given_whole_forgets_the_other_bound() -> None:
    assert compose_sweeps(["space.lr={low: 0.001}"])["space"]["lr"] == {"low": 0.001}


def test_the_example_of_the_help_works() -> None:
    space = compose_sweeps(["space.lr.low=1e-5", "space.extras.dropout={low: 0.0, high: 0.3}"])["space"]
    assert space["lr"] == {"low": 1e-5, "high": "auto"}
    assert space["extras"] == {"dropout": {"low": 0.0, "high": 0.3}}


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["seed=1", "seed=2"], "'seed' is given twice: seed=1 and seed=2; keep one"),
        (["seed=1", "seed=1"], "'seed' is given twice"),
        (["space.lr=[0.1]", "budget=smoke", "++space.lr=keep"], "'space.lr' is given twice: space.lr=[0.1] and ++sp"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(overrides: list[str], text: str, refusal: Refusal) -> None:
    assert text in refusal(compose_sweeps, overrides)


def test_what_is_taken_out_may_be_given_anew() -> None:
    assert compose_sweeps(["~space.lr", "+space.lr=[0.1]"])["space"]["lr"] == [0.1]


@pytest.mark.parametrize("override", ["=", "=3", "+=3", "~", "~=3"])
def test_an_override_without_a_key_is_told(override: str, refusal: Refusal) -> None:
    assert refusal(compose_sweeps, [override]) == f"'{override}' names no key; write key=value, such as seed=1"


@pytest.mark.parametrize("key", ["seed", "budget", "space", "overwrite", "device"])
def test_what_every_run_needs_cannot_be_taken_out(key: str, refusal: Refusal) -> None:
    text = refusal(compose_sweeps, [f"~{key}"])
    assert text == f"~{key} takes out what every run needs; leave it away for the default, or give {key}=VALUE"


@pytest.mark.parametrize("name", ["plain", "a,b=c (d) [e] {f}", "größe #1 ~", "quo'te", 'dou"ble', "back\\slash"])
def test_a_config_dir_may_have_any_name(name: str, add_model: AddModel, tmp_path: Path) -> None:
    folder = add_model(tmp_path / name, "mine", MINE)
    composed = compose_run(["+model=mine"], [folder])
    assert composed.values["model"]["factory"] == "net.build"
    assert (composed.model, composed.folder) == ("mine", folder / "model")


def test_a_config_dir_may_be_relative(add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model(tmp_path / "conf", "mine", MINE)
    monkeypatch.chdir(tmp_path)
    assert compose_run(["+model=mine"], [Path("conf")]).values["model"]["data"] == "net.load"


def test_models_of_several_folders_are_found(add_model: AddModel, tmp_path: Path) -> None:
    folders = [add_model(tmp_path / name, name, MINE) for name in ("one", "two")]
    assert compose_run(["+model=two"], folders).folder == tmp_path / "two" / "model"


def test_a_model_may_build_on_one_that_ships_with_preflight(add_model: AddModel, tmp_path: Path) -> None:
    folder = add_model(tmp_path, "mine", "defaults: [digits]\nschedule: constant\n")
    values = compose_run(["+model=mine"], [folder]).values["model"]
    assert (values["schedule"], values["head"]) == ("constant", "head")


def test_a_config_dir_that_is_no_folder_is_named(tmp_path: Path, refusal: Refusal) -> None:
    missing = tmp_path / "missing"
    assert refusal(compose_run, ["+model=digits"], [missing]) == f"--config-dir {missing} is not a folder"


def test_a_model_cannot_take_the_name_of_one_that_ships_with_preflight(
    add_model: AddModel, tmp_path: Path, refusal: Refusal
) -> None:
    folder = add_model(tmp_path, "digits", MINE)
    text = refusal(compose_run, ["+model=digits"], [folder])
    assert str(folder) in text
    assert text.endswith("rename it")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("losses: {a: [\n", 'in "{}"'),
        ("a:\n\tb: 1\n", 'in "{}"'),
        ("factory: 1\nfactory: 2\n", "found duplicate key factory"),
        ("5\n", "+model=mine"),
        ("factory: ${nope}\n", "full_key: model.factory"),
        ("defaults: [nope]\n", "model/nope"),
    ],
)
def test_a_model_that_cannot_be_read_says_where(
    text: str, where: str, add_model: AddModel, tmp_path: Path, refusal: Refusal
) -> None:
    folder = add_model(tmp_path, "mine", text)
    assert where.format(folder / "model" / "mine.yaml") in refusal(compose_run, ["+model=mine"], [folder])


def test_a_model_that_is_not_utf8_is_an_error_and_no_crash(
    add_model: AddModel, tmp_path: Path, refusal: Refusal
) -> None:
    folder = add_model(tmp_path, "mine", MINE)
    (folder / "model" / "mine.yaml").write_bytes("name: größe\n".encode("latin-1"))
    assert refusal(compose_run, ["+model=mine"], [folder]).startswith("+model=mine does not compose: 'utf-8' codec")


def test_a_program_that_runs_under_hydra_keeps_its_own(refusal: Refusal) -> None:
    with initialize_config_module("preflight.conf", version_base="1.3"):
        own = GlobalHydra.instance().hydra
        compose_run(["+model=digits"])
        assert GlobalHydra.instance().hydra is own
        refusal(compose_run, ["+model=digits", "space=nothing"])
        assert GlobalHydra.instance().hydra is own


def test_without_hydra_none_is_left_behind() -> None:
    compose_run(["+model=digits"])
    assert not GlobalHydra.instance().is_initialized()
