"""`preflight report RUN_DIR`: make the report again, from the files alone."""

from __future__ import annotations

from pathlib import Path

from preflight.cli.arguments import Parser


def report(arguments: list[str]) -> int:
    """Write ``report.html`` into a run directory and show the run's tables."""
    parser = Parser(
        prog="preflight report",
        description="Makes report.html from a run directory and shows its tables; trains nothing.",
    )
    parser.add_argument("run_dir", type=Path, help="a folder in runs/, or what run_dir= gave")
    options = parser.parse_args(arguments)
    from preflight.cli.tables import show_result
    from preflight.cli.terminal import make_console
    from preflight.report.page import write_report
    from preflight.telemetry.recording import Run

    run = Run.open(options.run_dir)
    write_report(options.run_dir)
    show_result(make_console(), run)
    return 0
