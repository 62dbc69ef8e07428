"""The gradient noise scale and what it says of batch sizes, as texts for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflight.advise.batch_size import (
    MOSTLY_WASTED,
    NEARLY_FREE,
    TRADE,
    Range,
    Step,
    lr_factors,
    step,
    worth_of_doubling,
)
from preflight.advise.noise import NoiseScale, over_seeds
from preflight.report import format as fmt

PAPER = "arXiv 1812.06162"
# Batch sizes beside today's, as multiples of it.
MULTIPLES = (0.5, 2, 4, 8)
_WORTH = {
    NEARLY_FREE: "nearly free in samples",
    TRADE: "a trade of samples for steps",
    MOSTLY_WASTED: "mostly wasted (more than half of the added samples bring nothing)",
}
MODEL = (
    f"Measured is the noise scale B. What follows from it is a rule and was not run: with batches of b, steps grow as "
    f"1 + B/b and samples as 1 + b/B ({PAPER}). It takes the loss of a batch for the mean over its samples, a learning "
    "rate tuned for each batch size, and B as constant. B grows while the loss falls, and more as the learning rate "
    "decays, so that its value at the very end speaks for the end alone; in the paper the turning point lay up to an "
    "order of magnitude off."
)


@dataclass(frozen=True)
class MomentRow:
    """A moment of the run: its step, the noise scale over all seeds, and of each seed."""

    step: str
    scale: str
    seeds: tuple[str, ...]


@dataclass(frozen=True)
class BatchRow:
    """Another batch size, in changes against the present one."""

    batch_size: str
    samples: str
    steps: str
    at_samples: str
    at_steps: str


@dataclass(frozen=True)
class NoiseTable:
    """``line`` is all that the terminal shows; ``notes`` say what it holds for."""

    line: str
    verdict: str
    seeds: tuple[str, ...]
    moments: tuple[MomentRow, ...]
    batches: tuple[BatchRow, ...]
    notes: tuple[str, ...]


def noise_table(document: Mapping[str, Any] | None, facts: Mapping[str, Any], today: int) -> NoiseTable | None:
    """Of noise_scale.json, facts.json and today's batch size; None where nothing was looked at."""
    if document is None:
        return None
    scale, span = _late(document)
    why = _why_no_advice(document, scale)
    seeds = tuple(dict.fromkeys(str(row["seed"]) for moment in document["moments"] for row in moment["seeds"]))
    rows = tuple(_moment(moment, seeds) for moment in document["moments"])
    notes = _notes(document, today)
    if why or scale is None:
        return NoiseTable(f"noise scale: cannot tell: {why}", f"Cannot tell: {why}.", seeds, rows, (), notes)
    size = int(document["batch_size"])
    steps = [step(size, round(size * multiple), scale) for multiple in MULTIPLES if size * multiple >= 1]
    doubled = next(item for item in steps if item.batch_size == 2 * size)
    measured = f"{scale_text(scale)} {span}, beside a batch of {fmt.whole(size)}"
    expected = (
        f"doubling it to {fmt.whole(2 * size)} is expected to need {_change(doubled.samples, 'fewer')} samples and "
        f"{_change(doubled.steps, 'fewer')} steps for the same progress"
    )
    return NoiseTable(
        f"noise scale: {measured}; {expected} (a rule, not run)",
        f"The gradient noise scale is {measured}: {expected}. {_worth_text(size, scale)}",
        seeds,
        rows,
        tuple(map(_batch, steps)),
        (MODEL, _lr_text(doubled, size, scale, facts.get("optimizer")), *notes),
    )


def _worth_text(size: int, scale: NoiseScale) -> str:
    found = dict.fromkeys(_WORTH[worth] for worth in worth_of_doubling(size, scale))
    return f"That would be {', or '.join(found)}."


def scale_text(scale: NoiseScale) -> str:
    """``210 samples (150 to 330)``, or ``at least 900 samples``."""
    if not scale.is_bounded:
        return f"at least {_samples(scale.low)} samples" if scale.is_known else "cannot tell"
    return f"{_samples(scale.samples)} samples ({_samples(scale.low)} to {_samples(scale.high)})"


