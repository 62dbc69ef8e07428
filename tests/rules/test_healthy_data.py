"""Data that trains well as it is: no rule of the data may say anything of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from preflight.core.finding import Finding
from preflight.rules.registry import RULES
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
Split = dict[str, Tensor]
N = 400
FALLING = {"losses": {"total": np.linspace(2.0, 0.1, 60), "loss": np.linspace(2.0, 0.1, 60)}}


def labels(score: Tensor, classes: int = 3) -> Tensor:
    """Classes by the ranks of a score, so that there are equally many of each."""
    return score.argsort().argsort() * classes // len(score)


def tabular(x: Tensor) -> Split:
    return {"x": x, "target": labels(((x - x.mean(0)) / x.std(0).clamp(min=1e-9)).sum(1))}


def image(low: float, high: float, channels: int = 1) -> Callable[[Generator], Split]:
    def make(g: Generator) -> Split:
        classes = torch.randint(0, 4, (N,), generator=g)
        pixels = 0.3 * torch.rand(N, channels, 8, 8, generator=g)
        pixels[torch.arange(N), :, 2 * classes] += 0.6
        return {"x": low + (high - low) * pixels, "target": classes}

    return make


def flags(g: Generator) -> Split:
    x = torch.cat([torch.randn(N, 3, generator=g), (torch.rand(N, 3, generator=g) < 0.1).float()], 1)
    return tabular(x)


def one_hot(g: Generator) -> Split:
    codes = torch.randint(0, 12, (N,), generator=g)
    return {"x": F.one_hot(codes, 12).float(), "target": codes % 3}


def unit_norm(g: Generator) -> Split:
    centres = F.normalize(torch.randn(4, 512, generator=g), dim=1)
    classes = torch.randint(0, 4, (N,), generator=g)
    return {"x": F.normalize(centres[classes] + 0.05 * torch.randn(N, 512, generator=g), dim=1), "target": classes}


def log_mel(g: Generator) -> Split:
    classes = torch.randint(0, 4, (N,), generator=g)
    power = torch.distributions.Exponential(torch.ones(())).sample((N, 20, 16)) + 1e-9
    power[torch.arange(N), :, 4 * classes] *= 50
    return {"x": 10 * power.log10() - 30, "target": classes}


def counts(g: Generator) -> Split:
    return tabular(torch.poisson(torch.full((N, 4), 1.5), generator=g).clamp(max=5))


def ages(g: Generator) -> Split:
    return tabular(torch.cat([torch.randint(18, 90, (N, 1), generator=g).float(), torch.randn(N, 3, generator=g)], 1))


def percentages(g: Generator) -> Split:
    return tabular(100 * torch.rand(N, 3, generator=g))


def lognormal(g: Generator) -> Split:
    return tabular(torch.randn(N, 3, generator=g).exp())


def bag_of_words(g: Generator) -> Split:
    rates = 2.0 / torch.arange(1, 101)
    classes = torch.randint(0, 2, (N,), generator=g)
    x = torch.poisson(rates.expand(N, 100), generator=g)
    x[:, 50] += 2 * classes
    return {"x": x, "target": classes}


def student(g: Generator) -> Split:
    return tabular(torch.from_numpy(np.random.default_rng(g.initial_seed()).standard_t(3, size=(N, 4))).float())


def regression(g: Generator) -> Split:
    x = torch.randn(N, 4, generator=g)
    return {"x": x, "target": x.sum(1, keepdim=True) + 0.1 * torch.randn(N, 1, generator=g)}


def prices(g: Generator) -> Split:
    x = torch.randn(N, 4, generator=g)
    return {"x": x, "target": 22 + 9 * torch.tanh(x.sum(1, keepdim=True))}


def waves(g: Generator) -> Split:
    phase, pace = 6.3 * torch.rand(N, 1, 1, generator=g), 0.2 + torch.rand(N, 1, 1, generator=g)
    x = torch.sin(pace * torch.arange(24.0).view(1, -1, 1) + phase)
    return {"x": x, "target": torch.sin(pace * 24 + phase).squeeze(1)}


def parity(g: Generator) -> Split:
    bits = torch.randint(0, 2, (N, 8), generator=g).float()
    return {"x": 2 * bits - 1, "target": bits.sum(1).long() % 2}


def components(g: Generator) -> Split:
    """Principal components: deviations from 3 down to 0.01, as they are meant to be."""
    return tabular(torch.randn(N, 10, generator=g) * torch.logspace(0.5, -2, 10))


HEALTHY: dict[str, Callable[[Generator], Split]] = {
    "standardized": lambda g: tabular(torch.randn(N, 6, generator=g)),
    "images in 0..1": image(0, 1),
    "images in -1..1": image(-1, 1, 3),
    "images standardized": image(-2, 2.5, 3),
    "one-hot": one_hot,
    "flags": flags,
    "unit norm": unit_norm,
    "log-mel in decibels": log_mel,
    "counts 0..5": counts,
    "ages": ages,
    "percentages": percentages,
    "lognormal": lognormal,
    "bag of words": bag_of_words,
    "student t": student,
    "regression": regression,
    "prices in thousands": prices,
    "waves": waves,
    "parity": parity,
    "principal components": components,
}


def found(recording: Recording) -> list[str]:
    """Findings of the rules of the data."""
    answers = {rule.code: rule.judge(recording) for rule in RULES if rule.code.startswith("PF3")}
    return [f"{code}: {item.message}" for code, item in answers.items() if isinstance(item, Finding)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_data_is_left_alone(name: str, seed: int, data_seen: DataSeen) -> None:
    torch.manual_seed(seed)
    train, validation = (HEALTHY[name](torch.Generator().manual_seed(2 * seed + side)) for side in (0, 1))
    assert found(data_seen(train, validation, params={"shuffle": False}, tables=FALLING)) == []


@pytest.mark.parametrize("size", [1, 4, 20, 60])
def test_few_samples_accuse_nobody(size: int, data_seen: DataSeen) -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(size, 1)
    part = {"x": x, "target": (x[:, 0] != x[:, 1]).long()}
    assert found(data_seen(part, part, params={"shuffle": False, "batch_size": 4})) == []


def test_tokens_of_an_embedding_are_no_numbers(data_seen: DataSeen) -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(1000, 8), nn.Linear(8, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.table(tokens).mean(1))

    tokens = torch.randint(0, 1000, (N, 20), generator=torch.Generator().manual_seed(0))
    part = {"token_id": tokens, "target": (tokens[:, 0] > 500).long()}
    validation = {"token_id": tokens.flip(1), "target": (tokens[:, -1] > 500).long()}
    assert found(data_seen(part, validation, Bag)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    mean=st.floats(-1, 1),
    std=st.floats(0.2, 3),
    width=st.integers(1, 80),
    seed=st.integers(0, 1000),
    shape=st.sampled_from(["normal", "uniform", "exponential", "signs"]),
)
def test_any_shape_of_ordinary_size_is_left_alone(
    mean: float, std: float, width: int, seed: int, shape: str, data_seen: DataSeen
) -> None:
    g = torch.Generator().manual_seed(seed)
    draws: dict[str, Any] = {
        "normal": lambda: torch.randn(2 * N, width, generator=g),
        "uniform": lambda: 3.46 * (torch.rand(2 * N, width, generator=g) - 0.5),
        "exponential": lambda: -torch.rand(2 * N, width, generator=g).clamp(min=1e-9).log() - 1,
        "signs": lambda: torch.randint(0, 2, (2 * N, width), generator=g) * 2.0 - 1,
    }
    x = mean + std * draws[shape]()
    whole = tabular(x)
    train, validation = ({name: item[part] for name, item in whole.items()} for part in (slice(N), slice(N, None)))
    assert found(data_seen(train, validation)) == []
