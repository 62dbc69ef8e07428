"""The rules of gradients and representation on real runs: silent where training goes well, and only there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.finding import Finding
from preflight.core.model_settings import parse_model
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.probes.activations import look_at_activations
from preflight.probes.parameters import look_at_parameters
from preflight.rules.registry import RULES
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry import store
from preflight.telemetry.recording import Recording
from preflight.trials.lab import Lab, TrialSpec

MINE = [rule for rule in RULES if rule.family in ("gradients and updates", "representation")]
CLASSES, STEPS = 10, 60
SGD = {"_target_": "torch.optim.SGD", "momentum": 0.9}
Codes = Callable[..., list[str]]


def clusters(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ten clusters in 16 dimensions."""
    centers = torch.randn(CLASSES, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (size,), generator=generator)
    return centers[labels] + 0.5 * torch.randn(size, 16, generator=generator), labels


@pytest.fixture
def codes(tmp_path: Path) -> Codes:
    """Train, and give the codes of what the rules find."""

    def train(
        factory: Callable[[], nn.Module], lr: float, seed: int = 0, clip: float | None = None, **model: Any
    ) -> list[str]:
        values = {
            "factory": factory,
            "data": (clusters(400, 1), clusters(100, 2)),
            "losses": {"ce": F.cross_entropy},
            "optimizer": torch.optim.Adam,
            **model,
        }
        task = PyTorchTask(parse_model(values, name="clusters", folder=None), Trust(), torch.device("cpu"))
        params = Params(lr=lr, batch_size=16, clip_norm=clip)
        facts = look_at_activations(task, params, seed) | look_at_parameters(task, params, seed)
        lab = Lab(task, store.create_folder(tmp_path), {loss.name: 2.3 for loss in task.losses}, 16, 100)
        lab.run(TrialSpec("today", 0, params, seed, STEPS, 2))
        recording = Recording.open(tmp_path / store.TRIALS / "today-000", facts)
        return [rule.code for rule in MINE if isinstance(rule.judge(recording), Finding)]

    return train


def mlp(
    depth: int, act: type[nn.Module], width: int = 32, bias: float | None = None, weight: float | None = None
) -> Any:
    def factory() -> nn.Module:
        layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), act())]
        model = nn.Sequential(nn.Linear(16, width), act(), *layers, nn.Linear(width, CLASSES))
        for layer in model[:-1]:
            if isinstance(layer, nn.Linear) and bias is not None:
                nn.init.constant_(layer.bias, bias)
        for item in model.parameters():
            if weight is not None:
                nn.init.constant_(item, weight)
        return model

    return factory


class Residual(nn.Module):
    """Blocks and a head that start at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(4)
        )
        self.head = nn.Linear(32, CLASSES)
        for layer in (*(block[-1] for block in self.blocks), self.head):
            nn.init.zeros_(layer.weight)

    def forward(self, values: Tensor) -> Tensor:
        values = self.body(values)
        for block in self.blocks:
            values = values + block(values)
        return self.head(values)


class Attention(nn.Module):
    def __init__(self, tie: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(500, 16, sparse=not tie)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 500 if tie else CLASSES, bias=False)
        if tie:
            self.head.weight = self.table.weight

    def forward(self, values: Tensor) -> Tensor:
        tokens = (values * 40 + 250).long().clamp(0, 499)
        return self.head(self.encoder(self.table(tokens)).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(2, 32, batch_first=True), nn.Linear(32, CLASSES)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.rnn(values.reshape(-1, 8, 2))[0][:, -1])


def convolution() -> nn.Module:
    first = (nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*first, nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, CLASSES))


class Backbone(nn.Module):
    """Frozen at weights that are the same in every build, as a checkpoint's are."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 32).requires_grad_(False), nn.Linear(32, CLASSES)
        with torch.no_grad():
            self.body.weight.copy_(torch.randn(32, 16, generator=torch.Generator().manual_seed(7)) / 4)
            self.body.bias.zero_()

    def forward(self, values: Tensor) -> Tensor:
        return self.head(F.relu(self.body(values)))


def scaled(output: Tensor, target: Tensor) -> Tensor:
    """As automatic mixed precision scales a loss."""
    return 65536 * F.cross_entropy(output, target)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("factory", "lr", "model"),
    [
        (mlp(1, nn.ReLU), 3e-3, {"head": "4"}),
        (mlp(1, nn.ReLU), 0.05, {"optimizer": SGD, "head": "4"}),
        (mlp(3, nn.Tanh), 3e-3, {}),
        (mlp(0, nn.Sigmoid), 1e-2, {}),
        (mlp(1, nn.GELU), 3e-3, {"losses": {"ce": scaled}}),
        (Residual, 3e-3, {"head": "head"}),
        (Residual, 0.02, {"optimizer": SGD, "head": "head"}),
        (Attention, 0.1, {"optimizer": torch.optim.SGD}),
        (lambda: Attention(tie=True), 3e-3, {"head": "table"}),
        (Recurrent, 1e-2, {}),
        (convolution, 1e-2, {}),
        (Backbone, 1e-2, {}),
        (lambda: nn.Linear(16, CLASSES), 0.1, {"losses": {"margin": F.multi_margin_loss}}),
    ],
)
def test_runs_that_train_well_have_no_findings(
    factory: Callable[[], nn.Module], lr: float, model: dict[str, Any], seed: int, codes: Codes
) -> None:
    assert codes(factory, lr, seed, **model) == []


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = [nn.Linear(16, 32)], nn.Linear(32, CLASSES)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(F.relu(self.layers[0](values)))


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 32).requires_grad_(False), nn.Linear(32, CLASSES)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(F.relu(self.body(values)))


class Collapsed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 32), nn.Linear(32, CLASSES, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(self.head.weight[:1] + 0.01 * self.head.weight)

    def forward(self, values: Tensor) -> Tensor:
        return 16 * F.linear(F.normalize(self.body(values)), F.normalize(self.head.weight))


@pytest.mark.parametrize(
    ("code", "factory", "lr", "model"),
    [
        ("PF102", mlp(8, nn.Sigmoid), 0.1, {"optimizer": torch.optim.SGD}),
        ("PF103", mlp(1, nn.ReLU, bias=-50.0), 1e-3, {}),
        ("PF104", Listed, 1e-3, {}),
        ("PF104", Frozen, 1e-3, {}),
        ("PF105", mlp(1, nn.ReLU), 1e-3, {"optimizer": torch.optim.SGD, "clip": 1e-4}),
        ("PF107", mlp(8, nn.Sigmoid), 1e-3, {}),
        ("PF107", mlp(1, nn.ReLU, weight=0.1), 1e-3, {}),
        ("PF107", mlp(1, nn.ReLU, weight=0.0), 1e-3, {}),
        ("PF108", mlp(1, nn.ReLU), 1e20, {"optimizer": torch.optim.SGD}),
        ("PF701", Collapsed, 1e-5, {"head": "head"}),
        ("PF702", mlp(1, nn.ReLU, bias=-50.0), 1e-3, {}),
    ],
)
def test_runs_with_a_fault_are_found(
    code: str, factory: Callable[[], nn.Module], lr: float, model: dict[str, Any], codes: Codes
) -> None:
    assert code in codes(factory, lr, **model)
