"""Stage 2: a ladder of constant learning rates, several seeds on every rung, bounds the axis that is searched."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from preflight.advise.ladder import Rung, read_ladder
from preflight.core.errors import NothingTrainedError
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Audience
from preflight.search.engines.base import Engine
from preflight.telemetry.recording import Run
from preflight.trials.lab import CONSTANT_LR, TrialSpec
from preflight.trials.outcome import Result

LOWEST, HIGHEST = 1e-5, 1.0


def learning_rates(today: float) -> list[float]:
    """Half-decade steps from 1e-5 to 1, further where today's rate lies outside, and today's rate itself."""
    low = min(round(2 * math.log10(LOWEST)), math.floor(2 * math.log10(today)) - 1)
    high = max(round(2 * math.log10(HIGHEST)), math.ceil(2 * math.log10(today)) + 1)
    steps = {float(f"{10 ** (half / 2):.1g}") for half in range(low, high + 1)}
    return sorted(steps | {today})


def climb(
    engine: Engine,
    run_dir: Path,
    params: Params,
    budget: BudgetSettings,
    seed: int,
    audience: Audience,
    label: str,
    constant: float | None,
) -> list[Rung]:
    """Train every rung at a constant rate, without warmup; ``constant`` is the loss of the best constant predictor."""
    rates = learning_rates(params.lr)
    first = len(Run(run_dir, {}).recordings("range"))
    specs: list[TrialSpec] = []
    for lr in rates:
        settings = params.with_values({"lr": lr, "warmup_fraction": 0.0})
        for offset in range(budget.range_seeds):
            index = first + len(specs)
            specs.append(TrialSpec("range", index, settings, seed + offset, budget.range_steps, 0, CONSTANT_LR))
    audience.begin(f"learning rates, {label}", len(specs))
    results = []
    for result in engine.run(specs):
        results.append(result)
        audience.advance()
    audience.end()
    rungs = read_ladder(Run(run_dir, {}).recordings("range")[first:], constant)
    if not rungs:
        raise NothingTrainedError(f"none of {len(specs)} short runs made a step: {reasons(results)}")
    return rungs


def reasons(results: Iterable[Result]) -> str:
    """Why trials ended, each reason once."""
    return "; ".join(dict.fromkeys(result.outcome.reason for result in results if result.outcome.reason))
