"""Samples that could not be read, wherever they were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.unreadable import MAX_NAMED

# By split: {samples, fetched, count, unreadable}, see Unreadable.as_dict.
Splits = Mapping[str, Mapping[str, Any]]


def look_at_reading(task: PyTorchTask, others: Iterable[Splits] = ()) -> dict[str, Any]:
    """``{"reading": {"loader", "splits"}}``: what this process and ``others`` met while they fetched samples.

    ``loader`` is whether the user trains with a DataLoader, which passes such an error on. ``splits`` has of each
    split that is not in memory ``{samples, fetched, share, count, unreadable: [{sample, error}]}``: how many samples
    there are, how many different ones the process fetched that saw most of them and the share of these that failed,
    how many failed in all and the first of them. Trials in other processes tell what they met until they ended.
    """
    told = [task.data.reading(), *others]
    names = [name for name in ("training", "validation") if any(name in item for item in told)]
    splits = {name: _joined([item[name] for item in told if name in item]) for name in names}
    return {"reading": {"loader": task.loader is not None, "splits": splits}}


def _joined(told: list[Mapping[str, Any]]) -> dict[str, Any]:
    widest = max(told, key=lambda item: int(item["fetched"]))
    errors = {item["sample"]: item["error"] for part in told for item in part["unreadable"]}
    fetched = int(widest["fetched"])
    return {
        "samples": widest["samples"],
        "fetched": fetched,
        "share": widest["count"] / fetched if fetched else 0.0,
        "count": max(len(errors), *(int(part["count"]) for part in told)),
        "unreadable": [{"sample": number, "error": errors[number]} for number in sorted(errors)[:MAX_NAMED]],
    }
