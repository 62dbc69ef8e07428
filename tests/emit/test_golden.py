"""Whole files before and after: what a person sees in the diff."""

import json
from pathlib import Path

import pytest

from preflight.core.edit import MISSING, Edit
from preflight.emit.patch import apply

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def read(name: str, file: str) -> str:
    return (GOLDEN / name / file).read_bytes().decode("utf-8")


def edits_of(name: str) -> list[Edit]:
    rows = json.loads(read(name, "edits.json"))
    return [Edit(row["path"], row.get("old", MISSING), row["new"], row["why"]) for row in rows]


@pytest.mark.parametrize("name", CASES)
def test_edits_give_the_golden_text(name: str) -> None:
    assert apply(read(name, "before.yaml"), edits_of(name), source=name) == read(name, "after.yaml")


@pytest.mark.parametrize("name", CASES)
def test_a_second_run_finds_nothing_to_change(name: str) -> None:
    after = read(name, "after.yaml")
    assert apply(after, edits_of(name), source=name) == after
