"""Gradient norms and weight changes by epoch: what people read off a telemetry directory first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from preflight.core.errors import MissingError
from preflight.telemetry.recording import Recording

DELTA = "_delta"


def aggregates(recording: Recording) -> pd.DataFrame:
    """A row an epoch: ``norm_mean``, ``norm_std``, ``norm_max``, and ``<component>_delta_mean`` and ``_sum``.

    Missing cells are left out, what is not finite is not; the deviation is that of the rows themselves. Empty where
    neither norms nor deltas are known by epoch.
    """
    parts = [*_norms(recording), *_deltas(recording)]
    return pd.concat(parts, axis=1).sort_index() if parts else pd.DataFrame()


def component_deltas(recording: Recording) -> Sequence[str]:
    """Columns of the weight deltas."""
    try:
        return [name for name in recording.names("weight_deltas") if name.endswith(DELTA)]
    except MissingError:
        return []


def _norms(recording: Recording) -> list[pd.DataFrame]:
    try:
        norms, epochs = recording.column("gradient_norms", "overall"), recording.column("gradient_norms", "epoch")
    except MissingError:
        return []
    with np.errstate(invalid="ignore"):  # of an infinite norm
        found = pd.Series(norms).groupby(_whole(epochs)).agg(["mean", _deviation, "max"])
    return [found.set_axis(["norm_mean", "norm_std", "norm_max"], axis=1)]


def _deltas(recording: Recording) -> list[pd.DataFrame]:
    try:
        epochs = recording.column("weight_deltas", "epoch")
    except MissingError:
        return []
    return [
        pd.Series(recording.column("weight_deltas", name))
        .groupby(_whole(epochs))
        .agg(["mean", "sum"])
        .set_axis([f"{name}_mean", f"{name}_sum"], axis=1)
        for name in component_deltas(recording)
    ]


def _deviation(values: pd.Series[float]) -> float:
    return float(values.std(ddof=0))


def _whole(epochs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pd.Series[float]:
    """Epochs as whole numbers: some tools count in parts of one."""
    return pd.Series(np.floor(epochs), name="epoch")
