"""How safe the recommended learning rate is, which settings came next, and which of them the scores hung on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from preflight.advise.evidence import Effect
from preflight.advise.importance import Importance, Share
from preflight.advise.ladder import EXPLODES, Rung
from preflight.advise.margin import FLAT, Beside, Reach, Valley, close_walls, reach, valley
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.advise.runners import Runner, runners_up
from preflight.core.params import Params
from preflight.report import format as fmt
from preflight.report.sources import SCORED, Sources, normalization_label
from preflight.telemetry import store

# Every ladder has its own of these.
_OF_LADDER = ("lr", "warmup_fraction")
_GROUPS = ("normalization.", "target_normalization.")
_HOW = {EXPLODES: "runs explode", "too high": "runs no longer learn", "lost": "a run was lost"}


@dataclass(frozen=True)
class RateRow:
    """A learning rate beside the best one around the recommended."""

    lr: str
    cost: str
    interval: str
    note: str
    is_recommended: bool


@dataclass(frozen=True)
class RunnerRow:
    """Settings that came next, by what differs from today's."""

    settings: str
    cost: str
    interval: str
    note: str


@dataclass(frozen=True)
class ShareRow:
    """How much of the spread of the scores a setting explains."""

    name: str
    share: str
    interval: str
    note: str


@dataclass(frozen=True)
class Margins:
    """``walls`` are warnings; ``reach`` and ``valley`` sentences about the learning rate."""

    walls: tuple[str, ...]
    reach: str
    valley: str
    rates: tuple[RateRow, ...]
    runners: tuple[RunnerRow, ...]


@dataclass(frozen=True)
class Mattered:
    """Which of the searched settings mattered: in a sentence, and by share."""

    sentence: str
    rows: tuple[ShareRow, ...]


def margins(sources: Sources) -> Margins | None:
    """The margins of an answer; None without one."""
    answer = sources.recommendation
    if answer is None:
        return None
    found, around = reach_of(sources, answer), valley(answer.around)
    return Margins(
        walls=walls(sources),
        reach=_reach_text(found, answer, sources),
        valley="" if around is None else _valley_text(around),
        rates=() if around is None else tuple(_rate_row(rate, around, answer) for rate in around.rates),
        runners=tuple(_runner_row(runner, sources.today) for runner in runners_of(sources, answer)),
    )


def walls(sources: Sources) -> tuple[str, ...]:
    """What is dangerously near to the learning rate of the answer, one warning each; empty without an answer."""
    answer = sources.recommendation
    if answer is None:
        return ()
    lr, whose = answer.recommended.lr, "The recommended" if answer.decision == CHANGE else "Today's"
    around = valley(answer.around)
    costs = {} if around is None else {rate.lr: rate.cost for rate in around.rates}
    found = dict(close_walls(lr, reach_of(sources, answer), around))
    return tuple(
        f"{whose} lr={fmt.plain(lr)} is close to a wall: {_happens(how, costs.get(rate, math.nan))} "
        f"at {fmt.plain(rate)}, {_beside_text(rate / lr)}."
        for rate, how in found.items()
    )


def _happens(how: str, cost: float) -> str:
    return _HOW.get(how) or f"the score is {fmt.percent(cost)} higher"


def _beside_text(factor: float) -> str:
    """``1.8x above``; what is no more than a rounding away is ``there already``."""
    if factor > 1:
        return f"{_times(factor)} above"
    return f"{_times(1 / factor)} below" if factor < 1 else "the same rate"


def _times(factor: float) -> str:
    return f"{factor:.2g}x" if factor < 100 else f"{fmt.number(factor)}x"


def reach_of(sources: Sources, answer: Recommendation) -> Reach | None:
    """What the ladder with the normalization of the answer says of its learning rate."""
    rungs = sources.run.info.get("ladders", {}).get(normalization_label(answer.recommended), [])
    return reach(answer.recommended.lr, [Rung(**rung) for rung in rungs])


def _reach_text(found: Reach | None, answer: Recommendation, sources: Sources) -> str:
    lr = fmt.plain(answer.recommended.lr)
    if found is None:
        label = normalization_label(answer.recommended)
        return f"Cannot tell how far lr={lr} is from diverging: no ladder of learning rates was climbed with {label}."
    steps = sources.run.info.get("budget", {}).get("range_steps")
    held = f"Held constant for {steps} steps{_with_todays(answer)}"
    if found.fails_at is None:
        return f"{held}, none of the rates up to {fmt.plain(found.highest)} explodes or stops learning{_room(found)}."
    return f"{held}, {_HOW[found.how]} at lr={fmt.plain(found.fails_at)}{_trained(found)}: {_distance(found, lr)}."


def _with_todays(answer: Recommendation) -> str:
    """The ladder has today's other settings; which of them the answer changes."""
    others = [
        name
        for name in answer.recommended.changes_from(answer.today)
        if name not in _OF_LADDER and not name.startswith(_GROUPS) and name != "num_workers"
    ]
    return f" with today's {', '.join(others)}" if others else ""


