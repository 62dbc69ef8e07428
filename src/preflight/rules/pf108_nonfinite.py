"""PF108: the first value that is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule
from preflight.rules.predicates import first_nonfinite
from preflight.telemetry.recording import Recording


def check(recording: Recording) -> Answer:
    """Take the trial's own account, and else the tables."""
    outcome = recording.info.get("outcome", {})
    if outcome.get("status") == "diverged" and outcome.get("step") is not None:
        return _told(outcome, recording)
    found = _first(recording)
    if found is None:
        return Clean()
    step, what, where = found
    return _finding(f"{what} is not finite at step {step}", step, where, (), recording)


def _told(outcome: Mapping[str, Any], recording: Recording) -> Finding:
    step, where = int(outcome["step"]), str(outcome.get("culprit", ""))
    reason = str(outcome.get("reason", "")) or f"{where!r} is not finite at step {step}"
    batch = outcome.get("batch")
    evidence = [] if batch is None else [Evidence("batch of its epoch", int(batch))]
    samples = [str(number) for number in outcome.get("samples", ())]
    if samples:
        evidence.append(
            Evidence("training samples in it, those that are not finite or the first few", ", ".join(samples))
        )
    return _finding(reason, step, where, tuple(evidence), recording)


def _first(recording: Recording) -> tuple[int, str, str] | None:
    """Step, description and name of what ceased to be finite first; a gradient comes before the loss that shows it."""
    candidates = []
    tables = 0
    for table, kind, rank in (("gradient_norms", "the gradient of", 0), ("losses", "the loss", 1)):
        try:
            names = recording.names(table)
        except MissingError:
            continue
        tables += 1
        named = [name for name in names if not name.startswith("val_")]
        # The whole is not finite where a part is: the part says more.
        for name in sorted(named, key=lambda name: name in ("overall", "total")):
            values = recording.column(table, name)
            broken = np.isinf(values) if np.isnan(values).all() else ~np.isfinite(values)
            step = first_nonfinite(np.where(broken, np.nan, 0.0))
            if step is not None and not np.isnan(values).all():
                candidates.append((step, rank, name in ("overall", "total"), f"{kind} {name!r}", name))
    if not tables:
        raise MissingError("there is neither gradient_norms.csv nor losses.csv")
    if not candidates:
        return None
    step, _, _, what, name = min(candidates)
    return step, what, name


def _finding(reason: str, step: int, where: str, evidence: tuple[Evidence, ...], recording: Recording) -> Finding:
    remedies = [
        Remedy("look at the samples of that batch, and at logarithms, roots and divisions between input and loss"),
        Remedy("lower the learning rate", {"lr": recording.params.lr / 10} if "params" in recording.info else {}),
    ]
    if step == 0:
        remedies = remedies[:1]  # before the first update no learning rate is to blame
    return Finding(
        ERROR,
        reason,
        (Evidence("first step with a value that is not finite", step, unit="steps"), *evidence),
        tuple(remedies),
        where=where,
        step=step,
        strength=10.0,
    )


RULE = Rule(
    code="PF108",
    name="first-nonfinite",
    title="A value is not finite",
    detects="A loss or a gradient is NaN or infinite; the first such step is named, with the parameter or loss and, "
    "where the run recorded them, the batch and its samples.",
    matters="One step with such a gradient makes every weight NaN; nothing that follows is worth computing.",
    fix="Clean the samples that are not finite themselves; guard logarithms, roots and divisions with a small "
    "constant; else lower the learning rate or clip.",
    check=check,
)
