from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight.core.params import Params
from preflight.rules.ladder_facts import advised_rate
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
TODAY = Params(lr=0.1, batch_size=8)


def ladder(*rungs: tuple[float, float, str]) -> dict[str, object]:
    return {"inputs as they are": [dict(zip(("lr", "final_loss", "verdict"), rung, strict=True)) for rung in rungs]}


def test_the_lowest_rate_that_gains_nearly_as_much_is_advised(recorded: Recorded) -> None:
    climbed = ladder((1e-4, 2.3, "stable"), (1e-3, 0.3, "stable"), (1e-2, 0.2, "best"))
    assert advised_rate(recorded(TODAY, facts={"ladders": climbed})) == 1e-3


@pytest.mark.parametrize(("constant", "advised"), [(None, 1e-3), (2.3, 1e-2), (900.0, 1e-3)])
def test_coming_down_from_wild_outputs_is_no_gain(constant: float | None, advised: float, recorded: Recorded) -> None:
    """From 500, a loss of 3 is nearly all of the way; a constant output gives 2.3."""
    climbed = ladder((1e-4, 500.0, "stable"), (1e-3, 3.0, "stable"), (1e-2, 0.2, "best"), (1e-1, 0.3, "stable"))
    facts = {"ladders": climbed, "losses": {"a": {"constant": constant, "weight": 1.0}}}
    assert advised_rate(recorded(TODAY, facts=facts)) == advised


def test_without_a_ladder_or_a_best_rung_nothing_is_advised(recorded: Recorded) -> None:
    assert advised_rate(recorded(TODAY)) is None
    assert advised_rate(recorded(TODAY, facts={"ladders": ladder((1e-3, 2.3, "no progress"))})) is None
