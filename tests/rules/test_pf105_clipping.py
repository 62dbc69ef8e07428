from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf105_clipping import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
NOISE = np.exp(0.3 * np.random.default_rng(0).normal(size=100))


def run(recorded: Recorded, norms: np.ndarray, clip: float | None, **tables: object) -> Recording:
    return recorded(Params(lr=0.1, batch_size=8, clip_norm=clip), gradient_norms={"overall": norms}, **tables)


@pytest.mark.parametrize("level", [30.0, 1e3, 1e9])
def test_a_limit_far_below_nearly_every_norm_is_found_with_a_better_one(level: float, recorded: Recorded) -> None:
    norms = level * NOISE
    answer = RULE.judge(run(recorded, norms, 1.0))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == {"clip_norm": pytest.approx(np.quantile(norms, 0.9))}
    assert answer.strength == pytest.approx(np.median(norms) / 10)


@pytest.mark.parametrize(
    ("norms", "clip"),
    [
        (NOISE, 1.0),  # every other step
        (4 * NOISE, 1.0),  # as language models are trained
        (np.where(np.arange(100) < 60, 1e3, 0.1) * NOISE, 1.0),
        (NOISE, 100.0),
    ],
)
def test_a_limit_that_is_now_and_then_or_mildly_exceeded_is_clean(
    norms: np.ndarray, clip: float, recorded: Recorded
) -> None:
    assert RULE.judge(run(recorded, norms, clip)) == Clean()


@pytest.mark.parametrize(("norms", "rows"), [(1e3 * NOISE[:10], 10), (np.full(100, np.nan), 0)])
def test_too_few_rows_are_not_clean(norms: np.ndarray, rows: int, recorded: Recorded) -> None:
    missing = NotApplicable(f"gradient_norms.csv has {rows} finite rows, 20 are needed")
    assert RULE.judge(run(recorded, norms, 1.0)) == missing


@pytest.mark.parametrize(("end", "is_clean"), [(1.0, True), (2.2, False), (2.3, False)])
def test_a_run_that_learns_with_steps_of_one_length_is_clean(end: float, is_clean: bool, recorded: Recorded) -> None:
    losses = {"total": np.linspace(2.3, end, 100)}
    assert (RULE.judge(run(recorded, 1e4 * NOISE, 1.0, losses=losses)) == Clean()) == is_clean


def test_a_run_that_does_not_clip_has_nothing_to_judge(recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, 1e4 * NOISE, None))
    assert answer == NotApplicable("this run does not clip: clip_norm is not set")
    assert isinstance(RULE.judge(recorded(gradient_norms={"overall": NOISE})), NotApplicable)
