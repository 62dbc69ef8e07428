"""The five field cases from one command to a config that trains: `python -m benchmarks.field_cases [--only NAME]`.

Each is run as a user runs it, `preflight +model=NAME budget=quick`, and so is its healthy twin. What it wrote is then
trained beside today's settings and its owner's own fixes, on seeds that no run has seen. `--pages` puts transcript,
diff, table and curves into the pages of `docs/cases`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.case_page import fill
from benchmarks.cases import CASES, Case
from benchmarks.contest import contest
from preflight.advise.evidence import percent
from preflight.advise.recommendation import CHANGE
from preflight.telemetry import store

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "field_cases.json"
PAGES = ROOT / "docs" / "cases"
NAMES = tuple(case.name for case in CASES)
WRITTEN = "config_fixed.yaml"
COLUMNS = "100"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 where every case was named, mended and its healthy twin left alone."""
    options = _options(arguments)
    kept = store.read_json(RESULTS)["cases"] if RESULTS.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.runs or Path(scratch)
        found = {
            case.name: _case(case, folder / case.name, options.seeds) for case in CASES if case.name in options.only
        }
    for name, result in found.items():
        print("\n".join(_text(name, result)))
        if options.pages:
            fill(PAGES, name, result)
    cases = {name: {**kept, **found}[name] for name in NAMES if name in {**kept, **found}}
    targets = [_target(case, cases[case.name]) for case in CASES if case.name in cases]
    store.write_json(RESULTS, {"cases": cases, "targets": targets})
    return int(not all(target["holds"] for target in targets if target["name"] in found))


def _case(case: Case, folder: Path, seeds: int) -> dict[str, Any]:
    flight, twin = folder / "run", folder / "healthy"
    ran, answer, findings = _flown(case.name, flight)
    healthy, left_alone, spoken = _flown(case.healthy, twin)
    contenders = contest(case, flight, folder / "contest", seeds)
    return {
        "decision": answer["decision"],
        "changes": {item["name"]: [item["old"], item["new"]] for item in answer["changes"]},
        "speeds": {item["name"]: item["speed"] for item in answer["changes"] if item["speed"] is not None},
        "findings": findings,
        "expected": list(case.expected),
        "seconds": ran["seconds"],
        "transcript": ran["text"],
        "diff": _diff(flight),
        "verify": _verified(flight) if answer["decision"] == CHANGE else "",
        "healthy": {"decision": left_alone["decision"], "findings": spoken, "seconds": healthy["seconds"]},
        "contenders": [asdict(item) for item in contenders],
        "steps": answer["steps"],
        "throughput": _fact(flight, "throughput"),
    }


def _flown(model: str, run_dir: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """A whole run by command, or the one that is kept: what it printed, its recommendation and its findings."""
    printed = run_dir.parent / f"{run_dir.name}.txt"
    if not printed.is_file():
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        text = _preflight(f"+model={model}", "budget=quick", f"run_dir={run_dir}", f"output={_written(run_dir)}")
        shown = text.replace(f"{_written(run_dir)}", WRITTEN).replace(f"{run_dir}", f"runs/{model}")
        printed.write_text(shown, encoding="utf-8")
    seconds = store.read_json(run_dir / store.RUN)["seconds"]
    answer = store.read_json(run_dir / store.RECOMMENDATION)
    findings = store.read_json(run_dir / store.FINDINGS)["findings"]
    text = printed.read_text(encoding="utf-8")
    return {"text": text, "seconds": seconds}, answer, [_named(item) for item in findings]


def _preflight(*arguments: str) -> str:
    environment = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "preflight", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _named(item: dict[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in ("code", "severity", "message")} | {"proof": item["proof"]["verdict"]}


def _written(run_dir: Path) -> Path:
    return run_dir.parent / f"{run_dir.name}_{WRITTEN}"


def _diff(run_dir: Path) -> str:
    """What was changed in the owner's file; empty where nothing was."""
    written, original = _written(run_dir), run_dir / store.ORIGINAL
    if not written.is_file():
        return ""
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (original, written))
    return "\n".join(difflib.unified_diff(before, after, "config.yaml", WRITTEN, n=1, lineterm=""))


def _verified(run_dir: Path) -> str:
    return _preflight("verify", str(_written(run_dir))).strip().splitlines()[-1]


def _fact(run_dir: Path, name: str) -> Any:
    return store.read_json(run_dir / store.FACTS).get(name)


def _target(case: Case, result: dict[str, Any]) -> dict[str, Any]:
    """Its cause first, everything that is expected named, a config that trains better or faster, a silent twin."""
    codes = [item["code"] for item in result["findings"]]
    ours = next((item for item in result["contenders"] if item["name"] == WRITTEN), None)
    loud = [item["code"] for item in result["healthy"]["findings"] if item["severity"] != "note"]
    value = {
        "cause first": codes[:1] == [case.expected[0]],
        "all named": set(case.expected) <= set(codes),
        "config better": (ours is not None and ours["effect"]["low"] > 0) or _is_faster(result["speeds"]),
        "twin silent": not loud and result["healthy"]["decision"] != CHANGE,
    }
    return {"name": case.name, "target": dict.fromkeys(value, True), "value": value, "holds": all(value.values())}


def _is_faster(speeds: dict[str, Any]) -> bool:
    return any(speed["low"] > 1 for speed in speeds.values())


def _text(name: str, result: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {result['decision']} after {result['seconds']:.0f} s; {result['verify']}"]
    lines += [f"  {item['code']} ({item['proof']}) {item['message']}" for item in result["findings"]]
    for item in result["contenders"]:
        scores = sorted(item["scores"].values())
        gain = "" if item["effect"] is None else f", {percent(item['effect']['gain'])} off"
        lines.append(f"  {item['name']:34s} {scores[len(scores) // 2]:.4g} ({scores[0]:.4g} to {scores[-1]:.4g}){gain}")
    twin = result["healthy"]
    spoken = ", ".join(item["code"] for item in twin["findings"]) or "nothing"
    return [*lines, f"  healthy twin: {twin['decision']}, {spoken} found, {twin['seconds']:.0f} s"]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field_cases", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", type=int, default=5, help="fresh seeds of every contender")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and take those that are there again")
    parser.add_argument("--pages", action="store_true", help=f"fill in the pages of {PAGES.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds must be at least 2, got {options.seeds}: one seed tells no noise")
    return options


if __name__ == "__main__":
    sys.exit(main())
