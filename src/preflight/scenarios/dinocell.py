"""Case E in small: a vision transformer learns from cells that nobody has labelled, with dino, ibot and koleo losses.

A student predicts what a teacher, its own running mean, says of another crop of the same cell (dino; Caron et al.,
2021) and of patches that the student does not see (ibot; Zhou et al., 2022); embeddings are to lie apart from each
other (koleo; Sablayrolles et al., 2019). The documented run did this well: it waited for its images.
"""

from __future__ import annotations

import copy
import math
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preflight.scenarios.dinocell_data import CROPS, KINDS, SIZE, load_data

__all__ = ["KINDS", "DinoCell", "build_model", "dino", "ibot", "koleo", "load_data", "neighbour_accuracy"]

PATCH, MASKED = 8, 4
PATCHES: Final = (SIZE // PATCH) ** 2
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.025

Output = dict[str, Tensor]


def build_model(
    dim: int = 32,
    layers: int = 2,
    heads: int = 2,
    prototypes: int = 32,
    teacher_momentum: float = 0.95,
    layer_scale: float = 0.01,
) -> DinoCell:
    """The documented architecture in small."""
    return DinoCell(Network(dim, layers, heads, prototypes, layer_scale), prototypes, teacher_momentum)


class DinoCell(nn.Module):
    """A student, and a teacher that follows it: ``crops[B, 2, 3, 32, 32]`` to what the three losses compare.

    ``{dino: {student[B, 2, K], teacher}, ibot: {student[B, 2, M, K], teacher}, koleo[B, 2, D], embedding[B, D]}``.
    In training mode every call moves the teacher and its centers, as the reference of MoCo does (He et al., 2020).
    """

    def __init__(self, student: Network, prototypes: int, momentum: float) -> None:
        super().__init__()
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum

    def forward(self, crops: Tensor) -> dict[str, Output | Tensor]:
        """Both see every crop, the student without its masked patches."""
        if self.training:
            self._follow()
        images = crops.flatten(0, 1)
        masked = self._masked(len(images)).to(images.device)
        seen, said, patches = self.student(images, masked, hide=True)
        with torch.no_grad():
            known, targets, patch_targets = self.teacher(images, masked, hide=False)
            dino_targets = targets - targets.mean(dim=0)
            ibot_targets = patch_targets - patch_targets.mean(dim=(0, 1))
        by_crop = (-1, CROPS)
        return {
            "dino": {"student": said.unflatten(0, by_crop), "teacher": dino_targets.unflatten(0, by_crop)},
            "ibot": {"student": patches.unflatten(0, by_crop), "teacher": ibot_targets.unflatten(0, by_crop)},
            "koleo": seen.unflatten(0, by_crop),
            "embedding": known.unflatten(0, by_crop)[:, 0],
        }

    def _masked(self, count: int) -> Tensor:
        """Patches that the student does not see, ``[N, M]``: others in every step, the same in every evaluation."""
        generator = None if self.training else torch.Generator().manual_seed(0)
        return torch.rand(count, PATCHES, generator=generator).argsort(dim=1)[:, :MASKED]

    @torch.no_grad()
    def _follow(self) -> None:
        for teacher, student in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            teacher.lerp_(student, 1 - self.momentum)


class Network(nn.Module):
    """Backbone and heads: ``images[N, 3, 32, 32]`` to embeddings ``[N, D]``, cosines ``[N, K]`` and ``[N, M, K]``."""

    def __init__(self, dim: int, layers: int, heads: int, prototypes: int, layer_scale: float) -> None:
        super().__init__()
        self.backbone = VisionTransformer(dim, layers, heads, layer_scale)
        self.dino_head = Head(dim, prototypes)
        self.ibot_head = Head(dim, prototypes)

    def forward(self, images: Tensor, masked: Tensor, *, hide: bool) -> tuple[Tensor, Tensor, Tensor]:
        """``masked[N, M]`` are the patches that are asked for, and hidden from the backbone on demand."""
        tokens = self.backbone(images, masked if hide else None)
        chosen = tokens[:, 1:].gather(1, masked[..., None].expand(-1, -1, tokens.shape[-1]))
        return tokens[:, 0], self.dino_head(tokens[:, 0]), self.ibot_head(chosen)


class VisionTransformer(nn.Module):
    """``images[N, 3, 32, 32]`` to tokens ``[N, 1 + P, D]``, the class token first (Dosovitskiy et al., 2021)."""

    def __init__(self, dim: int, layers: int, heads: int, layer_scale: float) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(3 * PATCH**2, dim)
        self.cls_token, self.mask_token = (nn.Parameter(0.02 * torch.randn(dim)) for _ in range(2))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1 + PATCHES, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, layer_scale) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor, hidden: Tensor | None) -> Tensor:
        """A learned token stands for the patches ``hidden[N, M]``."""
        tokens = self.patch_embed(_in_patches(images))
        if hidden is not None:
            where = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device).scatter_(1, hidden, True)
            tokens = torch.where(where[..., None], self.mask_token, tokens)
        tokens = torch.cat([self.cls_token.expand(len(tokens), 1, -1), tokens], dim=1) + self.pos_embed
        return cast(Tensor, self.norm(self.blocks(tokens)))


