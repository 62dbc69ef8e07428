"""The gradient noise scale of the settings that the run ends with, measured in runs of its own.

They repeat the runs that proved the settings, seed by seed. What is evidence is never measured in: a model may keep
things that nobody sees, and the scores, which must come out the same, tell whether the measuring has touched them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preflight.advise.noise import over_seeds
from preflight.advise.recommendation import CHANGE, Measured, Recommendation
from preflight.core.search_settings import SpaceSettings
from preflight.core.settings import Settings
from preflight.pipeline.audience import Audience
from preflight.probes.fit import one_line
from preflight.search.engines.base import Engine
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import Result

# At the start it is known to be far too small, and it grows with the progress (arXiv 1812.06162, section 2.3).
SHARES = (0.0, 1 / 3, 1.0)
SEEDS = 2


def look_at_noise(
    engine: Engine, answer: Recommendation, today: Measured, settings: Settings, run_dir: Path, audience: Audience
) -> None:
    """Write ``noise_scale.json``: the noise scale by moment and seed; its ``failed`` says why there is none.

    ``today`` are scores of today's settings, for an answer that holds none.
    """
    after = answer.after if answer.decision == CHANGE else answer.before
    recorded = after or today
    seeds = list(recorded.scores)[:SEEDS]
    params = answer.recommended
    specs = [
        TrialSpec("noise", index, params, seed, answer.steps, settings.budget.rungs, noise_at=SHARES)
        for index, seed in enumerate(seeds)
    ]
    audience.begin("noise scale", len(specs))
    results, failed = dict[int, Result](), ""
    try:
        results = dict(zip(seeds, engine.run(specs, audience.advance), strict=True))
    except Exception as error:  # the answer is there already, and must not be lost with this
        failed = one_line(error)
    finally:
        audience.end()
    document = _document(answer, settings.space, results, recorded.scores, failed)
    store.write_json(run_dir / store.NOISE_SCALE, document)


def _document(
    answer: Recommendation,
    space: SpaceSettings,
    results: Mapping[int, Result],
    scores: Mapping[int, float],
    failed: str,
) -> dict[str, Any]:
    found = [moment for result in results.values() for moment in result.noise]
    reasons = [moment.failed for moment in found if moment.failed]
    reasons += [result.outcome.reason for result in results.values() if result.outcome.reason]
    known = [_moment(step, results) for step in sorted({moment.step for moment in found})]
    if not failed and not any(moment["scale"] for moment in known if moment["step"] > 0):
        failed = next(iter(reasons), "nothing was measured after the start")
    return {
        "batch_size": answer.recommended.batch_size,
        "lr": answer.recommended.lr,
        "steps": answer.steps,
        "trained_steps": sum(result.steps_done for result in results.values()),
        "gradients": sum(moment.batches for moment in found if moment.scale is not None),
        "moments": known,
        "tied": sorted({name for moment in found for name in moment.tied}),
        "normed": any(moment.normed for moment in found),
        "disturbed": [seed for seed, result in results.items() if result.confirmed != scores[seed]],
        "searched": "batch_size" in space.plain,
        "failed": failed,
    }


def _moment(step: int, results: Mapping[int, Result]) -> dict[str, Any]:
    """What the seeds say of a step, each and together."""
    rows = [(seed, moment) for seed, result in results.items() for moment in result.noise if moment.step == step]
    scales = [moment.scale for _, moment in rows if moment.scale is not None]
    return {
        "step": step,
        "scale": asdict(over_seeds(scales)) if scales else None,
        "seeds": [{"seed": seed, **asdict(moment)} for seed, moment in rows],
    }
