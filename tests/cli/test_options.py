from __future__ import annotations

from pathlib import Path

import pytest

from preflight.cli.main import main
from preflight.pipeline import diagnosis


@pytest.mark.parametrize(
    ("place", "reason"), [("nowhere/out.json", "there is no folder nowhere"), (".", "it is a folder")]
)
def test_where_the_answers_cannot_be_written_is_said_before_anything_is_looked_at(
    place: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diagnosis, "look", lambda settings: pytest.fail("looked"))
    assert main(["inspect", "+model=digits", "--json", place]) == 2
    assert f"--json: {place} cannot be written: {reason}" in capsys.readouterr().err
