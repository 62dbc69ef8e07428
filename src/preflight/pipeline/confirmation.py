"""Stage 4: today's settings and the candidates on the same seeds, then every single change, then fresh seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from preflight.advise import choose, refine
from preflight.advise.evidence import Effect, effect
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Change, Measured, Near, Recommendation
from preflight.core.params import Params, ParamValue
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Audience
from preflight.search.engines.base import Engine
from preflight.trials.balancing import Balancing
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import Result

# Seeds of the stages do not overlap: what chose a setting must not be what proves it. A seed of the run is multiplied,
# so that runs with neighbouring seeds share none either.
SEEDS_PER_RUN, CONFIRM_SEEDS, PROOF_SEEDS = 10_000, 1000, 2000
# A proof takes so many times the steps of what chose: a gain that goes with the length of the run shows.
PROOF_LENGTH = 2

NO_ROOM = refine.Room()

NOTHING_ELSE = (
    "no settings but today's finished a trial, so there is nothing to compare: give it more trials (budget.trials)"
)


class Bench:
    """Trains settings on rounds of seeds, each setting and seed once."""

    def __init__(
        self,
        engine: Engine,
        budget: BudgetSettings,
        seed: int,
        horizon_steps: int,
        audience: Audience,
        purpose: str = "confirm",
        offset: int = CONFIRM_SEEDS,
    ) -> None:
        self._engine, self.budget, self.audience, self._seed = engine, budget, audience, seed
        self.first_seed, self.purpose = seed * SEEDS_PER_RUN + offset, purpose
        self.steps, self._horizon_steps = min(budget.confirm_steps, horizon_steps), horizon_steps
        self._known: dict[object, Measured] = {}
        self._made: Counter[str] = Counter()

    def for_proof(self) -> Bench:
        """A bench on seeds that this one never trains on, and of longer runs where the horizon has room for them."""
        budget = replace(self.budget, confirm_steps=PROOF_LENGTH * self.budget.confirm_steps)
        return Bench(self._engine, budget, self._seed, self._horizon_steps, self.audience, "proof", PROOF_SEEDS)

    def scores(self, settings: Sequence[Params], rounds: int) -> list[Mapping[int, float]]:
        """Scores by seed of each of the settings."""
        return [measured.scores for measured in self.measure(settings, rounds)]

    def measure(self, settings: Sequence[Params], rounds: int = 1) -> list[Measured]:
        """Scores and metrics by seed; a run that was lost has an infinite score and no metric."""
        seeds = range(self.first_seed, self.first_seed + rounds * self.budget.seeds)
        specs = []
        for params in {params.key(): params for params in settings}.values():
            known = self._known.setdefault(params.key(), Measured({}, {}))
            specs += [self._spec(params, seed, self.purpose) for seed in seeds if seed not in known.scores]
        for spec, result in zip(specs, self._engine.run(specs, self.audience.advance), strict=True):
            known = self._known[spec.params.key()]
            scores = {**known.scores, spec.seed: result.confirmed}
            self._known[spec.params.key()] = Measured(scores, {**known.metrics, spec.seed: result.metric})
        return [self._known[params.key()] for params in settings]

    def balance(self, params: Params, balancing: Balancing) -> list[Result]:
        """Results by seed of runs that begin with these settings and balance their losses."""
        seeds = range(self.first_seed, self.first_seed + self.budget.seeds)
        specs = [replace(self._spec(params, seed, "balance"), balancing=balancing) for seed in seeds]
        return list(self._engine.run(specs, self.audience.advance))

    def due(self, settings: Sequence[Params]) -> int:
        """Runs that a round of these settings takes beyond those that were made."""
        known = [self._known.get(key, Measured({}, {})) for key in {params.key() for params in settings}]
        return sum(max(0, self.budget.seeds - len(item.scores)) for item in known)

    def _spec(self, params: Params, seed: int, purpose: str) -> TrialSpec:
        self._made[purpose] += 1
        return TrialSpec(purpose, self._made[purpose] - 1, params, seed, self.steps, self.budget.rungs)


def confirm(
    bench: Bench,
    today: Params,
    candidates: Sequence[Params],
    goal: str | None,
    finish: Callable[[Params], Params],
    room: refine.Room = NO_ROOM,
) -> Recommendation:
    """Choose on one set of seeds and prove on another; the answer may be to keep today's settings.

    ``finish`` rounds what was chosen to what can be written, so that it is what is proved. In its ``room`` the answer
    may have another learning rate than any candidate, and a shorter warmup.
    """
    steps, audience, seeds = bench.steps, bench.audience, bench.budget.seeds
    if not candidates:
        return Recommendation(CANNOT_TELL, NOTHING_ELSE, today, today, steps=steps, confirm_steps=steps)
    audience.begin("confirm", bench.due([today, *candidates]))
    best, gain = choose.best_candidate(today, candidates, bench.scores)
    audience.end()
    if not gain.is_better:
        decision, reason = _not_better(gain)
        before = bench.measure([today])[0]
        return Recommendation(
            decision, reason, today, today, gain=gain, before=before, steps=steps, confirm_steps=steps
        )
    best, around = _refined(bench, today, best, finish, room)
    audience.begin("single changes", seeds * 2 * len(best.changes_from(today)))
    chosen, needed = choose.minimal(today, best, bench.scores)
    changes = choose.changes(today, chosen, needed, bench.scores)
    audience.end()
    chosen = finish(chosen)
    answer = _proved(bench.for_proof(), today, chosen, changes, goal)
    short = bench.scores([today, chosen], 1)
    answer = replace(answer, confirmed=effect(short[0], short[1]), confirm_steps=steps)
    return replace(answer, around=around) if answer.decision == CHANGE else answer


def _refined(
    bench: Bench, today: Params, best: Params, finish: Callable[[Params], Params], room: refine.Room
) -> tuple[Params, tuple[Near, ...]]:
    """The best candidate at the rate in the middle of its valley and with the shortest warmup; the rates around it."""
    audience, seeds = bench.audience, bench.budget.seeds
    around: tuple[Near, ...] = ()
    if room.lr is not None:
        audience.begin("learning rates around the best", seeds * (2 * refine.MAX_STEPS + 1))
        best, around = refine.learning_rate(best, bench.scores, room.lr)
        best = finish(best)
        audience.end()
    shorter = [finish(params) for params in refine.shorter_warmups(today, best, room.warmups)]
    if shorter:
        audience.begin("shorter warmups", seeds * len(shorter))
        best = next((item for item in shorter if choose.is_as_good(item, best, today, bench.scores)), best)
        audience.end()
    return best, around


def _not_better(gain: Effect) -> tuple[str, str]:
    """Decision and reason where the best of the candidates is not better beyond the noise."""
    found = f"the best of the settings searched {gain}"
    if gain.is_vague:
        return CANNOT_TELL, f"{found}: give it more seeds (budget.seeds)"
    if gain.gain <= 0:
        return KEEP, f"{found}: yours are as good or better"
    if gain.low <= 0:
        return KEEP, f"{found}, within the noise of the seeds"
    return KEEP, f"{found}, too little to change a line for"


def described(settings: Mapping[str, ParamValue]) -> str:
    """``lr=0.001, normalization.input=standardize``."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()
    )


