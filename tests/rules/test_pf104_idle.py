from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import ERROR, NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf104_idle import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
nan = np.nan


def fact(name: str, values: int = 100, **changes: Any) -> dict[str, Any]:
    healthy = {
        "name": name,
        "values": values,
        "trained": True,
        "in_optimizer": True,
        "registered": True,
        "has_gradient": True,
        "random": None,
        "of_loss": None,
    }
    return healthy | changes


def table(**changes: list[float]) -> dict[str, Any]:
    healthy = {
        "name": ["body.weight", "body.bias", "head.weight", "head.bias"],
        "component": ["body", "body", "head", "head"],
        "values": [900, 10, 80, 10],
        "max_gradient_norm": [2.0, 1.0, 2.0, 1.0],
        "median_gradient_norm": [1.0, 0.5, 1.0, 0.5],
        "update_total": [0.1, 0.1, 0.1, 0.1],
        "first_nonfinite_step": [-1, -1, -1, -1],
    }
    return healthy | changes


STEPS = {"overall": np.ones(50)}


@pytest.mark.parametrize(
    ("idle", "severity", "words"),
    [
        ({"registered": False, "in_optimizer": False}, ERROR, "no parameter of the model"),
        ({"in_optimizer": False}, ERROR, "not in the optimizer"),
        ({"has_gradient": False}, ERROR, "gets no gradient"),
        ({"trained": False, "in_optimizer": False, "has_gradient": False, "random": True}, WARNING, "drawn at random"),
    ],
)
def test_what_the_probe_saw_is_told_with_its_reason(
    idle: dict[str, Any], severity: str, words: str, recorded: Recorded
) -> None:
    facts = {"parameters": [fact("head", 100), fact("body.0", 300, **idle), fact("body.1", 300, **idle)]}
    answer = RULE.judge(recorded(facts=facts))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (severity, "body.0")
    assert words in answer.message
    assert "86%" in answer.message


@pytest.mark.parametrize(("values", "severity"), [(5, NOTE), (50, WARNING), (900, ERROR)])
def test_how_much_is_idle_decides_how_bad_it_is(values: int, severity: str, recorded: Recorded) -> None:
    facts = {"parameters": [fact("head", 1000), fact("pooler", values, has_gradient=False)]}
    answer = RULE.judge(recorded(facts=facts))
    assert isinstance(answer, Finding)
    assert answer.severity == severity


@pytest.mark.parametrize(
    "item",
    [
        fact("backbone", 9000, trained=False, in_optimizer=False, has_gradient=False, random=False),  # loaded
        fact("unregistered.0", 9000, registered=False, in_optimizer=False, of_loss=True),  # compares images
        fact("lora", 10),
    ],
)
def test_a_loaded_backbone_and_the_network_of_a_loss_are_meant_to_be_idle(
    item: dict[str, Any], recorded: Recorded
) -> None:
    assert RULE.judge(recorded(facts={"parameters": [fact("head"), item]})) == Clean()


def test_a_parameter_without_gradient_in_the_whole_run_is_named(recorded: Recorded) -> None:
    changes = {"max_gradient_norm": [nan, nan, 2.0, 1.0], "median_gradient_norm": [nan, nan, 1.0, 0.5]}
    answer = RULE.judge(recorded(gradient_norms=STEPS, parameters=table(**changes)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "body.weight")
    assert "91%" in answer.message


def test_a_parameter_without_gradient_on_the_first_batch_only_is_clean(recorded: Recorded) -> None:
    facts = {"parameters": [fact("body.weight", has_gradient=False), fact("head.weight")]}
    assert RULE.judge(recorded(facts=facts, gradient_norms=STEPS, parameters=table())) == Clean()


def test_a_layer_that_has_a_gradient_and_does_not_change_is_named(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(gradient_norms=STEPS, parameters=table(update_total=[0.0, 0.0, 0.1, 0.1])))
    assert isinstance(answer, Finding)
    assert "does not change" in answer.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # A bias in front of a batch norm: its gradient is what rounding leaves.
        {"median_gradient_norm": [1.0, 1e-9, 1.0, 0.5], "update_total": [0.1, 0.0, 0.1, 0.1]},
        {"update_total": [0.1, 0.0, 0.1, 0.1]},
        {"update_total": [nan] * 4},  # a run shorter than the interval of the deltas
        # A gradient that was infinite from the start is no missing one.
        {"max_gradient_norm": [nan] * 4, "median_gradient_norm": [nan] * 4, "first_nonfinite_step": [0] * 4},
        {"median_gradient_norm": [0.0, 0.0, 1.0, 0.5], "update_total": [0.0, 0.0, 0.1, 0.1]},  # dead: PF103
    ],
)
def test_what_moves_or_cannot_is_clean(changes: dict[str, list[float]], recorded: Recorded) -> None:
    assert RULE.judge(recorded(gradient_norms=STEPS, parameters=table(**changes))) == Clean()


