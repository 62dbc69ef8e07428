"""A worker: a process of its own that makes its own lab, and then trains one specification after the other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection

from preflight.search.engines.base import Recipe
from preflight.search.engines.preload import start_early, worker_context
from preflight.trials.evaluation import Evaluation
from preflight.trials.lab import TrialSpec, never
from preflight.trials.outcome import Result

END_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Question:
    """Asked at a rung, and waited for: whether the trial is hopeless. The study that knows is the driver's."""

    steps_done: int
    evaluation: Evaluation


# What a worker says: None when its lab is made, then a result for every specification, or what its lab raised.
Answer = Result | Question | Exception | None


class WorkerDied(Exception):  # noqa: N818  # an event, and no error of the driver's
    """A worker's process has ended; the text says how."""


class Worker:
    """One process; it trains one specification at a time."""

    def __init__(self, recipe: Recipe) -> None:
        start_early()
        context = worker_context()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(recipe, theirs))
        self._process.start()
        theirs.close()  # so that the pipe ends with the process

    def train(self, spec: TrialSpec, *, asking: bool) -> None:
        """Send a specification; raises :class:`WorkerDied` where nobody is there to take it.

        ``asking`` is whether it gives a :class:`Question` at every rung.
        """
        self._tell((spec, asking))

    def reply(self, hopeless: bool) -> None:
        """Answer a :class:`Question`; raises :class:`WorkerDied` as :meth:`train` does."""
        self._tell(hopeless)

    def answer(self) -> Answer:
        """Wait for what it says next; raises :class:`WorkerDied` where it has died instead."""
        connection.wait(self._signs())
        try:
            if self._connection.poll():  # an answer that was complete counts, whatever came after
                answer: Answer = self._connection.recv()
                return answer
        except (EOFError, OSError):
            pass
        raise WorkerDied(self._ending())

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._ending()
        self._connection.close()

    def _tell(self, message: object) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise WorkerDied(self._ending()) from error

    def _signs(self) -> list[Connection | int]:
        # A child that the user's code forked holds the pipe open: only the sentinel tells of the process itself.
        return [self._connection, self._process.sentinel]

    def _ending(self) -> str:
        self._process.join(END_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return _described(self._process.exitcode)


def speaking(workers: Iterable[Worker], timeout_s: float) -> list[Worker]:
    """Those whose :meth:`Worker.answer` need not wait; waits for one, but not longer than ``timeout_s``."""
    owners = {sign: worker for worker in workers for sign in worker._signs()}
    return list(dict.fromkeys(owners[sign] for sign in connection.wait(owners, timeout_s)))  # type: ignore[index]


def _described(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = " (out of memory, or killed by hand)" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"


def _serve(recipe: Recipe, driver: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the server had it blocked
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    lab = recipe.make()
    driver.send(None)
    while True:
        try:
            spec, asking = driver.recv()
        except EOFError:
            return
        try:
            driver.send(lab.run(spec, partial(_ask, driver) if asking else never))
        except Exception as error:  # not the user's: those are outcomes
            driver.send(_sendable(error))


def _ask(driver: Connection, steps_done: int, evaluation: Evaluation) -> bool:
    try:
        driver.send(Question(steps_done, evaluation))
        return bool(driver.recv())
    except (EOFError, OSError):
        os._exit(1)  # the driver is gone: an exception would be recorded as one of the trial's


def _sendable(error: Exception) -> Exception:
    """The error with its traceback as a note; one that cannot travel is told in words."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception's own way of being pickled may raise anything
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with_the_driver() -> None:
    """A driver that is killed ends nobody: its workers would train on, and then hold their memory for ever."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
