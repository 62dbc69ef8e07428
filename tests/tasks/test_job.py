from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.errors import TaskError
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.tasks.normalizer import FeatureNorm, InputNormalizer
from preflight.tasks.pytorch import component_of

TODAY = Params(lr=0.1, batch_size=4)


def with_values(**values: Any) -> Params:
    return TODAY.with_values(values)


def test_a_job_has_everything_a_trial_needs(make_task: Any) -> None:
    task = make_task(head="head")
    job = task.job(TODAY)
    batch = next(task.batches(TODAY, 0))
    assert job.outputs(batch).shape == (4, 2)
    assert [name for name, _ in job.parameters] == [
        "backbone.0.weight",
        "backbone.0.bias",
        "head.weight",
        "head.bias",
    ]
    assert job.head is job.network.model.head.weight
    assert [loss.name for loss in job.losses] == ["mse"]
    assert (job.params, job.device.type, job.lr_ratios) == (TODAY, "cpu", [1.0])


def test_every_job_has_a_model_of_its_own(make_task: Any) -> None:
    task = make_task()
    first, second = task.job(TODAY), task.job(TODAY)
    assert first.network.model is not second.network.model
    assert first.optimizer is not second.optimizer


def test_components_are_the_top_level_modules_unless_they_are_named(make_task: Any) -> None:
    assert set(make_task().job(TODAY).components.values()) == {"backbone", "head"}
    named = make_task(components={"first": "backbone.0.*", "biases": "*.bias"}).job(TODAY).components
    assert named == {
        "backbone.0.weight": "first",
        "backbone.0.bias": "first",
        "head.weight": "other",
        "head.bias": "biases",
    }


@pytest.mark.parametrize(
    ("name", "components", "component"),
    [
        ("encoder.layers.0.weight", {}, "encoder"),
        ("weight", {}, "weight"),
        ("encoder.layers.0.weight", {"encoder": "encoder.*"}, "encoder"),
        ("decoder.weight", {"encoder": "encoder.*"}, "other"),
        ("norm.bias", {"early": "stem.* | norm.*", "late": "*"}, "early"),
        ("head.bias", {"early": "stem.* | norm.*", "late": "*"}, "late"),
        ("Head.bias", {"head": "head.*"}, "other"),
    ],
)
def test_the_first_pattern_that_fits_names_the_component(name: str, components: dict[str, str], component: str) -> None:
    assert component_of(name, components) == component


def groups(job: Any) -> list[tuple[float, int]]:
    return [(group["lr"], len(group["params"])) for group in job.optimizer.param_groups]


def test_learning_rate_ratios_make_groups_in_the_order_of_the_model(make_task: Any) -> None:
    job = make_task(lr_ratios={"head": 10}).job(TODAY)
    assert job.lr_ratios == [1.0, 10.0]
    assert groups(job) == [(pytest.approx(0.1), 2), (pytest.approx(1.0), 2)]


def test_components_of_one_ratio_share_a_group(make_task: Any) -> None:
    job = make_task(lr_ratios={"head": 2, "backbone": 2}).job(TODAY)
    assert job.lr_ratios == [2.0]
    assert groups(job) == [(pytest.approx(0.2), 4)]


OPTIMIZERS: dict[str, Any] = {
    "target": {"_target_": "torch.optim.SGD", "momentum": 0.5},
    "target with a learning rate of its own": {"_target_": "torch.optim.SGD", "momentum": 0.5, "lr": 7.0},
    "partial": functools.partial(torch.optim.SGD, momentum=0.5),
    "function": lambda groups, lr, weight_decay=0.0: torch.optim.SGD(groups, lr, 0.5, weight_decay=weight_decay),
}


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_may_be_given_in_any_of_the_usual_ways(spec: Any, make_task: Any) -> None:
    optimizer = make_task(optimizer=spec).job(with_values(weight_decay=0.25)).optimizer
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.5, 0.25)


