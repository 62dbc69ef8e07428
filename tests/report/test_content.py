from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.errors import InputError
from preflight.core.params import Params
from preflight.report import format as fmt
from preflight.report.comparison import compare
from preflight.report.content import Page, diff_lines, page_content
from preflight.report.rates import ladders
from preflight.report.sources import Sources
from preflight.report.tables import MAX_TRIALS, key_of

NewRun = Callable[..., Any]
NOW = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})


def content(writer: Any) -> Page:
    sources = Sources.read(writer.folder)
    return page_content(sources, ladders(sources), compare(sources))


def test_a_change_is_said_in_one_sentence(changed: Any) -> None:
    page = content(changed)
    assert page.verdict.kind == "change"
    assert page.verdict.sentence.startswith(
        "Change 2 settings: validation score 0.997 → 0.103 (geometric mean of 3 fresh seeds; gain 90%, 95% interval"
    )
    assert page.verdict.sentence.endswith("), accuracy 0.500 → 0.948 (mean).")
    assert page.verdict.alert == ""


def test_what_was_not_measured_is_said_beside_the_decision(changed: Any) -> None:
    page = content(changed)
    assert page.verdict.notes[0] == "Measured over 600 of 5,000 steps; the rest is extrapolated."
    assert any("extrapolated" in text for text in page.reading)


def test_both_lengths_of_a_change_are_said(changed: Any) -> None:
    page = content(changed)
    assert page.change_steps == " Both over 300 steps; the scores below over 600."
    assert page.lengths.startswith("The gain is 95% (94% to 96%) over 300 steps and 90% (88% to 91%) over 600: it shr")


def test_changed_settings_without_a_key_are_marked(changed: Any) -> None:
    page = content(changed)
    assert [(row.name, row.old, row.new, row.key) for row in page.changes] == [
        ("lr", "0.03", "0.003", "optim.lr"),
        ("normalization.input", "none", "standardize", ""),
    ]
    assert page.changes[0].alone.unclear
    assert not page.changes[0].needed.unclear
    assert page.verdict.notes[1] == "Not in your file, so change it by hand: normalization.input."


def test_without_a_file_everything_is_changed_by_hand(changed: Any) -> None:
    changed.inspection(config=None, mapping={})
    assert "names no file to correct" in content(changed).verdict.notes[1]


def test_scores_by_seed_end_with_their_mean(changed: Any) -> None:
    rows = content(changed).seeds
    assert [row.seed for row in rows] == ["2000", "2001", "2002", "mean"]
    assert rows[0].cells == ("0.900", "0.0900", "0.550", "0.955")


def test_todays_learning_rate_is_marked_and_explosions_are_placed(changed: Any) -> None:
    table = content(changed).ladders[0]
    assert table.note == "as today"
    assert [row.is_today for row in table.rows] == [False, True, False]
    assert table.rows[2].exploded == "3 of 3, head.w"
    assert (table.rows[2].median_norm, table.rows[2].final_loss) == ("∞", fmt.MISSING)


def test_keeping_says_why_and_how_good_today_is(kept: Any) -> None:
    page = content(kept)
    assert page.verdict.kind == "keep"
    assert page.verdict.sentence.startswith("Keep your config: nothing beyond the noise.")
    assert "validation score of 0.531 (geometric mean of 3 seeds)" in page.verdict.sentence
    assert page.verdict.notes == ()
    assert page.changes == ()
    assert page.trajectories is not None
    assert page.trajectories.caption.startswith("Today's settings and best candidate: 3 confirming runs each.")


def test_cannot_tell_gives_its_reason(changed: Any) -> None:
    sources = Sources.read(changed.folder)
    assert sources.recommendation is not None
    answer = sources.recommendation.as_dict() | {"decision": "cannot_tell", "reason": "the metric gets worse"}
    changed.recommendation(type(sources.recommendation).from_dict(answer | {"changes": []}))
    page = content(changed)
    assert page.verdict.kind == "cannot_tell"
    assert page.verdict.sentence.startswith("Cannot tell: the metric gets worse.")
    assert page.other_label == "best candidate"


def test_a_run_that_was_interrupted_before_anything_was_trained(new_run: NewRun) -> None:
    page = content(new_run(status="interrupted"))
    assert page.verdict.kind == "unfinished"
    assert page.verdict.alert == "This run was interrupted. Finished so far: no run."
    assert page.verdict.notes == ()
    assert (page.ladders, page.trials, page.trajectories, page.diff, page.seeds) == ((), (), None, (), ())


