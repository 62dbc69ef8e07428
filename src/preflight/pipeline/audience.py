"""Who watches a run: the terminal, or nobody."""

from __future__ import annotations

from typing import Protocol


class Audience(Protocol):
    """Told what happens, as it happens."""

    def say(self, text: str) -> None:
        """A sentence that stays."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of ``total`` training runs starts; ``total`` is an upper bound."""

    def advance(self, best: float | None = None) -> None:
        """A training run ended; ``best`` is the best score so far."""

    def end(self) -> None:
        """The stage is over."""


class Nobody:
    """An audience that is not there."""

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, stage: str, total: int) -> None:
        """Nothing."""

    def advance(self, best: float | None = None) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
