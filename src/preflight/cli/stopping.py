"""Ctrl-C and SIGTERM: the first one stops a run in good order, and no later one spoils that."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of Ctrl-C: the first stops the run, the second is answered, the third leaves at once.
LAST_CTRL_C = 3
AGAIN = b"preflight: stopping already, and writing what there is; Ctrl-C once more leaves at once\n"


class Stop:
    """Whether and by which signal the command was stopped."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._interrupts = 0

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
        if self._first is None:
            self._first = number
            raise KeyboardInterrupt
        if number != signal.SIGINT:
            return
        if self._interrupts >= LAST_CTRL_C:
            raise KeyboardInterrupt
        os.write(2, AGAIN)  # print() must not be called by a handler that may have interrupted a print()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Answer both signals inside; what was told to ignore one, as by `nohup`, goes on ignoring it."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only there can a handler be set
        yield stop
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, stop.handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
