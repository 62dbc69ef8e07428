"""B3: does preflight name what is wrong, and stay silent when nothing is? `python -m benchmarks.diagnosis [--quick]`.

Faulty programs and healthy ones are run as preflight runs a task, on seeds that are fixed, and the rules that are
registered are asked. Programs are split by a hash of their names; details of the judged half are shown on request.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks import scores
from benchmarks.harness import SEEDS, judge
from benchmarks.program import ALL, HELD_OUT, OPTIMIZERS, TRAIN, Program
from benchmarks.scores import PUBLISHED, Shares, shares
from benchmarks.suite import PROGRAMS, program
from benchmarks.verdict import Verdict, as_dict
from preflight.telemetry.store import write_json

RESULTS = Path(__file__).parent / "results" / "diagnosis.json"
QUICK = 9
"""A quick run takes about one program in so many."""
WIDTHS = (38, 7, 6, 6, 6, 6, 12, 8, 6)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 where nothing broke."""
    options = _options(arguments)
    chosen = options.chosen
    started = time.perf_counter()
    verdicts = list(_judged(chosen, options))
    report = summary(verdicts, options.split, options.reveal)
    report |= {
        "quick": options.quick,
        "recordings_kept": options.runs is not None,
        "split": options.split,
        "minutes": (time.perf_counter() - started) / 60,
    }
    print("\n".join(text(report)))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, report)
    return int(any(item.broken for item in verdicts))


def select(split: str, only: str, every: int) -> list[Program]:
    """Programs of a split whose name holds ``only``, about one in ``every``."""
    return [item for item in PROGRAMS if item.is_in(split) and only in item.name and item.is_sampled(every)]


def _judged(chosen: Sequence[Program], options: argparse.Namespace) -> Iterator[Verdict]:
    names = [item.name for item in chosen]
    if options.workers == 1:
        _one_thread()
        found: Iterator[Verdict] = (_judge(name, options.runs) for name in names)
    else:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(options.workers, context, _one_thread)
        found = pool.map(_judge, names, [options.runs] * len(names))
    for number, verdict in enumerate(found, 1):
        if sys.stderr.isatty():
            print(f"\r{number}/{len(names)} {verdict.name:60.60}", end="", file=sys.stderr, flush=True)
        yield verdict


def _one_thread() -> None:
    torch.set_num_threads(1)


def _judge(name: str, runs: Path | None) -> Verdict:
    return judge(program(name), runs)


def summary(verdicts: Sequence[Verdict], split: str, reveal: bool = False) -> dict[str, Any]:
    """Everything that the table and the JSON show.

    What was said of single programs of the held-out half is kept to itself unless ``reveal`` is given, so that nobody
    tunes a rule by it.
    """
    faulty = [item for item in verdicts if item.expected]
    candidates = [item for item in verdicts if not item.expected]
    healthy = scores.verified(candidates)
    halves = {half: _half(half, faulty, healthy) for half in (TRAIN, HELD_OUT, ALL)}
    judged = HELD_OUT if split == ALL else split
    shown = [item for item in (*faulty, *healthy) if reveal or item.split == TRAIN]
    return {
        "targets": [*scores.targets(halves[judged], judged), scores.evidence_target(verdicts)],
        "totals": scores.as_rows({half: found for half, found in halves.items() if found.faulty or found.healthy}),
        "families": scores.as_rows(scores.by_family(faulty, healthy)),
        "rules": scores.by_rule(
            [item for item in faulty if item in shown], [item for item in healthy if item in shown]
        ),
        "healthy_candidates": len(candidates),
        "healthy_matrix": scores.healthy_matrix(healthy, tuple(OPTIMIZERS)),
        "seeds": len(SEEDS),
        "published": [
            {
                "name": name,
                "detected": detected,
                "named": named,
                "alarmed": alarmed,
                "data": "published, other programs",
            }
            for name, detected, named, alarmed in PUBLISHED
        ],
        "missed": [_line(item) for item in faulty if item in shown and not item.is_named],
        "false_alarms": [_line(item) for item in healthy if item in shown and item.is_detected],
        "not_repaired": [
            f"{item.name}: {item.repair.code} with {dict(item.repair.settings)} goes {item.repair.way:.0%} of the way"
            for item in faulty
            if item in shown and item.repair is not None and item.repair.way < scores.REPAIRED
        ],
        "strays": [
            f"{item.name} wants {' or '.join(item.expected)}: {', '.join(item.strays)}"
            for item in faulty
            if item in shown and item.strays
        ],
        "broken": [f"{item.name}: {item.broken}" for item in verdicts if item.broken],
        "programs": [as_dict(item) for item in shown],
    }


