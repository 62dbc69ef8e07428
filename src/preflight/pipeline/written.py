"""Settings as they can be written: rounded before they are confirmed, and turned into edits of the user's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.edit import MISSING, Edit, Value
from preflight.core.params import Params, ParamValue
from preflight.core.units import RunLength, split_unit
from preflight.pipeline.today import Today

DIGITS = 2


def rounded(params: Params, today: Today) -> Params:
    """``params`` as a file would hold them: two digits, and a warmup in whole units of the file.

    What is confirmed is what is written, so rounding comes before and never after.
    """
    changes = params.changes_from(today.params)
    values: dict[str, ParamValue] = {}
    for name, value in changes.items():
        if isinstance(value, float) and name != "warmup_fraction":
            values[name] = _two_digits(value)
    unit, whole = _warmup_unit(today)
    if "warmup_fraction" in changes or ("batch_size" in changes and unit != "fraction"):
        values["warmup_fraction"] = _rounded_warmup(params, today, unit, whole)
    return params.with_values(values)


def _two_digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _rounded_warmup(params: Params, today: Today, unit: str, whole: bool) -> float:
    if unit == "fraction":
        return _two_digits(params.warmup_fraction)
    length = today.length_at(params.batch_size)
    return length.to_fraction(_in_file(params.warmup_fraction, unit, whole, length), unit)


def _warmup_unit(today: Today) -> tuple[str, bool]:
    """Unit of the file's warmup, and whether it stands there as a whole number and so should stay one."""
    if today.file is not None:
        for name in today.file.mapping:
            if (split_unit(name) or ("",))[0] == "warmup":
                return name.split("_")[1], _is_whole(name, today)
    return "steps", True


def _is_whole(name: str, today: Today) -> bool:
    return today.file is not None and isinstance(today.file.values.get(name), int)


def _in_file(fraction: float, unit: str, whole: bool, length: RunLength) -> int | float:
    value = length.from_fraction(fraction, unit)
    if whole and unit != "fraction":
        return max(1, round(value)) if fraction > 0 else 0
    return value


def edits(
    params: Params,
    today: Today,
    normalizers: Mapping[tuple[str, str], Mapping[str, Any]],
    why: Mapping[str, str],
) -> list[Edit]:
    """Edits of the user's file that turn today's settings into ``params``; ``why`` is by flat setting name.

    A changed setting that is not mapped gives no edit: see :func:`unmapped`.
    """
    assert today.file is not None
    found = []
    for name, value in _file_values(params, today, normalizers).items():
        setting = "warmup_fraction" if name.startswith("warmup_") else name
        reason = why.get(setting, "a run of as many samples at the new batch_size")
        found.append(Edit(today.file.mapping[name], today.file.values.get(name, MISSING), value, reason))
    return found


def is_mapped(name: str, today: Today) -> bool:
    """Whether a setting has a key in the user's file."""
    mapping = today.file.mapping if today.file is not None else {}
    return name in mapping or (name == "warmup_fraction" and any(key.startswith("warmup_") for key in mapping))


def unmapped(params: Params, today: Today) -> list[str]:
    """Changed settings that have no key in the user's file."""
    return [name for name in params.changes_from(today.params) if not is_mapped(name, today)]


def _file_values(
    params: Params, today: Today, normalizers: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, Value]:
    assert today.file is not None
    changes = params.changes_from(today.params)
    length = today.length_at(params.batch_size)
    values: dict[str, Value] = {}
    for name in today.file.mapping:
        stem, unit = split_unit(name) or (name, "")
        if stem == "warmup":
            written = _in_file(params.warmup_fraction, unit, _is_whole(name, today), length)
            if {"warmup_fraction", "batch_size"} & changes.keys() and written != (today.file.values.get(name) or 0):
                values[name] = written
        elif stem == "horizon":
            if unit == "steps" and "batch_size" in changes:
                values[name] = length.horizon_steps
        elif "normalization." in name and name in changes:
            config = normalizers.get((name, str(changes[name])))
            values[name] = "none" if config is None else dict(config)
        elif name in changes:
            values[name] = changes[name]
    return values
