"""Argument parsing with errors in preflight's own form."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from preflight import __version__
from preflight.core.catalog import models_in, packaged_conf, sweeps_in
from preflight.core.errors import ConfigError

WIDTH = 118
EXIT_CODES = """\
exit codes:
  0    done: a config was written, or the answer is to keep yours or that it cannot be told
  1    something preflight did not foresee; inspect, analyze and audit: findings, where --fail-on asks for it
  2    bad input: a key, a value, a file, a module
  3    no trial ended with a score
  4    verify: the written config did not reproduce its score
  130  stopped by Ctrl-C; finished trials and a partial report stay
  143  stopped by SIGTERM (timeout, a cluster, docker stop); the same stays"""
KEYS = """\
keys, as key=value (default):
  seed (0)          of everything random; the same seed on the same device gives the same run
  device (auto)     cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
  threads (1)       of PyTorch on the CPU, in each process
  workers (auto)    processes that train; auto is one per core on the CPU, one on a GPU. With 2 or more, what kills
                    a trial's process is that trial's outcome; with 1, trials run in the command's own process
  run_dir           where everything is kept, a new or empty folder (runs/MODEL-DATE)
  output            the corrected config (config_fixed.yaml beside your file and in run_dir)
  overwrite (false) whether an existing output may be replaced
  space.*  budget.*  model.*  any key inside these"""
EXAMPLES = """\
examples:
  preflight +model=digits
  preflight +model=digits budget=smoke run_dir=runs/first
  preflight +model=digits space.lr.low=1e-5 budget.trials=40 'space.extras.dropout={low: 0.0, high: 0.3}'
  preflight --config-dir conf +model=mine budget=thorough seed=1
  preflight inspect +model=giblet model.checkpoint=ck.pt --samples 200 --loss-batches 8 --report report.html
  preflight verify config_fixed.yaml
  optuna-dashboard sqlite:///runs/first/study.db"""
ALLOWED_HELP = (
    "let the config import from this package too; allowed without it: preflight.scenarios, "
    "preflight.tasks.metrics, preflight.tasks.normalizer, torch.nn, torch.optim, torch.utils.data, and your own "
    "modules in the current folder and in the folder that holds DIR"
)


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing usage, and whose help ends with the exit codes."""

    def __init__(self, prog: str, description: str, *, usage: str | None = None, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=f"{epilog}{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise :class:`ConfigError`, which ends the command with exit code 2."""
        raise ConfigError(f"{message}; see preflight --help")


def inspect_parser() -> Parser:
    """Arguments of `preflight inspect +model=NAME`."""
    parser = Parser(
        prog="preflight inspect",
        description="Looks at data, model, losses and schedule, and names what is wrong; trains no trial and writes\n"
        "no run directory. With model.checkpoint=FILE all is measured at the weights that torch.save wrote there.",
    )
    parser.add_argument(
        "--samples", type=amount, metavar="N", help="training samples that fields and statistics are judged over"
    )
    parser.add_argument(
        "--loss-batches",
        type=amount,
        metavar="N",
        help="batches of training data that losses, gradient norms, shares and cosines are measured on",
    )
    parser.add_argument("--report", type=writable, metavar="FILE", help="write one HTML page of all of it")
    return _with_model(parser)


def amount(text: str) -> int:
    """A whole number from 1 on."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1, got {text!r}; leave it out for as many as tell enough"
        )
    return value


def writable(text: str) -> Path:
    """A path that a file can be written to: to learn that it cannot after minutes of work is late."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: it is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be written: no permission to write in {path.parent}")
    return path


def overrides_of(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    """Parsed arguments; raises :class:`ConfigError` for a bare word, which Hydra would refuse in its own words."""
    options = parser.parse_intermixed_args(arguments)
    for override in options.overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"'{override}' is not of the form key=value; see preflight --help")
    return options


def tune_parser() -> Parser:
    """Arguments of `preflight +model=NAME`."""
    parser = Parser(
        prog="preflight",
        usage="preflight +model=NAME [key=value ...] [--config-dir DIR] [--allow PACKAGE]\n"
        "       preflight verify config_fixed.yaml [--run DIR]    train with the written file: is its score repeated?\n"
        "       preflight inspect +model=NAME [key=value ...]     look and diagnose, without training\n"
        "       preflight analyze DIR                             judge recorded gradient norms, of any tool\n"
        "       preflight audit --history FILE --log FILE         judge saved metrics and a console log\n"
        "       preflight rules [CODE]                            what is looked for, and how\n"
        "       preflight report RUN_DIR                          make the report again, without training",
        description="Finds settings that train better than today's, proves them on fresh seeds, and writes the\n"
        "corrected config beside your own, which stays as it is.",
        epilog=_epilog(),
    )
    parser.add_argument("-V", "--version", action="version", version=f"preflight {__version__}")
    return _with_model(parser)


def _with_model(parser: Parser) -> Parser:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="+model=NAME and any key of the config")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder of your own that holds model/NAME.yaml",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PACKAGE",
        help=ALLOWED_HELP,
    )
    return parser


def _epilog() -> str:
    return "\n".join(
        [
            *textwrap.wrap(
                f"models, as +model=NAME: {', '.join(sorted(models_in([packaged_conf()])))}, and yours in "
                "--config-dir DIR",
                WIDTH,
                subsequent_indent="  ",
                break_on_hyphens=False,
            ),
            "",
            "how long to search (budget=quick by default) and over what:",
            _options("budget=", sweeps_in("budget")),
            _options("space=", sweeps_in("space")),
            "",
            KEYS,
            "",
            EXAMPLES,
            "",
            "",
        ]
    )


def _options(prefix: str, options: Mapping[str, str]) -> str:
    return "\n".join(f"  {prefix + name:<18}{comment}" for name, comment in options.items())
