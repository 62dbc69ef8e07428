from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf205_no_warmup import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
TODAY = Params(lr=0.1, batch_size=8)
LEARNS = np.exp(-np.arange(100) / 40)


def spiky(loss: float, norm: float, at: int = 3) -> dict[str, Any]:
    places = np.arange(100)
    return {
        "losses": {"total": np.where(places == at, loss, LEARNS)},
        "gradient_norms": {"overall": np.where(places == at, norm, 1.0)},
    }


@pytest.mark.parametrize("size", [1.1, 100.0])
def test_an_early_spike_from_which_the_run_recovers(size: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, **spiky(3 * size, 10 * size)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step) == (WARNING, 3)
    assert [remedy.settings for remedy in answer.remedies] == [
        {"warmup_fraction": 0.05},
        {"lr": pytest.approx(0.1 / 3)},
    ]


@pytest.mark.parametrize(
    "tables",
    [
        spiky(1.0, 1.0),
        spiky(2.0, 100.0),  # a norm alone
        spiky(100.0, 5.0),  # a loss alone
        spiky(100.0, 100.0, at=50),  # later
        {
            "losses": {"total": np.where(np.arange(100) % 10 == 3, 9, LEARNS)},
            "gradient_norms": {"overall": [1.0] * 100},
        },
        {"losses": {"total": np.linspace(1, 50, 100)}, "gradient_norms": {"overall": np.linspace(1, 50, 100)}},
        {"losses": {"total": np.full(100, np.inf)}, "gradient_norms": {"overall": [1.0] * 100}},
        {"losses": {"total": -LEARNS}, "gradient_norms": {"overall": [1.0] * 100}},
    ],
)
def test_what_has_no_spike_of_its_own_at_the_start_is_clean(tables: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY, **tables)) == Clean()


def test_too_few_rows_are_not_clean(recorded: Recorded) -> None:
    tables = {"losses": {"total": LEARNS[:20]}, "gradient_norms": {"overall": [1.0, 50.0] * 10}}
    assert RULE.judge(recorded(TODAY, **tables)) == NotApplicable("losses.csv has 20 rows, 40 are needed")


def test_a_spike_that_comes_again_is_noise(recorded: Recorded) -> None:
    tables = spiky(9.0, 90.0)
    tables["losses"]["total"][70] = 8.0
    assert RULE.judge(recorded(TODAY, **tables)) == Clean()


def test_with_a_warmup_none_is_missing(recorded: Recorded) -> None:
    assert RULE.judge(recorded(Params(0.1, 8, 0.05), **spiky(9, 90))) == Clean()
    own = {"schedule": {"kind": "SequentialLR", "unit": "step", "warmup_share": 0.1}}
    assert RULE.judge(recorded(TODAY, facts=own, **spiky(9, 90))) == Clean()


def test_what_is_not_known_is_said(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(**spiky(9, 90)))
    assert answer == NotApplicable("the settings of this run are not known, so neither is 'warmup_fraction'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(scale=st.floats(1e-6, 1e6), loss=st.sampled_from([1.0, 30.0]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, loss: float) -> None:
    tables = spiky(loss, 100.0)
    tables = {name: {key: scale * value for key, value in table.items()} for name, table in tables.items()}
    assert isinstance(RULE.judge(recorded(TODAY, **tables)), Finding) == (loss > 3)
