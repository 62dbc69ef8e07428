"""What training starts from: some rules judge what only new weights are like."""

from __future__ import annotations

from preflight.core.finding import NotApplicable
from preflight.telemetry.recording import Recording

INITIALISATION, CHECKPOINT = "initialisation", "checkpoint"


def is_from_checkpoint(recording: Recording) -> bool:
    """Whether the weights that the probes saw were trained before; not known of runs that do not tell."""
    return bool(recording.facts.get("start") == CHECKPOINT)


def before_training(recording: Recording) -> str:
    """When the probes looked, in words."""
    return "at the checkpoint" if is_from_checkpoint(recording) else "before training"


def trained_before(why: str) -> NotApplicable:
    """The answer of a rule that cannot judge weights which were trained: ``why`` says what they are like."""
    return NotApplicable(f"training starts from a checkpoint: {why}")
