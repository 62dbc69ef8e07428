from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf701_collapse import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def run(recorded: Recorded, cosine: object, rank: object, limit: int = 10, rows: int = 10) -> Recording:
    cosine, rank = np.broadcast_arrays(np.asarray(cosine, dtype=float), np.asarray(rank, dtype=float))
    size = len(cosine) if cosine.ndim else 8
    columns = {"cosine_mean": cosine, "effective_rank": rank, "rank_limit": limit, "rows": rows}
    stats = {"weight_norm_mean": np.ones(size), "weight_norm_std": np.zeros(size)}
    return recorded(
        arcface_geometry={name: np.broadcast_to(values, size) for name, values in columns.items()},
        arcface_stats=stats,
    )


@pytest.mark.parametrize(("begun", "words"), [(0.0, "from 0.00 at the start"), (1.0, "from the start")])
def test_prototypes_that_point_the_same_way_have_collapsed(begun: float, words: str, recorded: Recorded) -> None:
    answer = RULE.judge(
        run(recorded, np.minimum(np.linspace(begun, 2.0, 40), 0.999), np.linspace(9.0, 1.0, 40) ** 0.25)
    )
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "arcface")
    assert words in answer.message


@pytest.mark.parametrize(("cosine", "rank", "limit"), [(0.95, 20.0, 32), (0.0, 2.0, 32), (0.2, 1.2, 10)])
def test_one_of_both_is_a_warning(cosine: float, rank: float, limit: int, recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, cosine, rank, limit, 32))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert answer.strength >= 1


@pytest.mark.parametrize(
    ("cosine", "rank", "limit", "rows"),
    [
        (-1 / 9, 9.0, 10, 10),  # a trained classifier
        (0.5, 8.0, 32, 32),  # a language model's table
        (0.75, 24.0, 32, 32),  # positive weights
        (0.0, 2.0, 2, 32),  # embedded in a plane
    ],
)
def test_healthy_heads_are_clean(cosine: float, rank: float, limit: int, rows: int, recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, cosine, rank, limit, rows)) == Clean()


@pytest.mark.parametrize(
    ("cosine", "rows", "missing"),
    [
        (0.99, 3, "has 3 prototypes, 8 are needed"),  # outputs of a regression
        (np.nan, 10, "has no row with cosine_mean and effective_rank"),
    ],
)
def test_too_few_prototypes_are_not_clean(cosine: float, rows: int, missing: str, recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, cosine, 1.1, rows, rows))
    assert isinstance(answer, NotApplicable)
    assert missing in answer.missing


def test_rows_that_agree_at_first_and_part_are_clean(recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, np.linspace(1.0, 0.0, 40), np.linspace(1.0, 9.0, 40))) == Clean()


def test_equal_norms_prove_nothing(recorded: Recorded) -> None:
    stats = {"weight_norm_mean": np.ones(8), "weight_norm_std": np.zeros(8)}
    answer = RULE.judge(recorded(arcface_stats=stats))
    assert answer == NotApplicable("there is no arcface_geometry.csv with cosine_mean and effective_rank")


@pytest.mark.parametrize(("mean", "std", "found"), [(1.0, 0.1, True), (0.0, 0.0, True), (1e-4, 0.05, False)])
def test_elements_that_agree_are_rows_that_agree(mean: float, std: float, found: bool, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(arcface_stats={"weight_mean": np.full(8, mean), "weight_std": np.full(8, std)}))
    assert isinstance(answer, Finding) == found
    if not found:
        assert isinstance(answer, NotApplicable)
        assert "no arcface_geometry.csv" in answer.missing


def test_the_bound_by_elements_holds() -> None:
    rows = np.random.default_rng(0).normal(0.5, 0.2, (20, 30))
    inner, norms = rows @ rows.T, np.linalg.norm(rows, axis=1)
    weighted = inner.sum() / np.outer(norms, norms).sum()
    assert rows.mean() ** 2 / (rows.mean() ** 2 + rows.var()) <= weighted


def test_cosines_may_stand_among_the_statistics_and_the_limit_be_unknown(recorded: Recorded) -> None:
    columns = {"cosine_mean": np.full(8, 0.98), "effective_rank": np.full(8, 1.1)}
    for table in ("arcface_stats", "arcface_geometry"):
        answer = RULE.judge(recorded(**{table: columns}))
        assert isinstance(answer, Finding)
        assert answer.where == "arcface"