def test_an_optimizer_may_be_a_dotted_name_and_is_adamw_by_default(make_task: Any) -> None:
    assert type(make_task(optimizer="torch.optim.SGD").job(TODAY).optimizer) is torch.optim.SGD
    assert type(make_task().job(TODAY).optimizer) is torch.optim.AdamW


def test_no_weight_decay_leaves_the_optimizers_own_default(make_task: Any) -> None:
    assert make_task().job(TODAY).optimizer.param_groups[0]["weight_decay"] == 0.01
    assert make_task().job(with_values(weight_decay=0.0)).optimizer.param_groups[0]["weight_decay"] == 0.0


def test_extras_reach_the_factory(make_task: Any) -> None:
    model = make_task().job(with_values(dropout=0.25, width=7)).network.model
    assert (model.backbone[2].p, model.head.in_features) == (0.25, 7)


def test_extras_win_over_what_the_factory_is_given(
    make_task: Any, network: type[nn.Module], tmp_path: Path, add_module: Any
) -> None:
    add_module(tmp_path, "users_model", "from torch import nn\ndef build(width):\n    return nn.Linear(3, width)\n")
    task = make_task(trust=Trust((tmp_path.resolve(),)), factory={"_target_": "users_model.build", "width": 2})
    assert task.job(TODAY).network.model.out_features == 2
    assert task.job(with_values(width=5)).network.model.out_features == 5


def test_a_normalizer_stands_in_front_of_the_model(make_task: Any) -> None:
    task = make_task()
    task.normalizers[("normalization.input", "standardize")] = {"center": [1.0, 2.0, 3.0], "scale": [2.0, 2.0, 2.0]}
    job = task.job(with_values(**{"normalization.input": "standardize"}))
    batch = next(task.batches(TODAY, 0))
    expected = job.network.model((batch["input"] - torch.tensor([1.0, 2.0, 3.0])) / 2)
    assert torch.equal(job.outputs(batch), expected)
    assert isinstance(job.network.normalizers[0], InputNormalizer)
    assert len(job.parameters) == 4


def test_the_parameters_of_a_norm_are_trained_with_the_model(make_task: Any) -> None:
    task = make_task()
    task.normalizers[("normalization.input", "batch_norm")] = {"kind": "batch_norm", "features": 3}
    job = task.job(with_values(**{"normalization.input": "batch_norm"}))
    assert isinstance(job.network.normalizers[0], FeatureNorm)
    assert [name for name, _ in job.parameters][-2:] == ["normalizer.input.norm.weight", "normalizer.input.norm.bias"]
    assert job.components["normalizer.input.norm.weight"] == "normalizer"
    assert sum(len(group["params"]) for group in job.optimizer.param_groups) == 6


def test_equal_random_states_give_equal_models_whatever_the_normalization(make_task: Any) -> None:
    task = make_task()
    task.normalizers[("normalization.input", "standardize")] = {"center": [0.0] * 3, "scale": [1.0] * 3}
    task.normalizers[("normalization.input", "batch_norm")] = {"kind": "batch_norm", "features": 3}
    states = []
    for option in ("none", "standardize", "batch_norm"):
        torch.manual_seed(0)
        job = task.job(with_values(**{"normalization.input": option}))
        states.append((copy.deepcopy(job.network.model.state_dict()), torch.rand(1)))
    for state, following in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0][0].items())
        assert torch.equal(following, states[0][1])  # dropout draws the same masks


def test_inputs_reach_the_model_in_the_order_of_their_roles(make_task: Any) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.scale * (left - right)

    part = {"a": torch.ones(5, 1), "b": torch.zeros(5, 1), "target": torch.zeros(5, 1)}
    for inputs, expected in ((("a", "b"), 1.0), (("b", "a"), -1.0)):
        task = make_task(factory=Two, data=(part, part), inputs=inputs)
        assert float(task.job(TODAY).outputs(part)[0].detach()) == expected


