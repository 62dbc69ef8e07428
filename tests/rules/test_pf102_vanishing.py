from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf102_vanishing import LOST, RATIO, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def run(recorded: Recorded, norms: Sequence[float], steps: int = 100) -> Recording:
    """Layers of one weight each, in the order of the model."""
    count = len(norms)
    return recorded(
        gradient_norms={"overall": np.ones(steps)},
        parameters={
            "name": [f"layers.{index}.weight" for index in range(count)],
            "component": ["net"] * count,
            "values": [64] * count,
            "max_gradient_norm": norms,
            "median_gradient_norm": norms,
            "last_gradient_step": [steps - 1] * count,
        },
    )


@pytest.mark.parametrize(("factor", "layers", "severity"), [(0.2, 6, WARNING), (0.2, 20, ERROR), (0.05, 4, WARNING)])
def test_a_gradient_that_shrinks_by_a_factor_per_layer_vanishes(
    factor: float, layers: int, severity: str, recorded: Recorded
) -> None:
    norms = factor ** np.arange(layers)[::-1]
    answer = RULE.judge(run(recorded, norms))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (severity, "layers.0")
    assert (answer.evidence[0].value < LOST.value) == (severity == ERROR)
    assert answer.strength >= 1


def test_a_gradient_that_shrinks_until_it_underflows_vanishes(recorded: Recorded) -> None:
    norms = np.where(np.arange(20) < 8, 0.0, 10.0 ** (np.arange(20) - 19.0))
    answer = RULE.judge(run(recorded, norms))
    assert isinstance(answer, Finding) and answer.where == "layers.8"


def test_layers_that_are_cut_off_from_the_loss_have_not_vanished(recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, [0.0, 0.0, 0.0, 0.7, 0.8, 0.9, 1.0])) == Clean()


@pytest.mark.parametrize(
    "norms",
    [
        [0.02, 0.05, 0.1, 0.3, 0.6, 1.0],  # a plain network before its plateau ends
        [1e-5, 1.0, 0.8, 1.2, 0.9, 1.0],  # an embedding of which a batch touches little
        [1.0, 1e-6, 1.1, 1e-6, 0.9, 1e-6, 1.0],  # biases of their own module
        [1e-9, 1.0, 1.0],  # too few layers to speak of depth
        [1.0, 0.1, 0.01, 1e-3, 1e-4],  # the other way round
        [0.0] * 6,
        [1.0] * 6,
    ],
)
def test_what_does_not_vanish_with_depth_is_clean(norms: list[float], recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, norms)) == Clean()


def test_a_few_steps_tell_nothing(recorded: Recorded) -> None:
    missing = NotApplicable("gradient_norms.csv has 5 rows, 10 are needed")
    assert RULE.judge(run(recorded, 0.01 ** np.arange(6)[::-1], steps=5)) == missing


def test_without_gradients_by_parameter_there_is_nothing_to_judge(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(gradient_norms={"overall": [1.0] * 50}))
    assert answer == NotApplicable("there is no parameters.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(scale=st.floats(1e-3, 1e6), ratio=st.sampled_from([0.5, 2.0]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, ratio: float) -> None:
    norms = scale * np.geomspace(ratio * RATIO.value, 1.0, 4)
    assert isinstance(RULE.judge(run(recorded, norms)), Finding) == (ratio < 1)


SHRINKING = 900 * np.exp(-np.minimum(0.1 * np.arange(300), 25))


def test_of_components_a_gradient_that_shrinks_over_the_run_vanishes(foreign: Recorded) -> None:
    norms = {"overall": np.ones(300), "body": SHRINKING, "head": np.ones(300)}
    answer = RULE.judge(foreign(gradient_norms=norms))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "body")
    fitted = {"total": np.linspace(1, 0, 300) ** 8}
    assert RULE.judge(foreign(gradient_norms=norms, losses=fitted)) == Clean()


@pytest.mark.parametrize("body", [np.ones(300), 1e-9 * np.ones(300), np.maximum(SHRINKING, 0.9), np.zeros(300)])
def test_small_or_falling_or_zero_is_not_vanishing(body: np.ndarray, foreign: Recorded) -> None:
    assert RULE.judge(foreign(gradient_norms={"body": body})) == Clean()


def test_of_components_a_few_rows_tell_nothing_but_their_mean(foreign: Recorded) -> None:
    norms = {"body": SHRINKING[:19]}
    missing = NotApplicable("gradient_norms.csv has 19 finite rows, 20 are needed")
    assert RULE.judge(foreign(gradient_norms=norms)) == missing
    assert RULE.judge(foreign(gradient_norms=norms, facts={"limits": {"norm_below": 1e-3}})) == Clean()


def test_an_absolute_limit_is_asked_for(foreign: Recorded) -> None:
    norms = {"body": 1e-5 * np.ones(300), "head": np.ones(300)}
    answer = RULE.judge(foreign(gradient_norms=norms, facts={"limits": {"norm_below": 1e-3}}))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.evidence[0].limit) == ("body", 1e-3)
