"""Stage 2: a ladder of constant learning rates, several seeds on every rung, bounds the axis that is searched."""

from __future__ import annotations

import math

from preflight.advise.ladder import Rung, read_ladder
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Audience
from preflight.telemetry.recording import Run
from preflight.telemetry import store
from preflight.trials.lab import CONSTANT_LR, Lab, TrialSpec
from preflight.trials.outcome import DIVERGED, INTERRUPTED

LOWEST, HIGHEST = 1e-5, 1.0
# Higher up the ladder it only gets worse.
EXPLODED_RUNGS = 2


def learning_rates(today: float) -> list[float]:
    """Half-decade steps from 1e-5 to 1, further where today's rate lies outside, and today's rate itself."""
    low = min(round(2 * math.log10(LOWEST)), math.floor(2 * math.log10(today)) - 1)
    high = max(round(2 * math.log10(HIGHEST)), math.ceil(2 * math.log10(today)) + 1)
    steps = {float(f"{10 ** (half / 2):.1g}") for half in range(low, high + 1)}
    return sorted(steps | {today})


def climb(
    lab: Lab, params: Params, budget: BudgetSettings, seed: int, audience: Audience, label: str
) -> list[Rung]:
    """Train every rung at a constant rate without warmup; stops above two rungs on which every seed diverged."""
    rates = learning_rates(params.lr)
    audience.begin(f"learning rates, {label}", len(rates) * budget.range_seeds)
    first = len(Run(lab.run_dir, {}).recordings("range"))
    index, lost = first, 0
    for lr in rates:
        diverged = 0
        for offset in range(budget.range_seeds):
            settings = params.with_values({"lr": lr, "warmup_fraction": 0.0})
            spec = TrialSpec("range", index, settings, seed + offset, budget.range_steps, 0, CONSTANT_LR)
            result = lab.run(spec)
            if result.outcome.status == INTERRUPTED:
                raise KeyboardInterrupt
            diverged += result.outcome.status == DIVERGED
            audience.advance()
            index += 1
        lost = lost + 1 if diverged == budget.range_seeds else 0
        if lost == EXPLODED_RUNGS and lr >= params.lr:
            break
    audience.end()
    return read_ladder(Run(lab.run_dir, {}).recordings("range")[first:])
