"""Samples that both splits hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from preflight.tasks.data import Batch, InMemory, Source

# Bytes of a split that are compared, so that it takes a second at most.
MAX_BYTES = 2**28
CHUNK = 1024


def look_at_overlap(
    train: Source, validation: Source, seen: tuple[Batch, Batch], inputs: Sequence[str]
) -> dict[str, Any]:
    """``{samples, shared, repeated, distinct}``: how many validation samples were compared, the share of them whose
    inputs are those of a training sample to the last bit, the share of the training samples whose inputs are those of
    an earlier one, and how many different ones there are. Empty where not all training samples could be compared.

    ``seen`` are the samples looked at of either split, which is all there is of data that is not in memory.
    """
    wanted = [item for item in inputs if item in seen[0]]
    ours = _rows(train, seen[0], wanted)
    theirs = _rows(validation, seen[1], wanted)
    if ours is None or theirs is None or len(next(iter(ours.values()))) < len(train):
        return {}
    first, second = _hashes(ours), _hashes(theirs)
    known = set(first)
    return {
        "samples": len(second),
        "shared": sum(item in known for item in second) / len(second),
        "repeated": 1 - len(known) / len(first),
        "distinct": len(known),
    }


def _rows(source: Source, seen: Batch, inputs: Sequence[str]) -> Batch | None:
    """The input fields of a split, or of what was looked at; None where they are too large."""
    tensors = source.tensors if isinstance(source, InMemory) else seen
    chosen = {name: tensors[name] for name in inputs}
    size = sum(tensor.numel() * tensor.element_size() for tensor in chosen.values())
    return chosen if chosen and size <= MAX_BYTES else None


def _hashes(fields: Batch) -> list[int]:
    size = len(next(iter(fields.values())))
    found: list[int] = []
    for start in range(0, size, CHUNK):
        parts = [_bytes(tensor[start : start + CHUNK]) for tensor in fields.values()]
        found += [hash(row.tobytes()) for row in torch.cat(parts, dim=1).numpy()]
    return found


def _bytes(rows: Tensor) -> Tensor:
    """``rows[B, ...]`` as bytes ``[B, N]``."""
    return rows.detach().cpu().contiguous().flatten(1 if rows.ndim > 1 else 0).reshape(len(rows), -1).view(torch.uint8)
