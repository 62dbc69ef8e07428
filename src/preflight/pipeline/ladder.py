"""Stage 2: a ladder of constant learning rates, several seeds on every rung, bounds the axis that is searched."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from preflight.advise.ladder import BEST, Rung, ladder_label, lr_bounds, read_ladder
from preflight.core.errors import NothingTrainedError
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Audience
from preflight.pipeline.inspection import Inspection, normalization_that_fits
from preflight.search.engines.base import Engine
from preflight.telemetry.recording import Run
from preflight.trials.lab import CONSTANT_LR, TrialSpec
from preflight.trials.outcome import Result

LOWEST, HIGHEST = 1e-5, 1.0


class Ladders:
    """The ladders of a run: one for every normalization of the inputs that was asked for, each climbed once."""

    def __init__(
        self,
        engine: Engine,
        run_dir: Path,
        inspection: Inspection,
        budget: BudgetSettings,
        seed: int,
        audience: Audience,
    ) -> None:
        self._engine, self._run_dir, self._budget, self._seed, self._audience = engine, run_dir, budget, seed, audience
        self._today = inspection.today.params
        self._fitting, self._inspection = self._today, inspection
        self.climbed: dict[str, list[Rung]] = {}

    def of(self, params: Params) -> list[Rung]:
        """The rungs of a normalization, with today's other settings."""
        label = ladder_label(params)
        if label not in self.climbed:
            settings = replace(
                self._today, normalization=params.normalization, target_normalization=params.target_normalization
            )
            self.climbed[label] = climb(
                self._engine,
                self._run_dir,
                settings,
                self._budget,
                self._seed,
                self._audience,
                label,
                _constant_loss(self._inspection, settings),
            )
        return self.climbed[label]

    def bounds(self, free: Collection[str] = ()) -> tuple[float, float]:
        """Bounds of the learning rate over today's fields, and with the ``free`` ones normalized as their kinds ask.

        ``free`` are settings, such as ``normalization.input``.
        """
        fitting = {name: option for name, option in normalization_that_fits(self._inspection).items() if name in free}
        self._fitting = self._today.with_values(fitting)
        bounds = [lr_bounds(self.of(self._today))]
        try:
            bounds.append(lr_bounds(self.of(self._fitting)))
        except NothingTrainedError as error:  # a model may look its inputs up in a table, as they are
            self._audience.say(f"{ladder_label(self._fitting)}: {error}")
            self._fitting = self._today
        return min(low for low, _ in bounds), max(high for _, high in bounds)

    def hints(self) -> list[Params]:
        """The best rung of every ladder: measured already, and so worth one of the trials."""
        found = []
        for params in (self._today, self._fitting):
            rungs = self.climbed.get(ladder_label(params), [])
            found += [params.with_values({"lr": rung.lr}) for rung in rungs if rung.verdict == BEST]
        return list({params.key(): params for params in found if params.key() != self._today.key()}.values())


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
    results = list(engine.run(specs, audience.advance))
    audience.end()
    rungs = read_ladder(Run(run_dir, {}).recordings("range")[first:], constant)
    if not rungs:
        raise NothingTrainedError(f"none of {len(specs)} short runs made a step: {reasons(results)}")
    return rungs


def reasons(results: Iterable[Result]) -> str:
    """Why trials ended, each reason once."""
    return "; ".join(dict.fromkeys(result.outcome.reason for result in results if result.outcome.reason))


def _constant_loss(inspection: Inspection, params: Params) -> float | None:
    """Weighted loss of the best constant predictors, as it is trained; None where one of them is not known."""
    constants, weights = inspection.constants_with(params), params.loss_weights
    known = [weights[name] * value for name, value in constants.items() if value is not None]
    return sum(known) if len(known) == len(constants) else None
