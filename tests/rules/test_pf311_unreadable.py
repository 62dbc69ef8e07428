from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf311_unreadable import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def split(count: int, fetched: int = 4000) -> dict[str, Any]:
    named = [{"sample": 10 * index, "error": "OSError: truncated"} for index in range(min(count, 100))]
    return {"samples": 19584, "fetched": fetched, "share": count / fetched, "count": count, "unreadable": named}


def reading(loader: bool = False, **splits: dict[str, Any]) -> dict[str, Any]:
    return {"reading": {"loader": loader, "splits": splits}}


def test_one_sample_is_named_with_its_error(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=reading(training=split(1), validation=split(0, 100))))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE
    assert answer.message.startswith("1 training sample cannot be read, number 0 (OSError: truncated)")
    assert [item.value for item in answer.evidence] == [1 / 4000, 4000]
    assert "of 19584" in answer.evidence[1].what


@pytest.mark.parametrize(("count", "loader", "severity"), [(41, False, WARNING), (39, False, NOTE), (1, True, WARNING)])
def test_it_weighs_more_by_its_share_and_where_a_loader_meets_it(
    count: int, loader: bool, severity: str, recorded: Recorded
) -> None:
    answer = RULE.judge(recorded(facts=reading(loader, training=split(count))))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert ("the loader ends the run" in answer.message) == loader


def test_of_many_samples_the_first_are_named(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=reading(training=split(150), validation=split(2))))
    assert isinstance(answer, Finding)
    assert "150 training samples cannot be read, numbers 0 (" in answer.message
    assert "and 147 more and 2 validation samples cannot be read" in answer.message
    assert answer.strength == pytest.approx(3.75)


@pytest.mark.parametrize("splits", [{}, {"training": split(0), "validation": split(0)}])
def test_samples_that_can_be_read_are_clean(splits: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=reading(loader=True, **splits))) == Clean()


def test_without_a_look_at_the_reading_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'reading'")