def test_with_neither_facts_nor_table_there_is_nothing_to_judge(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(gradient_norms=STEPS))
    assert answer == NotApplicable("there is no parameters.csv, and no probe has looked at 'parameters'")


@pytest.mark.parametrize("columns", [{"body": np.ones(30), "head": np.ones(30)}, None])
def test_of_components_one_that_never_changes_is_idle(columns: dict[str, np.ndarray] | None, foreign: Recorded) -> None:
    tables = {} if columns is None else {"gradient_norms": columns}
    moves = {"body_delta": np.zeros(30), "head_delta": np.ones(30)}
    answer = RULE.judge(foreign(weight_deltas=moves, **tables))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "body")
    assert ("has a gradient" in answer.message) == (columns is not None)


def test_a_component_without_a_gradient_is_another_rules_matter(foreign: Recorded) -> None:
    tables = {"gradient_norms": {"body": np.zeros(30)}, "weight_deltas": {"body_delta": np.zeros(30)}}
    assert RULE.judge(foreign(**tables)) == Clean()
    assert RULE.judge(foreign(weight_deltas={"body_delta": np.zeros(19)})) == Clean()


def test_the_column_that_is_missing_is_named(recorded: Recorded, foreign: Recorded) -> None:
    table = {"name": ["a.w"], "max_gradient_norm": [1.0], "median_gradient_norm": [1.0]}
    for make, rest in ((recorded, ""), (foreign, ", there is no weight_deltas.csv")):
        answer = RULE.judge(make(parameters=table))
        wanted = f"parameters.csv has no column 'update_total'{rest}, and no probe has looked at 'parameters'"
        assert answer == NotApplicable(wanted)


FROZEN = {"trained": False, "in_optimizer": False, "has_gradient": False}


@pytest.mark.parametrize(
    ("bias", "shape", "severity"),
    [(3, [3], ERROR), (4, [3], WARNING), (1, [], ERROR), (64, [12, 64], WARNING), (3, None, WARNING)],
)
def test_where_no_more_trains_than_a_constant_has_that_is_said_and_the_cause(
    bias: int, shape: list[int] | None, severity: str, recorded: Recorded
) -> None:
    """A loaded backbone, a head that is frozen as it was drawn, and its bias."""
    body = fact("body", 9800 - bias, random=False, **FROZEN)
    head, rest = fact("head.weight", 200, random=True, **FROZEN), fact("head.bias", bias)
    losses = {} if shape is None else {"ce": {"output_shape": shape}}
    answer = RULE.judge(recorded(facts={"parameters": [body, head, rest], "losses": losses}))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert f"2% of the model's values do not learn; {bias} of 10,000 train" in answer.message
    assert answer.explains == (("PF201", "PF202") if severity == ERROR else ())
    assert set(RULE.causes) >= {"PF401", "PF402"}


def test_a_reservoir_with_a_readout_that_trains_is_no_error(recorded: Recorded) -> None:
    known = [fact("reservoir", 10**6, random=True, **FROZEN), fact("readout", 1000)]
    answer = RULE.judge(recorded(facts={"parameters": known, "losses": {"mse": {"output_shape": [1]}}}))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
