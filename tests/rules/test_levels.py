from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.errors import MissingError
from preflight.rules.levels import MARGIN, MIN_STEPS, all_stuck, is_falling, is_trivial, keeps_falling, strength_of
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
STEPS = 200


def around(level: float, noise: float = 0.02, steps: int = STEPS, seed: int = 0) -> np.ndarray:
    return level * (1 + noise * np.random.default_rng(seed).normal(size=steps))


def names(recording: Recording) -> list[str]:
    return [item.name for item in all_stuck(recording)]


def fact(constant: float, **more: object) -> dict[str, object]:
    return {"constant": constant, "initial": constant} | more


def test_all_losses_have_to_be_stuck(recorded: Recorded) -> None:
    facts = {"losses": {"a": fact(2.0), "b": fact(3.0)}}
    assert names(recorded(facts=facts, losses={"a": around(2.0), "b": around(3.0)})) == ["a", "b"]
    assert names(recorded(facts=facts, losses={"a": around(2.0), "b": np.linspace(3.0, 1.0, STEPS)})) == []


def test_a_penalty_that_a_constant_satisfies_is_not_asked(recorded: Recorded) -> None:
    facts = {"losses": {"a": fact(2.0), "kl": {"constant": 0.0, "initial": 0.3}}}
    assert names(recorded(facts=facts, losses={"a": around(2.0), "kl": around(0.1)})) == ["a"]
    with pytest.raises(MissingError, match="no loss has a best constant predictor"):
        all_stuck(recorded(facts={"losses": {"kl": facts["losses"]["kl"]}}, losses={"kl": around(0.1)}))


def collapsing(late: float, share: float, left: float = 0.001) -> dict[str, Any]:
    """A loss that falls to ``late``, as the second half of the run shows it, beside a penalty with that share."""
    steps = np.arange(STEPS)
    facts = {
        "a": fact(2.0, share=1 - share, share_later=1 - share),
        "kl": {"constant": 0.0, "initial": 30.0, "share": share, "share_later": share},
    }
    values = late + np.exp(-steps / 40) + 0.002 * np.random.default_rng(0).normal(size=STEPS)
    kl = np.maximum(30.0 * np.exp(-steps / 10), 30.0 * left)
    val = np.where(steps % 20 == 19, values, np.nan)
    return {"facts": {"losses": facts}, "losses": {"a": values, "kl": kl, "val_a": val}}


@pytest.mark.parametrize(
    ("late", "share", "left", "is_stuck"),
    [
        (2.0, 0.96, 0.001, True),  # on its way down to the constant's level, where the penalty has it
        (1.5, 0.96, 0.001, False),  # something is learned all the same
        (2.0, 0.6, 0.001, False),  # a slow loss beside a penalty that does not press
        (2.0, 0.96, 0.5, False),  # the code costs something: it is used
    ],
)
def test_a_loss_on_its_way_to_the_level_that_a_penalty_leaves_it_is_stuck(
    late: float, share: float, left: float, is_stuck: bool, recorded: Recorded
) -> None:
    recording = recorded(**collapsing(late, share, left))
    assert keeps_falling(recording.column("losses", "a")[STEPS // 2 :])
    assert names(recording) == (["a"] if is_stuck else [])


def test_a_penalty_that_presses_at_first_only_leaves_time(recorded: Recorded) -> None:
    given = collapsing(2.0, 0.96)
    given["facts"]["losses"]["kl"]["share_later"] = 0.1
    given["facts"]["losses"]["a"]["share_later"] = 0.9
    assert names(recorded(**given)) == []


@pytest.mark.parametrize(("share", "is_stuck"), [(0.5, False), (1 - 2 * MARGIN.value, False), (1.0, True), (1.1, True)])
@pytest.mark.parametrize("constant", [1e-4, 2.3, 1e12])
def test_what_ends_below_the_constant_has_learned(
    share: float, is_stuck: bool, constant: float, recorded: Recorded
) -> None:
    facts = {"losses": {"a": fact(constant)}}
    assert bool(names(recorded(facts=facts, losses={"a": around(share * constant)}))) == is_stuck


def test_validation_below_the_constant_counts_as_learned(recorded: Recorded) -> None:
    facts = {"losses": {"a": fact(2.0)}}
    val = np.where(np.arange(STEPS) % 20 == 19, 1.5, np.nan)
    assert names(recorded(facts=facts, losses={"a": around(2.0), "val_a": val})) == []


@pytest.mark.parametrize(("training", "is_stuck"), [(2.0, True), (2.5, False)])
def test_training_is_held_against_the_constant_of_its_own_samples(
    training: float, is_stuck: bool, recorded: Recorded
) -> None:
    """The validation's constant, 1.8 and 2.2 here, is another one by chance."""
    for validation in (1.8, 2.2):
        facts = {"losses": {"a": fact(validation, constant_training=training)}}
        assert bool(names(recorded(facts=facts, losses={"a": around(2.0)}))) == is_stuck


def test_noise_that_hides_a_gain_is_no_evidence(recorded: Recorded) -> None:
    facts = {"losses": {"a": fact(2.0)}}
    assert names(recorded(facts=facts, losses={"a": around(2.0, noise=2.0, steps=120)})) == []


def test_a_loss_that_is_still_where_it_began_is_stuck_far_above_the_constant(recorded: Recorded) -> None:
    facts = {"losses": {"a": fact(2.0, initial=50.0)}}
    assert names(recorded(facts=facts, losses={"a": around(50.0)})) == ["a"]
    assert names(recorded(facts=facts, losses={"a": around(20.0)})) == []


def test_too_short_a_run_is_not_stuck(recorded: Recorded) -> None:
    short = around(2.0, steps=int(MIN_STEPS.value) - 1)
    assert names(recorded(facts={"losses": {"a": fact(2.0)}}, losses={"a": short})) == []


def test_a_fall_counts_where_it_leads_somewhere() -> None:
    assert keeps_falling(np.linspace(2.0, 1.9, 100))
    assert not keeps_falling(np.linspace(2.0, 1.9999, 100))
    assert not keeps_falling(around(2.0))
    assert is_falling(np.linspace(1.0, 0.8, 10))
    assert not is_falling(np.array([1.0, 0.99, 1.01, 0.98, 0.99, 1.0]))


@pytest.mark.parametrize(
    ("constant", "initial", "expected"), [(None, 1.0, True), (0.0, 1.0, True), (1e-5, 1.0, True), (0.5, 1.0, False)]
)
def test_what_a_constant_leaves_next_to_nothing_of_is_trivial(
    constant: float | None, initial: float, expected: bool
) -> None:
    assert is_trivial({"constant": constant, "initial": initial}) == expected


def test_strengths_are_bounded() -> None:
    assert (strength_of(1.0, 2.0), strength_of(6.0, 2.0), strength_of(1e9, 2.0), strength_of(1.0, 0.0)) == (
        1,
        3,
        100,
        100,
    )
