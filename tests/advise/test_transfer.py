from __future__ import annotations

import pytest

from preflight.advise.transfer import LIKELY, MAY, RARELY, UNSURE, transfer
from preflight.core.params import Params

PARAMS = Params(
    lr=0.1, batch_size=8, loss_weights={"ce": 1.0}, normalization={"x": "none"}, target_normalization={"y": "none"},
    extras={"depth": 3},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("normalization.x", LIKELY),
        ("target_normalization.y", LIKELY),
        ("lr", MAY),
        ("batch_size", MAY),
        ("weight_decay", MAY),
        ("clip_norm", MAY),
        ("loss_weights.ce", MAY),
        ("depth", MAY),
        ("warmup_fraction", UNSURE),
        ("scheduler_interval", RARELY),
    ],
)
def test_every_setting_has_its_label(name: str, label: str) -> None:
    assert name in PARAMS.flat()
    assert transfer(name).label == label


def test_of_warmup_both_is_said() -> None:
    why = transfer("warmup_fraction").why
    assert "carry over" in why
    assert "did not" in why


@pytest.mark.parametrize("name", PARAMS.flat())
def test_every_label_has_a_phrase_and_a_reason(name: str) -> None:
    assert transfer(name).phrase.endswith("in the long run")
    assert transfer(name).why
