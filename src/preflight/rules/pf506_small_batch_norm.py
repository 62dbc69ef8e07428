"""PF506: batch normalization over too few samples."""

from __future__ import annotations

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.core.params import ParamValue
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

SAMPLES = Threshold(
    "SAMPLES",
    8,
    "samples in a batch at least",
    "Wu and He, Group Normalization, 2018, figure 1: the error of ResNet-50 rises from 23.6% at 32 samples to 24.8% "
    "at 8, 27.3% at 4 and 34.7% at 2",
)
ENOUGH = 16


def check(recording: Recording) -> Answer:
    """Compare the batch size with what batch statistics need, where the model uses them."""
    if not recording.fact("modes", "has_batch_norm"):
        return Clean()
    size = int(float(recording.setting("batch_size") or 0))
    if size >= SAMPLES.value:
        return Clean()
    return Finding(
        ERROR if size <= 2 else WARNING,
        f"batch normalization takes its mean and variance from batches of {size}",
        (Evidence("batch size", size, SAMPLES.value, "samples"),),
        (
            Remedy(
                f"train with batches of {ENOUGH} or more, and a learning rate that is raised as much, since as many "
                "samples then make fewer steps (Goyal et al., 2017)",
                _enlarged(recording, size),
            ),
            Remedy("replace batch normalization by group or layer normalization, which does not look at other samples"),
        ),
        strength=SAMPLES.value / max(size, 1),
    )


def _enlarged(recording: Recording, size: int) -> dict[str, ParamValue]:
    """Batches that are large enough, and the rate by the linear scaling rule."""
    times = ENOUGH / max(size, 1)
    return {"batch_size": ENOUGH, "lr": float(f"{recording.params.lr * times:.3g}")}


RULE = Rule(
    code="PF506",
    name="batch-too-small-for-batch-norm",
    title="Batches are too small for batch normalization",
    detects=f"The model normalizes over the batch in training mode; a batch has fewer than {SAMPLES.value:g} samples.",
    matters="Mean and variance of a few samples are noise: it enters every activation, and evaluation, which uses "
    "running statistics, computes something else.",
    fix="Enlarge the batch, or use group or layer normalization. Accumulating gradients does not help: the statistics "
    "are those of the small batches.",
    check=check,
    thresholds=(SAMPLES,),
    causes=("PF505",),
)