def _in_patches(images: Tensor) -> Tensor:
    """``[N, C, H, W] -> [N, P, C * 64]``."""
    parts = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return parts.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


class Block(nn.Module):
    """Attention and an MLP, each on a LayerNorm of its input and with a residual that ``layer_scale`` weighs."""

    def __init__(self, dim: int, heads: int, layer_scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.ls1, self.ls2 = (nn.Parameter(torch.full((dim,), layer_scale)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """``x[N, L, D]`` to the same shape."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.ls1 * self.proj(attended)
        return cast(Tensor, x + self.ls2 * self.mlp(self.norm2(x)))


class Head(nn.Module):
    """Cosines with ``prototypes``: ``[..., D] -> [..., K]``."""

    def __init__(self, dim: int, prototypes: int, hidden: int = 64, bottleneck: int = 256) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, bottleneck))
        self.last_layer = nn.Parameter(torch.randn(prototypes, bottleneck) / math.sqrt(bottleneck))

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings and prototypes are of unit length."""
        return F.linear(F.normalize(self.mlp(x), dim=-1), F.normalize(self.last_layer, dim=-1))


def dino(output: Output, _kind: Tensor) -> Tensor:
    """Cross-entropy of the student's word on one crop, ``[B, 2, K]``, with the teacher's on the other."""
    return _cross_entropy(output["student"], output["teacher"].flip(1))


def ibot(output: Output, _kind: Tensor) -> Tensor:
    """The same of the masked patches ``[B, 2, M, K]`` of one crop."""
    return _cross_entropy(output["student"], output["teacher"])


def _cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    wanted = (teacher / TEACHER_TEMPERATURE).softmax(dim=-1)
    return -(wanted * (student / STUDENT_TEMPERATURE).log_softmax(dim=-1)).sum(dim=-1).mean()


def koleo(embeddings: Tensor, _kind: Tensor) -> Tensor:
    """Kozachenko-Leonenko entropy of ``embeddings[B, 2, D]`` with its sign turned, the sum over both crops."""
    points = F.normalize(embeddings.transpose(0, 1), dim=-1)
    with torch.no_grad():
        nearest = (points @ points.mT - 4 * torch.eye(points.shape[1], device=points.device)).argmax(dim=-1)
    others = points.gather(1, nearest[..., None].expand_as(points))
    return -(F.pairwise_distance(points, others, eps=1e-8) + 1e-8).log().mean(dim=1).sum()


def neighbour_accuracy(output: dict[str, Tensor], kind: Tensor) -> Tensor:
    """Share of samples whose nearest neighbour by the teacher's ``embedding[N, D]`` is of their own ``kind[N]``."""
    points = F.normalize(output["embedding"], dim=-1)
    nearest = (points @ points.T).fill_diagonal_(-2).argmax(dim=1)
    return (kind[nearest] == kind).float().mean()
