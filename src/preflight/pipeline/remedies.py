"""Remedies of findings: each tried by paired runs, and the confirmed ones among what may be recommended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from preflight.advise.diagnosis import Diagnosis, confirmed_remedies, proof_of, remedy_to_try
from preflight.advise.evidence import Effect, effect
from preflight.core.params import Params, ParamValue
from preflight.pipeline.confirmation import Bench

# Of several findings the first ones are the causes; trying more of them costs more than it tells.
MAX_TRIED = 3

Fitted = tuple[str, str]
"""A setting, such as normalization.input, and an option of it that can be trained with."""


def try_remedies(diagnosis: Diagnosis, today: Params, bench: Bench, fitted: Collection[Fitted]) -> Diagnosis:
    """Run the first findings' remedies against today's settings on paired seeds, and say what that showed.

    What several findings ask for is run once, and proves all of them.
    """
    tried: dict[object, Effect] = {}
    findings = []
    for item in diagnosis.findings:
        remedy = remedy_to_try(item)
        if remedy is None or not _can_train(remedy.settings, today, fitted):
            findings.append(item)
            continue
        remedied = today.with_values(dict(remedy.settings))
        if remedied.key() not in tried and len(tried) < MAX_TRIED:
            if not tried:
                bench.audience.begin("remedies", bench.budget.seeds * MAX_TRIED)
            before, after = bench.scores([today, remedied], 1)
            tried[remedied.key()] = effect(before, after)
        found = tried.get(remedied.key())
        findings.append(item if found is None else replace(item, proof=proof_of(remedy, found)))
    if tried:
        bench.audience.end()
    return replace(diagnosis, findings=tuple(findings))


def _can_train(settings: Mapping[str, ParamValue], today: Params, fitted: Collection[Fitted]) -> bool:
    """Whether the task has these settings, not all as today, and a fitted normalizer where one is asked for."""
    known = today.flat()
    if all(known.get(name) == value for name, value in settings.items()):
        return False
    for name, value in settings.items():
        if name not in known:
            return False
        if "normalization." in name and value != "none" and (name, value) not in fitted:
            return False
    return True


def candidates_with(
    diagnosis: Diagnosis, today: Params, candidates: Sequence[Params], is_open: Callable[[str], bool]
) -> tuple[list[Params], list[Mapping[str, ParamValue]]]:
    """The candidates, today's settings with each confirmed remedy, and the first candidate with all of them.

    Remedies of settings that may not change are left out, and come second.
    """
    found = [remedy.settings for remedy in confirmed_remedies(diagnosis)]
    allowed = [settings for settings in found if all(map(is_open, settings))]
    more = [today.with_values(dict(settings)) for settings in allowed]
    if allowed and candidates:
        together = {name: value for settings in reversed(allowed) for name, value in settings.items()}
        more.append(candidates[0].with_values(together))  # of two that change the same setting the first one counts
    unique = {params.key(): params for params in (*candidates, *more) if params.key() != today.key()}
    return list(unique.values()), [settings for settings in found if settings not in allowed]
