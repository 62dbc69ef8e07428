from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf301_unnormalized import RULE as UNNORMALIZED
from preflight.rules.pf302_heavy_tail import RULE as HEAVY
from preflight.rules.pf305_nonfinite import RULE
from preflight.rules.pf309_twice import RULE as TWICE
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


def coded(share: float = 0.05, value: float = -9999.0, width: int = 3) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(2000, width, generator=g)
    part = {"x": x.clone(), "target": x.sum(1, keepdim=True)}
    part["x"][torch.rand(x.shape, generator=g) < share] = value
    return part


@pytest.mark.parametrize(("share", "value"), [(0.05, -9999.0), (0.02, 999.0), (0.4, -9999.0)])
def test_a_number_that_stands_for_what_is_missing_is_named_with_its_share(
    share: float, value: float, data_seen: DataSeen
) -> None:
    recording = data_seen(coded(share, value))
    answer = RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert f"are {value:g} exactly" in answer.message
    assert float(answer.message.split(", ")[1].split("%")[0]) / 100 == pytest.approx(share, rel=0.5)
    assert "median" in answer.remedies[0].text
    for other in (HEAVY, UNNORMALIZED, TWICE):  # none of the other values is at fault
        assert other.judge(recording) == Clean()


def test_the_same_in_a_wide_field(data_seen: DataSeen) -> None:
    recording = data_seen(coded(width=80))
    answer = RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert HEAVY.judge(recording) == Clean()


@pytest.mark.parametrize(
    ("share", "value"),
    [
        (0.05, -10.0),  # what beside standardized amounts is no harm
        (0.002, -9999.0),  # an outlier of few samples
    ],
)
def test_a_code_that_does_no_harm_is_left_alone(share: float, value: float, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(coded(share, value))) == Clean()


class TakesOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.where(x == -9999.0, 0.0, x))


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_model_that_takes_the_code_out_is_left_alone(share: float, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(coded(share), model=TakesOut)) == Clean()


def test_finite_data_is_clean(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(), info={"outcome": {"status": "diverged"}})) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
