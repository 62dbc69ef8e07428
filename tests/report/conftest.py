"""Small run directories, written as a run writes them; nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preflight.advise.evidence import Effect, effect
from preflight.advise.ladder import Rung, ladder_label
from preflight.advise.recommendation import CHANGE, KEEP, Change, Measured, Recommendation
from preflight.core.params import Params
from preflight.telemetry import store
from preflight.telemetry.chunk import Chunk, Layout
from preflight.telemetry.tables import Frame, write_telemetry

TODAY = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
BETTER = TODAY.with_values({"lr": 0.003, "normalization.input": "standardize"})
STEPS = 60


@dataclass
class RunWriter:
    """Writes one run directory, piece by piece."""

    folder: Path
    components: tuple[str, ...] = ("backbone", "head")
    trials: int = 0

    def run(self, **values: Any) -> None:
        info = {
            "preflight": "0.1.0",
            "torch": "2.13.0",
            "python": "3.11.7",
            "command": ["+model=toy"],
            "model": "toy",
            "device": "cpu",
            "seed": 0,
            "status": "done",
            "metric": {"name": "accuracy", "function": "f", "goal": "maximize"},
            "budget": {"trials": 20, "range_steps": 40},
            "ladders": {},
            "normalizers": {},
            "config_fixed": [],
            "unmapped": [],
        }
        store.write_json(self.folder / store.RUN, info | values)

    def inspection(self, **values: Any) -> None:
        feature = {"name": "a", "kind": "continuous", "minimum": 0.0, "maximum": 9.5, "mean": 4.0, "std": 1.0}
        inspection = {
            "today": asdict(TODAY),
            "length": {"horizon_steps": 5000, "batch_size": 32, "train_size": 1000},
            "config": "/home/me/train.yaml",
            "mapping": {"lr": "optim.lr", "warmup_epochs": "optim.warmup", "normalization.input": "data.norm"},
            "fields": [{"name": "input", "shape": [4], "dtype": "float32", "features": [feature | {"nonfinite": 0}]}],
            "constants": {"ce": 2.3},
            "initial": {"ce": 4.6},
            "references": {"ce": 2.3},
            "options": {"input": ["none", "standardize"]},
        }
        store.write_json(self.folder / store.INSPECTION, inspection | values)

    def trial(
        self,
        purpose: str,
        index: int,
        params: Params = TODAY,
        *,
        seed: int = 0,
        score: float = 0.5,
        status: str = "completed",
        reason: str = "",
        steps_done: int = STEPS,
        recorded: bool = True,
        steps: int = STEPS,
    ) -> Path:
        folder = self.folder / store.TRIALS / f"{purpose}-{index:03d}"
        folder.mkdir(parents=True)
        if recorded:
            self._telemetry(folder, steps_done, score, diverged=status == "diverged")
        ended = status in ("completed", "pruned")
        info = {
            "purpose": purpose,
            "index": index,
            "params": asdict(params),
            "seed": seed,
            "steps": steps,
            "steps_done": steps_done,
            "outcome": {"status": status} | ({"reason": reason} if reason else {}),
            "score": score,
            "penalized_score": score if ended else 10.0,
            "metric": 1 - score,
            "losses": {"ce": score},
            "seconds": 0.5,
        }
        store.write_json(folder / store.TRIAL, info)
        self.trials += 1
        return folder

    def _telemetry(self, folder: Path, steps: int, score: float, *, diverged: bool) -> None:
        size, decay = len(self.components), np.linspace(3.0, score, steps)
        if diverged:
            decay[-1:] = np.nan
        norms = np.outer(decay, np.arange(1.0, size + 1))
        columns = (np.stack([decay, decay], axis=1), norms, norms, np.full((steps, 4), np.nan))
        layout = Layout(tuple(f"{name}.w" for name in self.components), self.components, (4,) * size, ("ce",))
        found = {step: {"val_score": float(decay[step])} for step in range(9, steps, 10) if np.isfinite(decay[step])}
        history = Chunk(0, *columns, np.full((steps, 1), 0.1))
        write_telemetry(folder, history, layout, Frame(32, 10, None, found))

    def explored(self) -> None:
        """Today's settings, better ones, and one trial of each bad end."""

        def at(lr: float) -> Params:
            return TODAY.with_values({"lr": lr})

        self.trial("explore", 0, TODAY, score=1.0)
        self.trial("explore", 1, BETTER, score=0.2)
        self.trial(
            "explore", 2, at(0.5), score=math.nan, status="diverged", steps_done=7, reason="head.w is <not> finite"
        )
        self.trial("explore", 3, at(0.1), score=math.nan, status="crashed", recorded=False)
        self.trial("explore", 4, at(1e-4), score=0.8, status="pruned", steps_done=30)

    def recommendation(self, answer: Recommendation) -> None:
        store.write_json(self.folder / store.RECOMMENDATION, answer.as_dict())


