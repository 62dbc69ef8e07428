from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.ladder_facts import AWAY
from preflight.rules.pf202_lr_too_low import BELOW, RULE, WAY
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
NOISE = np.random.default_rng(0).normal(size=100)
FLAT = 2.3 + 0.02 * NOISE
LEARNS = 2.3 * np.exp(-np.arange(100) / 30) + 0.02 * NOISE
TODAY = Params(lr=1e-6, batch_size=8)


def weights(way: float, norm: float = 1.0) -> dict[str, Any]:
    """Tables of a run whose weights go so far, relative to their norm."""
    return {
        "parameters": {
            "name": ["a", "b"],
            "component": ["body", "head"],
            "first_weight_norm": [3.0, 4.0],
            "update_total": [4.0 * way, 3.0 * way],
        },
        "gradient_norms": {"overall": [norm] * 100},
    }


def ladder(best: float, final: float = 0.3) -> dict[str, Any]:
    return {"ladders": {"inputs as they are": [{"lr": best, "verdict": "best", "final_loss": final}]}}


@pytest.mark.parametrize(("times", "is_known"), [(1.0, False), (2 * BELOW.value, True)])
def test_no_higher_rate_is_advised_where_none_makes_progress(times: float, is_known: bool, recorded: Recorded) -> None:
    rungs = [{"lr": times * TODAY.lr, "verdict": "no progress", "final_loss": 2.3}]
    run = recorded(TODAY, facts={"ladders": {"inputs as they are": rungs}}, losses={"total": FLAT}, **weights(0.001))
    answer = RULE.judge(run)
    assert isinstance(answer, Finding)
    assert (answer.severity == WARNING) is is_known
    assert ("no rate of the ladder makes progress" in answer.message) is is_known
    assert ("raise" in answer.remedies[0].text) is not is_known


@pytest.mark.parametrize("times", [1.1, 1000.0])
def test_a_run_far_behind_the_ladder(times: float, recorded: Recorded) -> None:
    best = times * BELOW.value * TODAY.lr
    answer = RULE.judge(recorded(TODAY, facts=ladder(best), losses={"total": FLAT}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.remedies[0].settings) == (WARNING, {"lr": best})
    assert answer.strength == pytest.approx(times)


@pytest.mark.parametrize(
    ("facts", "losses"),
    [
        (ladder(10 * TODAY.lr), FLAT),  # a decade
        (ladder(1e-3), LEARNS),  # it gets there as well
        (ladder(1e-3, final=2.5), FLAT),  # nothing learns
        ({"ladders": {"inputs as they are": [{"lr": 1e-3, "verdict": "no progress", "final_loss": 2.3}]}}, FLAT),
    ],
)
def test_what_the_ladder_does_not_beat_is_clean(facts: dict[str, Any], losses: np.ndarray, recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY, facts=facts, losses={"total": losses})) == Clean()


def test_too_few_rows_are_not_clean(recorded: Recorded, foreign: Recorded) -> None:
    missing = NotApplicable("losses.csv has 10 rows, 20 are needed")
    assert RULE.judge(recorded(TODAY, facts=ladder(1e-3), losses={"total": FLAT[:10]})) == missing
    missing = NotApplicable("weight_deltas.csv has 10 rows, 20 are needed")
    assert RULE.judge(foreign(weight_deltas={"body_delta": [1e-12] * 10})) == missing


@pytest.mark.parametrize(("constant", "is_found"), [(2.3, True), (900.0, False), (None, False)])
def test_coming_down_from_wild_outputs_is_no_gain(constant: float | None, is_found: bool, recorded: Recorded) -> None:
    """From 25 to 15 is 43% of the way to 2, yet a constant output gives 2.3 already."""
    losses = {"total": np.linspace(25.0, 15.0, 100) + 0.02 * NOISE}
    facts = {**ladder(1e-3, final=2.0), "losses": {"a": {"constant": constant, "weight": 1.0}}}
    answer = RULE.judge(recorded(TODAY, facts=facts, losses=losses))
    assert isinstance(answer, Finding) is is_found
    assert ("counted from 2.3" in getattr(answer, "message", "")) is is_found


def test_where_no_rate_beats_a_constant_yet_a_gain_counts_from_the_first_loss(recorded: Recorded) -> None:
    facts = {**ladder(1e-3, final=5.0), "losses": {"a": {"constant": 2.3, "weight": 1.0}}}
    assert isinstance(RULE.judge(recorded(TODAY, facts=facts, losses={"total": 25 + NOISE / 50})), Finding)
    assert RULE.judge(recorded(TODAY, facts=facts, losses={"total": np.linspace(25, 15, 100)})) == Clean()


def test_a_long_run_may_get_there_at_a_lower_rate(recorded: Recorded) -> None:
    facts = ladder(100 * TODAY.lr)
    losses = {"total": FLAT}
    assert isinstance(RULE.judge(recorded(TODAY, facts={**facts, "schedule": {"steps": 9000}}, losses=losses)), Finding)
    assert RULE.judge(recorded(TODAY, facts={**facts, "schedule": {"steps": 11_000}}, losses=losses)) == Clean()


