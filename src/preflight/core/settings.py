"""Everything a run is told, frozen: the one place that turns a configuration into values preflight works with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.core.compose import KNOWN, compose_run
from preflight.core.errors import ConfigError
from preflight.core.model_settings import ModelSettings, parse_model
from preflight.core.search_settings import BudgetSettings, SpaceSettings, parse_budget, parse_space
from preflight.core.section import Section, check_integer

# NumPy takes seeds below 2**32, and every stage of a run draws its own from ten thousand times this one.
MAX_SEED = 400_000
# More than any machine has cores: OpenMP crashes where it cannot start its threads.
MAX_THREADS = 1024


@dataclass(frozen=True)
class Trust:
    """Where code named by ``_target_`` may come from: the user's own folders, and ``allow``ed import prefixes."""

    folders: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """One run of preflight. ``source`` is the resolved configuration, kept so that the run can be repeated."""

    model: ModelSettings
    space: SpaceSettings
    budget: BudgetSettings
    seed: int
    device: str
    threads: int
    workers: int | None
    run_dir: Path | None
    output: Path | None
    overwrite: bool
    trust: Trust
    source: Mapping[str, Any]


def load(overrides: Sequence[str], config_dirs: Sequence[Path] = (), allow: Sequence[str] = ()) -> Settings:
    """Compose and check; the current folder and the parents of ``config_dirs`` are the user's own."""
    composed = compose_run(overrides, config_dirs)
    folders = (Path.cwd(), *(folder.resolve().parent for folder in config_dirs))
    return parse(composed.values, composed.model, composed.folder, Trust(tuple(dict.fromkeys(folders)), tuple(allow)))


def parse(values: Mapping[str, Any], name: str, folder: Path | None, trust: Trust) -> Settings:
    """Check a resolved configuration; raises :class:`ConfigError` naming the first key that is wrong."""
    section = Section(values, "", KNOWN)
    model = parse_model(section.mapping("model"), name=name, folder=folder)
    workers = section.get("workers", "auto")
    return Settings(
        model=model,
        space=parse_space(section.mapping("space"), model.space, tuple(model.losses)),
        budget=parse_budget(section.mapping("budget")),
        seed=section.integer("seed", 0, low=0, high=MAX_SEED),
        device=str(section.get("device", "auto")),
        threads=section.integer("threads", 1, high=MAX_THREADS),
        workers=None if workers == "auto" else check_integer(workers, "workers", high=MAX_THREADS),
        run_dir=_path(section, "run_dir"),
        output=_path(section, "output"),
        overwrite=section.boolean("overwrite", False),
        trust=trust,
        source=values,
    )


def _path(section: Section, key: str) -> Path | None:
    text = section.text(key)
    if text == "":
        raise ConfigError(f"{key} is empty; give {key}=PATH, or leave it out")
    return None if text is None else Path(os.path.expandvars(text)).expanduser()


def find_config(model: ModelSettings, trust: Trust) -> Path | None:
    """The file to correct: beside the model's YAML file, in the user's folders, or as an absolute path.

    Raises :class:`ConfigError` naming every place that was searched.
    """
    return _find("config", model.config, model, trust)


def find_checkpoint(model: ModelSettings, trust: Trust) -> Path | None:
    """The weights to start from, looked for as the file to correct is."""
    return _find("checkpoint", model.checkpoint, model, trust)


def _find(key: str, given: Path | None, model: ModelSettings, trust: Trust) -> Path | None:
    if given is None:
        return None
    folders = [folder for folder in (model.folder, *trust.folders) if folder is not None]
    places = [given] if given.is_absolute() else list(dict.fromkeys(folder / given for folder in folders))
    for place in places:
        if place.is_file():
            return place.resolve()
    folder = next((f"; {place} is a folder" for place in places if place.is_dir()), "")
    raise ConfigError(
        f"model.{key}={given} is not a file; looked for {', '.join(str(place) for place in places)}{folder}"
    )
