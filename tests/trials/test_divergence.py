from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.tasks.data import Collated, Data, InMemory, Roles
from preflight.tasks.reader import Reader
from preflight.telemetry.chunk import COLUMNS, Chunk, Layout, concatenate
from preflight.telemetry.recorder import ABSENT, Recorder, _resolved
from preflight.trials.divergence import MAX_SAMPLES, find_divergence, with_samples
from preflight.trials.outcome import COMPLETED, DIVERGED, WORST_SCORE, Outcome

nan, inf = math.nan, math.inf
LAYOUT = Layout(("first", "second", "third"), ("a", "a", "b"), (1, 1, 1), ("mse", "l1"))
ROLES = Roles(("input",), ("target",))


def recorded(losses: Any, norms: Any, first_step: int = 0) -> Chunk:
    """Rows as the recorder has them before it resolves what is absent."""
    losses, norms = np.asarray(losses, dtype=float), np.asarray(norms, dtype=float)
    rest = np.full((len(losses), 4), nan)
    return Chunk(first_step, losses, norms, np.full_like(norms, nan), rest, np.ones((len(losses), 1)))


def by_the_whole(history: Chunk) -> tuple[int, str] | None:
    """Step and culprit, found row by row in everything that was ever recorded."""
    names = ("total", *LAYOUT.losses)
    missing = np.isnan(history.norms).all(axis=0)
    for step, (losses, norms) in enumerate(zip(history.losses, history.norms, strict=True)):
        bad = [index for index in (1, 2, 0) if not math.isfinite(losses[index])]
        if bad:
            return step, names[bad[0]]
        broken = [index for index in (2, 1, 0) if not missing[index] and not math.isfinite(norms[index])]
        if broken:
            return step, LAYOUT.parameters[broken[0]]
    return None


def cut(history: Chunk, places: list[int]) -> list[Chunk]:
    edges = [0, *sorted(place for place in set(places) if 0 < place < len(history)), len(history)]
    return [Chunk(first, *(getattr(history, name)[first:last] for name in COLUMNS)) for first, last in pairwise(edges)]


numbers = st.sampled_from([0.0, 1.0, 2.5, 3e38] * 4 + [nan, inf])
gradients = numbers | st.just(ABSENT)
rows = st.integers(1, 12)


@given(st.data(), rows, st.lists(st.integers(0, 12)))
def test_new_rows_alone_say_what_the_whole_history_says(data: st.DataObject, steps: int, places: list[int]) -> None:
    losses = data.draw(st.lists(st.tuples(numbers, numbers, numbers), min_size=steps, max_size=steps))
    norms = data.draw(st.lists(st.tuples(gradients, gradients, gradients), min_size=steps, max_size=steps))
    chunks = cut(recorded(losses, norms), places)
    told = (find_divergence(_resolved(chunk), LAYOUT) for chunk in chunks)
    first = next((outcome for outcome in told if outcome is not None), None)
    expected = by_the_whole(_resolved(concatenate(chunks, LAYOUT)))
    assert (None if first is None else (first.step, first.culprit)) == expected


def test_a_gradient_that_is_not_finite_comes_before_the_loss_that_shows_it() -> None:
    chunk = recorded([[1, 1, 0], [1, 1, 0], [nan, nan, 0]], [[1, 1, 1], [1, nan, 1], [nan, nan, nan]], first_step=50)
    outcome = find_divergence(_resolved(chunk), LAYOUT)
    assert outcome == Outcome(DIVERGED, "the gradient of 'second' is not finite at step 51", step=51, culprit="second")


def test_of_gradients_in_one_step_the_last_layers_is_named_since_backward_reaches_it_first() -> None:
    outcome = find_divergence(_resolved(recorded([[1, 1, 0]] * 2, [[1, 1, 1], [inf, inf, 1]])), LAYOUT)
    assert outcome is not None and outcome.culprit == "second"


def test_in_one_step_the_loss_comes_before_its_gradients_and_the_total_last() -> None:
    outcome = find_divergence(_resolved(recorded([[nan, 1, inf]], [[nan, nan, nan]])), LAYOUT)
    assert outcome is not None and outcome.culprit == "l1"
    outcome = find_divergence(_resolved(recorded([[inf, 3e38, 3e38]], [[1, 1, 1]])), LAYOUT)
    assert outcome is not None and outcome.culprit == "total"


