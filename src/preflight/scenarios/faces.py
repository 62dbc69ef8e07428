"""Case A in small: faces are told apart by the angles between embeddings and class prototypes (ArcFace).

The head normalises its prototypes in the forward pass, so that the norms of their rows say nothing of how well they
are spread. Faces are smooth random patterns, one an identity, seen in another light, a little shifted, with noise.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IDENTITIES, SIZE, ROOM = 40, 16, 2
PER_TRAIN, PER_VALIDATION = 30, 8
Split = tuple[Tensor, Tensor]


def load_data(identities: int = IDENTITIES, seed: int = 0) -> tuple[Split, Split]:
    """Images ``[N, 1, 16, 16]`` between about -1 and 1, and identities ``[N]``."""
    generator = torch.Generator().manual_seed(seed)
    known = portraits(identities, generator)
    return photograph(known, PER_TRAIN, generator), photograph(known, PER_VALIDATION, generator)


def portraits(identities: int, generator: torch.Generator) -> Tensor:
    """A smooth random pattern for each identity, ``[K, 1, 18, 18]``: an image and room to shift it."""
    coarse = torch.randn(identities, 1, 5, 5, generator=generator)
    return F.interpolate(coarse, SIZE + ROOM, mode="bicubic", align_corners=True)


def photograph(known: Tensor, each: int, generator: torch.Generator) -> Split:
    """So many images of each of the portraits ``known[K, 1, 18, 18]``, in no order, and their identities."""
    labels = torch.arange(len(known)).repeat(each)[torch.randperm(len(known) * each, generator=generator)]
    rows, columns = (torch.randint(ROOM + 1, (len(labels),), generator=generator).tolist() for _ in range(2))
    faces = torch.stack(
        [
            known[label, :, row : row + SIZE, column : column + SIZE]
            for label, row, column in zip(labels.tolist(), rows, columns, strict=True)
        ]
    )
    light = 1 + 0.3 * torch.randn(len(labels), 1, 1, 1, generator=generator)
    ground = 0.3 * torch.randn(len(labels), 1, 1, 1, generator=generator)
    noise = 0.5 * torch.randn(faces.shape, generator=generator)
    return torch.tanh(0.6 * (light * faces + ground + noise)), labels


class ArcFace(nn.Module):
    """Embeddings ``[B, D]`` -> cosines with the normalised prototypes ``[B, K]``."""

    def __init__(self, dim: int, identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(identities, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Cosine of the angle to each class."""
        return F.linear(F.normalize(embeddings), F.normalize(self.weight))


class FaceNet(nn.Module):
    """A small convolution net, an embedding, and the ArcFace head: images ``[B, 1, 16, 16]`` -> cosines ``[B, K]``."""

    def __init__(self, identities: int, dim: int, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.PReLU(16),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.PReLU(32),
            nn.MaxPool2d(2),
        )
        self.embedding = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(32 * 16, dim))
        if batch_norm:
            self.embedding.append(nn.BatchNorm1d(dim))
        self.arcface = ArcFace(dim, identities)

    def forward(self, images: Tensor) -> Tensor:
        """Cosines with the prototypes."""
        return cast(Tensor, self.arcface(self.embedding(self.backbone(images))))


def build_model(identities: int = IDENTITIES, dim: int = 32, dropout: float = 0.0, batch_norm: bool = True) -> FaceNet:
    """The documented architecture in small.

    Without ``batch_norm`` of the embedding its gradient is divided by its length, which is small at first: the first
    steps push all prototypes away from all faces, and so onto each other.
    """
    return FaceNet(identities, dim, dropout, batch_norm)


class MarginLoss(nn.Module):
    """Cross-entropy over scaled cosines, the true class's angle made larger by a margin (Deng et al., 2019)."""

    def __init__(self, scale: float = 30.0, margin: float = 0.5) -> None:
        super().__init__()
        self.scale, self.cos, self.sin = scale, math.cos(margin), math.sin(margin)
        self.threshold, self.beyond = -math.cos(margin), margin * math.sin(margin)

    def forward(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """``cosines[B, K]``, ``labels[B]`` -> mean loss. Beyond pi - margin the penalty is linear, and monotonic."""
        own = cosines.gather(1, labels[:, None])
        sine = (1 - own.square()).clamp(min=1e-7).sqrt()
        moved = torch.where(own > self.threshold, own * self.cos - sine * self.sin, own - self.beyond)
        return F.cross_entropy(self.scale * cosines.scatter(1, labels[:, None], moved), labels)
