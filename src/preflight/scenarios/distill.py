"""Case B in small: a student learns faces from labels and a teacher, and is judged by a copy that nobody updates.

The owner's loop evaluates an averaged copy of the student, and keeps its metrics in a recorder. Both are broken as they
were: the copy's update is never called, and the recorder is emptied before its values are read.
"""

from __future__ import annotations

import copy
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preflight.scenarios.faces import SIZE, photograph, portraits

IDENTITIES: Final = 200
PER_TRAIN, PER_VALIDATION = 8, 2
TEMPERATURE: Final = 2.0
TEACHER_SCALE: Final = 12.0  # of its cosines: sure of most faces, not of all
STUDENT, COPY = "student", "copy"

Split = dict[str, Tensor]


def load_data(identities: int = IDENTITIES, seed: int = 0) -> tuple[Split, Split]:
    """Each split holds ``image[N, 1, 16, 16]``, ``label[N]`` and the ``teacher[N, K]``'s logits.

    The teacher compares a face with the portraits that all of them are made of.
    """
    generator = torch.Generator().manual_seed(seed)
    known = portraits(identities, generator)
    margin = (known.shape[-1] - SIZE) // 2
    references = F.normalize(known[..., margin : margin + SIZE, margin : margin + SIZE].flatten(1))

    def split(each: int) -> Split:
        images, labels = photograph(known, each, generator)
        cosines = F.normalize(images.flatten(1)) @ references.T
        return {"image": images, "label": labels, "teacher": TEACHER_SCALE * cosines}

    return split(PER_TRAIN), split(PER_VALIDATION)


def build_model(
    identities: int = IDENTITIES, width: int = 128, dropout: float = 0.0, evaluate: str = COPY
) -> nn.Module:
    """The student and its copy; ``evaluate`` says which of the two is asked in evaluation, "copy" or "student"."""
    if evaluate not in (STUDENT, COPY):
        raise ValueError(f"evaluate must be {STUDENT} or {COPY}, got evaluate={evaluate!r}")
    return Distilled(identities, width, dropout, evaluate)


class Distilled(nn.Module):
    """A student with an averaged copy of itself: images ``[B, 1, 16, 16]`` -> logits ``[B, K]``."""

    def __init__(self, identities: int, width: int, dropout: float, evaluate: str) -> None:
        super().__init__()
        self.student = nn.Sequential(
            nn.Flatten(),
            nn.Linear(SIZE * SIZE, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, identities),
        )
        self.copy = copy.deepcopy(self.student).requires_grad_(False)
        self.evaluate = evaluate

    def forward(self, image: Tensor) -> Tensor:
        """The student's logits in training, those of what is evaluated else."""
        use_copy = not self.training and self.evaluate == COPY
        return cast(Tensor, (self.copy if use_copy else self.student)(image))

    @torch.no_grad()
    def update_copy(self, momentum: float = 0.99) -> None:
        """Move the copy towards the student; to be called after every step, which the owner's loop does not."""
        for ours, theirs in zip(self.copy.parameters(), self.student.parameters(), strict=True):
            ours.lerp_(theirs, 1 - momentum)


def distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with the teacher's softened answers (Hinton et al., 2015): ``[B, K]`` and ``[B, K]`` -> scalar."""
    soft = F.softmax(teacher / TEMPERATURE, dim=-1)
    return -(soft * F.log_softmax(logits / TEMPERATURE, dim=-1)).sum(dim=-1).mean()


class TopOne:
    """The owner's recorder of accuracy: ``update`` with every batch, ``compute`` at the end of an epoch."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.correct, self.samples = 0.0, 0

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        self.correct += float((logits.argmax(dim=-1) == labels).sum())
        self.samples += len(labels)

    def compute(self) -> float:
        """Share of correct answers since the last reset."""
        return self.correct / max(1, self.samples)

    def __call__(self, logits: Tensor, targets: dict[str, Tensor]) -> float:
        """Accuracy of the whole validation set."""
        self.reset()
        self.update(logits, targets["label"])
        return self.compute()


class ResetTopOne(TopOne):
    """The recorder as its owner used it: reset for the next epoch before its value is read."""

    def __call__(self, logits: Tensor, targets: dict[str, Tensor]) -> float:
        """What is left of the accuracy."""
        self.update(logits, targets["label"])
        self.reset()
        return self.compute()
