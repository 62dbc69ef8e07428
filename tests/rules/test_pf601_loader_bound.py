from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf601_loader_bound import RULE, is_loader_bound
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(wait: float, compute: float, **changes: Any) -> dict[str, Any]:
    found = {"batch_size": 40, "wait_s": wait, "compute_s": compute, "gain_bound": None, "workers": None}
    return {"loading": {**found, **changes}}


def test_case_e_waits_for_its_images_and_gains_nothing_by_a_larger_batch(recorded: Recorded) -> None:
    """4.9 of 5.2 s are waiting, at a cost per sample: batch 80 gains at most 6%, where its owner expected 40 to 65%."""
    recording = recorded(facts=facts(4.9, 0.3, gain_bound=5.2 / 4.9 - 1))
    answer = RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert answer.message == (
        "94% of a step is waiting for data, 4.9 s beside 0.3 s of computing; a larger batch than 40 gains at most 6%"
    )
    assert answer.remedies[0].text.startswith("fetch with 17 loader workers or more (now 0)")
    assert is_loader_bound(recording)


def test_a_bound_that_is_not_known_is_not_made_up(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(1.0, 0.1)))
    assert isinstance(answer, Finding)
    assert "gains" not in answer.message


@pytest.mark.parametrize("workers", [1, 8])
def test_workers_fetch_while_the_training_computes(workers: int, recorded: Recorded) -> None:
    hidden = facts(0.9 * workers, 1.0, workers=workers)
    assert RULE.judge(recorded(facts=hidden)) == Clean()
    short = facts(5.0 * workers, 1.0, workers=workers)
    answer = RULE.judge(recorded(facts=short))
    assert isinstance(answer, Finding)
    assert "80% of a step" in answer.message
    assert f"fetch with {5 * workers} loader workers" in answer.remedies[0].text


@pytest.mark.parametrize(("wait", "compute"), [(0.0, 0.0), (0.001, 0.0001), (0.1, 0.2), (0.0049, 0.0), (1.0, 1.0)])
def test_data_in_memory_and_data_that_comes_in_time_are_clean(wait: float, compute: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(wait, compute))) == Clean()


def test_what_was_not_timed_is_not_judged(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'loading'")
    assert not is_loader_bound(recorded())
