"""PF701: prototypes of a head that point the same way."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

COSINE = Threshold(
    "COSINE",
    0.9,
    "mean cosine between the prototypes of two classes",
    "prototypes of a trained classifier repel each other: at best -1 / (classes - 1) (Papyan et al. 2020)",
)
RANK = Threshold(
    "RANK",
    0.1,
    "of the largest effective rank there could be",
    "heads of healthy classifiers and language models kept 0.75 or more of it",
)
FLOOR = Threshold("FLOOR", 1.5, "effective rank: below this all is one direction", "two equal directions make 2")
MIN_ROWS = 8
SUFFIX = "_geometry"


def check(recording: Recording) -> Answer:
    """Judge the end of the run: cosines and rank, never the norms of the rows, which a cosine head leaves free."""
    head = _head(recording)
    cosine, rank, limit, rows = (
        recording.column(head + SUFFIX, name) for name in ("cosine_mean", "effective_rank", "rank_limit", "rows")
    )
    known = np.isfinite(cosine) & np.isfinite(rank)
    if not known.any() or rows[known][-1] < MIN_ROWS:
        return Clean()
    late = slice(-max(1, int(known.sum()) // 4), None)
    end, width = float(np.median(cosine[known][late])), float(np.median(rank[known][late]))
    floor = max(FLOOR.value, RANK.value * limit[known][-1])
    if end <= COSINE.value and width >= floor:
        return Clean()
    begun = float(cosine[known][0])
    since = "from the start" if begun > COSINE.value else f"from {begun:.2f} at the start"
    return Finding(
        ERROR if end > COSINE.value and width < 2 * floor else WARNING,
        f"the prototypes of {head!r} have collapsed: mean cosine {end:.3f} ({since}), effective rank {width:.3g} of "
        f"{limit[known][-1]:g}",
        (
            Evidence("mean cosine between two prototypes", end, COSINE.value),
            Evidence("effective rank", width, floor),
        ),
        (
            Remedy("initialise the prototypes independently of each other"),
            Remedy("lower the head's learning rate and weight decay, and check that labels differ within a batch"),
        ),
        where=head,
        strength=max(1.0, floor / width, (1 - COSINE.value) / max(1 - end, 1e-3)),
    )


def _head(recording: Recording) -> str:
    """The component whose geometry was recorded."""
    if recording.tables is None:
        names = sorted(path.stem for path in recording.folder.glob(f"*{SUFFIX}.csv"))
    else:
        names = sorted(name for name in recording.tables if name.endswith(SUFFIX))
    if not names:
        raise MissingError("there is no <head>_geometry.csv: the task names no head")
    return names[0].removesuffix(SUFFIX)


RULE = Rule(
    code="PF701",
    name="prototype-collapse",
    title="Prototypes of the head have collapsed",
    detects="The rows of the head's weight matrix, one per class, point the same way or span next to nothing: by their "
    "pairwise cosines and the effective rank. Norms of the rows are not looked at.",
    matters="Classes whose prototypes agree cannot be told apart, whatever the features are.",
    fix="Initialise the rows independently, lower the learning rate or weight decay of the head, and check the labels.",
    check=check,
    thresholds=(COSINE, RANK, FLOOR),
)
