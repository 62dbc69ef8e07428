from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import preflight.rules
from preflight.core.errors import InputError
from preflight.core.params import Params
from preflight.rules.base import FAMILIES, Rule
from preflight.rules.registry import RULES, rule
from preflight.telemetry.recording import Recording

FOLDER = Path(preflight.rules.__file__).parent
TESTS = Path(__file__).parent


def test_every_file_of_a_rule_is_registered_in_the_order_of_the_codes() -> None:
    files = sorted(path.stem for path in FOLDER.glob("pf*.py"))
    assert [item.check.__module__.rsplit(".", 1)[1] for item in RULES] == files
    assert [f"pf{item.code[2:]}_" for item in RULES] == [re.match(r"pf\d{3}_", name).group() for name in files]


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.code)
def test_a_rule_is_documented(item: Rule) -> None:
    assert re.fullmatch(r"PF[1-7]\d\d", item.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", item.name)
    assert item.family == FAMILIES[item.code[2]]
    for text in (item.detects, item.matters, item.fix):
        assert re.fullmatch(r"[A-Z].{30,}\.", text), text
    for threshold in item.thresholds:
        assert threshold.meaning
        assert threshold.source
    assert item.code not in item.causes


MEASURES = re.compile(r"^([A-Z][A-Z_]*)\b.*= -?[\d.]", re.MULTILINE)


@pytest.mark.parametrize("path", sorted([*FOLDER.glob("pf5*.py"), FOLDER / "series.py"]), ids=lambda path: path.stem)
def test_what_decides_on_a_metric_is_a_documented_threshold(path: Path) -> None:
    """A bare number bounds the strength of a finding, or is a batch size that is advised."""
    assert set(MEASURES.findall(path.read_text(encoding="utf-8"))) <= {"CAP", "ENOUGH"}


def test_codes_and_names_are_unique() -> None:
    assert len({item.code for item in RULES}) == len({item.name for item in RULES}) == len(RULES)


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.code)
def test_a_rule_has_a_test_file(item: Rule) -> None:
    assert (TESTS / f"test_{item.check.__module__.rsplit('.', 1)[1]}.py").exists()


def test_what_a_rule_names_as_its_symptoms_exists() -> None:
    known = {item.code for item in RULES}
    for item in RULES:
        for named in (*item.causes, *re.findall(r"PF\d{3}", item.fix + item.matters + item.detects)):
            assert named in known, f"{item.code} names {named}"


EXPLAINS = re.compile(r"explains=([^\n]*)")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_data_are_as_they_are_whatever_is_made_of_them(path: Path) -> None:
    """Only a fault of the data explains another one: a head, a rate or a loss makes no input raw or unsorted.

    Codes that a single finding explains are written where it is made, so that they can be read here.
    """
    told = EXPLAINS.findall(path.read_text(encoding="utf-8"))
    assert all(re.search(r"PF\d{3}", part) for part in told)
    own = next((item for item in RULES if item.check.__module__.endswith(path.stem)), None)
    named = [*re.findall(r"PF\d{3}", " ".join(told)), *((*own.causes, *own.causes_there) if own else ())]
    assert path.stem.startswith("pf3") or not [code for code in named if code.startswith("PF3")]


def test_sorted_data_explain_a_rate_that_seems_too_low() -> None:
    """The ladder's short runs meet samples of one class, and learn its constant at any rate that is high enough."""
    assert rule("PF307").explains("PF202", is_same_place=False)


def test_a_rule_is_found_by_code_and_by_name() -> None:
    assert rule("pf101") is rule("exploding-gradients") is RULES[0]
    with pytest.raises(InputError, match="there is no rule 'PF1O1'; did you mean 'PF101'"):
        rule("PF1O1")


PLATEAU = {"kind": "ReduceLROnPlateau", "unit": "epoch", "steps": 6, "reason": "ReduceLROnPlateau follows a metric"}


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.code)
@pytest.mark.parametrize("facts", [{}, {"schedule": PLATEAU}, {"failed": {"schedule": "TypeError: bad T_max"}}])
@pytest.mark.parametrize("params", [None, Params(lr=0.1, batch_size=8)])
def test_a_rule_answers_of_a_run_that_tells_next_to_nothing(
    item: Rule, facts: dict[str, Any], params: Params | None, recorded: Callable[..., Recording]
) -> None:
    losses = {"total": np.geomspace(1.0, 1e9, 200)}
    norms, rates = {"overall": np.geomspace(1.0, 1e9, 200)}, {"lr_group0": [0.1] * 200}
    item.judge(recorded(params, facts))
    item.judge(recorded(params, facts, losses=losses, gradient_norms=norms, learning_rates=rates))
