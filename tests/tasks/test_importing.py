from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from preflight.core.errors import ConfigError, TaskError
from preflight.core.settings import Trust
from preflight.tasks.importing import add_user_folders, check_target, find, make

NOBODY = Trust()
MODULE = """
import os
import collections as tools
from torch import nn

def build(width=2, name="a"):
    return nn.Linear(width, 1)

def echo(**arguments):
    return arguments

def fail():
    raise ValueError("first line\\n\\n  second line")

VALUE = 3
"""


@pytest.fixture
def own(tmp_path: Path, add_module: Any) -> Trust:
    """Trust in a folder that holds the module `users_own`."""
    add_module(tmp_path, "users_own", MODULE)
    return Trust((tmp_path.resolve(),))


@pytest.fixture
def installed(tmp_path: Path, add_module: Any) -> Path:
    """A folder of the user's with an environment in it that holds the package `somebody_elses`."""
    add_module(tmp_path / "env" / "lib" / "site-packages", "somebody_elses", MODULE)
    return tmp_path.resolve()


@pytest.mark.parametrize(
    "name",
    [
        "torch.nn.functional.cross_entropy",
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "torch.optim.lr_scheduler.StepLR",
        "torch.utils.data.TensorDataset",
        "preflight.scenarios.digits.build_model",
        "preflight.tasks.metrics.accuracy",
        "preflight.tasks.normalizer.InputNormalizer.from_config",
    ],
)
def test_what_a_task_needs_is_allowed(name: str) -> None:
    assert callable(find(name, "model.x", NOBODY))


@pytest.mark.parametrize("name", ["", ".", "torch.", ".nn", "torch.nn.Linear()", "torch/nn", "a b"])
def test_what_is_no_dotted_name_is_told(name: str) -> None:
    with pytest.raises(TaskError) as error:
        find(name, "model.factory", NOBODY)
    assert str(error.value).startswith(f"model.factory={name!r} is no dotted name of a function or class, such as ")


REFUSED = [
    "torch.hub.load",
    "torch.load",
    "torch.nnx.Linear",
    "os.system",
    "posix.system",
    "sys.exit",
    "builtins.exec",
    "pickle.loads",
    "subprocess.run",
    "importlib.import_module",
    "numpy.load",
    "hydra.utils.get_object",
    "preflight.tasks.importing.find",
    "preflight.core.settings.Trust",
    "preflight.telemetry.store.write_text",
]


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trust = Trust((tmp_path.resolve(), Path.cwd()))
    with pytest.raises(TaskError, match=rf"model\.factory={name} is outside the allowed prefixes .* add --allow"):
        check_target(name, "model.factory", trust)


def test_the_standard_library_is_not_the_users_own_wherever_the_user_stands() -> None:
    root = Trust((Path("/"), Path(sys.prefix).resolve()))
    for name in ("os.system", "shutil.rmtree", "sqlite3.connect", "math.cos"):
        with pytest.raises(TaskError, match="outside the allowed prefixes"):
            check_target(name, "model.factory", root)


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("torch.utils.data.dataloader.os.system", "os.system"),
        ("torch.nn.functional.torch.hub.load", "torch.hub.load"),
        ("torch.nn.functional.importlib.import_module", "importlib.import_module"),
        ("preflight.tasks.normalizer.torch.load", "torch.load"),
        ("preflight.scenarios.digits.np.load", "numpy.load"),
        ("users_own.os.system", "os.system"),
    ],
)
def test_a_trusted_module_is_no_way_to_what_it_imports(name: str, reached: str, own: Trust) -> None:
    with pytest.raises(TaskError, match=rf"model\.data={name} reaches {reached}, which is outside"):
        find(name, "model.data", own)


@pytest.mark.parametrize("name", ["torch.nn.functional.__loader__.get_data", "users_own.__builtins__.get"])
def test_names_with_double_underscores_are_refused(name: str, own: Trust) -> None:
    with pytest.raises(TaskError, match="outside the allowed prefixes"):
        find(name, "model.data", own)


def test_a_package_of_the_users_may_lead_to_its_own_modules(tmp_path: Path, add_module: Any) -> None:
    add_module(tmp_path / "users_package", "__init__", "from users_package import inner as short\n")
    add_module(tmp_path / "users_package", "inner", "def build():\n    return 7\n")
    sys.path.insert(0, str(tmp_path))
    trust = Trust((tmp_path.resolve(),))
    assert make("users_package.short.build", "model.data", trust) == 7
    assert make("users_package.inner.build", "model.data", trust) == 7


NESTED = {
    "in a mapping": {"inner": {"_target_": "os.getcwd"}},
    "two mappings down": {"inner": {"more": {"_target_": "os.getcwd"}}},
    "in a list": {"inner": [1, {"_target_": "os.getcwd"}]},
    "in a list in a list": {"inner": [[{"_target_": "os.getcwd"}]]},
    "in a tuple": {"inner": ({"_target_": "os.getcwd"},)},
    "as an argument": {"_args_": [{"_target_": "os.getcwd"}]},
}


@pytest.mark.parametrize("arguments", NESTED.values(), ids=NESTED)
def test_a_nested_target_is_refused_too(arguments: dict[str, Any], own: Trust) -> None:
    with pytest.raises(TaskError, match=r"model\.factory\S*\._target_=os\.getcwd is outside the allowed prefixes"):
        make({"_target_": "users_own.echo", **arguments}, "model.factory", own)


