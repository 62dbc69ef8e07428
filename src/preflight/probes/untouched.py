"""A user's model may share more than its parameters between its copies: what a probe's batch changes is put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

# Nodes of the graph behind a loss that are walked through; a model that unrolls further is judged by these.
MAX_NODES = 200_000


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Train mode inside, as in a trial; buffers and each module's own mode as they were afterwards.

    Compiled modules run as they were written: one batch is not worth a compilation, and hooks are called.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    try:
        network.train()
        # Where nothing was compiled, the compiler is not even imported, which takes seconds.
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def backward(total: Tensor) -> Iterator[list[Tensor]]:
    """Gradients of ``total`` inside, where nothing had one; gives the leaves that it reaches, and clears them after.

    A loss with parameters of its own is made once and serves every trial, so its gradients are put back.
    """
    leaves = leaves_of(total)
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        total.backward()
        yield leaves
    finally:
        for leaf, gradient in zip(leaves, before, strict=True):
            leaf.grad = gradient


def leaves_of(total: Tensor) -> list[Tensor]:
    """Tensors that ``total`` hands a gradient to, each once."""
    found: dict[int, Tensor] = {}
    seen = {total.grad_fn}
    waiting = [total.grad_fn]
    while waiting and len(seen) < MAX_NODES:
        node = waiting.pop()
        if node is None:
            continue
        if (leaf := getattr(node, "variable", None)) is not None:
            found[id(leaf)] = leaf
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return list(found.values())
