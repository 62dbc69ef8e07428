"""`preflight verify config_fixed.yaml`: train with the written file and compare with what the run recorded."""

from __future__ import annotations

import os
from pathlib import Path

from preflight.cli.arguments import Parser


def verify(arguments: list[str]) -> int:
    """Returns 0 if the file's own values give the recorded score again; raises NotReproducedError otherwise."""
    parser = Parser(
        prog="preflight verify",
        description="Trains with the settings that a corrected config holds, and compares with the recorded score.",
    )
    parser.add_argument("config", type=Path, help="the file that preflight wrote")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        help="its run directory; default: found in the file's folder, the current folder, or runs/ of either",
    )
    parser.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="as for the run itself")
    options = parser.parse_args(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from preflight.cli.terminal import Terminal, make_console
    from preflight.pipeline.verification import verify_config

    console = make_console()
    result = verify_config(options.config, options.run, options.allow, Terminal(console))
    for name, value in result.added.items():
        console.print(f"with {name}={value} as recommended, which is not in the file", markup=False)
    for seed, recorded in result.recorded.items():
        console.print(f"seed {seed}: score {result.measured[seed]:.6g}, recorded {recorded:.6g}", markup=False)
    console.print(result.sentence, style="bold", markup=False)
    return 0
