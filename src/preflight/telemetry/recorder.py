"""Records one trial on the device, and moves it to the host once per chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from preflight.telemetry.chunk import Array, Chunk, Layout, concatenate
from preflight.telemetry.geometry import GEOMETRY, MAX_ROWS, geometry

# Norm of a gradient that a parameter did not get in a step; only a whole trial shows whether it ever gets one.
ABSENT = -1.0
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Cadence:
    """How often what is recorded: gradients and losses every step, weight deltas and head statistics more rarely."""

    chunk_steps: int = 25
    deltas_every_steps: int = 10


class Recorder:
    """Call :meth:`gradients` after backward and :meth:`updated` after the optimizer's step.

    Nothing in a step waits for the device: a row is written into preallocated columns, and :meth:`flush` moves all
    rows in one transfer.
    """

    def __init__(
        self,
        parameters: Sequence[tuple[str, Tensor]],
        components: Mapping[str, str],
        losses: Sequence[str],
        cadence: Cadence = Cadence(),  # frozen
        head: Tensor | None = None,
    ) -> None:
        self._tensors = [tensor for _, tensor in parameters]
        self._head = head
        self.cadence = cadence
        names = tuple(name for name, _ in parameters)
        self.layout = Layout(
            parameters=names,
            components=tuple(components[name] for name in names),
            sizes=tuple(tensor.numel() for tensor in self._tensors),
            losses=tuple(losses),
            first_weight_norms=tuple(torch.stack(_norms([item.detach() for item in self._tensors])).tolist()),
        )
        device = self._tensors[0].device
        rows = cadence.chunk_steps
        self._norms = torch.full((rows, len(names)), torch.nan, device=device)
        self._deltas = torch.full((rows, len(names)), torch.nan, device=device)
        self._weights = torch.full((rows, len(names)), torch.nan, device=device)
        self._losses = torch.full((rows, len(losses) + 1), torch.nan, device=device)
        self._heads = torch.full((rows, 4), torch.nan, device=device)
        self._rows = torch.empty(0, dtype=torch.long, device=device) if head is None else _spread(len(head), device)
        samples = rows // cadence.deltas_every_steps + 1
        self._cosines = torch.full((samples, len(self._rows), len(self._rows)), torch.nan, device=device)
        self._sampled: list[int] = []
        self._snapshot = [tensor.detach().clone() for tensor in self._tensors]
        self._with_grad: tuple[list[int], Tensor] = ([], torch.empty(0, dtype=torch.long, device=device))
        self._lrs: list[list[float]] = []
        self._row = 0
        self._step = 0
        self._chunks: list[Chunk] = []

    @property
    def full(self) -> bool:
        """Whether the chunk has to be flushed before the next step."""
        return self._row == self.cadence.chunk_steps

    @property
    def pending(self) -> bool:
        """Whether there are rows that were not flushed."""
        return self._row > 0

    @torch.no_grad()
    def gradients(self, total: Tensor, components: Sequence[Tensor], lrs: Sequence[float]) -> None:
        """Record a step after backward, before clipping: ``total[]`` and ``components[]`` are scalars on the device."""
        self._losses[self._row] = torch.stack([total.detach(), *(item.detach() for item in components)]).float()
        grads = [(index, _values(tensor.grad)) for index, tensor in enumerate(self._tensors) if tensor.grad is not None]
        self._lrs.append(list(lrs))
        row = self._norms[self._row]
        if len(grads) == len(self._tensors):
            row.copy_(torch.stack(_norms([grad for _, grad in grads])))
            return
        row.fill_(ABSENT)
        if grads:
            norms = torch.stack(_norms([grad for _, grad in grads])).float()
            row.index_copy_(0, self._columns([index for index, _ in grads]), norms)

    @torch.no_grad()
    def updated(self) -> None:
        """Record what the optimizer changed."""
        self._row += 1
        self._step += 1
        if self._step % self.cadence.deltas_every_steps:
            return
        _subtract_(self._snapshot, self._tensors)
        self._deltas[self._row - 1] = torch.stack(_norms(self._snapshot)).float()
        _copy_(self._snapshot, self._tensors)
        self._weights[self._row - 1] = torch.stack(_norms(self._snapshot)).float()
        if self._head is not None:
            self._heads[self._row - 1] = _head_statistics(self._head)
            self._cosines[len(self._sampled)] = _cosines(self._head, self._rows)
            self._sampled.append(self._row - 1)

    def flush(self) -> Chunk:
        """Move the recorded rows to the host; the one moment that waits for the device."""
        rows = self._row
        columns = [self._losses, self._norms, self._deltas, self._heads, self._weights]
        cosines = self._cosines[: len(self._sampled)]
        flat = torch.cat([*(column[:rows].flatten() for column in columns), cosines.flatten()])
        host = flat.cpu().double().numpy()
        *parts, pairs = np.split(host, np.cumsum([rows * column.shape[1] for column in columns]))
        losses, norms, deltas, heads, weights = (part.reshape(rows, -1) for part in parts)
        first = self._step - rows
        lrs = np.array(self._lrs[:rows], dtype=np.float64)  # one more, where the optimizer's step failed
        shapes = self._geometry(rows, pairs.reshape(cosines.shape))
        chunk = Chunk(first, losses, norms, deltas, heads, lrs, weights, shapes)
        for column in columns:
            column.fill_(torch.nan)
        self._lrs, self._row, self._sampled = [], 0, []
        self._chunks.append(chunk)
        return _resolved(chunk)

    def history(self) -> Chunk:
        """Everything flushed so far, as one chunk."""
        return _resolved(concatenate(self._chunks, self.layout))

    def _geometry(self, rows: int, cosines: Array) -> Array:
        """Geometry of the head ``[rows, 5]``, of its ``cosines[K, N, N]`` in the rows that were sampled."""
        found = np.full((rows, len(GEOMETRY)), np.nan)
        if self._head is not None:
            found[self._sampled] = geometry(cosines, self._head.flatten(1).shape[1])
        return found

    def _columns(self, used: list[int]) -> Tensor:
        """``used`` as an index on the device, made again only when another set of parameters has a gradient."""
        if used != self._with_grad[0]:
            self._with_grad = (used, torch.tensor(used, device=self._norms.device))
        return self._with_grad[1]


def _resolved(chunk: Chunk) -> Chunk:
    """Absent gradients as zero where the parameter gets one in another step, and as NaN where it never does.

    A gradient that is NaN in every step must not look like one that never came: it becomes infinite.
    """
    absent, broken = chunk.norms == ABSENT, np.isnan(chunk.norms).all(axis=0)
    norms = np.where(absent, np.where(absent.all(axis=0), np.nan, 0.0), chunk.norms)
    return replace(chunk, norms=np.where(broken, np.inf, norms))


def _values(gradient: Tensor) -> Tensor:
    """What a norm is taken of: of a sparse gradient, as an embedding may have it, rows that came twice are one."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


