from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preflight.advise.evidence import Effect
from preflight.advise.recommendation import CHANGE, Change, Recommendation
from preflight.core.catalog import packaged_conf
from preflight.core.errors import ConfigFileError
from preflight.core.settings import Settings, load
from preflight.pipeline.today import Today
from preflight.pipeline.writing import output_path, write_config
from preflight.telemetry import store

ReadText = Callable[..., Today]

TEXT = "# mine\nlr: 0.01   # usual\nbatch: 20\nepochs: 6\n"
MAPPING = {"lr": "lr", "batch_size": "batch", "horizon_epochs": "epochs"}
FIXED = "# mine\nlr: 0.002   # usual  # preflight: was 0.01; lowers the validation score by 40% (alone: 30%)\n"
FIXED += "batch: 20\nepochs: 6\n"


@pytest.fixture(scope="module")
def defaults() -> Settings:
    return load(["+model=digits"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def today(read_text: ReadText, file: Path) -> Today:
    found = read_text(TEXT, MAPPING)
    assert found.file is not None
    return replace(found, file=replace(found.file, path=file))


def recommend(today: Today, **values: float) -> Recommendation:
    """Proved over the whole of the long run."""
    alone, needed = Effect(0.3, 0.1, 0.5, 3), Effect(0.4, 0.2, 0.6, 3)
    after = today.params.with_values(values)
    changes = tuple(Change(name, today.params.flat()[name], new, alone, needed) for name, new in values.items())
    steps = today.length.horizon_steps
    return Recommendation(CHANGE, "", today.params, after, changes, steps=steps, confirm_steps=steps)


@pytest.mark.parametrize(("gain", "said"), [(-1.85, "alone it raises it by 185%"), (-0.001, "alone: 0%")])
def test_a_change_that_only_helps_beside_the_others_says_so(
    gain: float, said: str, defaults: Settings, today: Today, tmp_path: Path
) -> None:
    answer = recommend(today, lr=0.002)
    change = replace(answer.changes[0], alone=Effect(gain, gain - 1, gain + 1, 3))
    written = write_config(defaults, today, replace(answer, changes=(change,)), {}, tmp_path)
    assert f"lowers the validation score by 40% ({said})" in written.diff


def test_what_was_measured_over_a_part_of_the_long_run_says_so(
    defaults: Settings, today: Today, tmp_path: Path
) -> None:
    horizon = today.length.horizon_steps
    answer = replace(recommend(today, lr=0.002), steps=horizon - 1, confirm_steps=horizon - 2)
    written = write_config(defaults, today, answer, {}, tmp_path)
    measured = f"lowers the validation score by 40% over {horizon - 2} of {horizon} steps (alone: 30%)"
    assert f"{measured}; may hold in the long run" in written.diff


def refusal(settings: Settings, file: Path | None) -> str:
    with pytest.raises(ConfigFileError) as error:
        output_path(settings, file)
    return str(error.value)


def test_the_corrected_file_goes_beside_the_original(defaults: Settings, file: Path) -> None:
    assert output_path(defaults, file) == file.parent / "config_fixed.yaml"


def test_beside_a_config_that_ships_with_preflight_nothing_is_written(defaults: Settings) -> None:
    shipped = packaged_conf().resolve() / "model" / "train" / "digits.yaml"
    assert shipped.is_file()
    assert output_path(defaults, shipped) is None


def test_an_output_of_ones_own_is_used_for_a_shipped_config_too(defaults: Settings, tmp_path: Path) -> None:
    settings = replace(defaults, output=tmp_path / "x.yaml")
    assert output_path(settings, packaged_conf().resolve() / "model" / "train" / "digits.yaml") == tmp_path / "x.yaml"


def test_a_relative_output_starts_at_the_current_folder(
    defaults: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert output_path(replace(defaults, output=Path("new.yaml")), file) == file.parent / "new.yaml"


def test_without_a_file_there_is_no_output(defaults: Settings) -> None:
    assert output_path(defaults, None) is None


def test_an_output_without_a_file_to_correct_is_refused(defaults: Settings, tmp_path: Path) -> None:
    text = refusal(replace(defaults, output=tmp_path / "x.yaml"), None)
    assert text == f"output={tmp_path}/x.yaml gets nothing: model.config names no file to correct"


def test_the_original_is_never_the_output(defaults: Settings, file: Path) -> None:
    for overwrite in (False, True):
        assert "is the original" in refusal(replace(defaults, output=file, overwrite=overwrite), file)


def test_the_original_is_recognized_behind_another_name(defaults: Settings, file: Path) -> None:
    link = file.with_name("link.yaml")
    link.symlink_to(file)
    twin = file.with_name("twin.yaml")
    twin.hardlink_to(file)
    for name in (link, twin):
        assert "is the original" in refusal(replace(defaults, output=name, overwrite=True), file)


def test_a_result_that_is_there_is_kept_unless_told_otherwise(defaults: Settings, file: Path) -> None:
    there = file.with_name("config_fixed.yaml")
    there.write_text("precious", encoding="utf-8")
    text = refusal(defaults, file)
    assert str(there) in text
    assert "overwrite=true" in text
    assert "output=PATH" in text
    assert output_path(replace(defaults, overwrite=True), file) == there


def test_a_dangling_link_is_something_that_is_there(defaults: Settings, file: Path) -> None:
    file.with_name("config_fixed.yaml").symlink_to(file.parent / "gone")
    assert "exists already" in refusal(defaults, file)


def test_a_folder_cannot_be_the_output(defaults: Settings, file: Path) -> None:
    for overwrite in (False, True):
        text = refusal(replace(defaults, output=file.parent, overwrite=overwrite), file)
        assert text == f"output={file.parent} is a folder; give the path of a file"


def test_an_output_in_no_folder_is_refused(defaults: Settings, file: Path) -> None:
    assert "there is no folder" in refusal(replace(defaults, output=file.parent / "no" / "x.yaml"), file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_refused_before_training(defaults: Settings, file: Path) -> None:
    file.parent.chmod(0o555)
    try:
        assert "config_fixed.yaml cannot be written: Permission denied" in refusal(defaults, file)
    finally:
        file.parent.chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no file from root either")
def test_a_folder_that_takes_no_file_is_refused_whatever_its_permissions_say(defaults: Settings, file: Path) -> None:
    text = refusal(replace(defaults, output=Path("/proc/x.yaml")), file)
    assert text.startswith("output=/proc/x.yaml cannot be written: ")
    assert text.endswith("; give another output=PATH")


def test_a_folder_without_room_is_refused_before_training(
    defaults: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    place = file.with_name("config_fixed.yaml")
    assert refusal(defaults, file) == (
        f"output={place} cannot be written: No space left on device; give another output=PATH"
    )


@pytest.mark.parametrize("length", [250, 300])
def test_a_name_that_is_too_long_is_refused_before_training(defaults: Settings, file: Path, length: int) -> None:
    text = refusal(replace(defaults, output=file.with_name("x" * length)), file)
    assert "cannot be written: File name too long" in text


def test_trying_leaves_nothing_behind(defaults: Settings, file: Path) -> None:
    output_path(defaults, file)
    assert list(file.parent.iterdir()) == [file]


def test_the_corrected_file_is_written_twice_and_its_diff_once(
    defaults: Settings, today: Today, file: Path, tmp_path: Path
) -> None:
    run_dir = store.create(tmp_path / "run")
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, run_dir)
    assert written.paths == (run_dir / "config_fixed.yaml", file.with_name("config_fixed.yaml"))
    assert [path.read_text(encoding="utf-8") for path in written.paths] == [FIXED, FIXED]
    assert file.read_text(encoding="utf-8") == TEXT
    lines = (run_dir / store.DIFF).read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["--- train.yaml", "+++ config_fixed.yaml"]
    assert [line for line in lines[3:] if line[0] in "+-"] == ["-lr: 0.01   # usual", f"+{FIXED.splitlines()[1]}"]


def test_a_run_in_the_files_own_folder_writes_it_once(defaults: Settings, today: Today, file: Path) -> None:
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, file.parent)
    assert written.paths == (file.with_name("config_fixed.yaml"),)
    assert written.paths[0].read_text(encoding="utf-8") == FIXED


def test_a_file_that_appears_meanwhile_is_kept_and_the_run_has_its_copy(
    defaults: Settings, today: Today, file: Path, tmp_path: Path
) -> None:
    run_dir = store.create(tmp_path / "run")
    other = file.with_name("config_fixed.yaml")
    other.write_text("precious", encoding="utf-8")
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, run_dir)
    assert "exists already" in written.problem
    assert written.paths == (run_dir / store.FIXED,)
    assert other.read_text(encoding="utf-8") == "precious"
    assert (run_dir / store.FIXED).read_text(encoding="utf-8") == FIXED


def test_an_original_that_changed_meanwhile_gets_no_copy_beside_it(
    defaults: Settings, today: Today, file: Path, tmp_path: Path
) -> None:
    run_dir = store.create(tmp_path / "run")
    file.write_text(TEXT + "new: 1\n", encoding="utf-8")
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, run_dir)
    assert written.problem.startswith(f"{file} has changed since the run began; {run_dir / store.FIXED} is the")
    assert written.paths == (run_dir / store.FIXED,)
    assert not file.with_name(store.FIXED).exists()


def test_a_disk_that_is_full_at_the_end_is_a_problem_and_no_exception(
    defaults: Settings, today: Today, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise ConfigFileError(f"cannot write {path}: No space left on device")

    run_dir = store.create(tmp_path / "run")
    monkeypatch.setattr("preflight.pipeline.writing.write_atomic", full)
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, run_dir)
    assert written.paths == ()
    assert written.problem == f"cannot write {run_dir / store.FIXED}: No space left on device"
    assert "-lr: 0.01" in written.diff


def test_changes_without_a_key_are_left_to_the_user(defaults: Settings, today: Today, tmp_path: Path) -> None:
    run_dir = store.create(tmp_path / "run")
    written = write_config(defaults, today, recommend(today, lr=0.002, warmup_fraction=0.1), {}, run_dir)
    assert written.unmapped == ("warmup_fraction",)
    assert written.paths[0].read_text(encoding="utf-8") == FIXED


def test_without_a_file_everything_is_left_to_the_user(defaults: Settings, read_text: ReadText, tmp_path: Path) -> None:
    today = read_text(None, baseline={"lr": 0.01, "batch_size": 20}, horizon_steps=10)
    written = write_config(defaults, today, recommend(today, lr=0.002), {}, tmp_path)
    assert (written.paths, written.diff, written.unmapped) == ((), "", ("lr",))
    assert list(tmp_path.iterdir()) == []
