"""How far what a short search found carries to the long run, setting by setting.

Sources: muTransfer moves optimizer settings and initialisation across training time, and says of regularization
(dropout, weight decay) that it does not transfer (Yang et al. 2022, arXiv 2203.03466). The best learning rate falls
with the length in pretraining of language models (Bjorck et al. 2024, arXiv 2409.19913), while what is optimized over
very short runs is too low (Wu et al. 2018, arXiv 1803.02021). A cosine has to match the length of its run (Hägele et
al. 2024, arXiv 2405.18392, after Hoffmann et al. 2022). On seven small tasks, at a quarter of the length: the best
learning rate and the best normalization were the same in 13 of 14 grids; the best warmup was none, and 20% at full
length, by a fifth of the spread of the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

LIKELY, MAY, UNSURE, RARELY = "likely", "may", "unsure", "rarely"

SMALL_TASKS = "on seven small tasks"


@dataclass(frozen=True)
class Transfer:
    """``label`` is :data:`LIKELY`, :data:`MAY`, :data:`UNSURE` or :data:`RARELY` to hold; ``why``, in a sentence."""

    label: str
    why: str

    @property
    def phrase(self) -> str:
        """The label as a comment in a config says it."""
        return _PHRASES[self.label]


_PHRASES = {
    LIKELY: "likely to hold in the long run",
    MAY: "may hold in the long run",
    UNSURE: "unsure to hold in the long run",
    RARELY: "rarely holds in the long run",
}

LEARNING_RATE = Transfer(
    MAY,
    f"{SMALL_TASKS} the best one at a quarter of the length was the best in 13 of 14 grids; for language models it "
    "falls with the length (Bjorck et al. 2024), and very short runs choose it too low (Wu et al. 2018)",
)
WARMUP = Transfer(
    UNSURE,
    f"what it does for the first steps is said to carry over; {SMALL_TASKS} its best length did not: none at a quarter "
    "of the length, 20% at full length, by a fifth of the spread of the seeds",
)
NORMALIZATION = Transfer(
    LIKELY, f"{SMALL_TASKS} the best one at a quarter of the length was the best in 13 of 14 grids"
)
SCHEDULE = Transfer(RARELY, "it has to fit the length of its run (Hoffmann et al. 2022, Hägele et al. 2024)")
REGULARIZATION = Transfer(
    MAY, "regularization depends on how much is learned from how much data (Yang et al. 2022: not transferred)"
)
OPTIMIZER = Transfer(MAY, "optimizer settings are moved across lengths in practice (Yang et al. 2022), by no rule here")
OTHER = Transfer(MAY, "measured over the short length only")
LOADING = Transfer(LIKELY, "no score depends on it")

_BY_NAME = {
    "lr": LEARNING_RATE,
    "warmup_fraction": WARMUP,
    "scheduler_interval": SCHEDULE,
    "weight_decay": REGULARIZATION,
    "dropout": REGULARIZATION,
    "batch_size": OPTIMIZER,
    "clip_norm": OPTIMIZER,
    "num_workers": LOADING,
}
_BY_GROUP = {"normalization": NORMALIZATION, "target_normalization": NORMALIZATION}


def transfer(name: str) -> Transfer:
    """What is known of a setting by its flat name; nothing is known of a model factory's own."""
    return _BY_NAME.get(name) or _BY_GROUP.get(name.partition(".")[0], OTHER)