# The _foreach_ functions are private, and several times faster than a loop: use them where they exist.
def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """L2 norm of each tensor, as scalars on the device; a half-precision norm would end at 65504."""
    tensors = [tensor.float() if tensor.dtype in HALF else tensor for tensor in tensors]
    if hasattr(torch, "_foreach_norm"):
        return list(torch._foreach_norm(tensors))
    return [torch.linalg.vector_norm(tensor) for tensor in tensors]


def _subtract_(left: list[Tensor], right: list[Tensor]) -> None:
    if hasattr(torch, "_foreach_sub_"):
        torch._foreach_sub_(left, right)
    else:
        for a, b in zip(left, right, strict=True):
            a.sub_(b)


def _copy_(into: list[Tensor], source: list[Tensor]) -> None:
    if hasattr(torch, "_foreach_copy_"):
        torch._foreach_copy_(into, source)
    else:
        for a, b in zip(into, source, strict=True):
            a.copy_(b)


def _head_statistics(weight: Tensor) -> Tensor:
    """Mean, deviation, mean row norm and deviation of row norms of ``weight[C, D]``."""
    rows = torch.linalg.vector_norm(weight.detach().flatten(1).float(), dim=1)
    values = weight.detach().float()
    return torch.stack([values.mean(), values.std(), rows.mean(), rows.std(correction=0)])


def _spread(rows: int, device: torch.device) -> Tensor:
    """Numbers of at most :data:`MAX_ROWS` rows, spread evenly over all."""
    return torch.linspace(0, rows - 1, min(rows, MAX_ROWS), device=device).round().long()


def _cosines(weight: Tensor, rows: Tensor) -> Tensor:
    """Cosine between each pair of the chosen ``rows[N]`` of ``weight[C, D]``; zero with a row of zeros."""
    chosen = torch.nn.functional.normalize(weight.detach().flatten(1)[rows].float(), dim=1)
    return chosen @ chosen.T
