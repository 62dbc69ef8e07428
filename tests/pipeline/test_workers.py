"""Loader workers: proposed where training waits, tried by samples per second, and written."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP
from preflight.core.settings import load
from preflight.pipeline.audience import Nobody
from preflight.pipeline.diagnosis import look
from preflight.pipeline.flight import Flight, fly, prepare
from preflight.pipeline.verification import verify_config
from preflight.probes import throughput
from preflight.report.comparison import compare
from preflight.report.findings import cards
from preflight.report.sources import Sources
from preflight.telemetry import store
from preflight.telemetry.recording import Run

DATA = '''\
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Remote(Dataset):
    """Samples that are waited for."""

    def __init__(self, size, wait_s):
        generator = torch.Generator().manual_seed(size)
        self.inputs, self.wait_s = torch.randn(size, 3, generator=generator), wait_s
        self.targets = self.inputs.sum(dim=1, keepdim=True) + 0.1 * torch.randn(size, 1, generator=generator)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        time.sleep(self.wait_s)
        return self.inputs[index], self.targets[index]


def load_data(wait_s=0.002, **loader):
    train, validation = Remote(96, wait_s), Remote(24, 0.0)
    return DataLoader(train, batch_size=8, shuffle=True, **loader) if loader else train, validation


def build():
    return nn.Linear(3, 1)
'''
MODEL = """\
factory: {_target_: MODULE.build}
data: {_target_: MODULE.load_data, num_workers: 0}
losses: {mse: torch.nn.functional.mse_loss}
config: train.yaml
mapping: {lr: lr, batch_size: loader.batch, horizon_steps: steps, num_workers: loader.workers}
"""
TRAIN = """\
lr: LR
steps: 60
loader:
  batch: 8     # fits
  workers: 0   # the default
"""
# Few trials: what is asked for is not the search.
SPACE = ("space.normalization=keep", "budget.trials=4", "budget.confirm_steps=20", "budget.trial_steps=12")


@dataclass(frozen=True)
class Asked:
    """A project in a folder, and the arguments of a run of it."""

    folder: Path
    arguments: list[str]

    @property
    def fixed(self) -> Path:
        return self.folder / "conf" / "model" / store.FIXED

    def fly(self) -> Flight:
        return fly(prepare(load(self.arguments, [self.folder / "conf"]), Nobody()))


@pytest.fixture
def ask(tmp_path: Path, small_with: Callable[..., list[str]]) -> Iterator[Callable[..., Asked]]:
    """A project that waits for its samples; ``model`` replaces text of its model file."""
    path, folder = list(sys.path), tmp_path / "waiting"

    def make(*overrides: str, lr: float = 0.3, model: tuple[str, str] = ("", "")) -> Asked:
        name = f"waiting_{abs(hash(tmp_path))}"
        (folder / "conf" / "model").mkdir(parents=True)
        (folder / f"{name}.py").write_text(DATA, encoding="utf-8")
        text = MODEL.replace("MODULE", name).replace(*model) if model[0] else MODEL.replace("MODULE", name)
        (folder / "conf" / "model" / "waiting.yaml").write_text(text, encoding="utf-8")
        (folder / "conf" / "model" / "train.yaml").write_text(TRAIN.replace("LR", str(lr)), encoding="utf-8")
        sys.path.insert(0, str(folder))
        run_dir = f"run_dir='{folder / 'run'}'"
        return Asked(folder, ["+model=waiting", *small_with(run_dir, *SPACE, *overrides)])

    yield make
    sys.path[:] = path
    assert multiprocessing.active_children() == []


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Samples per second by the number of workers, in place of measuring them."""

    def set_to(by_workers: Callable[[int], float], doubled: float = 1.04) -> None:
        rounds: dict[tuple[int, int], int] = {}

        def measure(batches: Any, train: Any, wait: Any, variant: throughput.Variant, ahead: int) -> float:
            key = variant.workers, variant.batch_size
            rounds[key] = rounds.get(key, 0) + 1
            pace = 1 + 0.1 * rounds[key] + 0.001 * variant.workers * (rounds[key] % 2)
            return by_workers(variant.workers) * pace * (doubled if variant.batch_size > 8 else 1.0)

        monkeypatch.setattr(throughput, "samples_per_s", measure)
        monkeypatch.setattr(throughput, "fed_by", lambda *given, **options: nullcontext())

    return set_to


def as_many_times(workers: int) -> float:
    return 400.0 * max(1, workers)


def card_of(flight: Flight) -> Any:
    return next(card for card in cards(Run.open(flight.run_dir).document(store.FINDINGS)) if card.code == "PF601")


