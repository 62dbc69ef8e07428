from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from preflight.core.finding import ERROR, NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf304_constant import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]


def split(x: Tensor, target: Tensor | None = None) -> dict[str, Tensor]:
    return {"x": x, "target": torch.arange(len(x)) % 2 if target is None else target}


def noise(width: int = 3, samples: int = 200) -> Tensor:
    return torch.randn(samples, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e6])
def test_an_input_without_anything_in_it_is_found(value: float, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(torch.full((200, 3), value))))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "x")
    beside = {"other": noise(), **split(torch.full((200, 3), value))}
    answer = RULE.judge(data_seen(beside))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "x")


@pytest.mark.parametrize("target", [torch.ones(200, dtype=torch.long), torch.full((200, 1), 2.5)])
def test_a_target_that_never_changes_is_found(target: Tensor, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(noise(), target)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "target")


def test_a_placeholder_that_no_loss_uses_is_none(data_seen: DataSeen) -> None:
    def hinge(output: Tensor, _target: Tensor) -> Tensor:
        return (1 - output).relu().mean()

    assert RULE.judge(data_seen(split(noise(), torch.ones(200)), losses={"own": hinge})) == Clean()


def test_a_named_feature_is_worth_a_note(data_seen: DataSeen) -> None:
    x = noise()
    x[:, 1] = 7.0
    answer = RULE.judge(data_seen(split(x), fields={"x": {"features": ["a", "b", "c"]}}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (NOTE, "x.b")


@pytest.mark.parametrize("value", [3.0, -40.0, 0.5])
def test_an_unnamed_column_with_a_value_of_its_own_is_worth_a_note(value: float, data_seen: DataSeen) -> None:
    x = noise(8)
    x[:, 4] = value
    answer = RULE.judge(data_seen(split(x)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (NOTE, "x.x[4]")


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: 255 * x, lambda x: (x - 0.13) / 0.31])
def test_a_border_pixel_an_absent_word_or_an_intercept_is_no_fault(
    scale: Callable[[Tensor], Tensor], data_seen: DataSeen
) -> None:
    x = noise(64).clamp(0, 1)
    x[:, :5] = 0.0
    assert RULE.judge(data_seen(split(scale(x)))) == Clean()
    assert RULE.judge(data_seen(split(scale(x).unflatten(1, (1, 8, 8))))) == Clean()
    each = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-6)
    assert RULE.judge(data_seen(split(each))) == Clean()
    ones = torch.cat([noise(), torch.ones(200, 1)], 1)
    assert RULE.judge(data_seen(split(ones))) == Clean()


def test_one_sample_among_very_many_is_enough_to_change(data_seen: DataSeen) -> None:
    x = torch.zeros(9000, 1)
    x[4321] = 1.0  # not among those looked at
    assert RULE.judge(data_seen({**split(x), "other": noise(2, 9000)})) == Clean()


def test_an_input_that_repeats_another_is_found(data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen({**split(noise()), "other": noise()}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "other")
    assert "a copy of 'x'" in answer.message
    assert RULE.judge(data_seen({**split(noise()), "other": noise() + 1e-3})) == Clean()
    assert RULE.judge(data_seen({**split(noise(samples=50)), "other": noise(samples=50)})) == Clean()


def test_few_samples_may_be_alike(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(torch.ones(50, 2)))) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
