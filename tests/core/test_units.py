from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.units import UNITS, RunLength, split_unit

lengths = st.builds(
    RunLength,
    horizon_steps=st.integers(1, 10**6),
    batch_size=st.integers(1, 4096),
    train_size=st.integers(4096, 10**7) | st.integers(4096, 10**4),
    drop_last=st.booleans(),
)


def test_an_epoch_has_a_step_for_the_short_last_batch() -> None:
    assert RunLength(100, 32, 64).steps_per_epoch == 2
    assert RunLength(100, 32, 65).steps_per_epoch == 3
    assert RunLength(100, 64, 10).steps_per_epoch == 1
    assert RunLength(100, 32, 65, drop_last=True).steps_per_epoch == 2


def batches_of(length: RunLength) -> list[int]:
    """Sizes of the batches of a run, drawn one by one."""
    sizes: list[int] = []
    left = length.train_size
    while len(sizes) < length.horizon_steps:
        size = min(length.batch_size, left)
        if size == length.batch_size or not length.drop_last:
            sizes.append(size)
        left = left - size or length.train_size
    return sizes


small = st.builds(
    RunLength,
    horizon_steps=st.integers(1, 60),
    batch_size=st.integers(1, 40),
    train_size=st.integers(40, 120),
    drop_last=st.booleans(),
)


@given(small)
def test_the_samples_seen_are_those_of_the_batches(length: RunLength) -> None:
    assert length.samples_seen == sum(batches_of(length))


@given(small, st.integers(1, 40))
def test_no_other_number_of_steps_is_nearer(length: RunLength, batch_size: int) -> None:
    other = length.at_batch_size(batch_size)
    misses = [
        abs(replace(other, horizon_steps=steps).samples_seen - length.samples_seen)
        for steps in range(max(1, other.horizon_steps - 3), other.horizon_steps + 4)
    ]
    assert abs(other.samples_seen - length.samples_seen) == min(misses)


def test_the_same_warmup_in_every_unit() -> None:
    length = RunLength(horizon_steps=1000, batch_size=32, train_size=3200)
    assert length.to_fraction(50, "steps") == 0.05
    assert length.to_fraction(0.5, "epochs") == 0.05
    assert length.to_fraction(1600, "samples") == 0.05
    assert length.to_fraction(0.05, "fraction") == 0.05


def test_and_back() -> None:
    length = RunLength(horizon_steps=1000, batch_size=32, train_size=3200)
    assert {unit: length.from_fraction(0.05, unit) for unit in UNITS} == {
        "steps": 50,
        "epochs": 0.5,
        "samples": 1600,
        "fraction": 0.05,
    }


def test_epochs_have_two_decimals_and_the_rest_is_whole() -> None:
    length = RunLength(horizon_steps=1000, batch_size=32, train_size=3200)
    assert length.from_fraction(1 / 3, "epochs") == 3.33
    assert length.from_fraction(1 / 3, "steps") == 333
    assert isinstance(length.from_fraction(1 / 3, "steps"), int)
    assert isinstance(length.from_fraction(1 / 3, "samples"), int)


def test_an_unknown_unit_is_a_bug_of_ours() -> None:
    with pytest.raises(KeyError):
        RunLength(10, 1, 1).to_fraction(1, "parsecs")


@given(lengths, st.data())
def test_whole_steps_and_samples_survive_the_way_there_and_back(length: RunLength, data: st.DataObject) -> None:
    steps = data.draw(st.integers(0, length.horizon_steps))
    assert length.from_fraction(length.to_fraction(steps, "steps"), "steps") == steps
    samples = data.draw(st.integers(0, length.horizon_steps * length.batch_size))
    assert length.from_fraction(length.to_fraction(samples, "samples"), "samples") == samples


@given(lengths, st.floats(0, 1))
def test_epochs_survive_up_to_their_rounding(length: RunLength, fraction: float) -> None:
    epochs = length.from_fraction(fraction, "epochs")
    again = length.from_fraction(length.to_fraction(epochs, "epochs"), "epochs")
    assert math.isclose(again, epochs, rel_tol=1e-9, abs_tol=1e-9) or abs(again - epochs) <= 0.0100001
    exact = fraction * length.horizon_steps / length.steps_per_epoch
    assert abs(epochs - exact) <= 0.005 + 1e-9 * exact


@given(lengths)
def test_the_whole_run_is_one_in_every_unit(length: RunLength) -> None:
    whole = {
        "steps": length.horizon_steps,
        "epochs": length.horizon_steps / length.steps_per_epoch,
        "samples": length.horizon_steps * length.batch_size,
        "fraction": 1.0,
    }
    for unit in UNITS:
        assert length.to_fraction(whole[unit], unit) == pytest.approx(1.0)


@given(lengths, st.integers(1, 4096))
def test_another_batch_size_sees_as_many_samples(length: RunLength, batch_size: int) -> None:
    other = length.at_batch_size(batch_size)
    assert (other.batch_size, other.train_size) == (batch_size, length.train_size)
    assert other.drop_last == length.drop_last
    assert abs(length.samples_seen - other.samples_seen) <= batch_size / 2 or other.horizon_steps == 1


@given(lengths)
def test_the_same_batch_size_changes_nothing(length: RunLength) -> None:
    assert length.at_batch_size(length.batch_size) == length


@given(lengths, st.sampled_from([2, 4, 8]))
def test_a_smaller_batch_and_back_is_the_same_run(length: RunLength, factor: int) -> None:
    bigger = replace(length, batch_size=max(1, length.batch_size // factor) * factor)
    length = replace(length, batch_size=bigger.batch_size // factor)
    assert bigger.at_batch_size(length.batch_size).at_batch_size(bigger.batch_size) == bigger


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("warmup_epochs", ("warmup", "epochs")),
        ("warmup_fraction", ("warmup", "fraction")),
        ("horizon_steps", ("horizon", "steps")),
        ("horizon_samples", ("horizon", "samples")),
        ("warmup", None),
        ("warmup_", None),
        ("warmup_minutes", None),
        ("log_steps", None),
        ("my_warmup_steps", None),
        ("lr", None),
        ("", None),
    ],
)
def test_a_unit_is_the_last_word_of_a_length_and_of_nothing_else(name: str, parts: tuple[str, str] | None) -> None:
    assert split_unit(name) == parts
