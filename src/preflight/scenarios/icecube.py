"""Case D in small: a transformer that finds a muon's direction from raw pulses; its loss is the angle.

The documented run stayed near 1.5 rad (chance: pi/2), and its gradients spiked in the first attention,
``t1.layers.0.qkv_proj.weight``: the features reach it at their raw scale, times of 1e4 ns beside flags of 0
and 1. Attention scores are then of the order 1e6: the softmax picks one pulse and passes no gradient on,
except where two pulses nearly tie, and there it passes a very large one.
"""

from __future__ import annotations

import math
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preflight.scenarios.icecube_data import FEATURES, load_data, sensor_positions

__all__ = ["FEATURES", "PulseTransformer", "angle", "angle_degrees", "build_model", "load_data"]


def build_model(
    dropout: float = 0.0, dim: int = 32, layers: int = 1, heads: int = 2, embed_sensors: bool = False
) -> nn.Module:
    """Transformer over pulses: ``(pulses[B, L, 4], valid[B, L]) -> direction[B, 3]``, not of unit length.

    With ``embed_sensors`` a sensor's number is no amount: it is looked up in the table of their places.
    Raises ValueError if ``dim`` is not a multiple of ``heads``.
    """
    if dim % heads:
        raise ValueError(f"dim must be a multiple of heads, got dim={dim}, heads={heads}")
    model = PulseTransformer(dropout, dim, layers, heads)
    if embed_sensors:
        model.embed = SensorEmbedding(dim)
    return model


class SensorEmbedding(nn.Module):
    """``pulses[B, L, 4] -> [B, L, D]``: a sensor's place in the detector, looked up, beside the other features."""

    places: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        places = torch.from_numpy(sensor_positions()).float()
        self.register_buffer("places", places / places.std())
        self.linear = nn.Linear(len(FEATURES) - 1 + 3, dim)

    def forward(self, pulses: Tensor) -> Tensor:
        """A linear layer of both."""
        column = FEATURES.index("sensor_id")
        others = [index for index in range(len(FEATURES)) if index != column]
        return cast(
            Tensor, self.linear(torch.cat([self.places[pulses[..., column].long()], pulses[..., others]], dim=-1))
        )


class PulseTransformer(nn.Module):
    """Linear embedding of the raw features, encoder ``t1``, mean over the valid pulses, linear head."""

    def __init__(self, dropout: float, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed: nn.Module = nn.Linear(len(FEATURES), dim)
        self.t1 = Encoder(dropout, dim, layers, heads)
        self.head = nn.Linear(dim, 3)

    def forward(self, pulses: Tensor, valid: Tensor) -> Tensor:
        """``pulses[B, L, 4]``, ``valid[B, L]`` (at least one pulse per event) -> ``direction[B, 3]``."""
        encoded = self.t1(self.embed(pulses), valid)
        weight = valid.unsqueeze(-1).to(encoded.dtype)
        return cast(Tensor, self.head((encoded * weight).sum(dim=1) / weight.sum(dim=1)))


class Encoder(nn.Module):
    """A stack of :class:`EncoderLayer`: ``x[B, L, D]``, ``valid[B, L]`` -> ``[B, L, D]``."""

    def __init__(self, dropout: float, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dropout, dim, heads) for _ in range(layers))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Attend within each event, to valid pulses only."""
        for layer in self.layers:
            x = layer(x, valid)
        return x


class EncoderLayer(nn.Module):
    """Self-attention on its input as it is, then an MLP on a LayerNorm of it, each with a residual."""

    def __init__(self, dropout: float, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """``x[B, L, D]``, ``valid[B, L]`` -> ``[B, L, D]``."""
        x = x + self.dropout(self._attend(x, valid))
        return cast(Tensor, x + self.dropout(self.mlp(self.norm(x))))

    def _attend(self, x: Tensor, valid: Tensor) -> Tensor:
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~valid[:, None, None, :], -torch.inf).softmax(dim=-1)
        return cast(Tensor, self.out_proj((weights @ v).transpose(1, 2).flatten(2)))


ANGLE_EPS: Final = 1e-6


def angle(output: Tensor, target: Tensor) -> Tensor:
    """Mean angle in radians between ``output[B, 3]`` and the unit vectors ``target[B, 3]``; chance is pi/2.

    The derivative of acos is singular at parallel and opposite vectors, so the cosine is clamped to
    ``1 - ANGLE_EPS``; and an output near zero has no direction: the gradient grows as ``1 / |output|``.
    """
    cosine = (F.normalize(output, dim=-1) * target).sum(dim=-1)
    return cosine.clamp(-1 + ANGLE_EPS, 1 - ANGLE_EPS).acos().mean()


def angle_degrees(output: Tensor, target: Tensor) -> Tensor:
    """Mean angle in degrees between ``output[B, 3]`` and the unit vectors ``target[B, 3]``; chance is 90."""
    return torch.rad2deg(angle(output, target))
