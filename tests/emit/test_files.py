import errno
import os
from pathlib import Path

import pytest

from preflight.core.errors import ConfigFileError
from preflight.emit.files import read_text, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_survives_as_it_is(tmp_path: Path) -> None:
    text = "\ufeffa: ü\r\nb: 1\n\rc"
    write_atomic(tmp_path / "out.yaml", text, overwrite=False)
    assert read_text(tmp_path / "out.yaml") == text
    assert (tmp_path / "out.yaml").read_bytes() == text.encode()
    assert names(tmp_path) == ["out.yaml"]


def test_the_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_atomic(tmp_path / "out.yaml", "a", overwrite=False)
    assert (tmp_path / "out.yaml").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "out.yaml"
    path.write_text("old")
    with pytest.raises(ConfigFileError) as error:
        write_atomic(path, "new", overwrite=False)
    assert str(error.value) == f"{path} exists already; set overwrite=true to replace it, or output=PATH"
    assert path.read_text() == "old"
    write_atomic(path, "new", overwrite=True)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["out.yaml"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.yaml"
    path.write_text("old")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(ConfigFileError, match="exists already; set overwrite=true"):
        write_atomic(path, "new", overwrite=False)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.yaml"]


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigFileError, match="exists already"):
        write_atomic(tmp_path / "link.yaml", "new", overwrite=False)
    assert names(tmp_path) == ["link.yaml"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["config.yaml", "symlink.yaml", "hardlink.yaml", "folder/../config.yaml"])
def test_the_original_is_never_written(tmp_path: Path, name: str, overwrite: bool) -> None:
    original = tmp_path / "config.yaml"
    original.write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "symlink.yaml").symlink_to(original)
    (tmp_path / "hardlink.yaml").hardlink_to(original)
    with pytest.raises(ConfigFileError, match="is the original config, which is never written; set output=PATH"):
        write_atomic(tmp_path / name, "new", overwrite=overwrite, forbid=original)
    assert original.read_text() == "old"
    write_atomic(tmp_path / "other.yaml", "new", overwrite=overwrite, forbid=original)
    assert (tmp_path / "other.yaml").read_text() == "new"


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    write_atomic(tmp_path / "out.yaml", "new", overwrite=False)
    assert (tmp_path / "out.yaml").read_text() == "new"
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(ConfigFileError, match="exists already"):
        write_atomic(tmp_path / "out.yaml", "newer", overwrite=False)
    assert names(tmp_path) == ["out.yaml"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_that_cannot_be_written(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent" / "out.yaml", tmp_path / "file" / "out.yaml"):
        with pytest.raises(ConfigFileError) as error:
            write_atomic(path, "new", overwrite=overwrite)
        assert str(error.value).startswith(f"cannot write {path}: ")
        assert str(error.value).endswith("; set output=PATH")
    with pytest.raises(ConfigFileError, match=r"cannot write|exists already"):
        write_atomic(tmp_path, "new", overwrite=overwrite)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigFileError, match="No space left on device"):
        write_atomic(tmp_path / "out.yaml", "new", overwrite=True)
    assert names(tmp_path) == []


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xfc\n")
    with pytest.raises(ConfigFileError, match=r"latin\.yaml is not UTF-8 \(byte 3 is 0xfc\); save it as UTF-8"):
        read_text(tmp_path / "latin.yaml")
    with pytest.raises(ConfigFileError, match=r"cannot read .*absent\.yaml: No such file or directory"):
        read_text(tmp_path / "absent.yaml")
