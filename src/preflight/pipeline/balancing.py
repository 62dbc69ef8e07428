"""Other ways to weigh several losses, run beside the best settings of the search: fixed, and as the training goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from preflight.advise.balanced import (
    EQUAL,
    NAMES,
    SEARCHED,
    TODAY,
    Balanced,
    Weighed,
    better_weights,
    settings_of,
    typical_weights,
    with_effects,
)
from preflight.advise.diagnosis import Diagnosis, remedy_to_try
from preflight.core.params import Params
from preflight.core.search_settings import BALANCINGS, GRADNORM
from preflight.pipeline.axes import can_be_written
from preflight.pipeline.confirmation import Bench
from preflight.pipeline.inspection import Inspection
from preflight.telemetry import store
from preflight.trials.balancing import Balance, Balancing
from preflight.trials.outcome import Result

GROUP = "loss_weights."


def methods_to_compare(chosen: tuple[str, ...] | None, diagnosis: Diagnosis, axes: Collection[str]) -> tuple[str, ...]:
    """Of a search for loss weights, those that the user chose, or all where a finding asks for other weights."""
    if not any(name.startswith(GROUP) for name in axes):
        return ()
    if chosen is not None:
        return chosen
    remedies = [remedy_to_try(item) for item in diagnosis.findings]
    asked = any(name.startswith(GROUP) for remedy in remedies if remedy is not None for name in remedy.settings)
    return BALANCINGS if asked else ()


def other_weights(
    bench: Bench,
    settings: Sequence[Params],
    methods: Sequence[str],
    losses: Mapping[str, Mapping[str, Any]],
    inspection: Inspection,
    run_dir: Path,
) -> list[Params]:
    """The best of ``settings`` with fixed weights of other methods, where those do better and can be written.

    What was compared is written to the run directory; ``losses`` are their facts.
    """
    bench.audience.begin("loss weights", bench.due(settings) + (2 * len(methods) + 2) * bench.budget.seeds)
    base = _best(bench, settings)
    names = [name for name in inspection.references if _is_weighed(name, base, losses.get(name, {}))]
    closed = [name for name in names if not can_be_written(f"{GROUP}{name}", inspection)]
    balanced = _compared(bench, base, inspection.today.params, methods, names)
    bench.audience.end()
    if closed:
        balanced = replace(balanced, left_out=f"the file to correct has no key for the weight of {', '.join(closed)}")
    store.write_json(run_dir / store.LOSS_WEIGHTS, balanced.as_dict())
    return [] if closed else better_weights(balanced, base)


def _compared(bench: Bench, base: Params, today: Params, methods: Sequence[str], names: Sequence[str]) -> Balanced:
    """Base settings with their own loss weights, today's, equal gradients, and every method's.

    A method's weights are tried as it moves them, and held where they settled.
    """
    if len(names) < 2:
        return Balanced(left_out="fewer than two losses have a score, a gradient and a value above zero to begin with")
    runs = {method: bench.balance(base, Balancing(method, tuple(names))) for method in methods}
    ended = _ended(runs)
    own, before = _weights(base, names), _weights(today, names)
    others = [*([] if own == before else [(TODAY, before)]), *_held(ended)]
    held = [(label, base.with_values(settings_of(weights))) for label, weights in others]
    scores = bench.scores([base, *(params for _, params in held)], 1)
    rows = [Weighed(TODAY if own == before else SEARCHED, own, False, scores[0])]
    rows += [
        Weighed(label, _weights(params, names), False, found)
        for (label, params), found in zip(held, scores[1:], strict=True)
    ]
    rows += [
        Weighed(NAMES[method], typical_weights([item.settled for item in found]), True, _scores(bench, runs[method]))
        for method, found in ended.items()
    ]
    lost = tuple(NAMES[method] for method in runs if method not in ended)
    return Balanced(base.flat(), with_effects(rows), lost=lost)


def _best(bench: Bench, settings: Sequence[Params]) -> Params:
    scores = bench.scores(settings, 1)
    return min(zip(settings, scores, strict=True), key=lambda item: float(np.median(list(item[1].values()))))[0]


def _is_weighed(name: str, base: Params, facts: Mapping[str, Any]) -> bool:
    """Whether the methods are defined for a loss: it has a weight, a gradient, and begins above zero."""
    weight = base.loss_weights.get(name, 1.0)
    return weight > 0 and bool(facts.get("gradient_norm")) and (facts.get("initial") or 0) > 0


def _ended(runs: Mapping[str, Sequence[Result]]) -> dict[str, list[Balance]]:
    """By method the weights of its runs that came to their end."""
    found = {method: [item.balance for item in results if item.balance is not None] for method, results in runs.items()}
    return {method: balances for method, balances in found.items() if balances}


def _held(ended: Mapping[str, Sequence[Balance]]) -> list[tuple[str, dict[str, float]]]:
    """Weights to hold: those of equal gradients on the first batch, and where each method settled."""
    first = [item.first for item in ended.get(GRADNORM, [])]
    equal = [(EQUAL, typical_weights(first))] if first else []
    settled = [(method, [item.settled for item in balances]) for method, balances in ended.items()]
    return [*equal, *((f"{NAMES[method]}'s, held", typical_weights(found)) for method, found in settled)]


def _weights(params: Params, names: Sequence[str]) -> dict[str, float]:
    return {name: float(params.loss_weights.get(name, 1.0)) for name in names}


def _scores(bench: Bench, results: Sequence[Result]) -> dict[int, float]:
    return {bench.first_seed + index: result.confirmed for index, result in enumerate(results)}
