"""Do verdicts on the field cases depend on their details? `python -m benchmarks.field_grid [--only NAME] [--runs DIR]`.

Every case is run as a user runs it with other seeds, at other sizes and with a fault three times as large and a third
as large (`variations.py`): its cause has to come first and everything planted has to be named. Its healthy twin, with
the same seeds and sizes, has to be left alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.variations import GRIDS, KINDS, Variation
from preflight.advise.recommendation import CHANGE
from preflight.core.catalog import packaged_conf
from preflight.core.finding import NOTE
from preflight.telemetry import store

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "field_grid.json"
NAMES = tuple(case.name for case in CASES)
TWIN = "twin"


@dataclass(frozen=True)
class Cell:
    """A case or its healthy twin, varied in one way."""

    case: Case
    variation: Variation
    is_twin: bool = False

    @property
    def model(self) -> str:
        """Name of the model to run."""
        return self.case.healthy if self.is_twin else self.case.name

    @property
    def folder(self) -> str:
        """A name for its run directory."""
        return f"{self.model}-{self.variation.name}".replace(" ", "_").replace("/", "by")


@dataclass(frozen=True)
class Row:
    """What one run said: codes of its findings in order, those above a note, and its decision."""

    kind: str
    variation: str
    is_twin: bool
    codes: tuple[str, ...]
    loud: tuple[str, ...]
    decision: str
    seconds: float
    wrong: str
    """What is wrong with that, in words; empty where nothing is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 where no verdict changed."""
    options = _options(arguments)
    kept: dict[str, list[dict[str, Any]]] = store.read_json(RESULTS)["cases"] if RESULTS.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in (case for case in CASES if case.name in options.only):
            rows = []
            for cell in cells(case):
                rows.append(run(cell, options.runs or Path(scratch)))
                print(text(case.name, rows[-1]), flush=True)
            kept[case.name] = [asdict(row) for row in rows]
    cases = {name: kept[name] for name in NAMES if name in kept}
    found = [target for name, rows in cases.items() for target in targets(name, rows)]
    store.write_json(RESULTS, {"cases": cases, "targets": found})
    return int(not all(target["holds"] for target in found if target["name"].split(":")[0] in options.only))


def cells(case: Case) -> Iterator[Cell]:
    """Everything that is run of a case: all variations, and those of its twin that it can have."""
    yield from (Cell(case, item) for item in GRIDS[case.name].variations)
    yield from (Cell(case, item, is_twin=True) for item in GRIDS[case.name].variations if item.has_twin)


def run(cell: Cell, folder: Path) -> Row:
    """A whole run by command, or the one that is kept; one that was cut off is made anew."""
    run_dir = folder / cell.folder
    if not (run_dir / store.RECOMMENDATION).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(run_dir, ignore_errors=True)  # one that was cut off
        _preflight(f"+model={cell.model}", *overrides(cell, folder), f"run_dir={run_dir}")
    findings = store.read_json(run_dir / store.FINDINGS)["findings"]
    decision = store.read_json(run_dir / store.RECOMMENDATION)["decision"]
    codes = tuple(item["code"] for item in findings)
    loud = tuple(item["code"] for item in findings if item["severity"] != NOTE)
    wrong = wrong_with_twin(loud, decision) if cell.is_twin else wrong_with_case(cell.case, codes)
    seconds = store.read_json(run_dir / store.RUN)["seconds"]
    variation = cell.variation
    return Row(variation.kind, variation.name, cell.is_twin, codes, loud, decision, seconds, wrong)


def overrides(cell: Cell, folder: Path) -> list[str]:
    """Of the command line: the variation's, its budget, and the copy of the owner's file where that is edited."""
    written = [
        f"output={folder / cell.folder}.yaml",
        "overwrite=true",
        *GRIDS[cell.case.name].budget,
        *cell.variation.overrides,
    ]
    if not cell.variation.edits:
        return written
    original = packaged_conf() / "model" / "train" / f"{cell.model}.yaml"
    copy = folder / f"{cell.folder}-original.yaml"
    copy.write_text(edited(original.read_text(encoding="utf-8"), cell.variation), encoding="utf-8")
    return [*written, f"model.config={copy}"]


def edited(original: str, variation: Variation) -> str:
    """The owner's file with the variation's edits; raises ValueError for one that does not fit it exactly once."""
    for old, new in (variation.edits or {}).items():
        if original.count(old) != 1:
            raise ValueError(f"{variation.name}: {old!r} is in the file {original.count(old)} times")
        original = original.replace(old, new)
    return original


def wrong_with_case(case: Case, codes: Sequence[str]) -> str:
    """What is wrong with the findings of a case; empty where its cause comes first and all that is planted is named."""
    missing = [code for code in case.expected if code not in codes]
    if missing:
        return f"{', '.join(missing)} not named"
    return "" if codes[0] == case.expected[0] else f"{codes[0]} before {case.expected[0]}"


def wrong_with_twin(loud: Sequence[str], decision: str) -> str:
    """What is wrong with what was said of a healthy twin; empty where that is nothing."""
    if loud:
        return f"{', '.join(loud)} named"
    return "changed" if decision == CHANGE else ""


def targets(name: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each kind of variation, and for the twin: right verdicts of all."""
    found = []
    for part in (*KINDS, TWIN):
        own = [row for row in rows if (TWIN if row["is_twin"] else row["kind"]) == part]
        right = sum(not row["wrong"] for row in own)
        if own:
            found.append({"name": f"{name}: {part}", "target": len(own), "value": right, "holds": right == len(own)})
    return found


def text(name: str, row: Row) -> str:
    """A row of the table."""
    model = f"{name} {TWIN}" if row.is_twin else name
    said = " ".join(row.codes) or "-"
    verdict = f"WRONG: {row.wrong}" if row.wrong else "right"
    return f"{model:21s} {row.variation:23s} {row.seconds:5.0f} s  {row.decision:11s} {verdict:30s} {said}"


def _preflight(*arguments: str) -> None:
    command = [sys.executable, "-m", "preflight", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field_grid", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--runs", type=Path, help="keep the runs here, and take those that are there again")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
