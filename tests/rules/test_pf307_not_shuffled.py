from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf307_not_shuffled import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 640
FRONT_TO_BACK = {"shuffle": False}


def classes(order: str, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 4, (N,), generator=g)
    target = {
        "sorted": target.sort().values,
        "reversed": target.sort(descending=True).values,
        "runs": target.view(-1, 80).sort(dim=1).values.flatten(),
        "random": target,
        "alternating": torch.arange(N) % 4,
    }[order]
    return {"x": torch.randn(N, 3, generator=g) + target[:, None], "target": target}


def amounts(order: str, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    target = torch.randn(N, 1, generator=g).exp()
    target = target.sort(dim=0).values if order == "sorted" else target
    return {"x": target + torch.randn(N, 3, generator=g), "target": target}


@pytest.mark.parametrize("order", ["sorted", "reversed", "runs"])
def test_sorted_classes_are_found_unless_they_are_shuffled(order: str, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(classes(order), params=FRONT_TO_BACK))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"shuffle": True}
    assert answer.where == "target"
    assert RULE.judge(data_seen(classes(order), params={"shuffle": True})) == Clean()


@pytest.mark.parametrize("batch_size", [1, 4, 32, 160])
def test_the_batch_size_does_not_matter(batch_size: int, data_seen: DataSeen) -> None:
    params = {**FRONT_TO_BACK, "batch_size": batch_size}
    answer = RULE.judge(data_seen(classes("sorted"), params=params))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert isinstance(RULE.judge(data_seen(amounts("sorted"), params=params)), Finding)


@pytest.mark.parametrize("batch_size", [1, 32, 100])
def test_a_small_data_set_is_judged_too(batch_size: int, data_seen: DataSeen) -> None:
    sorted_ones, random_ones = (
        {name: item[::5] for name, item in classes(order).items()} for order in ("sorted", "random")
    )
    params = {**FRONT_TO_BACK, "batch_size": batch_size}
    assert isinstance(RULE.judge(data_seen(sorted_ones, params=params)), Finding)
    assert RULE.judge(data_seen(random_ones, params=params)) == Clean()


@pytest.mark.parametrize("seed", range(5))
def test_a_random_or_alternating_order_needs_no_shuffling(seed: int, data_seen: DataSeen) -> None:
    for part in (classes("random", seed), classes("alternating", seed), amounts("random", seed)):
        assert RULE.judge(data_seen(part, params=FRONT_TO_BACK)) == Clean()


def test_the_shuffle_of_the_recorded_run_counts(data_seen: DataSeen) -> None:
    seen = data_seen(classes("sorted"), params={"shuffle": True})
    unshuffled = {"params": dict(seen.info["params"]) | {"shuffle": False}}
    assert isinstance(RULE.judge(Recording(seen.folder, unshuffled, seen.facts, {})), Finding)
    seen = data_seen(classes("sorted"), params=FRONT_TO_BACK)
    shuffled = {"params": dict(seen.info["params"]) | {"shuffle": True}}
    assert RULE.judge(Recording(seen.folder, shuffled, seen.facts, {})) == Clean()


def test_what_is_missing_is_said(recorded: Callable[..., Recording], data_seen: DataSeen) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'order'")
    few = {name: item[:20] for name, item in classes("sorted").items()}
    assert RULE.judge(data_seen(few, params=FRONT_TO_BACK)) == NotApplicable("no probe has looked at 'order.trained'")
