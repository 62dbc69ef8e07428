from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from preflight.advise.importance import Importance, Share
from preflight.advise.ladder import Rung, ladder_label
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Near, Recommendation
from preflight.core.params import Params
from preflight.report.margins import margins, mattered, walls
from preflight.report.page import write_report
from preflight.report.sources import Sources
from preflight.telemetry import store

TODAY = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
BETTER = TODAY.with_values({"lr": 0.003, "normalization.input": "standardize"})
NewRun = Callable[..., Any]


def rungs(params: Params, *rates: tuple[float, str]) -> dict[str, list[dict[str, Any]]]:
    label = ladder_label(params)
    return {label: [asdict(Rung(lr, label, 3, 2.0, 3.0, True, 0, "", 0.5, verdict)) for lr, verdict in rates]}


def answered(writer: Any, decision: str = CHANGE, to: Params = BETTER, around: Sequence[Near] = ()) -> Sources:
    recommended = to if decision == CHANGE else TODAY
    writer.recommendation(Recommendation(decision, "", TODAY, recommended, steps=600, around=tuple(around)))
    return Sources.read(writer.folder)


LADDER = rungs(BETTER, (1e-3, "stable"), (1e-2, "best"), (0.03, "stable"), (0.06, "explodes"), (1.0, "explodes"))


def test_the_distance_to_divergence_is_said_in_decades_and_as_a_factor(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=LADDER)))
    assert found is not None
    assert found.reach == (
        "Held constant for 40 steps, runs explode at lr=0.06 and still train at 0.03: 1.3 decades (20x) above 0.003."
    )
    assert found.walls == ()


def test_settings_that_the_ladder_had_otherwise_are_named(new_run: NewRun) -> None:
    better = BETTER.with_values({"batch_size": 64, "warmup_fraction": 0.1, "num_workers": 2})
    found = margins(answered(new_run(ladders=LADDER), to=better))
    assert found is not None
    assert found.reach.startswith("Held constant for 40 steps with today's batch_size, runs explode")


def test_a_rate_near_the_wall_is_warned_of_first(new_run: NewRun) -> None:
    sources = answered(new_run(ladders=LADDER), to=BETTER.with_values({"lr": 0.04}))
    assert walls(sources) == ("The recommended lr=0.04 is close to a wall: runs explode at 0.06, 1.5x above.",)
    html = write_report(sources.run.folder).read_text()
    assert html.count("close to a wall") == 1


def test_todays_rate_is_warned_of_where_it_is_kept(new_run: NewRun) -> None:
    writer = new_run(ladders=rungs(TODAY, (1e-3, "best"), (0.03, "explodes")))
    sources = answered(writer, KEEP)
    assert walls(sources) == ("Today's lr=0.03 is close to a wall: runs explode at 0.03, the same rate.",)
    found = margins(sources)
    assert found is not None
    assert found.reach.endswith("runs explode at lr=0.03 and still train at 0.001: 0.03 is that rate.")


def test_a_rate_beyond_the_wall(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=rungs(TODAY, (1e-4, "best"), (3e-3, "too high"))), CANNOT_TELL))
    assert found is not None
    assert found.reach.endswith("runs no longer learn at lr=0.003 and still train at 0.0001: "
                                "0.03 lies 1.0 decade (10x) beyond it.")  # fmt: skip


def test_none_of_the_rates_fails(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=rungs(TODAY, (1e-3, "stable"), (0.3, "best"))), KEEP))
    assert found is not None
    assert found.reach == (
        "Held constant for 40 steps, none of the rates up to 0.3 explodes or stops learning, "
        "1.0 decade (10x) above 0.03."
    )


def test_every_rate_explodes(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=rungs(TODAY, (1e-3, "explodes"), (0.3, "explodes"))), CANNOT_TELL))
    assert found is not None
    assert found.reach.endswith("runs explode at lr=0.001: 0.03 lies 1.5 decades (30x) beyond it.")


def test_without_a_ladder_it_cannot_be_told(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=rungs(TODAY, (1e-3, "best")))))
    assert found is not None
    assert found.reach.startswith("Cannot tell how far lr=0.003 is from diverging")
    assert found.reach.endswith("input: standardize.")


