"""What passes through a model before training: signals and gradients by depth, dead and saturated units."""

from __future__ import annotations

from typing import Any

import torch

from preflight.core.params import Params
from preflight.probes.signals import Watch
from preflight.probes.steps import targets_of, weighted
from preflight.probes.untouched import backward, untouched
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# A unit that is zero for so many samples hardly ever wakes; a batch may be much smaller.
SAMPLES, MAX_BATCHES = 256, 32


def look_at_activations(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Fact ``activations``: of every module that calls no other, and of activation functions, in forward order.

    Each is ``{module, type, depth, weighted, mean, std, sample_std, zeros, saturated, dead_units, units, samples,
    gradient_std}`` at initialisation, on today's first batches (as many as make :data:`SAMPLES` samples), in train
    mode: ``sample_std`` is the deviation of a unit between samples and positions, averaged over the units in
    squares; ``zeros`` and ``saturated`` are shares of the values (``saturated`` only of functions that have an end:
    tanh, sigmoid and the like); ``dead_units`` are zero for every sample; ``weighted`` says whether the module has a
    weight matrix; ``gradient_std`` is the deviation about zero of the loss's gradient on the output, of the first
    batch. A value that cannot be measured is left out, and all of it where the model cannot be run like this.
    What happens inside a recurrent or attention module, or in functions other than the common activations, is not
    seen.
    """
    with seeded(seed, task.device):
        job = task.job(params)
        batches = task.batches(params, seed)
        watch = Watch(job.network.model)  # type: ignore[arg-type]  # torch types every child as Tensor | Module
        seen = 0
        with untouched(job.network):
            while seen < SAMPLES and seen < MAX_BATCHES * params.batch_size:
                batch = next(batches)
                with torch.set_grad_enabled(not seen):
                    with watch:
                        output = job.outputs(batch)
                    if not seen:
                        with backward(weighted(job, output, targets_of(task, batch))):
                            pass
                seen += len(next(iter(batch.values())))
    signals = watch.signals.values()
    return {"activations": [signal.facts() | {"depth": depth} for depth, signal in enumerate(signals)]}
