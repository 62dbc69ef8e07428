"""What can be named on the command line: models, spaces and budgets. Lists files; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path


def packaged_conf() -> Path:
    """Folder of the configuration that preflight ships, in a checkout or in an installed wheel."""
    return Path(str(files("preflight.conf")))


def models_in(folders: Sequence[Path]) -> dict[str, Path]:
    """Every `+model=NAME` there is, with the folder of its file; earlier folders win."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((folder / "model").rglob("*.yaml")):
            name = path.relative_to(folder / "model").with_suffix("").as_posix()
            if not name.startswith("train/"):
                found.setdefault(name, path.parent)
    return found


def sweeps_in(group: str) -> dict[str, str]:
    """Options of a sweep group (`space`, `budget`), each with the first comment of its file."""
    folder = Path(str(files("preflight.sweeps"))) / group
    return {path.stem: _first_comment(path) for path in sorted(folder.glob("*.yaml"))}


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""
