"""The user's training loader, made again: as they set it up, with another number of workers or another batch size."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from preflight.core.errors import TaskError
from preflight.tasks.reader import Reader


@dataclass(frozen=True)
class Readable(Dataset[Any]):
    """A data set in whose place of samples that cannot be read others come, as in trials."""

    reader: Reader

    def __getitem__(self, number: int) -> Any:
        return self.reader.fetch([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """A whole batch, at once where the data set can do that."""
        at_once = getattr(self.reader.samples, "__getitems__", None)
        if at_once is not None:
            try:
                return list(at_once(numbers))
            except Exception:  # the user's, whatever it is: by the single samples it is known which one
                return self.reader.fetch(numbers)
        return self.reader.fetch(numbers)

    def __len__(self) -> int:
        return len(self.reader)


class Endless(Sampler[int]):
    """Epoch after epoch of another sampler, so that no batch is short and no worker is started again."""

    def __init__(self, epoch: Sampler[int]) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from self._epoch


@contextmanager
def fed_by(
    loader: DataLoader[Any], *, workers: int, batch_size: int, seed: int, timeout_s: float
) -> Iterator[Iterator[Any]]:
    """Batches of the loader made again with so many workers, without end; the workers live as long as the block.

    Samples come in the same kind of order, by a generator of its own. A worker may take ``timeout_s`` for a batch.
    Raises :class:`TaskError` where the loader makes its batches in a way that cannot be made again.
    """
    if loader.batch_size is None:
        raise TaskError("the training loader makes its batches by a batch_sampler of its own")
    generator = torch.Generator().manual_seed(seed)
    of_workers: dict[str, Any] = {}
    if workers:
        of_workers = {
            "timeout": timeout_s,
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
            "in_order": loader.in_order,
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of more workers than cores: whether that helps is what is measured
        again = DataLoader(
            Readable(Reader(loader.dataset)),
            batch_size=batch_size,
            sampler=Endless(_order(loader, generator)),
            num_workers=workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            drop_last=loader.drop_last,
            worker_init_fn=loader.worker_init_fn,
            generator=generator,
            **of_workers,
        )
        batches = iter(again)
    try:
        yield batches
    finally:
        # An error of a worker holds its iterator, and so the others would live until the garbage is collected.
        getattr(batches, "_shutdown_workers", lambda: None)()


def _order(loader: DataLoader[Any], generator: torch.Generator) -> Sampler[int]:
    """The loader's sampler, its generator left to the user."""
    order: Any = copy.copy(loader.sampler)
    order.generator = generator
    return order  # type: ignore[no-any-return]
