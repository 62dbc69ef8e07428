"""Command-line overrides and configuration folders -> one resolved mapping, by Hydra."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
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
from preflight.core.spelling import closest

ASSIGNMENT = re.compile(r"(?P<plus>\+{0,2})(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
# Config groups by the prefix Hydra wants: there is no default model to override.
GROUPS = {"model": "+", "space": "", "budget": ""}
# A run needs each of these, or has a default for it: nothing is left to take out.
KNOWN = ("model", "space", "budget", "seed", "device", "threads", "workers", "run_dir", "output", "overwrite")
HYDRAS_OWN = re.compile(r"[+~]*hydra(?![^./@=])")


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
    model = _selected_model(overrides, models, config_dirs)
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
    if found is None:
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


def _selected_model(overrides: Sequence[str], models: Mapping[str, Path], config_dirs: Sequence[Path]) -> str:
    chosen = [
        override.partition("=")[2]
        for override in overrides
        if _key(override) == "model" and not override.startswith("~")
    ]
    if not chosen:
        raise ConfigError(_no_model(overrides, models))
    if len(chosen) > 1:
        raise ConfigError(f"more than one model: {', '.join(chosen)}; give one +model=NAME, a run is of one model")
    if chosen[0] not in models:
        above = next((folder for folder in config_dirs if (folder / f"{chosen[0]}.yaml").is_file()), None)
        hint = f"--config-dir is the folder above model/, here {above.resolve().parent}; " if above else ""
        raise ConfigError(f"unknown model '{chosen[0]}'; {hint}{alternatives(chosen[0], models)}")
    return chosen[0]


def _no_model(overrides: Sequence[str], models: Mapping[str, Path]) -> str:
    misspelt = [override for override in overrides if closest(_key(override), ["model"]) and "." not in _key(override)]
    if misspelt:
        value = misspelt[0].partition("=")[2]
        return f"unknown key '{_key(misspelt[0])}'; did you mean +model={value}? models: {', '.join(sorted(models))}"
    return f"no model: give +model=NAME; known: {', '.join(sorted(models))}"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _let_overrides_win(overrides: Sequence[str], values: dict[str, Any]) -> None:
    """An axis given on the command line replaces the one that the model's own file brings."""
    own = values["model"].get("space") if isinstance(values.get("model"), dict) else None
    for override in overrides:
        group, *axis = _key(override).split(".")
        if group != "space" or not axis or not isinstance(own, dict):
            continue
        if axis[0] != "extras" or len(axis) == 1:
            own.pop(axis[0], None)
        elif isinstance(own.get("extras"), dict):
            own["extras"].pop(axis[1], None)


def _refuse_idle(overrides: Sequence[str], values: Mapping[str, Any]) -> None:
    """An empty mapping is merged into the one that is there, and so changes nothing."""
    for override in overrides:
        there: Any = values
        for part in _key(override).split("."):
            there = there.get(part) if isinstance(there, dict) else None
        if isinstance(there, dict) and there and _is_empty_mapping(override):
            raise ConfigError(
                f"{override} changes nothing: what is given is merged into the keys that are there "
                f"({', '.join(map(str, there))}); take one out with ~{_key(override)}.{next(iter(there))}"
            )


def _is_empty_mapping(override: str) -> bool:
    return re.fullmatch(r"\{\s*\}", override.partition("=")[2].strip()) is not None


def _compose(overrides: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    paths = ["pkg://preflight.sweeps", *(_quoted(f"file://{folder.resolve()}") for folder in config_dirs)]
    _check(overrides)
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
    composed = {str(key): value for key, value in values.items() if key != "hydra"}
    _refuse_idle(overrides, composed)
    return composed


def _check(overrides: Sequence[str]) -> None:
    parser = OverridesParser.create()
    _refuse_twice(overrides)
    for override in overrides:
        if not _key(override):
            raise ConfigError(f"'{override}' names no key; write key=value, such as seed=1")
        if override.startswith("~") and _key(override) in KNOWN:
            raise ConfigError(
                f"{override} takes out what every run needs; leave it away for the default, or give "
                f"{_key(override)}=VALUE"
            )
        if HYDRAS_OWN.match(override):
            raise ConfigError(
                f"{override} has no effect: preflight reads its configuration with Hydra, but is not run by it; "
                "the folder of a run is given with run_dir=PATH, folders of models with --config-dir DIR"
            )
        try:
            parser.parse_override(override)
        except HydraException as error:
            reason = _one_line(error).split("; See ")[0]
            raise ConfigError(
                f"{override} is not of the form key=value: {reason}; quote odd text: key='a=b'"
            ) from error


def _refuse_twice(overrides: Sequence[str]) -> None:
    """The last would win, and the other would be forgotten without a word."""
    seen: dict[str, str] = {}
    for override in overrides:
        if override.startswith("~"):
            continue  # what is taken out may be given anew
        key = _key(override)
        if key in seen:
            raise ConfigError(f"'{key}' is given twice: {seen[key]} and {override}; keep one")
        seen[key] = override


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
