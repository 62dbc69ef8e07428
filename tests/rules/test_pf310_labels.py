from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from preflight.core.finding import ERROR, NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf310_labels import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
RUN = {"losses": {"total": np.linspace(1.0, 0.1, 120), "loss": np.linspace(1.0, 0.1, 120)}}
FAILED = {"score": 1.02, "outcome": {"status": "completed"}}


def split(seed: int, size: int = 600, kind: str = "classes") -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(9))
    target = torch.randint(0, 4, (size,), generator=g)
    x = centres[target] + torch.randn(size, 6, generator=g)
    return {"x": x, "target": target if kind == "classes" else x.sum(1, keepdim=True) ** 3}


def mixed(part: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    order = torch.randperm(len(part["x"]), generator=torch.Generator().manual_seed(seed))
    return {**part, "target": part["target"][order]}


@pytest.mark.parametrize("kind", ["classes", "amounts"])
def test_training_targets_that_are_mixed_up_are_found(kind: str, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(mixed(split(0, kind=kind)), split(1, kind=kind)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "target")
    assert "validation data they do" in answer.message


@pytest.mark.parametrize("offset", [-2, -1, 1, 2])
@pytest.mark.parametrize("kind", ["classes", "amounts"])
def test_targets_that_are_rows_off_are_found(offset: int, kind: str, data_seen: DataSeen) -> None:
    parts = [split(seed, kind=kind) for seed in (0, 1)]
    for part in parts:
        part["target"] = part["target"].roll(-offset, 0)
    answer = RULE.judge(data_seen(*parts))
    assert isinstance(answer, Finding)
    assert f"{abs(offset)} row" in answer.message
    assert answer.evidence[1].what.endswith(f"{-offset:+d} rows away")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["classes", "amounts"])
def test_targets_that_belong_to_their_inputs_are_clean(seed: int, kind: str, data_seen: DataSeen) -> None:
    parts = split(seed, kind=kind), split(100 + seed, kind=kind)
    assert RULE.judge(data_seen(*parts, info=FAILED, tables=RUN)) == Clean()


def views(seed: int, *, apart: bool = False) -> dict[str, Tensor]:
    """Two views of every sample; ``apart``: the second ones in another order."""
    part = split(seed)
    other = part["x"] + 0.5 * torch.randn(part["x"].shape, generator=torch.Generator().manual_seed(50 + seed))
    order = torch.randperm(len(other), generator=torch.Generator().manual_seed(seed))
    return {"x": part["x"], "other": other[order] if apart else other, "target": part["target"]}


def test_inputs_that_do_not_belong_together_are_found(data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(views(0, apart=True), views(1)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "other")


def test_inputs_that_belong_together_or_have_nothing_in_common_are_clean(data_seen: DataSeen) -> None:
    for parts in ((views(0), views(1)), (views(0, apart=True), views(1, apart=True))):
        assert RULE.judge(data_seen(*parts)) == Clean()


def test_without_proof_it_is_a_hint_where_a_run_learned_nothing(data_seen: DataSeen) -> None:
    parts = mixed(split(0)), mixed(split(1))
    answer = RULE.judge(data_seen(*parts, info=FAILED, tables=RUN))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE
    assert isinstance(RULE.judge(data_seen(*parts)), NotApplicable)
    short = {"losses": {"total": [1.0] * 20}}
    assert isinstance(RULE.judge(data_seen(*parts, info=FAILED, tables=short)), NotApplicable)


@pytest.mark.parametrize("seed", range(3))
def test_a_relation_that_is_only_hard_accuses_nobody(seed: int, data_seen: DataSeen) -> None:
    def parity(part: int) -> dict[str, Tensor]:
        bits = torch.randint(0, 2, (600, 40), generator=torch.Generator().manual_seed(part)).float()
        return {"x": bits, "target": bits[:, :5].sum(1).long() % 2}

    parts = parity(seed), parity(50 + seed)
    assert not isinstance(RULE.judge(data_seen(*parts)), Finding)
    learned = {"score": 0.3, "outcome": {"status": "completed"}}
    assert RULE.judge(data_seen(*parts, info=learned, tables=RUN)) == Clean()


@pytest.mark.parametrize(("late", "is_found"), [(1.1, True), (0.3, False)])
def test_a_score_that_training_did_not_bring_is_not_learned(late: float, is_found: bool, data_seen: DataSeen) -> None:
    """A loss of similarities is low on new data before any training, whose own loss stays at its constant's."""
    losses = np.concatenate([np.linspace(1.2, late, 40), np.full(80, late)])
    losses += 0.01 * np.random.default_rng(0).normal(size=120)
    validation = np.where(np.arange(120) % 30 == 29, 0.6 if is_found else late, np.nan)
    tables = {"losses": {"total": losses, "loss": losses, "val_loss": validation + (0.5 if is_found else 0.0)}}
    facts = {"losses": {"loss": {"constant": 1.1, "initial": 1.2, "chance": None}}}
    info = {"score": 0.66, "outcome": {"status": "completed"}}
    answer = RULE.judge(data_seen(mixed(split(0)), split(1), facts=facts, info=info, tables=tables))
    assert isinstance(answer, Finding) is is_found


def test_what_is_missing_is_said(recorded: Callable[..., Recording], data_seen: DataSeen) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'labels'")
    assert RULE.judge(recorded(facts={"labels": {}})) == NotApplicable(
        "too few samples to tell whether labels belong to inputs"
    )


def test_a_target_that_never_changes_is_none_of_an_input(data_seen: DataSeen) -> None:
    """As of a loss that compares two views and takes no target."""
    g = torch.Generator().manual_seed(0)
    part = {"x": torch.randn(400, 3, generator=g), "target": torch.zeros(400, 1)}
    answer = RULE.judge(data_seen(part, info=FAILED, tables=RUN))
    assert answer == NotApplicable("the target 'target' is the same in every sample: there is nothing to predict")


def test_few_samples_prove_a_strong_relation_and_hide_a_weak_one(data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(mixed(split(0, 112)), split(1, 60)))
    assert isinstance(answer, Finding)
    assert "validation data they do" in answer.message
    without_proof = RULE.judge(data_seen(mixed(split(0, 112)), mixed(split(1, 60)), info=FAILED, tables=RUN))
    assert isinstance(without_proof, NotApplicable)
    assert "fewer than 300" in without_proof.missing


@pytest.mark.parametrize(("score", "is_found"), [(0.9, True), (0.5, False)])
def test_a_lucky_score_does_not_outweigh_proof(score: float, is_found: bool, data_seen: DataSeen) -> None:
    info = {"score": score, "outcome": {"status": "completed"}}
    answer = RULE.judge(data_seen(mixed(split(0)), split(1), info=info, tables=RUN))
    assert isinstance(answer, Finding) is is_found
    assert RULE.judge(data_seen(mixed(split(0)), mixed(split(1)), info=info, tables=RUN)) == Clean()


@pytest.mark.parametrize(("samples", "is_found"), [(600, True), (200, True), (100, False)])
def test_so_few_samples_might_not_show_what_many_do(
    samples: int, is_found: bool, recorded: Callable[..., Recording]
) -> None:
    labels = {"target": {"samples": samples, "z": 1.0, "validation_samples": 600, "validation_z": 20.0}}
    assert isinstance(RULE.judge(recorded(facts={"labels": labels})), Finding) is is_found


@pytest.mark.parametrize(("last", "found"), [(1.02, True), (0.4, False)])
def test_of_several_targets_each_is_judged_by_its_own_loss(
    recorded: Callable[..., Recording], last: float, found: bool
) -> None:
    mixed = {"samples": 1000, "z": 1.0, "validation_samples": 600, "validation_z": 90.0}
    sound = {"samples": 1000, "z": 90.0, "validation_samples": 600, "validation_z": 90.0}
    losses = {
        "class": {"target": "kind", "constant": 1.6, "initial": 1.6},
        "fit": {"target": "strength", "constant": 1.0, "initial": 1.0},
    }
    columns = {
        "total": [1.0] * 200,
        "class": [1.6 * last] * 200,
        "val_class": [1.6 * last] * 200,
        "val_fit": [0.05] * 200,
    }
    facts = {"labels": {"kind": mixed, "strength": sound}, "losses": losses}
    info = {"score": 0.5, "outcome": {"status": "completed"}}
    answer = RULE.judge(recorded(facts=facts, info=info, losses=columns))
    assert isinstance(answer, Finding) == found
    if isinstance(answer, Finding):
        assert answer.where == "kind"


@pytest.mark.parametrize(("training", "is_found"), [(1.7, True), (0.4, False)])
def test_what_another_target_taught_is_no_proof_of_the_labels(
    training: float, is_found: bool, recorded: Callable[..., Recording]
) -> None:
    mixed = {"samples": 1000, "z": 1.0, "validation_samples": 600, "validation_z": 50.0}
    losses = {name: {"target": name, "constant": 1.4, "initial": 1.4} for name in ("label", "teacher")}
    columns = {"total": [1.0] * 200, "label": [training] * 200, "val_label": [0.7] * 200, "val_teacher": [0.3] * 200}
    facts = {"labels": {"label": mixed, "teacher": {**mixed, "z": 50.0}}, "losses": losses}
    info = {"score": 0.3, "outcome": {"status": "completed"}}
    assert isinstance(RULE.judge(recorded(facts=facts, info=info, losses=columns)), Finding) is is_found


@pytest.mark.parametrize(("z", "is_found"), [(2.6, True), (8.0, False)])
def test_luck_is_measured_by_what_the_validation_data_lead_to_expect(
    z: float, is_found: bool, recorded: Callable[..., Recording]
) -> None:
    labels = {"target": {"samples": 1000, "z": z, "validation_samples": 400, "validation_z": 24.0}}
    assert isinstance(RULE.judge(recorded(facts={"labels": labels})), Finding) is is_found


def test_a_loss_of_all_pairs_is_found(recorded: Callable[..., Recording]) -> None:
    fact = {"all_pairs": True, "output_shape": [1]}
    answer = RULE.judge(recorded(facts={"losses": {"mse": fact}}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "mse")
    assert "[B, 1]" in answer.message
    clean = recorded(facts={"losses": {"mse": {**fact, "all_pairs": False}}})
    assert isinstance(RULE.judge(clean), NotApplicable)
