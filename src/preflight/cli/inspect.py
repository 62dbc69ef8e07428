"""`preflight inspect +model=NAME`: what is wrong before anything is trained."""

from __future__ import annotations

import os

from preflight.cli.arguments import inspect_parser, overrides_of
from preflight.cli.options import add_judging_options


def inspect(arguments: list[str]) -> int:
    """Look at the task with every probe and ask the rules; returns the exit code."""
    parser = inspect_parser()
    add_judging_options(parser)
    options = overrides_of(parser, arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from preflight.cli.answers import exceeds, show_answers
    from preflight.cli.findings import show_findings
    from preflight.cli.tables import show_inspection
    from preflight.cli.terminal import make_console
    from preflight.core.settings import load
    from preflight.pipeline.diagnosis import look
    from preflight.pipeline.logbook import seen_by
    from preflight.report.inspected import looked_at, write_inspected
    from preflight.tasks.extent import Extent
    from preflight.telemetry import store

    settings = load(options.overrides, options.config_dir, options.allow)
    inspection, facts, diagnosis = look(settings, Extent(options.samples, options.loss_batches))
    console = make_console()
    seen, document = inspection.as_dict(), diagnosis.as_dict()
    show_inspection(console, seen)
    console.print(f"looked at {looked_at(seen, facts)}", markup=False, soft_wrap=True)
    show_findings(console, document)
    show_answers(console, document, everything=options.all)
    for name, problem in facts["failed"].items():
        console.print(f"not looked at: {name} ({problem})", markup=False, soft_wrap=True)
    if options.json is not None:
        store.write_json(options.json, {"facts": facts, **document})
    if options.report is not None:
        write_inspected(options.report, seen_by(settings), seen, facts, document)
        console.print(f"report: {options.report}", markup=False, soft_wrap=True)
    return int(exceeds(document, options.fail_on))
