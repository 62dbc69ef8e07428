"""Rules that judge new weights do not judge those of a checkpoint by the same measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.rules import (
    pf107_initialization,
    pf403_dominant,
    pf404_conflict,
    pf405_initial,
    pf409_regularization,
    pf505_train_eval_gap,
    pf702_dead_activations,
)
from preflight.rules.base import Rule
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]

LAYERS = [{"module": str(depth), "type": "Linear", "weighted": True, "sample_std": 9.0**depth} for depth in range(6)]
LOSS = {"constant": 2.3, "chance": 2.3, "chance_kind": "ln(10)", "kind": "cross_entropy", "fresh": 0.0, "weight": 1.0}
PAIR = {"cosines": {"a|b": -0.9}, "cosine_spread": {"a|b": {"highest": -0.8, "batches": 12}}}
SATURATED = {"module": "tanh", "type": "Tanh", "saturated": 0.9, "samples": 256, "units": 16, "dead_units": 0}
DEAD = {"module": "relu", "type": "ReLU", "samples": 256, "units": 16, "dead_units": 16}
MODES = {"first_loss": 0.01, "train_loss": 0.01, "eval_loss": 0.03, "eval_again": 0.03, "has_batch_norm": True}


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        (pf107_initialization.RULE, {"activations": LAYERS}),
        (pf404_conflict.RULE, {"losses": {name: {"weighted_gradient_norm": 1.0} for name in "ab"}, **PAIR}),
        (pf405_initial.RULE, {"losses": {"ce": {**LOSS, "initial": 30.0}}}),
        (pf409_regularization.RULE, {"regularization": {"penalty_ratio": 5.0}}),
    ],
)
def test_what_only_new_weights_tell_is_not_asked_of_a_checkpoint(
    rule: Rule, facts: dict[str, Any], recorded: Recorded
) -> None:
    assert isinstance(rule.judge(recorded(facts=facts)), Finding)
    assert isinstance(rule.judge(recorded(facts={**facts, "start": "initialisation"})), Finding)
    answer = rule.judge(recorded(facts={**facts, "start": "checkpoint"}))
    assert isinstance(answer, NotApplicable)
    assert answer.missing.startswith("training starts from a checkpoint: ")


def test_units_that_are_copies_of_each_other_stay_so_in_a_checkpoint(recorded: Recorded) -> None:
    weight = {"name": "w", "shape": [8, 4], "symmetric_units": 8, "trained": True, "has_gradient": True}
    facts = {"parameters": [weight | {"weight_norm": 1.0, "gradient_norm": 1.0}], "start": "checkpoint"}
    assert isinstance(pf107_initialization.RULE.judge(recorded(facts=facts)), Finding)


def test_a_sure_unit_of_a_checkpoint_is_no_fault_and_a_dead_one_is(recorded: Recorded) -> None:
    def judge(item: dict[str, Any], start: str) -> object:
        return pf702_dead_activations.RULE.judge(recorded(facts={"activations": [item], "start": start}))

    assert isinstance(judge(SATURATED, "initialisation"), Finding)
    assert judge(SATURATED, "checkpoint") == Clean()
    dead = judge(DEAD, "checkpoint")
    assert isinstance(dead, Finding)
    assert dead.message.startswith("at the checkpoint 100% of the units")


@pytest.mark.parametrize(("initial", "kind"), [(0.5, Clean), (1.0, Finding)])
def test_a_loss_that_a_checkpoint_has_learned_was_not_starved(initial: float, kind: type, recorded: Recorded) -> None:
    def loss(share: float, value: float) -> dict[str, Any]:
        norms = {"weighted_gradient_norm": share, "gradient_norm": share}
        return {"share": share, "constant": 1.0, "initial": value, "weight": 1.0, **norms}

    losses = {"large": loss(0.999, 1.0), "small": loss(0.001, initial)}
    answer = pf403_dominant.RULE.judge(recorded(facts={"losses": losses, "start": "checkpoint"}))
    assert isinstance(answer, kind)
    assert isinstance(pf403_dominant.RULE.judge(recorded(facts={"losses": losses})), Finding)


def test_a_gap_is_measured_by_what_a_network_loses_that_has_learned_nothing(recorded: Recorded) -> None:
    facts = {"modes": MODES, "losses": {"ce": {**LOSS, "initial": 0.01}}}
    assert isinstance(pf505_train_eval_gap.RULE.judge(recorded(facts=facts)), Finding)
    assert pf505_train_eval_gap.RULE.judge(recorded(facts={**facts, "start": "checkpoint"})) == Clean()
    far = {**facts, "modes": {**MODES, "eval_loss": 5.0, "eval_again": 5.0}, "start": "checkpoint"}
    assert isinstance(pf505_train_eval_gap.RULE.judge(recorded(facts=far)), Finding)
