from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from preflight.advise.evidence import Effect
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Change, Measured, Near, Recommendation
from preflight.advise.throughput import Speed
from preflight.core.params import Params
from preflight.telemetry import store


@pytest.fixture
def changed(today: Params) -> Recommendation:
    """An answer with everything in it."""
    better = today.with_values({"lr": 0.01, "normalization.input": "robust", "clip_norm": 1.0, "dropout": 0.1})
    gain = Effect(0.3, 0.2, 0.4, 5)
    return Recommendation(
        decision=CHANGE,
        reason="on fresh seeds it takes 30% off",
        today=today,
        recommended=better,
        changes=(
            Change("lr", 0.1, 0.01, gain, Effect(0.1, -math.inf, 1.0, 1)),
            Change("normalization.input", "none", "robust", Effect(math.nan, -math.inf, 1.0, 0), gain),
            Change("clip_norm", None, 1.0, gain, gain),
            Change("shuffle", False, True, gain, gain),
            Change("num_workers", 0, 4, None, None, Speed(64.0, 250.0, 3.9, 3.7, math.inf, 4)),
        ),
        gain=gain,
        before=Measured({2000: 0.5, 2001: 10.0}, {2000: 0.9, 2001: math.nan}),
        after=Measured({2000: 0.4, 2001: 0.3}, {2000: 0.95, 2001: math.inf}),
        steps=600,
    )


def through_a_file(answer: Recommendation, path: Path) -> Recommendation:
    store.write_json(path, answer.as_dict())
    return Recommendation.from_dict(store.read_json(path))


def same(one: object, other: object) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(one) == repr(other)


def test_an_answer_survives_the_way_through_a_file(changed: Recommendation, tmp_path: Path) -> None:
    again = through_a_file(changed, tmp_path / store.RECOMMENDATION)
    assert same(again, changed)
    assert again.changes[1:] == changed.changes[1:] or math.isnan(again.changes[1].alone.gain)
    assert again.before is not None
    assert list(again.before.scores) == [2000, 2001]


@pytest.mark.parametrize("decision", [KEEP, CANNOT_TELL])
def test_an_answer_without_a_comparison_does_too(decision: str, today: Params, tmp_path: Path) -> None:
    answer = Recommendation(decision, "no other settings finished a trial", today, today)
    assert through_a_file(answer, tmp_path / "a.json") == answer


def test_types_of_the_settings_survive(changed: Recommendation, tmp_path: Path) -> None:
    again = through_a_file(changed, tmp_path / "a.json")
    assert again.today.key() == changed.today.key()
    assert {name: type(value) for name, value in again.today.flat().items()} == {
        name: type(value) for name, value in changed.today.flat().items()
    }
    assert again.recommended.changes_from(again.today) == changed.recommended.changes_from(changed.today)


def test_the_file_is_json_that_every_reader_takes(changed: Recommendation, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, changed.as_dict())

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)["decision"] == "change"


def test_the_scores_around_survive_the_way_through_a_file(today: Params, tmp_path: Path) -> None:
    around = (Near(0.01, 0.1, math.inf, {1000: 0.1, 1001: math.inf}), Near(0.02, 0.2, 0.3))
    again = through_a_file(Recommendation(CHANGE, "", today, today, around=around), tmp_path / "answer.json")
    assert again.around == around


def test_an_answer_written_before_they_were_kept_is_read(today: Params) -> None:
    values = Recommendation(CHANGE, "", today, today, around=(Near(0.01, 0.1, 0.2),)).as_dict()
    del values["around"][0]["scores"]
    assert Recommendation.from_dict(values).around == (Near(0.01, 0.1, 0.2),)
