"""A finished run, read: the one door between the run directory and everything that judges, writes or draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from preflight.core.errors import InputError, MissingError
from preflight.core.params import Params, ParamValue
from preflight.telemetry import store

Array = npt.NDArray[np.float64]
REQUIRED = ("purpose", "index", "params", "seed", "steps", "outcome")

STEP, ROW = "step", "collection step"


@dataclass(frozen=True, eq=False)
class Measured:
    """Values ``[T]`` of a column, the steps ``[T]`` that they were measured at, and what is counted by these."""

    steps: Array
    values: Array
    unit: str = STEP

    def place(self, index: int) -> str:
        """``step 12400``."""
        return f"{self.unit} {self.steps[index]:.0f}"


@dataclass(frozen=True)
class Recording:
    """One training run as it was recorded; read-only. What is asked of it and not known raises :class:`MissingError`.

    ``facts`` are what the probes found of the task before training, as ``facts.json`` holds them. ``tables`` take the
    place of the folder's files, by their names without the suffix; ``unread`` says of a table why it is not among
    them. ``is_own`` is whether preflight recorded it: a row a step, and every row measured. Of another tool's, NaN
    is what was not measured and infinity what was not finite.
    """

    folder: Path
    info: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    is_own: bool = True

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any] = MappingProxyType({})) -> Recording:
        """Open a trial's folder; raises :class:`InputError` where there is none."""
        info = _object(folder / store.TRIAL, f"{folder} is not a recorded trial")
        missing = [key for key in REQUIRED if key not in info]
        if missing:
            raise InputError(f"{folder} is not a recorded trial: {store.TRIAL} has no {', '.join(missing)}")
        return cls(folder, info, facts)

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name without the suffix; raises :class:`MissingError` where nothing was recorded of it."""
        if name not in self._known:
            if self.tables is None and not (self.folder / f"{name}.csv").exists():
                raise MissingError(f"there is no {name}.csv")
            if self.tables is not None and name not in self.tables:
                raise MissingError(self.unread.get(name, f"there is no {name}.csv"))
            texts = {"name": str, "component": str} if name == "parameters" else None  # "0" may be a name
            self._known[name] = self._table(f"{name}.csv", texts) if self.tables is None else self.tables[name]
        return self._known[name]

    def column(self, table: str, name: str) -> Array:
        """Values ``[T]`` of a column, empty cells as NaN; raises :class:`MissingError` where there is none."""
        frame = self.table(table)
        if name not in frame:
            raise MissingError(f"{table}.csv has no column '{name}'")
        values: Array = frame[name].to_numpy(dtype=np.float64)
        return values

    def measured(self, table: str, name: str) -> Measured:
        """The same where it was measured, with the steps."""
        values, steps = self.column(table, name), self.steps_of(table)
        kept = np.full(len(values), True) if self.is_own else ~np.isnan(values)
        is_row = not self.is_own and "step" not in self.table(table)
        return Measured(steps[kept], values[kept], ROW if is_row else STEP)

    def steps_of(self, table: str) -> Array:
        """The step of each row; of preflight's own its number, and where another tool does not tell it, its place in
        the file, those that could not be read counted.
        """
        frame = self.table(table)
        if self.is_own:
            return np.arange(len(frame), dtype=np.float64)
        if "step" not in frame or frame["step"].isna().any():
            places: Array = frame.index.to_numpy(dtype=np.float64)
            return places
        return self.column(table, "step")

    def names(self, table: str) -> tuple[str, ...]:
        """Columns of a table besides the epoch and the step."""
        return tuple(str(name) for name in self.table(table).columns if name not in ("epoch", "step"))

    def setting(self, name: str) -> ParamValue:
        """A setting that it trained with, by its flat name; raises :class:`MissingError` where it is not known."""
        if "params" not in self.info:
            raise MissingError(f"the settings of this run are not known, so neither is '{name}'")
        settings = self.params.flat()
        if name not in settings:
            raise MissingError(f"this run has no setting '{name}'")
        return settings[name]

    def fact(self, *path: str) -> Any:
        """What a probe found, by its path in ``facts.json``; raises :class:`MissingError` where it found nothing."""
        found: Any = self.facts
        for depth, key in enumerate(path):
            if not isinstance(found, Mapping) or found.get(key) is None:
                raise MissingError(f"no probe has looked at '{'.'.join(path[: depth + 1])}'")
            found = found[key]
        return found

    def _told(self, key: str, noun: str) -> Any:
        if key not in self.info:
            raise MissingError(f"this run does not tell its {noun}")
        return self.info[key]

    @cached_property
    def _known(self) -> dict[str, pd.DataFrame]:
        return {}

    @property
    def purpose(self) -> str:
        """Stage that the trial belongs to: today, range, explore, confirm, proof, verify."""
        return str(self._told("purpose", "stage"))

    @property
    def params(self) -> Params:
        """Settings it trained with."""
        return Params(**self._told("params", "settings"))

    @property
    def seed(self) -> int:
        """Seed of initialisation, data order and dropout."""
        return int(self._told("seed", "seed"))

    @property
    def steps(self) -> int:
        """Optimizer steps it was planned for."""
        return int(self._told("steps", "number of steps"))

    @property
    def status(self) -> str:
        """How it ended: completed, pruned, diverged, out_of_memory, crashed, interrupted."""
        return str(self._told("outcome", "outcome")["status"])

    @property
    def reason(self) -> str:
        """Why it did not complete, in words; empty when it did."""
        return str(self._told("outcome", "outcome").get("reason", ""))

    @property
    def score(self) -> float:
        """Validation score at the end, lower is better, 1.0 is the best constant predictor; NaN without one."""
        value = self.info.get("score")
        return float("nan") if value is None else float(value)

    @property
    def metric(self) -> float:
        """The task's metric at the end, in its own units; NaN without one."""
        value = self.info.get("metric")
        return float("nan") if value is None else float(value)

    @property
    def was_recorded(self) -> bool:
        """Whether there is telemetry: a trial that crashed before its first step, or whose process died, has none."""
        try:
            return not self.losses.empty
        except MissingError:
            return False

    @property
    def losses(self) -> pd.DataFrame:
        """``losses.csv``."""
        return self.table("losses")

    @property
    def gradient_norms(self) -> pd.DataFrame:
        """``gradient_norms.csv``."""
        return self.table("gradient_norms")

    @property
    def parameters(self) -> pd.DataFrame:
        """``parameters.csv``."""
        return self.table("parameters")

    @property
    def max_gradient_norm(self) -> float:
        """Largest overall gradient norm; infinite when one was not finite, NaN when nothing was recorded."""
        values = self.gradient_norms["overall"].to_numpy(dtype=float)
        if not len(values):
            return float("nan")
        return float(values.max()) if np.isfinite(values).all() else float("inf")

    @property
    def worst_parameter(self) -> str:
        """Parameter with the largest finite gradient norm; empty when nothing was recorded."""
        norms = self.parameters["max_gradient_norm"]
        return "" if norms.isna().all() else str(self.parameters["name"].iloc[int(norms.argmax())])

    def _table(self, name: str, texts: Mapping[str, type[str]] | None = None) -> pd.DataFrame:
        """A table, whole: one that a full disk or a copy cut off has fewer rows, or half a last one."""
        path = self.folder / name
        try:
            frame = pd.read_csv(path, dtype=texts)
            is_whole = path.read_bytes().endswith(b"\n")
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            raise InputError(f"{path} cannot be read: {error}") from error
        rows = self.info.get("tables", {}).get(name, len(frame))
        if len(frame) != rows or not is_whole:
            raise InputError(f"{path} cannot be read: it is cut off after {len(frame)} of {rows} rows")
        return frame


