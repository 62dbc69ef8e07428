from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from preflight.core.errors import InputError, MissingError
from preflight.telemetry import store
from preflight.telemetry.foreign import open_foreign

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a folder."""

    def run(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return run


def test_every_table_of_the_format_is_read_and_nothing_else(write: Write) -> None:
    folder = write(
        gradient_norms="epoch,overall,backbone\n0,1,2\n",
        weight_deltas="epoch,backbone_delta\n0,0.5\n",
        arcface_stats="epoch,weight_mean\n0,0.1\n",
        learning_rates="epoch,lr_group0\n0,0.01\n",
        notes="a,b\n1,2\n",
    )
    found = open_foreign(folder)
    (recording,) = found.recordings
    assert found.problems == ()
    assert set(recording.tables or ()) == {"gradient_norms", "weight_deltas", "arcface_stats", "learning_rates"}
    assert recording.column("gradient_norms", "overall").tolist() == [1.0]
    assert recording.names("weight_deltas") == ("backbone_delta",)


def test_one_file_is_enough(write: Write) -> None:
    (recording,) = open_foreign(write(learning_rates="epoch,lr_group0\n0,0.01\n")).recordings
    assert recording.column("learning_rates", "lr_group0").tolist() == [0.01]


def test_names_in_capitals_are_the_same(write: Write) -> None:
    (recording,) = open_foreign(write(Gradient_Norms="Epoch,Overall,Body\n0,1,2\n")).recordings
    assert list(recording.table("gradient_norms").columns) == ["epoch", "overall", "Body"]


def test_a_table_without_an_epoch_is_read_and_said(write: Write) -> None:
    found = open_foreign(write(gradient_norms="overall\n1\n2\n"))
    assert found.recordings[0].column("gradient_norms", "overall").tolist() == [1, 2]
    (problem,) = found.problems
    assert str(problem) == "gradient_norms.csv: has no column 'epoch'; aggregates by epoch are not applicable"


def test_a_broken_file_leaves_the_others_readable(write: Write) -> None:
    found = open_foreign(write(gradient_norms="", weight_deltas="epoch,a_delta\n0,1\n0\n"))
    assert set(found.recordings[0].tables or ()) == {"weight_deltas"}
    assert [str(problem) for problem in found.problems] == [
        "gradient_norms.csv: empty",
        "weight_deltas.csv, line 3: 1 cells where the header has 2; left out",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no telemetry: none of gradient_norms.csv, .*<head>_stats.csv$"),
        ({"metrics": "a\n1\n"}, r"found metrics.csv \(a history or a log is read by preflight audit\)"),
        ({"gradient_norms": ""}, "has no telemetry: .*; gradient_norms.csv: empty$"),
    ],
)
def test_a_folder_without_a_table_is_bad_input(write: Write, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_foreign(write(**files))


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{name} is not a folder"):
        open_foreign(tmp_path / name)


def trial(folder: Path, purpose: str, lr: float = 0.1) -> None:
    folder.mkdir(parents=True)
    params = {"lr": lr, "batch_size": 8}
    info = {"purpose": purpose, "index": 0, "params": params, "seed": 0, "steps": 2, "outcome": {"status": "completed"}}
    (folder / store.TRIAL).write_text(json.dumps(info), encoding="utf-8")
    (folder / "gradient_norms.csv").write_text("epoch,overall\n0,1\n0,2\n", encoding="utf-8")


def test_a_trial_of_preflight_brings_its_settings_and_the_facts_of_its_run(tmp_path: Path) -> None:
    trial(tmp_path / "trials" / "range-000", "range")
    (tmp_path / store.FACTS).write_text('{"memory": {"peak_gib": 2}}', encoding="utf-8")
    (recording,) = open_foreign(tmp_path / "trials" / "range-000").recordings
    assert recording.setting("batch_size") == 8
    assert recording.fact("memory", "peak_gib") == 2


CONFIRMED = (("range", 0.1), ("explore", 0.1), ("confirm", 0.1), ("confirm", 0.1), ("confirm", 0.5), ("proof", 0.1))


@pytest.mark.parametrize(
    ("trials", "read"),
    [
        (CONFIRMED, ["confirm-002", "confirm-003"]),
        (CONFIRMED[:2], ["explore-001"]),  # it ended before anything was confirmed
        (CONFIRMED[4:5], ["confirm-000"]),
    ],
)
def test_of_a_run_todays_settings_are_judged_or_else_all(
    tmp_path: Path, trials: tuple[tuple[str, float], ...], read: list[str]
) -> None:
    (tmp_path / store.RUN).write_text("{}", encoding="utf-8")
    (tmp_path / store.INSPECTION).write_text('{"today": {"lr": 0.1, "batch_size": 8}}', encoding="utf-8")
    for index, (purpose, lr) in enumerate(trials):
        trial(tmp_path / "trials" / f"{purpose}-{index:03d}", purpose, lr)
    assert [recording.folder.name for recording in open_foreign(tmp_path).recordings] == read


def test_a_run_without_a_trial_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / store.RUN).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="has no recorded trial"):
        open_foreign(tmp_path)


def test_a_table_that_cannot_be_opened_is_named_and_the_rest_is_read(write: Write) -> None:
    folder = write(weight_deltas="epoch,a_delta\n0,1\n")
    (folder / "gradient_norms.csv").mkdir()
    (folder / "learning_rates.csv").symlink_to(folder / "learning_rates.csv")
    found = open_foreign(folder)
    assert set(found.recordings[0].tables or ()) == {"weight_deltas"}
    assert [str(problem) for problem in found.problems] == [
        "gradient_norms.csv: cannot be read: Is a directory",
        "learning_rates.csv: cannot be read: Too many levels of symbolic links",
    ]
    with pytest.raises(MissingError, match=r"gradient_norms\.csv could not be read: .*Is a directory"):
        found.recordings[0].table("gradient_norms")


@pytest.mark.parametrize(("text", "why"), [("", "empty"), ("epoch,overall\n", "has no rows"), ("0,1\n", "no header")])
def test_a_table_without_a_row_is_there(write: Write, text: str, why: str) -> None:
    found = open_foreign(write(gradient_norms=text, weight_deltas="epoch,a_delta\n0,1\n"))
    with pytest.raises(MissingError, match=rf"gradient_norms\.csv could not be read: .*{why}"):
        found.recordings[0].column("gradient_norms", "overall")
    assert not any("gradient_norms" in str(item) for item in found.absent)


def test_files_and_columns_that_are_not_there_are_named(write: Write) -> None:
    found = open_foreign(write(gradient_norms="epoch,overall\n0,1\n", arcface_stats="epoch,weight_mean\n0,1\n"))
    assert [str(item) for item in found.absent] == [
        "gradient_norms.csv: no column '<component>'",
        "weight_deltas.csv: not there; components that do not move, move unevenly or swing cannot be told",
        "learning_rates.csv: not there; rates of 0, and whether rates explain uneven moves, cannot be told",
        "<head>_stats.csv: no column 'weight_std'",
        "<head>_stats.csv: no column 'weight_norm_mean'",
        "<head>_stats.csv: no column 'weight_norm_std'",
        "<head>_geometry.csv: not there; whether prototypes point the same way cannot be told",
    ]


@pytest.mark.parametrize("name", ["step", "Step", "global_step", "iteration"])
def test_rows_come_in_the_order_of_their_steps(write: Write, name: str) -> None:
    found = open_foreign(write(gradient_norms=f"epoch,{name},overall\n0,100,2\n0,0,1\n0,50,\n"))
    measured = found.recordings[0].measured("gradient_norms", "overall")
    assert (measured.steps.tolist(), measured.values.tolist()) == ([0, 100], [1, 2])
    assert measured.place(1) == "step 100"
    assert "not in the order of their steps" in str(found.problems[0])


def test_without_steps_rows_are_counted(write: Write) -> None:
    found = open_foreign(write(gradient_norms="epoch,overall\n0,\n0,1\n"))
    assert found.problems == ()
    assert found.recordings[0].measured("gradient_norms", "overall").place(0) == "collection step 1"


GOOD = {"purpose": "x", "index": 0, "params": {"lr": 0.1, "batch_size": 8}, "seed": 0, "steps": 2}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"params": 3}, "has no purpose"),
        ({"params": {"learning_rate": 0.1}}, "has no purpose"),
        ({**GOOD, "params": {"learning_rate": 0.1}, "outcome": {"status": "completed"}}, "learning_rate"),
        ({**GOOD, "params": 3, "outcome": {"status": "completed"}}, "holds what no trial does"),
        ({**GOOD, "outcome": []}, "holds what no trial does"),
        ([], "holds list where an object belongs"),
    ],
)
def test_a_trials_account_that_is_none_is_named_and_the_tables_are_read(
    write: Write, document: object, why: str
) -> None:
    folder = write(gradient_norms="epoch,overall\n0,1\n")
    (folder / store.TRIAL).write_text(json.dumps(document), encoding="utf-8")
    found = open_foreign(folder)
    (problem,) = found.problems
    assert why in str(problem)
    assert (found.recordings[0].info, found.recordings[0].is_own) == ({}, False)


def test_tables_beside_a_run_of_some_other_tool_are_read(write: Write) -> None:
    folder = write(gradient_norms="epoch,overall\n0,1\n")
    (folder / store.RUN).write_text("{}", encoding="utf-8")
    assert open_foreign(folder).recordings[0].column("gradient_norms", "overall").tolist() == [1]


def test_places_are_those_of_the_files_rows(write: Write) -> None:
    found = open_foreign(write(gradient_norms="epoch,overall\n0,1\n0\n0,abc\n0,1\n0,inf\n0,1\n")).recordings[0]
    norms = found.measured("gradient_norms", "overall")
    assert norms.values.tolist() == [1, 1, float("inf"), 1]
    assert norms.place(2) == "collection step 4"


def test_a_norm_cannot_be_negative_and_a_loss_can(write: Write) -> None:
    folder = write(
        gradient_norms="epoch,overall,loss\n0,1,-2\n0,-1,-3\n0,1,-4\n",
        weight_deltas="epoch,a_delta\n0,-0.5\n0,0.5\n",
        head_stats="epoch,weight_mean,weight_std,weight_norm_mean,weight_norm_std\n0,-1,1,1,-1\n",
        losses="epoch,step,total\n0,0,-1\n",
    )
    found = open_foreign(folder)
    assert {(problem.file, problem.line) for problem in found.problems} == {
        ("gradient_norms.csv", 3),
        ("weight_deltas.csv", 2),
        ("head_stats.csv", 2),
    }
    assert found.recordings[0].measured("gradient_norms", "overall").values.tolist() == [1, 1]
