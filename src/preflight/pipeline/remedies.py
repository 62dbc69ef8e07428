"""Remedies of findings: each tried by paired runs, and the confirmed ones among what may be recommended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from preflight.advise.choose import compare
from preflight.advise.diagnosis import (
    Diagnosis,
    Judged,
    confirmed_settings,
    may_be_hidden,
    proof_of,
    ranked,
    remedy_to_try,
)
from preflight.advise.evidence import Effect
from preflight.core.finding import REFUTED
from preflight.core.params import Params, ParamValue
from preflight.pipeline.confirmation import Bench

# Of several findings the first ones are the causes; trying more of them costs more than it tells.
MAX_TRIED = 3
# A remedy that is tried again beside others has been looked at so often.
LOOKS = 2

Fitted = tuple[str, str]
"""A setting, such as normalization.input, and an option of it that can be trained with."""


def try_remedies(
    diagnosis: Diagnosis, today: Params, leader: Params, bench: Bench, fitted: Collection[Fitted]
) -> Diagnosis:
    """Run the first findings' remedies against today's settings on paired seeds, and say what that showed.

    What several findings ask for is run once, and proves all of them; what is undecided gets more seeds. What does not
    help while another trouble stands is tried once more, beside the confirmed remedies and the settings of the search's
    ``leader``. Findings whose remedy helps come first, as far as causes allow.
    """
    found = _alone(diagnosis, today, bench, fitted)
    hidden, mended = may_be_hidden(found), leader.with_values(_merged(confirmed_settings(found)))
    again = {id(item): _beside(item, today, mended, bench) for item in hidden}
    findings = [again.get(id(item), item) for item in found.findings]
    if any(item.proof.effect is not None for item in findings):
        bench.audience.end()
    return replace(found, findings=tuple(ranked(findings)))


def _alone(diagnosis: Diagnosis, today: Params, bench: Bench, fitted: Collection[Fitted]) -> Diagnosis:
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
            tried[remedied.key()] = compare(today, remedied, bench.scores)
        found = tried.get(remedied.key())
        findings.append(item if found is None else replace(item, proof=proof_of(remedy, found)))
    return replace(diagnosis, findings=tuple(findings))


def _merged(remedies: Sequence[Mapping[str, ParamValue]]) -> dict[str, ParamValue]:
    """The settings of all remedies; of two that change the same one the first counts."""
    return {name: value for settings in reversed(remedies) for name, value in settings.items()}


def _beside(item: Judged, today: Params, mended: Params, bench: Bench) -> Judged:
    """The finding with its remedy tried on top of ``mended`` settings, unless that shows nothing either."""
    remedy, changes = item.proof.remedy, mended.changes_from(today)
    if remedy is None or set(remedy.settings) & set(changes):
        return item
    with_it = mended.with_values(dict(remedy.settings))
    found = proof_of(remedy, compare(mended, with_it, bench.scores, LOOKS), changes)
    return item if found.verdict == REFUTED else replace(item, proof=found)


def _can_train(settings: Mapping[str, ParamValue], today: Params, fitted: Collection[Fitted]) -> bool:
    """Whether a trial can have these settings, not all as today, and a fitted normalizer where one is asked for."""
    known = today.flat()
    if today.with_values(dict(settings)).key() == today.key():
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
    found = confirmed_settings(diagnosis)
    allowed = [settings for settings in found if all(map(is_open, settings))]
    more = [today.with_values(dict(settings)) for settings in allowed]
    if allowed and candidates:
        more.append(candidates[0].with_values(_merged(allowed)))
    unique = {params.key(): params for params in (*candidates, *more) if params.key() != today.key()}
    return list(unique.values()), [settings for settings in found if settings not in allowed]
