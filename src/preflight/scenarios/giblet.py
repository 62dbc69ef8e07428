"""Case C in small: a multimodal autoencoder that also predicts brain activity, in the scanner's raw units.

Video, audio and text go in; the same three and fMRI come out, each with its own mean squared error. Every modality
shows the same hidden causes, so that all of them can be learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

# Values per sample. Documented: 43,200, 112 x 8, 3,072 and 85,810.
SIZES: Final = {"video": 192, "audio": 32, "text": 48, "fmri": 256}
STIMULI: Final = ("video", "audio", "text")
CAUSES: Final = 6  # hidden variables of a sample
CODES: Final = 1024  # of the audio codec
SCANNER: Final = (0.0, 10_000.0)  # raw units; the brightest voxels go beyond
TRAINING, VALIDATION = 324, 120

Split = dict[str, Tensor]


def load_data(
    samples: int = TRAINING,
    validation_samples: int = VALIDATION,
    seed: int = 0,
    raw: bool = True,
    brightest: float = SCANNER[1],
) -> tuple[Split, Split]:
    """Each split holds ``video[N, 192]`` in 0..1, ``audio[N, 32]`` codes 0..1024, ``text[N, 48]``, ``fmri[N, 256]``.

    All are float32, and the fMRI is raw: voxels have a brightness of their own between 0 and the ``brightest``'s, in
    scanner units, of which activity changes some percent; the audio is codes. Without ``raw`` both come in deviations
    from their training mean.
    """
    generator = torch.Generator().manual_seed(seed)
    mixing = {name: torch.randn(CAUSES, size, generator=generator) / CAUSES**0.5 for name, size in SIZES.items()}
    brightness = brightest * torch.rand(SIZES["fmri"], generator=generator)

    def split(count: int) -> Split:
        causes = torch.randn(count, CAUSES, generator=generator)
        shown = {
            name: causes @ matrix + 0.3 * torch.randn(count, SIZES[name], generator=generator)
            for name, matrix in mixing.items()
        }
        return {
            "video": torch.sigmoid(shown["video"]),
            "audio": (CODES * torch.sigmoid(1.5 * shown["audio"])).round(),
            "text": shown["text"],
            "fmri": (brightness * (1 + 0.1 * shown["fmri"])).clamp(min=SCANNER[0]),
        }

    training, validation = split(samples), split(validation_samples)
    for name in () if raw else ("audio", "fmri"):
        mean, scale = training[name].mean(dim=0), (training[name] - training[name].mean(dim=0)).std()
        training[name], validation[name] = (training[name] - mean) / scale, (validation[name] - mean) / scale
    return training, validation


def build_model(width: int = 64, latent: int = 24, dropout: float = 0.0) -> nn.Module:
    """Encoders of the stimuli, a shared latent, decoders of all four modalities."""
    return Giblet(width, latent, dropout)


class Giblet(nn.Module):
    """``(video[B, 192], audio[B, 32], text[B, 48]) -> {video, audio, text, fmri}``, each of its modality's shape."""

    def __init__(self, width: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({name: nn.Linear(SIZES[name], width) for name in STIMULI})
        self.fusion = nn.Sequential(
            nn.LayerNorm(len(STIMULI) * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(len(STIMULI) * width, latent)
        )
        self.decoders = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(latent, width), nn.GELU(), nn.Linear(width, size))
                for name, size in SIZES.items()
            }
        )

    def forward(self, video: Tensor, audio: Tensor, text: Tensor) -> Mapping[str, Tensor]:
        """Reconstructions of the stimuli, and the predicted activity."""
        given = dict(zip(STIMULI, (video, audio, text), strict=True))
        latent = self.fusion(torch.cat([self.encoders[name](given[name]) for name in STIMULI], dim=-1))
        return {name: cast(Tensor, decoder(latent)) for name, decoder in self.decoders.items()}


def build_scheduler(optimizer: Optimizer, epochs: int, warmup_epochs: int, batches: int) -> LRScheduler:
    """A linear warmup from a tenth, then a cosine to 1e-6, their lengths counted in batches as the owner wrote them."""
    warmup, total = batches * warmup_epochs, batches * epochs
    return SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor=0.1, total_iters=warmup),
            CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=1e-6),
        ],
        milestones=[warmup],
    )
