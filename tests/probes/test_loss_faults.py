"""Published faults of losses and heads in miniature, and their healthy twins: probes, a short run, and the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.finding import Finding
from preflight.core.params import Params
from preflight.probes.constant import best_constants
from preflight.probes.fit import check_fit
from preflight.probes.losses import look_at_losses
from preflight.probes.usage import look_at_usage
from preflight.rules.registry import RULES
from preflight.tasks.data import take_samples
from preflight.telemetry import store
from preflight.telemetry.recording import Recording
from preflight.trials.lab import Lab, TrialSpec

# Threads of a small model wait for each other most of the time.
pytestmark = pytest.mark.usefixtures("one_thread")

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(320, 8, generator=GENERATOR)
DIRECTIONS = torch.randn(8, 4, generator=GENERATOR)
CLASSES = (INPUTS @ DIRECTIONS).argmax(dim=1)
SIGNAL = torch.tanh(INPUTS @ DIRECTIONS[:, :1])
SIGNAL = (SIGNAL - SIGNAL.mean()) / SIGNAL.std()
BITS = (SIGNAL > 0).float()
ADAM, SGD = torch.optim.Adam, torch.optim.SGD


@dataclass(frozen=True)
class Case:
    """A training: its targets, loss, head and settings."""

    target: Any
    loss: Any
    units: int = 1
    head: Callable[[], nn.Module] = nn.Identity
    optimizer: Any = ADAM
    lr: float = 1e-2
    batch_size: int = 32
    steps: int = 120
    inputs: Tensor = INPUTS
    factory: Callable[[], nn.Module] | None = None
    settings: tuple[tuple[str, float], ...] = ()

    def build(self) -> nn.Module:
        width = self.inputs.shape[1]
        return nn.Sequential(nn.Linear(width, 24), nn.ReLU(), nn.Linear(24, self.units), self.head())


def found(case: Case, make_task: Any, folder: Path) -> dict[str, Finding]:
    """Findings of the 4xx rules, by code."""
    fields = {"x": case.inputs, **(case.target if isinstance(case.target, dict) else {"y": case.target})}
    data = tuple({name: item[part] for name, item in fields.items()} for part in (slice(0, 240), slice(240, None)))
    task = make_task(
        factory=case.factory or case.build,
        data=data,
        inputs=["x"],
        targets=[name for name in fields if name != "x"],
        losses=case.loss if isinstance(case.loss, dict) else {"loss": case.loss},
        optimizer=case.optimizer,
    )
    weights = {f"loss_weights.{loss.name}": 1.0 for loss in task.losses}
    params = Params(lr=case.lr, batch_size=case.batch_size).with_values({**weights, **dict(case.settings)})
    samples = [take_samples(part)[1] for part in (task.data.train, task.data.validation)]
    targets = [{name: batch[name] for name in task.data.roles.targets} for batch in samples]
    constants = best_constants(task.losses, check_fit(task, params, 0), *targets)
    facts = {**look_at_losses(task, params, 0, constants), **look_at_usage(task, params, 0)}
    references = {name: 1.0 if value is None else value for name, value in constants.items()}
    lab = Lab(task, store.create_folder(folder / "run"), references, case.batch_size, 80)
    spec = TrialSpec("today", 0, params, 0, case.steps, 10)
    lab.run(spec)
    recording = Recording.open(lab.run_dir / store.TRIALS / spec.folder_name, facts)
    answers = {rule.code: rule.judge(recording) for rule in RULES if rule.code.startswith("PF4")}
    return {code: answer for code, answer in answers.items() if isinstance(answer, Finding)}


def summed(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.a, self.b = nn.Linear(8, 24), nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, values: Tensor) -> dict[str, Tensor]:
        inner = self.trunk(values).relu()
        return {"a": self.a(inner), "b": self.b(inner)}


TWO = {name: {"function": F.mse_loss, "output": name, "target": name} for name in "ab"}
SAME = {name: {"function": F.mse_loss, "target": name} for name in "ab"}
OTHER = INPUTS[:, :1].cos()
X4 = torch.linspace(-100, 100, 320)[torch.randperm(320, generator=GENERATOR)].unsqueeze(1)
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(80, 1)
XOR = (CORNERS.sum(dim=1, keepdim=True) == 1).float()


def sigmoids() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid())


def deep() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def fourth_power() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 50), nn.Sigmoid(), nn.Linear(50, 50), nn.ELU(), nn.Linear(50, 1))


FAULTS = {
    "a fourth power, unscaled": ("PF401", Case(X4**4, F.mse_loss, inputs=X4, factory=fourth_power, lr=1e-3)),
    "exclusive or, too few steps": (
        "PF401",
        Case(XOR, F.mse_loss, inputs=CORNERS, factory=sigmoids, optimizer=SGD, lr=0.05, steps=300),
    ),
    "a learning rate far too low": ("PF402", Case(CLASSES, F.cross_entropy, 4, optimizer=SGD, lr=1e-6)),
    "one loss a million times the other": (
        "PF403",
        Case({"a": 1e3 * SIGNAL, "b": OTHER}, TWO, factory=TwoHeads, lr=1e-3),
    ),
    "opposite targets of one output": ("PF404", Case({"a": SIGNAL, "b": -SIGNAL}, SAME, lr=1e-3)),
    "a summed loss": ("PF406", Case(SIGNAL, summed, optimizer=SGD, lr=0.1)),
    "negative targets through a ReLU": ("PF407", Case(-SIGNAL.abs(), F.mse_loss, head=nn.ReLU)),
    "large targets through a sigmoid": ("PF407", Case(10 + SIGNAL, F.mse_loss, head=nn.Sigmoid)),
    "a ReLU before cross-entropy": ("PF407", Case(CLASSES, F.cross_entropy, 4, head=nn.ReLU)),
    "log-softmax over one unit": (
        "PF408",
        Case(BITS, F.binary_cross_entropy, head=lambda: nn.LogSoftmax(1), optimizer=SGD, lr=3e-3),
    ),
    "a sigmoid before cross-entropy": ("PF408", Case(CLASSES, F.cross_entropy, 4, head=nn.Sigmoid)),
    "softmax twice": ("PF408", Case(CLASSES, F.cross_entropy, 4, head=lambda: nn.Softmax(1))),
    "logits for a loss of log-probabilities": ("PF408", Case(CLASSES, F.nll_loss, 4)),
    "decay of 0.1": (
        "PF409",
        Case(CLASSES, F.cross_entropy, 4, factory=deep, settings=(("weight_decay", 0.3),), lr=3e-3, steps=200),
    ),
}


@pytest.mark.parametrize(("code", "case"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(code: str, case: Case, make_task: Any, tmp_path: Path) -> None:
    assert code in found(case, make_task, tmp_path)


SQUARES = (X4 / 100) ** 4
HEALTHY = {
    "a fourth power, scaled": Case(SQUARES, F.mse_loss, inputs=X4 / 58),
    "a classifier": Case(CLASSES, F.cross_entropy, 4),
    "a classifier by plain SGD": Case(CLASSES, F.cross_entropy, 4, optimizer=SGD, lr=0.1),
    "label smoothing": Case(CLASSES, lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1), 4),
    "log-probabilities": Case(CLASSES, F.nll_loss, 4, head=lambda: nn.LogSoftmax(1)),
    "log-softmax before cross-entropy": Case(CLASSES, F.cross_entropy, 4, head=lambda: nn.LogSoftmax(1)),
    "probabilities": Case(BITS, F.binary_cross_entropy, head=nn.Sigmoid),
    "logits": Case(BITS, F.binary_cross_entropy_with_logits),
    "counts through a softplus": Case(SIGNAL.exp(), F.mse_loss, head=nn.Softplus),
    "Huber": Case(SIGNAL, F.huber_loss),
    "a sum whose learning rate suits it": Case(SIGNAL, summed, optimizer=SGD, lr=1e-3),
    "two tasks": Case({"a": SIGNAL, "b": OTHER}, TWO, factory=TwoHeads),
    "an auxiliary loss": Case({"a": SIGNAL, "b": OTHER}, TWO, factory=TwoHeads, settings=(("loss_weights.b", 1e-4),)),
    "usual decay": Case(CLASSES, F.cross_entropy, 4, factory=deep, settings=(("weight_decay", 1e-3),)),
    "too short to tell": Case(CLASSES, F.cross_entropy, 4, lr=1e-4, steps=20),
    "noisy small batches": Case(SIGNAL, F.mse_loss, batch_size=2, lr=1e-3, steps=300),
}


@pytest.mark.parametrize("case", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_training_raises_no_alarm(case: Case, make_task: Any, tmp_path: Path) -> None:
    assert found(case, make_task, tmp_path) == {}
