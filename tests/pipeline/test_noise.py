from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflight.advise.noise import NoiseScale
from preflight.advise.recommendation import CHANGE, KEEP, Measured, Recommendation
from preflight.core.params import Params
from preflight.pipeline.noise import look_at_noise
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec
from preflight.trials.noise import NoiseMoment
from preflight.trials.outcome import COMPLETED, CRASHED, DIVERGED, Outcome, Result

TODAY = Params(lr=0.3, batch_size=32)
BETTER = Params(lr=0.03, batch_size=32)
SCORES = {2000: 0.5, 2001: 0.6, 2002: 0.7}


@dataclass
class Recorded:
    """Gives what was recorded, with a noise scale at each moment that is asked for."""

    specs: Sequence[TrialSpec] = ()
    error: Exception | None = None
    failed: str = ""
    off: float = 0.0

    def run(self, specs: Sequence[TrialSpec], ended: Any) -> Iterator[Result]:
        self.specs = specs
        if self.error is not None:
            raise self.error
        for spec in specs:
            ended()
            yield self._result(spec)

    def _result(self, spec: TrialSpec) -> Result:
        scale = None if self.failed else NoiseScale(100.0 * spec.seed, 50.0, 9e9)
        noise = tuple(NoiseMoment(round(90 * share), 32, 32, scale, self.failed) for share in spec.noise_at)
        return Result(Outcome(COMPLETED), SCORES[spec.seed] + self.off, 0.0, {}, 90, 1.0, noise=noise)


@pytest.fixture
def look(tmp_path: Path, stages: Any) -> Any:
    settings = SimpleNamespace(budget=SimpleNamespace(rungs=3), space=SimpleNamespace(plain={"batch_size": ()}))

    def run(engine: Recorded, decision: str = CHANGE, **scores: Any) -> Any:
        given = {"before": Measured({}, {}), "after": Measured(SCORES, {}), **scores}
        recommended = BETTER if decision == CHANGE else TODAY
        answer = Recommendation(decision, "", TODAY, recommended, steps=90, **given)
        look_at_noise(engine, answer, Measured({2002: 0.7}, {}), settings, tmp_path, stages)  # type: ignore[arg-type]
        return store.read_json(tmp_path / store.NOISE_SCALE)

    return run


def test_the_proving_runs_of_what_is_recommended_are_made_again_on_two_seeds(look: Any, stages: Any) -> None:
    engine = Recorded()
    document = look(engine)
    assert [(spec.seed, spec.params, spec.steps, spec.rungs) for spec in engine.specs] == [
        (2000, BETTER, 90, 3),
        (2001, BETTER, 90, 3),
    ]
    assert [spec.noise_at for spec in engine.specs] == [(0.0, 1 / 3, 1.0)] * 2
    assert (stages.begun, stages.counts) == ([("noise scale", 2)], [2])
    assert [moment["step"] for moment in document["moments"]] == [0, 30, 90]
    assert document["moments"][0]["scale"] == {"samples": pytest.approx(200050, rel=1e-3), "low": 50.0, "high": 9e9}
    assert (document["failed"], document["disturbed"], document["searched"]) == ("", [], True)
    assert (document["trained_steps"], document["gradients"]) == (180, 192)


def test_where_todays_settings_stay_they_are_measured(look: Any) -> None:
    engine = Recorded()
    look(engine, KEEP, before=Measured(SCORES, {}), after=None)
    assert [spec.params for spec in engine.specs] == [TODAY, TODAY]
    look(engine, KEEP, before=None, after=None)
    assert [spec.seed for spec in engine.specs] == [2002]


def test_another_score_than_the_recorded_one_is_told(look: Any) -> None:
    assert look(Recorded(off=1e-9))["disturbed"] == [2000, 2001]


def test_what_fails_is_said_and_raises_nothing(look: Any, stages: Any) -> None:
    document = look(Recorded(error=RuntimeError("no worker")))
    assert (document["failed"], document["moments"]) == ("RuntimeError: no worker", [])
    assert not stages.open
    assert look(Recorded(failed="the gradient is zero"))["failed"] == "the gradient is zero"


def test_a_user_who_stops_it_is_heard(look: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        look(Recorded(error=KeyboardInterrupt()))  # type: ignore[arg-type]


def test_a_run_that_is_lost_is_the_reason(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Result(Outcome(CRASHED, "its process ended"), 0.0, 0.0, {}, 0, 0.0)
    monkeypatch.setattr(Recorded, "_result", lambda self, spec: lost)
    assert look(Recorded())["failed"] == "its process ended"


def test_a_run_that_diverges_after_the_start_has_no_noise_scale(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = (NoiseMoment(0, 32, 32, NoiseScale(9.0, 8.0, 10.0)),)
    lost = Result(Outcome(DIVERGED, "the loss is not finite"), 0.0, 0.0, {}, 5, 0.0, noise=begun)
    monkeypatch.setattr(Recorded, "_result", lambda self, spec: lost)
    document = look(Recorded())
    assert document["failed"] == "the loss is not finite"
    assert document["moments"][0]["scale"]["samples"] == pytest.approx(9)
