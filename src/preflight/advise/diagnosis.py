"""What the rules say of several runs of the same settings, put in order: causes first, then what weighs most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from preflight.advise.evidence import Effect
from preflight.advise.throughput import Speed, best_workers, why_untried
from preflight.core.finding import (
    CONFIRMED,
    ERROR,
    NOTE,
    REFUTED,
    SEVERITIES,
    UNDECIDED,
    UNTESTED,
    Answer,
    Clean,
    Finding,
    NotApplicable,
    Remedy,
)
from preflight.core.params import UNTRAINED, ParamValue
from preflight.rules.base import Rule
from preflight.rules.registry import RULES
from preflight.telemetry.recording import Recording

# A remedy that was run tells how much of the trouble its finding explains; what shows nothing is no word against it.
PLACES = {CONFIRMED: 0, UNDECIDED: 1, UNTESTED: 1, REFUTED: 2}


@dataclass(frozen=True)
class Proof:
    """What a paired run with a remedy's settings showed; ``effect`` is None where none was run.

    ``beside`` are settings of other confirmed remedies that both sides of the comparison had. Settings that no score
    depends on have a ``speed`` in place of an effect, or in words why none was measured.
    """

    verdict: str = UNTESTED
    remedy: Remedy | None = None
    effect: Effect | None = None
    beside: Mapping[str, ParamValue] = field(default_factory=dict)
    speed: Speed | None = None
    why_untried: str = ""

    @property
    def settings(self) -> Mapping[str, ParamValue]:
        """What was tried, with what it was tried beside."""
        return {**self.beside, **(self.remedy.settings if self.remedy is not None else {})}


@dataclass(frozen=True)
class Judged:
    """A rule's answer on so many ``runs``; ``found`` of them have the fault, and the answer is the typical one's."""

    rule: Rule
    answer: Answer
    runs: int = 1
    found: int = 0
    proof: Proof = Proof()

    def as_dict(self) -> dict[str, Any]:
        """As findings.json holds it."""
        head = {"code": self.rule.code, "name": self.rule.name, "title": self.rule.title}
        match self.answer:
            case Finding() as finding:
                proof = asdict(self.proof) if self.proof.verdict != UNTESTED else self._untested()
                return {**head, **asdict(finding), "runs": self.runs, "found": self.found, "proof": proof}
            case NotApplicable(missing):
                return {**head, "missing": missing}
            case Clean():
                return head

    def _untested(self) -> dict[str, Any]:
        why = self.proof.why_untried
        return {"verdict": UNTESTED, **({"why_untried": why} if why else {})}


@dataclass(frozen=True)
class Diagnosis:
    """Findings in order, and what the other rules answered."""

    findings: tuple[Judged, ...]
    clean: tuple[Judged, ...]
    not_applicable: tuple[Judged, ...]

    def as_dict(self) -> dict[str, Any]:
        """As findings.json holds it."""
        return {name: [item.as_dict() for item in items] for name, items in vars(self).items()}


def diagnose(recordings: Sequence[Recording], rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Ask every rule about every recording; a fault counts that most of those show that can show it."""
    judged = [_judge(rule, recordings) for rule in rules]
    return Diagnosis(
        tuple(ranked([item for item in judged if isinstance(item.answer, Finding)])),
        tuple(item for item in judged if isinstance(item.answer, Clean)),
        tuple(item for item in judged if isinstance(item.answer, NotApplicable)),
    )


