from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf405_initial import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
LN10 = float(np.log(10))


def classes(initial: float, **more: Any) -> dict[str, Any]:
    known = {"initial": initial, "chance": LN10, "chance_kind": "ln(classes)", "constant": 2.3, "fresh": 1.0}
    return {"losses": {"ce": {**known, "target_rank": 0.5, **more}}}


def regression(initial: float, output_std: float) -> dict[str, Any]:
    known = {"initial": initial, "constant": 1.0, "kind": "fit", "output_std": output_std, "target_std": 1.0}
    return {"losses": {"mse": known}}


@pytest.mark.parametrize(("initial", "severity"), [(9.5, WARNING), (60.0, ERROR)])
def test_a_loss_that_starts_far_above_guessing_is_found(initial: float, severity: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=classes(initial)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step) == (severity, 0)


def test_a_loss_that_starts_far_below_guessing_with_random_weights_is_found(recorded: Recorded) -> None:
    assert isinstance(RULE.judge(recorded(facts=classes(0.1))), Finding)
    assert RULE.judge(recorded(facts=classes(0.1, fresh=0.2))) == Clean()  # trained before
    assert RULE.judge(recorded(facts=classes(0.1, constant=0.12))) == Clean()  # nearly one class only


@pytest.mark.parametrize("initial", [2.0, 2.3, 3.0])
def test_a_loss_that_starts_near_guessing_is_clean(initial: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=classes(initial))) == Clean()


def test_a_margin_in_the_head_is_meant_to_start_high(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=classes(25.0, target_rank=0.02))) == Clean()


def test_what_is_healed_within_a_few_steps_is_clean(recorded: Recorded) -> None:
    quick = np.concatenate([np.linspace(9.5, 2.3, 8), np.full(192, 2.0)])
    assert RULE.judge(recorded(facts=classes(9.5), losses={"ce": quick})) == Clean()
    slow = np.linspace(9.5, 2.3, 200)
    assert isinstance(RULE.judge(recorded(facts=classes(9.5), losses={"ce": slow})), Finding)


def test_outputs_that_spread_too_far_are_told_from_raw_targets(recorded: Recorded) -> None:
    assert isinstance(RULE.judge(recorded(facts=regression(400.0, 20.0))), Finding)
    assert RULE.judge(recorded(facts=regression(400.0, 0.3))) == Clean()  # the target's offset
    assert RULE.judge(recorded(facts=regression(2.0, 0.3))) == Clean()


def test_without_an_initial_loss_there_is_nothing_to_judge(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts={"losses": {"a": {"constant": 1.0}}}))
    assert answer == NotApplicable("no loss was measured before training")
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'losses'")
