"""Recordings in memory: tables, settings and facts as a rule sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from preflight.core.params import Params
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
