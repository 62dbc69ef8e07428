from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from preflight.cli.main import main
from preflight.scenarios import distill, distill_loop

Files = tuple[Path, dict[str, list[float]]]


@pytest.fixture(scope="module", params=[[], ["--averaging"]], ids=["as it was", "with the owner's change"])
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return run(tmp_path_factory.mktemp("broken"), *request.param)


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return run(tmp_path_factory.mktemp("mended"), "--mended", "--averaging")


def run(folder: Path, *options: str) -> Files:
    distill_loop.main([str(folder), *options])
    return folder, json.loads((folder / distill_loop.HISTORY).read_text())


def test_the_history_is_as_it_was_reported(broken: Files) -> None:
    folder, history = broken
    assert set(history["train_loss"]) == set(history["train_top1"]) == set(history["val_top1"]) == {0.0}
    assert len(set(history["val_loss"])) == 1
    last = (folder / distill_loop.LOG).read_text().splitlines()[-1]
    assert "Epoch 15 [Train]: loss=4." in last


def test_the_audit_names_both_faults_and_not_the_averaging(broken: Files, capsys: pytest.CaptureFixture[str]) -> None:
    found = audited(broken[0], capsys)
    assert {item["code"] for item in found} == {"PF501", "PF502", "PF503"}
    words = " ".join(item["message"] + " ".join(remedy["text"] for remedy in item["remedies"]) for item in found)
    assert "weights that are evaluated never change" in words
    assert "what is saved was reset before" in words
    assert "averag" not in words.replace("(an average, a wrapped", "")


def test_the_audit_of_the_mended_loop_finds_nothing(mended: Files, capsys: pytest.CaptureFixture[str]) -> None:
    folder, history = mended
    assert history["val_top1"][-1] > 0.9
    assert audited(folder, capsys) == []


def audited(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    files = (f"--{name}={folder / file}" for name, file in (("history", "history.json"), ("log", "train.log")))
    main(["audit", *files, f"--json={folder / 'found.json'}"])
    capsys.readouterr()
    return json.loads((folder / "found.json").read_text())["findings"]  # type: ignore[no-any-return]


def test_the_copy_follows_where_it_is_updated() -> None:
    torch.manual_seed(0)
    model = distill.build_model(identities=5)
    image = torch.randn(4, 1, 16, 16)
    before = model.eval()(image)
    torch.nn.init.ones_(model.student[1].weight)
    assert torch.equal(model(image), before)
    model.update_copy(momentum=0.0)
    assert torch.equal(model(image), model.train()(image))


def test_another_word_for_what_is_evaluated_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluate must be student or copy, got evaluate='teacher'"):
        distill.build_model(evaluate="teacher")
