"""`preflight analyze DIR`: judge a telemetry directory of any tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflight.cli.arguments import Parser
from preflight.cli.options import add_judging_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


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
    document, epochs = with_proofs(diagnose(found.recordings).as_dict(), options.directory), aggregates(first)
    console = make_console()
    show_problems(console, found.problems)
    show_findings(console, document)
    show_answers(console, document, everything=options.all)
    _show_epochs(console, epochs, f" of {first.folder.name}" if others else "")
    if options.json is not None:
        rows = epochs.reset_index().to_dict("records")
        problems = [str(problem) for problem in found.problems]
        write_json(options.json, {**document, "epochs": rows, "problems": problems})
    if options.figures is not None:
        for path in write_figures(first, options.figures):
            console.print(f"figure: {path}", markup=False, soft_wrap=True)
    return int(exceeds(document, options.fail_on))


def with_proofs(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The findings with what trying their remedies showed, where the folder is that of a run which tried them."""
    from preflight.telemetry.store import FINDINGS, read_json

    path = folder / FINDINGS
    known = {item["code"]: item["proof"] for item in read_json(path)["findings"]} if path.exists() else {}
    findings = [{**item, "proof": known.get(item["code"], item["proof"])} for item in document["findings"]]
    return {**document, "findings": findings}


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
