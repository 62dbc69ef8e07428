from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from preflight.advise.choose import MAX_ROUNDS
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Recommendation
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.audience import Nobody
from preflight.pipeline.confirmation import PROOF_SEEDS, SEEDS_PER_RUN, Bench, confirm
from preflight.search.engines.base import Ended, unheard
from preflight.trials.lab import TrialSpec
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import COMPLETED, DIVERGED, Outcome, Result

TODAY = Params(lr=0.3, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
BETTER = TODAY.with_values({"lr": 0.003, "normalization.input": "standardize"})
BUDGET = BudgetSettings(
    trials=1,
    trial_steps=10,
    rungs=2,
    range_steps=8,
    range_seeds=1,
    candidates=2,
    seeds=5,
    confirm_steps=600,
    validation_samples=10,
)
# (settings, seed, whether on fresh seeds) -> (score, metric)
Model = Callable[[Params, int, bool], "float | tuple[float, float]"]


def wobble(seed: int) -> float:
    """Noise of a seed that every setting shares."""
    return 1 + 0.05 * math.sin(1000 * seed)


def noise(params: Params, seed: int) -> float:
    """Noise of a seed that is another one for every setting."""
    return 1 + 0.05 * math.sin(1000 * seed * params.lr)


@dataclass
class FakeEngine:
    """Scores by a formula in place of training."""

    model: Model
    specs: list[TrialSpec] = field(default_factory=list)

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        for spec in specs:
            ended()
            self.specs.append(spec)
            answer = self.model(spec.params, spec.seed, spec.purpose == "proof")
            score, metric = answer if isinstance(answer, tuple) else (answer, math.nan)
            status = COMPLETED if math.isfinite(score) else DIVERGED
            yield Result(Outcome(status), score, metric, {}, spec.steps, 0.0)

    def close(self) -> None:
        raise AssertionError("the flight closes its engine")

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        raise AssertionError("nothing that is confirmed is given up")


def decide(
    model: Model,
    candidates: Sequence[Params] = (BETTER,),
    *,
    goal: str | None = None,
    finish: Callable[[Params], Params] = lambda params: params,
    seed: int = 0,
    horizon: int = 1000,
) -> tuple[Recommendation, FakeEngine]:
    engine = FakeEngine(model)
    bench = Bench(engine, BUDGET, seed, horizon, Nobody())
    return confirm(bench, TODAY, candidates, goal, finish), engine


def both_faults(params: Params, seed: int, fresh: bool) -> float:
    """Each of the two changes helps, and the two together help more."""
    lr, raw = params.lr > 0.1, params.normalization["input"] == "none"
    return wobble(seed) * 0.1 * (2 if lr else 1) * (4 if raw else 1)


def is_kept(answer: Recommendation) -> bool:
    return answer.decision == KEEP and answer.recommended == TODAY and answer.changes == ()


def test_settings_that_are_better_are_recommended() -> None:
    answer, _ = decide(both_faults)
    assert answer.decision == CHANGE
    assert answer.today == TODAY
    assert answer.recommended == BETTER
    assert answer.gain is not None
    assert answer.gain.gain == pytest.approx(1 - 1 / 8)
    assert answer.reason.startswith("on fresh seeds it takes 88%")


def test_every_change_has_its_effect_alone_and_on_top_of_the_others() -> None:
    answer, _ = decide(both_faults)
    lr, normalization = answer.changes
    assert (lr.name, lr.old, lr.new) == ("lr", 0.3, 0.003)
    assert (lr.alone.gain, lr.needed.gain) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (normalization.name, normalization.new) == ("normalization.input", "standardize")
    assert normalization.alone.gain == pytest.approx(0.75)


def test_a_change_that_earns_nothing_is_left_out() -> None:
    idle = BETTER.with_values({"warmup_fraction": 0.1, "weight_decay": 0.1})
    answer, engine = decide(both_faults, [idle])
    assert answer.recommended == BETTER
    assert [change.name for change in answer.changes] == ["lr", "normalization.input"]
    assert all(spec.params in (TODAY, BETTER) for spec in engine.specs if spec.purpose == "proof")


def test_a_change_that_only_works_with_another_one_stays() -> None:
    def together(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) * (0.1 if params == BETTER else 0.5)

    answer, _ = decide(together)
    assert answer.recommended == BETTER
    assert [change.alone.is_better for change in answer.changes] == [False, False]
    assert [change.needed.is_better for change in answer.changes] == [True, True]


def test_without_candidates_todays_settings_stay() -> None:
    answer, engine = decide(both_faults, [])
    assert (answer.decision, answer.recommended, answer.changes) == (CANNOT_TELL, TODAY, ())
    assert "budget.trials" in answer.reason
    assert engine.specs == []


def test_when_nothing_is_better_todays_settings_stay() -> None:
    answer, engine = decide(lambda params, seed, fresh: wobble(seed) * (0.1 if params == TODAY else 0.2))
    assert is_kept(answer)
    assert "yours are as good or better" in answer.reason
    assert answer.before is not None
    assert {spec.purpose for spec in engine.specs} == {"confirm"}


def test_equal_scores_are_no_reason_to_change() -> None:
    assert is_kept(decide(lambda params, seed, fresh: wobble(seed))[0])


def test_a_gain_within_the_noise_is_no_reason_to_change() -> None:
    def noisy(params: Params, seed: int, fresh: bool) -> float:
        return 0.5 * (1 + 0.5 * math.sin(1000 * seed * params.lr)) * (1.0 if params == TODAY else 0.95)

    answer, _ = decide(noisy)
    assert is_kept(answer)


def test_a_gain_too_small_for_a_line_is_no_reason_to_change() -> None:
    answer, _ = decide(lambda params, seed, fresh: wobble(seed) * (0.5 if params == TODAY else 0.495))
    assert is_kept(answer)
    assert "too little to change a line for" in answer.reason


def test_a_gain_that_does_not_repeat_on_fresh_seeds_is_no_reason_to_change() -> None:
    def lucky(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) if fresh else both_faults(params, seed, fresh)

    answer, _ = decide(lucky)
    assert is_kept(answer)
    assert answer.reason.startswith(
        "the gain did not repeat on fresh seeds, where lr=0.003, normalization.input=standardize takes 0%"
    )
    assert answer.gain is not None
    assert answer.gain.gain == pytest.approx(0, abs=1e-9)


def test_a_loss_on_fresh_seeds_is_no_reason_to_change() -> None:
    def worse(params: Params, seed: int, fresh: bool) -> float:
        score = both_faults(params, seed, fresh)
        return 1 / score if fresh else score

    assert is_kept(decide(worse)[0])


def test_what_is_no_better_than_a_constant_cannot_be_told_apart_from_a_dead_network() -> None:
    answer, _ = decide(lambda params, seed, fresh: 12 * both_faults(params, seed, fresh))
    assert answer.decision == CANNOT_TELL
    assert "no better than predicting a constant" in answer.reason
    assert answer.recommended == TODAY
    assert answer.changes == ()
    assert answer.before is not None
    assert answer.after is not None


def test_a_hair_better_than_a_constant_is_no_better_than_a_constant() -> None:
    def dead(params: Params, seed: int, fresh: bool) -> float:
        return 0.999 if params == BETTER else 1.25 * wobble(seed)

    assert decide(dead)[0].decision == CANNOT_TELL


@pytest.mark.parametrize(("goal", "decision"), [("minimize", CANNOT_TELL), ("maximize", CHANGE), (None, CHANGE)])
def test_a_metric_that_gets_worse_is_the_users_to_decide(goal: str | None, decision: str) -> None:
    def at_odds(params: Params, seed: int, fresh: bool) -> tuple[float, float]:
        score = both_faults(params, seed, fresh)
        return score, 1 / score

    answer, _ = decide(at_odds, goal=goal)
    assert answer.decision == decision
    if decision == CANNOT_TELL:
        assert "the metric gets worse" in answer.reason
        assert answer.recommended == TODAY
        assert answer.changes == ()


def test_a_metric_that_wobbles_is_no_objection() -> None:
    def steady(params: Params, seed: int, fresh: bool) -> tuple[float, float]:
        return both_faults(params, seed, fresh), noise(params, seed)

    assert decide(steady, goal="minimize")[0].decision == CHANGE


def test_settings_that_diverge_today_are_worse_than_any_that_do_not() -> None:
    def today_diverges(params: Params, seed: int, fresh: bool) -> float:
        return both_faults(params, seed, fresh) if params.lr < 0.1 else math.nan

    answer, _ = decide(today_diverges)
    assert answer.decision == CHANGE
    assert answer.before is not None
    assert set(answer.before.scores.values()) == {math.inf}


def test_the_better_of_the_candidates_is_proved() -> None:
    worse = TODAY.with_values({"lr": 0.05})
    answer, _ = decide(both_faults, [worse, BETTER])
    assert answer.recommended == BETTER


def test_each_setting_is_trained_once_on_each_seed() -> None:
    idle = BETTER.with_values({"warmup_fraction": 0.1})
    _, engine = decide(both_faults, [idle, TODAY.with_values({"lr": 0.05})])
    done = Counter((spec.purpose, spec.params.key(), spec.seed) for spec in engine.specs)
    assert set(done.values()) == {1}
    for purpose in ("confirm", "proof"):
        numbers = [spec.index for spec in engine.specs if spec.purpose == purpose]
        assert numbers == list(range(len(numbers)))


def test_settings_are_compared_on_the_same_seeds() -> None:
    answer, engine = decide(both_faults)
    by_params: dict[Any, set[int]] = {}
    for spec in engine.specs:
        by_params.setdefault((spec.purpose, spec.params.key()), set()).add(spec.seed)
    assert len({frozenset(seeds) for (purpose, _), seeds in by_params.items() if purpose == "confirm"}) == 1
    assert answer.before is not None
    assert answer.after is not None
    assert set(answer.before.scores) == set(answer.after.scores) == by_params["proof", TODAY.key()]


def test_what_chooses_and_what_proves_share_no_seed() -> None:
    noisy: dict[str, set[int]] = {"confirm": set(), "proof": set()}

    def undecided(params: Params, seed: int, fresh: bool) -> float:
        return noise(params, seed) ** 20 * (0.6 if params == TODAY else 0.3)

    for seed in range(3):
        found: set[int] = set()
        for model in (both_faults, undecided):
            _, engine = decide(model, seed=seed)
            for spec in engine.specs:
                noisy[spec.purpose].add(spec.seed)
                found.add(spec.seed)
        assert {item // SEEDS_PER_RUN for item in found} == {seed}
    assert not noisy["confirm"] & noisy["proof"]
    assert min(noisy["proof"]) == PROOF_SEEDS


def test_an_answer_that_is_open_gets_more_seeds_and_not_for_ever() -> None:
    def open_for_ever(params: Params, seed: int, fresh: bool) -> float:
        return 0.5 if params == TODAY else 0.5 * (0.1 if seed % BUDGET.seeds == 0 else 1.02)

    answer, engine = decide(open_for_ever)
    assert is_kept(answer)
    assert "within the noise of the seeds" in answer.reason
    assert len({spec.seed for spec in engine.specs}) == MAX_ROUNDS * BUDGET.seeds


def test_an_answer_that_is_clear_takes_one_round() -> None:
    _, engine = decide(both_faults)
    assert len({spec.seed for spec in engine.specs if spec.purpose == "confirm"}) == BUDGET.seeds


@pytest.mark.parametrize(("horizon", "steps"), [(1000, 600), (100, 100)])
def test_a_confirming_run_is_no_longer_than_the_long_run(horizon: int, steps: int) -> None:
    answer, engine = decide(both_faults, horizon=horizon)
    assert answer.steps == steps
    assert {spec.steps for spec in engine.specs} == {steps}


def test_what_is_proved_is_what_can_be_written() -> None:
    def finish(params: Params) -> Params:
        return params if params == TODAY else replace(params, warmup_fraction=0.0625)

    answer, engine = decide(both_faults, finish=finish)
    proved = {spec.params.key(): spec.params for spec in engine.specs if spec.purpose == "proof"}
    assert list(proved.values()) == [TODAY, finish(BETTER)]
    assert answer.recommended == finish(BETTER)
    assert [change.name for change in answer.changes] == ["lr", "normalization.input"]


def test_an_answer_survives_the_run_directory() -> None:
    for model in (both_faults, lambda params, seed, fresh: wobble(seed)):
        answer, _ = decide(model)
        assert Recommendation.from_dict(answer.as_dict()) == answer


def test_seeds_that_differ_too_much_are_no_reason_to_keep_or_change() -> None:
    def wild(params: Params, seed: int, fresh: bool) -> float:
        return 1.0 if params == TODAY else math.exp(-0.1 + 4 * math.sin(1000 * seed))

    answer, _ = decide(wild)
    assert answer.decision == CANNOT_TELL
    assert answer.recommended == TODAY
    assert "budget.seeds" in answer.reason
