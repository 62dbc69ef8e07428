"""B2: is the config that preflight writes better, and does it say so truthfully? `python -m benchmarks.whole_config`.

Every start, at settings that train well or with one thing wrong, is given to preflight (`budget=quick`), then to a
random search, Optuna's TPE and a grid at equal steps. What each recommends is trained to the horizon on fresh seeds,
beside today's settings and those known to be good. The best rates come from B1's results. `--runs DIR` keeps what was
trained; what is there is not trained again. Results are written by runs of all starts, or added by `--only`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.calibration import Claim, draw
from benchmarks.lr_choice import RESULTS as TRUTH
from benchmarks.lr_peers.ours import steps_of
from benchmarks.measuring import measuring
from benchmarks.whole_peers import PEERS, Question
from benchmarks.whole_setup import Setup, set_up, settings_of
from benchmarks.whole_starts import STARTS, Start
from benchmarks.whole_verdict import covers, judge, rank_correlation, targets
from preflight.advise.evidence import Effect, effect, percent
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.params import Params
from preflight.core.settings import Settings
from preflight.pipeline.audience import Nobody
from preflight.pipeline.flight import fly, prepare
from preflight.telemetry import store
from preflight.telemetry.recording import Recording, Run
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import COMPLETED, PRUNED, WORST_SCORE

RESULTS = Path(__file__).parent / "results" / "whole_config.json"
OURS, TODAY, KNOWN = "preflight", "today's settings", "known to be good"
FIRST_SEED = 9001  # of the runs that judge; preflight counts its own from the run's seed
SEEDS, QUICK_SEEDS = 5, 3
RANKED, RANKED_SEEDS = 8, 2
QUICK = 4  # every so many starts


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 0 where all targets hold."""
    options = _options(arguments)
    found: dict[str, dict[str, Any]] = {}
    with measuring(options.runs) as folder:
        for number, start in enumerate(STARTS):
            if start.name in options.only:
                found[start.name] = _measured(start, folder / f"{number:02d}", options)
                print("\n".join(_text(start.name, found[start.name])), flush=True)
    rows = targets(found, OURS)
    print("\n".join(f"{'holds' if row['holds'] else 'MISSED':7s}{_target(row)}" for row in rows))
    print("\n".join(_beside(found)))
    if not options.quick:
        _write(found)
    return int(not all(row["holds"] for row in rows))


