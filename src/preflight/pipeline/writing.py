"""Stage 5: the corrected config and its diff, beside the original and in the run directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.advise.evidence import percent
from preflight.advise.recommendation import Change, Recommendation
from preflight.advise.transfer import transfer
from preflight.core.catalog import packaged_conf
from preflight.core.errors import ConfigFileError, InputError
from preflight.core.settings import Settings
from preflight.emit.files import read_text, write_atomic
from preflight.emit.patch import apply, diff
from preflight.pipeline.today import Today
from preflight.pipeline.user_file import UserFile
from preflight.pipeline.written import edits, unmapped
from preflight.telemetry import store


@dataclass(frozen=True)
class Written:
    """Where the corrected config was written, and which changed settings have no key in the file.

    ``problem`` says why a copy is missing: the answer of a run must not be lost with a file.
    """

    paths: tuple[Path, ...]
    diff: str
    unmapped: tuple[str, ...]
    problem: str = ""


def output_path(settings: Settings, file: Path | None) -> Path | None:
    """Where the corrected file goes besides the run directory; None for a config that ships with preflight.

    Raises :class:`ConfigFileError` if something is there already, unless ``overwrite``, or if it cannot be written.
    """
    if file is None and settings.output is not None:
        raise ConfigFileError(f"output={settings.output} gets nothing: model.config names no file to correct")
    path = None if file is None else _target(settings, file)
    if file is None or path is None:
        return None
    _try_to_write(path)
    if path.is_dir():
        raise ConfigFileError(f"output={path} is a folder; give the path of a file")
    if path.exists() and path.samefile(file):
        raise ConfigFileError(
            f"output={path} is the original, which preflight never writes to; give another output=PATH"
        )
    if os.path.lexists(path) and not settings.overwrite:
        raise ConfigFileError(f"{path} exists already; say overwrite=true to replace it, or output=PATH")
    return path


def _try_to_write(path: Path) -> None:
    """Make a file beside it, as the real one will be made: permissions do not tell, and a name may be too long."""
    try:
        if not path.parent.is_dir():
            raise ConfigFileError(f"output={path}: there is no folder {path.parent}")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".check.tmp"):
            pass
    except OSError as error:
        raise ConfigFileError(f"output={path} cannot be written: {error.strerror}; give another output=PATH") from None


def write_config(
    settings: Settings,
    today: Today,
    recommendation: Recommendation,
    normalizers: Mapping[tuple[str, str], Mapping[str, Any]],
    run_dir: Path,
) -> Written:
    """Apply the recommended changes to a copy of the user's file."""
    left = tuple(unmapped(recommendation.recommended, today))
    if today.file is None:
        return Written((), "", left)
    horizon = today.length.horizon_steps
    over, is_shorter = _over(recommendation.confirm_steps, horizon), recommendation.steps < horizon
    why = {change.name: _why(change, over, is_shorter=is_shorter) for change in recommendation.changes}
    found = edits(recommendation.recommended, today, normalizers, why)
    difference, paths = "", list[Path]()
    try:
        text = apply(today.file.text, found, source=str(today.file.path))
        difference = diff(today.file.text, text, old_name=today.file.path.name, new_name=store.FIXED)
        for path in _write(settings, today.file, text, difference, run_dir):
            paths.append(path)  # what was written before one fails is told, too
    except InputError as error:
        return Written(tuple(paths), difference, left, str(error))
    return Written(tuple(paths), difference, left)


def _write(settings: Settings, file: UserFile, text: str, difference: str, run_dir: Path) -> Iterator[Path]:
    """Write the run's own copy with its diff, then the user's; gives each path when it is there."""
    own = run_dir / store.FIXED
    write_atomic(own, text, overwrite=settings.overwrite, forbid=file.path)
    yield own
    store.write_text(run_dir / store.DIFF, difference)
    target = _target(settings, file.path)
    if target is None or target == own.absolute():
        return
    if read_text(file.path) != file.text:
        raise ConfigFileError(
            f"{file.path} has changed since the run began; {own} is the corrected copy of what it was then"
        )
    write_atomic(target, text, overwrite=settings.overwrite, forbid=file.path)
    yield target


def _target(settings: Settings, file: Path) -> Path | None:
    if settings.output is None and file.is_relative_to(packaged_conf().resolve()):
        return None
    return (settings.output or file.parent / store.FIXED).absolute()


def _why(change: Change, over: str, *, is_shorter: bool) -> str:
    """What the change is worth ``over`` the steps that its effects were measured; and whether that carries to the long
    run, where the proof ``is_shorter``.
    """
    if change.speed is not None or change.alone is None or change.needed is None:
        return f"feeds the training faster: {change.speed}; no score depends on it"
    alone = change.alone.gain
    by_itself = f"alone: {percent(alone)}" if round(alone, 2) >= 0 else f"alone it raises it by {percent(-alone)}"
    holds = f"; {transfer(change.name).phrase}" if is_shorter else ""
    return f"lowers the validation score by {percent(change.needed.gain)}{over} ({by_itself}){holds}"


def _over(steps: int, horizon_steps: int) -> str:
    """How much of the long run was measured, where that is not all of it."""
    return f" over {steps} of {horizon_steps} steps" if steps < horizon_steps else ""
