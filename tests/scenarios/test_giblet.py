from __future__ import annotations

import pytest
import torch
from torch import nn

from preflight.scenarios import giblet


@pytest.mark.parametrize("seed", [0, 1])
def test_modalities_have_the_documented_ranges(seed: int) -> None:
    train, validation = giblet.load_data(seed=seed)
    for split, samples in ((train, giblet.TRAINING), (validation, giblet.VALIDATION)):
        assert {name: tuple(item.shape) for name, item in split.items()} == {
            name: (samples, size) for name, size in giblet.SIZES.items()
        }
    assert train["video"].min() >= 0
    assert train["video"].max() <= 1
    assert torch.equal(train["audio"], train["audio"].round())
    assert 0 <= train["audio"].min() < 20 and 1000 < train["audio"].max() <= 1024
    assert train["text"].std() == pytest.approx(1.0, abs=0.2)
    assert train["fmri"].min() >= 0 and train["fmri"].max() > 10_000
    error = train["fmri"].square().mean()  # of a network that gives zeros
    assert 1e6 < error < 1e8


def test_without_raw_units_both_come_in_deviations() -> None:
    train, _ = giblet.load_data(raw=False)
    for name in ("audio", "fmri"):
        assert train[name].mean().abs() < 1e-3
        assert train[name].std() == pytest.approx(1.0, abs=1e-3)


def test_units_of_the_scanner_change_the_brain_activity_alone() -> None:
    (known, _), (brighter, _) = giblet.load_data(), giblet.load_data(brightest=30_000)
    torch.testing.assert_close(brighter["fmri"], 3 * known["fmri"])
    assert all(torch.equal(brighter[name], known[name]) for name in giblet.STIMULI)


def test_the_model_gives_every_modality() -> None:
    train, _ = giblet.load_data(20, 4)
    output = giblet.build_model()(*(train[name] for name in giblet.STIMULI))
    assert {name: item.shape for name, item in output.items()} == {name: item.shape for name, item in train.items()}


def test_the_schedule_reads_as_it_was_reported() -> None:
    """Planned for 27 batches an epoch: after 15 epochs of 27 advances 1e-4, after 15 advances 1.5e-5."""
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=1e-4)
    scheduler = giblet.build_scheduler(optimizer, epochs=500, warmup_epochs=10, batches=27)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(500 * 27):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[15] == pytest.approx(1.5e-5, rel=0.01)
    assert rates[15 * 27] == pytest.approx(1e-4, rel=0.01)
    assert rates[-1] == pytest.approx(1e-6, rel=0.01)
