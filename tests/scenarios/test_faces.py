from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from preflight.scenarios import faces


def test_the_same_seed_gives_the_same_faces() -> None:
    (images, labels), _ = faces.load_data(seed=3)
    (again, _), (held_out, _) = faces.load_data(seed=3)
    assert torch.equal(images, again)
    assert images.shape == (faces.IDENTITIES * faces.PER_TRAIN, 1, faces.SIZE, faces.SIZE)
    assert labels.bincount().tolist() == [faces.PER_TRAIN] * faces.IDENTITIES
    assert not torch.isin(held_out.flatten(1)[:, 0], images.flatten(1)[:, 0]).any()


def test_the_head_gives_cosines_whatever_the_norms_of_its_rows() -> None:
    model = faces.build_model()
    images = faces.load_data()[0][0][:16]
    cosines = model(images)
    assert cosines.abs().max() <= 1 + 1e-6
    model.arcface.weight.data *= torch.arange(1, faces.IDENTITIES + 1)[:, None]
    assert torch.allclose(model(images), cosines, atol=1e-5)


@pytest.mark.parametrize("angle", [0.1, 1.0, 2.0, 3.0])
def test_the_margin_is_added_to_the_angle_of_the_own_class(angle: float) -> None:
    loss, labels = faces.MarginLoss(scale=10.0, margin=0.5), torch.tensor([0])
    cosines = torch.tensor([[angle, 1.2, 1.9]]).cos()
    moved = torch.tensor([[min(angle + 0.5, torch.pi), 1.2, 1.9]]).cos()
    expected = F.cross_entropy(10 * moved, labels)
    if angle + 0.5 <= torch.pi:
        assert loss(cosines, labels).item() == pytest.approx(expected.item(), rel=1e-4)
    else:
        assert loss(cosines, labels) > expected  # linear beyond, and still rising


def test_the_loss_rises_with_the_angle() -> None:
    loss, labels = faces.MarginLoss(), torch.tensor([0])
    values = [loss(torch.tensor([[cosine, 0.0]]), labels).item() for cosine in torch.linspace(1, -1, 50).tolist()]
    assert values == sorted(values)
