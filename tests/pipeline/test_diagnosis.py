from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

import preflight.pipeline.diagnosis as module
from preflight.advise.diagnosis import Diagnosis, Judged, Proof, errors_left
from preflight.advise.evidence import Effect
from preflight.core.finding import CONFIRMED, ERROR, REFUTED, UNDECIDED, UNTESTED, WARNING, Clean, Finding, Remedy
from preflight.core.model_settings import MetricSettings
from preflight.core.params import Params, ParamValue
from preflight.pipeline.audience import Nobody
from preflight.pipeline.diagnosis import after_search, gather_facts, metrics_of
from preflight.pipeline.remedies import MAX_TRIED, candidates_with, try_remedies
from preflight.rules.base import Rule
from preflight.trials.outcome import COMPLETED, Outcome, Result

TODAY = Params(lr=0.3, batch_size=8, normalization={"height": "none"}, loss_weights={"mse": 1.0})


class Bench:
    """Scores by formula: a lower rate and a normalized input each halve it, a clipped norm of the latter only.

    A decay, of the latter only, helps on every other seed: a little, or much where it harms on the others.
    """

    def __init__(self) -> None:
        self.audience, self.budget = Nobody(), type("Budget", (), {"seeds": 5})
        self.trained: list[Params] = []

    def scores(self, settings: Sequence[Params], rounds: int) -> list[Mapping[int, float]]:
        self.trained += settings
        good = [(params.lr < 0.3) + _of_the_input(params) for params in settings]
        swings = [_swing(params) for params in settings]
        return [
            {seed: 0.5**count * (1 + 0.01 * seed) * swing[seed % 2] for seed in range(5 * rounds)}
            for count, swing in zip(good, swings, strict=True)
        ]


def _swing(params: Params) -> tuple[float, float]:
    """Factor of the score on even seeds and on odd ones."""
    if params.weight_decay is None or not _of_the_input(params):
        return 1.0, 1.0
    return (1.0, 0.8) if params.weight_decay < 0.1 else (1.2, 0.7)


def _of_the_input(params: Params) -> int:
    return 0 if params.normalization["height"] == "none" else 1 + (params.clip_norm is not None)


def finding(code: str, **settings: ParamValue) -> Judged:
    rule = Rule(code, code, code, "Detects.", "Matters.", "Fix.", lambda recording: Clean())
    return Judged(rule, Finding(ERROR, "so", (), (Remedy("do it", settings),)))


def caused(item: Judged, code: str) -> Judged:
    """The same finding, which explains another."""
    return replace(item, rule=replace(item.rule, causes=(code,)))


@pytest.fixture
def tried() -> Callable[..., list[Any]]:
    def run(*findings: Judged, leader: Params = TODAY) -> list[Any]:
        run.bench = bench = Bench()
        fitted = {("normalization.height", "standardize")}
        found = try_remedies(Diagnosis(findings, (), ()), TODAY, leader, bench, fitted)
        run.order = [item.rule.code for item in found.findings]
        proofs = {item.rule.code: item.proof for item in found.findings}
        return [proofs[item.rule.code] for item in findings]

    return run


def test_a_remedy_that_helps_is_confirmed_and_one_that_does_not_refuted(tried: Any) -> None:
    proofs = tried(finding("PF201", lr=0.03), finding("PF205", warmup_fraction=0.1))
    assert [proof.verdict for proof in proofs] == [CONFIRMED, REFUTED]
    assert isinstance(proofs[0].effect, Effect)
    assert proofs[0].effect.gain == pytest.approx(0.5)
    assert proofs[0].remedy.settings == {"lr": 0.03}


def test_a_normalization_that_was_fitted_can_be_tried(tried: Any) -> None:
    name = "normalization.height"
    proofs = tried(finding("PF301", **{name: "standardize"}), finding("PF302", **{name: "log_standardize"}))
    assert [proof.verdict for proof in proofs] == [CONFIRMED, UNTESTED]


@pytest.mark.parametrize("settings", [{}, {"lr": 0.3}, {"momentum": 0.9}, {"loss_weights.other": 2.0}])
def test_what_cannot_be_trained_or_is_todays_stays_untested(settings: dict[str, ParamValue], tried: Any) -> None:
    (proof,) = tried(finding("PF201", **settings))
    assert proof.verdict == UNTESTED
    assert tried.bench.trained == []


def test_only_the_first_remedies_are_tried(tried: Any) -> None:
    proofs = tried(*(finding(f"PF20{index}", lr=0.01 * (index + 1)) for index in range(MAX_TRIED + 2)))
    assert [proof.verdict for proof in proofs] == [CONFIRMED] * MAX_TRIED + [UNTESTED] * 2


def test_what_helps_only_beside_another_remedy_is_tried_there(tried: Any) -> None:
    height = {"normalization.height": "standardize"}
    findings = finding("PF204", warmup_fraction=0.1), finding("PF108", clip_norm=1.0), finding("PF301", **height)
    proofs = tried(*findings, leader=TODAY.with_values({"lr": 0.01}))
    assert [proof.verdict for proof in proofs] == [REFUTED, CONFIRMED, CONFIRMED]
    beside = {"lr": 0.01, **height}
    assert (proofs[1].beside, proofs[1].settings) == (beside, {**beside, "clip_norm": 1.0})
    assert proofs[0].beside == {}
    assert tried.order == ["PF108", "PF301", "PF204"]  # what helped before what did not