@pytest.mark.parametrize("way", [0.5, 0.01])
def test_weights_that_will_not_move_over_the_whole_run(way: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, losses={"total": FLAT}, **weights(way * WAY.value)))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.evidence[0].value == pytest.approx(way * WAY.value)
    assert answer.remedies[0].settings == {}  # without a ladder nobody knows how far to go


@pytest.mark.parametrize(("above", "advised"), [("stable", 1e-3), ("explodes", 1e-3 / AWAY)])
def test_the_rate_that_is_advised_stays_away_from_where_the_ladder_breaks(
    above: str, advised: float, recorded: Recorded
) -> None:
    rungs = [
        {"lr": 1e-3, "verdict": "best", "final_loss": 0.3},
        {"lr": 3e-3, "verdict": above, "final_loss": 0.5},
    ]
    answer = RULE.judge(recorded(TODAY, facts={"ladders": {"inputs as they are": rungs}}, losses={"total": FLAT}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"lr": pytest.approx(advised)}


@pytest.mark.parametrize(("losses", "advised"), [((0.45, 0.34), 3e-4), ((0.34, 0.34), 1e-4), ((1.0, 0.6), 1e-3)])
@pytest.mark.parametrize("above", ["stable", "explodes"])
def test_a_lower_rate_that_gains_nearly_as_much_is_advised(
    losses: tuple[float, float], advised: float, above: str, recorded: Recorded
) -> None:
    found = zip((1e-6, 1e-4, 3e-4, 1e-3, 3e-3), (1.0, *losses, 0.3, 0.5), strict=True)
    verdicts = ("too slow", "stable", "stable", "best", above)
    rungs = [
        {"lr": lr, "final_loss": loss, "verdict": verdict} for (lr, loss), verdict in zip(found, verdicts, strict=True)
    ]
    answer = RULE.judge(recorded(TODAY, facts={"ladders": {"inputs as they are": rungs}}, losses={"total": FLAT}))
    assert isinstance(answer, Finding)
    is_best = advised == 1e-3
    assert answer.remedies[0].settings == {
        "lr": pytest.approx(advised / (AWAY if is_best and above == "explodes" else 1))
    }


def test_the_length_of_the_long_run_counts(recorded: Recorded) -> None:
    tables = {"losses": {"total": FLAT}, **weights(0.01)}
    assert isinstance(RULE.judge(recorded(TODAY, facts={"schedule": {"steps": 400}}, **tables)), Finding)
    assert RULE.judge(recorded(TODAY, facts={"schedule": {"steps": 1000}}, **tables)) == Clean()


@pytest.mark.parametrize(
    ("losses", "tables"),
    [
        (LEARNS, weights(0.001)),  # a wide network learns in place
        (FLAT, weights(0.2)),
        (FLAT, weights(0.0, norm=0.0)),  # no gradient at all: another fault
        (np.full(100, np.nan), weights(0.001)),
    ],
)
def test_what_learns_or_moves_is_clean(losses: np.ndarray, tables: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY, losses={"total": losses}, **tables)) == Clean()


def test_without_a_ladder_and_without_weights_it_cannot_tell(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, losses={"total": FLAT}))
    assert answer == NotApplicable("no probe has looked at 'ladders'; there is no parameters.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(scale=st.floats(1e-6, 1e6), learns=st.booleans())
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, learns: bool) -> None:
    losses = scale * (LEARNS if learns else FLAT)
    answer = RULE.judge(recorded(TODAY, facts=ladder(1e-2, 0.3 * scale), losses={"total": losses}, **weights(0.001)))
    assert isinstance(answer, Finding) != learns


def test_a_rate_of_zero_is_too_low(foreign: Recorded) -> None:
    zero, some = np.zeros(30), np.full(30, 0.1)
    answer = RULE.judge(foreign(learning_rates={"lr_group0": zero, "lr_group1": zero}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.explains) == (ERROR, ("PF104",))
    answer = RULE.judge(foreign(learning_rates={"lr_group0": zero, "lr_group1": some}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (NOTE, "lr_group0")


def test_changes_that_are_next_to_nothing_are_minimal(foreign: Recorded) -> None:
    stats = {"weight_norm_mean": np.ones(30)}
    for body, head, found in ((1e-12, 1e-12, True), (1e-12, 1e-6, True), (1e-12, 1e-2, False), (1e-3, 1e-12, False)):
        changes = {"body_delta": np.full(30, body), "head_delta": np.full(30, head)}
        answer = RULE.judge(foreign(weight_deltas=changes, head_stats=stats))
        assert isinstance(answer, Finding) == found
        assert found or answer == Clean()


def test_a_rate_that_begins_at_zero_is_a_warmup(foreign: Recorded) -> None:
    answer = RULE.judge(foreign(learning_rates={"lr_group0": np.zeros(19)}))
    assert answer == NotApplicable("there is no weight_deltas.csv")
