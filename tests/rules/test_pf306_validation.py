from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import ERROR, NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf306_validation import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]


def split(seed: int, size: int = 400, scale: float = 1.0, shift: float = 0.0, classes: int = 4) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, generator=g)
    return {"x": scale * x + shift, "target": torch.randint(0, classes, (size,), generator=g)}


@pytest.mark.parametrize(("scale", "shift"), [(255.0, 0.0), (1.0, 2.0), (0.01, 0.0), (1.0, -50.0)])
def test_another_distribution_is_found(scale: float, shift: float, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(0), split(1, scale=scale, shift=shift)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert answer.where.startswith("x.x[")


@pytest.mark.parametrize("size", [15, 60, 400])
@pytest.mark.parametrize("seed", range(5))
def test_noise_and_a_small_shift_are_clean(size: int, seed: int, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(seed), split(100 + seed, size))) == Clean()
    assert RULE.judge(data_seen(split(seed), split(100 + seed, size, scale=1.3, shift=0.3))) == Clean()


def test_classes_that_training_lacks_are_found(data_seen: DataSeen) -> None:
    train, validation = split(0), split(1)
    train["target"] = train["target"] % 3
    answer = RULE.judge(data_seen(train, validation, model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 4))))
    assert isinstance(answer, Finding)
    assert "classes that no training sample has" in answer.message


def test_other_class_frequencies_are_found(data_seen: DataSeen) -> None:
    validation = split(1)
    validation["target"] = torch.where(torch.arange(400) % 10 == 0, validation["target"], 0)
    answer = RULE.judge(data_seen(split(0), validation))
    assert isinstance(answer, Finding)
    assert "class frequencies" in answer.message


def test_many_rare_classes_differ_by_chance(data_seen: DataSeen) -> None:
    train, validation = split(0, 2000, classes=300), split(1, 100, classes=300)
    assert RULE.judge(data_seen(train, validation)) == Clean()


def test_every_feature_that_differs_is_counted(data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(0), split(1, shift=3.0)))
    assert isinstance(answer, Finding)
    first, others = answer.message.split("; so are ")
    assert {name for name in ("'x[0]'", "'x[1]'", "'x[2]'") if name in first} == {f"'{answer.where.split('.')[1]}'"}
    assert others.count("'x[") == 2
    alone = split(1)
    alone["x"][:, 1] += 3.0
    answer = RULE.judge(data_seen(split(0), alone))
    assert isinstance(answer, Finding)
    assert "; so" not in answer.message


@pytest.mark.parametrize(("share", "severity"), [(0.05, NOTE), (0.3, WARNING), (0.75, ERROR), (1.0, ERROR)])
def test_samples_in_both_splits_weigh_by_their_share(share: float, severity: str, data_seen: DataSeen) -> None:
    train, validation = split(0), split(1)
    some = int(share * 400)
    validation["x"][:some] = train["x"][:some]
    answer = RULE.judge(data_seen(train, validation))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert answer.evidence[0].value == pytest.approx(share)


def test_inputs_of_few_values_meet_by_themselves(data_seen: DataSeen) -> None:
    def flags(seed: int) -> dict[str, Tensor]:
        x = torch.randint(0, 2, (400, 10), generator=torch.Generator().manual_seed(seed)).float()
        return {"x": x, "target": x[:, 0].long()}

    assert RULE.judge(data_seen(flags(0), flags(1))) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
