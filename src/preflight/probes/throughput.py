"""Samples per second of training, fed by the user's own loader: as it is, by more workers, in larger batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from preflight.core.params import Params
from preflight.probes.fit import one_line
from preflight.probes.training_step import take_step, wait_for
from preflight.tasks.data import Collated
from preflight.tasks.loader import fed_by
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# All variants are measured in every round, so that what slows the machine down for a while slows all of them down.
ROUNDS, FEWEST_ROUNDS = 5, 3
# No round is begun that would end later, beyond the fewest; and none at all where those would take so long.
LIMIT_S, LONGEST_S = 4.0, 600.0
# Workers that started together bring their batches together, so that whole turns of them count: two, and as many as
# outlast a pause of the machine.
TURNS, WINDOW_S = 2, 0.3
# torch's own, of batches that a worker fetches ahead.
PREFETCH = 2
# For a batch, its worker's start included, besides ten times what fetching it takes in this process.
PATIENCE_S = 30.0


@dataclass
class Variant:
    """A way to feed the training, its samples per second by round, or in words why it cannot be run."""

    workers: int
    batch_size: int
    samples_per_s: list[float] = field(default_factory=list)
    failed: str = ""


def look_at_throughput(
    task: PyTorchTask, params: Params, seed: int, loading: Mapping[str, Any], workers: int
) -> dict[str, Any]:
    """``{"throughput": {...}}``: samples per second of training at today's settings, in ways that it can be fed.

    ``variants``, today's first, of ``workers``, ``batch_size``, ``samples_per_s`` by round, and ``failed``, why a
    variant has none; ``failed`` of all where nothing could be measured. Tried are a doubled batch and up to
    ``workers`` loader workers. ``loading`` are the facts of :func:`look_at_loading`.

    Empty where the task has no loader of its own.
    """
    loader, source = task.loader, task.data.train
    if loader is None or not isinstance(source, Collated):
        return {}
    today = Variant(params.num_workers or 0, params.batch_size)
    variants = [today, *_others(today, workers, len(source))]
    wait_s, compute_s = float(loading["wait_s"]), float(loading["compute_s"])
    least_s = FEWEST_ROUNDS * sum(expected_s(variant, today, wait_s, compute_s) for variant in variants)
    if least_s > LONGEST_S:
        return {"throughput": {"variants": [], "failed": f"it would take about {least_s / 60:.0f} minutes"}}
    with seeded(seed, task.device):
        job = task.job(params)

        def train(batch: Any) -> None:
            take_step(job, task, source.on_device(batch))

        def measure(variant: Variant) -> float:
            patience_s = PATIENCE_S + 10 * wait_s * variant.batch_size / today.batch_size
            size = {"workers": variant.workers, "batch_size": variant.batch_size}
            with fed_by(loader, **size, seed=seed, timeout_s=patience_s) as batches:
                ahead = variant.workers * (loader.prefetch_factor or PREFETCH)
                return samples_per_s(batches, train, lambda: wait_for(task.device), variant, ahead)

        in_rounds(variants, measure)
    return {"throughput": {"variants": [asdict(variant) for variant in variants], "failed": today.failed}}


def in_rounds(variants: Sequence[Variant], measure: Callable[[Variant], float]) -> None:
    """Measure all variants side by side; what fails with some workers is not tried with more of them."""
    today, started = variants[0], time.perf_counter()
    for count in range(ROUNDS):
        spent_s = time.perf_counter() - started
        if count >= FEWEST_ROUNDS and spent_s * (count + 1) / count > LIMIT_S:
            return
        for variant in variants:
            if variant.failed:
                continue
            try:
                variant.samples_per_s.append(measure(variant))
            except Exception as error:  # the user's data set, in a process that it was not made for
                _fail(variants, variant, reason(error))
        if today.failed:
            return


def samples_per_s(
    batches: Iterator[Any], train: Callable[[Any], None], wait: Callable[[], None], variant: Variant, ahead: int
) -> float:
    """Of the steady state: without the start of the workers and what was ready by then, over whole turns of them.

    At most so many batches are fetched ``ahead``.
    """
    turn = max(1, variant.workers)
    for _ in range(turn):
        train(next(batches))
    wait()
    _use_up(batches, train, wait, ahead)
    turns, begin = 0, time.perf_counter()
    while turns < TURNS or time.perf_counter() - begin < WINDOW_S:
        for _ in range(turn):
            train(next(batches))
        wait()
        turns += 1
    return turns * turn * variant.batch_size / (time.perf_counter() - begin)


def _use_up(batches: Iterator[Any], train: Callable[[Any], None], wait: Callable[[], None], ahead: int) -> None:
    """Train on what lies ready, since the first steps were slow: it is used up when a batch is waited for."""
    for _ in range(ahead):
        begin = time.perf_counter()
        batch = next(batches)
        come = time.perf_counter()
        train(batch)
        wait()
        if come - begin > time.perf_counter() - come:
            return


def expected_s(variant: Variant, today: Variant, wait_s: float, compute_s: float) -> float:
    """Seconds that measuring a variant once takes about, by those of today's batch."""
    size = variant.batch_size / today.batch_size
    if not variant.workers:
        return (1 + TURNS) * (wait_s + compute_s) * size
    return (1 + PREFETCH + TURNS) * max(wait_s, compute_s * variant.workers) * size


def reason(error: Exception) -> str:
    """What went wrong, also in a worker, which sends the whole of its traceback."""
    last = str(error).rstrip().splitlines()[-1:]
    return last[0] if "Original Traceback" in str(error) else one_line(error)


def _others(today: Variant, workers: int, samples: int) -> Iterator[Variant]:
    if 2 * today.batch_size <= samples:
        yield Variant(today.workers, 2 * today.batch_size)
    for count in (workers // 2, workers):  # half of them may do
        if count > today.workers:
            yield Variant(count, today.batch_size)


def _fail(variants: Sequence[Variant], failed: Variant, why: str) -> None:
    """The variant is out, and so are those with more workers than some that cannot be run."""
    for variant in variants:
        has_more = variant.workers > failed.workers > 0 and variant.batch_size == failed.batch_size
        if variant is failed or has_more:
            variant.failed, variant.samples_per_s = why, []
