"""Worker processes on this machine, one trial each at a time."""

from __future__ import annotations

import atexit
import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from preflight.search.engines.base import Ended, Engine, Recipe, unheard
from preflight.search.engines.count import worker_count
from preflight.search.engines.inline import Inline
from preflight.search.engines.patience import TIMES, Patience, Waiting
from preflight.search.engines.worker import Question, Worker, WorkerDied, speaking
from preflight.trials.lab import Lab, TrialSpec, never
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import CRASHED, INTERRUPTED, Outcome, Result

# How often those that are silent are looked at.
LOOK_S = 1.0


def choose_engine(recipe: Recipe, lab: Lab, workers: int | None) -> Engine:
    """``workers`` processes, or one per core on the CPU; in this process for one, or for what cannot be sent."""
    count = worker_count(workers, lab.task.device)
    return Inline(lab) if count == 1 or not _can_be_sent(recipe) else Local(recipe, lab, count)


@dataclass
class _Round:
    """Specifications on their way to results, by number."""

    specs: Sequence[TrialSpec]
    ended: Ended = unheard
    hopeless: Hopeless | None = None
    waiting: deque[int] = field(init=False)
    died: dict[int, str] = field(default_factory=dict)
    done: dict[int, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.waiting = deque(range(len(self.specs)))

    def finish(self, number: int, result: Result) -> None:
        """A trial has ended."""
        self.done[number] = result
        self.ended()

    def is_hopeless(self, question: Question) -> bool:
        """Answer to a question of a worker, which has none where nobody would know."""
        assert self.hopeless is not None
        return self.hopeless(question.steps_done, question.evaluation)


class Local:
    """See :class:`preflight.search.engines.base.Engine`.

    A worker that dies is replaced, and its trial is run once more when all others are done: alone, so that it is not
    blamed for memory that others took, or for a signal from outside. A trial that dies twice has crashed, and the same
    seed gives the same study whoever was killed. One that hangs is ended, and has crashed at once.
    """

    def __init__(self, recipe: Recipe, lab: Lab, workers: int) -> None:
        self._recipe, self._lab, self._most = recipe, lab, workers
        self._starting: list[Worker] = []
        self._idle: list[Worker] = []
        self._busy: dict[Worker, int] = {}
        self._waiting: dict[Worker, Waiting] = {}
        self._patience = Patience()

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        """Results of ``specs``, trained side by side."""
        left = _Round(specs, ended)
        try:
            for number in range(len(specs)):
                while number not in left.done:
                    self._go_on(left)
                result = left.done.pop(number)
                if result.outcome.status == INTERRUPTED:
                    raise KeyboardInterrupt
                yield result
        except BaseException:
            self.close()
            raise

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        """Result of ``spec``; a worker of the rounds before takes it, if there is one."""
        left = _Round([spec], hopeless=hopeless)
        try:
            while not left.done:
                self._go_on(left)
        except KeyboardInterrupt:
            self.close()
            return self._lab.record_loss(spec, Outcome(INTERRUPTED, "stopped by the user"))
        except BaseException:
            self.close()
            raise
        return left.done[0]

    def close(self) -> None:
        """Drop what waits and end the workers."""
        for worker in self._workers():
            worker.end()
        self._starting, self._idle, self._busy, self._waiting = [], [], {}, {}
        atexit.unregister(self.close)

    def _workers(self) -> list[Worker]:
        return [*self._starting, *self._idle, *self._busy]

    def _go_on(self, left: _Round) -> None:
        """Give out what can be given out, and take what comes next."""
        self._give_out(left)
        self._staff(len(left.waiting))
        if self._busy or (left.waiting and self._starting):
            for worker in speaking(self._workers(), LOOK_S):
                self._take(worker, left)
            self._end_hanging(left)
        elif left.waiting:  # no worker could be started: there is still this process
            number = left.waiting.popleft()
            left.finish(number, self._lab.run(left.specs[number], left.hopeless or never))
        else:
            number = min(left.died)
            left.finish(number, self._again(left, number))

    def _staff(self, wanted: int) -> None:
        """Start workers for ``wanted`` trials that nobody has taken."""
        missing = min(wanted - len(self._starting), self._most - len(self._workers()))
        for _ in range(missing):
            self._starting.append(self._started())

    def _started(self) -> Worker:
        atexit.unregister(self.close)
        atexit.register(self.close)  # multiprocessing would wait for them at the end of the program
        return Worker(self._recipe)

    def _give_out(self, left: _Round) -> None:
        while self._idle and left.waiting:
            worker = self._idle.pop()
            try:
                worker.train(left.specs[left.waiting[0]], asking=left.hopeless is not None)
            except WorkerDied:  # killed while it had nothing to do
                worker.end()
                continue
            self._busy[worker] = left.waiting.popleft()
            self._waiting[worker] = Waiting(time.monotonic())

    def _take(self, worker: Worker, left: _Round) -> None:
        try:
            answer = worker.answer()
            if isinstance(answer, Question):
                worker.reply(left.is_hopeless(answer))
                return
        except WorkerDied as death:
            self._bury(worker, left, str(death))
            return
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self._starting.remove(worker)
            self._idle.append(worker)
        else:
            number = self._busy.pop(worker)
            self._idle.append(worker)
            self._patience.learn(left.specs[number], answer)
            left.finish(number, answer)

    def _end_hanging(self, left: _Round) -> None:
        now = time.monotonic()
        for worker, number in list(self._busy.items()):
            spec = left.specs[number]
            limit = self._patience.limit_s(spec)
            if self._waiting[worker].go_on(now, 2 * LOOK_S) <= limit:
                continue
            del self._busy[worker]
            worker.end()
            reason = (
                f"hangs: it did not end within {limit:.0f} s, {TIMES} times as long as others take, and a minute more"
            )
            left.finish(number, self._lab.record_loss(spec, Outcome(CRASHED, reason)))

    def _bury(self, worker: Worker, left: _Round, how: str) -> None:
        worker.end()
        if worker in self._busy:
            left.died[self._busy.pop(worker)] = how
        elif worker in self._idle:
            self._idle.remove(worker)
        else:  # another would fail as this one: for want of memory, or of a way to import the program
            self._starting.remove(worker)
            self._most -= 1

    def _again(self, left: _Round, number: int) -> Result:
        """Run a trial whose worker died, with nothing beside it; never in this process, which it might take along."""
        self.close()
        spec, how = left.specs[number], left.died.pop(number)
        try:
            return self._alone(left, spec)
        except WorkerDied as death:
            again = "the same" if str(death) == how else str(death)
            return self._lab.record_loss(spec, Outcome(CRASHED, f"{how}; run again, alone: {again}"))
        finally:
            self.close()

    def _alone(self, left: _Round, spec: TrialSpec) -> Result:
        worker = self._started()
        self._starting.append(worker)
        answer = worker.answer()
        if answer is None:
            worker.train(spec, asking=left.hopeless is not None)
            answer = worker.answer()
        while isinstance(answer, Question):
            worker.reply(left.is_hopeless(answer))
            answer = worker.answer()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def _can_be_sent(recipe: Recipe) -> bool:
    """Functions defined in a script or a notebook cell, given from Python, cannot."""
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
