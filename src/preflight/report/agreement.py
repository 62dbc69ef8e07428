"""Whether short trials and confirming runs order settings alike, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from preflight.advise.agreement import agreement
from preflight.report import format as fmt
from preflight.report.comparison import CONFIRM, EXPLORE
from preflight.report.sources import Sources, penalized_score


def agreement_text(sources: Sources) -> str:
    """``Of 3 pairs of settings ..., the seeds tell 2 apart, all in the same order.``

    Empty where no pair was told apart, or both are equally long. A trial that was given up has no score to order by.
    """
    explored = {item.params.key(): item for item in sources.of(EXPLORE) if item.status != "pruned"}
    confirmed: dict[Hashable, dict[int, float]] = defaultdict(dict)
    for item in sources.of(CONFIRM):
        confirmed[item.params.key()][item.seed] = penalized_score(item)
    answer = sources.recommendation
    steps = int(sources.run.info.get("budget", {}).get("trial_steps", 0))
    if answer is None or not 0 < steps < answer.confirm_steps:
        return ""
    found = agreement({key: penalized_score(item) for key, item in explored.items()}, confirmed)
    if not found.told_apart:
        return ""
    text = (
        f"Of {fmt.count(found.pairs, 'pair')} of settings with trials of {fmt.whole(steps)} steps and confirming runs "
        f"of {fmt.whole(answer.confirm_steps)}, the seeds tell {fmt.whole(found.told_apart)} apart"
    )
    if not found.reversed:
        return f"{text}, all in the same order."
    return f"{text}, {fmt.whole(found.reversed)} in the other order: short trials mislead here (budget.trial_steps)."