def test_a_run_that_was_interrupted_half_way_counts_what_there_is(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.explored()
    writer.trial("explore", 5, NOW.with_values({"lr": 0.2}), status="interrupted", steps_done=3)
    page = content(writer)
    assert page.verdict.alert == "This run was interrupted. Finished so far: 5 of 20 explored trials."
    assert len(page.trials) == 6
    assert page.verdict.notes == (
        "So far, unconfirmed: lr 0.03 → 0.003, normalization.input none → standardize; validation score 1.00 → 0.200, "
        "accuracy 0 → 0.800 in one trial of 60 steps each, the best of 5 explored trials.",
    )


def test_a_run_that_was_interrupted_before_anything_was_better_says_so(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.trial("explore", 0, score=0.2)
    writer.trial("explore", 1, NOW.with_values({"lr": 0.1}), score=0.4)
    (note,) = content(writer).verdict.notes
    assert note.startswith("So far, unconfirmed: none of 2 explored trials is better than today's settings (score 0.2")


def test_a_setting_has_the_same_key_in_every_table(changed: Any) -> None:
    page = content(changed)
    keys = {row.name: row.key for row in page.settings}
    assert [(row.name, row.key) for row in page.changes] == [(row.name, keys[row.name]) for row in page.changes]


def test_ladders_come_with_what_they_are_good_for(changed: Any) -> None:
    assert "held constant for 40 steps" in content(changed).ladder_note


def test_without_a_ladder_there_is_nothing_to_say_about_it(new_run: NewRun) -> None:
    assert content(new_run()).ladder_note == ""


def test_a_run_that_died_has_not_finished(new_run: NewRun) -> None:
    assert "has not finished" in content(new_run(status="running")).verdict.alert


def test_trials_say_what_they_changed_and_how_they_ended(kept: Any) -> None:
    rows = {row.index: row for row in content(kept).trials}
    assert rows["1"].settings == "lr 0.003, normalization.input standardize"
    assert (rows["0"].settings, rows["0"].is_today) == ("", True)
    assert (rows["2"].outcome, rows["2"].reason) == ("diverged", "head.w is <not> finite")
    assert (rows["2"].score, rows["2"].metric, rows["2"].steps) == (fmt.MISSING, fmt.MISSING, "7 of 60")
    assert rows["4"].steps == "30 of 60"


def test_only_the_best_trials_are_listed(new_run: NewRun) -> None:
    writer = new_run()
    for index in range(MAX_TRIALS + 3):
        writer.trial("explore", index, NOW.with_values({"lr": 0.001 * (index + 1)}), recorded=False)
    page = content(writer)
    assert len(page.trials) == MAX_TRIALS
    assert page.more_trials.startswith("3 more trials")


def test_runs_that_ended_badly_are_named_beside_the_trajectories(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("proof", 0, seed=1, status="diverged", reason="loss is NaN", steps_done=5)
    writer.trial("proof", 1, seed=2, recorded=False)
    (writer.trial("proof", 2, seed=3) / "losses.csv").write_bytes(b"\xff\xfe")
    page = content(writer)
    assert page.trajectories is not None
    assert page.trajectories.ends == (
        "today's settings, seed 1: diverged (loss is NaN)",
        "today's settings: 2 runs not recorded",
    )


def test_sides_of_different_size_are_counted_apart(new_run: NewRun) -> None:
    writer = new_run()
    for index in range(3):
        writer.trial("confirm", index, NOW, seed=index)
    writer.trial("confirm", 3, NOW.with_values({"lr": 0.01}))
    page = content(writer)
    assert page.trajectories is not None
    assert "3 and 1 confirming runs." in page.trajectories.caption


def test_only_the_first_features_are_listed(new_run: NewRun) -> None:
    writer = new_run()
    feature = {"name": "a", "kind": "binary", "minimum": 0, "maximum": 1, "mean": 0.5, "std": 0.5, "nonfinite": 3}
    writer.inspection(fields=[{"name": "x", "shape": [], "dtype": "int64", "features": [feature] * 40}])
    (field,) = content(writer).fields
    assert field.form == "scalar, int64"
    assert len(field.features) == 32
    assert field.features[0].has_nonfinite
    assert field.rest == "8 more features not shown here (binary)."


def test_a_loss_without_a_constant_predictor_has_no_ratio(new_run: NewRun) -> None:
    writer = new_run()
    writer.inspection(constants={"ce": 2.0, "own": None}, initial={"ce": 5.0, "own": 1.0})
    assert [(row.constant, row.ratio) for row in content(writer).losses.rows] == [
        ("2.00", "2.50"),
        (fmt.MISSING, fmt.MISSING),
    ]


def test_a_warmup_is_found_in_whatever_unit_the_file_has_it() -> None:
    mapping = {"warmup_epochs": "a.warmup", "horizon_epochs": "a.epochs", "lr": "a.lr"}
    assert key_of("warmup_fraction", mapping) == "a.warmup"
    assert key_of("lr", mapping) == "a.lr"
    assert key_of("dropout", mapping) == ""


def test_lines_of_a_diff_have_kinds() -> None:
    found = diff_lines("--- a\n+++ b\n@@ -1 +1 @@\n--x: 1\n+-x: 2\n same\n")
    assert [line.kind for line in found] == ["file", "file", "hunk", "remove", "add", "same"]


def test_a_folder_without_an_inspection_is_refused(new_run: NewRun) -> None:
    writer = new_run()
    (writer.folder / "inspection.json").unlink()
    with pytest.raises(InputError, match=r"inspection\.json"):
        Sources.read(writer.folder)
