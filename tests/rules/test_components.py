from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.errors import MissingError
from preflight.rules.components import component_deltas, component_norms, has_gradient, lr_ratio, norms_of_parts, rates
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
NORMS = {"overall": [2.0, 2.0], "body": [1.0, 1.0], "head": [1.5, 1.5], "seconds": [1.0, 2.0], "queue": [1e9, 1e9]}


def test_what_a_logger_adds_to_the_norms_is_no_component(foreign: Recorded) -> None:
    assert list(component_norms(foreign(gradient_norms=NORMS))) == ["body", "head", "queue"]
    both = foreign(gradient_norms=NORMS, weight_deltas={"body_delta": [1, 1], "head_delta": [1, 1]})
    assert list(component_norms(both)) == ["body", "head"]


def test_a_component_that_was_never_measured_is_none(foreign: Recorded) -> None:
    assert list(component_norms(foreign(gradient_norms={"body": [1.0], "head": [np.nan]}))) == ["body"]


def test_without_components_the_whole_is_the_part(foreign: Recorded) -> None:
    assert list(norms_of_parts(foreign(gradient_norms={"overall": [1.0]}))) == ["overall"]
    with pytest.raises(MissingError, match="no column 'overall'"):
        norms_of_parts(foreign(gradient_norms={}))


def test_what_is_missing_is_named(foreign: Recorded) -> None:
    with pytest.raises(MissingError, match=r"there is no weight_deltas\.csv"):
        component_deltas(foreign())
    with pytest.raises(MissingError, match="no column '<component>_delta'"):
        component_deltas(foreign(weight_deltas={"other": [1.0]}))
    with pytest.raises(MissingError, match="no column 'lr_group<n>'"):
        rates(foreign(learning_rates={"other": [1.0]}))


def test_rates_differ_by_their_peaks(foreign: Recorded) -> None:
    assert lr_ratio(foreign()) == 1
    assert lr_ratio(foreign(learning_rates={"lr_group0": [0, 0.1], "lr_group1": [2.0, 0], "lr_group2": [0, 0]})) == 20


def test_a_gradient_is_there_is_not_or_is_not_known(foreign: Recorded) -> None:
    recording = foreign(gradient_norms={"body": [1.0, 1.0, 0.0], "head": [0.0, 0.0, 1.0]})
    assert [has_gradient(recording, name) for name in ("body", "head", "neck")] == [True, False, None]
    assert has_gradient(foreign(), "body") is None
