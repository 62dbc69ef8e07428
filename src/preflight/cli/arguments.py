"""Argument parsing with errors in preflight's own form."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from preflight import __version__
from preflight.core.catalog import models_in, packaged_conf, sweeps_in
from preflight.core.errors import ConfigError

EXIT_CODES = """\
exit codes:
  0    done: a config was written, or "keep your config"
  1    something preflight did not foresee
  2    bad input: a key, a value, a file, a module
  3    no trial ended with a score
  4    verify: the written config did not reproduce its score
  130  stopped by Ctrl-C; finished trials and a partial report stay"""


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing usage."""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`ConfigError`, which ends the command with exit code 2."""
        raise ConfigError(f"{message}; see preflight --help")


def tune_parser() -> Parser:
    """Arguments of `preflight +model=NAME`."""
    parser = Parser(
        prog="preflight",
        allow_abbrev=False,
        usage="preflight +model=NAME [key=value ...] [--config-dir DIR] [--allow PREFIX]\n"
        "       preflight verify config_fixed.yaml [--run DIR]\n"
        "       preflight report RUN_DIR",
        description="Finds settings that train better than today's, proves them on fresh seeds, and writes the "
        "corrected config beside your own.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="+model=NAME and any key of the config")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder that holds model/NAME.yaml",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PREFIX",
        help="let the config import from this package, besides preflight's own models and metrics, torch.nn, "
        "torch.optim, torch.utils.data and the modules in the current folder and beside DIR",
    )
    parser.add_argument("-V", "--version", action="version", version=f"preflight {__version__}")
    return parser


def _epilog() -> str:
    return "\n".join(
        [
            f"models: {', '.join(sorted(models_in([packaged_conf()])))}, and yours in --config-dir DIR",
            "",
            _options("budget=", sweeps_in("budget")),
            "",
            _options("space=", sweeps_in("space")),
            "",
            "keys (defaults): seed (0)  device (auto)  threads (1)  workers (auto)  run_dir (runs/MODEL-DATE)",
            "  output (config_fixed.yaml beside your file)  overwrite (false)  space.*  budget.*  model.*",
            "  e.g. space.lr.low=1e-5 budget.trials=40 'space.extras.dropout={low: 0.0, high: 0.3}'",
            "",
            EXIT_CODES,
        ]
    )


def _options(prefix: str, options: Mapping[str, str]) -> str:
    return "\n".join(f"  {prefix + name:<18}{comment}" for name, comment in options.items())
