"""The user's project in the current folder, and the command line called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from preflight.cli.main import main

MODULE = "mine_on_the_command_line"
FLAWS = """

def nothing_to_train():
    train, validation = load_data()
    return {k: v[:0] for k, v in train.items()}, validation


def nothing_to_validate():
    train, validation = load_data()
    return train, {k: v[:0] for k, v in validation.items()}


def only_one():
    return load_data()[0]


def uneven():
    train, validation = load_data()
    return {**train, "time": train["time"][:-1]}, validation


def narrow_validation():
    train, validation = load_data()
    return train, {**validation, "angles": validation["angles"][:, :1]}


def double_validation():
    train, validation = load_data()
    return train, {k: v.double() for k, v in validation.items()}


class OneOutput(nn.Module):
    def __init__(self, width=0):
        super().__init__()
        self.body = nn.Linear(3, 1)
        self.out = nn.Linear(1, 1)

    def forward(self, height, angles):
        return self.out(self.body(torch.cat([height, angles], dim=1)))


class LosesASample(Ballistics):
    def forward(self, height, angles):
        return {name: item[1:] for name, item in super().forward(height, angles).items()}


class Flat(Ballistics):
    def forward(self, height, angles):
        return {name: item[:, 0] for name, item in super().forward(height, angles).items()}


class GivesArrays(Ballistics):
    def forward(self, height, angles):
        return {name: item.detach().numpy() for name, item in super().forward(height, angles).items()}


class OneInput(OneOutput):
    def forward(self, height):
        return {"distance": height, "time": height}


def no_module(width=0):
    return [1, 2, 3]


def ends_itself(width=0):
    raise SystemExit(0)


def out_of_order(width=0):
    raise ValueError("the flux compensator is empty")


def vector(output, target):
    return ((output - target) ** 2).mean(dim=1)


def number(output, target):
    return ((output - target) ** 2).mean().item()


def detached(output, target):
    return ((output.detach() - target) ** 2).mean()


def of_the_target_alone(output, target):
    return (target ** 2).mean()


def misfit(output, target):
    return output["height"].mean()
"""


@dataclass(frozen=True)
class Answer:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]
Contents = Callable[[Path], dict[str, bytes]]
Refused = Callable[..., str]


@pytest.fixture
def project(
    tmp_path: Path, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, fresh_imports: None
) -> Path:
    """The project, with functions that cannot be trained besides the good ones; it is the current folder."""
    folder = make_project(tmp_path / "project", MODULE)
    module = folder / f"{MODULE}.py"
    module.write_text(module.read_text(encoding="utf-8") + FLAWS, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def module() -> str:
    """Name of the project's module and model."""
    return MODULE


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command line in this process."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where an input that should be refused is about to be trained."""

    def accepted(flight: Any) -> None:
        raise AssertionError(f"accepted, and about to train in {flight.run_dir}")

    monkeypatch.setattr("preflight.pipeline.flight.fly", accepted)


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file and folder below one, with its content."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
            for path in sorted(folder.rglob("*"))
            if "__pycache__" not in path.parts
        }

    return read


@pytest.fixture
def refused(command: Command, contents: Contents, no_training: None, tmp_path: Path) -> Refused:
    """The one line on stderr that the command ends with; nothing was printed, trained or written."""

    def run(*arguments: str) -> str:
        before = contents(tmp_path)
        answer = command(*arguments)
        assert answer.code == 2
        assert answer.out == ""
        assert answer.err.startswith("preflight: ")
        assert answer.err.count("\n") == 1
        assert answer.err.endswith("\n")
        assert "Traceback" not in answer.err
        assert contents(tmp_path) == before
        return answer.err.removeprefix("preflight: ").rstrip("\n")

    return run


@pytest.fixture
def refused_mine(refused: Refused, project: Path, module: str) -> Refused:
    """The same for the user's own model; MODULE in an override is the name of its module."""

    def run(*overrides: str) -> str:
        own = [override.replace("MODULE", module) for override in overrides]
        keys = {override.partition("=")[0] for override in own}
        quick = [item for item in ("budget=smoke", "workers=1") if item.partition("=")[0] not in keys]
        return refused("--config-dir", "conf", f"+model={module}", *quick, *own).replace(module, "MODULE")

    return run
