from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflight.tasks.misspelling import close_names, why_not

MODULE = """
from torch import nn

class Net(nn.Module):
    def make(self):
        pass

def build_model():
    pass

def load_data():
    pass
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, add_module: Any) -> None:
    add_module(tmp_path, "spelt_well", MODULE)
    add_module(tmp_path, "needs_more", "import no_such_thing.inner\n")
    add_module(tmp_path, "unfinished", "def build(:\n")
    add_module(tmp_path / "spelt_package", "__init__", "")
    add_module(tmp_path / "spelt_package", "inner", "import no_such_thing\n")
    add_module(tmp_path, "many_things", "".join(f"def thing_{index}(): pass\n" for index in range(20)))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("spelt_well.biuld_model", "'spelt_well' has no 'biuld_model'; did you mean 'build_model'?"),
        ("spelt_well.Build_Model", "'spelt_well' has no 'Build_Model'; did you mean 'build_model'?"),
        ("spelt_well.xyz", "'spelt_well' has no 'xyz'; it defines Net, build_model, load_data"),
        ("spelt_well.sub.xyz", "'spelt_well' has no 'sub'; it defines Net, build_model, load_data"),
        ("spelt_well.Net.mkae", "'spelt_well.Net' has no 'mkae'; did you mean 'make'?"),
        ("spelt_package.iner.build", "'spelt_package' has no 'iner'"),
        ("needs_more.build", "importing 'needs_more' fails: ModuleNotFoundError: No module named 'no_such_thing'"),
        (
            "spelt_package.inner.build",
            "importing 'spelt_package.inner' fails: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("unfinished.build", "importing 'unfinished' fails: SyntaxError: invalid syntax (unfinished.py, line 1)"),
        ("no_such_module.build", "importing 'no_such_module' fails: ModuleNotFoundError: No module named"),
        ("torch.nn.functional.cros_entropy", "did you mean 'cross_entropy'"),
        ("torch.nn.fucntional.mse_loss", "'torch.nn' has no 'fucntional'; did you mean 'functional'"),
        ("torch.optim.Adamw", "'torch.optim' has no 'Adamw'; did you mean 'AdamW'"),
    ],
)
def test_the_part_that_fails_is_named_with_what_is_there(target: str, text: str) -> None:
    assert text in why_not(target)


def test_of_a_large_module_only_some_names_are_shown() -> None:
    assert why_not("many_things.qqq").endswith(" and 12 more")


def test_a_name_that_imports_has_nothing_wrong() -> None:
    assert why_not("spelt_well.Net.make") == ""


def test_names_that_are_alike_are_offered() -> None:
    assert close_names("hight", ["height", "width"]) == "; did you mean 'height'?"
    assert close_names("zzz", ["height", "width"]) == ""
