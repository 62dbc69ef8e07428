"""PF105: clipping that acts on most steps."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.telemetry.recording import Recording

SHARE = Threshold(
    "SHARE", 0.9, "of the steps were clipped at least", "clipping is meant for the exception (Pascanu et al. 2013)"
)
CUT = Threshold(
    "CUT",
    10,
    "times the limit is the median norm: shorter steps by that factor",
    "language models train well with norms of one to five times their limit",
)
LEARNED = Threshold(
    "LEARNED",
    0.1,
    "of the early loss: a run that fell by more learns with steps of one length",
    "Adam does not mind their scale, and normalized steps are a method of their own",
)
MIN_STEPS = 20
QUANTILE = 0.9


def check(recording: Recording) -> Answer:
    """Hold the norms before clipping against the limit that the run was trained with."""
    limit = recording.setting("clip_norm")
    if limit is None:
        raise MissingError("this run does not clip: clip_norm is not set")
    norms = recording.column("gradient_norms", "overall")
    norms = norms[np.isfinite(norms)]
    if not isinstance(limit, int | float) or limit <= 0:
        return Clean()
    if len(norms) < MIN_STEPS:
        return too_few("gradient_norms.csv", len(norms), MIN_STEPS, "finite rows")
    share, cut = float((norms > limit).mean()), float(np.median(norms) / limit)
    if share < SHARE.value or cut < CUT.value or _learns(recording):
        return Clean()
    wanted = float(np.quantile(norms, QUANTILE))
    return Finding(
        WARNING,
        f"clipping at {limit:g} cut {share:.0%} of the steps, the median one to 1/{cut:.3g} of its length",
        (
            Evidence("share of the steps that were clipped", share, SHARE.value),
            Evidence("median gradient norm over the limit", cut, CUT.value, "x"),
        ),
        (Remedy(f"clip at the norm that a tenth of the steps exceed, {wanted:.3g}", {"clip_norm": wanted}),),
        where="clip_norm",
        strength=cut / CUT.value,
    )


def _learns(recording: Recording) -> bool:
    """Whether the median loss fell clearly from the first tenth of the run to the last quarter."""
    try:
        losses = recording.column("losses", "total")
    except MissingError:
        return False
    early, late = np.median(losses[: max(1, len(losses) // 10)]), np.median(losses[-max(1, len(losses) // 4) :])
    return bool(early - late > LEARNED.value * abs(early))


RULE = Rule(
    code="PF105",
    name="clipping-always",
    title="Clipping acts on every step",
    detects="Nearly every gradient is longer than clip_norm, and by far, and the loss does not fall.",
    matters="Every step has the same length then, whatever the gradient says: without Adam the learning rate is lower "
    "than it reads, and of several losses or batches the largest one alone sets the direction's scale.",
    fix="Clip at a norm that one step in ten exceeds, and look for the cause of large norms in the scale of the losses "
    "and targets.",
    check=check,
    thresholds=(SHARE, CUT, LEARNED),
    causes=("PF202", "PF401", "PF402"),
)
