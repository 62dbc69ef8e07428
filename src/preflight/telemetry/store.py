"""The run directory, written: every file is complete or absent.

runs/digits-2026-11-22_23-48-40/
├── run.json                 what ran, where, how it ended, and where the results are
├── settings.json            the resolved configuration, enough to repeat the run
├── inspection.json          fields, best constant predictors, today's settings
├── facts.json               what the probes found before training
├── findings.json            what the rules say of it, and of today's settings' trials
├── study.db                 Optuna's study of the explored trials
├── importance.json          which searched settings the explored scores hung on
├── trials/
│   ├── range-000/           one folder per training run, named by its purpose
│   ├── explore-000/
│   └── confirm-000/
│       ├── trial.json       settings, seed, outcome, score, cadence
│       └── *.csv            the columns of schema.py
├── verify/                  the same for the last `preflight verify`
├── loss_weights.json        other ways to weigh the losses beside the search's, where they were compared
├── recommendation.json      changes with their measured effects
├── noise_scale.json        the gradient noise scale of the settings that are recommended or kept
├── config_original.yaml     the file to correct as it was
├── config_fixed.yaml        the corrected file
├── config_fixed.diff
└── report.html
"""

from __future__ import annotations

import itertools
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from preflight.core.errors import ConfigError

RUN = "run.json"
SETTINGS = "settings.json"
INSPECTION = "inspection.json"
FACTS = "facts.json"
FINDINGS = "findings.json"
STUDY = "study.db"
IMPORTANCE = "importance.json"
TRIALS = "trials"
TRIAL = "trial.json"
RECOMMENDATION = "recommendation.json"
LOSS_WEIGHTS = "loss_weights.json"
NOISE_SCALE = "noise_scale.json"
ORIGINAL = "config_original.yaml"
FIXED = "config_fixed.yaml"
DIFF = "config_fixed.diff"
REPORT = "report.html"


def create(run_dir: Path) -> Path:
    """Make a new run directory; raises :class:`ConfigError` if it is not empty or cannot be written.

    Of two runs that are started with the same directory at the same moment, one gets it.
    """
    refuse_used(run_dir)
    with _writing(run_dir, "run_dir="):
        run_dir.mkdir(parents=True, exist_ok=True)
        try:
            (run_dir / TRIALS).mkdir()  # of several, one succeeds
        except FileExistsError:
            refuse_used(run_dir)
            raise
    return create_folder(run_dir)


def refuse_used(run_dir: Path) -> None:
    """Raise :class:`ConfigError` for a folder that holds anything: a run would mix its files with those."""
    with _writing(run_dir, "run_dir="):
        names = sorted(path.name for path in run_dir.iterdir()) if run_dir.exists() else []
    if {RUN, STUDY} & set(names):
        raise ConfigError(f"run_dir={run_dir} holds a run already; give another run_dir")
    if TRIALS in names:
        raise ConfigError(
            f"run_dir={run_dir} holds trials of a run that is starting or was cut off; give another run_dir"
        )
    if names:
        shown = ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])
        raise ConfigError(
            f"run_dir={run_dir} is not empty: it holds {shown}; give a folder that is new or empty, such as "
            f"run_dir={_unused(run_dir)}, or leave it out"
        )


def _unused(folder: Path) -> Path:
    """A name inside ``folder`` that nothing has yet."""
    names = (f"preflight-{count}" for count in itertools.count(1))
    return next(path for path in (folder / name for name in names) if not os.path.lexists(path))


def study_url(run_dir: Path) -> str:
    """Address of the run's study for Optuna and its dashboard, safe to paste into a shell.

    Whatever could mean something in a URL is quoted, in the relative path of a relative ``run_dir`` too.
    """
    return f"sqlite:///{quote(str(run_dir / STUDY))}"


def scratch(run_dir: Path) -> Path:
    """A folder inside the run directory for trials that are not part of the run's own evidence."""
    return create_folder(run_dir / "verify")


def create_folder(folder: Path) -> Path:
    """Make ``folder`` with room for trials; raises :class:`ConfigError` where it cannot be written."""
    with _writing(folder, "run_dir="):
        (folder / TRIALS).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    return folder


def empty_folder(folder: Path) -> Path:
    """Make a trial's folder, and clear what a trial that was cut off left in it.

    Raises :class:`ConfigError` where it cannot be written, as everything here that writes.
    """
    with _writing(folder):
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: a temporary file beside it, then a rename.

    Raises :class:`ConfigError` where there is no room for it, or no folder any more.
    """
    with _writing(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write JSON that every reader takes: a non-finite number is a text, ``"nan"`` or ``"inf"``."""
    write_text(path, json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read what :func:`write_json` wrote; ``"nan"``, ``"inf"`` and ``"-inf"`` are numbers again."""
    return _restored(json.loads(path.read_text(encoding="utf-8")))


@contextmanager
def _writing(path: Path, parameter: str = "") -> Iterator[None]:
    """A full disk, a folder without permission or one that is gone is the user's to mend, and no traceback."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{parameter}{path} cannot be written: {error.strerror or error}") from error


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # paths, and objects given from Python


def _restored(value: object) -> object:
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return float(value) if value in ("nan", "inf", "-inf") else value
