"""What is still there after each of a few steps on one batch: bytes of tensors, and nodes of graphs."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from preflight.probes.training_step import take_step, wait_for
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask

# Steps of one size, after which memory should stay where it is.
STEPS = 8
LIMIT_S = 3.0


def left_after_steps(task: PyTorchTask, job: Job, batch: Batch) -> dict[str, list[int]]:
    """``after_steps``: bytes that are held after each step; ``nodes_after_steps``: nodes of graphs that are.

    On an accelerator the bytes are what its allocator has given out, on the CPU those of all tensors that were made
    since. Both are counted after a garbage collection: what waits for one is not kept.
    """
    held: list[int] = []
    nodes: list[int] = []
    is_cuda, started = task.device.type == "cuda", time.perf_counter()
    with _only_new_objects(), nullcontext() if is_cuda else _seen_by_python():
        while len(held) < STEPS and time.perf_counter() - started < LIMIT_S:
            take_step(job, task, batch)
            wait_for(task.device)
            gc.collect()
            alive = _tensors_alive()
            held.append(torch.cuda.memory_allocated(task.device) if is_cuda else _bytes_of(alive))
            nodes.append(_nodes_of(alive))
            del alive
    return {"after_steps": held, "nodes_after_steps": nodes}


@contextmanager
def _only_new_objects() -> Iterator[None]:
    """Leave what is there already out of collections, and out of what they know: both take no time then."""
    if gc.get_freeze_count():  # someone else's, who would not have it thawed
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _seen_by_python() -> AbstractContextManager[object]:
    """What is saved for the backward pass lives in objects of Python's; detached, for a graph must not own itself."""
    return torch.autograd.graph.saved_tensors_hooks(Tensor.detach, lambda tensor: tensor)


def _tensors_alive() -> list[Tensor]:
    # By its type: asked for its class, an object that stands for another may import or raise.
    return [item for item in gc.get_objects() if issubclass(type(item), Tensor)]


def _bytes_of(tensors: Sequence[Tensor]) -> int:
    """Bytes of their storages, each once."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        try:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        except (NotImplementedError, RuntimeError):  # a sparse tensor, or one that has no memory
            continue
    return sum(sizes.values())


def _nodes_of(tensors: Sequence[Tensor]) -> int:
    """Nodes of the graphs that the tensors were computed by."""
    found = {tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None}
    left = list(found)
    while left:
        for node, _ in left.pop().next_functions:
            if node is not None and node not in found:
                found.add(node)
                left.append(node)
    return len(found)
