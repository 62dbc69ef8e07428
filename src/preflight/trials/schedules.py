"""Learning-rate schedules as factors of the peak."""

from __future__ import annotations

import math


def lr_factor(step: int, steps: int, warmup_fraction: float, schedule: str) -> float:
    """Factor in (0, 1] for optimizer step ``step`` (from 0) of a run of ``steps``.

    Linear warmup from one warmup step's share to the peak, then constant, or decaying to zero at the end of the run
    by a cosine (SGDR, arXiv 1608.03983) or a line. A warmup longer than the run never reaches the peak.
    """
    warmup = round(warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if schedule == "linear" else 1.0
