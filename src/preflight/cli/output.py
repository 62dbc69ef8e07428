"""Standard output and error that nobody may be reading any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


@contextmanager
def lasting_output() -> Iterator[None]:
    """A reader that leaves, `| head` or a terminal that closes, ends no run: what would be printed is dropped."""
    before = sys.stdout, sys.stderr
    lasting = [Lasting(stream) for stream in before]
    sys.stdout, sys.stderr = lasting  # all that is asked of a stream is passed on
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in lasting:
            stream.flush()


class Lasting:
    """A text stream that goes on into the void when its reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a stream does; says that all is written where nobody reads it."""
        try:
            return self._stream.write(text)
        except (BrokenPipeError, ConnectionResetError):
            self._drop()
        return len(text)

    def flush(self) -> None:
        """As a stream does."""
        try:
            self._stream.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self) -> None:
        """Point the file descriptor at nothing: what is buffered would raise once more at the end of the program."""
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, self._stream.fileno())
        os.close(void)
