"""What a run directory says about its run: what it was given, on what it ran, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import torch

from preflight.core.settings import Settings
from preflight.pipeline.inspection import Inspection, pick_device
from preflight.pipeline.reproduction import machine
from preflight.telemetry import store


def write_inputs(run_dir: Path, settings: Settings, inspection: Inspection) -> None:
    """Leave everything that `verify` and the report need to know about the start of a run."""
    store.write_json(run_dir / store.SETTINGS, _repeatable(settings))
    store.write_json(run_dir / store.INSPECTION, inspection.as_dict())
    if inspection.today.file is not None:
        store.write_text(run_dir / store.ORIGINAL, inspection.today.file.text)


def origin(settings: Settings, device: torch.device) -> dict[str, object]:
    """The part of run.json that holds from the start."""
    metric = settings.model.metric
    return {
        **machine(device),
        "device": str(device),
        "command": sys.argv[1:],
        "model": settings.model.name,
        "seed": settings.seed,
        "metric": None if metric is None else asdict(metric) | {"function": str(metric.function)},
        "budget": asdict(settings.budget),
    }


def seen_by(settings: Settings) -> dict[str, object]:
    """The same of an inspection that leaves no run directory."""
    return {**origin(settings, pick_device(settings.device)), "date": f"{datetime.now():%Y-%m-%d %H:%M}"}


def _repeatable(settings: Settings) -> dict[str, object]:
    return {
        "values": settings.source,
        "name": settings.model.name,
        "folder": settings.model.folder,
        "trust": asdict(settings.trust),
        "repeatable": _is_plain(settings.source),
    }


def _is_plain(value: object) -> bool:
    """Whether a configuration holds only what a file can hold, and no objects given from Python."""
    if isinstance(value, Mapping):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)