def test_losses_that_cancel_are_not_finite_either() -> None:
    outcome = find_divergence(_resolved(recorded([[1, inf, -inf]], [[1, 1, 1]])), LAYOUT)
    assert outcome is not None and outcome.culprit == "mse"


def test_what_was_looked_at_is_not_looked_at_again(
    make_lab: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = []
    real = Recorder.history

    def history(recorder: Recorder) -> Chunk:
        joined.append(1)
        return real(recorder)

    monkeypatch.setattr(Recorder, "history", history)
    assert make_lab().run(make_spec(steps=60)).outcome.status == COMPLETED
    assert len(joined) == 1


def data_of(inputs: Tensor, *, drop_last: bool = False) -> Data:
    source = InMemory({"input": inputs, "target": torch.zeros(len(inputs))})
    return Data(source, source, ROLES, drop_last=drop_last)


def located(data: Data, step: int, **values: Any) -> Outcome:
    params = Params(lr=0.1, batch_size=8).with_values(values)
    return with_samples(Outcome(DIVERGED, "lost", step=step), data, params, seed=3)


@pytest.mark.parametrize(("drop_last", "batches"), [(False, 6), (True, 5)])
def test_a_batch_is_counted_within_its_epoch(drop_last: bool, batches: int) -> None:
    data = data_of(torch.zeros(41, 2), drop_last=drop_last)
    assert [located(data, step).batch for step in range(13)] == [step % batches for step in range(13)]


def test_samples_that_are_not_finite_themselves_are_named() -> None:
    inputs = torch.zeros(40, 2)
    inputs[[9, 14, 30], 1] = torch.tensor([nan, inf, nan])
    outcome = located(data_of(inputs), 1, shuffle=False)
    assert outcome.samples == (9, 14)
    assert outcome.reason == "lost; values that are not finite are in the training samples 9, 14"


def test_a_batch_of_finite_samples_is_named_by_its_first() -> None:
    outcome = located(data_of(torch.zeros(40, 2)), 2, batch_size=16, shuffle=False)
    assert outcome.samples == tuple(range(32, 32 + MAX_SAMPLES))
    assert outcome.reason == "lost"


def test_of_many_bad_samples_the_first_are_named_and_the_others_counted() -> None:
    outcome = located(data_of(torch.full((40,), nan)), 0, batch_size=20, shuffle=False)
    assert outcome.samples == tuple(range(MAX_SAMPLES))
    assert outcome.reason.endswith(f"{MAX_SAMPLES - 1} and {20 - MAX_SAMPLES} more")


class Once(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        raise OSError("the tape is at its end")


def test_data_that_cannot_be_read_again_does_not_hide_the_batch() -> None:
    source = Collated(Reader(Once()), lambda items: items, ("input", "target"), torch.device("cpu"))
    outcome = located(Data(source, source, ROLES), 0, shuffle=False)
    assert outcome.samples == tuple(range(8))


def test_a_learning_rate_that_is_too_high_diverges(make_lab: Any, make_spec: Any, table: Any, run: Any) -> None:
    lab, spec = make_lab(), make_spec(lr=1e12, steps=40, rungs=1)
    result = run(lab, spec)
    losses = table(lab, spec, "losses.csv")["mse"]
    first = int(np.flatnonzero(~np.isfinite(losses))[0])
    outcome = result.outcome
    assert (outcome.status, outcome.step, outcome.culprit) == (DIVERGED, first, "mse")
    assert outcome.reason == f"the loss 'mse' is not finite at step {first}"
    assert (outcome.batch, len(outcome.samples)) == (first % 5, 8)
    assert result.steps_done < 40 and result.penalized == WORST_SCORE


def test_of_several_losses_the_one_that_is_not_finite_is_named(make_lab: Any, make_spec: Any, run: Any) -> None:
    def breaks(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs().mean() / (0.0 if bool((target == 77.0).any()) else 1.0)

    lab = make_lab(losses={"mse": F.mse_loss, "breaks": breaks})
    lab.task.data.train.tensors["target"][17, 0] = 77.0
    outcome = run(lab, make_spec(shuffle=False)).outcome
    assert (outcome.step, outcome.batch, outcome.culprit) == (2, 2, "breaks")
    assert 17 in outcome.samples


@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize(("row", "step"), [(0, 0), (21, 2), (39, 4)])
def test_a_bad_number_in_the_data_is_found_at_its_batch(
    bad: float, row: int, step: int, make_lab: Any, make_spec: Any, run: Any
) -> None:
    lab = make_lab()
    lab.task.data.train.tensors["target"][row, 1] = bad
    outcome = run(lab, make_spec(shuffle=False)).outcome
    assert (outcome.status, outcome.step, outcome.batch, outcome.culprit) == (DIVERGED, step, step, "mse")
    assert outcome.samples == (row,)


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_number_is_found_in_shuffled_data_too(
    seed: int, epoch: int, make_lab: Any, make_spec: Any, network: type[nn.Module], run: Any
) -> None:
    lab, spec = make_lab(), make_spec(seed=seed, steps=20)
    inputs = lab.task.data.train.tensors["input"]
    inputs[21] = 55.0
    batches = lab.task.batches(spec.params, seed)
    steps = [step for step, batch in zip(range(20), batches, strict=False) if bool((batch["input"] == 55.0).any())]

    class Tired(network):  # type: ignore[misc, valid-type]
        """Fails on one sample, when it has seen it a few times."""

        def forward(self, values: Tensor) -> Tensor:
            self.seen = getattr(self, "seen", 0) + int(self.training and bool((values == 55.0).any()))
            return super().forward(values) + (nan if self.training and self.seen > epoch else 0.0)

    lab.task.settings = lab.task.settings.__class__(**{**vars(lab.task.settings), "factory": Tired})
    outcome = run(lab, spec).outcome
    assert (outcome.step, outcome.batch) == (steps[epoch], steps[epoch] % 5)
    assert 21 in outcome.samples


class NotFinite(nn.Module):
    """Finite outputs whose gradient is NaN at one step: that of a square root at zero."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.at, self.calls = at, 0

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.first(values)
        if self.training:
            if self.calls == self.at:
                hidden = hidden + (0 * hidden).sqrt()
            self.calls += 1
        return self.second(hidden)


@pytest.mark.parametrize("at", [0, 1, 5, 11])
@pytest.mark.parametrize("rungs", [0, 2, 12])
def test_a_gradient_that_is_not_finite_is_found_before_the_loss_is(
    at: int, rungs: int, make_lab: Any, make_spec: Any, run: Any
) -> None:
    outcome = run(make_lab(factory=lambda: NotFinite(at)), make_spec(rungs=rungs)).outcome
    assert (outcome.status, outcome.step, outcome.batch) == (DIVERGED, at, at % 5)
    assert outcome.culprit in ("first.weight", "first.bias")
    assert outcome.reason == f"the gradient of '{outcome.culprit}' is not finite at step {at}"


def test_a_bad_last_step_is_seen_without_any_evaluation(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab = make_lab()
    lab.task.data.train.tensors["input"][33] = nan
    outcome = run(lab, make_spec(steps=5, rungs=0, shuffle=False)).outcome
    assert (outcome.status, outcome.step) == (DIVERGED, 4)


class Sometimes(nn.Module):
    """A layer that only every third batch goes through, as experts and stochastic depth have it."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes, self.never = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)
        self.calls = 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        output = self.always(values)
        return output + self.sometimes(values) if self.calls % 3 == 0 else output


def test_a_layer_without_a_gradient_in_some_steps_is_no_divergence(
    make_lab: Any, make_spec: Any, table: Any, run: Any
) -> None:
    lab, spec = make_lab(factory=Sometimes), make_spec(steps=20)
    assert run(lab, spec).outcome.status == COMPLETED
    assert table(lab, spec, "parameters.csv")["first_nonfinite_step"].tolist() == [-1] * 6


class Careful(NotFinite):
    def forward(self, values: Tensor) -> Tensor:
        output = super().forward(values)
        assert bool(output.isfinite().all()), "predictions must be finite"
        return output


def test_a_users_own_assertion_does_not_hide_where_it_began(make_lab: Any, make_spec: Any, run: Any) -> None:
    outcome = run(make_lab(factory=lambda: Careful(4)), make_spec()).outcome
    assert (outcome.status, outcome.step, len(outcome.samples)) == (DIVERGED, 4, 8)
    assert "predictions must be finite" in str(outcome.traceback)


def test_a_validation_loss_that_is_not_finite_is_a_divergence(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab = make_lab()
    lab.task.data.validation.tensors["target"][3] = nan
    result = run(lab, make_spec())
    outcome = result.outcome
    assert (outcome.status, outcome.step, outcome.culprit) == (DIVERGED, 5, "mse")
    assert (outcome.reason, outcome.samples) == ("the validation loss is not finite", ())
    assert result.penalized == WORST_SCORE
