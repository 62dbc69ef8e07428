"""How much the score hangs on the recommended learning rate, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from preflight.advise.evidence import percent
from preflight.advise.recommendation import Near, Recommendation


def around_text(answer: Recommendation) -> str:
    """``learning rates around it, beside the best of them: 0.0037 +4%, 0.0066 best, 0.012 +40%``."""
    best = min(answer.around, key=lambda near: near.score)
    said = ", ".join(f"{near.lr:.2g} {_beside(near, best)}" for near in answer.around)
    return f"learning rates around {answer.recommended.lr:.2g}: {said}{_lost(answer.around)}"


def _beside(near: Near, best: Near) -> str:
    if near is best:
        return "best"
    return f"+{percent(near.score / best.score - 1)}" if best.score > 0 else f"{near.score:.3g}"


def _lost(around: Sequence[Near]) -> str:
    rates = [f"{near.lr:.2g}" for near in around if not math.isfinite(near.worst)]
    return f" (a run at {', '.join(rates)} was lost)" if rates else ""
