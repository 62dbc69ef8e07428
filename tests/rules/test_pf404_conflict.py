from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.rules.pf404_conflict import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
FLAT, FALLING = np.full(100, 1.0), np.linspace(1.0, 0.2, 100)


def facts(mean: float, highest: float, norms: tuple[float, float] = (1.0, 2.0), batches: int = 12) -> dict[str, Any]:
    losses = {name: {"weighted_gradient_norm": norm} for name, norm in zip("ab", norms, strict=True)}
    spread = {"a|b": {"highest": highest, "batches": batches}}
    return {"losses": losses, "cosines": {"a|b": mean}, "cosine_spread": spread}


@pytest.mark.parametrize("mean", [-0.6, -1.0])
def test_gradients_that_point_against_each_other_are_found(mean: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(mean, mean + 0.2), losses={"a": FALLING, "b": FLAT}))
    assert isinstance(answer, Finding)
    assert answer.where == "a|b"


@pytest.mark.parametrize(
    "known",
    [
        facts(-0.4, -0.3),
        facts(-0.8, 0.3),  # not on every batch
        facts(-0.9, -0.8, norms=(1.0, 50.0)),  # the smaller one changes nothing
        facts(0.5, 0.9),
    ],
)
def test_mild_or_accidental_conflicts_are_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known, losses={"a": FLAT, "b": FLAT})) == Clean()


def test_few_batches_are_too_few_to_tell(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(-0.9, -0.8, batches=3), losses={"a": FLAT, "b": FLAT}))
    assert answer == NotApplicable("what was measured of the gradients has 3 batches, 4 are needed")


def still(mean: float, highest: float, later: float, constant: float = 1.0) -> dict[str, Any]:
    known = facts(mean, highest)
    known["cosine_spread"]["a|b"]["later"] = later
    for fact in known["losses"].values():
        fact |= {"constant": constant, "initial": 1.0}
    return known


def test_a_conflict_that_a_batch_hid_shows_a_few_steps_later(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=still(-0.78, -0.17, -0.97)))
    assert isinstance(answer, Finding)
    assert "a few steps later -0.97" in answer.message


def test_a_conflict_that_begins_later_takes_a_run_that_shows_it(recorded: Recorded) -> None:
    known = still(-0.26, 0.28, -0.83)
    assert RULE.judge(recorded(facts=known)) == Clean()
    assert RULE.judge(recorded(facts=known, losses={"a": FALLING, "b": FLAT, "total": FALLING})) == Clean()
    assert isinstance(RULE.judge(recorded(facts=known, losses={"a": FLAT, "b": FLAT, "total": FLAT})), Finding)


@pytest.mark.parametrize("known", [still(-0.78, -0.17, -0.3), still(-0.78, -0.17, -0.9, constant=0.0)])
def test_a_conflict_that_passes_and_a_penalty_are_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known, losses={"a": FLAT, "b": FLAT, "total": FLAT})) == Clean()


def test_losses_that_both_fall_are_in_no_conflict_that_matters(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(-0.9, -0.8), losses={"a": FALLING, "b": FALLING})) == Clean()


def test_one_loss_alone_cannot_conflict(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts={"losses": {"a": {}}})) == NotApplicable("there is one loss only")
    answer = RULE.judge(recorded(facts={"losses": {"a": {}, "b": {}}}))
    assert answer == NotApplicable("no probe has looked at 'cosines'")
