"""Verdicts -> figures: detection, category, false alarms, repair; by family, by rule, and beside what is published."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.verdict import Verdict

# A healthy run by its result alone, fixed before any rule was asked: every seed beats the constant predictor (1.0)
# clearly, ends near its own best, and the median comes most of the way to the best of the base task's grid.
BEATS_CONSTANT = 0.8
STAYS_WITHIN = 1.1
OF_THE_WAY = 0.9
REPAIRED = 0.9
PUBLISHED = (
    ("DEFault (ICSE'25), 52 Keras faults", 0.94, 0.63, None),
    ("DeepFD", 0.90, 0.52, None),
    ("UMLAUT", 0.91, 0.27, 103 / 113),
    ("DeepLocalize", 0.69, 0.13, 133 / 186),
    ("DeepDiagnosis", None, None, 68 / 188),
    ("AutoTrainer", 0.23, 0.19, 0.0),
)


@dataclass(frozen=True)
class Shares:
    """Of ``faulty`` programs: something found, the cause first, the cause anywhere, repaired of those ``tried``.

    ``strayed`` is the share with a finding that neither is the cause nor comes of it. Of ``healthy`` runs: share with a
    false alarm. None where there are none.
    """

    faulty: int
    detected: float | None
    named: float | None
    mentioned: float | None
    strayed: float | None
    tried: int
    repaired: float | None
    healthy: int
    alarmed: float | None


def _share(flags: Iterable[bool]) -> float | None:
    values = list(flags)
    return statistics.fmean(values) if values else None


def shares(faulty: Sequence[Verdict], healthy: Sequence[Verdict]) -> Shares:
    """Figures over some programs."""
    repairs = [item.repair for item in faulty if item.repair is not None]
    return Shares(
        len(faulty),
        _share(item.is_detected for item in faulty),
        _share(item.is_named for item in faulty),
        _share(item.is_mentioned for item in faulty),
        _share(bool(item.strays) for item in faulty),
        len(repairs),
        _share(repair.way >= REPAIRED for repair in repairs),
        len(healthy),
        _share(bool(item.is_detected) for item in healthy),
    )


def verified(candidates: Sequence[Verdict]) -> list[Verdict]:
    """Those of the healthy programs that trained well; judged within the grid of their base task."""
    best: dict[str, float] = {}
    for item in candidates:
        best[item.base] = min(best.get(item.base, 1.0), item.score)
    return [item for item in candidates if _trained_well(item, best[item.base])]


def _trained_well(item: Verdict, best: float) -> bool:
    if not item.scores:
        return False
    ends = all(
        score <= BEATS_CONSTANT and score <= STAYS_WITHIN * lowest
        for score, lowest in zip(item.scores, item.lowest, strict=True)
    )
    return ends and 1 - item.score >= OF_THE_WAY * (1 - best)


def by_family(faulty: Sequence[Verdict], healthy: Sequence[Verdict]) -> dict[str, Shares]:
    """Figures of every family."""
    names = dict.fromkeys(item.family for item in (*faulty, *healthy))
    return {
        name: shares([x for x in faulty if x.family == name], [x for x in healthy if x.family == name])
        for name in names
    }


def by_rule(faulty: Sequence[Verdict], healthy: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """Of every rule: programs where it was right to come first, wrong to come first, wanted, and false alarms."""
    right = Counter(item.alarms[0].code for item in faulty if item.is_named)
    wrong = Counter(item.alarms[0].code for item in faulty if item.alarms and not item.is_named)
    wanted = Counter(item.expected[0] for item in faulty)
    alarms = Counter(said.code for item in healthy for said in item.alarms)
    codes = sorted({*right, *wrong, *wanted, *alarms})
    return {
        code: {"right": right[code], "wrong": wrong[code], "wanted": wanted[code], "alarms": alarms[code]}
        for code in codes
    }


def healthy_matrix(healthy: Sequence[Verdict], optimizers: Sequence[str]) -> list[dict[str, Any]]:
    """Healthy runs and false alarms by architecture and optimizer; a program is judged on all its seeds together."""
    rows: dict[str, dict[str, dict[str, int]]] = {}
    for item in healthy:
        optimizer = next(name for name in optimizers if f"-{name}-" in item.name)
        cells = rows.setdefault(item.name.split(f"-{optimizer}-")[0], {})
        cell = cells.setdefault(optimizer, {"healthy": 0, "alarms": 0})
        cell["healthy"] += 1
        cell["alarms"] += item.is_detected
    return [{"architecture": name, **cells} for name, cells in rows.items()]


def targets(found: Shares, split: str) -> list[dict[str, Any]]:
    """B3's targets, each with what was measured; ``holds`` is None where nothing was."""
    rows: tuple[tuple[str, str, float | None, Callable[[float], bool]], ...] = (
        ("detection", ">= 0.98", found.detected, lambda value: value >= 0.98),
        ("category", ">= 0.90", found.named, lambda value: value >= 0.90),
        ("false alarms", "<= 0.01", found.alarmed, lambda value: value <= 0.01),
    )
    return [
        {
            "name": f"{name} ({split})",
            "target": target,
            "value": value,
            "holds": None if value is None else holds(value),
        }
        for name, target, value, holds in rows
    ]


def evidence_target(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Every finding has its evidence."""
    value = _share(said.has_evidence for item in verdicts for said in item.said)
    return {
        "name": "findings with evidence",
        "target": "1",
        "value": value,
        "holds": None if value is None else value == 1,
    }


def as_rows(found: Mapping[str, Shares]) -> list[dict[str, Any]]:
    """As the results' JSON holds them."""
    return [{"name": name, **asdict(item)} for name, item in found.items()]
