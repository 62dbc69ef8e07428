from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.advise.diagnosis import diagnose
from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.rules.pf301_unnormalized import RULE as UNNORMALIZED
from preflight.rules.pf302_heavy_tail import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 2000


def split(shape: float, normal: bool = False) -> dict[str, Tensor]:
    x = torch.randn(N, 2, generator=torch.Generator().manual_seed(0))
    tail = x[:, :1] if normal else (shape * x[:, :1]).exp()
    return {"x": torch.cat([tail, x[:, 1:]], 1), "target": (x.sum(1) > 0).long()}


@pytest.mark.parametrize("shape", [2.0, 2.5, 4.0])
def test_a_heavy_tail_is_found(shape: float, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(shape)))
    assert isinstance(answer, Finding)
    assert answer.where == "x.x[0]"
    assert answer.remedies[0].settings == {"normalization.x": "per_kind"}


def test_a_field_that_is_heavy_throughout_gets_a_logarithm(data_seen: DataSeen) -> None:
    x = (2.5 * torch.randn(N, 3, generator=torch.Generator().manual_seed(0))).exp()
    answer = RULE.judge(data_seen({"x": x, "target": (x[:, 0] > 1).long()}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"normalization.x": "log_standardize"}


def test_standardizing_does_not_shorten_a_tail_and_a_logarithm_does(data_seen: DataSeen) -> None:
    plain = {"x": {"kind": "standardize", "center": [5.0, 0.0], "scale": [50.0, 1.0]}}
    log = {"x": {"kind": "per_kind", "center": [1.0, 0.0], "scale": [1.0, 1.0], "log_unit": [1.0, 0.0]}}
    assert isinstance(RULE.judge(data_seen(split(2.5), normalization=plain)), Finding)
    assert RULE.judge(data_seen(split(2.5), normalization=log)) == Clean()


def test_a_logarithm_in_the_model_is_seen(data_seen: DataSeen) -> None:
    class Logs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.sign() * x.abs().log1p())

    assert RULE.judge(data_seen(split(2.5), model=Logs)) == Clean()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_unit_does_not_matter(scale: float, data_seen: DataSeen) -> None:
    heavy, light = split(2.5), split(1.0)
    for part in (heavy, light):
        part["x"] = scale * part["x"]
    assert isinstance(RULE.judge(data_seen(heavy)), Finding)
    assert RULE.judge(data_seen(light)) == Clean()


@pytest.mark.parametrize("decades", [5, 7])
def test_decades_without_a_tip_are_found_by_their_crowd(decades: int, data_seen: DataSeen) -> None:
    def spanning(count: int) -> dict[str, Tensor]:
        x = torch.rand(N, 2, generator=torch.Generator().manual_seed(0))
        return {"x": torch.cat([10 ** (count * x[:, :1]), x[:, 1:]], 1), "target": (x.sum(1) > 1).long()}

    answer = RULE.judge(data_seen(spanning(decades)))
    assert isinstance(answer, Finding)
    crowd = next(item for item in answer.evidence if "half" in item.what)
    assert crowd.value < crowd.limit
    assert RULE.judge(data_seen(spanning(2))) == Clean()


def test_amounts_that_are_mostly_absent_are_no_crowd(data_seen: DataSeen) -> None:
    part = split(1.0)
    part["x"][torch.rand(N, generator=torch.Generator().manual_seed(1)) < 0.6, 0] = 0.0
    assert RULE.judge(data_seen(part)) == Clean()


@pytest.mark.parametrize("shape", [2.0, 4.0])
def test_it_comes_before_the_size_that_it_gives_the_input(shape: float, data_seen: DataSeen) -> None:
    part = split(shape)
    part["x"][:, 0] *= 1e3
    found = diagnose([data_seen(part)], (UNNORMALIZED, RULE)).findings
    assert [item.rule.code for item in found] == ["PF302", "PF301"]


def test_a_normal_feature_is_clean(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(0.0, normal=True))) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
