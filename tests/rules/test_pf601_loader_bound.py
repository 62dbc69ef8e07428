from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable, Remedy
from preflight.rules.pf601_loader_bound import RULE, is_loader_bound, proposed_workers
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(wait: float, compute: float, **changes: Any) -> dict[str, Any]:
    found = {"batch_size": 40, "wait_s": wait, "compute_s": compute, "gain_bound": None, "workers": None}
    found |= {"fetch_cpu_s": 0.01 * wait, "cores": 8, "epoch_batches": 490}
    return {"loading": {**found, **changes}}


def measured(workers: int, size: int, *rates: float) -> dict[str, Any]:
    return {"workers": workers, "batch_size": size, "samples_per_s": list(rates), "failed": "" if rates else "no"}


def remedy(answer: object) -> Remedy:
    assert isinstance(answer, Finding)
    return answer.remedies[0]


def test_case_e_waits_for_its_images_and_gains_nothing_by_a_larger_batch(recorded: Recorded) -> None:
    """4.9 of 5.2 s are waiting, at a cost per sample: batch 80 gains at most 6%, where its owner expected 40 to 65%."""
    recording = recorded(facts=facts(4.9, 0.3, gain_bound=5.2 / 4.9 - 1))
    answer = RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert answer.message == (
        "94% of a step is waiting for data, 4.9 s beside 0.3 s of computing; a larger batch than 40 gains at most 6%"
    )
    assert answer.remedies[0].text == (
        "fetch with 17 loader workers (now 0), and prefetch: then computing is the longer part"
    )
    assert answer.remedies[0].settings == {}  # of no loader that is known
    assert is_loader_bound(recording)


def test_a_doubled_batch_that_was_tried_stands_beside_its_bound(recorded: Recorded) -> None:
    variants = [measured(0, 40, 7.7, 7.6), measured(0, 80, 8.0, 8.0), measured(17, 40, 120.0, 121.0)]
    known = {**facts(4.9, 0.3, gain_bound=5.2 / 4.9 - 1, workers=0), "throughput": {"variants": variants}}
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert answer.message.endswith("; a larger batch than 40 gains at most 6%; one of 80, tried, gains 5%")
    tried = next(item for item in answer.evidence if "batch 80" in item.what)
    assert (tried.value, tried.limit) == (pytest.approx(0.046, abs=1e-3), pytest.approx(0.061, abs=1e-3))


@pytest.mark.parametrize(("speed", "text"), [(7.66, "gains nothing"), (7.2, "loses 6%")])
def test_a_doubled_batch_that_gains_nothing(speed: float, text: str, recorded: Recorded) -> None:
    variants = [measured(0, 40, 7.65, 7.65), measured(0, 80, speed, speed)]
    known = {**facts(4.9, 0.3, gain_bound=0.06, workers=0), "throughput": {"variants": variants}}
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert answer.message.endswith(f"one of 80, tried, {text}")


def test_a_doubled_batch_that_failed_says_nothing(recorded: Recorded) -> None:
    throughput = {"variants": [measured(0, 40, 7.7), measured(0, 80), measured(17, 40, 120.0)]}
    known = {**facts(4.9, 0.3, workers=0), "throughput": throughput}
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert "tried" not in answer.message


@pytest.mark.parametrize(
    ("changes", "workers"),
    [
        ({}, 17),
        ({"compute_s": 0.05}, 32),  # 98 would keep up
        ({"epoch_batches": 12}, 12),
        ({"fetch_cpu_s": 4.9}, 8),  # decoding: a worker keeps a core busy
        ({"fetch_cpu_s": 2.45}, 16),
        ({"fetch_cpu_s": 9.8, "cores": 1}, 1),
        ({"fetch_cpu_s": 0.0}, 17),
    ],
)
def test_no_more_workers_are_proposed_than_there_is_work_for(
    changes: dict[str, Any], workers: int, recorded: Recorded
) -> None:
    known = facts(4.9, changes.get("compute_s", 0.3), workers=0) | {}
    known["loading"] |= changes
    recording = recorded(facts=known)
    assert remedy(RULE.judge(recording)).settings == {"num_workers": workers}
    assert proposed_workers(recording) == workers


def test_workers_that_keep_all_cores_busy_are_enough(recorded: Recorded) -> None:
    recording = recorded(facts=facts(10.0, 0.3, workers=4, fetch_cpu_s=10.0, cores=4))
    found = remedy(RULE.judge(recording))
    assert (found.settings, proposed_workers(recording)) == ({}, 0)
    assert found.text.startswith("make a sample cheaper to fetch: there is no core for more than 4 loader workers")


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
    assert answer.remedies[0].settings == {"num_workers": min(32, 5 * workers)}


@pytest.mark.parametrize(("wait", "compute"), [(0.0, 0.0), (0.001, 0.0001), (0.1, 0.2), (0.0049, 0.0), (1.0, 1.0)])
def test_data_in_memory_and_data_that_comes_in_time_are_clean(wait: float, compute: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(wait, compute))) == Clean()


def test_what_was_not_timed_is_not_judged(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'loading'")
    assert not is_loader_bound(recorded())
