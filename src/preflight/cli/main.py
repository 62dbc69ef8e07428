"""`preflight`: picks the command, and turns every foreseen error into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from preflight import __version__
from preflight.cli.stopping import stoppable
from preflight.core.errors import Interrupted, PreflightError

COMMANDS = ("report", "tune", "verify")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Hydra refuses bare words, so commands are split off before it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("--version", "-V"):
        print(f"preflight {__version__}")
        return 0
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # a name that does not import is an error of ours
    name = given.pop(0) if given and given[0] in COMMANDS else "tune"
    with stoppable() as stop:
        try:
            return _command(name)(given)
        except KeyboardInterrupt:
            print("preflight: stopped", file=sys.stderr)
            return stop.exit_code
        except PreflightError as error:
            print(f"preflight: {error}", file=sys.stderr)
            return stop.exit_code if isinstance(error, Interrupted) else error.exit_code


def _command(name: str) -> Callable[[list[str]], int]:
    """Import only what the command needs: help must not wait for torch."""
    if name == "report":
        from preflight.cli.report import report  # noqa: PLC0415

        return report
    if name == "verify":
        from preflight.cli.verify import verify  # noqa: PLC0415

        return verify
    from preflight.cli.tune import tune  # noqa: PLC0415

    return tune


if __name__ == "__main__":
    sys.exit(main())
