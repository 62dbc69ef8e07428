from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf301_unnormalized import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 300
RISING = {"losses": {"total": np.linspace(1.0, 1.2, 60), "loss": np.linspace(1.0, 1.2, 60)}}


def split(scale: float | Tensor, mean: float = 0.0, width: int = 4) -> dict[str, Tensor]:
    x = torch.randn(N, width, generator=torch.Generator().manual_seed(0))
    return {"x": mean + scale * x, "target": (x.sum(1) > 0).long()}


@pytest.mark.parametrize(
    ("scale", "mean", "severity"), [(100, 0, WARNING), (1.0, 300, WARNING), (1e4, 1e4, ERROR), (1e9, 0, ERROR)]
)
def test_raw_units_are_found(scale: float, mean: float, severity: str, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(scale, mean)))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert answer.remedies[0].settings == {"normalization.x": "standardize"}
    assert answer.where.startswith("x.x[")


def test_one_large_feature_among_ordinary_ones_is_named(data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(torch.tensor([1.0, 1.0, 1000.0, 1.0]))))
    assert isinstance(answer, Finding)
    assert answer.where == "x.x[2]"
    assert answer.evidence[1].value > 500


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_bytes_of_an_image_are_raw(dtype: torch.dtype, data_seen: DataSeen) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.float()).flatten(1)

    pixels = torch.randint(0, 256, (N, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(dtype)
    answer = RULE.judge(data_seen({"x": pixels, "target": torch.arange(N) % 2}, model=Net))
    assert isinstance(answer, Finding)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 5e-3])
def test_next_to_nothing_is_found(scale: float, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(scale)))
    assert isinstance(answer, Finding)
    assert "next to nothing" in answer.message


TWICE = (split(1.0)["x"] - 2000) / 500


@pytest.mark.parametrize(
    ("x", "is_found"),
    [
        (TWICE, True),
        (torch.cat([TWICE[:, :3], split(1.0)["x"][:, 3:]], dim=1), False),  # one feature is seen
        (
            torch.where(torch.rand(N, 4, generator=torch.Generator().manual_seed(0)) > 0.999, 1.0, TWICE),
            False,
        ),  # sparse
        (0.5 + 0.1 * split(1.0)["x"], False),  # proportions
    ],
)
def test_data_standardized_twice_hardly_varies(x: Tensor, is_found: bool, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen({"x": x, "target": torch.arange(N) % 2}))
    assert isinstance(answer, Finding) is is_found
    assert ("standardized twice" in getattr(answer, "message", "")) is is_found


@pytest.mark.parametrize(("how", "is_found"), [("batch_norm", False), ("norm_after", False), ("nothing", True)])
def test_what_a_model_centres_and_scales_itself_varies(how: str, is_found: bool, data_seen: DataSeen) -> None:
    data = {"x": -4 + 0.01 * split(1.0)["x"], "target": torch.arange(N) % 2}
    assert isinstance(RULE.judge(data_seen(data, model=lambda: Scaled(how))), Finding) is is_found


def test_moderate_sizes_count_only_where_nothing_is_learned(data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(6.0))) == Clean()
    assert isinstance(RULE.judge(data_seen(split(6.0), tables=RISING)), Finding)
    assert RULE.judge(data_seen(split(1.0), tables=RISING)) == Clean()
    diverged = {"outcome": {"status": "diverged"}}
    assert isinstance(RULE.judge(data_seen(split(6.0), info=diverged)), Finding)
    assert RULE.judge(data_seen(split(6.0), tables=RISING, info={"score": 0.5})) == Clean()


@pytest.mark.parametrize(("late", "is_found"), [(0.97, True), (0.5, False)])
def test_a_loss_that_falls_and_leads_nowhere_is_not_learned(late: float, is_found: bool, data_seen: DataSeen) -> None:
    falling = np.linspace(1.1, late, 60)
    facts = {"losses": {"loss": {"constant": 1.0, "initial": 1.1}}}
    tables = {"losses": {"total": falling, "loss": falling}}
    for scale in (6.0, 0.05):
        answer = RULE.judge(data_seen(split(scale), facts=facts, tables=tables))
        assert isinstance(answer, Finding) is is_found


