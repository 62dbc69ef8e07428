"""The run that wrote a config."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from preflight.core.errors import InputError
from preflight.telemetry import store
from preflight.telemetry.recording import Run


def find_run(config: Path) -> Run:
    """The run whose directory holds ``config``, or one nearby that wrote it: the same text goes before the same path.

    Looks into the current folder and that of ``config``, their subfolders and ``runs/``; of several runs the latest is
    taken. Raises :class:`InputError` where there is none.
    """
    if (config.parent / store.RUN).exists():
        return Run.open(config.parent)
    places = list(dict.fromkeys(folder.resolve() for folder in (Path(), config.parent)))
    runs = [run for place in places for run in _runs_below(place)]
    found = [run for run in runs if _holds(run, config)] or [run for run in runs if _names(run, config)]
    if not found:
        looked = " or ".join(str(place / "runs") for place in places)
        raise InputError(
            f"no run that wrote {config} is in {looked}; name its folder, the one that holds its {store.REPORT}: "
            f"preflight verify {shlex.quote(str(config))} --run RUN_DIR"
        )
    return max(found, key=lambda run: str(run.info.get("started")))


def _runs_below(folder: Path) -> Iterator[Run]:
    for pattern in ("*", "runs/*"):
        for path in sorted(folder.glob(f"{pattern}/{store.RUN}")):
            try:
                yield Run.open(path.parent)
            except InputError:  # what cannot be read is not it
                continue


def _holds(run: Run, config: Path) -> bool:
    own = run.folder / store.FIXED
    return own.is_file() and own.read_bytes() == config.read_bytes()


def _names(run: Run, config: Path) -> bool:
    return config.resolve() in [Path(path).resolve() for path in run.info.get("config_fixed", [])]
