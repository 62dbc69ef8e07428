"""Command-line overrides and configuration folders -> one resolved mapping, by Hydra."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflight.core.catalog import models_in, packaged_conf
from preflight.core.errors import ConfigError, alternatives

ASSIGNMENT = re.compile(r"(?P<plus>\+{0,2})(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
# Config groups by the prefix Hydra wants: there is no default model to override.
GROUPS = {"model": "+", "space": "", "budget": ""}


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
    _refuse_two(model, models[model], config_dirs)
    values = _compose(overrides, config_dirs)
    _let_overrides_win(overrides, values)
    return Composed(values, model, models[model])


def compose_sweeps(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose everything but the model, which a caller from Python brings along."""
    return _compose(overrides, ())


def _as_hydra_takes_it(override: str) -> list[str]:
    """`model=digits` means `+model=digits`, and a key may be new: settings.py refuses it with its alternatives.

    An axis of the space is replaced as a whole, where Hydra would merge, and fail to turn a range into a list.
    """
    found = ASSIGNMENT.fullmatch(override)
    if found is None or found["key"].startswith("hydra"):
        return [override]
    key, value = found["key"], found["value"]
    if key in GROUPS:
        return [f"{GROUPS[key]}{key}={value}"]
    if found["plus"] == "+" and "." not in key:  # perhaps a group of the user's own
        return [override]
    is_axis = key.startswith("space.") and value.startswith(("[", "{"))
    return [*([f"++{key}=null"] if is_axis else []), f"++{key}={value}"]


def _refuse_two(model: str, folder: Path, config_dirs: Sequence[Path]) -> None:
    """Hydra would take preflight's own model and say nothing."""
    if model in models_in([packaged_conf()]) and model in models_in(config_dirs):
        raise ConfigError(f"model={model} in {folder} has the name of a model of preflight's own; rename it")


def _selected_model(overrides: Sequence[str], models: dict[str, Path]) -> str:
    chosen = [text.split("=", 1)[1] for text in overrides if text.lstrip("+").startswith("model=")]
    if not chosen:
        raise ConfigError(f"no model: give +model=NAME; known: {', '.join(sorted(models))}")
    if chosen[-1] not in models:
        raise ConfigError(f"unknown model '{chosen[-1]}'; {alternatives(chosen[-1], models)}")
    return chosen[-1]


def _let_overrides_win(overrides: Sequence[str], values: dict[str, Any]) -> None:
    """An axis given on the command line replaces the one that the model's own file brings."""
    own = values["model"].get("space") if isinstance(values.get("model"), dict) else None
    for override in overrides:
        keys = override.lstrip("+").partition("=")[0].split(".")
        if keys[0] != "space" or len(keys) < 2 or not isinstance(own, dict):
            continue
        if keys[1] != "extras":
            own.pop(keys[1], None)
        elif len(keys) > 2 and isinstance(own.get("extras"), dict):
            own["extras"].pop(keys[2], None)


def _compose(overrides: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    paths = ["pkg://preflight.sweeps", *(_quoted(f"file://{folder.resolve()}") for folder in config_dirs)]
    _check_grammar(overrides)
    prepared = [text for override in overrides for text in _as_hydra_takes_it(override)]
    logging.getLogger("hydra").setLevel(logging.ERROR)
    running = GlobalHydra.instance().hydra  # of a program that calls preflight
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("preflight.conf", version_base="1.3"):
            config = compose("config", overrides=[*prepared, f"hydra.searchpath=[{','.join(paths)}]"])
        values = OmegaConf.to_container(config, resolve=True)
    except MissingConfigException as error:
        raise ConfigError(_missing(error)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"a configuration file does not parse: {_one_line(error)}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{' '.join(overrides)} does not compose: {_one_line(error)}") from error
    finally:
        GlobalHydra.instance().hydra = running
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _check_grammar(overrides: Sequence[str]) -> None:
    parser = OverridesParser.create()
    for override in overrides:
        try:
            parser.parse_override(override)
        except HydraException as error:
            reason = _one_line(error).split("; See ")[0]
            raise ConfigError(
                f"{override} is not of the form key=value: {reason}; quote odd text: key='a=b'"
            ) from error


def _quoted(text: str) -> str:
    """Text in Hydra's grammar for overrides, in which a folder's name may hold anything."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return f"'{escaped}'"


def _missing(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    if error.options and option:
        return f"{group}={option} does not exist; {alternatives(option, error.options)}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])
