"""How a trial ended: a value with its reason, never an exception."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from preflight.trials.balancing import Balance
from preflight.trials.noise import NoiseMoment

COMPLETED = "completed"
PRUNED = "pruned"
DIVERGED = "diverged"
OUT_OF_MEMORY = "out_of_memory"
CRASHED = "crashed"
INTERRUPTED = "interrupted"

# A score is relative to the best constant predictor (1.0). Nothing counts as worse than this, and a run that
# diverged counts as this, so that a sampler learns from it and no finite score is ranked below it.
WORST_SCORE = 10.0


@dataclass(frozen=True)
class Outcome:
    """``step``, ``batch``, ``culprit`` say where it went wrong: step, batch of its epoch, loss or parameter.

    ``samples`` are numbers of training samples in that batch: those that are not finite themselves, or the first few.
    """

    status: str
    reason: str = ""
    step: int | None = None
    batch: int | None = None
    culprit: str | None = None
    samples: tuple[int, ...] = ()
    traceback: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Fields that are set, as JSON has them."""
        found = asdict(self) | {"samples": list(self.samples)}
        return {key: value for key, value in found.items() if value not in (None, "", [])}


@dataclass(frozen=True)
class Result:
    """What a trial answers: its outcome, its last validation score and metric, and the steps it spent.

    ``spared_s`` are the seconds that it would have taken besides, had its process kept no samples. ``balance`` are the
    loss weights of a run that balanced them, ``noise`` the gradient noise scales of one that was asked for them.
    """

    outcome: Outcome
    score: float
    metric: float
    losses: dict[str, float]
    steps_done: int
    seconds: float
    spared_s: float = 0.0
    balance: Balance | None = None
    noise: tuple[NoiseMoment, ...] = ()

    @property
    def penalized(self) -> float:
        """Finite score for a sampler; see :data:`WORST_SCORE`."""
        return min(self.confirmed, WORST_SCORE)

    @property
    def confirmed(self) -> float:
        """Score of a run that came to an end of its own; infinite for one that was lost."""
        usable = self.outcome.status in (COMPLETED, PRUNED) and math.isfinite(self.score)
        return self.score if usable else math.inf
