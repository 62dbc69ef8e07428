"""PF602: most of the accelerator's memory is unused."""

from __future__ import annotations

from preflight.core.errors import MissingError
from preflight.core.finding import NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.pf601_loader_bound import is_loader_bound
from preflight.telemetry.recording import Recording

USED = Threshold(
    "USED", 0.5, "of the capacity is what a step leaves unused at least", "a batch twice as large would fit"
)
SAFE = Threshold("SAFE", 0.9, "of the capacity is what a batch that fits may take", "fragmentation takes a few percent")


def check(recording: Recording) -> Answer:
    """Judge the largest amount allocated against the capacity; where the loader is what limits, it does not matter."""
    facts = recording.fact("memory")
    capacity = recording.fact("memory", "capacity")
    size = int(facts["batch_size"])
    if str(size) not in facts["measured"]:
        raise MissingError(f"memory was not measured at batch_size={size}")
    peak = float(facts["measured"][str(size)])
    share = peak / capacity
    if share >= USED.value or is_loader_bound(recording):
        return Clean()
    fits = largest_batch(facts.get("fixed"), facts.get("per_sample"), capacity)
    if fits is None or fits <= size:
        return Clean()
    return Finding(
        NOTE,
        f"a step at batch_size={size} takes {peak / 2**30:.2g} of {capacity / 2**30:.3g} GiB; {fits} samples fit",
        (
            Evidence("share of the capacity", share, USED.value),
            Evidence("fixed part", float(facts["fixed"]) / 2**30, unit="GiB"),
            Evidence("per sample", float(facts["per_sample"]) / 2**20, unit="MiB"),
        ),
        (Remedy("a larger batch, or several runs side by side; settings that were tuned belong to their batch size"),),
    )


def largest_batch(fixed: float | None, per_sample: float | None, capacity: float) -> int | None:
    """Samples that fit by ``fixed + per_sample * batch``, never by scaling the peak; None where that is not known."""
    if fixed is None or per_sample is None or per_sample <= 0:
        return None
    return int((SAFE.value * capacity - fixed) / per_sample)


RULE = Rule(
    code="PF602",
    name="memory-unused",
    title="Memory of the accelerator is unused",
    detects="The peak at today's batch size is below USED of the capacity, and by a line through the batch sizes that "
    "were "
    "measured a larger one fits into SAFE of it.",
    matters="Larger batches use the device better, unless the loader is what limits (PF601).",
    fix="Try a larger batch as a setting of the search, with its own learning rate, or train several runs on the "
    "device.",
    check=check,
    thresholds=(USED, SAFE),
)
