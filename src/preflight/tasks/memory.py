"""Memory of this machine: whether it ran out, and how much samples may take that are kept."""

from __future__ import annotations

import os
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
# (limit, used) of a container, in version 2 and version 1 of control groups.
CONTAINERS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
# Of what is available for samples: models, gradients and other programs need the rest.
SHARE = 0.25
# Beyond so much, of all processes together, the page cache of the file system serves as well.
MOST_BYTES = 8 * 2**30
# Where the machine does not tell.
UNKNOWN_BYTES = 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def room_bytes(processes: int = 1) -> int:
    """Bytes of samples that each of so many processes may keep, by what is available now."""
    return int(min(SHARE * available_bytes(), MOST_BYTES) / processes)


def available_bytes() -> int:
    """Memory that can be had without swapping, within the limit of a container."""
    found = [_of_machine(), *(_left(limit, used) for limit, used in CONTAINERS)]
    known = [size for size in found if size is not None]
    return min(known, default=UNKNOWN_BYTES)


def _of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:  # of systems without it, what is free although the file cache would give way
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _left(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is none, or it is "max"
        return None