def _half(half: str, faulty: Sequence[Verdict], healthy: Sequence[Verdict]) -> Shares:
    def inside(items: Sequence[Verdict]) -> list[Verdict]:
        return [item for item in items if half in (ALL, item.split)]

    return shares(inside(faulty), inside(healthy))


def _line(item: Verdict) -> str:
    wanted = f" wants {' or '.join(item.expected)}" if item.expected else ""
    said = "; ".join(f"{said.code} {said.severity}: {said.message}" for said in item.alarms[:3])
    return f"{item.name}{wanted}: {item.stopped or said or 'nothing found'}"


def text(report: dict[str, Any]) -> list[str]:
    """The table, and what went wrong, as lines."""
    head = ("", "faulty", "found", "first", "any", "strays", "repaired", "healthy", "alarms")
    lines = ["", _row(head)]
    lines += [_row(_cells(row)) for row in (*report["families"], *report["totals"])]
    lines += ["", _row(("published, on other programs", "", "found", "first", "", "", "", "", "alarms"))]
    for row in report["published"]:
        figures = (_number(row["detected"]), _number(row["named"]), "", "", "", "", _number(row["alarmed"]))
        lines.append(_row((row["name"], "", *figures)))
    for title in ("missed", "false_alarms", "not_repaired", "strays", "broken"):
        lines += ["", f"{title.replace('_', ' ')}: {len(report[title])}", *(f"  {line}" for line in report[title])]
    lines += ["", *_matrix(report), "", f"{report['healthy_candidates']} healthy candidates"]
    for target in report["targets"]:
        answer = {True: "holds", False: "does not hold", None: "not measured"}[target["holds"]]
        lines.append(f"{target['name']}: {_number(target['value'])} (target {target['target']}): {answer}")
    return lines


def _matrix(report: dict[str, Any]) -> list[str]:
    """False alarms of healthy runs by architecture and optimizer."""
    head = f"false alarms of healthy runs, {report['seeds']} seeds each"
    lines = [f"{head:<48}" + "".join(f"{name:>10}" for name in OPTIMIZERS)]
    for row in report["healthy_matrix"]:
        cells = (f"{row[name]['alarms']} of {row[name]['healthy']}" if name in row else "-" for name in OPTIMIZERS)
        lines.append(f"{row['architecture']:<48}" + "".join(f"{cell:>10}" for cell in cells))
    return lines


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    repaired = f"{_number(row['repaired'])} of {row['tried']}" if row["tried"] else "-"
    figures = (_number(row[name]) for name in ("detected", "named", "mentioned", "strayed"))
    return (row["name"], str(row["faulty"]), *figures, repaired, str(row["healthy"]), _number(row["alarmed"]))


def _row(cells: Sequence[str]) -> str:
    first, *rest = (
        cell.ljust(width) if not index else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return " ".join((first, *rest)).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 0.1 else f"{value:.2f}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"about one program in {QUICK}")
    parser.add_argument("--split", choices=(TRAIN, HELD_OUT, ALL), default=ALL)
    parser.add_argument("--only", default="", help="programs whose name holds this")
    parser.add_argument("--reveal", action="store_true", help="show single programs of the held-out half too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--runs",
        type=Path,
        help="keep the recordings here, and judge those that are there again, by the programs' names: after a change "
        "of a probe or a program give an empty folder",
    )
    parser.add_argument("--out", type=Path, help=f"where to write the JSON; default: {RESULTS.name} for a whole run")
    options = parser.parse_args(arguments)
    _check(parser, options)
    if options.out is None and not (options.quick or options.only or options.split != ALL):
        options.out = RESULTS
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a message, and code 2, on what would fail after hours or measure nothing."""
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    if options.out is not None and options.out.is_dir():
        parser.error(f"--out must be a file, got the folder {options.out}")
    for name, folder in (("--out", options.out and options.out.parent), ("--runs", options.runs)):
        if folder is not None and not _can_be_folder(folder):
            parser.error(f"{name} must be in a folder that can be written to, got {folder}")
    options.chosen = select(options.split, options.only, QUICK if options.quick else 1)
    if not options.chosen:
        bases = ", ".join(sorted({item.base for item in PROGRAMS}))
        quick = ", --quick" if options.quick else ""
        parser.error(
            f"--only must be part of a program's name, got {options.only!r}, which fits none of --split {options.split}"
            f"{quick}; names begin with {bases}"
        )


def _can_be_folder(path: Path) -> bool:
    """Whether it is a folder that can be written to, or can be made one."""
    there = next(item for item in (path, *path.absolute().parents) if item.exists())
    return there.is_dir() and os.access(there, os.W_OK)


if __name__ == "__main__":
    sys.exit(main())
