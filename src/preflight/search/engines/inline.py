"""One trial after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight.search.engines.base import Ended, unheard
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import INTERRUPTED, Result


class Inline:
    """See :class:`preflight.search.engines.base.Engine`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        """Results of ``specs``."""
        for spec in specs:
            result = self._lab.run(spec)
            if result.outcome.status == INTERRUPTED:
                raise KeyboardInterrupt
            ended()
            yield result

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        """Result of ``spec``."""
        return self._lab.run(spec, hopeless)

    def close(self) -> None:
        """Nothing to end."""
