"""`preflight audit --history H.json --log train.log`: judge the saved metrics and the console log of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from preflight.cli.arguments import Parser
from preflight.cli.options import add_judging_options
from preflight.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from preflight.telemetry.text_lines import Problem


def audit(arguments: list[str]) -> int:
    """Print what was read, findings and the other rules' answers; returns 1 where --fail-on asks for it."""
    options = audit_parser().parse_args(arguments)
    _check(options.history, options.log, options.pattern, options.classes)
    from preflight.advise.diagnosis import diagnose
    from preflight.cli.answers import exceeds, show_answers, show_problems
    from preflight.cli.findings import show_findings
    from preflight.cli.terminal import make_console
    from preflight.telemetry.recording import Recording
    from preflight.telemetry.store import write_json

    tables, problems, counts_rows = _read(options.history, options.log, options.pattern)
    facts = {} if options.classes is None else {"classes": options.classes}
    folder = (options.history or options.log).parent
    document = diagnose([Recording(folder, {}, facts, tables)]).as_dict()
    console = make_console()
    for name, frame in tables.items():
        counted = " (no epochs are told; rows are counted from 1)" if name in counts_rows else ""
        console.print(f"{name}: {described(frame)}{counted}", markup=False, soft_wrap=True)
    show_problems(console, problems)
    show_findings(console, document)
    show_answers(console, document, everything=options.all)
    if options.json is not None:
        write_json(options.json, {**document, "problems": [str(problem) for problem in problems]})
    return int(exceeds(document, options.fail_on))


def audit_parser() -> Parser:
    """Arguments of `preflight audit`."""
    parser = Parser(
        prog="preflight audit",
        description="Judges the metrics that a training saved and the log that it printed, each by itself and against\n"
        "each other; trains nothing. One of the two is enough.",
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="JSON (lists by name, or objects), JSON lines, trainer_state.json of Hugging Face, or CSV (Lightning)",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="what the training printed, progress bars and all")
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="how a line of the log shows its metrics, by named groups: epoch, step, split, and any metric; without it "
        "these are known: loss=9.16, loss: 18.5 (18.4), {'loss': 1.2}, and the progress bars of tqdm and Keras",
    )
    parser.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help="of a classifier: its loss is compared with ln N and its accuracy with 1 / N, those of guessing",
    )
    add_judging_options(parser)
    return parser


def described(frame: pd.DataFrame) -> str:
    """What was read of a file: ``15 rows: train_loss, val_loss``."""
    names = [str(name) for name in frame if name not in ("epoch", "step", "line")]
    return f"{len(frame)} {'row' if len(frame) == 1 else 'rows'}: {', '.join(names)}"


def _check(history: Path | None, log: Path | None, pattern: str | None, classes: int | None) -> None:
    if history is None and log is None:
        raise ConfigError("there is nothing to audit: give --history FILE, --log FILE or both")
    if pattern is not None and log is None:
        raise ConfigError(f"--pattern {pattern} is for a log: give --log FILE")
    if classes is not None and classes < 2:
        raise ConfigError(f"--classes must be at least 2, got {classes}")


def _read(
    history: Path | None, log: Path | None, pattern: str | None
) -> tuple[dict[str, pd.DataFrame], list[Problem], set[str]]:
    """Tables by name, what was not read, and the tables whose epochs are their rows."""
    from preflight.telemetry.console_log import read_console_log
    from preflight.telemetry.history import read_history

    tables: dict[str, pd.DataFrame] = {}
    problems: list[Problem] = []
    counts_rows: set[str] = set()
    if history is not None:
        saved = read_history(history)
        tables["history"], problems = saved.frame, [*problems, *saved.problems]
        counts_rows |= {"history"} if saved.counts_rows else set()
    if log is not None:
        printed = read_console_log(log, pattern)
        tables["log"], problems = printed.frame, [*problems, *printed.problems]
    return tables, problems, counts_rows