AROUND = (
    Near(0.001, 0.2, 0.21, {0: 0.2, 1: 0.2}),
    Near(0.0018, 0.104, 0.2, {0: 0.02, 1: 0.5408}),
    Near(0.003, 0.1, 0.2, {0: 0.1, 1: 0.1}),
    Near(0.0056, 0.3, math.inf, {0: 0.1, 1: math.inf}),
)


def test_the_valley_in_words_and_rows(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=LADDER), around=AROUND))
    assert found is not None
    assert found.valley == "The score stays within 5% of the best from 0.0018 to 0.003, 0.2 decades (1.7x)."
    assert [(row.lr, row.cost, row.note) for row in found.rates] == [
        ("0.001", "+100%", "worse"),
        ("0.0018", "+4%", "within the noise of 2 seeds"),
        ("0.003", "best", ""),
        ("0.0056", "+200%", "a run was lost"),
    ]
    assert found.rates[0].interval == "100 to 100%"
    assert [row.lr for row in found.rates if row.is_recommended] == ["0.003"]
    assert found.walls == ("The recommended lr=0.003 is close to a wall: a run was lost at 0.0056, 1.9x above.",)


def test_a_valley_whose_end_was_not_tried(new_run: NewRun) -> None:
    found = margins(answered(new_run(ladders=LADDER), around=AROUND[1:3]))
    assert found is not None
    assert found.valley.endswith("; what lies below or above was not tried.")


def test_runners_up_are_beside_the_recommended_on_its_seeds(new_run: NewRun) -> None:
    writer, other = new_run(ladders=LADDER), BETTER.with_values({"weight_decay": 0.1})
    for index, (params, seed, score) in enumerate(
        [(BETTER, 1, 0.1), (BETTER, 2, 0.2), (BETTER, 3, 0.3), (other, 1, 0.15), (other, 2, 0.3), (other, 3, 0.45),
         (other, 9, 1e-6), (TODAY, 1, 0.1), (TODAY, 2, 0.1), (TODAY, 3, 0.1)]
    ):  # fmt: skip
        writer.trial("confirm", index, params, seed=seed, score=score)
    writer.trial("proof", 0, TODAY.with_values({"clip_norm": 1.0}), seed=1, score=0.01)
    found = margins(answered(writer))
    assert found is not None
    (row,) = found.runners
    assert row.settings == "lr 0.003, weight_decay 0.1, normalization.input standardize"
    assert (row.cost, row.interval, row.note) == ("+50%", "50 to 50%", "")


def test_one_candidate_has_no_runner_up(new_run: NewRun) -> None:
    writer = new_run(ladders=LADDER)
    for index, params in enumerate((BETTER, TODAY)):
        writer.trial("confirm", index, params, seed=1, score=0.1)
    found = margins(answered(writer))
    assert found is not None
    assert found.runners == ()


def test_a_run_without_an_answer_has_no_margins_and_a_report(new_run: NewRun) -> None:
    writer = new_run(ladders=LADDER, status="interrupted")
    writer.explored()
    sources = Sources.read(writer.folder)
    assert margins(sources) is None
    assert walls(sources) == ()
    assert mattered(sources) is None
    html = write_report(writer.folder).read_text()
    assert "Margins" not in html
    assert "mattered" not in html


SHARES = (Share("lr", 0.79, 0.31, 0.92, 1.0), Share("dropout", 0.05, 0.0, 0.4, 0.5))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            Importance(20, 2, SHARES),
            "In 20 trials, of which 2 without a score count as the worst, the score hung on lr (79% of the spread, "
            "31% to 92%); of the others that cannot be told.",
        ),
        (Importance(20, 0, SHARES[:1]), "In 20 trials, the score hung on lr (79% of the spread, 31% to 92%)."),
        (
            Importance(20, 0, (replace(SHARES[0], beats_chance=0.9), SHARES[1])),
            "Cannot tell which setting mattered: in 20 trials, none explains more than random numbers would.",
        ),
        (Importance(4, why_not="4 trials"), "Cannot tell which setting mattered: 4 trials."),
    ],
)
def test_what_mattered_in_words(new_run: NewRun, found: Importance, sentence: str) -> None:
    writer = new_run()
    store.write_json(writer.folder / store.IMPORTANCE, found.as_dict())
    said = mattered(Sources.read(writer.folder))
    assert said is not None
    assert said.sentence == sentence
    assert [row.note for row in said.rows] == [
        "more than chance" if share.is_clear else "not told from chance" for share in found.shares
    ]
    assert sentence in write_report(writer.folder).read_text()
