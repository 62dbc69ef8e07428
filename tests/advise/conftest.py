from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest

from preflight.core.params import Params
from preflight.telemetry import store
from preflight.telemetry.chunk import Chunk, Layout, concatenate
from preflight.telemetry.recording import Recording
from preflight.telemetry.tables import Frame, write_telemetry

SEEDS = 5
STEPS = 40
LAYOUT = Layout(("qkv.weight", "head.weight"), ("t1", "head"), (8, 4), ("angle",))


@dataclass
class Bench:
    """Measures settings by a formula instead of by training; ``noise`` is the deviation of the log score."""

    formula: Callable[[Params], float]
    noise: float = 0.0
    rounds: list[int] = field(default_factory=list)
    trained: dict[object, Params] = field(default_factory=dict)

    def __call__(self, settings: Sequence[Params], rounds: int) -> list[Mapping[int, float]]:
        self.rounds.append(rounds)
        self.trained |= {params.key(): params for params in settings}
        return [self._scores(params, rounds) for params in settings]

    def _scores(self, params: Params, rounds: int) -> Mapping[int, float]:
        own = abs(hash(repr(sorted(params.flat().items(), key=str)))) if self.noise else 0
        generator = np.random.default_rng([own])
        factors = np.exp(self.noise * generator.normal(size=SEEDS * 10))
        return {100 + seed: self.formula(params) * factors[seed] for seed in range(SEEDS * rounds)}


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def today() -> Params:
    return Params(lr=0.1, batch_size=32, normalization={"input": "none"}, extras={"dropout": 0.0})


Record = Callable[..., Recording]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A short run at a learning rate: its losses, and its largest gradient norm relative to the first."""
    count = iter(range(1000))

    def make(
        lr: float,
        losses: Sequence[float] | np.ndarray | None = None,
        growth: float = 1.5,
        *,
        status: str = "completed",
        steps: int | None = None,
        telemetry: bool = True,
        worst: str = "qkv.weight",
        normalization: Mapping[str, str] | None = None,
    ) -> Recording:
        index = next(count)
        losses = np.linspace(1.6, 1.5, STEPS) if losses is None else np.asarray(losses, dtype=float)
        losses = losses[:steps]
        norms = np.full((len(losses), 2), 1e-3)
        norms[:, LAYOUT.parameters.index(worst)] = 1.0
        norms[len(losses) // 2 : len(losses) // 2 + 1, LAYOUT.parameters.index(worst)] = growth
        nothing = np.full((len(losses), 2), np.nan)
        chunk = Chunk(
            0,
            np.column_stack([losses, losses]),
            norms,
            nothing,
            np.full((len(losses), 4), np.nan),
            np.full((len(losses), 1), lr),
        )
        folder = tmp_path / f"range-{index:03d}"
        folder.mkdir()
        if telemetry:
            write_telemetry(folder, chunk if len(losses) else concatenate([], LAYOUT), LAYOUT, Frame(10, 10, None, {}))
        params = Params(lr=lr, batch_size=32, normalization=normalization or {})
        info = {
            "purpose": "range",
            "index": index,
            "params": asdict(params),
            "seed": index,
            "steps": STEPS,
            "outcome": {"status": status},
        }
        store.write_json(folder / store.TRIAL, info)
        return Recording.open(folder)

    return make
