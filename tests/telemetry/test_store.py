from __future__ import annotations

import json
import math
import os
import re
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.core.errors import ConfigError
from preflight.telemetry import store

words = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda text: text not in ("nan", "inf", "-inf"))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
names = st.sampled_from([name for name in vars(store) if name.isupper()])


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals NaN and 1 is not 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@given(values)
@settings(max_examples=60)
def test_whatever_json_can_hold_comes_back_non_finite_numbers_too(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    store.write_json(path, value)
    assert same(store.read_json(path), value)
    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"steps": np.int64(5)}, {"steps": 5}),
        ({"score": np.float32(0.5)}, {"score": 0.5}),
        ({"score": np.float64(np.nan)}, {"score": float("nan")}),
        ({"finite": np.bool_(True)}, {"finite": True}),
        ({"path": Path("a/b")}, {"path": "a/b"}),
        ({"pair": (1, (2, 3))}, {"pair": [1, [2, 3]]}),
        ({1000: 0.5}, {"1000": 0.5}),
    ],
)
def test_what_json_cannot_hold_becomes_the_nearest_that_it_can(value: object, read: object, tmp_path: Path) -> None:
    store.write_json(tmp_path / "a.json", value)
    assert same(store.read_json(tmp_path / "a.json"), read)


def test_text_is_written_as_utf8_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old and longer than the new", encoding="utf-8")
    store.write_text(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    store.write_text(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("was_there", [False, True])
def test_text_that_fails_half_way_leaves_nothing(was_there: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    if was_there:
        path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        store.write_text(path, "x" * 100_000 + "\ud800")
    assert [item.read_text(encoding="utf-8") for item in tmp_path.iterdir()] == ["old"] * was_there


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError if isinstance(error, OSError) else KeyboardInterrupt):
        store.write_json(tmp_path / "a.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


@contextmanager
def room(bytes_: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: writing fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("was_there", [False, True])
def test_a_disk_that_is_full_in_the_middle_of_a_file_is_named_and_leaves_no_half(
    was_there: bool, tmp_path: Path
) -> None:
    path = tmp_path / "losses.csv"
    if was_there:
        store.write_text(path, "old")
    with room(10_000), pytest.raises(ConfigError, match=re.escape(f"{path} cannot be written: File too large")):
        store.write_text(path, "1,2,3\n" * 100_000)
    assert [item.read_text(encoding="utf-8") for item in tmp_path.iterdir()] == ["old"] * was_there


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deleted" / "trial.json"
    with pytest.raises(ConfigError, match=re.escape(f"{path} cannot be written: No such file or directory")):
        store.write_json(path, {})
    with pytest.raises(ConfigError, match=re.escape(f"{path.parent / 'a'} cannot be written: No such file")):
        store.empty_folder(path.parent / "a")


def test_a_trials_folder_forgets_what_was_cut_off_in_it(tmp_path: Path) -> None:
    folder = store.empty_folder(tmp_path / "range-000")
    for name in ("losses.csv", ".losses.csv.x7", store.TRIAL):
        (folder / name).touch()
    assert list(store.empty_folder(folder).iterdir()) == []


def test_the_file_appears_by_a_rename_and_is_whole_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    real = Path.replace

    def watch(source: Path, target: Path) -> Path:
        seen.append((source.read_text(encoding="utf-8"), source.parent == target.parent))
        assert not target.exists()
        return real(source, target)

    monkeypatch.setattr(Path, "replace", watch)
    store.write_text(tmp_path / "a.txt", "all of it")
    assert seen == [("all of it", True)]


def test_json_that_cannot_be_made_is_found_before_anything_is_written(tmp_path: Path) -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        store.write_json(tmp_path / "a.json", loop)
    assert list(tmp_path.iterdir()) == []


def test_a_new_run_directory_has_room_for_trials_and_nothing_else(tmp_path: Path) -> None:
    folder = store.create(tmp_path / "runs" / "mine")
    assert [path.name for path in folder.iterdir()] == [store.TRIALS]


def test_a_directory_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    folder = store.create(tmp_path / "run")
    (folder / store.RUN).write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"run_dir={folder} holds a run already")):
        store.create(folder)


@pytest.mark.parametrize("name", [store.STUDY, store.TRIALS])
def test_a_directory_that_a_run_has_begun_to_fill_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=re.escape(f"run_dir={tmp_path} holds ") + ".*; give another run_dir"):
        store.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_of_many_runs_that_want_one_directory_one_gets_it(tmp_path: Path) -> None:
    start = Barrier(8)

    def create(_: int) -> bool:
        start.wait()
        try:
            store.create(tmp_path / "run")
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == [False] * 7 + [True]


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    assert (store.create(tmp_path) / store.TRIALS).is_dir()


def test_a_directory_that_holds_anything_is_refused_and_left_alone(tmp_path: Path) -> None:
    names = [".hidden", "a.yaml", "b", "c.py", "preflight-1"]
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as error:
        store.create(tmp_path)
    assert str(error.value) == (
        f"run_dir={tmp_path} is not empty: it holds .hidden, a.yaml, b, ...; give a folder that is new or empty, "
        f"such as run_dir={tmp_path}/preflight-2, or leave it out"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=re.escape(f"run_dir={tmp_path / 'file' / 'run'} cannot be written: ")):
        store.create(tmp_path / "file" / "run")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write, root neither")
def test_a_folder_that_nobody_may_write_is_named() -> None:
    with pytest.raises(ConfigError, match="run_dir=/proc/preflight cannot be written: "):
        store.create(Path("/proc/preflight"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written: Permission denied"):
        store.create(tmp_path / "run")


def test_scratch_space_lies_inside_the_run(tmp_path: Path) -> None:
    store.create(tmp_path)
    assert store.scratch(tmp_path) == tmp_path / "verify"
    assert (tmp_path / "verify" / store.TRIALS).is_dir()
    assert store.scratch(tmp_path).is_dir()


def test_the_study_has_an_address_without_a_character_of_another_meaning() -> None:
    assert store.study_url(Path("runs/plain-1")) == "sqlite:///runs/plain-1/study.db"
    assert store.study_url(Path("/a b?c#d%e{f}")) == "sqlite:////a%20b%3Fc%23d%25e%7Bf%7D/study.db"


@given(names)
def test_every_file_of_a_run_is_in_the_drawing(name: str) -> None:
    assert re.search(rf"[├└]── {re.escape(getattr(store, name))}\b", store.__doc__ or "")
