"""The wheel that users install: what is in it, that it runs in an empty folder, and that the README tells the truth."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.cli.arguments import tune_parser
from preflight.cli.main import COMMANDS
from preflight.core.settings import load
from preflight.telemetry import store

REPOSITORY = Path(__file__).parent.parent
README = REPOSITORY / "README.md"
SOURCES = ("pyproject.toml", "LICENSE", "README.md", "src", "conf", "sweeps")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of what lies in the repository now, built from a copy and without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs")
    for name in SOURCES:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*build, "--wheel-dir", out, source], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return target


def packaged(folder: str, ending: str) -> set[str]:
    """Files of the repository, as they are named inside the package."""
    root = REPOSITORY / folder
    inside = "preflight/" if folder == "src/preflight" else f"preflight/{folder}/"
    return {inside + path.relative_to(root).as_posix() for path in root.rglob(f"*{ending}")}


@pytest.mark.parametrize(("folder", "count"), [("conf", 5), ("sweeps", 7)])
def test_the_wheel_holds_the_configuration(names: set[str], folder: str, count: int) -> None:
    expected = packaged(folder, ".yaml")
    assert len(expected) >= count
    assert expected <= names


def test_the_wheel_holds_every_module(names: set[str]) -> None:
    expected = packaged("src/preflight", ".py")
    assert len(expected) > 90
    assert expected <= names


def test_the_wheel_holds_the_reports_templates_and_its_types(names: set[str]) -> None:
    templates = {f"preflight/report/templates/{name}" for name in ("report.html", "report.css")}
    assert templates <= names
    assert "preflight/py.typed" in names


def test_the_wheel_holds_nothing_else(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"preflight", "preflight_tuner-0.1.0.dist-info"}
    kinds = {name.rpartition(".")[2] for name in names if name.startswith("preflight/")}
    assert kinds == {"py", "yaml", "html", "css", "typed"}


def test_the_wheel_brings_the_licence_and_the_command(wheel: Path, names: set[str]) -> None:
    assert any(name.endswith("/LICENSE") for name in names)
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "preflight = preflight.cli.main:main" in archive.read(entry).decode()


def test_the_installed_wheel_tunes_digits_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = "import sys, preflight; print(preflight.__file__); from preflight.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    overrides = ["+model=digits", "budget=smoke", "workers=1", "budget.range_seeds=1"]
    done = subprocess.run(
        [sys.executable, "-c", program, *overrides],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Not the editable install of this environment.
    assert done.stdout.splitlines()[0] == str(installed / "preflight" / "__init__.py")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert {store.RUN, store.STUDY, store.REPORT, store.RECOMMENDATION} <= {path.name for path in run_dir.iterdir()}
    assert str(installed / "preflight" / "conf" / "model" / "train" / "digits.yaml") in (
        run_dir / store.INSPECTION
    ).read_text(encoding="utf-8")


def commands_in(text: str) -> list[list[str]]:
    """Every ``$ preflight ...`` of the fenced console and shell blocks, backslashes at line ends followed."""
    blocks = re.findall(r"^```(?:console|bash|sh|shell)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line[2:], comments=True)[1:] for line in lines if line.startswith("$ preflight")]


def test_commands_are_found_in_fenced_blocks() -> None:
    text = (
        "$ preflight no\n```console\n$ preflight +model=digits \\\n  seed=1   # why\nout\n$ ls\n```\n"
        "```yaml\n$ preflight no\n```\n```bash\n$ preflight verify 'a b.yaml'\n```\n"
    )
    assert commands_in(text) == [["+model=digits", "seed=1"], ["verify", "a b.yaml"]]


def test_the_readme_shows_how_to_tune_a_model_of_ones_own() -> None:
    commands = commands_in(README.read_text(encoding="utf-8"))
    assert ["+model=digits"] in [command[:1] for command in commands]
    assert any("--config-dir" in command for command in commands)
    assert any(command[0] == "verify" for command in commands)


def test_every_command_in_the_readme_is_one(tmp_path: Path, make_project: Callable[..., Path]) -> None:
    for index, command in enumerate(commands_in(README.read_text(encoding="utf-8"))):
        check(command, tmp_path / str(index), make_project)


def check(command: list[str], folder: Path, make_project: Callable[..., Any]) -> None:
    """Raises where an option, a group or a key does not exist. A model of one's own stands in for the reader's."""
    if command[0] in (*COMMANDS, "--help", "--version") and command[0] != "tune":
        assert command[0].startswith("--") or command[0] == "rules" or len(command) > 1, command
        return
    options = tune_parser().parse_intermixed_args(command)
    (model,) = (item.split("=")[1] for item in options.overrides if item.lstrip("+").startswith("model="))
    conf = [make_project(folder, model) / "conf"] if options.config_dir else []
    load(options.overrides, conf, options.allow)


@pytest.mark.parametrize(
    "line",
    ["+model=digit", "+model=digits budget=smokey", "+model=digits budget.trails=3", "--config conf +model=digits"],
)
def test_a_readme_that_tells_stories_is_found_out(line: str, tmp_path: Path, make_project: Callable[..., Path]) -> None:
    (command,) = commands_in(f"```console\n$ preflight {line}\n```\n")
    with pytest.raises(Exception, match=r"unknown|smokey|trails|--config"):
        check(command, tmp_path, make_project)