def test_frozen_parameters_are_left_out(make_task: Any, network: type[nn.Module]) -> None:
    def partly_frozen() -> nn.Module:
        model = network()
        model.backbone.requires_grad_(False)
        return model

    job = make_task(factory=partly_frozen).job(TODAY)
    assert [name for name, _ in job.parameters] == ["head.weight", "head.bias"]
    assert sum(len(group["params"]) for group in job.optimizer.param_groups) == 2


def test_a_factory_that_gives_the_same_weights_again_is_refused(make_task: Any, network: type[nn.Module]) -> None:
    model = network()
    same, around = make_task(factory=lambda: model), make_task(factory=lambda: nn.Sequential(model))
    for task in (same, around):
        kept = task.job(TODAY)
        with pytest.raises(TaskError, match=r"model\.factory gives parameters again that it gave before: .*deepcopy"):
            task.job(TODAY)
        del kept
    copied = make_task(factory=lambda: copy.deepcopy(model))
    assert copied.job(TODAY).network is not copied.job(TODAY).network


def test_a_frozen_part_may_be_shared(make_task: Any, network: type[nn.Module]) -> None:
    backbone = network().backbone.requires_grad_(False)
    task = make_task(factory=lambda: nn.Sequential(backbone, nn.Linear(4, 2)))
    assert len(task.job(TODAY).parameters) == len(task.job(TODAY).parameters) == 2


class Frozen(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 2)
        self.requires_grad_(False)


def broken() -> nn.Module:
    raise RuntimeError("no weights at /nowhere")


@pytest.mark.parametrize(
    ("changes", "params", "text"),
    [
        ({"factory": lambda: 3}, TODAY, r"model\.factory must give a torch\.nn\.Module, got int"),
        ({"factory": broken}, TODAY, r"model\.factory: .* failed: RuntimeError: no weights at /nowhere"),
        ({"factory": Frozen}, TODAY, r"the model has no parameter that is trained: none has requires_grad"),
        ({"factory": nn.Identity}, TODAY, r"the model has no parameter that is trained"),
        ({}, with_values(no_such=1), r"model\.factory: .* failed: TypeError: .*no_such"),
        ({"components": {"body": "body.*"}}, TODAY, r"model\.components\.body=body\.\* matches no trained parameter"),
        ({"components": {"a": "*", "b": "head.*"}}, TODAY, r"model\.components\.b=head\.\* matches no trained"),
        ({"lr_ratios": {"haed": 2}}, TODAY, r"model\.lr_ratios names the component 'haed'; did you mean 'head'\?"),
        ({"head": "tail"}, TODAY, r"model\.head=tail is no component with a weight matrix; known: backbone, head"),
        ({"optimizer": "torch.optim.SDG"}, TODAY, r"model\.optimizer=torch\.optim\.SDG does not import"),
        ({"optimizer": "torch.nn.Linear"}, TODAY, r"model\.optimizer=torch\.nn\.Linear takes no 'lr'; known: "),
        (
            {"optimizer": lambda params, lr: [item.ndim for item in params]},
            TODAY,
            r"cannot be built: AttributeError: .*'ndim'; it is given lr=.*; it is called with parameter groups, \[\{",
        ),
        ({"optimizer": lambda groups, lr: 3}, TODAY, r"must give a torch\.optim\.Optimizer, got int"),
        (
            {"optimizer": "torch.optim.Rprop"},
            with_values(weight_decay=0.1),
            r"=torch\.optim\.Rprop takes no 'weight_decay'; ",
        ),
        (
            {"optimizer": {"_target_": "torch.optim.SGD", "momentun": 0.9}},
            TODAY,
            r"^model\.optimizer=torch\.optim\.SGD takes no 'momentun'; did you mean 'momentum'\? known: dampening, ",
        ),
        (
            {"optimizer": {"_target_": "torch.optim.SGD", "momentum": -1}},
            TODAY,
            r"^model\.optimizer cannot be built: Invalid momentum value: -1; it is given momentum=-1, lr=",
        ),
    ],
)
def test_a_job_that_cannot_be_built_says_why(changes: Any, params: Params, text: str, make_task: Any) -> None:
    with pytest.raises(TaskError, match=text):
        make_task(**changes).job(params)
