"""Where a decay is over before the run is: the rate comes back, or nothing is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preflight.probes.lengths import Length
from preflight.rules.pf206_scheduler_unit import CYCLE, DECAY
from preflight.tasks.schedules import Array

# Of the peak: nothing is trained by less. The last step of a cosine over 1,000 has more.
NOTHING = 1e-6
# Of the way between peak and low: what lies nearer to either is there, and what differs by less is the same.
NEAR = 0.01
ALIKE = 0.1


def early_end(lrs: Array, lengths: Sequence[Length]) -> dict[str, Any] | None:
    """``{over, advances, risen, idle, name, value}`` of ``lrs[A]``, the rates after 0 to A - 1 advances of a run.

    ``over`` is the advance at which the decay has ended; ``risen`` the share of its way that the rate has come back by
    the end of the run, and ``idle`` the share of the run that has next to no rate. ``name`` and ``value`` are the
    length of the decay, where it has one. None where it lasts, and for cycles, which come back by design.
    """
    decays = [length for length in lengths if length.role == DECAY]
    longest = max(decays, key=lambda length: length.value, default=None)
    if len(lrs) < 2 or lrs.max() <= 0 or any(length.role == CYCLE for length in lengths):
        return None
    left = np.flatnonzero(lrs > NOTHING * lrs.max())[-1] + 1
    over, risen = (int(left), 0.0) if left < len(lrs) else _turn(lrs, any(_is_cosine(length) for length in decays))
    if over is None or (risen and longest is None):
        return None
    return {
        "over": over,
        "advances": len(lrs),
        "risen": risen,
        "idle": 1 - float(left) / len(lrs),
        "name": None if longest is None else longest.name,
        "value": None if longest is None else longest.value,
    }


def _is_cosine(length: Length) -> bool:
    return length.name.startswith("CosineAnnealingLR.")


def _turn(lrs: Array, is_cosine: bool) -> tuple[int | None, float]:
    """The advance at which the rate turns to come back as it went, and how far it has come by the end.

    Torch's cosine does so for ever; of a function, more than one turn is a cycle that someone wrote.
    """
    peak = float(lrs.max())
    first = int(np.flatnonzero(lrs >= (1 - NEAR) * peak)[0])
    low = float(lrs[first:].min())
    span = peak - low
    if low > peak / 2:
        return None, 0.0
    is_low = lrs[first:] <= low + NEAR * span
    begin = first + int(is_low.argmax())
    stretch = begin + (int((~is_low[begin - first :]).argmax()) or len(lrs) - begin)
    turn = begin + int(lrs[begin:stretch].argmin())
    top = int(np.flatnonzero(lrs[:turn] >= peak - NEAR * span)[-1])
    reach = min(turn - top, len(lrs) - 1 - turn)
    there, back = lrs[turn - reach : turn + 1][::-1], lrs[turn : turn + reach + 1]
    turns = int((np.diff(is_low.astype(int)) == 1).sum())
    if reach == 0 or np.abs(there - back).max() > ALIKE * span or (turns > 1 and not is_cosine):
        return None, 0.0
    return turn, float(lrs[-1] - low) / span
