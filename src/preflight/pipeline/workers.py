"""A confirmed number of loader workers among what is recommended: it changes no score, and so is no candidate."""

from __future__ import annotations

from dataclasses import replace

from preflight.advise.diagnosis import Diagnosis, faster_settings
from preflight.advise.recommendation import CHANGE, KEEP, Change, Measured, Recommendation
from preflight.pipeline.axes import can_be_written, why_closed
from preflight.pipeline.confirmation import described
from preflight.pipeline.inspection import Inspection


def with_workers(
    answer: Recommendation, diagnosis: Diagnosis, inspection: Inspection, before: Measured
) -> Recommendation:
    """The recommendation with the confirmed workers, or the reason why they are left out.

    Where all else stays, they are the one change, and ``before``, the scores of today's settings, those after it too.
    """
    found = faster_settings(diagnosis)
    if found is None:
        return answer
    settings, speed = found
    if not all(can_be_written(name, inspection) for name in settings):
        left = f"Confirmed, and left out: {described(settings)} ({why_closed(settings, inspection)})"
        return replace(answer, reason=f"{answer.reason}. {left}")
    today = answer.today.flat()
    changes = tuple(Change(name, today[name], new, None, None, speed) for name, new in settings.items())
    words = f"{described(settings)} changes no score and trains faster: {speed}"
    recommended = answer.recommended.with_values(dict(settings))
    if answer.decision == CHANGE:
        reason = f"{answer.reason}. {words}"
        return replace(answer, reason=reason, recommended=recommended, changes=(*answer.changes, *changes))
    others = "Keep the others" if answer.decision == KEEP else "Of the others it cannot tell"
    reason = f"{words}. {others}: {answer.reason}"
    steps = answer.confirm_steps  # that ``before`` is of
    return Recommendation(
        CHANGE,
        reason,
        answer.today,
        recommended,
        changes,
        before=before,
        after=before,
        steps=steps,
        confirm_steps=steps,
    )
