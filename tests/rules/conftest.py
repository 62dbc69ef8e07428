"""Recordings in memory: tables, settings and facts as a rule sees them; and data as the probes see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import parse_model
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.probes.distributions import look_at_fields
from preflight.probes.first_layer import look_at_first_layers
from preflight.probes.labels import look_at_labels
from preflight.probes.order import look_at_order
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
Columns = Mapping[str, Sequence[float]]


@pytest.fixture
def recorded() -> Recorded:
    """``recorded(losses={"total": [...]}, params=Params(...), facts={...}, info={...})``; tables by name, as columns.

    Tables get an ``epoch`` column of zeros where they have none; ``losses`` a ``step`` column as well.
    """

    def make(
        params: Params | None = None,
        facts: Mapping[str, Any] | None = None,
        info: Mapping[str, Any] | None = None,
        **tables: Columns,
    ) -> Recording:
        frames = {}
        for name, columns in tables.items():
            frame = pd.DataFrame({key: list(values) for key, values in columns.items()})
            if "epoch" not in frame and name != "parameters":
                frame.insert(0, "epoch", 0)
            if name == "losses" and "step" not in frame:
                frame.insert(1, "step", range(len(frame)))
            frames[name] = frame
        settings = {} if params is None else {"params": asdict(params)}
        return Recording(Path("in-memory"), {**settings, **(info or {})}, facts or {}, frames)

    return make


@pytest.fixture
def foreign(recorded: Recorded) -> Recorded:
    """The same of another tool: NaN is what was not measured, infinity what was not finite."""

    def make(**keywords: Any) -> Recording:
        return replace(recorded(**keywords), is_own=False)

    return make


class _Plain(nn.Module):
    """A hidden layer over all inputs, flattened and side by side; index fields as they are."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, outputs))

    def forward(self, *fields: Tensor) -> Tensor:
        return self.layers(
            torch.cat([field.flatten(1 if field.ndim > 1 else 0).float().view(len(field), -1) for field in fields], 1)
        )


@pytest.fixture
def data_seen(recorded: Recorded) -> Callable[..., Recording]:
    """``data_seen({"x": ..., "target": ...})``: a recording of nothing but what the probes see of the data.

    ``model`` makes a model of all inputs; ``normalization`` holds a normalizer's configuration by field; ``info`` and
    tables are those of :func:`recorded`; other keywords are keys of the `model` group.
    """

    def make(
        train: Mapping[str, Tensor],
        validation: Mapping[str, Tensor] | None = None,
        model: Callable[[], nn.Module] | None = None,
        normalization: Mapping[str, Mapping[str, Any]] | None = None,
        params: Mapping[str, Any] | None = None,
        info: Mapping[str, Any] | None = None,
        tables: Mapping[str, Columns] | None = None,
        facts: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Recording:
        inputs = [tensor for name, tensor in train.items() if name != "target"]
        width = sum(tensor[0].numel() for tensor in inputs)
        target = train["target"]
        outputs = target[0].numel() if target.is_floating_point() else int(target.max()) + 1
        values = {
            "factory": model or (lambda: _Plain(width, outputs)),
            "data": (dict(train), dict(train if validation is None else validation)),
            "losses": {"loss": F.mse_loss if target.is_floating_point() else F.cross_entropy},
            **changes,
        }
        task = PyTorchTask(parse_model(values, name="data", folder=None), Trust(), torch.device("cpu"))
        task.normalizers.update(
            {(f"normalization.{name}", "today"): config for name, config in (normalization or {}).items()}
        )
        chosen = {name: "today" if name in (normalization or {}) else "none" for name in task.data.numeric_inputs()}
        today = Params(**{"lr": 1e-3, "batch_size": 32, "normalization": chosen, **(params or {})})
        found: dict[str, Any] = {}
        for look in (look_at_fields, look_at_first_layers, look_at_order, look_at_labels):
            found |= look(task, today, 0)
        return recorded(today, {**found, **(facts or {})}, info, **(tables or {}))

    return make
