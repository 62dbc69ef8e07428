from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf401_constant import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
LN10 = float(np.log(10))
FACTS = {"losses": {"ce": {"constant": 2.3, "initial": 2.31, "chance": LN10, "weight": 1.0}}}


def flat(level: float, noise: float = 0.02, seed: int = 0, steps: int = 300) -> np.ndarray:
    return level + noise * np.random.default_rng(seed).normal(size=steps)


@pytest.mark.parametrize("level", [2.3, LN10, 2.35, 2.6])
def test_a_loss_at_the_level_of_guessing_is_found(level: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=FACTS, losses={"ce": flat(level)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "ce")


def test_a_fall_to_the_constant_and_no_further_is_found(recorded: Recorded) -> None:
    losses = 2.3 + 5 * np.exp(-np.arange(300) / 10)
    assert isinstance(RULE.judge(recorded(facts=FACTS, losses={"ce": losses})), Finding)


@pytest.mark.parametrize(
    "losses",
    [
        np.linspace(2.3, 0.1, 300),
        flat(2.0),  # a low signal, but learned
        np.linspace(2.5, 2.3, 300),  # falls on
        flat(5.0),  # far above both the constant and its start: another fault
        flat(2.3, noise=3.0),  # cannot be told
    ],
)
def test_what_learned_or_cannot_be_told_is_clean(losses: np.ndarray, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=FACTS, losses={"ce": losses})) == Clean()


@pytest.mark.parametrize(
    ("fit", "text", "settings"),
    [
        ({"lr": 0.01, "first": 2.3, "last": 0.1, "constant": 2.0}, "can be fitted at lr=0.01", {"lr": 0.01}),
        ({"lr": 1.0, "first": 2.3, "last": 0.1, "constant": 2.0}, "so the model can learn", None),
        ({"lr": 1.0, "first": 2.3, "last": 1.9, "constant": 2.0}, "cannot be fitted either", None),
        ({"lr": 1.0, "first": 2.3, "last": 1.9, "constant": 0.0}, "", None),
    ],
)
def test_a_single_batch_tells_the_settings_from_the_model(
    fit: dict[str, float], text: str, settings: dict[str, float] | None, recorded: Recorded
) -> None:
    facts = {**FACTS, "batch_fit": fit}
    answer = RULE.judge(recorded(Params(lr=1.0, batch_size=8), facts=facts, losses={"ce": flat(2.3)}))
    assert isinstance(answer, Finding)
    assert text in answer.message
    assert [remedy.settings for remedy in answer.remedies if remedy.settings] == ([settings] if settings else [])


def test_without_facts_or_steps_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded(losses={"ce": flat(2.3)})) == NotApplicable("no probe has looked at 'losses'")
    answer = RULE.judge(recorded(facts=FACTS, losses={"ce": flat(2.3, steps=50)}))
    assert answer == NotApplicable("50 steps are too few to tell: it takes 100")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.floats(1e-6, 1e9), level=st.sampled_from([0.7, 1.0]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, level: float) -> None:
    facts = {"losses": {"mse": {"constant": scale, "initial": 1.1 * scale}}}
    answer = RULE.judge(recorded(facts=facts, losses={"mse": scale * flat(level)}))
    assert isinstance(answer, Finding) == (level == 1.0)


def two(weight: float = 1.0, target: str | None = "b") -> dict[str, Any]:
    facts = {"constant": 1.0, "initial": 1.0}
    return {
        "losses": {"a": {**facts, "target": "a", "weight": 1.0}, "b": {**facts, "target": target, "weight": weight}}
    }


FALLS = np.linspace(1.0, 0.1, 300)


def test_one_loss_that_is_stuck_beside_one_that_is_learned_is_a_warning(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=two(), losses={"a": FALLS, "b": flat(1.0)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "b")
    assert "while 'a' is" in answer.message


@pytest.mark.parametrize(
    ("facts", "losses"),
    [
        (two(weight=0.01), flat(1.0)),  # an aside
        (two(target=None), flat(1.0)),  # no target that it could learn
        (two(), np.concatenate([np.linspace(1.0, 0.3, 100), flat(1.0, steps=200)])),  # an adversary took it back
        (two(), np.linspace(1.0, 0.8, 300)),  # slow
    ],
)
def test_one_loss_that_is_not_asked_for_or_comes_is_left_alone(
    facts: dict[str, Any], losses: np.ndarray, recorded: Recorded
) -> None:
    assert RULE.judge(recorded(facts=facts, losses={"a": FALLS, "b": losses})) == Clean()