def test_the_users_own_folder_is_allowed(own: Trust) -> None:
    assert isinstance(make("users_own.build", "model.factory", own), nn.Linear)
    made = make({"_target_": "users_own.build", "width": 5}, "model.factory", own)
    assert made.in_features == 5
    assert find("users_own.VALUE", "model.data", own) == 3


def test_folders_are_put_on_the_path_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for _ in range(2):
        add_user_folders(Trust((tmp_path,)))
    assert sys.path.count(str(tmp_path)) == 1


def test_an_installed_package_is_refused_without_importing_it(installed: Path) -> None:
    with pytest.raises(TaskError, match=r"somebody_elses\.build is outside .* add --allow somebody_elses"):
        make({"_target_": "somebody_elses.build"}, "model.factory", Trust((installed,)))
    assert "somebody_elses" not in sys.modules


def test_an_installed_package_that_is_allowed_is_imported(installed: Path) -> None:
    trust = Trust((installed,), ("somebody_elses",))
    assert isinstance(make({"_target_": "somebody_elses.build"}, "model.factory", trust), nn.Linear)
    assert find("somebody_elses.VALUE", "model.data", trust) == 3


def test_an_allowed_prefix_is_a_whole_name(installed: Path) -> None:
    with pytest.raises(TaskError, match="outside the allowed prefixes"):
        check_target("somebody_elses.build", "model.factory", Trust((installed,), ("somebody",)))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("no_such_module.build", r"model\.factory=no_such_module\.build does not import: there is no module"),
        ("biuld", r"there is no module 'biuld'; looked in .* and installed"),
        (
            "users_own.bild",
            r"model\.factory=users_own\.bild does not import: 'users_own' has no 'bild'; did you mean 'build'\?",
        ),
        ("users_onw.build", r"there is no module 'users_onw'; looked in .*; did you mean 'users_own'\?$"),
        ("torch.nn.Linaer", r"does not import: 'torch\.nn' has no 'Linaer'; did you mean 'Linear'"),
        ({"_target_": "users_own.bild"}, r"model\.factory\._target_=users_own\.bild does not import: .* 'build'\?"),
        ({"_target_": "users_own.fail"}, r"users_own\.fail failed: ValueError: first line; second line$"),
        ("users_own.fail", r"model\.factory: users_own\.fail failed: ValueError: first line; second line$"),
        ({"_target_": "users_own.build", "wdth": 3}, r"users_own\.build failed: TypeError: .*wdth"),
    ],
)
def test_an_error_names_the_key_and_the_cause(spec: Any, text: str, own: Trust) -> None:
    with pytest.raises(TaskError, match=text) as error:
        make(spec, "model.factory", own)
    assert "\n" not in str(error.value)


def test_a_module_that_fails_to_import_is_told_with_its_reason(tmp_path: Path, add_module: Any) -> None:
    add_module(tmp_path, "users_broken", "import no_such_thing\n")
    text = r"users_broken\.build does not import: importing 'users_broken' fails: ModuleNotFoundError: .*no_such_thing"
    with pytest.raises(TaskError, match=text):
        make("users_broken.build", "model.factory", Trust((tmp_path.resolve(),)))


def test_errors_of_preflight_itself_stay_what_they_are() -> None:
    def factory() -> None:
        raise ConfigError("the key is wrong")

    with pytest.raises(ConfigError, match=r"^the key is wrong$"):
        make(factory, "model.factory", NOBODY)


def test_lists_and_mappings_reach_the_users_code_as_lists_and_dicts(own: Trust) -> None:
    made = make({"_target_": "users_own.echo", "a": [1, {"b": [2]}], "c": {"d": 1.5}}, "model.data", own)
    assert made == {"a": [1, {"b": [2]}], "c": {"d": 1.5}}
    assert (type(made["a"]), type(made["a"][1]), type(made["c"])) == (list, dict, dict)


def test_nested_targets_of_the_users_are_built(own: Trust) -> None:
    made = make({"_target_": "users_own.echo", "inner": {"_target_": "users_own.build", "width": 3}}, "model.x", own)
    assert made["inner"].in_features == 3


def test_objects_from_python_are_taken_as_they_are() -> None:
    pair = (torch.zeros(1), torch.ones(1))
    assert make(pair, "model.data", NOBODY) is pair
    assert find(torch.nn.functional.mse_loss, "model.losses.x", NOBODY) is torch.nn.functional.mse_loss
    assert make(functools.partial(nn.Linear, 2), "model.factory", NOBODY, {"out_features": 3}).out_features == 3


@pytest.mark.parametrize(
    "target",
    [
        "torch.utils.data.datapipes.gen_pyi.Path.write_text",
        "torch.utils.data.datapipes.gen_pyi.gen_from_template",
        "torch.nn.modules.module.OrderedDict.fromkeys",
        "torch.nn.modules.container.islice",
    ],
)
def test_what_a_trusted_module_merely_imported_is_refused(target: str) -> None:
    with pytest.raises(TaskError, match="outside the allowed prefixes"):
        find(target, "model.data", Trust())


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.functional.cross_entropy",
        "torch.nn.functional.conv2d",
        "torch.nn.functional.max_pool2d",
        "torch.nn.functional.gelu",
        "torch.nn.MSELoss",
        "torch.optim.AdamW",
        "torch.utils.data.TensorDataset",
        "preflight.scenarios.icecube.load_data",
    ],
)
def test_torchs_own_functions_and_classes_are_found(target: str) -> None:
    assert callable(find(target, "model.losses.a", Trust()))
