"""Options of the commands that judge what exists already."""

from __future__ import annotations

from preflight.cli.arguments import Parser, writable
from preflight.core.finding import SEVERITIES


def add_judging_options(parser: Parser) -> None:
    """``--all``, ``--json`` and ``--fail-on``."""
    parser.add_argument("--all", action="store_true", help="show every rule's answer")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write findings and answers there too")
    parser.add_argument(
        "--fail-on",
        metavar="SEVERITY",
        choices=SEVERITIES,
        help="error, warning or note: end with exit code 1 where there is a finding of that kind or a graver one",
    )
