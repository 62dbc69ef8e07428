from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from preflight.core.errors import ConfigError
from preflight.core.settings import Settings, Trust, load, parse

MODEL = {"factory": "net.build", "data": "net.load", "losses": {"mse": "torch.nn.functional.mse_loss"}}
BUDGET = {
    "trials": 4,
    "trial_steps": 20,
    "rungs": 2,
    "range_steps": 10,
    "range_seeds": 2,
    "candidates": 1,
    "seeds": 2,
    "confirm_steps": 40,
    "validation_samples": 256,
}
NO_TRUST = Trust()

Refusal = Callable[..., str]
AddModel = Callable[[Path, str, str], Path]


@pytest.fixture
def model() -> dict[str, Any]:
    """The least that the `model` group must say."""
    return {**MODEL, "losses": dict(MODEL["losses"])}


@pytest.fixture
def budget() -> dict[str, Any]:
    return dict(BUDGET)


@pytest.fixture
def refusal() -> Refusal:
    """Text of the ConfigError that a call ends with."""

    def call(function: Callable[..., object], *arguments: object, **keywords: object) -> str:
        with pytest.raises(ConfigError) as caught:
            function(*arguments, **keywords)
        return str(caught.value)

    return call


@pytest.fixture
def settings_of() -> Callable[..., Settings]:
    """Settings of a resolved configuration; keyword arguments replace its keys."""

    def make(folder: Path | None = None, trust: Trust = NO_TRUST, **changes: object) -> Settings:
        values: Mapping[str, Any] = {"model": MODEL, "budget": BUDGET, **changes}
        return parse(values, "small", folder, trust)

    return make


@pytest.fixture
def add_model() -> AddModel:
    """Write `model/NAME.yaml` into a --config-dir; returns the folder."""

    def add(folder: Path, name: str, text: str) -> Path:
        path = folder / "model" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return folder

    return add


@pytest.fixture
def tune(refusal: Refusal) -> Callable[..., str]:
    """Text of the ConfigError of `preflight +model=digits OVERRIDES`."""

    def call(*overrides: str, config_dirs: tuple[Path, ...] = ()) -> str:
        return refusal(load, ["+model=digits", *overrides], config_dirs)

    return call
