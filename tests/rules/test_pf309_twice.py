from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf301_unnormalized import RULE as UNNORMALIZED
from preflight.rules.pf309_twice import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 300


def split(low: float = 0.0, high: float = 1.0) -> dict[str, Tensor]:
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0.0, 1.0
    return {"x": low + (high - low) * x, "target": torch.arange(N) % 2}


def normalizer(center: float, scale: float) -> dict[str, dict[str, object]]:
    return {"x": {"kind": "standardize", "axis": 1, "center": [center], "scale": [scale]}}


@pytest.mark.parametrize(("center", "scale"), [(0.0, 255.0), (77.9, 95.9), (0.5, 20.0)])
def test_a_normalizer_for_raw_data_on_normalized_data_is_found(
    center: float, scale: float, data_seen: DataSeen
) -> None:
    for part in (split(), split(-1.5, 1.5)):
        seen = data_seen(part, normalization=normalizer(center, scale))
        answer = RULE.judge(seen)
        assert isinstance(answer, Finding)
        assert answer.severity == WARNING
        assert answer.remedies[0].settings == {"normalization.x": "none"}
        assert UNNORMALIZED.judge(seen) == Clean()


def test_bytes_that_were_divided_twice_are_found(data_seen: DataSeen) -> None:
    seen = data_seen(split(0.0, 1 / 255))
    answer = RULE.judge(seen)
    assert isinstance(answer, Finding)
    assert "255" in answer.message
    assert answer.remedies[0].settings == {"normalization.x": "standardize"}
    assert UNNORMALIZED.judge(seen) == Clean()


@pytest.mark.parametrize(
    ("low", "high", "normalization"),
    [
        (0.0, 255.0, normalizer(127.5, 73.0)),
        (0.0, 1.0, normalizer(0.5, 0.29)),
        (0.0, 1.0, None),
        (-1.0, 1.0, normalizer(0.0, 3.0)),
        (0.0, 255.0, normalizer(0.0, 255.0)),
        (0.0, 0.01, None),
    ],
)
def test_once_is_clean(low: float, high: float, normalization: dict | None, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(low, high), normalization=normalization)) == Clean()


def test_a_model_that_multiplies_is_left_alone(data_seen: DataSeen) -> None:
    class Louder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(255 * x.flatten(1))

    assert RULE.judge(data_seen(split(0.0, 1 / 255), model=Louder)) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
