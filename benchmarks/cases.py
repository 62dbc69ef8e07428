"""The five field cases: what their owners planned to do about them, as settings that can be trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from preflight.core.params import ParamValue

RECALLED = "owner"
"""Option of a normalization by statistics that a case's owner wrote down."""


@dataclass(frozen=True)
class Fix:
    """What an owner planned: ``settings`` to train with, or ``overrides`` of the task where it is no setting.

    ``normalizers`` are configurations of :class:`preflight.InputNormalizer` by setting, option :data:`RECALLED`.
    """

    name: str
    settings: Mapping[str, ParamValue] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    normalizers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One field case. ``expected`` are codes that its diagnosis has to name; the first of them comes first."""

    name: str
    expected: tuple[str, ...]
    fixes: tuple[Fix, ...] = ()

    @property
    def healthy(self) -> str:
        """Model of the same task without the fault."""
        return f"{self.name}_healthy"


def _statistics(center: list[float], scale: list[float]) -> dict[str, Mapping[str, Any]]:
    config = {"kind": "standardize", "axis": -1, "center": center, "scale": scale}
    return {"normalization.pulses": config}


Z_SCORED = _statistics([13130, 3.9, 2580, 0.28], [10000, 10, 1500, 0.45])
EMBEDDED = _statistics([13130, 3.9, 0, 0.28], [10000, 10, 1, 0.45])

_FMRI: dict[str, ParamValue] = {"target_normalization.fmri": "standardize"}
_RATE: dict[str, ParamValue] = {"lr": 3e-4}
_WEIGHT: dict[str, ParamValue] = {"loss_weights.fmri": 0.001}
_WARMUP = ("model.scheduler.warmup_epochs=3",)
_OWNERS_RUN: dict[str, ParamValue] = {"lr": 1e-4, "shuffle": True, "dropout": 0.1, "warmup_fraction": 0.05}
_READ = {"normalization.pulses": RECALLED}

CASES = (
    Case("face_arcface", ("PF202",)),
    Case("teacher_distill", ("PF505", "PF509")),
    Case(
        "giblet",
        ("PF206", "PF308"),
        (
            Fix("A: z-score the fMRI", _FMRI),
            Fix("B: warmup of 3 epochs", {}, _WARMUP),
            Fix("C: LR 3e-4", _RATE),
            Fix("D: fMRI weight 0.001", _WEIGHT),
            Fix("A to D together", {**_FMRI, **_RATE, **_WEIGHT}, _WARMUP),
        ),
    ),
    Case(
        "icecube",
        ("PF301",),
        (
            Fix("LR 1e-4", {"lr": 1e-4}),
            Fix("LR 3e-5 with a warmup", {"lr": 3e-5, "warmup_fraction": 0.05}),
            Fix("statistics, identifier z-scored", _READ, (), Z_SCORED),
            Fix("statistics, identifier embedded", _READ, ("model.factory.embed_sensors=true",), EMBEDDED),
            Fix("all, identifier z-scored", {**_OWNERS_RUN, **_READ}, (), Z_SCORED),
            Fix("all, identifier embedded", {**_OWNERS_RUN, **_READ}, ("model.factory.embed_sensors=true",), EMBEDDED),
        ),
    ),
    Case("dinocell", ("PF601", "PF311", "PF605"), (Fix("batch 80, as many samples", {"batch_size": 80}),)),
)
