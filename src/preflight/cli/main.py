"""`preflight`: picks the command, and turns every foreseen error into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from preflight import __version__
from preflight.cli.output import lasting_output
from preflight.cli.stopping import stoppable
from preflight.core.errors import Interrupted, PreflightError

COMMANDS = ("analyze", "audit", "inspect", "report", "rules", "tune", "verify")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Hydra refuses bare words, so commands are split off before it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("--version", "-V"):
        print(f"preflight {__version__}")
        return 0
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # a name that does not import is an error of ours
    name = given.pop(0) if given and given[0] in COMMANDS else "tune"
    with lasting_output(), stoppable() as stop:
        try:
            return _command(name)(given)
        except KeyboardInterrupt:
            print("preflight: stopped", file=sys.stderr)
            return stop.exit_code
        except PreflightError as error:
            print(f"preflight: {error}", file=sys.stderr)
            return stop.exit_code if isinstance(error, Interrupted) else error.exit_code


def _command(name: str) -> Callable[[list[str]], int]:
    """The function that the command's own module is named by; no other is imported, since help must not wait."""
    command: Callable[[list[str]], int] = getattr(import_module(f"preflight.cli.{name}"), name)
    return command


if __name__ == "__main__":
    sys.exit(main())
