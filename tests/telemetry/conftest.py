from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.telemetry import store
from preflight.telemetry.chunk import Chunk, Layout
from preflight.telemetry.recorder import Cadence, Recorder
from preflight.telemetry.tables import Frame, write_telemetry

Array = npt.NDArray[np.float64]
LOSSES = ("mse", "l1")
CADENCE = Cadence(chunk_steps=3, deltas_every_steps=2)


class Net(nn.Module):
    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(3, 4, device=device)
        self.head = nn.Linear(4, 2, device=device)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(torch.tanh(self.backbone(values)))


class Branches(nn.Module):
    """One layer is never used, one in every other step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.always, self.sometimes, self.never = (nn.Linear(3, 2) for _ in range(3))

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        output = self.always(values)
        return output if self.calls % 2 else output + self.sometimes(values)


def norms_of(tensors: Sequence[Tensor | None]) -> list[float]:
    """L2 norms by autograd's own tensors, one by one; NaN for none."""
    return [float("nan") if item is None else float(torch.linalg.vector_norm(item)) for item in tensors]


@dataclass
class Training:
    """Plain gradient descent with a recorder beside it, and what the recorder should have seen."""

    network: nn.Module
    recorder: Recorder
    lr: float = 0.1
    norms: list[list[float]] = field(default_factory=list)
    deltas: list[list[float]] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = [item.detach().clone() for item in self.network.parameters()]

    def backward(self) -> tuple[Tensor, list[Tensor]]:
        """Losses of the next batch, with their gradients in place."""
        device = next(self.network.parameters()).device
        generator = torch.Generator().manual_seed(len(self.norms))
        inputs, targets = (torch.randn(5, size, generator=generator).to(device) for size in (3, 2))
        output = self.network(inputs)
        parts = [F.mse_loss(output, targets), F.l1_loss(output, targets)]
        total = parts[0] + 0.5 * parts[1]
        self.network.zero_grad()
        total.backward()
        return total, parts

    @torch.no_grad()
    def descend(self) -> None:
        for item in self.network.parameters():
            if item.grad is not None:
                item.sub_(item.grad, alpha=self.lr)

    def step(self) -> None:
        total, parts = self.backward()
        self.recorder.gradients(total, parts, [self.lr, self.lr / 2])
        self.norms.append(norms_of([item.grad for item in self.network.parameters()]))
        self.losses.append([float(total.detach()), *(float(item.detach()) for item in parts)])
        self.descend()
        self.recorder.updated()
        self._expect_deltas()

    def run(self, steps: int) -> Chunk:
        """So many steps, flushed where the recorder is full and at the end."""
        for _ in range(steps):
            self.step()
            if self.recorder.full:
                self.recorder.flush()
        if self.recorder.pending:
            self.recorder.flush()
        return self.recorder.history()

    @torch.no_grad()
    def _expect_deltas(self) -> None:
        parameters = list(self.network.parameters())
        sampled = len(self.norms) % self.recorder.cadence.deltas_every_steps == 0
        pairs = zip(self.before, parameters, strict=True)
        self.deltas.append(norms_of([a - b if sampled else None for a, b in pairs]))
        self.weights.append(norms_of([item if sampled else None for item in parameters]))
        if sampled:
            self.before = [item.detach().clone() for item in parameters]


Train = Callable[..., Training]


@pytest.fixture
def training() -> Train:
    """Training of the small network, or of another one."""

    def make(network: nn.Module | None = None, cadence: Cadence = CADENCE, head: Tensor | None = None) -> Training:
        network = network or Net()
        named = list(network.named_parameters())
        components = {name: name.split(".", maxsplit=1)[0] for name, _ in named}
        return Training(network, Recorder(named, components, LOSSES, cadence, head))

    return make


@pytest.fixture
def network_on() -> Callable[[str], nn.Module]:
    """The small network on a device."""
    return Net


@pytest.fixture
def branches() -> type[nn.Module]:
    """A network with parameters that get a gradient always, in every other step, and never."""
    return Branches


@pytest.fixture
def layout() -> Layout:
    """Case A: three components, the last of them the head; two losses."""
    return Layout(
        parameters=("backbone.w", "backbone.b", "embedding.w", "arcface.w"),
        components=("backbone", "backbone", "embedding", "arcface"),
        sizes=(12, 4, 8, 6),
        losses=("arc", "center"),
        first_weight_norms=(2.0, 0.0, 4.0, 8.0),
    )


@pytest.fixture
def history() -> Chunk:
    """Six steps, the second and every other one sampled."""
    steps = np.arange(6)
    sampled = (steps % 2 == 1)[:, None]
    return Chunk(
        first_step=0,
        losses=np.add.outer(steps, [0.0, 0.25, 0.5]),
        norms=np.add.outer(steps, [3.0, 4.0, 12.0, 0.125]),
        deltas=np.where(sampled, np.add.outer(steps, [0.3, 0.4, 0.5, 0.6]), np.nan),
        heads=np.where(sampled, np.add.outer(steps, [0.1, 0.2, 0.3, 0.4]), np.nan),
        lrs=np.divide.outer([0.1, 0.01], steps + 1.0).T,
        weights=np.where(sampled, np.add.outer(steps, [1.0, 2.0, 3.0, 7.0]), np.nan),
        geometry=np.where(sampled, np.add.outer(steps, [0.1, 0.2, 2.0, 3.0, 4.0]), np.nan),
    )


@pytest.fixture
def frame() -> Frame:
    """Epochs of four steps, evaluated after the last step."""
    evaluation = {"val_arc": 1.5, "val_center": 2.5, "val_score": 0.75, "val_metric": float("nan")}
    return Frame(steps_per_epoch=4, deltas_every_steps=2, head="arcface", evaluations={5: evaluation})


WriteTrial = Callable[..., Path]


@pytest.fixture
def write_trial(tmp_path: Path, history: Chunk, layout: Layout, frame: Frame) -> WriteTrial:
    """Write a trial's folder as a run does; keyword arguments replace keys of trial.json."""

    def write(
        name: str = "explore-000",
        *,
        chunk: Chunk | None = history,
        columns: Layout = layout,
        folder: Path = tmp_path / "run",
        **info: Any,
    ) -> Path:
        path = store.create_folder(folder) / store.TRIALS / name
        path.mkdir()
        tables = {}
        if chunk is not None:
            tables = write_telemetry(path, chunk, columns, replace(frame, evaluations={}))
        values = {
            "purpose": name.split("-", maxsplit=1)[0],
            "index": int(name.rsplit("-", maxsplit=1)[1]),
            "params": {"lr": 0.1, "batch_size": 32},
            "seed": 3,
            "steps": 6,
            "outcome": {"status": "completed"},
            "score": 0.5,
            "metric": None,
            "tables": tables,
        }
        store.write_json(path / store.TRIAL, values | info)
        return path

    return write
