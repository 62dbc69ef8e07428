from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf409_regularization import DECAY, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
STUCK, LEARNED = np.full(200, 2.3), np.linspace(2.3, 0.2, 200)


def facts(decay: float | None = 0.0, penalty: float | None = 0.0) -> dict[str, Any]:
    regularization = {"weight_decay": 0.1, "decay_ratio": decay, "penalty_ratio": penalty}
    return {"losses": {"ce": {"constant": 2.3, "initial": 2.3}}, "regularization": regularization}


def parameters(left: float) -> dict[str, list[float]]:
    return {"first_weight_norm": [3.0, 4.0], "last_weight_norm": [3.0 * left, 4.0 * left]}


@pytest.mark.parametrize("times", [1.5, 100.0])
def test_decay_that_keeps_the_run_at_a_constant_is_found(times: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(times * DECAY.value), losses={"ce": STUCK}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.remedies[0].settings == {"weight_decay": 1e-4}


def test_decay_that_eats_the_weights_is_found(recorded: Recorded) -> None:
    known = facts(2 * DECAY.value)
    answer = RULE.judge(recorded(facts=known, losses={"ce": LEARNED}, parameters=parameters(0.3)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert RULE.judge(recorded(facts=known, losses={"ce": LEARNED}, parameters=parameters(1.1))) == Clean()


@pytest.mark.parametrize(
    ("decay", "end", "fresh", "is_found"),
    [
        (2.0, 0.5, 1.0, True),
        (2.0, 0.01, 1.0, False),  # fitted
        (2.0, 0.5, 0.0, False),  # trained before: its gradients are small
        (0.5, 0.5, 1.0, False),
    ],
)
def test_decay_that_outweighs_the_gradient_and_keeps_from_fitting_is_found(
    decay: float, end: float, fresh: float, is_found: bool, recorded: Recorded
) -> None:
    known = facts(decay)
    known["losses"]["ce"]["fresh"] = fresh
    losses = np.concatenate([np.linspace(2.3, end, 100), np.full(100, end)])
    assert isinstance(RULE.judge(recorded(facts=known, losses={"ce": losses})), Finding) == is_found


def test_a_penalty_that_outweighs_the_data_is_found(recorded: Recorded) -> None:
    assert isinstance(RULE.judge(recorded(facts=facts(penalty=3.0))), Finding)
    assert RULE.judge(recorded(facts=facts(penalty=0.3))) == Clean()


@pytest.mark.parametrize(("decay", "losses"), [(0.01, STUCK), (0.5, LEARNED), (0.0, STUCK)])
def test_usual_decay_or_a_run_that_learns_is_clean(decay: float, losses: np.ndarray, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(decay), losses={"ce": losses})) == Clean()


def test_what_is_missing_is_said(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'regularization'")
    answer = RULE.judge(recorded(facts=facts(None, None)))
    assert answer == NotApplicable("how much decay and penalties weigh was not measured")
    short = RULE.judge(recorded(facts=facts(1.0), losses={"ce": STUCK[:50]}))
    assert short == NotApplicable("50 steps are too few to tell: it takes 100")


@pytest.mark.parametrize(("share", "late", "found"), [(0.95, 1.9, True), (0.5, 1.9, False), (0.95, 0.01, False)])
def test_dropout_of_most_units_is_found_where_the_training_loss_stays_high(
    recorded: Recorded, share: float, late: float, found: bool
) -> None:
    losses = np.geomspace(2.3, late, 200)
    facts = {
        "modes": {"dropout": share},
        "regularization": {"decay_ratio": 0.0, "weight_decay": 0.0},
        "losses": {"ce": {"constant": 2.3, "initial": 2.3, "fresh": 1.0}},
    }
    answer = RULE.judge(recorded(facts=facts, losses={"total": losses, "ce": losses}))
    assert isinstance(answer, Finding) == found
