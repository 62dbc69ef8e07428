"""Which sampler and which pruner should preflight explore with? `python -m benchmarks.samplers [--quick] [--runs DIR]`.

Starts of B2, each after its range stage, are explored by preflight's own driver with `budget=quick`: today's settings
and the ladder's hints first, then what a sampler proposes. Samplers get 20 trials beside today's pruner; pruners get
the steps of 20 whole trials, and what they save buys more of them. The two leading settings of each search, those that
preflight would confirm, are trained to the horizon on three fresh seeds; the better one counts. `--runs DIR` keeps all
that was trained and searched, and takes what is there; one process a task.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from benchmarks.lr_choice import RESULTS as TRUTH
from benchmarks.measuring import measuring
from benchmarks.sampler_ground import TRAINING_SEEDS, Ground, Replay, cell, ground
from benchmarks.sampler_methods import OUR_PRUNER, OUR_SAMPLER, PRUNERS, SAMPLERS
from benchmarks.sampler_page import lines
from benchmarks.sampler_verdict import CONSTANT, LEAST, best_so_far, summary, target, typical
from benchmarks.whole_starts import STARTS, Start
from preflight.advise.choose import leaders
from preflight.search.driver import Explored, explore
from preflight.telemetry import store
from preflight.trials.outcome import COMPLETED, PRUNED, WORST_SCORE

RESULTS = Path(__file__).parent / "results" / "samplers.json"
# Cheap ones of every kind: rates alone, raw inputs, a convolution net, loss weights; fixed before they were measured.
NAMES = (
    "digits_standardized_adam at twice its rate",
    "digits, SGD at 1/100",
    "digits, SGD, raw pixels",
    "mnist1d at 1/100",
    "two_losses at twice its rate",
    "two losses, one weighted by 1e4",
)
SEEDS, QUICK_SEEDS = 8, 2
DRAWS, DRAWS_SEED = 16, 99
SAMPLER, PRUNER = "sampler", "pruner"


class _Spent(Exception):  # noqa: N818  # an end, and no error
    """The next trial might not fit."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 0 where both targets hold."""
    options = _options(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[str, dict[str, Any]] = {}
    with measuring(options.runs) as folder:
        for start in (item for item in STARTS if item.name in options.only):
            found[start.name] = _measured(start, folder / str(STARTS.index(start)), options)
            print(f"{start.name}: {found[start.name]['trained_steps']} steps trained now", flush=True)
    tasks = found if options.quick else _with_kept(found)
    results = judged(tasks)
    print("\n".join(lines(results)))
    if not options.quick:
        store.write_json(RESULTS, {**results, "raw": tasks})
    return int(not all(row["holds"] for row in results["targets"]))


def _measured(start: Start, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every search of a start, and how what they chose ends."""
    place = ground(start, _best_lr(start), store.create_folder(folder))
    searches = [_kept(place, kind, name, seed, folder) for kind, name, seed in _asked(options)]
    ends: dict[str, float] = {}
    for changes in (changes for item in searches for changes in item["leading"]):
        if repr(changes) not in ends:
            ends[repr(changes)] = typical(place.at_the_end(place.today.with_values(changes)))
    known = typical(place.at_the_end(place.known_good))
    limit = _limit(place)
    return {
        "fault": start.fault,
        "limit_steps": limit,
        "sampler_seeds": options.seeds,
        "best": min(known, *ends.values()),
        "known_good": known,
        "today": typical(place.at_the_end(place.today)),
        "moved": moved(place),
        "searches": [_figures(item, limit, [ends[repr(changes)] for changes in item["leading"]]) for item in searches],
        "trained_steps": place.table.trained_steps,
    }


def _limit(place: Ground) -> int:
    """Steps of a search: those of all its trials, were none given up."""
    return place.setup.settings.budget.trials * place.setup.settings.budget.trial_steps


def _figures(item: Mapping[str, Any], limit: int, ends: Sequence[float]) -> dict[str, Any]:
    """What is kept of a search: how its leading settings end, and its best trial half way and at its end."""
    trials = item["trials"]
    return {
        **{key: item[key] for key in ("kind", "name", "seed", "leading", "steps", "proposals", "repeated")},
        "ends": ends,
        "trials": len(trials),
        "pruned": sum(trial["status"] == PRUNED for trial in trials),
        "best_half_way": min(WORST_SCORE, best_so_far(trials, limit // 2)),
        "best": min(WORST_SCORE, best_so_far(trials, limit)),
    }


def _asked(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    for seed in range(options.seeds):
        yield from ((SAMPLER, name, seed) for name in SAMPLERS)
        yield from ((PRUNER, name, seed) for name in PRUNERS)


def _kept(place: Ground, kind: str, name: str, seed: int, folder: Path) -> dict[str, Any]:
    path = store.create_folder(folder / "searches") / f"{kind}-{name}-{seed}.json".replace(" ", "_")
    if not path.is_file():
        store.write_json(path, search(place, kind, name, seed))
    return dict(store.read_json(path))


def search(place: Ground, kind: str, name: str, seed: int) -> dict[str, Any]:
    """One exploration: its trials, how many proposals were known already, and the settings that would be confirmed."""
    budget = place.setup.settings.budget
    limit = _limit(place)
    if kind == PRUNER:  # as many trials as the steps allow, and steps alone end it
        budget = replace(budget, trials=limit)
    study = optuna.create_study(
        study_name="samplers",  # hyperband sorts trials into brackets by it
        sampler=SAMPLERS[name if kind == SAMPLER else OUR_SAMPLER](seed),
        pruner=PRUNERS[name if kind == PRUNER else OUR_PRUNER](budget.trial_steps),
    )
    engine = Replay(place.table, place.today)
    done: list[Explored] = []
    watch = partial(_watched, engine, done, limit - budget.trial_steps if kind == PRUNER else limit)
    with warnings.catch_warnings():  # Optuna's, of what it calls experimental
        warnings.simplefilter("ignore")
        with suppress(_Spent):
            explore(study, engine, place.today, place.axes, budget, seed, place.finish, watch, place.hints)
    finished = [(item.spec.params, item.result.score) for item in done if item.result.outcome.status == COMPLETED]
    leading = leaders(finished, place.today, budget.candidates) or [place.today]
    return {
        "kind": kind,
        "name": name,
        "seed": seed,
        "leading": [cell(params, place.today).changes_from(place.today) for params in leading],
        "steps": engine.steps,
        "proposals": len(study.trials),
        "repeated": len(study.trials) - len(done),
        "trials": [
            {"status": x.result.outcome.status, "score": x.result.penalized, "steps": x.result.steps_done} for x in done
        ],
    }


def moved(place: Ground) -> dict[str, float | None]:
    """How much a trial's score moves by the rounding to its cell, and by another training seed: medians, as shares.

    Of settings drawn at random, those whose three trials ended with a score better than a constant prediction's.
    """
    budget, draws = place.setup.settings.budget, optuna.create_study(sampler=RandomSampler(seed=DRAWS_SEED))
    moves: list[tuple[float, float]] = []
    for _ in range(DRAWS):
        params = place.finish(place.today.with_values(draws.ask(dict(place.axes)).params))
        inside = cell(params, place.today)
        runs = [
            place.table.of(item, seed, budget.trial_steps, budget.rungs)
            for item, seed in ((inside, 0), (params, 0), (inside, 1))
        ]
        scores = [run["score"] for run in runs]
        if all(score is not None and LEAST < score < CONSTANT for score in scores):
            moves.append((abs(math.log(scores[1] / scores[0])), abs(math.log(scores[2] / scores[0]))))
    rounding, other_seed = (statistics.median(values) for values in zip(*moves, strict=True)) if moves else (None, None)
    return {"by_rounding": rounding, "by_seed": other_seed, "settings": len(moves)}


def _watched(engine: Replay, done: list[Explored], limit: int, item: Explored) -> None:
    done.append(item)
    if engine.steps > limit:
        raise _Spent


def judged(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of every sampler and pruner over all tasks, and the two targets."""
    best = {task: result["best"] for task, result in found.items()}
    kinds = {
        kind: {name: row | _spent(found, kind, name) for name, row in summary(_ends(found, kind), ours, best).items()}
        for kind, ours in _OURS.items()
    }
    shown = ("fault", "best", "known_good", "today", "sampler_seeds", "limit_steps", "moved")
    return {
        "tasks": {task: {key: result[key] for key in shown} for task, result in found.items()},
        "training_seeds": TRAINING_SEEDS,
        **kinds,
        "targets": [target(kind, kinds[kind]) for kind in _OURS],
    }


_OURS = {SAMPLER: OUR_SAMPLER, PRUNER: OUR_PRUNER}


def _ends(found: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, dict[tuple[str, int], float]]:
    ends: dict[str, dict[tuple[str, int], float]] = {}
    for task, result in found.items():
        for item in result["searches"]:
            if item["kind"] == kind:
                ends.setdefault(item["name"], {})[task, item["seed"]] = min(item["ends"])
    return ends


def _spent(found: Mapping[str, Mapping[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Steps, trials, repeats, and the best trial so far over the best of any search with the same training seed."""
    items, early, late = [], [], []
    for result in found.values():
        for item in result["searches"]:
            if (item["kind"], item["name"]) == (kind, name):
                least = _least(result, item["seed"] % TRAINING_SEEDS)
                items.append(item)
                early.append(item["best_half_way"] / least)
                late.append(item["best"] / least)
    trials = sum(item["trials"] for item in items)
    return {
        "steps": statistics.median(item["steps"] for item in items),
        "most_steps": max(item["steps"] for item in items),
        "trials": statistics.median(item["trials"] for item in items),
        "pruned": sum(item["pruned"] for item in items) / trials,
        "repeated": sum(item["repeated"] for item in items) / sum(item["proposals"] for item in items),
        "half_way": statistics.median(early) - 1,
        "trial_regret": statistics.median(late) - 1,
    }


def _least(result: Mapping[str, Any], training_seed: int) -> float:
    return float(min(item["best"] for item in result["searches"] if item["seed"] % TRAINING_SEEDS == training_seed))


def _best_lr(start: Start) -> float:
    tasks = store.read_json(TRUTH)["tasks"] if TRUTH.is_file() else {}
    if start.task.name not in tasks:
        raise SystemExit(f"{TRUTH} has no {start.task.name}: run python -m benchmarks.lr_choice first")
    return float(tasks[start.task.name]["fine_best_lr"])


def _with_kept(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tasks that were not run keep their figures."""
    kept = store.read_json(RESULTS)["raw"] if RESULTS.is_file() else {}
    merged = {**kept, **found}
    return {name: merged[name] for name in NAMES if name in merged}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one task, fewer seeds; writes nothing")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="TASK", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, help=f"of the samplers; {SEEDS}, or {QUICK_SEEDS} with --quick")
    parser.add_argument("--runs", type=Path, help="keep what is trained here, and take what is there")
    options = parser.parse_args(arguments)
    options.only = options.only or (NAMES[:1] if options.quick else NAMES)
    options.seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    return options


if __name__ == "__main__":
    sys.exit(main())
