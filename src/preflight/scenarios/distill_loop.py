"""The owner's own training of case B, with its history and its console log: ``python -m ...distill_loop FOLDER``.

Writes ``history.json`` and ``train.log``. The meters that are saved are emptied before, and the copy that is validated
is never updated; ``--mended`` does neither. ``--averaging`` makes the owner's change, which weighs batches by their
samples and mends nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from preflight.scenarios.distill import COPY, Distilled, distillation, load_data

EPOCHS, BATCH, LR, WEIGHT_DECAY = 15, 16, 5e-4, 0.05
HISTORY, LOG = "history.json", "train.log"
Split = Mapping[str, Tensor]


@dataclass
class Meter:
    """Means over an epoch; ``by_samples`` weighs a batch by its size, which is right where the last one is short."""

    by_samples: bool
    sums: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0

    def update(self, samples: int, **values: float) -> None:
        """Count the means of a batch."""
        weight = samples if self.by_samples else 1
        self.weight += weight
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + weight * value

    def mean(self, name: str) -> float:
        """Of the batches since the last reset; 0 without any."""
        return self.sums.get(name, 0.0) / self.weight if self.weight else 0.0

    def reset(self) -> None:
        """Forget all batches."""
        self.sums, self.weight = {}, 0.0


def train(folder: Path, *, epochs: int = EPOCHS, averaging: bool = False, mended: bool = False, seed: int = 0) -> None:
    """Train the student as its owner did, and leave both files in ``folder``."""
    with _log_to(folder / LOG) as log:
        _train(folder, log, epochs, averaging=averaging, mended=mended, seed=seed)


def _train(folder: Path, log: logging.Logger, epochs: int, *, averaging: bool, mended: bool, seed: int) -> None:
    torch.manual_seed(seed)
    training, validation = load_data(seed=seed)
    model = Distilled(identities=training["teacher"].shape[1], width=128, dropout=0.0, evaluate=COPY)
    optimizer = torch.optim.AdamW(model.student.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    saved, last = Meter(averaging), Meter(averaging)
    history: dict[str, list[float]] = {f"{split}_{name}": [] for split in ("train", "val") for name in ("loss", "top1")}
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in _batches(training, torch.randperm(len(training["label"]))):
            logits = model(batch["image"])
            loss = F.cross_entropy(logits, batch["label"]) + distillation(logits, batch["teacher"])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if mended:
                model.update_copy(momentum=0.9)
            for meter in (saved, last):
                meter.update(len(logits), loss=float(loss.detach()), **_hits(logits, batch["label"]))
        shown = {name: last.mean(name) for name in ("loss", "top1", "top5")}
        log.info("Epoch %d [Train]: loss=%.4f, top1=%.2f%%, top5=%.2f%%", epoch, *_percent(shown))
        if not mended:
            saved.reset()  # for the next epoch, and before it is saved
        history["train_loss"].append(round(saved.mean("loss"), 4))
        history["train_top1"].append(round(saved.mean("top1"), 4))
        found = _validate(model, validation, averaging)
        history["val_loss"].append(round(found.mean("loss"), 4))
        if not mended:
            found.reset()
        history["val_top1"].append(round(found.mean("top1"), 4))
        for meter in (saved, last):
            meter.reset()
        (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def _validate(model: Distilled, validation: Split, by_samples: bool) -> Meter:
    model.eval()
    meter = Meter(by_samples)
    for batch in _batches(validation, torch.arange(len(validation["label"]))):
        logits = model(batch["image"])
        loss = F.cross_entropy(logits, batch["label"]) + distillation(logits, batch["teacher"])
        meter.update(len(logits), loss=float(loss), **_hits(logits, batch["label"]))
    return meter


def _batches(split: Split, order: Tensor) -> Iterator[dict[str, Tensor]]:
    for numbers in order.split(BATCH):
        yield {name: tensor[numbers] for name, tensor in split.items()}


def _hits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    ranked = logits.detach().topk(5).indices == labels[:, None]
    return {"top1": float(ranked[:, 0].float().mean()), "top5": float(ranked.any(dim=1).float().mean())}


def _percent(shown: Mapping[str, float]) -> list[float]:
    return [shown["loss"], 100 * shown["top1"], 100 * shown["top5"]]


@contextmanager
def _log_to(path: Path) -> Iterator[logging.Logger]:
    log = logging.Logger("distill", logging.INFO)
    with ExitStack() as stack:
        for handler in (logging.FileHandler(path, mode="w", encoding="utf-8"), logging.StreamHandler()):
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            stack.callback(handler.close)
            log.addHandler(handler)
        yield log


def main(arguments: Sequence[str] | None = None) -> None:
    """Train by command."""
    parser = argparse.ArgumentParser(prog="python -m preflight.scenarios.distill_loop", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--averaging", action="store_true")
    parser.add_argument("--mended", action="store_true")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a step of this size is slower with more
    try:
        train(options.folder, epochs=options.epochs, averaging=options.averaging, mended=options.mended)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
