"""What the interchange format tells of components: their gradients, their moves and the rates they moved at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preflight.core.errors import MissingError
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Measured, Recording
from preflight.telemetry.schema import ASIDE

DELTA = "_delta"
STATS = "_stats"


def component_norms(recording: Recording) -> dict[str, Measured]:
    """Gradient norms by component, of those that were measured at all.

    Where weight_deltas.csv names components too, a column is one that both name. Raises :class:`MissingError` where
    there is no gradient_norms.csv.
    """
    names = [name for name in recording.names("gradient_norms") if name != "overall" and name.lower() not in ASIDE]
    moving = [name.removesuffix(DELTA) for name in _delta_names(recording)]
    known = [name for name in names if name in moving] or names
    found = {name: recording.measured("gradient_norms", name) for name in known}
    return {name: item for name, item in found.items() if not np.isnan(item.values).all()}


def norms_of_parts(recording: Recording) -> dict[str, Measured]:
    """The same, or the norm of the whole where no component is known; raises :class:`MissingError` without either."""
    return component_norms(recording) or {"overall": recording.measured("gradient_norms", "overall")}


def overall_norms(recording: Recording) -> Measured:
    """Norm of the whole gradient; where it was not recorded, the root of the components' squares, where all are known.

    Raises :class:`MissingError` without either.
    """
    if "overall" in recording.names("gradient_norms"):
        return recording.measured("gradient_norms", "overall")
    parts = list(component_norms(recording).values())
    if not parts or any(not np.array_equal(part.steps, parts[0].steps) for part in parts):
        return recording.measured("gradient_norms", "overall")  # which says what is missing
    squares = np.array([part.values**2 for part in parts])
    return replace(parts[0], values=np.sqrt(squares.sum(axis=0)))


def component_deltas(recording: Recording) -> dict[str, Measured]:
    """Weight changes by component, of those that were measured; raises :class:`MissingError` where there are none."""
    names = _delta_names(recording)
    if not names:
        recording.table("weight_deltas")
        raise MissingError("weight_deltas.csv has no column '<component>_delta'")
    found = {name.removesuffix(DELTA): recording.measured("weight_deltas", name) for name in names}
    return {name: item for name, item in found.items() if len(item.values)}


def rates(recording: Recording) -> dict[str, Measured]:
    """Learning rates by parameter group; raises :class:`MissingError` where they were not recorded."""
    names = [name for name in recording.names("learning_rates") if name.lower().startswith("lr")]
    if not names:
        raise MissingError("learning_rates.csv has no column 'lr_group<n>'")
    return {name: recording.measured("learning_rates", name) for name in names}


def lr_ratio(recording: Recording) -> float:
    """Largest over smallest learning rate of the optimizer's groups, 1 where they were not recorded."""
    try:
        peaks = [float(np.nanmax(item.values, initial=0.0)) for item in rates(recording).values()]
    except MissingError:
        return 1.0
    peaks = [peak for peak in peaks if peak > 0]
    return max(peaks) / min(peaks) if peaks else 1.0


def head_names(recording: Recording, suffix: str = STATS) -> list[str]:
    """Components of which ``<head><suffix>.csv`` is there."""
    known = recording.tables
    names = [path.stem for path in recording.folder.glob(f"*{suffix}.csv")] if known is None else list(known)
    return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))


def prototype_norms(recording: Recording) -> dict[str, float]:
    """Median L2 norm of a head's rows, by head, where ``<head>_stats.csv`` tells it."""
    found = {}
    for head in head_names(recording):
        try:
            norms = finite(recording.measured(f"{head}{STATS}", "weight_norm_mean").values)
        except MissingError:
            continue
        if len(norms):
            found[head] = float(np.median(norms))
    return found


def finite(values: Array) -> Array:
    """``values[T]`` without those that are not finite."""
    return values[np.isfinite(values)]


def has_gradient(recording: Recording, component: str) -> bool | None:
    """Whether a component's gradient is mostly other than zero; None where that was not recorded."""
    try:
        norms = component_norms(recording).get(component)
    except MissingError:
        return None
    return None if norms is None or not len(norms.values) else bool(np.median(norms.values) > 0)


def _delta_names(recording: Recording) -> list[str]:
    try:
        return [name for name in recording.names("weight_deltas") if name.endswith(DELTA)]
    except MissingError:
        return []
