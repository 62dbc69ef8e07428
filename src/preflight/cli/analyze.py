"""`preflight analyze DIR`: judge a telemetry directory of any tool."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflight.cli.arguments import Parser
from preflight.cli.options import add_judging_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from preflight.telemetry.text_lines import Problem


def analyze(arguments: list[str]) -> int:
    """Print findings, the other rules' answers and aggregates by epoch; returns 1 where --fail-on asks for it."""
    options = analyze_parser().parse_args(arguments)
    from preflight.advise.diagnosis import diagnose
    from preflight.cli.answers import exceeds, show_answers, show_problems
    from preflight.cli.findings import show_findings
    from preflight.cli.terminal import make_console
    from preflight.report.epochs import aggregates
    from preflight.report.telemetry_figures import write_figures
    from preflight.telemetry.foreign import open_foreign
    from preflight.telemetry.store import write_json

    found = open_foreign(options.directory)
    first, *others = found.recordings
    problems = list(found.problems)
    limits = {"norm_above": options.norm_above, "norm_below": options.norm_below}
    asked = [replace(recording, facts={**recording.facts, "limits": limits}) for recording in found.recordings]
    document, epochs = with_proofs(diagnose(asked).as_dict(), options.directory, problems), aggregates(first)
    console = make_console()
    show_problems(console, problems)
    for item in found.absent:
        console.print(f"not applicable: {item}", markup=False, soft_wrap=True)
    show_findings(console, document)
    show_answers(console, document, everything=options.all)
    _show_epochs(console, epochs, f" of {first.folder.name}" if others else "")
    if options.json is not None:
        rows = epochs.reset_index().to_dict("records")
        words = {"problems": [str(item) for item in problems], "absent": [str(item) for item in found.absent]}
        write_json(options.json, {**document, "epochs": rows, **words})
    if options.figures is not None:
        for path in write_figures(first, options.figures):
            console.print(f"figure: {path}", markup=False, soft_wrap=True)
    return int(exceeds(document, options.fail_on))


def with_proofs(document: dict[str, Any], folder: Path, problems: list[Problem] | None = None) -> dict[str, Any]:
    """The findings with what trying their remedies showed, where the folder is that of a run which tried them.

    A file that does not tell is added to ``problems``.
    """
    from preflight.telemetry.store import FINDINGS, read_json
    from preflight.telemetry.text_lines import Problem

    known = {}
    try:
        if (folder / FINDINGS).exists():
            known = {item["code"]: item["proof"] for item in read_json(folder / FINDINGS)["findings"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        if problems is not None:
            problems.append(Problem(FINDINGS, f"holds no findings of a run of preflight: {error}"))
    findings = [{**item, "proof": known.get(item["code"], item["proof"])} for item in document["findings"]]
    order = {code: place for place, code in enumerate(known)}  # what remedies showed has put them in order
    findings.sort(key=lambda item: order.get(item["code"], len(order)))
    return {**document, "findings": findings}


def norm(text: str) -> float:
    """A limit of a norm."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text} must be a positive number")
    return value


def analyze_parser() -> Parser:
    """Arguments of `preflight analyze`."""
    parser = Parser(
        prog="preflight analyze",
        description="Judges recorded gradient norms, weight changes and learning rates; trains nothing.\n\n"
        "DIR holds any of gradient_norms.csv, weight_deltas.csv, <head>_stats.csv, learning_rates.csv, losses.csv and\n"
        "parameters.csv, from any tool; or it is a run directory or a trial's folder of preflight. Rows that are cut\n"
        "off or hold no numbers are named and left out.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="a folder with telemetry")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw them into this folder, as PNG files")
    add_judging_options(parser)
    for side, rule, example in (("above", "PF101", "1000"), ("below", "PF102", "0.001")):
        parser.add_argument(
            f"--norm-{side}",
            type=norm,
            metavar="NORM",
            help=f"{rule}: find fault with a mean gradient norm {side} this, too; off by default, since no such limit "
            f"fits all models: some train well at norms of {example}",
        )
    return parser


def _show_epochs(console: Console, epochs: pd.DataFrame, whose: str) -> None:
    """A row an epoch; of a long run the first, evenly spread ones between, and the last."""
    from preflight.cli.grid import Column, Grid, number, show_grid

    if epochs.empty:
        console.print("by epoch: not applicable, no norms or weight changes with an epoch", soft_wrap=True)
        return
    columns = [Column("epoch", right=True), *(Column(str(name).replace("_", " "), right=True) for name in epochs)]
    shown = spread(len(epochs))
    rows = [(f"{epochs.index[row]:g}", *(number(value) for value in epochs.iloc[row])) for row in shown]
    title = f"by epoch{whose}" + (f", {len(shown)} of {len(epochs)}" if len(shown) < len(epochs) else "")
    show_grid(console, Grid(title, columns, rows))


def spread(count: int, most: int = 40) -> list[int]:
    """At most ``most`` of ``count`` rows, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
