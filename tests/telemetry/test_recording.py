from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preflight.core.errors import InputError, MissingError
from preflight.core.params import Params
from preflight.telemetry import store
from preflight.telemetry.chunk import Chunk, Layout, concatenate
from preflight.telemetry.recording import Recording, Run

WriteTrial = Callable[..., Path]


def test_a_trial_is_read_as_it_was_written(write_trial: WriteTrial) -> None:
    params = Params(lr=0.1, batch_size=32, normalization={"input": "robust"}, extras={"dropout": 0.1})
    recording = Recording.open(write_trial(params=asdict(params), metric=0.97))
    assert recording.params == params
    assert (recording.purpose, recording.seed, recording.steps) == ("explore", 3, 6)
    assert (recording.status, recording.reason) == ("completed", "")
    assert (recording.score, recording.metric) == (0.5, 0.97)
    assert recording.was_recorded


def test_what_was_not_measured_is_nan(write_trial: WriteTrial) -> None:
    recording = Recording.open(write_trial(score=math.nan, metric=None))
    assert math.isnan(recording.score)
    assert math.isnan(recording.metric)


def test_why_a_trial_did_not_complete(write_trial: WriteTrial) -> None:
    recording = Recording.open(write_trial(outcome={"status": "diverged", "reason": "the loss is not finite"}))
    assert (recording.status, recording.reason) == ("diverged", "the loss is not finite")


def test_tables_are_read_with_every_row(write_trial: WriteTrial, history: Chunk) -> None:
    recording = Recording.open(write_trial())
    assert recording.losses["total"].tolist() == history.losses[:, 0].tolist()
    assert recording.gradient_norms["embedding"].tolist() == history.norms[:, 2].tolist()
    assert recording.parameters["name"].tolist() == ["backbone.w", "backbone.b", "embedding.w", "arcface.w"]


def test_numbers_as_names_stay_text(write_trial: WriteTrial, layout: Layout) -> None:
    recording = Recording.open(write_trial(columns=replace(layout, parameters=("0", "1", "10", "1e5"))))
    assert recording.parameters["name"].tolist() == ["0", "1", "10", "1e5"]
    assert recording.worst_parameter == "10"


def test_the_largest_gradient_and_where_it_was(write_trial: WriteTrial, history: Chunk) -> None:
    recording = Recording.open(write_trial())
    assert recording.max_gradient_norm == pytest.approx(np.linalg.norm(history.norms[-1]))
    assert recording.worst_parameter == "embedding.w"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_was_not_finite_is_the_largest(bad: float, write_trial: WriteTrial, history: Chunk) -> None:
    norms = history.norms.copy()
    norms[2, 0] = bad
    recording = Recording.open(write_trial(chunk=replace(history, norms=norms)))
    assert recording.max_gradient_norm == math.inf
    assert recording.worst_parameter == "embedding.w"


def test_without_any_gradient_there_is_no_worst(write_trial: WriteTrial, history: Chunk) -> None:
    recording = Recording.open(write_trial(chunk=replace(history, norms=np.full_like(history.norms, np.nan))))
    assert recording.worst_parameter == ""


def test_a_trial_without_files_or_without_a_step_was_not_recorded(write_trial: WriteTrial, layout: Layout) -> None:
    assert not Recording.open(write_trial("crash-000", chunk=None)).was_recorded
    first_step = Recording.open(write_trial("crash-001", chunk=concatenate([], layout)))
    assert not first_step.was_recorded
    assert math.isnan(first_step.max_gradient_norm)
    assert first_step.worst_parameter == ""


def test_a_folder_that_is_no_trial_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}/nothing is not a recorded trial: .*trial.json"):
        Recording.open(tmp_path / "nothing")


@pytest.mark.parametrize("kind", [Recording, Run])
@pytest.mark.parametrize("content", [b"", b'{"purpose": "expl', b"\xff\xfe\x00", b"[]", b"null", b"5", b'"text"'])
def test_json_that_is_cut_off_or_something_else_is_an_input_error(
    kind: type[Recording] | type[Run], content: bytes, tmp_path: Path
) -> None:
    for name in (store.TRIAL, store.RUN):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{tmp_path} is not a re?"):
        kind.open(tmp_path)


@pytest.mark.parametrize("key", ["purpose", "index", "params", "seed", "steps", "outcome"])
def test_a_trial_that_lacks_a_key_says_which(key: str, write_trial: WriteTrial) -> None:
    folder = write_trial()
    values = store.read_json(folder / store.TRIAL)
    del values[key]
    store.write_json(folder / store.TRIAL, values)
    with pytest.raises(InputError, match=f"is not a recorded trial: trial.json has no {key}$"):
        Recording.open(folder)