def test_confirmed_workers_are_a_change_with_its_own_evidence(ask: Callable[..., Asked], rates: Any) -> None:
    """The search finds a better learning rate, the workers come on top of it; the written config gives its scores."""
    rates(as_many_times)
    asked = ask("space.lr=[1.0e-5,0.3]", lr=1e-5)
    flight = asked.fly()
    answer = flight.recommendation
    assert answer is not None
    assert (answer.decision, [change.name for change in answer.changes]) == (CHANGE, ["lr", "num_workers"])
    lr, workers = answer.changes
    assert (lr.speed, workers.alone, workers.needed, workers.old) == (None, None, None, 0)
    assert workers.speed is not None
    assert workers.speed.ratio == pytest.approx(workers.new, rel=0.05)
    assert f"num_workers={workers.new} changes no score and trains faster: 5" in answer.reason
    text = asked.fixed.read_text(encoding="utf-8")
    assert f"  workers: {workers.new}" in text
    assert "samples/s" in text
    assert verify_config(asked.fixed, flight.run_dir, (), Nobody()).sentence.startswith("reproduced exactly")
    card = card_of(flight)
    assert card.verdict == "confirmed"
    assert card.proof.startswith(f"tried num_workers={workers.new}: 5")
    assert card.proof.endswith("; no score depends on it")
    assert "one of 16, tried, gains 4%" in card.message
    html = (flight.run_dir / store.REPORT).read_text(encoding="utf-8")
    assert "x samples/s" in html


def test_where_all_else_stays_the_workers_are_written_alone(ask: Callable[..., Asked], rates: Any) -> None:
    rates(as_many_times)
    asked = ask("space.lr=[1.0e-5,0.1]", lr=0.1)
    flight = asked.fly()
    answer = flight.recommendation
    assert answer is not None
    assert (answer.decision, [change.name for change in answer.changes]) == (CHANGE, ["num_workers"])
    assert "Keep the others: the best of the settings searched" in answer.reason
    assert (answer.gain, answer.after) == (None, answer.before)
    others = compare(Sources.read(flight.run_dir))
    assert others is not None
    assert [side.label for side in others.sides] == ["today's settings", "best candidate"]
    text = asked.fixed.read_text(encoding="utf-8")
    assert text.replace(text[text.index("  workers:") :], "") in TRAIN.replace("LR", "0.1")
    assert verify_config(asked.fixed, flight.run_dir, (), Nobody()).sentence.startswith("reproduced exactly")


def test_workers_that_are_no_faster_are_not_written(ask: Callable[..., Asked], rates: Any) -> None:
    rates(lambda workers: 200.0 if workers else 400.0)
    asked = ask("space.lr=[1.0e-5,0.1]", lr=0.1)
    flight = asked.fly()
    assert flight.recommendation is not None
    assert flight.recommendation.decision in (KEEP, CANNOT_TELL)
    assert not asked.fixed.exists()
    card = card_of(flight)
    assert (card.verdict, card.proof.endswith("which is no faster")) == ("refuted", True)


def test_workers_without_a_key_are_left_out_and_said(ask: Callable[..., Asked], rates: Any) -> None:
    rates(as_many_times)
    flight = ask("space.lr=[1.0e-5,0.1]", lr=0.1, model=(", num_workers: loader.workers", "")).fly()
    assert flight.recommendation is not None
    assert flight.recommendation.decision in (KEEP, CANNOT_TELL)
    assert "Confirmed, and left out: num_workers=" in flight.recommendation.reason
    assert "model.mapping has no key of your file for num_workers" in flight.recommendation.reason


def test_workers_that_cannot_run_leave_the_remedy_untested(
    ask: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batches: Any, train: Any, wait: Any, variant: throughput.Variant, ahead: int) -> float:
        if variant.workers:
            raise RuntimeError("DataLoader worker exited unexpectedly")
        return 400.0

    monkeypatch.setattr(throughput, "samples_per_s", fail)
    flight = ask("space.lr=[1.0e-5,0.1]", lr=0.1).fly()
    card = card_of(flight)
    assert card.verdict == "untested"
    assert card.proof.endswith("workers: RuntimeError: DataLoader worker exited unexpectedly")


def test_a_task_without_a_loader_is_told_in_words(ask: Callable[..., Asked]) -> None:
    asked = ask(model=("load_data, num_workers: 0", "load_data"))
    _, facts, found = look(load(asked.arguments, [asked.folder / "conf"]))
    assert "throughput" not in facts
    item = next(item for item in found.findings if item.rule.code == "PF601")
    assert (item.proof.verdict, item.proof.speed) == ("untested", None)


def test_data_that_comes_in_time_is_not_tried(ask: Callable[..., Asked]) -> None:
    asked = ask(model=("num_workers: 0", "num_workers: 0, wait_s: 0.0"))
    _, facts, found = look(load(asked.arguments, [asked.folder / "conf"]))
    assert "throughput" not in facts
    assert "PF601" not in [item.rule.code for item in found.findings]


@pytest.mark.slow
def test_real_workers_are_confirmed_and_written(ask: Callable[..., Asked]) -> None:
    """A batch waits for 160 ms; so many workers wait side by side that the rest is computing."""
    asked = ask("space.lr=[1.0e-5,0.1]", lr=0.1, model=("num_workers: 0", "num_workers: 0, wait_s: 0.02"))
    flight = asked.fly()
    assert card_of(flight).verdict == "confirmed"
    assert flight.recommendation is not None
    change = flight.recommendation.changes[-1]
    assert change.name == "num_workers"
    assert change.speed is not None
    assert change.speed.ratio > 1.5
    assert f"  workers: {change.new}" in asked.fixed.read_text(encoding="utf-8")
