"""PF601: training waits for its data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

SHARE = Threshold("SHARE", 0.5, "of a step is spent waiting for data", "more than is computed")
FLOOR_S = Threshold("FLOOR_S", 0.005, "seconds are what a batch waits at least", "less is noise of the clock")


def check(recording: Recording) -> Answer:
    """Judge waiting and computing, measured apart before training."""
    facts: Mapping[str, Any] = recording.fact("loading")
    compute, workers = float(facts["compute_s"]), facts.get("workers") or 0
    # Workers fetch side by side, and while the training computes.
    wait = float(facts["wait_s"]) / workers - compute if workers else float(facts["wait_s"])
    step = max(wait, 0.0) + compute
    if wait < FLOOR_S.value or wait <= SHARE.value * step:
        return Clean()
    size, bound = int(facts["batch_size"]), facts.get("gain_bound")
    needed = math.ceil(float(facts["wait_s"]) / compute) if compute > 0 else None
    return Finding(
        WARNING,
        f"{wait / step:.0%} of a step is waiting for data, {wait:.2g} s beside {compute:.2g} s of computing"
        + (f"; a larger batch than {size} gains at most {bound:.0%}" if bound is not None else ""),
        (
            Evidence("waiting over the step", wait / step, SHARE.value),
            Evidence("waiting", wait, FLOOR_S.value, "s"),
            Evidence("samples per second that a larger batch can add at most", "unknown" if bound is None else bound),
            Evidence("loader workers", workers),
        ),
        (Remedy(_remedy(needed, workers)), Remedy("keep what is decoded in memory or on a local disk, in large files")),
        strength=min(100.0, wait / step / SHARE.value),
    )


def _remedy(needed: int | None, workers: int) -> str:
    if needed is None or needed <= workers:
        return "fetch with more loader workers, and prefetch"
    return f"fetch with {needed} loader workers or more (now {workers}) and prefetch: then computing is the longer part"


def is_loader_bound(recording: Recording) -> bool:
    """Whether waiting was measured and found to be the longer part."""
    return isinstance(RULE.judge(recording), Finding)


RULE = Rule(
    code="PF601",
    name="loader-bound",
    title="Training waits for its data",
    detects="Fetching a batch and training on it are timed apart, on the user's own data before training; waiting is "
    "more "
    "than SHARE of the step and more than FLOOR_S.",
    matters="The accelerator idles. A larger batch does not help: where fetching costs time per sample, its step takes "
    "as "
    "much longer; the bound says by how much it could help at most.",
    fix="Fetch in more workers, prefetch, cache what is decoded, or store samples in larger files.",
    check=check,
    thresholds=(SHARE, FLOOR_S),
)
