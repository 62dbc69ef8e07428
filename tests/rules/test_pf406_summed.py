from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf406_summed import RULE, is_summed
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
TODAY = Params(lr=0.1, batch_size=32)
SUM, MEAN, PAIRS = {"2": 2.0, "4": 4.0}, {"2": 1.0, "4": 1.0}, {"2": 1.2, "4": 1.6}
AWAY, FALLING = np.linspace(1.0, 50.0, 100), np.linspace(30.0, 3.0, 200)


def facts(**scaling: dict[str, float]) -> dict[str, Any]:
    return {
        "losses": {name: {"batch_scaling": item, "constant": 30.0, "initial": 30.0} for name, item in scaling.items()}
    }


def test_a_summed_loss_that_runs_away_is_found(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, facts=facts(a=SUM), losses={"total": AWAY, "a": AWAY}))
    assert isinstance(answer, Finding)
    assert answer.where == "a"
    assert [item.settings for item in answer.remedies] == [{}, {"lr": pytest.approx(0.1 / 32, rel=0.01)}]


def test_a_summed_loss_that_is_always_clipped_is_found(recorded: Recorded) -> None:
    clipped = Params(lr=0.1, batch_size=32, clip_norm=1.0)
    norms = {"overall": np.full(200, 20.0)}
    found = RULE.judge(recorded(clipped, facts=facts(a=SUM), losses={"total": FALLING}, gradient_norms=norms))
    assert isinstance(found, Finding) and "100% of the steps are clipped" in found.message
    huge = {"overall": np.full(200, 2e4)}  # a mean would be clipped as well
    assert RULE.judge(recorded(clipped, facts=facts(a=SUM), losses={"total": FALLING}, gradient_norms=huge)) == Clean()


def thrown(way: float) -> dict[str, Any]:
    """Tables of a run of 10,000 values whose first ten steps move them by ``way``, and nothing is learned."""
    return {
        "losses": {"total": np.full(200, 30.0)},
        "parameters": {"name": ["a"], "component": ["net"], "values": [10_000], "first_weight_norm": [10.0]},
        "weight_deltas": {"net_delta": [way] + [0.0] * 19},
    }


@pytest.mark.parametrize(("way", "is_found"), [(5000.0, True), (90.0, False)])
def test_steps_that_grow_with_a_summed_loss_are_its_doing_and_those_of_adam_are_not(
    way: float, is_found: bool, recorded: Recorded
) -> None:
    known = facts(a=SUM)  # ten steps of 0.1 move 10,000 values by 100 with Adam, by 630 with RMSprop
    answer = RULE.judge(recorded(TODAY, facts=known, **thrown(way)))
    assert isinstance(answer, Finding) == is_found
    assert not is_found or "throw the weights about" in answer.message
    assert RULE.judge(recorded(TODAY, facts=facts(a=MEAN), **thrown(way))) == Clean()


def test_a_sum_that_overrules_means_is_found(recorded: Recorded) -> None:
    known = facts(a=SUM, b=MEAN)
    for share in (0.96, 0.995):
        known["losses"]["a"]["share"] = share
        assert isinstance(RULE.judge(recorded(TODAY, facts=known, losses={"total": FALLING})), Finding)
    known["losses"]["a"]["share"] = 0.6
    assert RULE.judge(recorded(TODAY, facts=known, losses={"total": FALLING})) == Clean()


@pytest.mark.parametrize(
    ("scaling", "losses", "params"),
    [
        (SUM, FALLING, TODAY),  # the learning rate suits the sum
        (MEAN, AWAY, TODAY),
        (PAIRS, AWAY, TODAY),
        (SUM, AWAY, Params(lr=0.1, batch_size=1)),  # a sum of one
    ],
)
def test_no_sum_or_no_harm_is_clean(
    scaling: dict[str, float], losses: np.ndarray, params: Params, recorded: Recorded
) -> None:
    assert RULE.judge(recorded(params, facts=facts(a=scaling), losses={"total": losses, "a": losses})) == Clean()


def test_a_sum_is_told_by_halves_and_by_quarters() -> None:
    assert is_summed({"batch_scaling": SUM})
    of_512 = {str(parts): parts * np.log(512) / np.log(512 / parts) for parts in (2, 4)}
    assert is_summed({"batch_scaling": of_512})  # cross-entropies among the samples of a batch
    assert not is_summed({"batch_scaling": {parts: value / int(parts) for parts, value in of_512.items()}})
    assert not is_summed({"batch_scaling": {"2": 4.0, "4": 16.0}})  # over pairs
    assert not is_summed({"batch_scaling": {"2": 2.0, "4": 3.0}})  # as log(batch size) may be, once
    assert not is_summed({"batch_scaling": {}})


def test_what_was_not_measured_is_said(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, facts=facts(a={}), losses={"total": AWAY}))
    assert answer == NotApplicable("how the losses scale with the batch size was not measured")
