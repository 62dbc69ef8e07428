from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import preflight.probes.modes as module
from preflight.core.finding import WARNING, Clean, Finding
from preflight.core.params import Params
from preflight.probes.modes import look_at_modes
from preflight.rules.pf505_train_eval_gap import REPEAT
from preflight.rules.pf505_train_eval_gap import RULE as GAP
from preflight.rules.pf506_small_batch_norm import RULE as SMALL
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry.recording import Recording

MakeTask = Callable[..., PyTorchTask]
LOSSES = ("first_loss", "train_loss", "eval_loss", "eval_again")


def with_norm(momentum: float = 0.1) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16, momentum=momentum), nn.ReLU(), nn.Linear(16, 4))


class AlwaysDropping(nn.Module):
    """Functional dropout that nobody tells of evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        return self.head(F.dropout(self.body(x), 0.5))


class TrainsOnly(nn.Linear):
    """Cannot be evaluated."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("no")
        return super().forward(x)


class Frozen(nn.Module):
    """Batch normalization that stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(3), nn.Linear(3, 4)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Any:
        return self.head(self.norm(x))


PLAIN = {"has_batch_norm": False, "norm_momentum": None, "dropout": 0.0}


def look(task: PyTorchTask, lr: float = 0.01, batch_size: int = 20) -> dict[str, Any]:
    return look_at_modes(task, Params(lr=lr, batch_size=batch_size), 0)["modes"]


def judged(rule: Any, task: PyTorchTask, params: Params) -> Any:
    facts = look_at_modes(task, params, 0)
    return rule.judge(Recording(folder=None, info={"params": vars(params)}, facts=facts, tables={}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factory", "norm"),
    [
        (lambda: nn.Linear(3, 4), False),
        (with_norm(), True),
        (Frozen, False),
        (lambda: nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 4)), False),
    ],
)
def test_normalization_over_the_batch_is_seen_where_it_is_used(
    make_task: MakeTask, factory: Callable[[], nn.Module], norm: bool
) -> None:
    found = look(make_task(factory=factory))
    assert found["has_batch_norm"] is norm
    assert set(LOSSES) <= set(found)


def test_without_modes_both_losses_are_the_same(make_task: MakeTask) -> None:
    found = look(make_task())
    assert found["train_loss"] == found["eval_loss"] == found["eval_again"]
    assert found["train_loss"] != found["first_loss"]


@pytest.mark.parametrize("lr", [1e-4, 1e-2])
def test_statistics_that_have_settled_are_healthy(make_task: MakeTask, lr: float) -> None:
    assert judged(GAP, make_task(factory=with_norm()), Params(lr=lr, batch_size=20)) == Clean()


def test_how_slow_the_statistics_are_is_said_and_does_not_enter_the_gap(make_task: MakeTask) -> None:
    """Inputs far from zero, and running statistics that hardly move from where they began."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (40,), generator=generator)
    inputs = 100 + F.one_hot(labels, 4)[:, :3].float() * 20 + torch.randn(40, 3, generator=generator)
    parts = (inputs, labels), (inputs, labels)

    def normalized_first(momentum: float) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(nn.BatchNorm1d(3, momentum=momentum), nn.Linear(3, 4))

    params = Params(lr=0.01, batch_size=20)
    for momentum in (1e-4, 0.1):
        task = make_task(factory=normalized_first(momentum), data=parts)
        assert look(task)["norm_momentum"] == momentum
        assert judged(GAP, task, params) == Clean()


def test_dropout_that_never_ends_is_found(make_task: MakeTask) -> None:
    answer = judged(GAP, make_task(factory=AlwaysDropping), Params(lr=0.01, batch_size=20))
    assert isinstance(answer, Finding)
    assert "random" in answer.message


def test_dropout_that_never_ends_is_found_however_little_it_changes_the_loss_of_an_untrained_model(
    make_task: MakeTask,
) -> None:
    def small() -> nn.Module:
        model = AlwaysDropping()
        nn.init.normal_(model.head.weight, std=0.02)
        return model

    answer = judged(GAP, make_task(factory=small), Params(lr=1e-6, batch_size=20))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert 0 < float(answer.evidence[0].value) < REPEAT.value


