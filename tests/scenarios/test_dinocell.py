from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from preflight.scenarios import dinocell
from preflight.scenarios.dinocell_data import BATCH, FETCH_S, KINDS, Storage

# As in a trial: small models are slower with more.
pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = {"dino": 1.0, "ibot": 0.5, "koleo": 0.1}
CONFIGS = Path(__file__).parents[2] / "conf/model/train"


def storage(samples: int = 240, **options: int) -> Storage:
    """The validation split: no waiting, in order."""
    _, loader = dinocell.load_data(40, samples, fetch_s=0.0, **options)
    assert isinstance(loader.dataset, Storage)
    return loader.dataset


def losses_of(output: dict[str, object]) -> dict[str, Tensor]:
    kinds = torch.zeros(BATCH)
    return {name: getattr(dinocell, name)(output[name], kinds) for name in WEIGHTS}


def trained(steps: int, seed: int) -> tuple[dinocell.DinoCell, list[float], Tensor]:
    """Plain PyTorch: AdamW, a short linear warmup, the documented weights; the model, its losses, the crops."""
    crops = storage(800, seed=seed).crops
    torch.manual_seed(seed)
    model = dinocell.build_model().train()
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], weight_decay=0.04)
    totals = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 30)
        values = losses_of(model(crops[torch.randperm(len(crops))[:BATCH]]))
        total = torch.stack([WEIGHTS[name] * value for name, value in values.items()]).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    return model.eval(), totals, crops


@torch.no_grad()
def accuracy(model: dinocell.DinoCell, split: Storage) -> float:
    return float(dinocell.neighbour_accuracy(model.eval()(split.crops), split.kinds))


def test_the_same_seed_gives_the_same_cells() -> None:
    first, again, other = (storage(60, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.crops, again.crops)
    assert not torch.equal(first.crops, other.crops)
    assert first.crops.shape == (60, 2, 3, 32, 32)
    assert first.kinds.bincount().tolist() == [10] * len(KINDS)
    assert torch.equal(first[7]["crops"], first[7]["crops"])


def test_one_image_cannot_be_read_and_all_others_can() -> None:
    train, validation = (loader.dataset for loader in dinocell.load_data(60, 30, fetch_s=0.0, unreadable=11))
    with pytest.raises(OSError, match="cannot identify image file"):
        train[11]
    assert len([train[index] for index in range(60) if index != 11]) == 59
    assert validation[11]["kind"] in range(len(KINDS))


def test_every_sample_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    loader, _ = dinocell.load_data(80, 40, num_workers=0)
    next(iter(loader))
    assert waited == [FETCH_S] * BATCH


def test_losses_begin_at_the_logarithm_of_the_prototypes() -> None:
    """Cosines with random prototypes, of 256 numbers, vary by 1/16: over a temperature that adds half their square."""
    torch.manual_seed(0)
    found = losses_of(dinocell.build_model(prototypes=32)(storage().crops[:BATCH]))
    start = math.log(32) + 0.5 * (1 / 16 / dinocell.STUDENT_TEMPERATURE) ** 2
    assert found["dino"].item() == pytest.approx(start, abs=0.15)
    assert found["ibot"].item() == pytest.approx(start, abs=0.15)


def test_the_documented_sum() -> None:
    """dino 11.11, ibot 5.55, which its own log halves, and a tenth of koleo 8.63 for each of two crops."""
    config = OmegaConf.load(CONFIGS / "dinocell.yaml")
    assert {"dino": config.dino.loss_weight, "ibot": config.ibot.loss_weight} == {"dino": 1.0, "ibot": 0.5}
    documented = {"dino": 11.11, "ibot": 2 * 5.55, "koleo": 2 * 8.63}
    assert sum(WEIGHTS[name] * value for name, value in documented.items()) == pytest.approx(18.39, abs=0.01)
    assert documented["dino"] == pytest.approx(math.log(65536), abs=0.02)


def test_koleo_is_the_logarithm_of_the_distance_to_the_nearest_other() -> None:
    angles = torch.tensor([0.0, 0.1, 2.0])
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    distances = [2 * math.sin(angle / 2) for angle in (0.1, 0.1, 1.9)]
    one_crop = -sum(map(math.log, distances)) / 3
    both = 5 * torch.stack([points, points.flip(0)], dim=1)  # lengths do not count
    assert dinocell.koleo(both, angles).item() == pytest.approx(2 * one_crop, rel=1e-4)


def test_the_teacher_follows_in_training_and_has_no_gradient() -> None:
    model, crops = dinocell.build_model(teacher_momentum=0.9), storage(BATCH).crops
    before = model.teacher.backbone.pos_embed.clone()
    torch.nn.init.ones_(model.student.backbone.pos_embed)
    model.eval()(crops)
    assert torch.equal(model.teacher.backbone.pos_embed, before)
    output = model.train()(crops)
    torch.testing.assert_close(model.teacher.backbone.pos_embed.detach(), 0.9 * before + 0.1)
    torch.stack(list(losses_of(output).values())).sum().backward()
    assert all(item.grad is None for item in model.teacher.parameters())
    assert all(item.grad is not None for item in model.student.parameters())


def test_evaluation_is_the_same_every_time_and_training_masks_other_patches() -> None:
    model, crops = dinocell.build_model(), storage(BATCH).crops
    with torch.no_grad():
        first, again = (model.eval()(crops)["ibot"]["student"] for _ in range(2))
        assert torch.equal(first, again)
        assert not torch.equal(model.train()(crops)["ibot"]["student"], first)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_tells_kinds_apart_that_nobody_labelled(seed: int) -> None:
    split = storage(seed=seed)
    torch.manual_seed(seed)
    before = accuracy(dinocell.build_model(), split)
    model, totals, _ = trained(150, seed)
    assert sum(totals[-20:]) < 0.8 * sum(totals[:20])
    assert accuracy(model, split) > before + 0.1


def test_both_configs_have_the_documented_settings() -> None:
    for name in ("dinocell", "dinocell_healthy"):
        config = OmegaConf.load(CONFIGS / f"{name}.yaml")
        assert (config.train.batch_size_per_gpu, config.optim.max_iters) == (40, 90_000)


@pytest.mark.parametrize(
    "wrong", [{"unreadable": 60}, {"unreadable": -1}, {"fetch_s": -1}, {"fetch_s": "abc"}], ids=str
)
def test_what_cannot_be_is_refused_by_name_and_value(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        dinocell.load_data(60, 30, **wrong)
