from __future__ import annotations

import torch
from torch import nn

from preflight.probes.untouched import backward, leaves_of, untouched


def test_buffers_and_modes_are_as_they_were() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
    network[1].eval()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    modes = [module.training for module in network.modules()]
    with untouched(network):
        assert all(module.training for module in network.modules())
        network(torch.randn(8, 3)).sum().backward()
        assert not torch.equal(network[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    assert [module.training for module in network.modules()] == modes


def test_they_are_put_back_after_an_error_too() -> None:
    network = nn.BatchNorm1d(3)
    network.eval()
    try:
        with untouched(network):
            network(torch.randn(8, 3))
            raise ValueError
    except ValueError:
        pass
    assert not network.training
    assert torch.equal(network.running_mean, torch.zeros(3))


def test_gradients_are_there_inside_and_those_of_before_are_put_back() -> None:
    layer, scale = nn.Linear(3, 2), torch.ones((), requires_grad=True)
    scale.grad = torch.tensor(5.0)
    with backward((scale * layer(torch.ones(1, 3))).sum()) as leaves:
        assert {id(item) for item in leaves} == {id(scale), id(layer.weight), id(layer.bias)}
        assert torch.equal(layer.weight.grad, torch.ones(2, 3))
        assert scale.grad != 5.0
    assert scale.grad == 5.0
    assert layer.weight.grad is None


def test_leaves_are_what_the_loss_depends_on() -> None:
    used, frozen, unused = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    hidden = frozen(used(torch.ones(1, 2))) + unused(torch.ones(1, 2)).detach()
    assert {id(item) for item in leaves_of(hidden.sum())} == {id(item) for item in used.parameters()}
