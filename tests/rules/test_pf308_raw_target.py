from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.rules.pf308_raw_target import RULE, reach
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 300


class Heads(nn.Module):
    """An output for each of three targets."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(3, 1) for name in ("codes", "unit", "target")})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: head(x) for name, head in self.heads.items()}


def first(value: float) -> dict[str, dict[str, list[float]]]:
    return {"losses": {"total": [value], "loss": [value]}}


def split(mean: float, std: float) -> dict[str, Tensor]:
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    unit = torch.randn(N, 1, generator=torch.Generator().manual_seed(1))
    return {"x": x, "target": mean + std * unit}


@pytest.mark.parametrize(("mean", "std"), [(0.0, 300.0), (5000.0, 1.0), (1e4, 1e4), (-2e3, 5.0), (0.0, 1e8)])
def test_raw_units_are_found(mean: float, std: float, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(mean, std), tables=first(mean**2 + std**2)))
    assert isinstance(answer, Finding)
    assert answer.where == "target"
    assert "undo it" in answer.remedies[0].text


@pytest.mark.parametrize("scale", [1e-4, 1e-7])
def test_a_target_next_to_nothing_is_found(scale: float, data_seen: DataSeen) -> None:
    assert isinstance(RULE.judge(data_seen(split(0.0, scale), tables=first(0.1))), Finding)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (22.0, 9.0), (0.0, 0.05), (5.0, 2.0)])
def test_ordinary_targets_are_clean(mean: float, std: float, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(mean, std), tables=first(mean**2 + std**2))) == Clean()


def test_of_several_targets_the_farthest_comes_first(data_seen: DataSeen) -> None:
    noise = torch.randn(N, 1, generator=torch.Generator().manual_seed(1))
    data = {"x": split(0.0, 1.0)["x"], "codes": 500 + 300 * noise, "unit": noise, "target": 5000 + 900 * noise}
    targets = [name for name in data if name != "x"]
    losses = {name: {"function": F.mse_loss, "output": name, "target": name} for name in targets}
    today = {"target_normalization": dict.fromkeys(targets, "none")}
    known = {"inputs": ["x"], "targets": targets, "losses": losses}
    seen = data_seen(data, model=Heads, params=today, tables=first(1e7), **known)
    for name in targets:
        seen.facts["fields"][name]["options"] = ["none", "standardize"]
    answer = RULE.judge(seen)
    assert isinstance(answer, Finding)
    assert answer.where == "target"
    assert answer.message.endswith("; so is 'codes'")
    assert answer.remedies[0].settings == dict.fromkeys(
        ("target_normalization.codes", "target_normalization.target"), "standardize"
    )


def test_a_loss_without_a_scale_is_left_alone(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(0.0, 1e4), tables=first(1.5))) == Clean()
    facts = {"losses": {"loss": {"initial": 1.5}}}
    assert RULE.judge(data_seen(split(0.0, 1e4), facts=facts)) == Clean()


def test_a_model_that_undoes_the_normalization_is_left_alone(data_seen: DataSeen) -> None:
    for mean, std, is_found in ((4000.0, 900.0, False), (0.1, 0.3, True)):
        facts = {"losses": {"loss": {"initial": 1e6, "output_mean": mean, "output_std": std}}}
        answer = RULE.judge(data_seen(split(4000.0, 1000.0), facts=facts))
        assert isinstance(answer, Finding) == is_found


def test_moderate_sizes_count_only_where_nothing_is_learned(data_seen: DataSeen) -> None:
    flat = {"losses": {"total": np.full(60, 600.0), "loss": np.full(60, 600.0)}}
    falling = {"losses": {"total": np.linspace(600, 9, 60), "loss": np.linspace(600, 9, 60)}}
    assert isinstance(RULE.judge(data_seen(split(22.0, 9.0), tables=flat)), Finding)
    assert RULE.judge(data_seen(split(22.0, 9.0), tables=falling)) == Clean()


@pytest.mark.parametrize(("slow", "is_found"), [(30, True), (5, False)])
def test_moderate_sizes_count_where_the_way_to_the_constant_takes_long(
    slow: int, is_found: bool, data_seen: DataSeen
) -> None:
    losses = np.concatenate([np.full(slow, 560.0), np.linspace(80, 20, 100 - slow)])
    facts = {"losses": {"loss": {"kind": "fit", "constant": 81.0, "initial": 565.0, "output_mean": 0, "output_std": 1}}}
    info = {"score": 0.3, "outcome": {"status": "completed"}}
    tables = {"losses": {"total": losses, "loss": losses}}
    answer = RULE.judge(data_seen(split(22.0, 9.0), facts=facts, info=info, tables=tables))
    assert isinstance(answer, Finding) is is_found
    assert RULE.judge(data_seen(split(1.0, 1.0), facts=facts, info=info, tables=tables)) == Clean()


def test_the_way_to_the_constant_is_a_share_of_the_run() -> None:
    losses = np.concatenate([np.full(30, 5.0), np.full(70, 0.5)])
    assert reach(losses, 1.0) == pytest.approx(0.26)  # a median of ten
    assert reach(losses, 0.1) == 1.0
    assert reach(losses, 9.0) == 0.0


def test_classes_have_no_scale(data_seen: DataSeen) -> None:
    part = split(0.0, 1.0)
    part["target"] = torch.arange(N) % 150
    assert RULE.judge(data_seen(part, tables=first(5e3))) == Clean()


def test_what_is_missing_is_said(recorded: Callable[..., Recording], data_seen: DataSeen) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
    assert isinstance(RULE.judge(data_seen(split(0.0, 1e4))), NotApplicable)
