"""Weights to start from: the forms that training scripts save them in, and what is said of a file that does not fit."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.errors import ConfigError, TaskError
from preflight.core.params import Params
from preflight.search.engines.base import check_checkpoint
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded
from preflight.telemetry import store
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import CRASHED

State = dict[str, Tensor]
TODAY = Params(lr=0.1, batch_size=4)


@pytest.fixture
def state(network: type[nn.Module]) -> State:
    """Weights that no seed of a test draws."""
    with seeded(99, torch.device("cpu")):
        return dict(network().state_dict())


@pytest.fixture
def start(make_task: Callable[..., PyTorchTask], tmp_path: Path) -> Callable[..., PyTorchTask]:
    """A task that starts from a file with ``content``."""

    def make(content: Any, **changes: Any) -> PyTorchTask:
        path = tmp_path / "ck.pt"
        torch.save(content, path)
        return make_task(checkpoint=str(path), **changes)

    return make


@pytest.fixture
def refused(start: Callable[..., PyTorchTask]) -> Callable[..., str]:
    """The one line that a file with ``content`` is refused with."""

    def refuse(content: Any, **extras: Any) -> str:
        with pytest.raises(TaskError) as error:
            start(content).job(TODAY.with_values(extras))
        text = str(error.value)
        assert "\n" not in text
        return text.partition("ck.pt")[2]

    return refuse


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


FORMS: dict[str, tuple[Callable[[State], Any], str]] = {
    "bare": (lambda state: state, ""),
    "a training script's": (
        lambda state: {"epoch": 3, "model_state_dict": state, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        "under 'model_state_dict'",
    ),
    "two deep": (lambda state: {"checkpoint": {"model": state}}, "under 'checkpoint.model'"),
    "DistributedDataParallel": (lambda state: {"model": prefixed(state, "module.")}, "without the prefix 'module.'"),
    "torch.compile": (lambda state: prefixed(state, "_orig_mod."), "without the prefix '_orig_mod.'"),
    "both": (lambda state: prefixed(state, "_orig_mod.module."), "without the prefixes '_orig_mod.', 'module.'"),
    "Lightning": (
        lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": {"lr": 0.1}},
        "under 'state_dict', without the prefix 'model.'",
    ),
    "a name of its own": (lambda state: {"generator": state, "critic": {"w": torch.ones(1)}}, "under 'generator'"),
    "beside averaged weights": (lambda state: {"ema": prefixed(state, ""), "model": state}, "under 'model'"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_network_starts_from_the_weights_in_the_file(
    form: str, state: State, start: Callable[..., PyTorchTask]
) -> None:
    wrap, told = FORMS[form]
    task = start(wrap(state))
    for seed in (0, 1):
        with seeded(seed, task.device):
            loaded = task.job(TODAY).network.model.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert task.checkpoint is not None
    assert task.checkpoint.taken is not None
    assert task.checkpoint.taken.endswith(told)


def test_a_model_that_is_wrapped_itself_gets_the_names_that_it_has(
    state: State, start: Callable[..., PyTorchTask], network: type[nn.Module]
) -> None:
    task = start(state, factory=lambda: nn.DataParallel(network()))
    loaded = task.job(TODAY).network.model.state_dict()
    assert all(torch.equal(loaded[f"module.{name}"], value) for name, value in state.items())


def test_the_optimizer_is_new(state: State, start: Callable[..., PyTorchTask]) -> None:
    assert not start({"model": state, "optimizer": {"state": {}}}).job(TODAY).optimizer.state


def test_training_one_network_leaves_the_next_one_alone(state: State, start: Callable[..., PyTorchTask]) -> None:
    task = start(state)
    for _ in range(2):
        job = task.job(TODAY)
        assert torch.equal(job.network.model.head.bias, state["head.bias"])  # type: ignore[union-attr, arg-type]
        with torch.no_grad():
            job.parameters[-1][1].add_(1)


def test_keys_that_are_missing_and_unexpected_are_named_and_counted(state: State, refused: Callable[..., str]) -> None:
    del state["head.bias"]
    text = refused(state | {f"extra.{number}": torch.ones(1) for number in range(5)})
    assert "it lacks 1 of the model's 4 tensors (head.bias)" in text
    assert "it has 5 that the model has not (extra.0, extra.1, extra.2, ...)" in text


def test_a_shape_that_differs_is_named_with_both_and_with_what_the_factory_was_given(
    state: State, refused: Callable[..., str]
) -> None:
    text = refused(state, width=8)
    assert "does not fit the model that model.factory builds with width=8: " in text
    assert "'backbone.0.weight' is [4, 3] in the checkpoint and [8, 3] in the model" in text


def test_a_trial_whose_network_cannot_load_says_so(
    state: State, start: Callable[..., PyTorchTask], tmp_path: Path
) -> None:
    lab = Lab(start(state), store.create(tmp_path / "run"), {"mse": 1.0}, 4, 6)
    outcome = lab.run(TrialSpec("explore", 0, TODAY.with_values({"width": 8}), 0, 4, 1)).outcome
    assert outcome.status == CRASHED
    assert "is [4, 3] in the checkpoint and [8, 3] in the model" in outcome.reason


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"args": argparse.Namespace(lr=1), "model": {"w": torch.ones(1)}}, "more than tensors: argparse.Namespace;"),
        ({"epoch": 1, "lr": 0.1}, "holds no state of a model but a mapping of epoch, lr;"),
        ([1, 2], "holds no state of a model but a list;"),
        (torch.ones(2, 3), "holds no state of a model but a tensor of shape [2, 3];"),
        ({}, "holds no state of a model but an empty mapping;"),
    ],
)
def test_what_is_no_state_is_named_with_what_to_save(content: Any, text: str, refused: Callable[..., str]) -> None:
    refusal = refused(content)
    assert text in refusal
    assert "torch.save(model.state_dict(), path)" in refusal


def test_a_whole_model_is_code_and_is_not_run(network: type[nn.Module], refused: Callable[..., str]) -> None:
    text = refused(network())
    assert "Net, torch.nn.modules" in text
    assert "weights_only=True" in text


def test_states_of_which_any_could_be_meant_are_refused(state: State, refused: Callable[..., str]) -> None:
    assert "several states that fit, under a, b" in refused({"a": state, "b": prefixed(state, "")})


def test_weights_that_are_not_finite_were_saved_too_late(state: State, refused: Callable[..., str]) -> None:
    broken = {name: value.clone() for name, value in state.items()}
    broken["head.bias"][0] = float("nan")
    assert "after its training broke: 1 of 2 values of 'head.bias' are not finite" in refused(broken)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04" + bytes(200)])
def test_a_file_that_torch_did_not_write_is_refused(
    content: bytes, make_task: Callable[..., PyTorchTask], tmp_path: Path
) -> None:
    (tmp_path / "ck.pt").write_bytes(content)
    with pytest.raises(TaskError, match=r"ck\.pt is no file that torch\.save wrote, or not all of it"):
        make_task(checkpoint=str(tmp_path / "ck.pt"))


def test_a_file_that_is_cut_short_is_refused(
    state: State, start: Callable[..., PyTorchTask], make_task: Callable[..., PyTorchTask], tmp_path: Path
) -> None:
    start(state)
    whole = (tmp_path / "ck.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match="or not all of it"):
        make_task(checkpoint=str(tmp_path / "cut.pt"))


def test_a_file_that_is_nowhere_names_every_place(make_task: Callable[..., PyTorchTask], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.checkpoint=.*gone\.pt is not a file; looked for .*gone\.pt"):
        make_task(checkpoint=str(tmp_path / "gone.pt"))


def test_a_checkpoint_that_was_overwritten_since_the_run_began_is_refused(
    state: State, start: Callable[..., PyTorchTask], tmp_path: Path
) -> None:
    before = start(state)
    assert before.checkpoint is not None
    store.write_json(tmp_path / store.INSPECTION, {"checkpoint": before.checkpoint.as_dict()})
    check_checkpoint(before, tmp_path)
    after = start({name: value + 1 for name, value in state.items()})
    with pytest.raises(TaskError, match=r"ck\.pt has changed since the run began with it: its SHA-256 was"):
        check_checkpoint(after, tmp_path)
