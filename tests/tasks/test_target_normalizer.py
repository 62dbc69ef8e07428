"""Targets in deviations, in a task's losses and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import ConfigError
from preflight.core.params import Params
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.statistics import FieldValues
from preflight.tasks.target_normalizer import TargetNormalizer, target_config

MakeTask = Callable[..., PyTorchTask]
SETTING, OPTION = "target_normalization.target", "standardize"
CONFIG = {"kind": "standardize", "center": [4000.0, -30.0], "scale": [500.0]}
TODAY = Params(lr=0.1, batch_size=4, target_normalization={"target": "none"})
SCALED = TODAY.with_values({SETTING: OPTION})


@given(
    center=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=4),
    scale=st.floats(0.03125, 1e4, width=32),
)
def test_the_inverse_gives_the_units_back(center: list[float], scale: float) -> None:
    normalizer = TargetNormalizer(center, scale)
    values = torch.randn(5, len(center), generator=torch.Generator().manual_seed(0)) * scale
    torch.testing.assert_close(normalizer.inverse(normalizer(values)), values, rtol=1e-4, atol=2e-2)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6,)])
def test_features_are_on_their_axis(shape: tuple[int, ...]) -> None:
    center = [1.0, 2.0, 3.0] if len(shape) > 1 else [2.0]
    found = TargetNormalizer(center, 2.0, axis=1 if len(shape) > 1 else -1)(torch.zeros(shape))
    assert found.shape == shape
    assert found[0].flatten()[0] == -center[0] / 2


def test_one_scale_keeps_what_a_squared_error_asks_for() -> None:
    """A deviation of each feature's own would weigh the narrow feature as much as the wide one."""
    values = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([100.0, 1.0])
    config = target_config(FieldValues(values + 50, -1), ("continuous",) * 2)
    assert len(config["scale"]) == 1
    normalizer = TargetNormalizer.from_config(config)
    wanted, given_ = values.float() + 50, values.float() + 53
    ratio = F.mse_loss(given_, wanted) / F.mse_loss(normalizer(given_), normalizer(wanted))
    assert float(ratio) == pytest.approx(config["scale"][0] ** 2, rel=1e-4)
    assert float(normalizer(wanted).square().mean()) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("config", [None, "none", {"kind": "none"}])
def test_nothing_leaves_targets_as_they_are(config: Any) -> None:
    values = torch.randn(3, 2)
    assert torch.equal(TargetNormalizer.from_config(config)(values), values)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "minmax", "center": [0.0], "scale": [1.0]}, "kind=minmax is none for targets"),
        ({**CONFIG, "units": 3}, "unknown key 'units' in a target's normalization"),
        ({"kind": "standardize", "center": [1.0]}, "needs 'scale'"),
        ({**CONFIG, "scale": [0.0]}, "scale of a normalization must be positive"),
        ("robust", "is a mapping with kind, center and scale, got 'robust'"),
    ],
)
def test_another_config_is_named(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TargetNormalizer.from_config(config)


@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (4,)])
def test_values_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"2 target features, on axis=-1, got values of \[4"):
        TargetNormalizer.from_config(CONFIG)(torch.zeros(shape))


def test_a_loss_is_trained_in_deviations_and_the_output_has_the_units_of_the_target(make_task: MakeTask) -> None:
    task = make_task()
    task.normalizers[SETTING, OPTION] = CONFIG
    torch.manual_seed(0)
    plain = task.job(TODAY)
    torch.manual_seed(0)
    job = task.job(SCALED)
    batch = task.data.train.batch(torch.arange(4))
    target = {"target": batch["target"]}
    torch.testing.assert_close(job.outputs(batch), plain.outputs(batch) * 500 + torch.tensor([4000.0, -30.0]))
    in_deviations = F.mse_loss(plain.outputs(batch), (batch["target"] - torch.tensor([4000.0, -30.0])) / 500)
    torch.testing.assert_close(job.losses[0](job.outputs(batch), target), in_deviations, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        plain.losses[0](plain.outputs(batch), target), F.mse_loss(plain.outputs(batch), target["target"])
    )


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, values: Tensor) -> dict[str, Tensor]:
        output = self.layer(values)
        return {"price": output[:, :1], "area": output[:, 1:]}


def _two(size: int) -> dict[str, Tensor]:
    return {
        "x": torch.randn(size, 3),
        "price": torch.randn(size, 1),
        "area": torch.randn(size, 1),
        "kind": torch.randint(3, (size,)),
    }


def _loss(output: str | None, target: str | None) -> dict[str, Any]:
    given_ = {"output": output, "target": target}
    return {"function": F.mse_loss, **{name: value for name, value in given_.items() if value is not None}}


@pytest.mark.parametrize(
    ("losses", "scalable"),
    [
        ({"a": _loss("price", "price"), "b": _loss("area", "area")}, ("price", "area")),
        ({"a": _loss("price", "price"), "b": _loss("price", "area")}, ()),  # one output cannot have two units
        ({"a": _loss("price", "price"), "b": _loss(None, "area")}, ("price",)),  # area has no output of its own
        ({"a": _loss("price", "price"), "b": _loss("area", None)}, ()),  # takes all of the targets
        ({"a": _loss("price", "price"), "b": _loss("price", "price")}, ("price",)),
    ],
)
def test_a_target_needs_an_output_of_its_own(losses: Any, scalable: tuple[str, ...], make_task: MakeTask) -> None:
    task = make_task(
        factory=Two, data=(_two(12), _two(6)), losses=losses, inputs=["x"], targets=["price", "area", "kind"]
    )
    assert task.scalable_targets() == scalable
