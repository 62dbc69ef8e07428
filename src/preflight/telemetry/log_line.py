"""A line of a console log: the losses and metrics it shows, of which split each is, and how its numbers are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preflight.telemetry.metric_names import LOSS, has_split, is_metric, meaning, with_split
from preflight.telemetry.saved_number import saved_number

# What a comma in a number is: 275,959 is 275959 to Python, and 275.959 where decimals are written with a comma.
THOUSANDS: Final = "thousands"
DECIMAL: Final = "decimal"

_COMMAS = r"\d+(?:,\d+)+(?:\.\d+)?"
_NUMBER = (
    rf"[-+]?(?:(?:{_COMMAS}|\d+\.\d*|\.\d+|\d+(?!\d|,\d))(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
    # 1.2.3 is none, nor are 1:2 and 3rd.
    r"(?![\w:.])"
)
_SPLIT = r"train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test(?:ing)?|dev"
# A name is left whole (*+): no part of it is followed by what stands behind a name. More words of a split than three
# would only make a long line of them take the cube of its length.
# name=1.0  'name': 1.0  Name: 18.52 (18.40)  Name 7.0e+00 (7.1e+00)  Train Loss 0.5  top-1: 3.9 %  Accuracy: 999/10000
_METRIC = re.compile(
    rf"(?<![\w.])(?P<name>(?:(?:best|{_SPLIT})[\s/_.:-]+){{0,3}}[A-Za-z](?:[\w@/.]|-(?=\w))*+)['\"]?\s*[=:\s]\s*['\"]?"
    rf"(?P<value>{_NUMBER})(?:\s?/\s?(?P<total>\d+)(?![\w.:/]))?",
    re.IGNORECASE,
)
_SPLIT_WORD = re.compile(rf"(?<![A-Za-z/_.-])(?:{_SPLIT})(?![A-Za-z_/-]|\.[a-z])", re.IGNORECASE)
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True)
class Printed:
    """A metric as a line shows it; ``value`` is its text, and ``total`` what it is a part of, as in 999/10000."""

    name: str
    value: str
    total: str | None

    def number(self, comma: str = THOUSANDS) -> float | None:
        """Its value, infinity for one that is not finite, None where the text is no number."""
        text = self.value
        if "," in text:
            is_grouped = _GROUPED.fullmatch(text) is not None
            if comma == DECIMAL and text.count(",") == 1 and "." not in text:
                text = text.replace(",", ".")
            elif is_grouped:
                text = text.replace(",", "")
            else:
                return None
        value = saved_number(text)
        return value / float(self.total or 1) if value is not None and self._is_share(value) else value

    def _is_share(self, value: float) -> bool:
        """Whether it counts the samples that are right, or wrong, beside how many there are."""
        known = meaning(self.name)
        is_counted = known is not None and known.kind != LOSS and value.is_integer()
        return is_counted and self.total is not None and 0 <= value <= float(self.total) > 0


def comma_of(value: str) -> str | None:
    """What the comma of a value must be; None where it has none, or may be either."""
    if "," not in value:
        return None
    if _GROUPED.fullmatch(value):
        return THOUSANDS if "." in value or value.count(",") > 1 else None
    return DECIMAL if value.count(",") == 1 and "." not in value else None


def metrics_in(text: str) -> list[Printed]:
    """Losses, metrics and learning rates of a line by ``split_name``."""
    found = [item for item in _METRIC.finditer(text) if is_metric(item["name"])]
    if not found:
        return []
    named = {with_split(item["name"], "") for item in found if has_split(item["name"])}
    words = list(_words(text, found))
    return [Printed(_name(item, words, found, named), item["value"], item["total"]) for item in found]


@dataclass(frozen=True)
class _Word:
    """A word for a split; one ``alone`` is no part of a metric's name, as "[Train]"."""

    start: int
    text: str
    alone: bool


def _words(text: str, found: list[re.Match[str]]) -> Iterator[_Word]:
    names = [item.span("name") for item in found]
    for word in _SPLIT_WORD.finditer(text):
        yield _Word(word.start(), word[0], not any(begin <= word.start() < end for begin, end in names))


def _name(item: re.Match[str], words: list[_Word], found: list[re.Match[str]], named: set[str]) -> str:
    """With the split named last before it: by a word alone, or by a metric that is not the same, as Val Loss, Acc.

    Where none is before, one that stands alone behind all metrics is theirs: the next metric's is not.
    """
    before = [word for word in words if word.start <= item.start()]
    if before:
        name = with_split(item["name"], before[-1].text)
        return (
            name if before[-1].alone or name not in named or has_split(item["name"]) else with_split(item["name"], "")
        )
    last = found[-1].start()
    return with_split(item["name"], next((word.text for word in words if word.alone and word.start > last), ""))
