"""An edit of the user's config file: one key, its old value, its new value and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | list[Scalar] | dict[str, Scalar | list[Scalar]]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True)
class Edit:
    """One changed key.

    ``path`` is dotted, with list items in brackets: ``optim.groups[0].lr``. A key that itself holds a dot is
    quoted: ``optim."lr.peak"``. ``old`` is :data:`MISSING` where the key is not in the file yet.
    """

    path: str
    old: Value | _Missing
    new: Value
    why: str
