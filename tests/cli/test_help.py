from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight import __version__
from preflight.cli.arguments import EXAMPLES, EXIT_CODES
from preflight.cli.stopping import SIGNALS
from preflight.core.catalog import models_in, packaged_conf, sweeps_in
from preflight.core.compose import KNOWN
from preflight.core.errors import PreflightError

HEAVY = ("torch", "hydra", "omegaconf", "optuna", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "rich")
QUESTIONS = [["--help"], ["-h"], ["--version"], ["-V"], ["+model=digits", "--version"]]
QUESTIONS += [[name, "--help"] for name in ("analyze", "audit", "report", "verify")]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command that only answers a question prints, on a screen of 120 columns."""
    from preflight.cli.main import main  # noqa: PLC0415

    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> str:
        try:
            code: Any = main(arguments)
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def test_help_and_version_wait_for_nothing_heavy(tmp_path: Path) -> None:
    """One process for all of them: what none of them imported is not there in the end."""
    program = f"""
import sys
from preflight.cli.main import main
for arguments in {QUESTIONS!r}:
    try:
        assert main(arguments) == 0
    except SystemExit as end:
        assert end.code == 0, arguments
heavy = sorted(name for name in {HEAVY!r} if name in sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_package_itself_is_light(tmp_path: Path) -> None:
    program = f"import sys, preflight; print(preflight.__version__, [n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == f"{__version__} []"


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["+model=digits", "--version"]])
def test_the_version_is_printed(printed: Callable[..., str], arguments: list[str]) -> None:
    assert printed(*arguments) == f"preflight {__version__}\n"


def test_help_names_every_model_budget_and_space(printed: Callable[..., str]) -> None:
    text = printed("--help")
    for name in models_in([packaged_conf()]):
        assert name in text
    for group in ("budget", "space"):
        options = sweeps_in(group)
        assert options
        for name, comment in options.items():
            line = next(line for line in text.splitlines() if line.split() and line.split()[0] == f"{group}={name}")
            assert comment, f"sweeps/{group}/{name}.yaml starts with no comment"
            assert comment in line


def test_help_names_every_key(printed: Callable[..., str]) -> None:
    text = printed("--help")
    for key in KNOWN:
        assert key in text


def test_help_names_every_exit_code(printed: Callable[..., str]) -> None:
    text = printed("--help")
    assert EXIT_CODES in text
    kinds, codes = [PreflightError], {0}
    while kinds:
        kind = kinds.pop()
        codes.add(kind.exit_code)
        kinds += kind.__subclasses__()
    listed = {int(line.split()[0]) for line in EXIT_CODES.splitlines()[1:]}
    assert listed == codes | {128 + number for number in SIGNALS}


def test_the_examples_in_the_help_can_be_used(printed: Callable[..., str]) -> None:
    from preflight.core.settings import load  # noqa: PLC0415

    assert EXAMPLES in printed("--help")
    commands = [shlex.split(line)[1:] for line in EXAMPLES.splitlines() if "+model=digits" in line]
    assert len(commands) >= 3
    settings = [load(overrides) for overrides in commands][-1]
    assert settings.space.lr is not None
    assert settings.space.lr.low == 1e-5
    assert "dropout" in settings.space.plain


def test_help_names_every_place_that_code_may_come_from(printed: Callable[..., str]) -> None:
    from preflight.tasks.importing import ALLOWED  # noqa: PLC0415

    text = " ".join(printed("--help").split())
    for prefix in ALLOWED:
        assert re.search(rf"{re.escape(prefix.rstrip('.'))}[,.; ]", text), prefix


def test_help_fits_a_screen_of_120_columns(printed: Callable[..., str]) -> None:
    assert max(map(len, printed("--help").splitlines())) <= 120


@pytest.mark.parametrize("name", ["analyze", "audit", "report", "verify"])
def test_every_command_has_its_own_help(printed: Callable[..., str], name: str) -> None:
    assert printed(name, "--help").startswith(f"usage: preflight {name} ")
    assert EXIT_CODES in printed(name, "--help")
    assert f"preflight {name} " in printed("--help")
