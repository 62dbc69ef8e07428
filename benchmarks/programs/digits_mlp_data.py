"""What can be wrong with the data of a perceptron on digits: its scale, its order, its labels, its splits."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.programs.digits_mlp import BASE, Data, digits, task


def _shuffled_labels() -> Data:
    (images, labels), (others, theirs) = digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return (images, labels[order]), (others, theirs)


def _sorted() -> Data:
    (images, labels), validation = digits()
    order = labels.argsort(stable=True)
    return (images[order], labels[order]), validation


def _with_nan() -> Data:
    (images, labels), validation = digits()
    images = images.clone()
    images[200::400, 20] = float("nan")
    return (images, labels), validation


def _shifted_validation() -> Data:
    """The loader of the validation split lacks the division by 16."""
    train, (others, theirs) = digits()
    return train, (others * 16, theirs)


def _inverted_validation() -> Data:
    train, (others, theirs) = digits()
    return train, (1 - others, theirs)


def _few() -> Data:
    (images, labels), validation = digits()
    return (images[:40], labels[:40]), validation


_case = BASE.faulty

FAULTY = (
    _case(
        "inputs_times_1000",
        "pixels from 0 to 1000, mean 305",
        ("PF301",),
        lambda: task().but(data=partial(digits, 1000 / 16)),
    ),
    _case(
        "inputs_offset",
        "pixels around 500 with deviation 0.4",
        ("PF301",),
        lambda: task().but(data=partial(digits, 1 / 16, 500.0)),
    ),
    _case(
        "normalized_twice",
        "pixels divided by 16 and by 255",
        ("PF309", "PF301"),
        lambda: task().but(data=partial(digits, 1 / 16 / 255)),
    ),
    _case(
        "labels_shuffled", "labels do not belong to their images", ("PF310",), lambda: task().but(data=_shuffled_labels)
    ),
    _case(
        "sorted_by_label",
        "sorted by label and not shuffled",
        ("PF307",),
        lambda: task().but(data=_sorted, shuffle=False),
    ),
    _case("nan_pixels", "a NaN in three images of 1,297", ("PF305",), lambda: task().but(data=_with_nan)),
    _case(
        "validation_not_scaled",
        "the validation pixels are 16 times as large",
        ("PF306",),
        lambda: task().but(data=_shifted_validation),
    ),
    _case(
        "validation_inverted",
        "the validation images are inverted",
        ("PF306",),
        lambda: task().but(data=_inverted_validation),
    ),
    _case(
        "forty_images",
        "40 images to train on, 3 x 512 units",
        ("PF507",),
        lambda: task(depth=3, width=512).but(data=_few),
    ),
)
