from __future__ import annotations

import math

import pytest
import torch

from preflight.core.errors import NotReproducedError
from preflight.pipeline.reproduction import UNCHANGED, differences, judge, machine

CPU = torch.device("cpu")
RECORDED = {7: 0.5, 8: 0.6, 9: 0.4}


def test_this_machine_is_no_other_one() -> None:
    here = machine(CPU)
    assert here["torch"] == torch.__version__
    assert all(here.values())
    assert differences(here, here) == []


def test_what_a_run_does_not_tell_is_no_difference() -> None:
    assert differences({}, machine(CPU)) == []


@pytest.mark.parametrize("name", ["preflight", "torch", "python", "device", "processor"])
def test_a_difference_is_named_with_both_values(name: str) -> None:
    here = machine(CPU)
    assert differences({**here, name: "other"}, here) == [f"{name} is {here[name]} and was other"]


def test_the_number_of_a_device_is_no_difference() -> None:
    assert differences({"device": "cuda:1"}, {"device": "cuda"}) == []
    assert differences({"device": "cuda:1"}, {"device": "cpu"}) == ["device is cpu and was cuda"]


@pytest.mark.parametrize("different", [[], ["torch is 2 and was 1"]])
def test_the_very_same_scores_are_reproduced_exactly_wherever(different: list[str]) -> None:
    scores = {**RECORDED, 10: math.inf}
    assert judge(scores, dict(scores), different) == "reproduced exactly: the same score on every seed"


def test_on_the_same_machine_the_last_digit_counts() -> None:
    measured = {**RECORDED, 8: math.nextafter(0.6, 1)}
    with pytest.raises(NotReproducedError) as error:
        judge(RECORDED, measured, [])
    assert str(error.value).endswith(UNCHANGED)
    assert "with seed 8 " in str(error.value)


def test_elsewhere_it_may_be_another_one_within_the_noise() -> None:
    measured = {7: 0.505, 8: 0.597, 9: 0.401}
    sentence = judge(RECORDED, measured, ["torch is 2 and was 1", "python is 3 and was 2"])
    assert sentence.startswith("reproduced within the seeds' noise (")
    assert sentence.endswith("not to the last digit: torch is 2 and was 1; python is 3 and was 2")


@pytest.mark.parametrize(("factor", "word"), [(1.5, "50% higher (worse)"), (0.5, "50% lower (better)")])
def test_beyond_the_noise_it_is_not_reproduced_anywhere(factor: float, word: str) -> None:
    measured = {seed: factor * score for seed, score in RECORDED.items()}
    for different in ([], ["torch is 2 and was 1"]):
        with pytest.raises(NotReproducedError) as error:
            judge(RECORDED, measured, different)
        assert f"over 3 seeds it is {word}" in str(error.value)
        assert (different or [UNCHANGED])[0] in str(error.value)
