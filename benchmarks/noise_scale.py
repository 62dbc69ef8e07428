"""Does the gradient noise scale foresee what batch sizes cost? Digits, trained to the same validation loss.

``python -m benchmarks.noise_scale``: for every batch size the learning rate that takes the fewest steps, medians over
seeds, beside what the noise scale says that was measured on the way at today's batch size.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch
from torch.nn import functional as F

from preflight.advise.batch_size import step
from preflight.advise.noise import NoiseScale, over_seeds
from preflight.core.model_settings import ModelSettings, parse_model
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.scenarios.digits import build_model, load_data
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded
from preflight.trials.noise import measure_noise

TODAY, BATCH_SIZES = 32, (8, 32, 128)
TARGETS = (0.5, 0.25, 0.15)  # validation cross entropy
SEEDS = 5
MOST_EPOCHS = 8
# Of the learning rate, at constant rate: a quarter of a decade apart.
GRIDS = {
    "AdamW": [10 ** (-2.75 + index / 4) for index in range(7)],
    "SGD": [10 ** (-1 + index / 4) for index in range(7)],
}


@dataclass(frozen=True)
class Reached:
    """Steps to each target, infinite where it was not reached, and the noise scale there where it was asked for."""

    steps: dict[float, float]
    scales: dict[float, NoiseScale]


def train(task: PyTorchTask, batch_size: int, lr: float, seed: int, *, measured: bool = False) -> Reached:
    """Train until the last target, with a look at the validation loss every 64 samples or every batch."""
    found = Reached(dict.fromkeys(TARGETS, float("inf")), {})
    every = max(1, 64 // batch_size)
    inputs, labels = task.data.validation.tensors.values()  # type: ignore[attr-defined]
    with seeded(seed, task.device):
        job = task.job(Params(lr=lr, batch_size=batch_size))
        batches = task.batches(job.params, seed)
        for number in range(1, MOST_EPOCHS * len(task.data.train) // batch_size + 1):
            batch = next(batches)
            job.optimizer.zero_grad()
            F.cross_entropy(job.outputs(batch), batch["target"]).backward()
            job.optimizer.step()
            if number % every:
                continue
            with torch.no_grad():
                loss = float(F.cross_entropy(job.outputs({"input": inputs}), labels))
            for target in TARGETS:
                if loss <= target and found.steps[target] == float("inf"):
                    found.steps[target] = number
                    if measured:
                        moment = measure_noise(job, task, seed + number, number)
                        assert moment.scale is not None, moment.failed
                        found.scales[target] = moment.scale
            if loss <= min(TARGETS) or not loss < 1e4:
                break
    return found


def of_optimizer(name: str) -> None:
    """Print a row for every target and batch size."""
    task = PyTorchTask(_model(name), Trust(), torch.device("cpu"))
    steps: dict[tuple[int, float], tuple[float, float]] = {}
    for batch_size in BATCH_SIZES:
        by_rate = {lr: [train(task, batch_size, lr, seed) for seed in range(SEEDS)] for lr in GRIDS[name]}
        for target in TARGETS:
            steps[batch_size, target] = min(
                (median(run.steps[target] for run in runs), lr) for lr, runs in by_rate.items()
            )
    for target in TARGETS:
        today, lr = steps[TODAY, target]
        runs = [train(task, TODAY, lr, seed, measured=True) for seed in range(2)]
        scale = over_seeds([run.scales[target] for run in runs if target in run.scales])
        print(f"{name} to {target}: noise scale {scale.samples:.0f} ({scale.low:.0f} to {scale.high:.0f})")
        for batch_size in BATCH_SIZES:
            count, best = steps[batch_size, target]
            told, samples = step(TODAY, batch_size, scale).samples, count * batch_size
            print(
                f"  batch {batch_size:4}: lr {best:.2g}, {count:.0f} steps, {samples:.0f} samples, "
                f"x {samples / (today * TODAY):.2f}; foretold x {told.low:.2f} to {told.high:.2f}"
            )


def _model(optimizer: str) -> ModelSettings:
    (train_x, train_y), (val_x, val_y) = load_data(brightness=1.0)
    mean, std = train_x.mean(), train_x.std()
    splits = (((train_x - mean) / std, train_y), ((val_x - mean) / std, val_y))
    values = {
        "factory": build_model,
        "data": splits,
        "losses": {"cross_entropy": F.cross_entropy},
        "optimizer": f"torch.optim.{optimizer}",
    }
    return parse_model(values, name="digits", folder=None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for optimizer in GRIDS:
        of_optimizer(optimizer)
