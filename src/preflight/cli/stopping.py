"""Ctrl-C and SIGTERM: the first one stops a run in good order, and no later one spoils that."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of Ctrl-C: the first stops the run, the second is answered, the third leaves at once.
LAST_CTRL_C = 3
# Until a signal that was lost is sent again: time for what lost it to return.
RETRY_S = 0.05
AGAIN = b"preflight: stopping already, and writing what there is; Ctrl-C once more leaves at once\n"


class Stop:
    """Whether and by which signal the command was stopped."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._interrupts = 0
        self._lost: threading.Timer | None = None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (signal.SIGINT if self._first is None else self._first)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt at the first signal: `timeout` sends each process of a group two at once.

        While the run ends, whoever sends SIGTERM follows it by SIGKILL if that takes too long; a person may press
        Ctrl-C again.
        """
        self._interrupts += number == signal.SIGINT
        if self._first is None or self._lost is not None:
            self._first = self._first or number
            self.forget()
            raise KeyboardInterrupt
        if number != signal.SIGINT:
            return
        if self._interrupts >= LAST_CTRL_C:
            raise KeyboardInterrupt
        os.write(2, AGAIN)  # print() must not be called by a handler that may have interrupted a print()

    def retry(self) -> None:
        """Send the signal again whose KeyboardInterrupt was lost.

        In a callback or a finalizer, of which imports have many, Python prints what is raised and goes on without it.
        """
        if self._first is not None and self._lost is None:
            self._lost = threading.Timer(RETRY_S, signal.pthread_kill, (threading.main_thread().ident, self._first))
            self._lost.daemon = True
            self._lost.start()

    def forget(self) -> None:
        """Send nothing again."""
        if self._lost is not None:
            self._lost.cancel()
        self._lost = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Answer both signals inside; what was told to ignore one, as by `nohup`, goes on ignoring it."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only there can a handler be set
        yield stop
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    report = sys.unraisablehook

    def lose(lost: sys.UnraisableHookArgs) -> None:
        stop.retry() if issubclass(lost.exc_type, KeyboardInterrupt) else report(lost)

    try:
        sys.unraisablehook = lose
        for number in before:
            signal.signal(number, stop.handle)
        yield stop
    finally:
        stop.forget()
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, handler)