def _measured(start: Start, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Of one start, from the file that is kept or by running everything."""
    kept = store.create_folder(folder) / "result.json"
    if kept.is_file():
        return dict(store.read_json(kept))
    best_lr = float(_truth(start)["fine_best_lr"])
    settings = settings_of(start, best_lr, f"seed={options.seed}", f"run_dir={folder / 'run'}")
    run = _flown(settings, folder / "run")
    answer = Recommendation.from_dict(store.read_json(run.folder / store.RECOMMENDATION))
    setup, steps = set_up(settings), steps_of(run)
    chosen = {OURS: answer.recommended}
    for name, peer in PEERS.items():
        question = Question(setup, setup.lab(folder / name.replace(" ", "-")), steps, options.seed)
        chosen[name] = peer(question)
    result = {
        **_contest(start, setup, chosen, best_lr, folder, QUICK_SEEDS if options.quick else SEEDS),
        "fault": start.fault,
        "steps": steps,
        "decision": answer.decision,
        "settings": {name: {tool: item.flat().get(name) for tool, item in chosen.items()} for name in _names(chosen)},
        "codes": [item["code"] for item in store.read_json(run.folder / store.FINDINGS)["findings"]],
        "rank_correlation": _ranked(run, setup, folder),
        "claimed": None if answer.gain is None or answer.decision != CHANGE else asdict(answer.gain),
    }
    claim = claim_of(result)
    result["covered"] = None if claim is None else claim.held
    store.write_json(kept, result)
    return result


def _flown(settings: Settings, folder: Path) -> Run:
    if not (folder / store.RECOMMENDATION).is_file():
        fly(prepare(settings, Nobody()))
    return Run.open(folder)


def _names(chosen: Mapping[str, Params]) -> list[str]:
    """Settings that differ between any two of them."""
    flats = [params.flat() for params in chosen.values()]
    return [name for name in flats[0] if len({str(flat.get(name)) for flat in flats}) > 1]


def _contest(
    start: Start, setup: Setup, chosen: Mapping[str, Params], best_lr: float, folder: Path, seeds: int
) -> dict[str, Any]:
    """Scores by seed of runs to the horizon, and what they say."""
    today = setup.inspection.today.params
    entries = {TODAY: today, KNOWN: today.with_values(start.known_good(best_lr)), **chosen}
    lab = setup.lab(folder / "contest")
    known: dict[object, dict[int, float]] = {}
    for params in entries.values():
        if params.key() not in known:
            known[params.key()] = _trained(lab, params, seeds, len(known) * seeds, start.task.horizon_steps)
    scores = {name: known[params.key()] for name, params in entries.items()}
    return {"scores": scores, "verdict": judge(start.fault, scores, tuple(chosen), TODAY)}


def _trained(lab: Lab, params: Params, seeds: int, first: int, steps: int) -> dict[int, float]:
    numbers = range(FIRST_SEED, FIRST_SEED + seeds)
    specs = [TrialSpec("contest", first + index, params, seed, steps, 1) for index, seed in enumerate(numbers)]
    return {spec.seed: lab.run(spec).confirmed for spec in specs}


def _ranked(run: Run, setup: Setup, folder: Path) -> float | None:
    """Rank correlation of explored trials, evenly over their ranks, and of the same settings over the whole run.

    A trial that was given up is run to its end for that: among those that were left alone are hardly any bad ones.
    """
    explored = {item.params.key(): item for item in run.recordings("explore")}
    trials = [(_whole_trial(item, setup, folder / "trials"), item.params) for item in explored.values()]
    trials.sort(key=lambda trial: trial[0])
    picked = trials if len(trials) <= RANKED else [trials[at] for at in _evenly(len(trials), RANKED)]
    lab, horizon = setup.lab(folder / "ranked"), setup.inspection.today.length.horizon_steps
    pairs = []
    for index, (score, params) in enumerate(picked):
        found = _trained(lab, params, RANKED_SEEDS, index * RANKED_SEEDS, horizon)
        pairs.append((score, statistics.fmean(min(value, WORST_SCORE) for value in found.values())))
    return rank_correlation(pairs)


def _evenly(length: int, count: int) -> list[int]:
    return [round(index * (length - 1) / (count - 1)) for index in range(count)]


def _whole_trial(trial: Recording, setup: Setup, folder: Path) -> float:
    """Score of an explored trial that nobody gave up; the worst one where it was lost."""
    if trial.status == COMPLETED:
        return min(float(trial.info["score"]), WORST_SCORE)
    if trial.status != PRUNED:
        return WORST_SCORE
    index = int(trial.info["index"])
    spec = TrialSpec("trial", index, trial.params, trial.seed, setup.settings.budget.trial_steps, 1)
    return setup.lab(folder).run(spec).penalized


def claim_of(result: Mapping[str, Any]) -> Claim | None:
    """What preflight claimed of a start beside what was realised; None where it claimed nothing."""
    if result["claimed"] is None:
        return None
    claimed, realised = Effect(**result["claimed"]), effect(result["scores"][TODAY], result["scores"][OURS])
    return Claim(claimed, realised, covers(claimed, realised))


def _truth(start: Start) -> Mapping[str, Any]:
    tasks = store.read_json(TRUTH)["tasks"] if TRUTH.is_file() else {}
    if start.task.name not in tasks:
        raise SystemExit(f"{TRUTH} has no {start.task.name}: run python -m benchmarks.lr_choice first")
    return dict(tasks[start.task.name])


def _text(name: str, result: Mapping[str, Any]) -> list[str]:
    lines = [f"{name} ({result['fault'] or 'healthy'}): {result['decision']}, {result['steps']} steps"]
    for entry, scores in result["scores"].items():
        ordered = sorted(scores.values())
        found = result["verdict"]["tools"].get(entry)
        words = "" if found is None else f"  {percent(found['way'])} of the way{', WORSE' * found['worse']}"
        lines.append(f"  {entry:18s} {ordered[len(ordered) // 2]:8.4g} ({ordered[0]:.4g} to {ordered[-1]:.4g}){words}")
    rank = "-" if result["rank_correlation"] is None else f"{result['rank_correlation']:.2f}"
    claimed = "" if result["claimed"] is None else f", claimed {Effect(**result['claimed']).interval}"
    return [*lines, f"  rank correlation {rank}{claimed}, covered {result['covered']}"]


def _beside(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every tool's repaired and worsened starts."""
    lines = []
    for tool in (OURS, *PEERS):
        judged = [(item["fault"], item["verdict"]["tools"][tool]) for item in found.values()]
        repaired = [item["repaired"] for fault, item in judged if fault]
        worse = [item["worse"] for fault, item in judged if not fault]
        lines.append(f"{tool:16s} repaired {sum(repaired)} of {len(repaired)}, worse {sum(worse)} of {len(worse)}")
    return lines


def _target(row: Mapping[str, Any]) -> str:
    value = "nothing measured" if row["value"] is None else f"{row['value']:.3g}"
    return f"{row['name']}: {value}, target {row['target']}"


def _write(found: Mapping[str, Any]) -> None:
    """Starts that were not run keep their figures."""
    kept = store.read_json(RESULTS)["starts"] if RESULTS.is_file() else {}
    starts = {item.name: {**kept, **found}[item.name] for item in STARTS if item.name in {**kept, **found}}
    store.write_json(RESULTS, {"starts": starts, "targets": targets(starts, OURS)})
    draw([claim for claim in map(claim_of, starts.values()) if claim is not None])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = tuple(start.name for start in STARTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_config", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK}th start, fewer seeds")
    parser.add_argument("--only", nargs="+", choices=names, metavar="START", help=f"of {', '.join(names)}")
    parser.add_argument("--seed", type=int, default=0, help="seed of preflight and of the searches")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and take what is there")
    options = parser.parse_args(arguments)
    options.only = options.only or (names[::QUICK] if options.quick else names)
    return options


if __name__ == "__main__":
    sys.exit(main())
