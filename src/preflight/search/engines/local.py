"""Worker processes on this machine, one trial each at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from preflight.search.engines.base import Engine, Recipe
from preflight.search.engines.inline import Inline
from preflight.search.engines.preload import worker_context
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import CRASHED, INTERRUPTED, Outcome, Result

# Each loads the data; beyond so many, starting them takes longer than the trials of a quick budget.
MAX_WORKERS = 8
_lab: Lab | None = None  # a worker's own; a process pool has no other place for it


def choose_engine(recipe: Recipe, lab: Lab, workers: int | None) -> Engine:
    """``workers`` processes, or one per core on the CPU; in this process for one, or for what cannot be sent."""
    count = workers or (_cores() if lab.task.device.type == "cpu" else 1)
    return Inline(lab) if count == 1 or not _can_be_sent(recipe) else Local(recipe, lab, count)


class Local:
    """See :class:`preflight.search.engines.base.Engine`. A worker that dies costs the trial it was running."""

    def __init__(self, recipe: Recipe, lab: Lab, workers: int) -> None:
        self._recipe, self._lab, self._workers = recipe, lab, workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, specs: Sequence[TrialSpec]) -> Iterator[Result]:
        """Results of ``specs``, trained side by side."""
        try:
            pool = self._pool = self._pool or self._open(self._workers)
            futures = [_submitted(pool, spec) for spec in specs]
            for spec, future in zip(specs, futures, strict=True):
                result = self._result(spec, future)
                if result.outcome.status == INTERRUPTED:
                    raise KeyboardInterrupt
                yield result
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop what waits and end the workers."""
        if self._pool is not None:
            _end(self._pool)
            self._pool = None

    def _result(self, spec: TrialSpec, future: Future[Result] | None) -> Result:
        """A broken pool fails every trial that was waiting: each is tried again in a worker of its own."""
        try:
            if future is not None:
                return future.result()
        except BrokenProcessPool:
            pass
        self.close()
        alone = self._open(1)
        try:
            return alone.submit(_run, spec).result()
        except BrokenProcessPool:
            outcome = Outcome(CRASHED, "the worker process died: killed, or a crash in native code")
            return self._lab.record_loss(spec, outcome)
        finally:
            _end(alone)

    def _open(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, worker_context(), _start, (self._recipe,))


def _submitted(pool: ProcessPoolExecutor, spec: TrialSpec) -> Future[Result] | None:
    """None where the pool is broken already: a worker was killed while it had nothing to do."""
    try:
        return pool.submit(_run, spec)
    except BrokenProcessPool:
        return None


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _start(recipe: Recipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    global _lab  # noqa: PLW0603
    _lab = recipe.make()


def _end_with_the_driver() -> None:
    """A driver that is killed ends nobody: its workers would train on, and then hold their memory for ever."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _run(spec: TrialSpec) -> Result:
    assert _lab is not None
    return _lab.run(spec)


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)


def _can_be_sent(recipe: Recipe) -> bool:
    """Functions defined in a script or a notebook cell, given from Python, cannot."""
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
