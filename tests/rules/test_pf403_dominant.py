from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.levels import PRESSING
from preflight.rules.pf403_dominant import RATIO, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(norms: dict[str, float], weights: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    weights = weights or dict.fromkeys(norms, 1.0)
    total = sum(norms[name] * weights[name] for name in norms)
    return {
        "losses": {
            name: {
                "weight": weights[name],
                "gradient_norm": norm,
                "weighted_gradient_norm": norm * weights[name],
                "share": norm * weights[name] / total,
                "constant": 1.0,
                "initial": 1.2,
                **more.get(name, {}),
            }
            for name, norm in norms.items()
        }
    }


@pytest.mark.parametrize(("beyond", "severity"), [(1.5, WARNING), (1e4, ERROR)])
def test_a_loss_that_takes_the_gradient_is_found(beyond: float, severity: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts({"a": 1.0, "b": beyond * RATIO.value})))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.severity) == ("b", severity)
    assert answer.remedies[0].settings == {"loss_weights.b": pytest.approx(1 / (beyond * RATIO.value), rel=0.01)}


def test_a_weight_that_is_raised_is_no_intention(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts({"a": 1.0, "b": 1.0}, {"a": 1e6, "b": 1.0})))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"loss_weights.a": pytest.approx(1.0)}


@pytest.mark.parametrize(("weight", "expected"), [(1e6, 0.02), (1e9, 0.02)])
def test_a_penalty_that_a_constant_satisfies_is_not_balanced_but_kept_small(
    weight: float, expected: float, recorded: Recorded
) -> None:
    known = facts({"kl": 0.5, "recon": 1.0}, {"kl": weight, "recon": 1.0}, kl={"constant": -0.0})
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"loss_weights.kl": pytest.approx(expected)}
    assert "a constant output satisfies 'kl'" in answer.remedies[0].text


@pytest.mark.parametrize(("late", "left", "is_found"), [(1.0, 1e-3, True), (0.5, 1e-3, False), (1.0, 0.5, False)])
def test_a_penalty_needs_less_where_a_run_gave_up_everything_for_it(
    late: float, left: float, is_found: bool, recorded: Recorded
) -> None:
    known = facts({"kl": 2 * PRESSING.value, "recon": 1.0}, kl={"constant": 0.0, "initial": 30.0})
    noise = np.random.default_rng(0).normal(size=200)
    columns = {"recon": late + 0.01 * noise, "kl": 30.0 * left + 0.0 * noise}
    assert RULE.judge(recorded(facts=known)) == Clean()
    answer = RULE.judge(recorded(facts=known, losses=columns))
    assert isinstance(answer, Finding) == is_found
    if isinstance(answer, Finding):
        assert (answer.where, answer.severity) == ("kl", ERROR)
        assert answer.remedies[0].settings == {"loss_weights.kl": pytest.approx(0.01 / (2 * PRESSING.value))}


def test_a_penalty_weighs_no_more_than_one(recorded: Recorded) -> None:
    known = facts({"kl": 1e-6, "recon": 1.0}, {"kl": 1e9, "recon": 1.0}, kl={"constant": 0.0})
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"loss_weights.kl": 1.0}


@pytest.mark.parametrize(
    "known",
    [
        facts({"a": 1.0, "b": 30.0}),
        facts({"a": 1.0, "b": 1.0}, {"a": 1e-5, "b": 1.0}),  # an auxiliary loss, meant to be small
        facts({"a": 1.0, "b": 1e4}, {"a": 1.0, "b": 1e-4}),  # balanced by its weight
        facts({"style": 1e-5, "content": 1.0}, {"style": 1e5, "content": 1.0}),
        facts({"kl": 1e-4, "recon": 100.0}, kl={"constant": 0.0}),  # at its best before training
        facts({"a": 1.0, "b": 1e4}, b={"share_later": 0.6}, a={"share_later": 0.4}),  # over after a few steps
    ],
)
def test_what_is_balanced_or_meant_is_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known)) == Clean()


def test_a_loss_with_parameters_of_its_own_is_not_starved(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts({"a": 0.0, "b": 1.0, "c": 2.0}))) == Clean()


def test_without_shared_parameters_or_a_second_loss_it_does_not_apply(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts({"a": 1.0}))) == NotApplicable("there is one loss only")
    answer = RULE.judge(recorded(facts=facts({"a": 0.0, "b": 1.0})))
    assert answer == NotApplicable("no parameter is reached by more than one loss")
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'losses'")