@dataclass(frozen=True)
class Run:
    """A run directory; read-only."""

    folder: Path
    info: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open a run directory; raises :class:`InputError` where there is none."""
        return cls(folder, _object(folder / store.RUN, f"{folder} is not a run directory of preflight"))

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the probes found before training; empty where none has looked."""
        return self.document(store.FACTS) or {}

    def recordings(self, purpose: str | None = None) -> list[Recording]:
        """Finished trials in the order they ran, of one stage or of all."""
        folders = sorted(path.parent for path in (self.folder / store.TRIALS).glob(f"*/{store.TRIAL}"))
        found = [Recording.open(folder, self.facts) for folder in folders]
        wanted = [item for item in found if purpose is None or item.purpose == purpose]
        return sorted(wanted, key=lambda item: int(item.info["index"]))

    def document(self, name: str) -> Any:
        """A JSON document of the run, or None where the run ended before it was written."""
        path = self.folder / name
        return _object(path, f"{path} cannot be read") if path.exists() else None

    def text(self, name: str) -> str | None:
        """A text file of the run, or None."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None


def fault_of(info: Mapping[str, Any]) -> str:
    """Why a document is no trial's of preflight; empty where it is one."""
    missing = [key for key in REQUIRED if key not in info]
    if missing:
        return f"has no {', '.join(missing)}"
    try:
        Params(**info["params"]).flat()
        str(info["outcome"]["status"])
        int(info["steps"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"holds what no trial does: {error}"
    return ""


def _object(path: Path, problem: str) -> dict[str, Any]:
    try:
        found = store.read_json(path)
    except (OSError, ValueError) as error:  # not there, not text, or not JSON
        raise InputError(f"{problem}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{problem}: {path.name} holds {type(found).__name__} where an object belongs")
    return found
