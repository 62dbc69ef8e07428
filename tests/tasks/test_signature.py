from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from torch.optim import SGD

from preflight.tasks.signature import misfit, name_of


def build(optimizer: Any, warm: int, *, total: int = 10) -> None: ...


def takes_any(optimizer: Any, warm: int, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (build, {"warm": 3}, ""),
        (build, {"_target_": "build", "_partial_": True, "warm": 3}, ""),
        (build, {"_args_": [3]}, ""),
        (build, {"warm": 3, "totl": 4}, "takes no 'totl'; did you mean 'total'? known: total, warm"),
        (build, {"warm": 3, "optimizer": 1}, "takes no 'optimizer'; known: total, warm"),
        (build, {"total": 3}, "needs warm, and is given total"),
        (build, {}, "needs warm, and is given nothing"),
        (takes_any, {"warm": 3, "other": 4}, ""),
        (takes_any, {"other": 4}, "needs warm, and is given other"),
        (partial(build, totl=3), {}, "takes no 'totl'; did you mean 'total'? known: total, warm"),
        (partial(build, warm=3), {}, ""),
        (3, {"x": 1}, ""),  # tells nothing
    ],
)
def test_arguments_are_held_against_the_signature(
    function: Callable[..., Any], arguments: dict[str, Any], expected: str
) -> None:
    assert misfit(function, arguments) == expected


def test_an_object_has_a_name() -> None:
    assert [name_of(item) for item in (SGD, partial(SGD, lr=1), build, 3)] == ["SGD", "SGD", "build", "int"]
