from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import Finding
from preflight.core.params import Params
from preflight.rules.ladder_facts import AWAY, advised_rate, lowered_rate, raised_rate
from preflight.rules.registry import rule
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


CLIMBED = ladder((1e-4, 2.3, "stable"), (3e-3, 0.2, "best"), (1e-2, 2.3, "too high"), (1e-1, 9.0, "explodes"))
ADVISED = 3e-3 / AWAY  # the next rung breaks


@pytest.mark.parametrize(("lr", "lower"), [(0.1, ADVISED), (3e-3, ADVISED), (1e-4, 1e-5)])
def test_a_lower_rate_is_the_advised_one_where_that_is_lower(lr: float, lower: float, recorded: Recorded) -> None:
    found = recorded(Params(lr=lr, batch_size=8), facts={"ladders": CLIMBED})
    assert lowered_rate(found, 10) == {"lr": pytest.approx(lower)}


def test_without_a_ladder_a_lower_rate_is_so_many_times_lower(recorded: Recorded) -> None:
    assert lowered_rate(recorded(TODAY), 4) == {"lr": 0.025}
    assert lowered_rate(recorded(), 4) == {}


def test_remedies_do_not_contradict_each_other(recorded: Recorded) -> None:
    """One run that jumps, explodes and sums its loss: every rule names the same rate."""
    places = np.arange(200)
    spike = np.where((places > 3) & (places < 14), 1e6, np.exp(-places / 40))
    summed = {"losses": {"a": {"batch_scaling": {"2": 2.0, "4": 4.0}, "constant": 1.0, "initial": 1.0}}}
    last = np.where(places < 150, 1.0, np.geomspace(1.0, 1e9, 200))
    nan = np.where(places < 199, last, np.nan)
    facts = {"ladders": CLIMBED, **summed}
    runs = {
        "PF101": recorded(TODAY, facts, gradient_norms={"overall": last}),
        "PF108": recorded(TODAY, facts, losses={"total": nan}, gradient_norms={"overall": nan}),
        "PF201": recorded(TODAY, facts, losses={"total": last}, gradient_norms={"overall": last}),
        "PF205": recorded(TODAY, facts, losses={"total": spike}, gradient_norms={"overall": spike}),
        "PF406": recorded(TODAY, facts, losses={"total": last}),
    }
    for code, run in runs.items():
        answer = rule(code).judge(run)
        assert isinstance(answer, Finding), code
        rates = [remedy.settings["lr"] for remedy in answer.remedies if "lr" in remedy.settings]
        assert rates == [pytest.approx(ADVISED, rel=0.01)], code


@pytest.mark.parametrize(("lr", "lowered", "raised"), [(1e-1, 1e-2, 1.0), (1e-4, 1e-5, 1e-2)])
def test_a_remedy_takes_the_ladders_rate_only_in_its_own_direction(
    lr: float, lowered: float, raised: float, recorded: Recorded
) -> None:
    climbed = ladder((1e-4, 2.3, "stable"), (1e-3, 1.9, "stable"), (1e-2, 0.2, "best"), (1e-1, 2.3, "stable"))
    recording = recorded(TODAY.with_values({"lr": lr}), facts={"ladders": climbed})
    assert lowered_rate(recording, 10) == {"lr": pytest.approx(lowered)}
    assert raised_rate(recording, 10) == {"lr": pytest.approx(raised)}