def _room(found: Reach) -> str:
    factor = found.highest / found.lr
    return f", {_apart(factor)} above {fmt.plain(found.lr)}" if factor > 1 else ""


def _trained(found: Reach) -> str:
    return "" if found.trains_at is None else f" and still train at {fmt.plain(found.trains_at)}"


def _distance(found: Reach, lr: str) -> str:
    if found.factor > 1:
        return f"{_apart(found.factor)} above {lr}"
    return f"{lr} is that rate" if found.factor == 1 else f"{lr} lies {_apart(1 / found.factor)} beyond it"


def _apart(factor: float) -> str:
    """``1.3 decades (20x)``."""
    decades = f"{math.log10(factor):.1f}"
    return f"{decades} decade{'s' * (decades != '1.0')} ({_times(factor)})"


def _valley_text(around: Valley) -> str:
    rates = f"from {fmt.plain(around.low)} to {fmt.plain(around.high)}, {_apart(around.high / around.low)}"
    where = rates if around.high > around.low else f"at {fmt.plain(around.low)} alone"
    ends = (("below", around.below), ("above", around.above))
    untried = " or ".join(side for side, rate in ends if rate is None)
    more = f"; what lies {untried} was not tried" if untried else ""
    return f"The score stays within {FLAT:.0%} of the best {where}{more}."


def _rate_row(rate: Beside, around: Valley, answer: Recommendation) -> RateRow:
    is_best = rate.lr == around.best
    return RateRow(
        lr=fmt.plain(rate.lr),
        cost="best" if is_best else _signed(rate.cost),
        interval="" if rate.effect is None else cost_interval(rate.effect),
        note=_rate_note(rate, is_best=is_best),
        is_recommended=rate.lr == answer.recommended.lr,
    )


def _rate_note(rate: Beside, *, is_best: bool) -> str:
    if rate.is_lost:
        return "a run was lost"
    if is_best or rate.effect is None:
        return ""
    if rate.is_sure:
        return "worse"
    return _within_noise(rate.effect) if rate.effect.low <= 0 <= rate.effect.high else ""


def _within_noise(effect: Effect) -> str:
    return f"within the noise of {fmt.count(effect.seeds, 'seed')}"


def _signed(cost: float) -> str:
    text = fmt.percent(cost)
    return f"+{text}" if cost > 0 else text


def cost_interval(effect: Effect) -> str:
    """What a change adds to the score, where an effect tells what it takes off: ``12 to 56%``."""
    return fmt.interval(Effect(-effect.gain, -effect.high, -effect.low, effect.seeds))


def runners_of(sources: Sources, answer: Recommendation) -> tuple[Runner, ...]:
    """The next best of what the confirming runs measured."""
    measured: dict[object, tuple[Params, dict[int, float]]] = {}
    for recording in sources.finished("confirm"):
        params = recording.params
        is_scored = recording.status in SCORED and math.isfinite(recording.score)
        measured.setdefault(params.key(), (params, {}))[1][recording.seed] = recording.score if is_scored else math.inf
    return runners_up(list(measured.values()), answer.recommended, answer.today, bool(answer.around))


def _runner_row(runner: Runner, today: Params) -> RunnerRow:
    changes = runner.params.changes_from(today)
    return RunnerRow(
        settings=", ".join(f"{name} {fmt.setting(name, value)}" for name, value in changes.items()),
        cost=_signed(-runner.effect.gain),
        interval=cost_interval(runner.effect),
        note=_within_noise(runner.effect) if runner.is_within_noise else "",
    )


def mattered(sources: Sources) -> Mattered | None:
    """Which searched settings mattered; None where the run ended before that was computed."""
    document: Mapping[str, object] | None = sources.run.document(store.IMPORTANCE)
    if document is None:
        return None
    found = Importance.from_dict(document)
    rows = tuple(
        ShareRow(
            share.name,
            fmt.percent(share.share),
            _share_interval(share),
            "more than chance" if share.is_clear else "not told from chance",
        )
        for share in found.shares
    )
    return Mattered(_mattered_text(found), rows)


def _share_interval(share: Share) -> str:
    return f"{fmt.percent(share.low)} to {fmt.percent(share.high)}"


def _mattered_text(found: Importance) -> str:
    if found.why_not:
        return f"Cannot tell which setting mattered: {found.why_not}."
    trials = fmt.count(found.trials, "trial")
    lost = f", of which {found.lost} without a score count as the worst" if found.lost else ""
    if not found.clear:
        return f"Cannot tell which setting mattered: in {trials}{lost}, none explains more than random numbers would."
    said = " and ".join(
        f"{share.name} ({fmt.percent(share.share)} of the spread, {_share_interval(share)})" for share in found.clear
    )
    rest = "; of the others that cannot be told" if len(found.clear) < len(found.shares) else ""
    return f"In {trials}{lost}, the score hung on {said}{rest}."
