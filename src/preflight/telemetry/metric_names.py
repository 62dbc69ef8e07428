"""What the name of a series says: of which split it is, whether it is a loss or a metric, and which one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TRAIN: Final = "train"
VALIDATION: Final = "validation"
LOSS: Final = "loss"
GAIN: Final = "gain"  # larger is better
COST: Final = "cost"  # smaller is better, and it is not what is minimized


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TRAIN_WORDS = frozenset({"train", "training", "tr"})
_VALIDATION_WORDS = frozenset({"val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout"})
_TEST_WORDS = frozenset({"test", "testing", "holdout"})
_LOSSES = frozenset({"loss", "losses", "nll", "ce", "bce", "xent", "elbo", "objective"})
_GAINS = _set(
    "acc accuracy top1 top3 top5 top10 precision prec recall f1 f1score fscore auc auroc auprc ap map miou iou dice "
    "bleu rouge psnr ssim r2 sensitivity specificity"
)
_COSTS = _set("error err mae mse rmse mape wer cer ppl perplexity fid top1err top5err")
# Words that a name may have besides, and that change nothing about what is meant.
_FILLERS = _set("epoch step avg average mean running smooth total score value metric final")
_SAME = {
    "acc": "top1",
    "accuracy": "top1",
    **dict.fromkeys(("acc1", "accuracy1", "prec1", "precision1"), "top1"),
    **dict.fromkeys(("acc5", "accuracy5", "prec5", "precision5"), "top5"),
    "perplexity": "ppl",
    "err": "error",
    "prec": "precision",
    "auroc": "auc",
}
_CUT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")
_RANKED = re.compile(r"(?<![A-Za-z])(top|acc|accuracy|prec|precision)[-_@ ]*(\d+)(?!\d)", re.IGNORECASE)
_CROSS_ENTROPY = re.compile(r"(binary[-_ ]?)?cross[-_ ]?entropy", re.IGNORECASE)
# A log says the same few names in every line; more than these are words of prose.
_KNOWN_NAMES = 1024
# "best" and "min" are of the run so far, and repeat what was.
_OTHERS = _set("lr time memory mem seconds runtime samples eta speed scale weight best min max patience")


@dataclass(frozen=True)
class Meaning:
    """``split`` is train or validation, ``kind`` loss, gain or cost, ``key`` what tells it from others of its kind."""

    split: str
    kind: str
    key: str


@lru_cache(_KNOWN_NAMES)
def meaning(name: str) -> Meaning | None:
    """What a series is by its name; None for what is neither a loss nor a metric that is known."""
    words = _words(name)
    if set(words) & _OTHERS:
        return None
    split = VALIDATION if set(words) & _VALIDATION_WORDS else TRAIN
    rest = [_SAME.get(word, word) for word in words if word not in _TRAIN_WORDS | _VALIDATION_WORDS | _FILLERS]
    if (kind := _kind(rest)) is None:
        return None
    key = [word for word in dict.fromkeys(rest) if word not in ("loss", "losses")]
    if kind == GAIN and len(key) > 1:
        key = [word for word in key if word != "top1"]  # "acc" in "top5_acc" adds nothing
    return Meaning(split, kind, "_".join(key))


@lru_cache(_KNOWN_NAMES)
def is_metric(name: str) -> bool:
    """Whether a name in a console log is that of a loss, a metric or a learning rate."""
    return meaning(name) is not None or _is_rate(name)


@lru_cache(_KNOWN_NAMES)
def has_split(name: str) -> bool:
    """Whether a name tells its split itself."""
    return bool(set(_words(name)) & (_TRAIN_WORDS | _VALIDATION_WORDS))


def is_of_test(name: str) -> bool:
    """Whether a series is of samples that are called test, which may be others than those of the validation."""
    return bool(set(_words(name)) & _TEST_WORDS)


@lru_cache(_KNOWN_NAMES)
def with_split(name: str, split: str) -> str:
    """The name with the split in front, where it does not tell it itself: ``loss`` of ``Train`` -> ``train_loss``.

    A learning rate is of no split.
    """
    plain = "_".join(part for part in re.split(r"[^\w@.]+", name.strip()) if part).lower()
    return f"{split.lower()}_{plain}" if split and not has_split(name) and not _is_rate(name) else plain


def _is_rate(name: str) -> bool:
    return _words(name) in (["lr"], ["learning", "rate"])


def _kind(words: list[str]) -> str | None:
    """A loss where one word says so: ``dice_loss`` is one, ``dice`` is not."""
    found = set(words)
    if found & _LOSSES:
        return LOSS
    if found & _COSTS:
        return COST
    return GAIN if found & _GAINS else None


def _words(name: str) -> list[str]:
    joined = _RANKED.sub(lambda found: f"{found[1]}{found[2]}", _CROSS_ENTROPY.sub("ce", name))
    return [word.lower() for word in _CUT.split(joined) if word]
