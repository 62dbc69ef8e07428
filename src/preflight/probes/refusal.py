"""A refusal to train: a fault that a rule knows, found before any step, so that there is no run to ask the rule of."""

from __future__ import annotations

from preflight.core.errors import TaskError


class RefusedError(TaskError):
    """The task cannot be trained as given; ``code`` is the rule that says why, how it is seen and how it is mended."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(f"{message} ({code}, see `preflight rules {code}`)")
        self.code = code