class Scaled(nn.Module):
    """What a model may do with raw inputs before its first layer."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.batch, self.layer_norm = nn.BatchNorm1d(4), nn.LayerNorm(4)
        self.first, self.after, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        inner = {
            "batch_norm": self.batch,
            "layer_norm": self.layer_norm,
            "division": lambda x: x / 1000,
            "logarithm": lambda x: x.abs().log1p() - 6,
        }
        x = self.first(inner[self.how](x) if self.how in inner else x)
        return self.last(torch.relu(self.after(x) if self.how == "norm_after" else x))


@pytest.mark.parametrize("how", ["batch_norm", "layer_norm", "division", "logarithm", "norm_after"])
def test_a_model_that_normalizes_itself_is_left_alone(how: str, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(1000.0), model=lambda: Scaled(how), tables=RISING)) == Clean()
    assert isinstance(RULE.judge(data_seen(split(1000.0), model=lambda: Scaled("nothing"))), Finding)


@pytest.mark.parametrize(("size", "is_found"), [(1e-5, True), (1e-2, False)])
def test_a_norm_takes_out_no_scale_below_its_eps(size: float, is_found: bool, data_seen: DataSeen) -> None:
    x = size * torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    seen = data_seen({"x": x, "target": torch.arange(400) % 2}, model=lambda: Scaled("norm_after"))
    answer = RULE.judge(seen)
    assert isinstance(answer, Finding) is is_found


def test_a_norm_after_the_first_layer_does_not_mend_features_far_apart(data_seen: DataSeen) -> None:
    part = split(torch.tensor([1.0, 1.0, 1e4, 1.0]))
    assert isinstance(RULE.judge(data_seen(part, model=lambda: Scaled("norm_after"))), Finding)


def test_what_the_configured_normalizer_leaves_is_judged(data_seen: DataSeen) -> None:
    right = {"x": {"kind": "standardize", "center": [0.0] * 4, "scale": [500.0] * 4}}
    wrong = {"x": {"kind": "standardize", "center": [0.0] * 4, "scale": [2.0] * 4}}
    assert RULE.judge(data_seen(split(500.0), normalization=right)) == Clean()
    assert isinstance(RULE.judge(data_seen(split(500.0), normalization=wrong)), Finding)


def test_a_run_with_another_normalization_than_was_seen_is_not_judged(data_seen: DataSeen) -> None:
    seen = data_seen(split(500.0))
    other = dict(seen.info["params"]) | {"normalization": {"x": "standardize"}}
    assert RULE.judge(Recording(seen.folder, {"params": other}, seen.facts, {})) == Clean()


def test_integers_that_the_model_takes_for_numbers_count(data_seen: DataSeen) -> None:
    amounts = torch.poisson(torch.full((N, 3), 400.0), generator=torch.Generator().manual_seed(0)).long()
    answer = RULE.judge(data_seen({"x": amounts, "target": torch.arange(N) % 2}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {}
    assert "model.fields.x.kind" in answer.remedies[0].text


def test_flags_have_no_scale(data_seen: DataSeen) -> None:
    flags = (torch.rand(N, 4, generator=torch.Generator().manual_seed(0)) < 0.02).float()
    assert RULE.judge(data_seen({"flags": flags, "target": torch.arange(N) % 2})) == Clean()


def numbers(low: float, step: float, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Ordinary values, and whole numbers like no other beside them."""
    g = torch.Generator().manual_seed(0)
    column = (low + step * torch.randperm(5000, generator=g)[:N].double()).view(-1, 1)
    x = torch.cat([torch.randn(N, 1, generator=g).double(), column], 1)
    return {"x": x.to(dtype), "target": torch.arange(N) % 2}


@pytest.mark.parametrize(("low", "step"), [(0, 1), (100_000, 1), (1.7e9, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_names_and_dates_that_are_fed_as_numbers_have_one(
    low: float, step: float, dtype: torch.dtype, data_seen: DataSeen
) -> None:
    answer = RULE.judge(data_seen(numbers(low, step, dtype)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "x.x[1]")
    assert "embed it" in answer.remedies[0].text
    if dtype == torch.float32:
        assert answer.remedies[0].settings == {"normalization.x": "per_kind"}


def test_names_that_are_embedded_have_none(data_seen: DataSeen) -> None:
    class Embeds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer = nn.Embedding(5000, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.cat([x[:, :1], self.table(x[:, 1].long())], 1))

    assert RULE.judge(data_seen(numbers(0, 1), model=Embeds)) == Clean()


@pytest.mark.parametrize("dtype", [torch.long, torch.int16, torch.float32])
def test_an_identifier_that_no_setting_normalizes_is_to_be_embedded(dtype: torch.dtype, data_seen: DataSeen) -> None:
    x = torch.randint(0, 5000, (N, 1), generator=torch.Generator().manual_seed(0)).to(dtype)
    answer = RULE.judge(data_seen({"x": x, "target": torch.arange(N) % 2}, fields={"x": {"kind": "identifier"}}))
    assert isinstance(answer, Finding)
    (remedy,) = answer.remedies
    assert (remedy.settings, "torch.nn.Embedding(" in remedy.text) == ({}, True)
    assert ("model.fields.x.kind: count" in remedy.text) == (not dtype.is_floating_point)


def test_an_identifier_that_is_declared_an_amount_has_a_normalization(data_seen: DataSeen) -> None:
    x = torch.randint(0, 5000, (N, 1), generator=torch.Generator().manual_seed(0))
    answer = RULE.judge(data_seen({"x": x, "target": torch.arange(N) % 2}, fields={"x": {"kind": "count"}}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"normalization.x": "standardize"}


def test_a_field_of_heavy_tails_gets_a_logarithm(data_seen: DataSeen) -> None:
    x = 1e3 * (2 * torch.randn(N, 3, generator=torch.Generator().manual_seed(0))).exp()
    answer = RULE.judge(data_seen({"x": x, "target": torch.arange(N) % 2}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"normalization.x": "log_standardize"}


def test_bursts_in_a_signal_are_no_tail_that_wants_a_logarithm(data_seen: DataSeen) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(N, 1, 40, generator=g)
    x[torch.rand(x.shape, generator=g) < 0.7] *= 0.1
    answer = RULE.judge(data_seen({"x": 5e3 * x, "target": torch.arange(N) % 2}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"normalization.x": "standardize"}


def test_a_sparse_input_is_not_next_to_nothing(data_seen: DataSeen) -> None:
    x = torch.zeros(N, 1, 10, 10)
    x[torch.arange(N), 0, torch.arange(N) % 10, 3] = 0.9
    x = x * (torch.arange(N).view(-1, 1, 1, 1) % 20 == 0)
    assert RULE.judge(data_seen({"x": x, "target": torch.arange(N) % 2})) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
