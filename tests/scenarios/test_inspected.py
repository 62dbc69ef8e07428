"""What `preflight inspect` says of the packaged models before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preflight.cli.main import main

HEALTHY = (
    "digits_healthy",
    "dinocell_healthy",
    "face_arcface_healthy",
    "giblet_healthy",
    "icecube_healthy",
    "teacher_distill_healthy",
)


def inspected(model: str, folder: Path, *overrides: str) -> list[dict[str, object]]:
    assert main(["inspect", f"+model={model}", *overrides, f"--json={folder / 'found.json'}"]) == 0
    document = json.loads((folder / "found.json").read_text())
    return document["findings"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("model", HEALTHY)
def test_a_healthy_twin_stays_silent(model: str, tmp_path: Path) -> None:
    assert inspected(model, tmp_path) == []


@pytest.mark.parametrize(
    ("model", "first", "others"),
    [
        ("giblet", "PF206", {"PF308", "PF403"}),
        ("icecube", "PF301", {"PF302", "PF303"}),
        ("teacher_distill", "PF505", set()),
    ],
)
def test_what_is_wrong_is_named_before_training(model: str, first: str, others: set[str], tmp_path: Path) -> None:
    codes = [str(item["code"]) for item in inspected(model, tmp_path)]
    assert codes[0] == first
    assert others <= set(codes)


def test_the_schedule_is_said_to_advance_in_the_wrong_unit_and_no_warmup_too_long(tmp_path: Path) -> None:
    found = {str(item["code"]): item for item in inspected("giblet", tmp_path)}
    assert "advances once per epoch, its length counts batches: planned 1.0e-04" in str(found["PF206"]["message"])
    assert "PF204" not in found


def test_a_value_that_is_not_finite_is_found_with_its_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "+model=icecube_nan"]) == 2
    assert (
        "feature 'charge' of input 'pulses' has 1 value that is not finite, in sample 1234" in capsys.readouterr().err
    )


@pytest.mark.slow  # it waits for its samples, with one loader worker and with more
def test_the_loader_is_named_first_and_the_losses_are_not_accused(tmp_path: Path) -> None:
    found = inspected("dinocell", tmp_path)
    assert [item["code"] for item in found] == ["PF601", "PF311", "PF605"]
    messages = [str(item["message"]) for item in found]
    assert "of a step is waiting for data" in messages[0]
    assert "a larger batch than 40 gains at most" in messages[0]
    assert "number 371" in messages[1]
    assert "cannot identify image file" in messages[1]
    assert "at step 20000" in messages[2]
    facts = json.loads((tmp_path / "found.json").read_text())["facts"]
    memory, loading = facts["memory"], facts["loading"]
    assert loading["wait_s"] > 4 * loading["compute_s"]
    assert memory["fixed"] > 0
    assert memory["measured"]["40"] == pytest.approx(memory["fixed"] + 40 * memory["per_sample"])
    assert memory["measured"]["40"] < 4 * memory["measured"]["10"]  # not scaled from one peak
