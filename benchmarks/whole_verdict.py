"""Scores of a start -> what B2 asks: repaired, made worse, calibrated, ranked alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

from preflight.advise.evidence import Effect, effect
from preflight.trials.outcome import WORST_SCORE

# Fixed before anything was measured: benchmarks.md, B2.
REPAIRED, MADE_WORSE, RANKED, COVERED = 0.95, 0.0, 0.9, 0.9
# Of the way from the original's result to the best known one.
MOST_OF_THE_WAY = 0.9
# A start that is worse than a constant prediction begins there: the way from a run that flew off says nothing.
CONSTANT = 1.0
MIN_RANKED = 4

Scores = Mapping[int, float]


def typical(scores: Scores) -> float:
    """Median over the seeds, at most that of a constant prediction."""
    return min(CONSTANT, statistics.median(scores.values()))


def way(before: float, after: float, best: float) -> float:
    """Share of the way from ``before`` to ``best``; 1 where there was none to go."""
    return (before - after) / (before - best) if before > best else 1.0


def judge(fault: str, scores: Mapping[str, Scores], tools: Sequence[str], today: str) -> dict[str, Any]:
    """By tool the share of the way to the best score of all, and its effect beside today's settings."""
    middles = {name: typical(found) for name, found in scores.items()}
    best = min(middles.values())
    effects = {name: effect(scores[today], scores[name], len(tools)) for name in tools}
    return {
        "best": min(middles, key=middles.__getitem__),
        "tools": {
            name: {
                "way": way(middles[today], middles[name], best),
                "repaired": bool(fault) and way(middles[today], middles[name], best) >= MOST_OF_THE_WAY,
                "worse": effects[name].is_worse,
                "gain": effects[name].gain,
            }
            for name in tools
        },
    }


def covers(claimed: Effect, realised: Effect) -> bool:
    """Whether the claimed interval holds the gain that was realised."""
    return claimed.low <= realised.gain <= claimed.high


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's, of trial score and result of the whole run; None for too few that differ."""
    finite = [(a, b) for a, b in pairs if math.isfinite(a)]
    trials, whole = ([min(pair[side], WORST_SCORE) for pair in finite] for side in (0, 1))
    if len(finite) < MIN_RANKED or min(len(set(trials)), len(set(whole))) < 2:
        return None
    return float(spearmanr(trials, whole).statistic)


def targets(results: Mapping[str, Mapping[str, Any]], tool: str) -> list[dict[str, Any]]:
    """B2's four."""
    faulty = [item["verdict"]["tools"][tool]["repaired"] for item in results.values() if item["fault"]]
    healthy = [item["verdict"]["tools"][tool]["worse"] for item in results.values() if not item["fault"]]
    ranks = [item["rank_correlation"] for item in results.values() if item["rank_correlation"] is not None]
    covered = [item["covered"] for item in results.values() if item["covered"] is not None]
    return [
        _row("faulty starts repaired", f">= {REPAIRED:g}", _share(faulty), lambda value: value >= REPAIRED),
        _row("healthy starts made worse", f"{MADE_WORSE:g}", _share(healthy), lambda value: value <= MADE_WORSE),
        _row(
            "rank correlation of trial and whole run, median",
            f">= {RANKED:g}",
            statistics.median(ranks) if ranks else None,
            lambda value: value >= RANKED,
        ),
        _row("predicted gain covers the realised one", f">= {COVERED:g}", _share(covered), lambda v: v >= COVERED),
    ]


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _row(name: str, target: str, value: float | None, holds: Any) -> dict[str, Any]:
    return {"name": name, "target": target, "value": value, "holds": value is not None and bool(holds(value))}
