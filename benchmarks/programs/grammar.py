"""A small transformer that predicts the next token of a generated language."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import Data

TOKENS, LENGTH, SAMPLES, TRAIN_SIZE, WIDTH, HEADS = 24, 10, 2000, 1600, 32, 4
CHANCES = (0.75, 0.2, 0.05)


@lru_cache(maxsize=1)
def sentences() -> Data:
    """Tokens ``[N, 10]`` of a Markov chain with three successors each, and the tokens that follow them."""
    rng = np.random.default_rng(11)
    successors = np.stack([rng.permutation(TOKENS)[:3] for _ in range(TOKENS)])
    text = np.empty((SAMPLES, LENGTH + 1), dtype=np.int64)
    text[:, 0] = rng.integers(TOKENS, size=SAMPLES)
    for place in range(LENGTH):
        text[:, place + 1] = successors[text[:, place], rng.choice(3, p=CHANCES, size=SAMPLES)]
    tokens = torch.tensor(text)
    inputs, following = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    return (inputs[:TRAIN_SIZE], following[:TRAIN_SIZE]), (inputs[TRAIN_SIZE:], following[TRAIN_SIZE:])


class Block(nn.Module):
    """Attention to the tokens before, and a perceptron; ``[B, T, D]`` in and out."""

    def __init__(self, norm_first: bool, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def attend(self, values: Tensor) -> Tensor:
        """Causal self-attention."""
        query, key, value = self.mix(values).unflatten(2, (3 * HEADS, -1)).transpose(1, 2).chunk(3, dim=1)
        return self.out(F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2))

    def forward(self, values: Tensor) -> Tensor:
        """Both parts with their residuals."""
        parts: tuple[Callable[[Tensor], Tensor], ...] = (self.attend, self.mlp)
        for part, norm in zip(parts, self.norms, strict=True):
            if self.norm_first:
                values = values + self.dropout(part(norm(values)))
            else:
                values = norm(values + self.dropout(part(values)))
        return values


class Transformer(nn.Module):
    """Tokens ``[B, T]`` -> logits ``[B, T, 24]``, each from the tokens up to it."""

    def __init__(
        self,
        layers: int = 1,
        norm_first: bool = True,
        dropout: float = 0.0,
        scale: float = 1.0,
        embedding: float = 1.0,
        behind: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.ModuleList(Block(norm_first, dropout) for _ in range(layers))
        self.head = nn.Linear(WIDTH, TOKENS)
        self.behind = behind
        with torch.no_grad():
            self.embedding.weight.mul_(embedding)
            for parameter in self.blocks.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at every place."""
        values = self.embedding(tokens) + self.places
        for block in self.blocks:
            values = block(values)
        logits = self.head(values)
        return logits if self.behind is None else self.behind(logits)


def next_token(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of ``output[B, T, C]``, mean over all places."""
    return F.cross_entropy(output.transpose(1, 2), target)


def _summed(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.transpose(1, 2), target, reduction="sum")


def task(**options: Any) -> Training:
    """AdamW at 3e-3 after a tenth of warmup."""
    return Training(
        factory=partial(Transformer, **options),
        data=sentences,
        losses={"next_token": next_token},
        baseline={"lr": 3e-3, "batch_size": 32, "warmup_steps": 20, "clip_norm": 1.0},
        optimizer=torch.optim.AdamW,
        horizon_steps=200,
    )


BASE = Base(
    "grammar",
    "transformer",
    task,
    variants={"pre_norm": {}, "post_norm": {"norm_first": False}, "two_layers_dropout": {"layers": 2, "dropout": 0.1}},
    rates={"sgd": (0.1, 0.2), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


def _other_language() -> Data:
    """The validation sentences use half of the tokens only, in an order of their own."""
    train, (tokens, following) = sentences()
    return train, (tokens % 5, following % 5)


def _unrelated() -> Data:
    (tokens, following), validation = sentences()
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(5))
    return (tokens, following[order]), validation


def _frozen() -> nn.Module:
    model = Transformer()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("blocks"))
    return model


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "AdamW at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "AdamW at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "warmup_of_the_run",
        "the warmup is as long as the run, at a peak of 1e-3",
        ("PF204",),
        lambda: task().but(lr=1e-3, warmup_steps=200),
    ),
    _case(
        "warmup_of_16000",
        "a warmup of 16,000 steps in a run of 200 (after Lightning #1476)",
        ("PF204",),
        lambda: task().but(warmup_steps=16000),
    ),
    _case(
        "no_warmup",
        "six layers of post-norm, Adam at 0.02 without warmup or clipping",
        ("PF205", "PF201"),
        lambda: task(norm_first=False, layers=6).but(
            lr=0.02, warmup_steps=0, clip_norm=None, optimizer=torch.optim.Adam
        ),
    ),
    _case(
        "summed_over_tokens",
        "the loss is summed over 320 tokens, with SGD 0.1",
        ("PF406",),
        lambda: task().but(optimizer=torch.optim.SGD, lr=0.1, clip_norm=None, losses={"next_token": _summed}),
    ),
    _case(
        "large_init",
        "weights of the blocks begin 30 times as large",
        ("PF107",),
        lambda: task(scale=30.0, norm_first=False),
    ),
    _case(
        "large_embedding", "embeddings begin at a deviation of 300", ("PF107", "PF405"), lambda: task(embedding=300.0)
    ),
    _case(
        "other_language",
        "validation sentences use 5 of 24 tokens",
        ("PF306",),
        lambda: task().but(data=_other_language),
    ),
    _case("unrelated_targets", "targets belong to other sentences", ("PF310",), lambda: task().but(data=_unrelated)),
    _case(
        "double_softmax",
        "a softmax in the model, and another in the cross-entropy",
        ("PF408",),
        lambda: task(behind=partial(torch.softmax, dim=-1)),
    ),
    _case("frozen_blocks", "the transformer blocks are frozen", ("PF104",), lambda: task().but(factory=_frozen)),
    _case(
        "clipped_to_1e-5",
        "gradients are clipped to a norm of 1e-5, with SGD",
        ("PF105",),
        lambda: task().but(optimizer=torch.optim.SGD, lr=0.1, clip_norm=1e-5),
    ),
)
