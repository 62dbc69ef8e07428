from __future__ import annotations

import math
from typing import Any

import pytest

from preflight.report.noise import noise_table

SGD, ADAM = ({"optimizer": {"name": name, "scales_steps": scales}} for name, scales in (("SGD", False), ("Adam", True)))


def scale(samples: float, low: float, high: float) -> dict[str, float]:
    return {"samples": samples, "low": low, "high": high}


def document(*scales: Any, **changes: Any) -> dict[str, Any]:
    rows = [
        {"step": 100 * index, "scale": item, "seeds": [{"seed": 7, "scale": item, "failed": "" if item else "no"}]}
        for index, item in enumerate(scales)
    ]
    given = {
        "batch_size": 32,
        "lr": 0.1,
        "steps": 200,
        "trained_steps": 400,
        "gradients": 192,
        "moments": rows,
        "tied": [],
        "normed": False,
        "disturbed": [],
        "searched": False,
        "failed": "",
    }
    return given | changes


KNOWN = (scale(5, 4, 6), scale(96, 96, 96), scale(288, 288, 288))


def test_nothing_is_said_where_nothing_was_looked_at() -> None:
    assert noise_table(None, SGD, 32) is None


def test_the_start_takes_no_part_in_the_advice() -> None:
    table = noise_table(document(*KNOWN), SGD, 32)
    assert table is not None
    assert "140 samples (96 to 290) from step 100 to 200, beside a batch of 32" in table.line
    assert "doubling it to 64 is expected to need 10% to 25% more samples and 38% to 45% fewer steps" in table.line
    assert [row.step for row in table.moments] == ["0", "100", "200"]
    assert table.moments[0].seeds == ("5 samples (4 to 6)",)


def test_equal_samples_and_equal_steps_are_told_apart() -> None:
    table = noise_table(document(KNOWN[0], scale(32, 32, 32)), SGD, 32)
    assert table is not None
    doubled = next(row for row in table.batches if row.batch_size == "64")
    assert (doubled.samples, doubled.steps) == ("50% more", "25% fewer")
    assert (doubled.at_samples, doubled.at_steps) == ("33% less", "33% more")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (scale(4000, 3000, 5000), "would be nearly free in samples."),
        (scale(100, 90, 110), "would be a trade of samples for steps."),
        (scale(3, 2, 4), "would be mostly wasted"),
        (scale(300, 90, math.inf), "would be nearly free in samples, or a trade of samples for steps."),
    ],
)
def test_what_a_larger_batch_is_worth(found: Any, words: str) -> None:
    table = noise_table(document(KNOWN[0], found), SGD, 32)
    assert table is not None and words in table.verdict


def test_a_bound_is_no_number() -> None:
    table = noise_table(document(KNOWN[0], scale(math.inf, 900, math.inf)), SGD, 32)
    assert table is not None
    assert "at least 900 samples after 100 steps" in table.line
    assert "0% to 3% more samples" in table.line


def test_the_rule_for_the_learning_rate_is_that_of_the_optimizer() -> None:
    texts = []
    for facts in (SGD, ADAM, {}):
        table = noise_table(document(KNOWN[0], scale(32, 32, 32)), facts, 32)
        assert table is not None
        texts.append(next(note for note in table.notes if "learning rate would be" in note))
    assert "1.33 times as large (for SGD" in texts[0] and "1812.06162" in texts[0]
    assert "1.00 to 1.41 times as large (for optimizers such as Adam" in texts[1] and "2205.10287" in texts[1]
    assert "1.00 to 1.41" in texts[2]
    assert all("not run" in text for text in texts)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failed": "10 training samples make 5 batches of 2"}, "10 training samples make 5 batches of 2"),
        ({"tied": ["koleo"]}, "a loss compares the samples of a batch (koleo)"),
        ({"moments": []}, "no gradient stands out of its noise"),
    ],
)
def test_it_says_that_it_cannot_tell(changes: Any, reason: str) -> None:
    table = noise_table(document(*KNOWN, **changes), SGD, 32)
    assert table is not None
    assert table.line.startswith("noise scale: cannot tell: ") and reason in table.line
    assert not table.batches


def test_what_may_be_wrong_with_it_is_noted() -> None:
    table = noise_table(document(*KNOWN, normed=True, disturbed=[7], searched=True), SGD, 32)
    assert table is not None
    said = " ".join(table.notes)
    assert "Batch normalization ties" in said and "With seed 7" in said
    assert "batch_size was searched, at equal samples, and is kept" in said


def test_a_batch_of_one_has_no_half() -> None:
    table = noise_table(document(*KNOWN, batch_size=1), SGD, 1)
    assert table is not None
    assert [row.batch_size for row in table.batches] == ["2", "4", "8"]
