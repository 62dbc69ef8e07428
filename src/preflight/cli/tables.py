"""What a finished run shows on the terminal, read from its run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from preflight.advise.evidence import Effect, percent
from preflight.advise.ladder import ladder_label
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, Measured, Recommendation
from preflight.emit.scalar import format_value
from preflight.telemetry import store
from preflight.telemetry.recording import Run

VERDICT_STYLE = {"best": "green", "stable": "", "unsteady": "yellow", "explodes": "red", "too high": "yellow"}


def show_inspection(console: Console, document: Mapping[str, Any]) -> None:
    """Inputs, losses and today's settings, a line each."""
    for field in document["fields"]:
        shape = "x".join(str(size) for size in field["shape"]) or "scalar"
        console.print(f"input {field['name']}: {field['dtype']} {shape}", markup=False)
        if field["dtype"] == "bool":
            continue
        for feature in field["features"][:8]:
            label = "" if feature["name"] == field["name"] else f"{feature['name']}: "
            console.print(
                f"  {label}{feature['kind']}, {feature['minimum']:.6g} to {feature['maximum']:.6g}, "
                f"mean {feature['mean']:.4g}, std {feature['std']:.4g}"
                + (f", {feature['nonfinite']} not finite" if feature["nonfinite"] else ""),
                markup=False,
            )
        if len(field["features"]) > 8:
            console.print(f"  and {len(field['features']) - 8} more features")
    for name, value in document["constants"].items():
        known = "no constant prediction found" if value is None else f"best constant prediction {value:.4g}"
        console.print(f"loss {name}: {document['initial'][name]:.4g} at initialisation, {known}", markup=False)
    single = [f"loss_weights.{name}" for name in document["constants"]] if len(document["constants"]) == 1 else []
    today = {name: value for name, value in flat(document["today"]).items() if value is not None and name not in single}
    settings = ", ".join(f"{name}={value}" for name, value in today.items())
    console.print(f"today: {settings}; {document['length']['horizon_steps']} steps", markup=False)


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a recorded ``Params``, one level."""
    values: dict[str, Any] = {}
    for name, value in params.items():
        if not isinstance(value, Mapping):
            values[name] = f"{value:.4g}" if isinstance(value, float) else value
        else:
            values |= {inner if name == "extras" else f"{name}.{inner}": item for inner, item in value.items()}
    return values


def show_result(console: Console, run: Run) -> None:
    """Learning rates, changes, decision and files of a run that ended."""
    document = run.document(store.INSPECTION)
    saved = run.document(store.RECOMMENDATION)
    answer = None if saved is None else Recommendation.from_dict(saved)
    shown = [document["today"]["normalization"]] + ([] if answer is None else [answer.recommended.normalization])
    labels = [ladder_label(normalization) for normalization in shown]
    for label, rungs in run.info["ladders"].items():
        if label in labels:
            console.print(_ladder(label, rungs, document["today"]["lr"]))
    if answer is not None:
        _show_answer(console, answer, run, document["length"]["horizon_steps"])
    _show_files(console, answer, run)


def _ladder(label: str, rungs: Sequence[Mapping[str, Any]], today: float) -> Table:
    seeds = max(rung["seeds"] for rung in rungs)
    table = Table(title=f"learning rates with {escape(label)} ({seeds} seeds)", title_justify="left")
    for column in ("LR", "max grad norm, median", "worst", "loss decreasing", "loss at end"):
        table.add_column(column, justify="right")
    table.add_column("exploded at")
    table.add_column("verdict")
    for rung in rungs:
        mark = " (today)" if rung["lr"] == today else ""
        table.add_row(
            f"{rung['lr']:.1e}{mark}" if rung["lr"] != today else f"{rung['lr']:g}{mark}",
            number(rung["median_max_norm"]),
            number(rung["worst_max_norm"]),
            f"{rung['decreasing']} of {rung['seeds']}",
            number(rung["final_loss"]),
            Text(rung["exploded_at"]),
            Text(rung["verdict"], style=VERDICT_STYLE.get(rung["verdict"], "")),
        )
    return table


def _show_answer(console: Console, answer: Recommendation, run: Run, horizon: int) -> None:
    if answer.decision == CHANGE:
        console.print(_changes(answer))
    headline = {CHANGE: "Change", CANNOT_TELL: "Cannot tell"}.get(answer.decision, "Keep your config")
    console.print(f"{headline}: {answer.reason}", style="bold", markup=False)
    if answer.before is not None and answer.after is not None:
        metric = run.info["metric"]["name"] if run.info["metric"] else None
        console.print(f"  today:       {_measured(answer.before, metric)}", markup=False)
        other = "recommended:" if answer.decision == CHANGE else "tried:      "
        console.print(f"  {other} {_measured(answer.after, metric)}", markup=False)
    if answer.steps < horizon:
        console.print(f"  measured over {answer.steps} of {horizon} steps; the rest is extrapolated", markup=False)


def _changes(answer: Recommendation) -> Table:
    table = Table(title="changes, each with what it takes off the validation score", title_justify="left")
    for column in ("setting", "today", "recommended", "alone", "added to the others"):
        table.add_column(column)
    for change in answer.changes:
        row = (change.name, str(change.old), str(change.new), gain(change.alone), gain(change.needed))
        table.add_row(*(Text(cell) for cell in row))
    return table


def gain(effect: Effect) -> str:
    """A gain with its interval: ``43% (4% to 66%)``."""
    return f"{percent(effect.gain)} ({effect.interval})"


def _measured(measured: Measured, metric: str | None) -> str:
    scores = sorted(measured.scores.values())
    text = f"score {_median(scores):.3g} (worst seed {scores[-1]:.3g})"
    finite = [value for value in measured.metrics.values() if math.isfinite(value)]
    return f"{text}, {metric} {_median(sorted(finite)):.4g}" if metric and finite else text


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def number(value: float) -> str:
    """Three digits; what is not finite is named."""
    return f"{value:.3g}" if math.isfinite(value) else ("not finite" if math.isinf(value) else "-")


def _show_files(console: Console, answer: Recommendation | None, run: Run) -> None:
    for path in run.info["config_fixed"]:
        console.print(f"corrected config: {path}", markup=False, soft_wrap=True)
    if answer is not None and run.info["unmapped"]:
        console.print("  proved together with what has no key in your file; set it yourself:", markup=False)
        for name in run.info["unmapped"]:
            console.print(f"    {name}: {_to_set(name, answer, run)}", markup=False, soft_wrap=True)
    console.print(f"report:           {run.folder / store.REPORT}", markup=False, soft_wrap=True)
    console.print(
        f"trials:           optuna-dashboard sqlite:///{run.folder / store.STUDY}",
        markup=False,
        soft_wrap=True,
    )


def _to_set(name: str, answer: Recommendation, run: Run) -> str:
    """Recommended value of a setting, of a normalization with its statistics."""
    value = answer.recommended.flat()[name]
    fitted = run.info["normalizers"].get(f"{name.removeprefix('normalization.')}: {value}")
    return str(value) if fitted is None else format_value(fitted, flow=True)
