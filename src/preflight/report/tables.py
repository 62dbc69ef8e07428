"""Rows of the report's tables: every number a text already."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflight.advise.evidence import Effect
from preflight.advise.ladder import Rung
from preflight.advise.recommendation import Change
from preflight.core.params import Params
from preflight.core.units import split_unit
from preflight.report import format as fmt
from preflight.report.long_run import carries
from preflight.report.rates import Ladder, has_score, ranked
from preflight.report.sources import Sources, normalization_label, outcome
from preflight.report.typical import typical, typical_metric
from preflight.telemetry.recording import Recording

MAX_TRIALS = 50


@dataclass(frozen=True)
class EffectText:
    """A gain and its interval; ``unclear`` where the interval holds zero."""

    gain: str
    interval: str
    unclear: bool


@dataclass(frozen=True)
class ChangeRow:
    """One changed setting; ``key`` is empty where the user's file has none, ``needed`` where no score depends on it.

    ``carries`` is whether it holds in the long run, empty where that was measured.
    """

    name: str
    old: str
    new: str
    alone: EffectText
    needed: EffectText | None
    key: str
    carries: str


@dataclass(frozen=True)
class SeedRow:
    """Scores and metrics of one paired seed."""

    seed: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class RungRow:
    """One learning rate of a ladder."""

    lr: str
    median_norm: str
    worst_norm: str
    decreasing: str
    exploded: str
    final_loss: str
    verdict: str
    is_today: bool


@dataclass(frozen=True)
class LadderTable:
    """A ladder; ``note`` says whose normalization it is, and whether the run ended in the middle of it."""

    label: str
    note: str
    rows: tuple[RungRow, ...]


@dataclass(frozen=True)
class TrialRow:
    """One explored trial."""

    index: str
    settings: str
    outcome: str
    reason: str
    score: str
    metric: str
    steps: str
    is_today: bool


@dataclass(frozen=True)
class SettingRow:
    """One of today's settings."""

    name: str
    value: str
    key: str


def change_rows(sources: Sources) -> tuple[ChangeRow, ...]:
    """The recommended changes; empty where nothing is to be changed."""
    if sources.recommendation is None:
        return ()
    return tuple(
        ChangeRow(
            name=change.name,
            old=fmt.setting(change.name, change.old),
            new=fmt.setting(change.name, change.new),
            alone=_alone_text(change),
            needed=None if change.needed is None else effect_text(change.needed),
            key=_key(change.name, sources),
            carries=carries(change.name, sources),
        )
        for change in sources.recommendation.changes
    )


def _alone_text(change: Change) -> EffectText:
    """What a change does by itself to the score, or to the samples per second where no score depends on it."""
    if change.speed is None:
        assert change.alone is not None
        return effect_text(change.alone)
    return EffectText(f"{change.speed.ratio:.3g}x samples/s", change.speed.interval, unclear=False)


def effect_text(effect: Effect) -> EffectText:
    """A measured effect as its table cell shows it."""
    return EffectText(fmt.percent(effect.gain), fmt.interval(effect), effect.low <= 0 <= effect.high)


def _key(name: str, sources: Sources) -> str:
    """Empty too where the file has no place for the key."""
    unmapped = name in sources.run.info.get("unmapped", [])
    return "" if unmapped else key_of(name, sources.inspection.get("mapping", {}))


def key_of(name: str, mapping: Mapping[str, str]) -> str:
    """Key of a setting in the user's file, whatever unit the file gives it in; empty without one."""
    stems = {"warmup_fraction" if split_unit(item) else item: key for item, key in mapping.items() if _own(item)}
    return stems.get(name, "")


def _own(name: str) -> bool:
    return (split_unit(name) or ("warmup",))[0] == "warmup"


def seed_rows(sources: Sources) -> tuple[SeedRow, ...]:
    """Both sides on every seed of the final comparison, then what is typical of them; empty without a comparison."""
    answer = sources.recommendation
    if answer is None or answer.before is None or answer.after is None:
        return ()
    sides, with_metric = (answer.before, answer.after), bool(sources.metric_name)
    both = typical(*sides)

    def row(name: str, scores: Sequence[float], metrics: Sequence[float]) -> SeedRow:
        return SeedRow(name, tuple(fmt.number(value) for value in (*scores, *(metrics if with_metric else ()))))

    def of_seed(seed: int) -> SeedRow:
        scores = [side.scores.get(seed, math.nan) for side in sides]
        return row(str(seed), scores, [side.metrics.get(seed, math.nan) for side in sides])

    means = row("mean", both.scores, [typical_metric(side) for side in sides])
    return (*(of_seed(seed) for seed in sorted({*answer.before.scores, *answer.after.scores})), means)


def ladder_table(ladder: Ladder, sources: Sources) -> LadderTable:
    """A ladder's rungs, today's learning rate marked on today's normalization."""
    notes = []
    if ladder.label == normalization_label(sources.today):
        notes.append("as today")
    answer = sources.recommendation
    if answer is not None and answer.changes and ladder.label == normalization_label(answer.recommended):
        notes.append("recommended")
    if not ladder.rungs:
        notes.append("none of its runs was recorded")
    if not ladder.finished:
        notes.append("not finished: from the runs that there are")
    rows = tuple(_rung_row(rung, sources.today) for rung in ladder.rungs)
    return LadderTable(ladder.label, ", ".join(notes), rows)


def _rung_row(rung: Rung, today: Params) -> RungRow:
    where = f", {rung.exploded_at}" if rung.exploded_at else ""
    return RungRow(
        lr=fmt.plain(rung.lr),
        median_norm=fmt.number(rung.median_max_norm),
        worst_norm=fmt.number(rung.worst_max_norm),
        decreasing="yes" if rung.decreasing else "no",
        exploded=f"{rung.exploded} of {rung.seeds}{where}" if rung.exploded else fmt.MISSING,
        final_loss=fmt.number(rung.final_loss),
        verdict=rung.verdict,
        is_today=rung.lr == today.lr,
    )


def trial_rows(sources: Sources) -> tuple[TrialRow, ...]:
    """The best :data:`MAX_TRIALS` explored trials."""
    return tuple(_trial_row(recording, sources.today) for recording in ranked(sources)[:MAX_TRIALS])


def _trial_row(recording: Recording, today: Params) -> TrialRow:
    changes = recording.params.changes_from(today)
    done, counts = recording.info.get("steps_done", 0), has_score(recording)
    return TrialRow(
        index=str(recording.info["index"]),
        settings=", ".join(f"{name} {fmt.setting(name, value)}" for name, value in changes.items()),
        outcome=outcome(recording),
        reason=recording.reason,
        score=fmt.number(recording.score) if counts else fmt.MISSING,
        metric=fmt.number(recording.metric) if counts else fmt.MISSING,
        steps=fmt.whole(done) if done == recording.steps else f"{fmt.whole(done)} of {fmt.whole(recording.steps)}",
        is_today=not changes,
    )


def setting_rows(inspection: Mapping[str, Any], unmapped: Collection[str] = ()) -> tuple[SettingRow, ...]:
    """Today's settings, and where the user's file has them; it has no place for those ``unmapped``."""
    mapping, today = inspection.get("mapping", {}), Params(**inspection["today"])
    return tuple(
        SettingRow(name, fmt.setting(name, value), "" if name in unmapped else key_of(name, mapping))
        for name, value in today.flat().items()
    )
