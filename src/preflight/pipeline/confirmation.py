"""Stage 4: today's settings and the candidates on the same seeds, then every single change, then fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflight.advise import choose
from preflight.advise.evidence import effect
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Change, Measured, Recommendation
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Audience
from preflight.search.engines.base import Engine
from preflight.trials.lab import TrialSpec

# Seeds of the stages do not overlap: what chose a setting must not be what proves it.
CONFIRM_SEEDS, PROOF_SEEDS = 1000, 2000


class Bench:
    """Trains settings on a fixed set of seeds, each of them once."""

    def __init__(
        self,
        engine: Engine,
        budget: BudgetSettings,
        seeds: Sequence[int],
        steps: int,
        purpose: str,
        audience: Audience,
    ) -> None:
        self._engine, self._budget, self._audience = engine, budget, audience
        self.seeds, self.steps, self.purpose = tuple(seeds), steps, purpose
        self._known: dict[object, Measured] = {}
        self._index = 0

    def scores(self, settings: Sequence[Params]) -> list[Mapping[int, float]]:
        """Scores by seed of each of the settings."""
        return [measured.scores for measured in self.measure(settings)]

    def measure(self, settings: Sequence[Params]) -> list[Measured]:
        """Scores and metrics by seed; a run that diverged has the worst score and no metric."""
        new = {params.key(): params for params in settings if params.key() not in self._known}
        specs = [self._spec(params, seed) for params in new.values() for seed in self.seeds]
        results = []
        for result in self._engine.run(specs):
            results.append(result)
            self._audience.advance()
        for index, key in enumerate(new):
            own = results[index * len(self.seeds) : (index + 1) * len(self.seeds)]
            scores = {seed: result.penalized for seed, result in zip(self.seeds, own, strict=True)}
            metrics = {seed: result.metric for seed, result in zip(self.seeds, own, strict=True)}
            self._known[key] = Measured(scores, metrics)
        return [self._known[params.key()] for params in settings]

    def _spec(self, params: Params, seed: int) -> TrialSpec:
        self._index += 1
        return TrialSpec(self.purpose, self._index - 1, params, seed, self.steps, self._budget.rungs)


def confirm(
    engine: Engine,
    today: Params,
    candidates: Sequence[Params],
    budget: BudgetSettings,
    seed: int,
    horizon_steps: int,
    goal: str | None,
    audience: Audience,
) -> Recommendation:
    """Choose on one set of seeds and prove on another; the answer may be to keep today's settings."""
    steps = min(budget.confirm_steps, horizon_steps)
    seeds = [seed + CONFIRM_SEEDS + offset for offset in range(budget.seeds)]
    bench = Bench(engine, budget, seeds, steps, "confirm", audience)
    if not candidates:
        return Recommendation(KEEP, "no other settings finished a trial", today, today, steps=steps)
    audience.begin("confirm", budget.seeds * (1 + len(candidates)))
    best, gain = choose.best_candidate(today, candidates, bench.scores)
    audience.end()
    if not gain.is_better:
        reason = f"the best candidate takes {gain} off the validation score, which is within the noise of the seeds"
        return Recommendation(KEEP, reason, today, today, gain=gain, before=bench.measure([today])[0], steps=steps)
    audience.begin("single changes", budget.seeds * 2 * len(best.changes_from(today)))
    chosen, needed = choose.minimal(today, best, bench.scores)
    changes = choose.changes(today, chosen, needed, bench.scores)
    audience.end()
    if not changes:
        return Recommendation(KEEP, "no single change earned its place", today, today, steps=steps)
    return _proved(engine, today, chosen, changes, budget, seed, steps, goal, audience)


def _proved(
    engine: Engine,
    today: Params,
    chosen: Params,
    changes: tuple[Change, ...],
    budget: BudgetSettings,
    seed: int,
    steps: int,
    goal: str | None,
    audience: Audience,
) -> Recommendation:
    seeds = [seed + PROOF_SEEDS + offset for offset in range(budget.seeds)]
    bench = Bench(engine, budget, seeds, steps, "proof", audience)
    audience.begin("fresh seeds", 2 * budget.seeds)
    before, after = bench.measure([today, chosen])
    audience.end()
    gain = effect(before.scores, after.scores)
    decision, reason = CHANGE, f"on fresh seeds it takes {gain} off the validation score"
    if not gain.is_better:
        decision, reason = KEEP, f"the gain did not repeat on fresh seeds, where it was {gain}"
    elif not choose.beats_constant(after.scores):
        decision = CANNOT_TELL
        reason = "the best settings found are better than today's, but no better than predicting a constant"
    elif goal is not None and choose.metric_is_worse(before, after, goal):
        decision, reason = (
            CANNOT_TELL,
            "the losses improve and the metric gets worse: decide which of them you want",
        )
    recommended = chosen if decision == CHANGE else today
    kept = changes if decision == CHANGE else ()
    return Recommendation(decision, reason, today, recommended, kept, gain, before, after, steps)
