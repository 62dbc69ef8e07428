from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflight.tasks import memory
from preflight.tasks.memory import MOST_BYTES, UNKNOWN_BYTES, available_bytes, is_out_of_memory, room_bytes

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 16 GiB available, and no container."""
    limits = (tmp_path / "max", tmp_path / "current")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINERS", (limits,))
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {16 * 2**20} kB\n")
    return tmp_path


def test_a_quarter_of_what_is_available_is_shared_by_all_processes(machine: Path) -> None:
    assert available_bytes() == 16 * GIB
    assert (room_bytes(), room_bytes(4)) == (4 * GIB, GIB)


def test_a_large_machine_is_not_filled(machine: Path) -> None:
    (machine / "meminfo").write_text(f"MemAvailable: {2**30} kB\n")
    assert room_bytes() == MOST_BYTES


def test_a_container_has_what_its_limit_leaves(machine: Path) -> None:
    (machine / "current").write_text(f"{GIB}\n")
    (machine / "max").write_text(f"{3 * GIB}\n")
    assert available_bytes() == 2 * GIB
    (machine / "max").write_text("max\n")
    assert available_bytes() == 16 * GIB


def test_a_machine_that_does_not_tell_is_asked_otherwise(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "meminfo").unlink()
    monkeypatch.setattr(memory.os, "sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available_bytes() == 40960

    def refuse(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(memory.os, "sysconf", refuse)
    assert available_bytes() == UNKNOWN_BYTES


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("sizes do not match"))
