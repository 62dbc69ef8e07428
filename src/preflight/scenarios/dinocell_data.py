"""Data of :mod:`preflight.scenarios.dinocell`: cells under a microscope, two crops of each, in slow storage.

Kinds of cells differ in shape and texture. Stain, light, place, size and orientation differ between any two crops, and
say nothing of the kind: a network that has learned nothing sees little else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

SIZE, CROPS = 32, 2
KINDS: Final = ("round", "spindle", "granular", "binucleate", "fibrous", "vacuolated")
TRAINING, VALIDATION, BATCH = 800, 240, 40
FETCH_S: Final = 0.007
"""Seconds until the storage has answered for one image. Documented: 4.9 s for a batch of 40."""
GRANULES = 14

Sample = dict[str, Tensor]


class Storage(Dataset[Sample]):
    """Samples ``{crops[2, 3, 32, 32], kind}``, each ``fetch_s`` seconds away; that of number ``unreadable`` is broken.

    Raises OSError for that one, as Pillow does.
    """

    def __init__(self, crops: Tensor, kinds: Tensor, fetch_s: float, unreadable: int | None = None) -> None:
        self.crops, self.kinds = crops, kinds
        self.fetch_s, self.unreadable = fetch_s, unreadable

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, index: int) -> Sample:
        """The sample of this number, after the storage has answered."""
        if self.fetch_s:
            time.sleep(self.fetch_s)
        if index == self.unreadable:
            raise OSError(f"cannot identify image file 'plate_07/cell_{index:05d}.png'")
        return {"crops": self.crops[index], "kind": self.kinds[index]}


def load_data(
    samples: int = TRAINING,
    validation_samples: int = VALIDATION,
    seed: int = 0,
    batch_size: int = BATCH,
    num_workers: int = 1,
    fetch_s: float = FETCH_S,
    unreadable: int | None = None,
) -> tuple[DataLoader[Sample], DataLoader[Sample]]:
    """Loaders of both splits. The crops of a sample are always the same ones.

    Raises ValueError for a time that cannot be waited, and for an unreadable sample that is none of the training split.
    """
    if not isinstance(fetch_s, int | float) or fetch_s < 0:
        raise ValueError(f"fetch_s must be a number of seconds, 0 or more, got {fetch_s!r}")
    if unreadable is not None and not 0 <= unreadable < samples:
        raise ValueError(
            f"unreadable must be the number of a training sample, from 0 to {samples - 1}, got {unreadable}"
        )
    generator = torch.Generator().manual_seed(seed)

    def loader(count: int, broken: int | None, *, shuffle: bool) -> DataLoader[Sample]:
        cells = draw(count, generator)
        crops = torch.stack([photograph(cells, generator) for _ in range(CROPS)], dim=1)
        storage = Storage(crops, cells.kind, fetch_s, broken)
        return DataLoader(storage, batch_size=batch_size, shuffle=shuffle, num_workers=num_workers, drop_last=shuffle)

    return loader(samples, unreadable, shuffle=True), loader(validation_samples, None, shuffle=False)


@dataclass(frozen=True)
class Cells:
    """What is the same in every image of a cell: its kind, axes ``[N, 2]`` and whatever is in it."""

    kind: Tensor
    axes: Tensor
    nuclei: Tensor
    """Centres ``[N, 2, 2]`` of two nuclei, one place for those that have one."""
    granules: Tensor
    phase: Tensor

    def are(self, kind: str) -> Tensor:
        """Which are of this kind, ``[N, 1, 1]`` of zeros and ones."""
        return (self.kind == KINDS.index(kind)).float()[:, None, None]


def draw(count: int, generator: torch.Generator) -> Cells:
    """As many cells of each kind, in no order."""
    kind = (torch.arange(count) % len(KINDS))[torch.randperm(count, generator=generator)]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    is_spindle = kind == KINDS.index("spindle")
    width = torch.where(is_spindle, uniform(0.24, 0.34), uniform(0.48, 0.6))
    axes = torch.stack([torch.where(is_spindle, uniform(0.8, 0.95), uniform(0.55, 0.7)), width], dim=1)
    apart = torch.where(kind == KINDS.index("binucleate"), uniform(0.2, 0.26), 0.0)
    nuclei = torch.stack([apart, torch.zeros(count)], dim=1)
    angle, radius = uniform(0, 6.283, GRANULES), uniform(0.3, 0.95, GRANULES)
    granules = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1) * axes[:, None]
    return Cells(kind, axes, torch.stack([nuclei, -nuclei], dim=1), granules, uniform(0, 6.283))


def photograph(cells: Cells, generator: torch.Generator) -> Tensor:
    """One crop of each cell, ``[N, 3, 32, 32]``: nuclei, cytoplasm and membrane, of mean 0 and deviation 1 over all."""
    count = len(cells.kind)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    stains = _stained(cells, *_seen_from(count, generator))
    light = (0.4 * normal(1, 1, 1)).exp()
    slope = torch.linspace(-1, 1, SIZE)
    ground = 0.3 * normal(1, 1, 1) + 0.3 * (normal(1, 1, 1) * slope + normal(1, 1, 1) * slope[:, None])
    images = light * stains + ground + 0.1 * normal(3, SIZE, SIZE)
    return (images - images.mean()) / images.std()


def _seen_from(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Places ``[N, 32, 32]`` of all pixels in the frame of the cell, which lies turned, shifted and scaled."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    line = torch.linspace(-1, 1, SIZE)
    x, y = line - uniform(-0.1, 0.1), line[:, None] - uniform(-0.1, 0.1)
    angle, zoom = uniform(-0.2, 0.2), uniform(0.9, 1.1)
    return (x * angle.cos() + y * angle.sin()) / zoom, (y * angle.cos() - x * angle.sin()) / zoom


def _stained(cells: Cells, u: Tensor, v: Tensor) -> Tensor:
    """Nuclei, cytoplasm and membrane ``[N, 3, 32, 32]`` at ``u[N, 32, 32]``, ``v`` of the cell's frame."""

    def spot(place: Tensor, size: float) -> Tensor:
        x, y = place[:, :, None, None].unbind(1)
        return (-((u - x).square() + (v - y).square()) / (2 * size**2)).exp()

    radius = ((u / cells.axes[:, 0, None, None]).square() + (v / cells.axes[:, 1, None, None]).square()).sqrt()
    body = torch.sigmoid((1 - radius) / 0.06)
    nuclei = torch.maximum(spot(cells.nuclei[:, 0], 0.13), spot(cells.nuclei[:, 1], 0.13))
    points = torch.stack([spot(cells.granules[:, n], 0.05) for n in range(GRANULES)]).sum(dim=0)
    fibres = 0.5 + 0.5 * torch.sin(26 * u + cells.phase[:, None, None])
    granular = cells.are("granular") * (1.5 * points.clamp(max=1.5) - 0.6)
    texture = 1 + granular + cells.are("fibrous") * (1.6 * fibres - 0.8)
    vacuole = cells.are("vacuolated") * spot(cells.axes * torch.tensor([-0.3, 0.0]), 0.16)
    membrane = (-((radius - 1) / 0.12).square()).exp()
    return torch.stack([nuclei, body * texture * (1 - vacuole), membrane + 0.3 * body], dim=1)
