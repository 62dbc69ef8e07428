from __future__ import annotations

from typing import Any

import pytest

from preflight.report.findings import cards, summary
from preflight.report.page import write_report
from preflight.telemetry import store

EFFECT = {"gain": 0.972, "low": 0.9, "high": 0.99, "seeds": 5}
REMEDY = {"text": "standardize it", "settings": {"normalization.pulses": "per_kind"}}
RAW: dict[str, Any] = {
    "code": "PF301",
    "name": "unnormalized-input",
    "title": "Inputs are not normalized",
    "severity": "error",
    "message": "the input <pulses> reaches 77785",
    "evidence": [{"what": "largest <value>", "value": 77785.0, "limit": 3.0, "unit": "ns"}],
    "remedies": [REMEDY],
    "where": "pulses",
    "step": None,
    "strength": 9.0,
    "runs": 5,
    "found": 4,
    "proof": {"verdict": "confirmed", "remedy": REMEDY, "effect": EFFECT},
}
EXPLODES = {
    **RAW,
    "code": "PF101",
    "title": "Gradients explode",
    "remedies": [{"text": "look at the inputs", "settings": {}}, {"text": "lower it", "settings": {"lr": 0.0123456}}],
    "evidence": [{"what": "where", "value": "head", "limit": None, "unit": ""}],
    "proof": {"verdict": "untested"},
    "runs": 1,
}
DOCUMENT = {"findings": [RAW, EXPLODES], "clean": [{}, {}], "not_applicable": [{}]}


def html_of(writer: Any) -> str:
    return write_report(writer.folder).read_text(encoding="utf-8")


def test_a_finding_has_its_numbers_its_remedy_and_its_proof() -> None:
    card = cards(DOCUMENT)[0]
    assert card.message == "the input <pulses> reaches 77785 (4 of 5 seeds)"
    assert card.remedies == ("standardize it (normalization.pulses=per_kind)",)
    assert card.proof == "tried normalization.pulses=per_kind on 5 seeds: it takes 97% off the validation score"
    assert card.evidence == (("largest <value>", "77,785 ns", "3.00 ns"),)


def test_what_was_not_tried_is_untested_and_says_so() -> None:
    card = cards(DOCUMENT)[1]
    assert (card.verdict, card.proof) == ("untested", "no run was made with lr=0.0123")
    assert card.message == "the input <pulses> reaches 77785"
    assert card.remedies == ("look at the inputs", "lower it (lr=0.0123)")
    assert card.evidence == (("where", "head", ""),)


@pytest.mark.parametrize(("gain", "text"), [(-0.2, "gain -20%"), (0.01, "gain 1%")])
def test_a_refuted_remedy_says_so(gain: float, text: str) -> None:
    refuted = {**RAW, "proof": {"verdict": "refuted", "remedy": REMEDY, "effect": {**EFFECT, "gain": gain}}}
    (card,) = cards({**DOCUMENT, "findings": [refuted]})
    assert card.proof == f"tried normalization.pulses=per_kind on 5 seeds: it does not help ({text})"


def test_what_the_seeds_noise_may_hide_is_undecided() -> None:
    undecided = {
        **RAW,
        "proof": {
            "verdict": "undecided",
            "remedy": REMEDY,
            "effect": {**EFFECT, "gain": 0.1, "low": -0.04, "high": 0.22},
        },
    }
    (card,) = cards({**DOCUMENT, "findings": [undecided]})
    assert card.proof.endswith("on 5 seeds: a gain of 10%, which their noise leaves open (-4% to 22%)")


def test_without_findings_it_is_said_how_many_rules_were_asked() -> None:
    assert cards(None) == ()
    assert summary({**DOCUMENT, "findings": []}) == (
        "3 rules asked: 0 findings, 2 found nothing, 1 lack what they judge by"
    )


def test_the_page_shows_findings_escaped(changed: Any) -> None:
    store.write_json(changed.folder / store.FINDINGS, DOCUMENT)
    text = html_of(changed)
    assert "Inputs are not normalized" in text
    assert "the input &lt;pulses&gt; reaches 77785" in text
    assert "5 rules asked: 2 findings" in text
    assert "Confirmed</strong>: tried normalization.pulses=per_kind on 5 seeds" in text
    (changed.folder / store.FINDINGS).unlink()
    assert "Findings</h2>" not in html_of(changed)


SPEED = {"before_per_s": 64.1, "after_per_s": 612.0, "ratio": 9.55, "low": 9.1, "high": 10.2, "rounds": 4}
WORKERS = {"text": "fetch with 8 loader workers", "settings": {"num_workers": 8}}


@pytest.mark.parametrize(
    ("verdict", "end"),
    [
        ("confirmed", "; no score depends on it"),
        ("refuted", ", which is no faster"),
        ("undecided", ", which is within the noise of the clock"),
    ],
)
def test_workers_are_told_in_samples_per_second(verdict: str, end: str) -> None:
    waits = {**RAW, "remedies": [WORKERS]}
    proof = {"verdict": verdict, "remedy": WORKERS, "effect": None, "speed": SPEED}
    (card,) = cards({**DOCUMENT, "findings": [{**waits, "proof": proof}]})
    assert card.proof == f"tried num_workers=8: 64.1 -> 612 samples/s, 9.55x (9.1x to 10.2x, 4 rounds){end}"


def test_workers_that_could_not_run_say_why() -> None:
    proof = {"verdict": "untested", "why_untried": "with 4 workers: RuntimeError: it died"}
    (card,) = cards({**DOCUMENT, "findings": [{**RAW, "remedies": [WORKERS], "proof": proof}]})
    assert card.proof == "no run was made with num_workers=8: with 4 workers: RuntimeError: it died"
