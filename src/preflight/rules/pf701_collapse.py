"""PF701: prototypes of a head that point the same way."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import STATS, head_names
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
REMEDIES = (
    Remedy("initialise the prototypes independently of each other"),
    Remedy("lower the head's learning rate and weight decay, and check that labels differ within a batch"),
)
MIN_ROWS = 8
SUFFIX = "_geometry"


def check(recording: Recording) -> Answer:
    """Judge the end of the run: cosines and rank, never the norms of the rows, which a cosine head leaves free."""
    table = _geometry(recording)
    if table is None:
        return _by_elements(recording)
    head = table.removesuffix(SUFFIX).removesuffix(STATS)
    cosine, rank = (recording.column(table, name) for name in ("cosine_mean", "effective_rank"))
    known = np.isfinite(cosine) & np.isfinite(rank)
    if not known.any():
        raise MissingError(f"{table}.csv has no row with cosine_mean and effective_rank")
    if (classes := _last(recording, table, "rows", known, MIN_ROWS)) < MIN_ROWS:
        return too_few(f"the head {head!r}", int(classes), MIN_ROWS, "prototypes")
    limit = _last(recording, table, "rank_limit", known, math.nan)
    late = slice(-max(1, int(known.sum()) // 4), None)
    end, width = float(np.median(cosine[known][late])), float(np.median(rank[known][late]))
    floor = float(np.fmax(FLOOR.value, RANK.value * limit))
    if end <= COSINE.value and width >= floor:
        return Clean()
    begun = float(cosine[known][0])
    since = "from the start" if begun > COSINE.value else f"from {begun:.2f} at the start"
    of = "" if math.isnan(limit) else f" of {limit:g}"
    return Finding(
        ERROR if end > COSINE.value and width < 2 * floor else WARNING,
        f"the prototypes of {head!r} have collapsed: mean cosine {end:.3f} ({since}), effective rank {width:.3g}{of}",
        (
            Evidence("mean cosine between two prototypes", end, COSINE.value),
            Evidence("effective rank", width, floor),
        ),
        REMEDIES,
        where=head,
        strength=max(1.0, floor / width, (1 - COSINE.value) / max(1 - end, 1e-3)),
    )


def _geometry(recording: Recording) -> str | None:
    """The table with a head's geometry: its own, or the statistics where another tool puts it there."""
    heads = [f"{head}{SUFFIX}" for head in head_names(recording, SUFFIX)]
    stats = [f"{head}{STATS}" for head in head_names(recording)]
    wide = [name for name in stats if {"cosine_mean", "effective_rank"} <= set(recording.table(name).columns)]
    return next(iter([*heads, *wide]), None)


def _last(recording: Recording, table: str, name: str, known: npt.NDArray[np.bool_], default: float) -> float:
    """The last value of a column, ``default`` where there is none."""
    return float(recording.column(table, name)[known][-1]) if name in recording.table(table) else default


def _by_elements(recording: Recording) -> Answer:
    """What the mean and deviation of all elements tell: rows that agree in sign and size agree in direction.

    The rows' mean vector has the norm sqrt(D) * |mean| at least (Cauchy and Schwarz), so that the mean cosine, each
    pair weighted by its norms and a row with itself counted, is at least mean^2 / (mean^2 + std^2). Below the limit
    nothing follows.
    """
    heads = head_names(recording)
    if not heads:
        raise MissingError("there is no <head>_geometry.csv: the task names no head")
    unknown = f"there is no {heads[0]}{SUFFIX}.csv with cosine_mean and effective_rank"
    if not {"weight_mean", "weight_std"} <= set(recording.table(heads[0] + STATS).columns):
        raise MissingError(unknown)
    mean, std = (recording.measured(heads[0] + STATS, name).values for name in ("weight_mean", "weight_std"))
    if not len(mean) or len(mean) != len(std) or not np.isfinite([mean[-1], std[-1]]).all():
        raise MissingError(f"{heads[0]}{STATS}.csv has no weight_mean and weight_std at its end")
    square, size = mean[-1] ** 2, mean[-1] ** 2 + std[-1] ** 2
    if size > 0 and square <= COSINE.value * size:
        raise MissingError(
            f"{heads[0]}{STATS}.csv tells no directions, and norms that are alike prove nothing; {unknown}"
        )
    what = f"of a mean cosine of {square / size:.3f} at least" if size > 0 else "all zero"
    return Finding(
        ERROR,
        f"the prototypes of {heads[0]!r} have collapsed: they are {what}, by the mean {mean[-1]:.2g} and the "
        f"deviation {std[-1]:.2g} of their elements",
        (Evidence("least mean cosine between two prototypes", square / size if size > 0 else "none", COSINE.value),),
        REMEDIES,
        where=heads[0],
        strength=10.0,
    )


RULE = Rule(
    code="PF701",
    name="prototype-collapse",
    title="Prototypes of the head have collapsed",
    detects="The rows of the head's weight matrix, one per class, point the same way or span next to nothing: by their "
    "pairwise cosines and the effective rank; or, where only statistics of its elements are recorded, by the cosine "
    "that follows from their mean and deviation. Norms of the rows are not looked at.",
    matters="Classes whose prototypes agree cannot be told apart, whatever the features are.",
    fix="Initialise the rows independently, lower the learning rate or weight decay of the head, and check the labels.",
    check=check,
    thresholds=(COSINE, RANK, FLOOR),
)
