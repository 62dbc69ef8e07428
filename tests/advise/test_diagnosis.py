from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preflight.advise.diagnosis import (
    Diagnosis,
    Judged,
    confirmed_settings,
    diagnose,
    explained_by,
    faster_settings,
    may_be_hidden,
    proof_of,
    ranked,
    remedy_to_try,
    with_speeds,
)
from preflight.advise.evidence import Effect
from preflight.core.errors import MissingError
from preflight.core.finding import (
    CONFIRMED,
    ERROR,
    NOTE,
    REFUTED,
    UNDECIDED,
    UNTESTED,
    WARNING,
    Answer,
    Clean,
    Evidence,
    Finding,
    NotApplicable,
    Remedy,
)
from preflight.rules.base import Rule
from preflight.telemetry.recording import Recording

LOWER = Remedy("lower it", {"lr": 0.01})


def finding(severity: str = ERROR, strength: float = 1.0, remedies: tuple[Remedy, ...] = ()) -> Finding:
    return Finding(severity, "it is so", (Evidence("norm", 3.0, 1.0),), remedies, strength=strength)


def make_rule(code: str, check: Callable[[Recording], Answer] | Answer, causes: tuple[str, ...] = ()) -> Rule:
    function = check if callable(check) else lambda recording: check
    return Rule(code, code.lower(), code, "Detects.", "Matters.", "Fix.", function, causes=causes)


def judged(code: str, answer: Finding, causes: tuple[str, ...] = ()) -> Judged:
    return Judged(make_rule(code, answer, causes), answer)


def codes(items: list[Judged] | tuple[Judged, ...]) -> list[str]:
    return [item.rule.code for item in items]


def recordings(*seeds: int) -> list[Recording]:
    return [Recording(Path(), {"seed": seed}) for seed in seeds]


def test_a_cause_comes_before_what_it_brings_about() -> None:
    symptom = judged("PF101", finding(ERROR, 100))
    cause = judged("PF301", finding(WARNING, 2), causes=("PF101",))
    assert codes(ranked([symptom, cause])) == ["PF301", "PF101"]


@pytest.mark.parametrize(("place", "order"), [("charge", ["PF302", "PF301"]), ("time", ["PF301", "PF302"])])
def test_some_causes_count_in_their_own_place_only(place: str, order: list[str]) -> None:
    tail = judged("PF302", replace(finding(WARNING), where="charge"))
    tail = replace(tail, rule=replace(tail.rule, causes_there=("PF301",)))
    raw = judged("PF301", replace(finding(ERROR), where=place))
    assert codes(ranked([raw, tail])) == order
    written = [item.as_dict() for item in (raw, tail)]
    assert explained_by(written, [raw.rule, tail.rule])["PF301"] == (["PF302"] if place == "charge" else [])


def test_a_finding_may_bring_about_more_than_its_rule_does() -> None:
    symptom = judged("PF104", finding(ERROR, 100))
    cause = judged("PF202", replace(finding(ERROR, 2), explains=("PF104",)))
    assert codes(ranked([symptom, cause])) == ["PF202", "PF104"]
    written = [item.as_dict() for item in (symptom, cause)]
    assert explained_by(written, [symptom.rule, cause.rule]) == {"PF104": ["PF202"], "PF202": []}


def test_a_note_explains_nothing_away() -> None:
    symptom = judged("PF101", finding(ERROR))
    note = judged("PF205", finding(NOTE), causes=("PF101",))
    assert codes(ranked([note, symptom])) == ["PF101", "PF205"]


def test_without_causes_the_severe_and_the_strong_come_first() -> None:
    items = [judged("PF1", finding(NOTE, 9)), judged("PF2", finding(ERROR, 2)), judged("PF3", finding(ERROR, 5))]
    assert codes(ranked(items)) == ["PF3", "PF2", "PF1"]


def test_faults_that_bring_each_other_about_are_all_listed() -> None:
    one = judged("PF1", finding(WARNING), causes=("PF2",))
    two = judged("PF2", finding(ERROR), causes=("PF1",))
    assert codes(ranked([one, two])) == ["PF2", "PF1"]


def test_what_such_faults_bring_about_comes_after_them_however_severe_it_is() -> None:
    one = judged("PF1", finding(WARNING), causes=("PF2",))
    two = judged("PF2", finding(WARNING, 5), causes=("PF1", "PF3"))
    symptom = judged("PF3", finding(ERROR, 100))
    assert codes(ranked([symptom, one, two]))[0] == "PF2"


@pytest.mark.parametrize(("bad", "count"), [({1}, 0), ({1, 2}, 1), ({1, 2, 3}, 1), (set(), 0)])
def test_most_of_the_runs_must_show_a_fault(bad: set[int], count: int) -> None:
    rule = make_rule("PF101", lambda recording: finding() if recording.seed in bad else Clean())
    found = diagnose(recordings(1, 2, 3), [rule])
    assert (len(found.findings), len(found.clean)) == (count, 1 - count)
    item = (found.findings or found.clean)[0]
    assert (item.runs, item.found) == (3, len(bad))


def test_runs_that_cannot_show_a_fault_do_not_count() -> None:
    def check(recording: Recording) -> Answer:
        if recording.seed > 1:
            raise MissingError("there is no losses.csv")
        return finding()

    found = diagnose(recordings(1, 2, 3), [make_rule("PF101", check)])
    assert (found.findings[0].runs, found.findings[0].found) == (1, 1)


