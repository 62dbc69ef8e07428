"""`preflight +model=NAME`: a whole run."""

from __future__ import annotations

import os
import sys

from preflight.cli.arguments import overrides_of, tune_parser
from preflight.core.errors import ConfigFileError, Interrupted, PreflightError


def tune(arguments: list[str]) -> int:
    """Run all stages and show the result; returns the exit code."""
    options = overrides_of(tune_parser(), arguments)
    # Deterministic matrix products on CUDA need this before the library is loaded.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from preflight.cli.findings import show_findings
    from preflight.cli.tables import show_answer, show_inspection, show_result, show_stopped
    from preflight.cli.terminal import Terminal, make_console
    from preflight.core.settings import load

    settings = load(options.overrides, options.config_dir, options.allow)
    from preflight.search.engines.preload import start_early

    if settings.workers != 1:
        start_early()
    from preflight.pipeline.flight import fly, prepare
    from preflight.telemetry.recording import Run

    console = make_console()
    terminal = Terminal(console)
    flight = prepare(settings, terminal)
    console.print(f"preflight {settings.model.name} on {flight.task.device}: {flight.run_dir}", markup=False)
    show_inspection(console, flight.inspection.as_dict())
    try:
        fly(flight)
        show_result(console, Run.open(flight.run_dir))
    except Interrupted:
        show_stopped(console, Run.open(flight.run_dir))
        raise
    except KeyboardInterrupt:  # while the last files were written
        raise Interrupted(f"stopped; what was finished is in {flight.run_dir}") from None
    except PreflightError:
        if flight.diagnosis is not None:  # why nothing could be trained, most of all
            show_findings(console, flight.diagnosis.as_dict())
        if flight.recommendation is not None:  # the answer must not be lost with a file
            metric, length = settings.model.metric, flight.inspection.today.length
            show_answer(console, flight.recommendation, "" if metric is None else metric.name, length.horizon_steps)
        print(f"preflight: the run ended early; see {flight.run_dir}", file=sys.stderr)
        raise
    if flight.written is not None and flight.written.problem:
        raise ConfigFileError(f"not written: {flight.written.problem}")
    return 0
