"""Where a benchmark that trains keeps its runs, on one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def measuring(runs: Path | None) -> Iterator[Path]:
    """``runs``, or a folder that goes afterwards; small models are slower with more than one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            yield runs or Path(scratch)
    finally:
        torch.set_num_threads(threads)
