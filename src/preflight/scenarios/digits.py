"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels in 10 classes."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

TRAIN_SIZE = 1297
Split = tuple[Tensor, Tensor]


def load_data(brightness: float = 255.0) -> tuple[Split, Split]:
    """Train and validation split, images ``[N, 1, 8, 8]`` with pixels 0 to ``brightness`` and labels ``[N]``.

    The split is a fixed shuffle: the file is ordered by writer.
    """
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    pixels = torch.tensor(images[order] * (brightness / 16), dtype=torch.float32).view(-1, 1, 8, 8)
    classes = torch.tensor(labels[order], dtype=torch.long)
    return (pixels[:TRAIN_SIZE], classes[:TRAIN_SIZE]), (pixels[TRAIN_SIZE:], classes[TRAIN_SIZE:])


class DigitsNet(nn.Module):
    """Images ``[B, 1, 8, 8]`` -> logits ``[B, 10]``."""

    def __init__(self, hidden: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        return self.head(self.backbone(images))  # type: ignore[no-any-return]


def build_model(hidden: int = 128, dropout: float = 0.0) -> DigitsNet:
    """A multilayer perceptron with two hidden layers."""
    return DigitsNet(hidden, dropout)
