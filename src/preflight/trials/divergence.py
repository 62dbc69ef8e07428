"""Where a trial's losses or gradients ceased to be finite: step, culprit, batch and samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preflight.core.params import Params
from preflight.rules.predicates import first_nonfinite
from preflight.tasks.data import Data
from preflight.telemetry.chunk import Chunk, Layout
from preflight.trials.batch_order import nonfinite_samples, samples_of_step, steps_per_epoch
from preflight.trials.outcome import DIVERGED, Outcome

# Samples that an outcome names: enough to look at, and short in a table.
MAX_SAMPLES = 8


def find_divergence(chunk: Chunk, layout: Layout) -> Outcome | None:
    """Whether newly recorded rows say that the run is lost, and where that began.

    A row says by itself whether it is finite, so that rows which were looked at before need not be looked at again.
    """
    loss_row = first_nonfinite(chunk.losses)
    # A parameter without a gradient has NaN in every row; one whose gradient is NaN in every row has infinity.
    used = np.flatnonzero(~np.isnan(chunk.norms).all(axis=0))
    norms = chunk.norms[:, used]
    row = first_nonfinite(norms)
    # A finite loss may have a gradient that is not: that comes first, and the next loss shows it.
    if row is not None and (loss_row is None or row < loss_row):
        bad = used[~np.isfinite(norms[row])]
        parameter = layout.parameters[int(bad[-1])]  # backward reaches the last layer first
        return _diverged(f"the gradient of '{parameter}'", chunk.first_step + row, parameter)
    if loss_row is None:
        return None
    names = (*layout.losses, "total")  # the total is to blame where no single loss is
    finite = np.isfinite(np.roll(chunk.losses[loss_row], -1))
    loss = names[int(np.argmin(finite))]
    return _diverged(f"the loss '{loss}'", chunk.first_step + loss_row, loss)


def _diverged(what: str, step: int, culprit: str) -> Outcome:
    return Outcome(DIVERGED, f"{what} is not finite at step {step}", step=step, culprit=culprit)


def with_samples(outcome: Outcome, data: Data, params: Params, seed: int) -> Outcome:
    """The outcome with batch and samples of its step: the samples that are not finite themselves, if there are any."""
    assert outcome.step is not None
    numbers = samples_of_step(data, params, seed, outcome.step)
    try:
        broken = nonfinite_samples(data.train, numbers)
    except Exception:  # the user's data set, which may not be read twice
        broken = []
    named = tuple((broken or numbers.tolist())[:MAX_SAMPLES])
    reason = outcome.reason
    if broken:
        more = f" and {len(broken) - len(named)} more" if len(broken) > len(named) else ""
        reason += f"; values that are not finite are in the training samples {', '.join(map(str, named))}{more}"
    batch = outcome.step % steps_per_epoch(data, params.batch_size)
    return replace(outcome, reason=reason, batch=batch, samples=named)
