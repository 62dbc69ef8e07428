from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf305_nonfinite import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 300


def split() -> dict[str, Tensor]:
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    return {"x": x, "target": x.sum(1, keepdim=True)}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("field", ["x", "target"])
@pytest.mark.parametrize("side", [0, 1])
def test_one_value_that_is_not_finite_is_found(bad: float, field: str, side: int, data_seen: DataSeen) -> None:
    parts = split(), split()
    if side and field == "x":
        bad = torch.nan  # a tanh makes 1 of infinity: nothing happens to the validation loss
    parts[side][field][257, 0] = bad
    answer = RULE.judge(data_seen(*parts))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert "257" in answer.message
    assert ("training", "validation")[side] in answer.message


def test_the_batch_is_named_where_samples_come_in_order(data_seen: DataSeen) -> None:
    part = split()
    part["x"][257, 1] = torch.nan
    answer = RULE.judge(data_seen(part, split(), params={"shuffle": False}))
    assert isinstance(answer, Finding)
    assert "batch 8 of an epoch" in answer.message
    assert answer.where == "x[1]"


class Fills(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.nan_to_num())


def test_a_model_that_fills_them_in_is_left_alone_unless_it_diverges(data_seen: DataSeen) -> None:
    part = split()
    part["x"][::3, 0] = torch.nan
    assert RULE.judge(data_seen(part, split(), model=Fills)) == Clean()
    diverged = {"outcome": {"status": "diverged"}}
    assert isinstance(RULE.judge(data_seen(part, split(), model=Fills, info=diverged)), Finding)


def test_finite_data_is_clean(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(), info={"outcome": {"status": "diverged"}})) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
