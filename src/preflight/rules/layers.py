"""Parameters of a recording by the layer they belong to, in the order in which the model lists them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from preflight.core.errors import MissingError
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Recording

NEEDED = ("name", "values", "max_gradient_norm", "median_gradient_norm", "last_gradient_step")


@dataclass(frozen=True)
class Layer:
    """Parameters of one module together: ``gradient`` is the median and ``peak`` the largest L2 norm of its gradient
    (NaN where it never had one), ``moved`` the last step with one other than zero.
    """

    name: str
    values: int
    gradient: float
    peak: float
    moved: int


def layers(recording: Recording) -> list[Layer]:
    """Every module with parameters of its own; raises :class:`MissingError` where that was not recorded."""
    frame = recording.table("parameters")
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise MissingError(f"parameters.csv has no column '{missing[0]}'")
    owners = [module_of(str(name)) for name in frame["name"]]
    return [_layer(str(name), rows) for name, rows in frame.groupby(owners, sort=False)]


def module_of(parameter: str) -> str:
    """Name of the module that a parameter belongs to; its own at the top of a model."""
    return parameter.rpartition(".")[0] or parameter


def trend_of(values: Array) -> float:
    """Rank correlation of ``values[L]`` with their place (Spearman); 0 where all are equal."""
    if np.ptp(values) == 0:
        return 0.0
    return float(spearmanr(np.arange(len(values)), values).statistic)


def norm_of(parts: Array) -> float:
    """L2 norm of what has the L2 norms ``parts[P]``; those that are NaN are left out, NaN where all are."""
    known = parts[~np.isnan(parts)]
    return float(np.sqrt(np.square(known).sum())) if len(known) else float("nan")


def _layer(name: str, rows: pd.DataFrame) -> Layer:
    return Layer(
        name,
        int(rows["values"].sum()),
        norm_of(rows["median_gradient_norm"].to_numpy(dtype=np.float64)),
        norm_of(rows["max_gradient_norm"].to_numpy(dtype=np.float64)),
        int(rows["last_gradient_step"].max()),
    )