def _late(document: Mapping[str, Any]) -> tuple[NoiseScale | None, str]:
    """The noise scale over all moments but the start, where it is far too small, and between which steps that is."""
    moments = [(int(moment["step"]), _scale(moment["scale"])) for moment in document["moments"]]
    known = [(at, scale) for at, scale in moments if at > 0 and scale is not None and scale.is_known]
    if not known:
        return None, ""
    steps = [fmt.whole(at) for at, _ in known]
    span = f"from step {steps[0]} to {steps[-1]}" if len(steps) > 1 else f"after {steps[0]} steps"
    return over_seeds([scale for _, scale in known]), span


def _why_no_advice(document: Mapping[str, Any], scale: NoiseScale | None) -> str:
    if document["failed"]:
        return str(document["failed"])
    if document["tied"]:
        names = ", ".join(document["tied"])
        return f"a loss compares the samples of a batch ({names}), and has another gradient for another batch size"
    return "" if scale is not None else "after the first steps no gradient stands out of its noise"


def _moment(moment: Mapping[str, Any], seeds: Sequence[str]) -> MomentRow:
    by_seed = {str(row["seed"]): row["failed"] or _scale_text(row["scale"]) for row in moment["seeds"]}
    return MomentRow(
        fmt.whole(int(moment["step"])),
        _scale_text(moment["scale"]),
        tuple(by_seed.get(seed, fmt.MISSING) for seed in seeds),
    )


def _batch(item: Step) -> BatchRow:
    needed = (_change(factors, "fewer") for factors in (item.samples, item.steps))
    progress = (_change(factors, "less") for factors in (item.at_samples, item.at_steps))
    return BatchRow(fmt.whole(item.batch_size), *needed, *progress)


def _lr_text(doubled: Step, size: int, scale: NoiseScale, optimizer: Mapping[str, Any] | None) -> str:
    """What rules say of the learning rate beside a doubled batch."""
    scales_steps = None if optimizer is None else bool(optimizer["scales_steps"])
    factors = lr_factors(size, doubled.batch_size, scale, scales_steps=scales_steps)
    sources = {
        False: f"for SGD, in proportion to 1 / (1 + B/b), {PAPER}, equation 2.6",
        True: "for optimizers such as Adam, from none to the square-root rule of arXiv 2205.10287, which changes "
        "Adam's betas and epsilon too",
        None: f"for SGD by {PAPER}, for optimizers such as Adam at most the square root, arXiv 2205.10287",
    }
    times = f"{factors.low:.2f} to {factors.high:.2f}" if factors.high - factors.low > 0.005 else f"{factors.low:.2f}"
    return (
        f"Beside a batch of {fmt.whole(doubled.batch_size)} the learning rate would be {times} times as large "
        f"({sources[scales_steps]}): extrapolated, not run, and nothing in the corrected file comes of it."
    )


def _notes(document: Mapping[str, Any], today: int) -> tuple[str, ...]:
    """What it was measured on, and what may be wrong with it."""
    spent = f"{fmt.whole(document['trained_steps'])} steps and {fmt.whole(document['gradients'])} gradients"
    texts = [f"Measured on disjoint batches of the training data, in runs of its own: {spent}."]
    if document["normed"]:
        texts.append(
            "Batch normalization ties the samples of a batch, so it holds for batches of this size or near it."
        )
    if document["disturbed"]:
        seeds = ", ".join(map(str, document["disturbed"]))
        texts.append(
            f"With seed {seeds} the run gave another score than without the measuring: the model keeps something "
            "that the measuring touched, or the task gives another score each time."
        )
    if document["searched"]:
        kept = "kept" if document["batch_size"] == today else "changed"
        texts.append(
            f"batch_size was searched, at equal samples, and is {kept}: what those runs measured goes before this rule."
        )
    return tuple(texts)


def _scale(values: Mapping[str, float] | None) -> NoiseScale | None:
    return None if values is None else NoiseScale(**values)


def _scale_text(values: Mapping[str, float] | None) -> str:
    scale = _scale(values)
    return fmt.MISSING if scale is None else scale_text(scale)


def _samples(value: float) -> str:
    """Two digits: no interval is finer."""
    return fmt.whole(int(float(f"{value:.2g}"))) if value >= 10 else f"{value:.2g}"


def _change(factors: Range, less: str) -> str:
    """``9% to 18% more``, ``41% to 46% fewer``; a range of factors lies to one side of 1."""
    low, high = sorted(abs(round(100 * (factor - 1))) for factor in (factors.low, factors.high))
    word = less if factors.low < 1 else "more"
    return f"{low}% {word}" if low == high else f"{low}% to {high}% {word}"
