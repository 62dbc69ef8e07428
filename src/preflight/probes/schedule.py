"""The learning-rate schedule, replayed without training: what is applied, against what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.probes.decay import early_end
from preflight.probes.lengths import lengths_of
from preflight.probes.warmup import before_peak, own_warmup
from preflight.rules.pf206_scheduler_unit import OTHER, STEP, unit_of
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.schedules import Array, Replay, interval_of, lr_factor, replay
from preflight.tasks.seeding import seeded

# Microseconds each.
MAX_STEPS = 1_000_000
SHOWN = 200
# Share of the largest distance between two curves that is still shown as such: the latest place is the plainest.
NEARLY = 0.95


def look_at_schedule(task: PyTorchTask, params: Params, seed: int, length: RunLength) -> dict[str, Any]:
    """``{"schedule": {...}}``: the rate at every step of the long run, of today's group whose ratio is nearest to 1.

    ``kind``, ``unit`` (step or epoch: how often it is advanced), ``steps``, ``epochs``, ``steps_per_epoch``, ``lr``,
    ``warmup_fraction``; ``lengths`` of the scheduler by name, the largest as ``length``, and ``length_unit_guess``,
    the unit that they count; ``applied`` and ``planned`` as ``[[step, lr], ...]``, means up to the next step, where
    planned is the same scheduler advanced in the unit that its lengths count; ``departs_at`` ``{step, epoch, planned,
    applied, gap}`` where they lie farthest apart (``gap`` over the planned peak), or None; ``peak``, ``end``,
    ``warmup_share`` (share of the run before the peak, 0 without a rise); ``warmup`` ``{name, advances, reached}``,
    its own length where that is known, and the share of its peak that the run reaches; ``decay``, see
    :func:`early_end`; ``groups`` ``[{ratio, peak}]``; ``error``, what it raised before the end.

    A scheduler that follows a metric, and one of a run beyond a million steps, has ``kind``, ``unit`` and a
    ``reason``.
    """
    unit, steps = interval_of(task, params), length.horizon_steps

    def replayed(advances: int) -> Replay | None:
        with seeded(seed, task.device):
            return replay(task, params, advances)

    def unknown(kind: str, reason: str) -> dict[str, Any]:
        return {"schedule": {"kind": kind, "unit": unit, "steps": steps, "reason": reason}}

    # Beyond the end, so that a corner there shows.
    found = replayed(steps + steps // 5 + 2 if steps <= MAX_STEPS else 0)
    kind = task.schedule if found is None else type(found.scheduler).__name__
    if steps > MAX_STEPS:
        return unknown(kind, f"the run has more than {MAX_STEPS} steps")
    if found is None:
        with seeded(seed, task.device):
            ratios = task.job(params).lr_ratios
        return {"schedule": {"kind": kind, **_preflights_own(task, params, length, ratios)}}
    if not found.is_free:
        return unknown(kind, f"{kind} follows a metric")
    look = _users_own(found, unit, params, length)
    group, advances = _plainest(found.ratios), _advances(unit, length)
    warmup = own_warmup(found, group, advances, lambda advances: replayed(advances) or found)
    return {"schedule": {"kind": kind, **look, "warmup": warmup}}


def _plainest(ratios: Sequence[float]) -> int:
    """The group whose ratio is nearest to 1."""
    return int(np.argmin(np.abs(np.log(ratios))))


def _advances(unit: str, length: RunLength) -> int:
    """How many rates a run has, from the one of no advance on."""
    return 1 + (length.horizon_steps - 1) // (1 if unit == STEP else length.steps_per_epoch)


def _users_own(found: Replay, unit: str, params: Params, length: RunLength) -> dict[str, Any]:
    steps, epoch = np.arange(length.horizon_steps + 1), length.steps_per_epoch
    group, advances = _plainest(found.ratios), _advances(unit, length)
    curves = {name: found.at_steps(steps, name, epoch) for name in OTHER}
    lengths = lengths_of(found.scheduler, found.lrs[:, group])
    guess = unit_of(
        [(item.value, item.role) for item in lengths],
        unit,
        length.horizon_steps,
        epoch,
        {name: _half_way(curve[:, group]) for name, curve in curves.items()},
    )
    applied, planned = curves[unit], curves[guess]
    return {
        **_common(unit, params, length, applied[:, group], planned[:, group]),
        "lengths": {item.name: item.value for item in lengths},
        "length": max((item.value for item in lengths), default=None),
        "length_unit_guess": guess,
        "groups": _groups(found.ratios, applied.max(axis=0)),
        # What it raises after the last step of the run is never met.
        "error": found.error if advances > len(found.lrs) else None,
        "decay": early_end(found.lrs[:advances, group], lengths),
    }


def _preflights_own(task: PyTorchTask, params: Params, length: RunLength, ratios: Sequence[float]) -> dict[str, Any]:
    total = length.horizon_steps
    factors = [lr_factor(step, total, params.warmup_fraction, task.schedule) for step in range(total + 1)]
    curve = params.lr * np.array(factors)
    return {
        **_common(STEP, params, length, curve, curve),
        "lengths": {},
        "length": total,
        "length_unit_guess": STEP,
        "groups": _groups(ratios, curve.max() * np.array(ratios)),
        "error": None,
        "decay": None,
        "warmup": _warmup_asked_for(params, total),
    }


def _warmup_asked_for(params: Params, steps: int) -> dict[str, Any] | None:
    asked = round(params.warmup_fraction * steps)
    return {"name": None, "advances": asked, "reached": min(1.0, steps / asked)} if asked else None


def _common(unit: str, params: Params, length: RunLength, applied: Array, planned: Array) -> dict[str, Any]:
    return {
        "unit": unit,
        "steps": length.horizon_steps,
        "epochs": length.horizon_steps / length.steps_per_epoch,
        "steps_per_epoch": length.steps_per_epoch,
        "lr": params.lr,
        "warmup_fraction": params.warmup_fraction,
        "applied": _thinned(applied),
        "planned": _thinned(planned),
        "departs_at": _departure(applied, planned, length.steps_per_epoch),
        "peak": float(applied.max()),
        "end": float(applied[-1]),
        "warmup_share": before_peak(applied) / (len(applied) - 1),
    }


def _groups(ratios: Sequence[float], peaks: Array) -> list[dict[str, float]]:
    return [{"ratio": float(ratio), "peak": float(peak)} for ratio, peak in zip(ratios, peaks, strict=True)]


def _half_way(curve: Array) -> float:
    """Largest rate of the second half, over the peak."""
    peak = curve.max()
    return float(curve[len(curve) // 2 :].max() / peak) if peak > 0 else 0.0


def _departure(applied: Array, planned: Array, steps_per_epoch: int) -> dict[str, float] | None:
    """Where the two first lie far apart: the last step there that is nearly as far as any."""
    gaps = np.abs(applied - planned)
    if planned.max() <= 0 or gaps.max() <= 0:
        return None
    first = int(np.argmax(gaps > gaps.max() / 2))
    nearer = np.flatnonzero(gaps[first:] <= gaps.max() / 2)
    stretch = gaps[first : first + nearer[0]] if len(nearer) else gaps[first:]
    place = first + int(np.flatnonzero(stretch >= NEARLY * stretch.max())[-1])
    return {
        "step": place,
        "epoch": place / steps_per_epoch,
        "planned": float(planned[place]),
        "applied": float(applied[place]),
        "gap": float(gaps[place] / planned.max()),
    }


def _thinned(curve: Array) -> list[list[float]]:
    """The mean over so many parts of the run, each at its first step: restarts within a part do not alias.

    Parts differ by a step where the run does not divide; each ends where the next one begins.
    """
    parts = np.array_split(np.arange(len(curve)), min(SHOWN, len(curve)))
    return [[int(part[0]), float(curve[part].mean())] for part in parts]
