"""What is taken over to the long run without having been measured at its length, and by what assumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preflight.advise.recommendation import Recommendation
from preflight.advise.transfer import SCHEDULE, Transfer, transfer
from preflight.core.params import Params, ParamValue
from preflight.core.units import RunLength
from preflight.report import format as fmt
from preflight.report.sources import Sources
from preflight.telemetry import store


@dataclass(frozen=True)
class CarriedRow:
    """A setting of the long run; ``holds`` is whether what was found of it does there."""

    name: str
    value: str
    holds: str
    why: str


@dataclass(frozen=True)
class LongRun:
    """``sentence`` says how much of it was measured."""

    sentence: str
    rows: tuple[CarriedRow, ...]


def is_shorter(sources: Sources) -> bool:
    """Whether the answer was measured over less than the long run."""
    answer = sources.recommendation
    return answer is not None and 0 < answer.steps < int(sources.inspection["length"]["horizon_steps"])


def carries(name: str, sources: Sources) -> str:
    """Whether what was found of a changed setting carries to the long run; empty where all of it was measured."""
    return transfer(name).label if is_shorter(sources) else ""


def long_run(sources: Sources) -> LongRun | None:
    """What the long run takes over; None where it was measured as a whole, or there is no answer."""
    answer = sources.recommendation
    if answer is None or not is_shorter(sources):
        return None
    measured, whole = _lengths(sources, answer)
    share = measured.horizon_steps / whole.horizon_steps
    sentence = (
        f"Measured over {fmt.whole(measured.horizon_steps)} of {fmt.whole(whole.horizon_steps)} steps "
        f"({fmt.percent(share)}). No value below is scaled to the length; the order of the settings is taken to stay."
    )
    return LongRun(sentence, tuple(_rows(sources, answer, measured, whole)))


def _lengths(sources: Sources, answer: Recommendation) -> tuple[RunLength, RunLength]:
    """What was measured and the long run, in steps of the recommended batch size."""
    today = RunLength(**sources.inspection["length"])
    size = answer.recommended.batch_size
    measured = RunLength(answer.steps, today.batch_size, today.train_size, today.drop_last)
    return measured.at_batch_size(size), today.at_batch_size(size)


def _rows(sources: Sources, answer: Recommendation, measured: RunLength, whole: RunLength) -> list[CarriedRow]:
    params, changed = answer.recommended, answer.recommended.changes_from(answer.today)
    names = ["lr", *(["warmup_fraction"] if params.warmup_fraction else []), *changed]
    rows = [_row(name, params, measured, whole) for name in dict.fromkeys(names)]
    schedule = _schedule(sources)
    if schedule:
        rows.append(CarriedRow("schedule", f"{schedule}, over the whole run whatever its length", *_known(SCHEDULE)))
    return rows


def _row(name: str, params: Params, measured: RunLength, whole: RunLength) -> CarriedRow:
    value: ParamValue = params.flat().get(name)
    text, found = fmt.setting(name, value), transfer(name)
    if name == "warmup_fraction" and params.warmup_fraction:
        text = (
            f"{text}: {params.warmup_fraction * measured.horizon_steps:.0f} steps where measured, "
            f"{params.warmup_fraction * whole.horizon_steps:.0f} in the long run"
        )
    if name == "lr":
        text = f"{text}, as measured over {fmt.whole(measured.horizon_steps)} steps"
    if name == "batch_size":
        text = f"{text}: the long run has {fmt.whole(whole.horizon_steps)} steps for the same samples"
    return CarriedRow(name, text, *_known(found))


def _known(found: Transfer) -> tuple[str, str]:
    return found.label, f"{found.why[0].upper()}{found.why[1:]}."


def _schedule(sources: Sources) -> str:
    """The schedule of the task in words; empty for a constant rate or where the settings were not kept."""
    saved: Mapping[str, Any] = sources.run.document(store.SETTINGS) or {}
    model = saved.get("values", {}).get("model", {})
    if model.get("scheduler"):
        return "your own scheduler"
    name = str(model.get("schedule") or "constant")
    return "" if name == "constant" else name
