"""PF601: training waits for its data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

SHARE = Threshold("SHARE", 0.5, "of a step is spent waiting for data", "more than is computed")
FLOOR_S = Threshold("FLOOR_S", 0.005, "seconds are what a batch waits at least", "less is noise of the clock")
MOST = Threshold("MOST", 32, "loader workers are proposed at most", "each is a process with a queue of batches")


def check(recording: Recording) -> Answer:
    """Judge waiting and computing, measured apart before training."""
    facts: Mapping[str, Any] = recording.fact("loading")
    compute, workers = float(facts["compute_s"]), facts.get("workers") or 0
    # Workers fetch side by side, and while the training computes.
    wait = float(facts["wait_s"]) / workers - compute if workers else float(facts["wait_s"])
    step = max(wait, 0.0) + compute
    if wait < FLOOR_S.value or wait <= SHARE.value * step:
        return Clean()
    tried = _tried_batch(recording)
    return Finding(
        WARNING,
        f"{wait / step:.0%} of a step is waiting for data, {wait:.2g} s beside {compute:.2g} s of computing"
        + "".join(f"; {text}" for text in _of_larger_batches(facts, tried)),
        (
            Evidence("waiting over the step", wait / step, SHARE.value),
            Evidence("waiting", wait, FLOOR_S.value, "s"),
            *_evidence_of_batches(facts, tried),
            Evidence("loader workers", workers),
        ),
        (_remedy(facts), Remedy("keep what is decoded in memory or on a local disk, in large files")),
        strength=min(100.0, wait / step / SHARE.value),
    )


def _remedy(facts: Mapping[str, Any]) -> Remedy:
    """More workers, as a setting where the long run has a loader of which they are one."""
    now, enough, most = facts.get("workers") or 0, _enough(facts), _most(facts)
    if enough is None:
        return Remedy("fetch with more loader workers, and prefetch")
    proposed = min(enough, most)
    if proposed <= now:
        return Remedy(
            f"make a sample cheaper to fetch: there is no core for more than {now} loader workers, or no batch"
        )
    then = "then computing is the longer part" if proposed == enough else f"{enough} would keep up with computing"
    settings = {} if facts.get("workers") is None else {"num_workers": proposed}
    return Remedy(f"fetch with {proposed} loader workers (now {now}), and prefetch: {then}", settings)


def _enough(facts: Mapping[str, Any]) -> int | None:
    """Workers that fetch as fast as is computed."""
    compute = float(facts["compute_s"])
    return math.ceil(float(facts["wait_s"]) / compute) if compute > 0 else None


def _most(facts: Mapping[str, Any]) -> int:
    """Workers that there is something for: a batch of the epoch each, and a core for what of fetching needs one."""
    wait, busy = float(facts["wait_s"]), float(facts["fetch_cpu_s"])
    by_cores = int(facts["cores"] * wait / busy) if busy > 0 else math.inf
    return max(1, int(min(MOST.value, facts["epoch_batches"], by_cores)))


def _of_larger_batches(facts: Mapping[str, Any], tried: tuple[int, float] | None) -> Iterator[str]:
    if facts.get("gain_bound") is not None:
        yield f"a larger batch than {facts['batch_size']} gains at most {facts['gain_bound']:.0%}"
    if tried is not None:
        size, gain = tried
        how = f"{'gains' if gain > 0 else 'loses'} {abs(gain):.0%}" if round(abs(gain), 2) else "gains nothing"
        yield f"one of {size}, tried, {how}"


def _evidence_of_batches(facts: Mapping[str, Any], tried: tuple[int, float] | None) -> Iterator[Evidence]:
    bound = facts.get("gain_bound")
    known = "unknown" if bound is None else float(bound)
    yield Evidence("samples per second that a larger batch can add at most", known)
    if tried is not None:
        yield Evidence(f"samples per second that batch {tried[0]} adds, tried", tried[1], bound)


def _tried_batch(recording: Recording) -> tuple[int, float] | None:
    """Another batch size that was trained with as many workers, and the share of samples per second that it added."""
    variants = recording.facts.get("throughput", {}).get("variants", [])
    if not variants:
        return None
    today, *others = variants
    for other in others:
        if other["workers"] == today["workers"] and other["samples_per_s"]:
            pairs = zip(today["samples_per_s"], other["samples_per_s"], strict=False)
            return int(other["batch_size"]), median(after / before - 1 for before, after in pairs)
    return None


def is_loader_bound(recording: Recording) -> bool:
    """Whether waiting was measured and found to be the longer part."""
    return isinstance(RULE.judge(recording), Finding)


def proposed_workers(recording: Recording) -> int:
    """Loader workers that the finding asks for; 0 where it asks for none."""
    answer = RULE.judge(recording)
    proposed = answer.remedies[0].settings.get("num_workers") if isinstance(answer, Finding) else None
    return proposed if isinstance(proposed, int) else 0


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
    fix="Fetch in more workers, prefetch, cache what is decoded, or store samples in larger files. Where the task "
    "gives "
    "its DataLoader, it is made again with more workers and with a doubled batch, and the samples per second compared.",
    check=check,
    thresholds=(SHARE, FLOOR_S, MOST),
)
