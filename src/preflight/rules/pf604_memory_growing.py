"""PF604: memory that grows with every step."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Recording

SETTLED = 2  # steps after which everything that is kept between steps is there
STEPS = Threshold("STEPS", 5, "steps in a row at least have to add to it", "allocators settle within two or three")
NUMBERS = Threshold(
    "NUMBERS",
    4096,
    "bytes a step are a few numbers that are kept, and no activations",
    "eight blocks of 512 bytes, the smallest that CUDA's allocator gives; 4 GiB after a million steps",
)


def check(recording: Recording) -> Answer:
    """Judge what is held after each of a few steps on the same batch."""
    facts = recording.fact("memory")
    held = np.asarray(facts.get("after_steps") or (), dtype=np.float64)
    nodes = np.asarray(facts.get("nodes_after_steps") or (), dtype=np.float64)
    needed = SETTLED + 1 + int(STEPS.value)
    if len(held) < needed:
        raise MissingError(f"memory was measured after {len(held)} steps in a row, and it takes {needed} to tell")
    steps = recording.facts.get("schedule", {}).get("steps")
    more, graph = _growth(held, NUMBERS.value), _growth(nodes, 0.0)
    if not more and not graph:
        return Clean()
    end = None if steps is None else held[-1] + more * steps
    capacity = facts.get("capacity")
    fatal = bool(more) and None not in (capacity, end) and end > capacity
    return Finding(
        ERROR if fatal else WARNING,
        _message(more, graph, steps),
        (
            Evidence("steps in a row that add to it", len(held) - SETTLED - 1, STEPS.value),
            *((Evidence("growth per step", more, NUMBERS.value, "bytes"),) if more else ()),
            *((Evidence("nodes of graphs kept per step", graph, 0.0),) if graph else ()),
        ),
        (Remedy("keep numbers and not tensors: loss.item() or loss.detach() in lists, meters and buffers"),),
    )


def _growth(values: Array, limit: float) -> float:
    """Median growth per step of ``values[T]``, once they have settled; 0 where a step adds no more than ``limit``."""
    growth = np.diff(values[SETTLED:])
    return float(np.median(growth)) if len(growth) and (growth > limit).all() else 0.0


def _message(more: float, graph: float, steps: int | None) -> str:
    nodes = f"{graph:.0f} more {'node' if graph == 1 else 'nodes'} of the autograd graph"
    if not more:
        end = "" if steps is None else f", {graph * steps:,.0f} at the end of the run"
        return f"every step keeps {nodes} than the one before{end}"
    end = "" if steps is None else f", {_size(more * steps)} at the end of the run"
    return f"every step holds on to {_size(more)} more than the one before{end}" + (f", with {nodes}" if graph else "")


def _size(count: float) -> str:
    """``8 KiB``, ``5.51 MiB``."""
    power = max(0, min(3, int(np.log2(max(1.0, count)) // 10)))
    return f"{count / 2 ** (10 * power):.3g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"


RULE = Rule(
    code="PF604",
    name="memory-growing",
    title="Memory grows with every step",
    detects="On one batch, trained on again and again, what is alive after a step and a garbage collection rises with "
    "each of at least STEPS steps: by more than NUMBERS, or by nodes of a graph.",
    matters="A long run ends out of memory, hours after it began.",
    fix="A loss or an output that is kept with its graph keeps all of the step's activations: detach what is kept.",
    check=check,
    thresholds=(STEPS, NUMBERS),
)
