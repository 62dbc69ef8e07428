"""Config, checkpoint, number of samples, number of loss batches: a report. Case C as its owner wanted it asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from preflight.core.settings import load
from preflight.pipeline.inspection import open_file, open_task
from preflight.pipeline.today import read_today
from preflight.probes.steps import one_step, targets_of
from preflight.tasks.seeding import seeded

EPOCHS = 4
Trained = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A checkpoint of a model of preflight's own, after some epochs under its config, as a script leaves it."""

    def train(name: str) -> Path:
        settings = load([f"+model={name}"])
        task = open_task(settings)
        today = read_today(settings.model, task, open_file(settings))
        params, steps = replace(today.params, num_workers=None), today.length.steps_per_epoch
        with seeded(0, task.device):
            job = task.job(params)
            schedule = task.scheduler(job.optimizer)
            assert schedule is not None
            for step, batch in enumerate(islice(task.batches(params, 0), EPOCHS * steps), start=1):
                one_step(job, batch, targets_of(task, batch))
                if params.scheduler_interval == "step" or step % steps == 0:
                    schedule.step()
        path = tmp_path_factory.mktemp(name) / "ck.pt"
        state = {f"module.{key}": value for key, value in job.network.model.state_dict().items()}
        torch.save({"epoch": EPOCHS, "model": state, "optimizer": job.optimizer.state_dict()}, path)
        return path

    return train


def test_the_faults_of_giblet_are_named_from_config_and_checkpoint(
    trained: Trained, command: Callable[..., Any], tmp_path: Path
) -> None:
    page, found = tmp_path / "report.html", tmp_path / "found.json"
    path = trained("giblet")
    answer = command(
        "inspect", "+model=giblet", f"model.checkpoint={path}", "--samples", "200", "--loss-batches", "8",
        "--report", str(page), "--json", str(found),
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(found.read_text(encoding="utf-8"))
    assert {"PF206", "PF308", "PF403"} <= {item["code"] for item in document["findings"]}
    facts = document["facts"]
    assert (facts["start"], facts["loss_batches"]) == ("checkpoint", 8)
    assert facts["cosine_spread"]["video|fmri"]["batches"] == 8
    assert facts["fields"]["text"]["samples"] == 200
    assert "200 of 324 training samples, and 8 batches of 12 for losses and gradients" in answer.out
    assert f"starts from the checkpoint {path}, under 'model', without the prefix 'module.' (SHA-256 " in answer.out
    assert re.search(r"loss fmri: \S+ at the checkpoint, best constant", answer.out)
    assert "initialisation," not in answer.out
    _check_page(page.read_text(encoding="utf-8"), path, document)


def _check_page(text: str, path: Path, document: dict[str, Any]) -> None:
    assert not re.search(r"(src|href)=", text)
    assert str(path) in text
    for heading in ("Findings", "Losses at the checkpoint", "Every rule&#39;s answer"):
        assert heading in text or heading.replace("&#39;", "'") in text
    for item in document["findings"]:
        assert all(evidence["what"] in _plain(text) for evidence in item["evidence"])
    answered = [*document["findings"], *document["clean"], *document["not_applicable"]]
    assert all(f"<code>{item['code']}</code></td>" in text for item in answered)
    for name in ("video", "audio", "text", "fmri"):
        assert re.search(rf"<tr><td><code>{name}</code></td>(<td class=\"n\">[^<]*[0-9][^<]*</td>){{7}}</tr>", text)


def _plain(text: str) -> str:
    return text.replace("&#39;", "'")


def test_a_healthy_checkpoint_is_accused_of_nothing(trained: Trained, command: Callable[..., Any]) -> None:
    path = trained("giblet_healthy")
    answer = command("inspect", "+model=giblet_healthy", f"model.checkpoint={path}", "--fail-on", "note", "--all")
    assert (answer.code, answer.err) == (0, "")
    for code in ("PF107", "PF404", "PF405", "PF409"):
        assert re.search(rf"not applicable: {code} \S+: training starts from a checkpoint", answer.out)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--samples", "0", "argument --samples: must be a whole number of at least 1, got '0'; leave it out"),
        ("--samples", "many", "argument --samples: must be a whole number of at least 1, got 'many'; leave it out"),
        ("--samples", "11", "--samples must be from 12 (one batch) to 324 (all training samples), got 11; leave it"),
        ("--samples", "325", "--samples must be from 12 (one batch) to 324 (all training samples), got 325; leave it"),
        ("--loss-batches", "-1", "argument --loss-batches: must be a whole number of at least 1, got '-1'"),
        ("--loss-batches", "1.5", "argument --loss-batches: must be a whole number of at least 1, got '1.5'"),
        ("--loss-batches", "28", "--loss-batches must be from 1 to 27 (the batches of an epoch, 12 samples each), got"),
        ("--report", ".", "argument --report: . cannot be written: it is a folder"),
    ],
)
def test_an_amount_that_is_not_there_is_refused(
    option: str, value: str, text: str, refused: Callable[..., str]
) -> None:
    assert refused("inspect", "+model=giblet", f"{option}={value}").startswith(text)


def test_a_file_that_is_no_checkpoint_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "ck.pt").write_text("weights, as it were")
    text = refused("inspect", "+model=giblet", f"model.checkpoint={tmp_path / 'ck.pt'}")
    assert "ck.pt is no file that torch.save wrote" in text
    assert refused("inspect", "+model=giblet", "model.checkpoint=gone.pt").startswith("model.checkpoint=gone.pt is not")
    assert refused("inspect", "+model=giblet", "model.checkpoint=''").startswith("model.checkpoint is empty; give")


def test_a_relative_path_is_looked_for_beside_the_models_own_file_and_in_the_current_folder(
    project: Path, module: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    network = __import__(module).build(width=24)
    torch.save(network.state_dict(), project / "here.pt")
    arguments = ("inspect", "--config-dir", "conf", f"+model={module}", "model.checkpoint=here.pt")
    assert f"starts from the checkpoint {project / 'here.pt'} (SHA-256" in command(*arguments).out


def test_values_searched_that_the_checkpoint_does_not_fit_are_named_before_they_cost_trials(
    project: Path, module: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    torch.save(__import__(module).build(width=24).state_dict(), project / "here.pt")
    arguments = ("inspect", "--config-dir", "conf", f"+model={module}", "model.checkpoint=here.pt")
    out = command(*arguments, "space.extras.width=[24, 32]", "space.extras.dropout=[0.0, 0.1]").out
    (note,) = (line for line in out.splitlines() if "cannot start" in line)
    assert note.startswith("note: trials with width=32 cannot start: model.checkpoint=")
    assert "'body.0.weight' is [24, 3] in the checkpoint and [32, 3] in the model" in note