def test_a_model_that_cannot_be_evaluated_has_no_losses(make_task: MakeTask) -> None:
    assert look(make_task(factory=lambda: TrainsOnly(3, 4))) == PLAIN


def test_a_model_that_diverges_has_no_losses(make_task: MakeTask) -> None:
    assert look(make_task(optimizer="torch.optim.SGD"), lr=1e38) == PLAIN


def test_a_model_that_needs_too_much_work_has_no_losses(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preflight.probes.modes.MAX_WORK", 0.0)
    assert look(make_task()) == PLAIN


def test_batches_of_one_cannot_be_normalized_and_are_found(make_task: MakeTask) -> None:
    answer = judged(SMALL, make_task(factory=with_norm()), Params(lr=0.01, batch_size=1))
    assert isinstance(answer, Finding)


def test_nothing_of_the_task_is_changed(make_task: MakeTask) -> None:
    task = make_task(factory=with_norm())
    before, state = task.data.train.batch(torch.arange(5)), torch.random.get_rng_state()
    first = look(task)
    assert torch.equal(state, torch.random.get_rng_state())
    after = task.data.train.batch(torch.arange(5))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert look(task) == first


class Noisy(nn.Module):
    """Random in both modes, in a way of its own."""

    def __init__(self, noise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.noise = nn.Linear(3, 4), noise

    def forward(self, x: Tensor) -> Tensor:
        return self.noise(self.layer(x))


@pytest.mark.parametrize(
    ("noise", "drops"),
    [
        (lambda h: nn.functional.dropout(h, 0.5), True),
        (lambda h: h * torch.bernoulli(torch.full_like(h, 0.5)), True),
        (lambda h: h + torch.bernoulli(h.sigmoid()), False),  # a binary latent variable
        (lambda h: h + torch.randn_like(h), False),
        (lambda h: torch.distributions.Normal(h, 1.0).rsample(), False),
        (nn.functional.gumbel_softmax, False),
        (lambda h: h, False),
    ],
)
def test_whether_evaluation_drops_values_at_random(
    noise: Callable[[Tensor], Tensor], drops: bool, make_task: MakeTask
) -> None:
    found = look(make_task(factory=lambda: Noisy(noise)))
    assert found["eval_drops"] is drops


class Copied(nn.Module):
    """Evaluates a copy, which follows what is trained where ``momentum`` says so."""

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.momentum, self.net = momentum, nn.Linear(3, 4)
        self.copy = copy.deepcopy(self.net).requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            return self.copy(x)
        with torch.no_grad():
            for ours, theirs in zip(self.copy.parameters(), self.net.parameters(), strict=True):
                ours.lerp_(theirs, self.momentum)
        return self.net(x)


@pytest.mark.parametrize(("momentum", "lr", "is_found"), [(0.0, 0.1, True), (0.01, 0.1, False), (0.0, 1e-7, False)])
def test_a_copy_that_is_never_updated_is_found(momentum: float, lr: float, is_found: bool, make_task: MakeTask) -> None:
    today = Params(lr=lr, batch_size=8)
    facts = look_at_modes(make_task(factory=lambda: Copied(momentum)), today, 0)
    answer = GAP.judge(Recording(folder=None, info={"params": vars(today)}, facts=facts, tables={}))  # type: ignore[arg-type]
    assert isinstance(answer, Finding) is is_found
    assert ("not what is trained" in getattr(answer, "message", "")) is is_found


def test_looking_at_the_evaluation_changes_no_random_number(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = Params(lr=0.1, batch_size=8)
    found = look_at_modes(make_task(factory=AlwaysDropping), today, 0)["modes"]
    monkeypatch.setattr(module, "_evaluated", lambda *arguments: 0.0)
    bare = look_at_modes(make_task(factory=AlwaysDropping), today, 0)["modes"]
    assert [found[name] for name in LOSSES] == [bare[name] for name in LOSSES]