def ladder(params: Params = TODAY, lrs: Sequence[float] = (1e-3, 0.03, 1.0)) -> dict[str, list[dict[str, Any]]]:
    """A ladder as run.json holds it; its last rung explodes."""
    label = ladder_label(params)
    rungs = [Rung(lr, label, 3, 2.0, 3.0, True, 0, "", 0.5, "stable") for lr in lrs]
    last = replace(
        rungs[-1], median_max_norm=float("inf"), worst_max_norm=float("inf"), decreasing=False, exploded=3,
        exploded_at="head.w", final_loss=float("nan"), verdict="explodes",
    )  # fmt: skip
    return {label: [asdict(rung) for rung in (*rungs[:-1], last)]}


def by_seed(first: int, values: Sequence[float]) -> dict[int, float]:
    return {first + index: value for index, value in enumerate(values)}


def change_recommendation() -> Recommendation:
    before, after = by_seed(2000, [0.9, 1.0, 1.1]), by_seed(2000, [0.09, 0.1, 0.12])
    unclear = Effect(0.05, -0.2, 0.3, 3)
    changes = (
        Change("lr", 0.03, 0.003, unclear, Effect(0.4, 0.3, 0.5, 3)),
        Change("normalization.input", "none", "standardize", Effect(0.9, 0.8, 0.95, 3), Effect(0.6, 0.5, 0.7, 3)),
    )
    measured = [Measured(side, {seed: 1 - score / 2 for seed, score in side.items()}) for side in (before, after)]
    gain = effect(before, after)
    return Recommendation(
        CHANGE, "better", TODAY, BETTER, changes, gain, measured[0], measured[1], 600, Effect(0.95, 0.94, 0.96, 3), 300
    )


def keep_recommendation() -> Recommendation:
    before = by_seed(1000, [0.5, 0.5, 0.6])
    measured = Measured(before, {seed: float("nan") for seed in before})
    gain = effect(before, by_seed(1000, [0.5, 0.51, 0.6]))
    return Recommendation(
        KEEP, "nothing beyond the noise", TODAY, TODAY, gain=gain, before=measured, steps=5000, confirm_steps=5000
    )


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., RunWriter]:
    """A run that has been inspected, and nothing else."""

    def make(*, components: tuple[str, ...] = ("backbone", "head"), **info: Any) -> RunWriter:
        folder = tmp_path / "run"
        (folder / store.TRIALS).mkdir(parents=True)
        writer = RunWriter(folder, components)
        writer.inspection()
        writer.run(**info)
        return writer

    return make


@pytest.fixture
def changed(new_run: Callable[..., RunWriter]) -> RunWriter:
    """A run that ended with a change of two settings, one of which is not mapped."""
    writer = new_run(
        ladders=ladder() | ladder(BETTER), config_fixed=["runs/toy/config_fixed.yaml"], unmapped=["normalization.input"]
    )
    writer.explored()
    for index in range(6):
        params, score = (TODAY, 1.0) if index < 3 else (BETTER, 0.1)
        writer.trial("proof", index, params, seed=2000 + index % 3, score=score)
    writer.recommendation(change_recommendation())
    store.write_text(writer.folder / store.DIFF, "--- a.yaml\n+++ b.yaml\n@@ -1 +1 @@\n-lr: 0.03\n+lr: 0.003 # <b>\n")
    return writer


@pytest.fixture
def kept(new_run: Callable[..., RunWriter]) -> RunWriter:
    """A run that found nothing better, and trained as many steps as the long run has."""
    writer = new_run(ladders=ladder())
    writer.explored()
    for index in range(6):
        params, score = (TODAY, 0.5) if index < 3 else (BETTER, 0.5)
        writer.trial("confirm", index, params, seed=1000 + index % 3, score=score)
    writer.recommendation(keep_recommendation())
    return writer
