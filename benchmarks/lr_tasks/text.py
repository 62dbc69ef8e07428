"""A small transformer reads the standard library's own help, character by character; a warmup, then a line to zero."""

from __future__ import annotations

from functools import partial
from pydoc_data.topics import topics
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.lr_tasks.base import Batch, LrTask, NamedLoss

LENGTH, DIM, HEADS, LAYERS = 24, 32, 2, 2
TRAIN, VALIDATION = 8000, 500
# Printable ASCII; every other character is read as the first of them.
CODES = 96


class Reader(nn.Module):
    """``characters[B, L]`` -> logits of the next character ``[B, codes, L]``."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Embedding(CODES, DIM)
        self.places = nn.Embedding(LENGTH, DIM)
        layer = nn.TransformerEncoderLayer(DIM, HEADS, 4 * DIM, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(DIM, CODES)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH), persistent=False)

    def forward(self, characters: Tensor) -> Tensor:
        """Layers with a norm after each residual, which is what asks for a warmup (arXiv 2002.04745)."""
        x = self.codes(characters) + self.places.weight
        return cast(Tensor, self.head(self.layers(x, mask=self.mask)).transpose(1, 2))


def load_data() -> tuple[Batch, Batch]:
    """Pieces of the text, the validation ones from its end."""
    text = "".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")
    read = (torch.frombuffer(bytearray(text), dtype=torch.uint8).long() - 31).clamp(0, CODES - 1)
    pieces = read[: len(read) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)
    return _split(pieces[:TRAIN]), _split(pieces[-VALIDATION:])


def _split(pieces: Tensor) -> Batch:
    return {"characters": pieces[:, :-1].contiguous(), "next": pieces[:, 1:].contiguous()}


TASK = LrTask(
    name="text_transformer",
    model=Reader,
    data=load_data,
    losses=(NamedLoss("cross_entropy", F.cross_entropy),),
    inputs=("characters",),
    targets=("next",),
    optimizer=partial(torch.optim.AdamW, fused=True),
    batch_size=8,
    horizon_steps=800,
    schedule="linear",
    warmup_fraction=0.1,
)
