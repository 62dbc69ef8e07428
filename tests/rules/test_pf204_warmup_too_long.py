from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules import pf206_scheduler_unit
from preflight.rules.pf204_warmup_too_long import LONG, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(share: float, **changes: Any) -> dict[str, Any]:
    found = {"kind": "cosine", "unit": "step", "length_unit_guess": "step", "departs_at": None, "steps": 1000}
    return {"schedule": {**found, "lengths": {}, "epochs": 10, "warmup_share": share, **changes}}


@pytest.mark.parametrize(("share", "severity"), [(0.6, WARNING), (0.89, WARNING), (1.0, ERROR)])
def test_a_warmup_of_most_of_the_run(share: float, severity: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(share)))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert answer.evidence[0].value == share
    assert answer.remedies[0].settings == {"warmup_fraction": 0.05}
    assert answer.strength == share / LONG.value


def test_the_users_own_scheduler_has_no_setting_to_try(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(0.9, kind="SequentialLR")))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.45, 0.5])  # constant, usual, one cycle
def test_a_usual_warmup_is_clean(share: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(share))) == Clean()


def test_a_few_steps_have_no_long_warmup(recorded: Recorded) -> None:
    missing = NotApplicable("the run has 4 steps, 20 are needed")
    assert RULE.judge(recorded(facts=facts(0.75, steps=4))) == missing


def test_a_wrong_unit_is_not_a_long_warmup(recorded: Recorded) -> None:
    departure = {"step": 405, "epoch": 15.0, "planned": 1e-4, "applied": 1.5e-5, "gap": 0.85}
    found = facts(1.0, kind="SequentialLR", unit="epoch", departs_at=departure)
    assert isinstance(pf206_scheduler_unit.RULE.judge(recorded(facts=found)), Finding)
    assert RULE.judge(recorded(facts=found)) == Clean()


def test_without_a_replay_the_setting_counts(recorded: Recorded) -> None:
    long = Params(lr=0.1, batch_size=8, warmup_fraction=0.8)
    assert isinstance(RULE.judge(recorded(long, info={"steps": 100})), Finding)
    assert RULE.judge(recorded(Params(0.1, 8, 0.1), info={"steps": 100})) == Clean()
    answer = RULE.judge(recorded())
    assert answer == NotApplicable("the settings of this run are not known, so neither is 'warmup_fraction'")


def test_what_cannot_be_replayed_is_not_judged_by_a_setting_of_another_schedule(recorded: Recorded) -> None:
    params = Params(lr=0.1, batch_size=8)
    found = {"kind": "ReduceLROnPlateau", "unit": "epoch", "reason": "ReduceLROnPlateau follows a metric"}
    answer = RULE.judge(recorded(params, facts={"schedule": found}))
    assert answer == NotApplicable("the schedule cannot be replayed: ReduceLROnPlateau follows a metric")
    answer = RULE.judge(recorded(params, facts={"failed": {"schedule": "ValueError: no"}}))
    assert answer == NotApplicable("the schedule cannot be replayed: ValueError: no")


def test_a_run_too_long_to_replay_is_judged_by_its_setting(recorded: Recorded) -> None:
    found = {"kind": "cosine", "unit": "step", "steps": 2 * 10**6, "reason": "the run has more than 1000000 steps"}
    answer = RULE.judge(recorded(Params(0.1, 8, 0.8), facts={"schedule": found}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].text == "shorten the warmup to 100,000 steps, 5% of the run"