def _judge(rule: Rule, recordings: Sequence[Recording]) -> Judged:
    answers = [_asked(rule, recording) for recording in recordings]
    able = [answer for answer in answers if not isinstance(answer, NotApplicable)]
    found = sorted((answer for answer in able if isinstance(answer, Finding)), key=lambda item: item.strength)
    if not able:
        return Judged(rule, answers[0] if answers else NotApplicable("nothing was recorded"), len(recordings))
    if 2 * len(found) <= len(able):
        return Judged(rule, Clean(), len(able), len(found))
    return Judged(rule, found[len(found) // 2], len(able), len(found))


def _asked(rule: Rule, recording: Recording) -> Answer:
    """The rule's answer; one that fails takes no run of minutes with it, and says that it failed."""
    try:
        return rule.judge(recording)
    except Exception as error:
        return NotApplicable(f"the rule itself failed, which is a fault of preflight: {type(error).__name__}: {error}")


def ranked(findings: Sequence[Judged]) -> list[Judged]:
    """Causes before what they bring about, then by what trying their remedies showed, by severity, and by how far
    beyond its limit each one lies.

    A note is worth knowing and explains nothing away, so that it goes before no symptom of it. Of findings that may
    bring each other about the heaviest comes first, and none of what they bring about comes between.
    """
    left = sorted(findings, key=_weight)
    order: list[Judged] = []
    while left:
        order.append(next(item for item in left if _is_origin(item, left)))
        left.remove(order[-1])
    return order


def _is_origin(item: Judged, among: Sequence[Judged]) -> bool:
    """Whether all that may have brought a finding about may have been brought about by it as well."""
    return all(item in _causes_of(cause, among) for cause in _causes_of(item, among))


def _causes_of(symptom: Judged, among: Sequence[Judged]) -> list[Judged]:
    """Findings that may have brought one about, directly or by others."""
    found: list[Judged] = []
    asked = [symptom]
    while asked:
        one = asked.pop()
        new = [item for item in among if item not in found and _explains(item, one)]
        found += new
        asked += new
    return found


def _weight(item: Judged) -> tuple[int, int, float]:
    assert isinstance(item.answer, Finding)
    return PLACES[item.proof.verdict], SEVERITIES.index(item.answer.severity), -item.answer.strength


def _explains(cause: Judged, symptom: Judged) -> bool:
    assert isinstance(cause.answer, Finding)
    assert isinstance(symptom.answer, Finding)
    is_same_place = cause.answer.where == symptom.answer.where
    is_cause = symptom.rule.code in cause.answer.explains or cause.rule.explains(symptom.rule.code, is_same_place)
    return cause.answer.severity != NOTE and is_cause


def remedy_to_try(item: Judged) -> Remedy | None:
    """The first remedy of a finding that is a matter of settings."""
    assert isinstance(item.answer, Finding)
    return next((remedy for remedy in item.answer.remedies if remedy.settings), None)


def proof_of(remedy: Remedy, effect: Effect, beside: Mapping[str, ParamValue] | None = None) -> Proof:
    """A remedy whose gain lies beyond the seeds' noise is confirmed; one that noise may hide is undecided."""
    undecided = UNDECIDED if effect.is_undecided or effect.is_vague else REFUTED
    return Proof(CONFIRMED if effect.is_better else undecided, remedy, effect, beside or {})


def with_speeds(diagnosis: Diagnosis, facts: Mapping[str, Any]) -> Diagnosis:
    """Findings whose remedy is a number of loader workers, with what the samples per second say of it."""
    if "throughput" not in facts:
        return diagnosis
    findings = [_with_speed(item, facts["throughput"]) for item in diagnosis.findings]
    return replace(diagnosis, findings=tuple(ranked(findings)))


def _with_speed(item: Judged, throughput: Mapping[str, Any]) -> Judged:
    remedy = remedy_to_try(item)
    if remedy is None or not set(remedy.settings) <= set(UNTRAINED):
        return item
    found = best_workers(throughput)
    if found is None:
        return replace(item, proof=Proof(why_untried=why_untried(throughput)))
    workers, speed = found
    tried = replace(remedy, settings={"num_workers": workers})
    return replace(item, proof=Proof(speed.verdict, tried, speed=speed))


def confirmed_settings(diagnosis: Diagnosis) -> list[Mapping[str, ParamValue]]:
    """Settings of remedies whose gain in the score a paired run has shown, in the order of their findings."""
    return [item.proof.settings for item in _scored(diagnosis) if item.proof.verdict == CONFIRMED]


def faster_settings(diagnosis: Diagnosis) -> tuple[Mapping[str, ParamValue], Speed] | None:
    """Settings that change no score and were seen to train faster; None without any."""
    proofs = [item.proof for item in diagnosis.findings if item.proof.verdict == CONFIRMED]
    return next(((proof.settings, proof.speed) for proof in proofs if proof.speed is not None), None)


def _scored(diagnosis: Diagnosis) -> list[Judged]:
    """Findings but those whose remedy was judged by its speed."""
    return [item for item in diagnosis.findings if item.proof.speed is None]


def errors_left(diagnosis: Diagnosis) -> list[str]:
    """Codes of errors that no run of a remedy has settled, the causes only."""
    left = [item for item in diagnosis.findings if item.proof.verdict in (UNTESTED, UNDECIDED)]
    errors = [item for item in left if isinstance(item.answer, Finding) and item.answer.severity == ERROR]
    return [item.rule.code for item in errors if not any(_explains(cause, item) for cause in diagnosis.findings)]


def may_be_hidden(diagnosis: Diagnosis) -> list[Judged]:
    """Findings whose remedy was run and not confirmed, where another trouble was confirmed that did not cause them.

    A run that learns nothing gains nothing by a better schedule either.
    """
    found = _scored(diagnosis)
    confirmed = [item for item in found if item.proof.verdict == CONFIRMED]
    tried = [item for item in found if item.proof.verdict in (REFUTED, UNDECIDED)]
    return [item for item in tried if confirmed and not any(cause in confirmed for cause in _causes_of(item, found))]


def explained_by(findings: Sequence[Mapping[str, Any]], rules: Sequence[Rule] = RULES) -> dict[str, list[str]]:
    """Code of every finding of findings.json -> codes of the findings among them that may have caused it."""
    known = {rule.code: rule for rule in rules}
    causes = [item for item in findings if item["severity"] != NOTE and item["code"] in known]
    return {
        str(item["code"]): [
            str(cause["code"])
            for cause in causes
            if item["code"] in cause.get("explains", ())
            or known[cause["code"]].explains(item["code"], cause["where"] == item["where"])
        ]
        for item in findings
    }