def test_what_may_help_beside_another_remedy_is_not_refuted(tried: Any) -> None:
    """Alone it was hidden, and that it showed nothing there is no word against it."""
    height = {"normalization.height": "standardize"}
    decay, idle = finding("PF409", weight_decay=0.1), finding("PF204", warmup_fraction=0.1)
    proofs = tried(idle, decay, finding("PF301", **height))
    assert [proof.verdict for proof in proofs] == [REFUTED, UNDECIDED, CONFIRMED]
    assert (proofs[1].beside, proofs[0].beside) == (height, {})
    assert tried.order == ["PF301", "PF409", "PF204"]


def test_what_is_undecided_gets_more_seeds(tried: Any) -> None:
    height = {"normalization.height": "standardize"}
    proofs = tried(finding("PF409", weight_decay=0.01), finding("PF301", **height))
    assert [proof.verdict for proof in proofs] == [CONFIRMED, CONFIRMED]
    assert (proofs[0].effect.seeds, proofs[1].effect.seeds) == (10, 5)


def test_a_symptom_of_what_was_confirmed_is_not_tried_again(tried: Any) -> None:
    height = {"normalization.height": "standardize"}
    proofs = tried(caused(finding("PF301", **height), "PF105"), finding("PF105", clip_norm=1.0))
    assert [proof.verdict for proof in proofs] == [CONFIRMED, REFUTED]
    assert len(tried.bench.trained) == 4


def test_confirmed_remedies_are_candidates_alone_and_with_the_best(tried: Any) -> None:
    decay, rate, idle = finding("PF409", weight_decay=0.01), finding("PF201", lr=0.03), finding("PF205", clip_norm=1.0)
    proofs = [Proof(CONFIRMED, decay.answer.remedies[0]), Proof(CONFIRMED, rate.answer.remedies[0]), Proof(REFUTED)]
    judged = [replace(item, proof=proof) for item, proof in zip((decay, rate, idle), proofs, strict=True)]
    best = TODAY.with_values({"lr": 0.01})
    found, left = candidates_with(Diagnosis(tuple(judged), (), ()), TODAY, [best], lambda name: True)
    assert (found[0], left) == (best, [])
    changed = [params.changes_from(TODAY) for params in found[1:]]
    assert changed == [{"weight_decay": 0.01}, {"lr": 0.03}, {"weight_decay": 0.01, "lr": 0.03}]
    found, left = candidates_with(Diagnosis(tuple(judged), (), ()), TODAY, [], lambda name: name == "lr")
    assert [params.changes_from(TODAY) for params in found] == [{"lr": 0.03}]
    assert left == [{"weight_decay": 0.01}]


def test_what_several_findings_ask_for_is_run_once_and_proves_all(tried: Any) -> None:
    proofs = tried(*(finding(f"PF10{index}", lr=0.01) for index in range(MAX_TRIED + 2)))
    assert [proof.verdict for proof in proofs] == [CONFIRMED] * (MAX_TRIED + 2)
    assert len(tried.bench.trained) == 2


def test_a_probe_that_breaks_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no hooks\nhere")

    probes = {"activations": broken, "losses": lambda: {"losses": {"mse": {}}}}
    monkeypatch.setattr(module, "_probes", lambda *arguments: probes)
    facts = gather_facts(None, None, 0)
    assert facts == {"failed": {"activations": "RuntimeError: no hooks; here"}, "losses": {"mse": {}}}


def test_the_search_adds_where_its_best_learning_rate_lies() -> None:
    found = after_search({}, (1e-4, 1e-1), [(TODAY, 0.9), (TODAY.with_values({"lr": 0.01}), 0.2)])
    assert found == {"ladders": {}, "search": {"lr": {"low": 1e-4, "high": 1e-1, "best": 0.01}}}
    assert after_search({}, (1e-4, 1e-1), []) == {"ladders": {}}
    assert after_search({}, None, [(TODAY, 0.9)]) == {"ladders": {}}


def test_the_search_adds_what_its_runs_say_of_the_metric() -> None:
    top = MetricSettings("top1", "top1", "maximize")
    results = [Result(Outcome(COMPLETED), score, value, {}, 9, 1.0) for score, value in ((0.9, 0.1), (0.5, 0.4))]
    lost = Result(Outcome(COMPLETED), math.nan, math.nan, {}, 9, 1.0)
    found = metrics_of(top, [*results, lost])
    assert found == {
        "name": "top1",
        "goal": "maximize",
        "runs": 2,
        "lowest": 0.1,
        "highest": 0.4,
        "best": 0.5,
        "worst": 0.9,
    }
    assert after_search({}, None, [], found)["search"] == {"metric": found}
    assert metrics_of(None, results) == metrics_of(top, [lost]) == {}


def test_errors_are_left_that_no_remedy_has_settled_and_no_other_finding_explains() -> None:
    findings = (
        caused(finding("PF407"), "PF401"),
        finding("PF401"),
        replace(finding("PF201"), proof=Proof(CONFIRMED)),
        replace(finding("PF206"), proof=Proof(REFUTED)),
        replace(finding("PF301"), answer=Finding(WARNING, "so", (), (Remedy("do it"),))),
    )
    assert errors_left(Diagnosis(findings, (), ())) == ["PF407"]