@pytest.mark.parametrize("table", ["losses", "gradient_norms", "parameters"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x00", b"a,b\n1,2\n1,2,3,4\n", b'a,b\n"1,2\n'])
def test_a_table_that_cannot_be_read_is_named(table: str, content: bytes, write_trial: WriteTrial) -> None:
    folder = write_trial()
    path = folder / f"{table}.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} cannot be read: "):
        getattr(Recording.open(folder), table)


def test_what_a_recording_lacks_is_named(write_trial: WriteTrial) -> None:
    folder = write_trial()
    (folder / "losses.csv").unlink()
    recording = Recording.open(folder, {"losses": {"ce": {"initial": 2.3}}})
    with pytest.raises(MissingError, match=r"^there is no losses.csv$"):
        recording.column("losses", "total")
    with pytest.raises(MissingError, match=r"^gradient_norms.csv has no column 'tail'$"):
        recording.column("gradient_norms", "tail")
    with pytest.raises(MissingError, match=r"^this run has no setting 'momentum'$"):
        recording.setting("momentum")
    with pytest.raises(MissingError, match=r"^no probe has looked at 'losses.ce.chance'$"):
        recording.fact("losses", "ce", "chance", "value")
    assert recording.fact("losses", "ce", "initial") == 2.3


@pytest.mark.parametrize("table", ["losses", "gradient_norms", "parameters"])
@pytest.mark.parametrize("cut", [1, 3, 30])
def test_a_table_that_is_cut_off_is_not_read_as_whole(table: str, cut: int, write_trial: WriteTrial) -> None:
    folder = write_trial()
    path = folder / f"{table}.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=f"{path} cannot be read: "):
        getattr(Recording.open(folder), table)


def test_a_table_that_lacks_whole_rows_says_how_many(write_trial: WriteTrial) -> None:
    folder = write_trial()
    path = folder / "losses.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(InputError, match=f"{path} cannot be read: it is cut off after 3 of 6 rows"):
        _ = Recording.open(folder).losses


def test_a_trial_of_before_tables_were_counted_is_read(write_trial: WriteTrial) -> None:
    folder = write_trial()
    values = store.read_json(folder / store.TRIAL)
    del values["tables"]
    store.write_json(folder / store.TRIAL, values)
    assert len(Recording.open(folder).losses) == 6


@pytest.fixture
def run(write_trial: WriteTrial, tmp_path: Path) -> Run:
    """A run with trials of two stages, one of them unfinished."""
    for name in ("explore-000", "explore-1000", "explore-999", "range-000", "explore-001"):
        write_trial(name)
    (write_trial("explore-002") / store.TRIAL).unlink()
    store.write_json(tmp_path / "run" / store.RUN, {"status": "done"})
    return Run.open(tmp_path / "run")


def test_trials_come_in_the_order_they_ran(run: Run) -> None:
    assert [item.info["index"] for item in run.recordings("explore")] == [0, 1, 999, 1000]


def test_trials_of_one_stage_or_of_all(run: Run) -> None:
    assert [item.purpose for item in run.recordings("range")] == ["range"]
    assert len(run.recordings()) == 5
    assert run.recordings("confirm") == []


def test_a_trial_that_was_not_finished_is_left_out(run: Run) -> None:
    assert "explore-002" not in [item.folder.name for item in run.recordings()]


def test_what_ran_is_in_the_info(run: Run) -> None:
    assert run.info == {"status": "done"}


def test_a_run_without_trials_has_none(tmp_path: Path) -> None:
    assert Run(tmp_path, {}).recordings() == []


def test_documents_are_read_or_not_there_yet(run: Run) -> None:
    store.write_json(run.folder / store.INSPECTION, {"score": math.inf})
    assert run.document(store.INSPECTION) == {"score": math.inf}
    assert run.document(store.RECOMMENDATION) is None


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff", b"[1]"])
def test_a_document_that_is_cut_off_is_an_input_error(content: bytes, run: Run) -> None:
    (run.folder / store.RECOMMENDATION).write_bytes(content)
    with pytest.raises(InputError, match=f"{run.folder}/recommendation.json cannot be read"):
        run.document(store.RECOMMENDATION)


def test_texts_are_read_or_not_there_yet(run: Run) -> None:
    store.write_text(run.folder / store.DIFF, "- größe\n")
    assert run.text(store.DIFF) == "- größe\n"
    assert run.text(store.ORIGINAL) is None


def test_of_preflights_own_a_value_that_is_not_finite_stays_and_of_others_what_is_empty_goes() -> None:
    tables = {"gradient_norms": pd.DataFrame({"step": [0, 50, 100], "overall": [1.0, np.nan, np.inf]})}
    own = Recording(Path(), {}, {}, tables).measured("gradient_norms", "overall")
    assert (own.steps.tolist(), own.place(1)) == ([0, 1, 2], "step 1")
    np.testing.assert_equal(own.values, [1, np.nan, np.inf])
    other = Recording(Path(), {}, {}, tables, is_own=False).measured("gradient_norms", "overall")
    assert (other.steps.tolist(), other.values.tolist()) == ([0, 100], [1, np.inf])
