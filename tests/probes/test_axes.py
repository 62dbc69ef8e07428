from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn

from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.probes.axes import is_by_channel, settled, settled_of
from preflight.probes.distributions import look_at_fields
from preflight.probes.fields import inspect_field, normalizer_configs
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.pytorch import PyTorchTask

N = 256
UNITS = torch.tensor([1.0, 20.0, 3000.0])


def walks(channels: int, length: int, seed: int = 0) -> Tensor:
    """Smooth signals ``[N, C, L]``, alike at all positions: each sample is cut from a long one anywhere."""
    g = Generator().manual_seed(seed)
    long = torch.randn(N, channels, length + 8, generator=g)
    return long.unfold(2, 9, 1).mean(dim=3) * 3


def columns(steps: int, features: int) -> Tensor:
    """Sequences ``[N, L, F]`` without any order in time."""
    return torch.randn(N, steps, features, generator=Generator().manual_seed(1))


CHANNELS = {
    "one channel": walks(1, 40),
    "one channel of noise in its own units": 6e3 * columns(1, 40),
    "one channel far from zero": 500 + 20 * walks(1, 40),
    "several channels in one unit": walks(3, 40),
    "several channels in their own units": walks(3, 40) * UNITS.view(1, 3, 1),
    "noise in channels of their own units": columns(3, 40) * UNITS.view(1, 3, 1),
    "a border that never changes": torch.cat([torch.zeros(N, 2, 4), walks(2, 30)], dim=2),
}
COLUMNS = {
    "columns in their own units": columns(40, 3) * UNITS,
    "columns in one unit": columns(40, 3),
    "as many columns as steps": columns(6, 6),
    "smooth sequences": walks(3, 40).transpose(1, 2),
    "smooth sequences in their own units": walks(3, 40).transpose(1, 2) * UNITS,
    "one step of columns in their own units": columns(1, 3) * UNITS,
    "sequences of one column": columns(40, 1),
    "constant": torch.ones(N, 1, 8),
    "too few to tell": walks(1, 40)[:20],
}


@pytest.mark.parametrize("values", CHANNELS.values(), ids=CHANNELS)
def test_channels_before_their_positions_are_recognised(values: Tensor) -> None:
    assert is_by_channel(values)
    broken = values.clone()
    broken[3, 0, 5] = float("nan")
    assert is_by_channel(broken)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_what_may_be_columns_stays_so(values: Tensor) -> None:
    assert not is_by_channel(values)


@pytest.mark.parametrize(
    "known",
    [
        FieldSettings(axis=2),
        FieldSettings(features=tuple("abcdefgh")),
        FieldSettings(mask="valid"),
    ],
)
def test_what_is_said_of_a_field_holds(known: FieldSettings) -> None:
    assert settled({"x": known}, {"x": walks(1, 8)}, ["x"]) == {"x": known}


def test_what_else_is_known_is_kept() -> None:
    known = FieldSettings(kind=("continuous",))
    batch = {"x": walks(1, 8), "tokens": torch.zeros(N, 1, 8, dtype=torch.long), "row": torch.rand(N, 8)}
    assert settled({"x": known}, batch, batch) == {"x": FieldSettings(kind=("continuous",), axis=1)}


def test_a_channel_is_normalized_as_one() -> None:
    signals = 5e3 + 6e3 * walks(2, 40)
    field = inspect_field("x", {"x": signals}, settled({}, {"x": signals}, ["x"])["x"], N)
    config = normalizer_configs(field.report, field.values, ("standardize",))["standardize"]
    assert (config["axis"], len(config["center"])) == (1, 2)
    rows = InputNormalizer.from_config(config)(signals)
    assert rows.mean(dim=(0, 2)).tolist() == pytest.approx([0, 0], abs=1e-3)
    assert rows.std(dim=(0, 2)).tolist() == pytest.approx([1, 1], abs=1e-3)
    torch.testing.assert_close(
        rows[:, 0, 1:] - rows[:, 0, :-1], (signals[:, 0, 1:] - signals[:, 0, :-1]) / config["scale"][0]
    )


def test_the_probes_see_channels(make_task: Callable[..., PyTorchTask]) -> None:
    data = {"x": walks(2, 40), "target": torch.arange(N) % 3}
    network = lambda: nn.Sequential(nn.Conv1d(2, 3, 5), nn.Flatten(), nn.Linear(108, 4))  # noqa: E731
    task = make_task(factory=network, data=(data, data))
    assert settled_of(task)["x"].axis == 1
    facts = look_at_fields(task, Params(lr=0.1, batch_size=32, normalization={"x": "none"}), 0)["fields"]["x"]
    assert [feature["name"] for feature in facts["features"]] == ["x[0]", "x[1]"]