def _not_repeated(gain: Effect, what: str) -> tuple[str, str]:
    """Decision and reason where a gain on the first seeds was not one on fresh seeds."""
    if gain.is_undecided or gain.is_vague:
        return CANNOT_TELL, f"on fresh seeds {what} {gain}: give it more seeds (budget.seeds)"
    return KEEP, f"the gain did not repeat on fresh seeds, where {what} {gain}"


def _proved(
    bench: Bench, today: Params, chosen: Params, changes: tuple[Change, ...], goal: str | None
) -> Recommendation:
    bench.audience.begin("fresh seeds", 2 * bench.budget.seeds)
    # Stopping as soon as the answer is clear looks at it several times: the interval is widened for that.
    gain = choose.compare(today, chosen, bench.scores, choose.MAX_ROUNDS)
    before, after = bench.measure([today, chosen])
    bench.audience.end()
    what = described(chosen.changes_from(today))
    decision, reason = CHANGE, f"on fresh seeds it {gain}"
    if not gain.is_better:
        decision, reason = _not_repeated(gain, what)
    elif not choose.beats_constant(after.scores):
        decision, reason = (
            CANNOT_TELL,
            f"{what} is better than today's settings, but no better than predicting a constant",
        )
    elif goal is not None and choose.metric_is_worse(before, after, goal):
        decision = CANNOT_TELL
        reason = f"with {what} the losses improve and the metric gets worse: decide which of them you want"
    recommended = chosen if decision == CHANGE else today
    kept = changes if decision == CHANGE else ()
    return Recommendation(decision, reason, today, recommended, kept, gain, before, after, bench.steps)
