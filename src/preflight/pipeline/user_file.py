"""The file to correct, and where each setting lives in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from preflight.core.edit import MISSING, Value
from preflight.core.errors import ConfigFileError
from preflight.core.spelling import is_slip
from preflight.core.units import split_unit
from preflight.emit.files import read_text
from preflight.emit.path import format_path
from preflight.emit.read import value_at
from preflight.emit.yaml_span import Place, find, locate
from preflight.emit.yaml_tree import Document, parse

# A key that a file need not have: without it, training does without it.
OPTIONAL = (
    "warmup",
    "normalization",
    "target_normalization",
    "loss_weights",
    "weight_decay",
    "clip_norm",
    "shuffle",
    "num_workers",
)


@dataclass(frozen=True)
class UserFile:
    """Text of the file and the key of every mapped setting, ``lr`` -> ``optimizer.learning_rate``."""

    path: Path
    text: str
    mapping: Mapping[str, str]

    @classmethod
    def open(cls, path: Path, mapping: Mapping[str, str]) -> UserFile:
        """Read the file; raises :class:`ConfigFileError` if it cannot be, or if a mapping does not fit it."""
        file = cls(path, read_text(path), mapping)
        file.values  # noqa: B018  # every mapping is tried before anything is trained
        return file

    @cached_property
    def document(self) -> Document:
        """The parsed text."""
        return parse(self.text, str(self.path))

    @cached_property
    def values(self) -> dict[str, Value]:
        """Value of every mapped setting that the file has, in the file's own units.

        Raises :class:`ConfigFileError` for a key that should be there, naming its neighbours.
        """
        document, found = self.document, dict[str, Value]()
        for name, key in self.mapping.items():
            try:
                value = value_at(document, key)
                if value is MISSING:
                    self._check_missing(name, key)
                else:
                    found[name] = value  # type: ignore[assignment]  # not MISSING
            except ConfigFileError as error:
                raise ConfigFileError(f"model.mapping.{name}={key}: {error}") from error
        return found

    def _check_missing(self, name: str, key: str) -> None:
        """A missing key may be inserted if training can do without it and its section is there."""
        place = locate(self.document, key)
        stem = (split_unit(name) or (name.split(".", maxsplit=1)[0],))[0]
        if stem not in OPTIONAL or len(place.missing) > 1:
            find(self.document, key)
        wanted = str(place.missing[0])
        meant = next((other for other in self._unmapped_siblings(place) if is_slip(wanted, other)), None)
        if meant is not None:
            raise ConfigFileError(
                f"{self.path} has no key '{wanted}', did you mean '{meant}'? If not, write '{wanted}: null' there"
            )

    def _unmapped_siblings(self, place: Place) -> list[str]:
        """Keys beside a missing one that no other setting is mapped to."""
        above, mapped = place.path[:-1], set(self.mapping.values())
        names = [entry.name for entry in (place.parents[-1].entries if place.parents else ())]
        return [name for name in names if name is not None and format_path((*above, name)) not in mapped]
