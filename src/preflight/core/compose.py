"""Command-line overrides and configuration folders -> one resolved mapping, by Hydra."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflight.core.catalog import models_in, packaged_conf
from preflight.core.errors import ConfigError, alternatives


@dataclass(frozen=True)
class Composed:
    """Resolved configuration, the name of its model, and the folder of the model's YAML file."""

    values: dict[str, Any]
    model: str
    folder: Path


def compose_run(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> Composed:
    """Compose `config.yaml` with the overrides.

    Raises :class:`ConfigError` for an unknown model or group option, a malformed override, YAML that does not parse.
    """
    for folder in config_dirs:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {folder} is not a folder")
    models = models_in([*config_dirs, packaged_conf()])
    model = _selected_model(overrides, models)
    values = _compose([_with_plus(override) for override in overrides], config_dirs)
    return Composed(values, model, models[model])


def compose_sweeps(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose everything but the model, which a caller from Python brings along."""
    return _compose(list(overrides), ())


def _with_plus(override: str) -> str:
    """`model=digits` means `+model=digits`: there is no default model to override."""
    return f"+{override}" if override.startswith("model=") else override


def _selected_model(overrides: Sequence[str], models: dict[str, Path]) -> str:
    chosen = [text.split("=", 1)[1] for text in overrides if text.lstrip("+").startswith("model=")]
    if not chosen:
        raise ConfigError(f"no model: give +model=NAME; known: {', '.join(sorted(models))}")
    if chosen[-1] not in models:
        raise ConfigError(f"unknown model '{chosen[-1]}'; {alternatives(chosen[-1], models)}")
    return chosen[-1]


def _compose(overrides: list[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    paths = ",".join(["pkg://preflight.sweeps", *(f"file://{folder.resolve()}" for folder in config_dirs)])
    logging.getLogger("hydra").setLevel(logging.ERROR)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("preflight.conf", version_base="1.3"):
            config = compose("config", overrides=[*overrides, f"hydra.searchpath=[{paths}]"])
        values = OmegaConf.to_container(config, resolve=True)
    except MissingConfigException as error:
        raise ConfigError(_missing(error)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"a configuration file does not parse: {_one_line(error)}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from error
    finally:
        GlobalHydra.instance().clear()
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _missing(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    if error.options and option:
        return f"{group}={option} does not exist; {alternatives(option, error.options)}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])
