"""Pages of the field cases: transcript, diff, table and curves of a run, put between the markers of a written page."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from preflight.advise.evidence import CEILING, Effect, percent
from preflight.report.drawing import COLORS

COLOR_ROLES = ("today", "other", "c0", "c1", "c2", "c4", "c3", "c5")
LOG_RATIO = 20.0


def fill(folder: Path, name: str, result: Mapping[str, Any]) -> None:
    """Put the blocks of a result into ``NAME.md``, which has their markers, and draw ``NAME.svg`` beside it."""
    page = folder / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    blocks = {
        "transcript": _fenced("", f"$ preflight +model={name} budget=quick\n{result['transcript'].rstrip()}"),
        "diff": _fenced("diff", result["diff"]) if result["diff"] else "Nothing is changed in the file.",
        "table": _table(result),
        "curves": f"![Validation score by step]({name}.svg)",
        "healthy": _healthy(result["healthy"]),
    }
    if result["throughput"]:
        blocks["throughput"] = _throughput(result["throughput"]["variants"])
    for block, content in blocks.items():
        text = _put(text, block, content, page)
    page.write_text(text, encoding="utf-8")
    _draw(folder / f"{name}.svg", result["contenders"])


def _put(text: str, block: str, content: str, page: Path) -> str:
    begin, end = f"<!-- {block} -->", f"<!-- /{block} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no place for the {block}: put {begin} and {end} into it")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _table(result: Mapping[str, Any]) -> str:
    rows = ["| trained with | score, median of the seeds (lowest to highest) | off today's score |", "|---|---|---|"]
    for item in result["contenders"]:
        scores = sorted(item["scores"].values())
        middle = statistics.median(scores)
        shown = "" if item["effect"] is None else _gain(Effect(**item["effect"]))
        rows.append(f"| {item['name']} | {middle:.3g} ({scores[0]:.3g} to {scores[-1]:.3g}) | {shown} |")
    if any(score > CEILING for item in result["contenders"] for score in item["scores"].values()):
        rows += ["", f"In what is off today's score none counts above {CEILING:g}, or one that flew off would be all."]
    return "\n".join(rows)


def _throughput(variants: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| loader workers | batch size | samples per second, median of the rounds |", "|---|---|---|"]
    for item in variants:
        speed = f"{statistics.median(item['samples_per_s']):.0f}" if item["samples_per_s"] else item["failed"]
        rows.append(f"| {item['workers']} | {item['batch_size']} | {speed} |")
    return "\n".join(rows)


def _gain(effect: Effect) -> str:
    return f"{percent(effect.gain)} ({effect.interval})"


def _healthy(twin: Mapping[str, Any]) -> str:
    spoken = [f"{item['code']} ({item['severity']})" for item in twin["findings"]]
    return f"Decision: {twin['decision']}. Findings: {', '.join(spoken) or 'none'}."


def _draw(path: Path, contenders: Sequence[Mapping[str, Any]]) -> None:
    """Every seed's curve, thin, and the median of them."""
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "font.size": 9.5}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        axes = figure.subplots()
        for item, role in zip(contenders, COLOR_ROLES, strict=False):
            runs = [curve for curve in item["curves"].values() if curve]
            for curve in runs:
                axes.plot(*zip(*curve, strict=True), color=COLORS[role], alpha=0.25, linewidth=0.8)
            ends = min(map(len, runs), default=0)
            middle = [(runs[0][i][0], statistics.median(run[i][1] for run in runs)) for i in range(ends)]
            if middle:
                axes.plot(*zip(*middle, strict=True), color=COLORS[role], linewidth=2, label=item["name"])
        values = [y for item in contenders for curve in item["curves"].values() for _, y in curve]
        if values and min(values) > 0 and max(values) > LOG_RATIO * min(values):
            axes.set_yscale("log")
        axes.axhline(1.0, color=COLORS["ink"], linestyle=":", linewidth=1)
        axes.set(xlabel="steps", ylabel="validation score (1: best constant predictor)")
        axes.grid(color=COLORS["grid"], linewidth=0.5)
        figure.legend(loc="outside right center", frameon=False, fontsize=8.5)
        figure.savefig(path, metadata={"Date": None})
