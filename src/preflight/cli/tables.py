"""What a finished run shows on the terminal, read from its run directory."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from preflight.advise.evidence import Effect, percent
from preflight.advise.ladder import ladder_label
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, Change, Measured, Recommendation
from preflight.advise.transfer import transfer
from preflight.cli.findings import show_findings
from preflight.cli.grid import Column, Grid, number, show_grid
from preflight.cli.interim import show_interim
from preflight.cli.margins import show_margins
from preflight.core.params import Params
from preflight.emit.scalar import format_value
from preflight.report import format as fmt
from preflight.report.around import around_text
from preflight.report.fields import checkpoint_text
from preflight.report.lengths import lengths_text
from preflight.report.noise import noise_table
from preflight.report.rates import ladder_note
from preflight.report.sources import Sources
from preflight.report.steps import steps_text
from preflight.report.typical import Typical, typical, typical_metric
from preflight.report.weights import WeightTable, weight_table
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
    checkpoint = document.get("checkpoint")
    if checkpoint is not None:
        console.print(checkpoint_text(checkpoint), markup=False, soft_wrap=True)
    start = "at initialisation" if checkpoint is None else "at the checkpoint"
    for note in document.get("notes", ()):
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for name, value in document["constants"].items():
        known = "no constant prediction found" if value is None else f"best constant prediction {value:.4g}"
        console.print(f"loss {name}: {document['initial'][name]:.4g} {start}, {known}", markup=False)
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
    shown = [Params(**document["today"])] + ([] if answer is None else [answer.recommended])
    labels = [ladder_label(params) for params in shown]
    ladders = [(label, rungs) for label, rungs in run.info["ladders"].items() if label in labels]
    for label, rungs in ladders:
        show_grid(console, _ladder(label, rungs, document["today"]["lr"]))
    if ladders:
        console.print(ladder_note(run), markup=False)
    diagnosis = run.document(store.FINDINGS)
    if diagnosis is not None:
        show_findings(console, diagnosis)
    show_weights(console, weight_table(run.document(store.LOSS_WEIGHTS), Params(**document["today"]).flat()))
    if answer is None:
        show_interim(console, run.folder)
    else:
        metric = run.info["metric"]["name"] if run.info["metric"] else ""
        show_answer(console, answer, metric, document["length"]["horizon_steps"])
    show_margins(console, Sources.read(run.folder))
    noise = noise_table(run.document(store.NOISE_SCALE), run.facts, int(document["today"]["batch_size"]))
    if noise is not None:
        console.print(f"  {noise.line}", markup=False, soft_wrap=True)
    _show_files(console, answer, run)


def show_stopped(console: Console, run: Run) -> None:
    """What a run that was stopped has found: its answer, where it had come to one, or what leads so far."""
    if run.document(store.RECOMMENDATION) is None:
        show_interim(console, run.folder)
    else:
        show_result(console, run)


def show_weights(console: Console, table: WeightTable | None) -> None:
    """Ways to weigh the losses that were compared, if any were."""
    if table is None:
        return
    if table.rows:
        numbers = (Column(name, right=True) for name in (*table.losses, "score"))
        rows = [(row.name, *row.weights, row.score, row.gain) for row in table.rows]
        beside = f" beside {table.beside}" if table.beside else ""
        show_grid(
            console, Grid(f"loss weights{beside} (medians)", (Column("weights"), *numbers, Column("takes off")), rows)
        )
    if table.note:
        console.print(table.note, markup=False, soft_wrap=True)


def _ladder(label: str, rungs: Sequence[Mapping[str, Any]], today: float) -> Grid:
    seeds = max(rung["seeds"] for rung in rungs)
    numbers = ("LR", "max grad norm", "worst seed", "loss decreasing", "loss at end")
    columns = (*(Column(name, right=True) for name in numbers), Column("exploded at"), Column("verdict"))
    rows = [
        (
            f"{rung['lr']:g} (today)" if rung["lr"] == today else f"{rung['lr']:.1e}",
            number(rung["median_max_norm"]),
            number(rung["worst_max_norm"]),
            "yes" if rung["decreasing"] else "no",
            number(rung["final_loss"]),
            rung["exploded_at"],
            Text(rung["verdict"], style=VERDICT_STYLE.get(rung["verdict"], "")),
        )
        for rung in rungs
    ]
    return Grid(f"learning rates with {label} (medians of {seeds} seeds)", columns, rows)


def show_answer(console: Console, answer: Recommendation, metric: str, horizon: int) -> None:
    """Changes, decision and what it was measured by, over a part of the ``horizon`` in steps."""
    if answer.decision == CHANGE:
        show_grid(console, _changes(answer, with_length=0 < answer.steps < horizon))
    headline = {CHANGE: "Change", CANNOT_TELL: "Cannot tell"}.get(answer.decision, "Keep your config")
    console.print(f"{headline}: {answer.reason}", style="bold", markup=False)
    if answer.before is not None:
        _show_sides(console, answer.before, answer.after, answer.decision, metric)
    if lengths_text(answer):
        console.print(f"  {lengths_text(answer)}", markup=False, soft_wrap=True)
    if answer.around:
        console.print(f"  {around_text(answer)}", markup=False, soft_wrap=True)
    if answer.steps < horizon:
        measured = f"measured over {answer.steps} of {horizon} steps; the rest is extrapolated"
        console.print(f"  {measured}, no setting scaled to the length", markup=False)


def _show_sides(console: Console, before: Measured, after: Measured | None, decision: str, metric: str) -> None:
    sides = [before] if after is None else [before, after]
    labels = ["today:", "recommended:" if decision == CHANGE else "tried:"]
    found = typical(*sides)
    for label, side, score in zip(labels, sides, found.scores, strict=False):
        console.print(f"  {label:<12} {_measured(side, score, metric)}", markup=False)
    console.print(f"  {_caption(found, metric)}", markup=False)


def _caption(found: Typical, metric: str) -> str:
    text = f"score: {found.of(f'{found.seeds} seeds')}"
    return f"{text}; {metric}: mean" if metric else text


def _changes(answer: Recommendation, *, with_length: bool) -> Grid:
    """``with_length``: whether each holds in the long run, too."""
    names = ("setting", "today", "recommended", "alone", "added to the others", *(("long run",) * with_length))
    columns = [Column(name) for name in names]
    rows = [
        (
            change.name,
            fmt.setting(change.name, change.old),
            fmt.setting(change.name, change.new),
            *_worth(change),
            *((transfer(change.name).label,) * with_length),
        )
        for change in answer.changes
    ]
    length = "" if answer.steps == answer.confirm_steps else f" over {fmt.whole(answer.confirm_steps)} steps"
    return Grid(f"changes, each with what it takes off the validation score{length}", columns, rows)


def _worth(change: Change) -> tuple[str, str]:
    """What a change is worth alone and with the others, in the score or, where none depends on it, in speed."""
    if change.alone is None or change.needed is None:
        return "none" if change.speed is None else f"{change.speed.ratio:.3g}x samples/s", "no score depends on it"
    return gain(change.alone), gain(change.needed)


def gain(effect: Effect) -> str:
    """A gain with its interval: ``43% (4% to 66%)``."""
    return f"{percent(effect.gain)} ({effect.interval})"


def _measured(measured: Measured, score: float, metric: str) -> str:
    text = f"score {number(score)} (worst seed {number(max(measured.scores.values()))})"
    value = typical_metric(measured)
    return f"{text}, {metric} {value:.4g}" if metric and math.isfinite(value) else text


def _show_files(console: Console, answer: Recommendation | None, run: Run) -> None:
    steps = steps_text(run.recordings())
    if steps:
        console.print(f"steps trained:    {steps}", markup=False, soft_wrap=True)
    for path in run.info["config_fixed"]:
        console.print(f"corrected config: {path}", markup=False, soft_wrap=True)
    if answer is not None and run.info["unmapped"]:
        console.print("  proved together with what has no key in your file; set it yourself:", markup=False)
        for name in run.info["unmapped"]:
            console.print(f"    {name}: {_to_set(name, answer, run)}", markup=False, soft_wrap=True)
    if run.info["config_fixed"]:
        again = shlex.join(["preflight", "verify", str(run.info["config_fixed"][-1]), "--run", str(run.folder)])
        console.print(f"to repeat it:     {again}", markup=False, soft_wrap=True)
    if (run.folder / store.REPORT).exists():
        console.print(f"report:           {run.folder / store.REPORT}", markup=False, soft_wrap=True)
    console.print(f"trials:           optuna-dashboard {store.study_url(run.folder)}", markup=False, soft_wrap=True)


def _to_set(name: str, answer: Recommendation, run: Run) -> str:
    """Recommended value of a setting, of a normalization with its statistics."""
    value = answer.recommended.flat()[name]
    fitted = run.info["normalizers"].get(f"{name}: {value}")
    return str(value) if fitted is None else format_value(fitted, flow=True)
