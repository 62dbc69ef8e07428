from __future__ import annotations

from typing import Any

import pytest

import preflight.pipeline.ladder as module
from preflight.advise.ladder import ladder_label
from preflight.core.errors import NothingTrainedError
from preflight.core.params import Params
from preflight.pipeline.ladder import Ladders

TODAY = Params(lr=0.1, batch_size=8, normalization={"x": "none"})


class Rungs(Ladders):
    """Ladders of one task, whose model trains on inputs as they are."""

    def __init__(self, trains: bool) -> None:
        self.said: list[str] = []
        self.trains = trains
        today = type("Today", (), {"params": TODAY})
        audience = type("Audience", (), {"say": lambda _, text: self.said.append(text)})()
        super().__init__(None, None, type("Inspection", (), {"today": today}), None, 0, audience)  # type: ignore[arg-type]

    def of(self, params: Params) -> list[Any]:
        if params != TODAY or not self.trains:
            raise NothingTrainedError("none of 33 short runs made a step: IndexError")
        return []


def test_a_normalization_that_cannot_be_trained_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "normalization_that_fits", lambda _: {"normalization.x": "standardize"})
    monkeypatch.setattr(module, "lr_bounds", lambda rungs: (1e-4, 1e-1))
    ladders = Rungs(trains=True)
    assert ladders.bounds(["normalization.x"]) == (1e-4, 1e-1)
    label = ladder_label(TODAY.with_values({"normalization.x": "standardize"}))
    assert ladders.said == [f"{label}: none of 33 short runs made a step: IndexError"]
    assert ladders.hints() == []
    with pytest.raises(NothingTrainedError):
        Rungs(trains=False).bounds()