def test_what_no_run_can_show_does_not_apply() -> None:
    rules = [make_rule("PF101", NotApplicable("there is no losses.csv"))]
    assert diagnose(recordings(1, 2), rules).not_applicable[0].as_dict()["missing"] == "there is no losses.csv"
    assert diagnose([], rules).not_applicable[0].as_dict()["missing"] == "nothing was recorded"


def test_a_rule_that_fails_says_so_and_ends_no_run() -> None:
    def check(_: Recording) -> Answer:
        return Clean() if 1 / 0 else finding()

    found = diagnose(recordings(1, 2), [make_rule("PF101", check), make_rule("PF102", lambda _: finding())])
    assert [item.rule.code for item in found.findings] == ["PF102"]
    assert "the rule itself failed" in found.not_applicable[0].as_dict()["missing"]


def test_the_typical_answer_stands_for_the_runs() -> None:
    rule = make_rule("PF101", lambda recording: finding(strength=float(recording.seed)))
    (item,) = diagnose(recordings(5, 1, 900), [rule]).findings
    assert isinstance(item.answer, Finding)
    assert item.answer.strength == 5


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (Effect(0.3, 0.2, 0.4, 5), CONFIRMED),
        (Effect(0.3, -0.1, 0.5, 5), UNDECIDED),
        (Effect(0.01, 0.005, 0.02, 5), REFUTED),
        (Effect(-0.2, -0.3, -0.1, 5), REFUTED),
        (Effect(-0.2, -9.0, 0.9, 2), UNDECIDED),  # too few seeds
    ],
)
def test_a_remedy_is_judged_by_its_paired_runs(effect: Effect, verdict: str) -> None:
    assert proof_of(LOWER, effect).verdict == verdict


def test_a_remedy_in_words_alone_cannot_be_tried() -> None:
    words = Remedy("embed the identifier")
    assert remedy_to_try(judged("PF303", finding(remedies=(words,)))) is None
    assert remedy_to_try(judged("PF303", finding(remedies=(words, LOWER)))) is LOWER


def test_findings_as_written_say_what_explains_them() -> None:
    cause = judged("PF301", finding(WARNING), causes=("PF101",))
    written = [item.as_dict() for item in (cause, judged("PF101", finding()))]
    assert explained_by(written, [cause.rule]) == {"PF301": [], "PF101": ["PF301"]}
    assert written[0]["proof"] == {"verdict": UNTESTED}
    assert (written[0]["severity"], written[0]["evidence"][0]["value"]) == (WARNING, 3.0)


WORKERS = Remedy("fetch with 8 loader workers", {"num_workers": 8})


def with_throughput(*rates: tuple[int, list[float]], failed: str = "") -> Diagnosis:
    """A loader-bound finding and one of the learning rate, after samples per second by workers were measured."""
    variants = [{"workers": count, "batch_size": 40, "samples_per_s": found, "failed": ""} for count, found in rates]
    slow, fast = (finding(WARNING, remedies=(item,)) for item in (WORKERS, LOWER))
    found = Diagnosis((judged("PF201", fast), judged("PF601", slow)), (), ())
    return with_speeds(found, {"throughput": {"variants": variants, "failed": failed}})


def test_workers_are_proved_by_samples_per_second_and_not_by_a_score() -> None:
    """The fewest that do: 4 are as fast as the 8 that the rule asks for."""
    found = with_throughput((0, [100.0, 101.0, 99.0]), (4, [390.0, 401.0, 402.0]), (8, [400.0, 400.0, 401.0]))
    first, other = found.findings
    assert (first.rule.code, first.proof.verdict, first.proof.settings) == ("PF601", CONFIRMED, {"num_workers": 4})
    assert (first.proof.effect, other.proof.verdict) == (None, UNTESTED)
    faster = faster_settings(found)
    assert faster is not None
    assert faster[0] == {"num_workers": 4}
    assert confirmed_settings(found) == []  # no candidate for the comparison of scores
    assert first.as_dict()["proof"]["speed"]["ratio"] == pytest.approx(4, rel=0.05)


def test_workers_hide_no_other_remedy() -> None:
    found = with_throughput((0, [100.0, 101.0, 99.0]), (8, [400.0, 400.0, 401.0]))
    refuted = replace(found.findings[1], proof=proof_of(LOWER, Effect(-0.2, -0.3, -0.1, 5)))
    assert may_be_hidden(replace(found, findings=(found.findings[0], refuted))) == []


def test_workers_that_are_no_faster_are_refuted() -> None:
    found = with_throughput((0, [100.0, 101.0, 99.0]), (8, [90.0, 90.0, 91.0]))
    assert [item.proof.verdict for item in found.findings] == [UNTESTED, REFUTED]
    assert faster_settings(found) is None


def test_workers_that_were_not_measured_are_untested_with_the_reason() -> None:
    found = with_throughput(failed="it would take about 90 minutes")
    proofs = {item.rule.code: item.as_dict()["proof"] for item in found.findings}
    assert proofs["PF601"] == {"verdict": UNTESTED, "why_untried": "it would take about 90 minutes"}
    assert proofs["PF201"] == {"verdict": UNTESTED}
    assert with_speeds(found, {}) is found
