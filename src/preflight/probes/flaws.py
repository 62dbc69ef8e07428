"""Values that no training survives: not finite, or absurdly large, anywhere in the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.layout import Layout
from preflight.probes.outliers import Range
from preflight.tasks.data import Batch, InMemory, Source

NOT_FINITE, COVERED, OUTLIER = "not finite", "not finite under the mask", "outlier"
TRAINING, VALIDATION = "training", "validation"
INPUT, TARGET = "input", "target"
# Values that are compared at once: the scan needs no more memory than this takes.
CHUNK_VALUES = 2**22
MAX_SAMPLES = 5
MAX_SENTENCES = 3


@dataclass(frozen=True)
class Expected:
    """A field as it should be: where its features lie, and the range of each."""

    role: str
    layout: Layout
    ranges: tuple[Range, ...]


@dataclass
class Flaw:
    """Bad values of one feature of a split: how many, in which samples (the first few), and the largest finite one."""

    split: str
    what: str
    expected: Expected
    feature: int
    values: int = 0
    samples: list[int] = field(default_factory=list)
    more_samples: int = 0
    worst: float = 0.0

    @property
    def field_name(self) -> str:
        """Name of the field."""
        return self.expected.layout.field

    def sentence(self, batch_size: int | None = None) -> str:
        """What is wrong and where; with the batch of an epoch, if samples come in order by so many."""
        name = self.expected.layout.features[self.feature]
        place = f"{self.expected.role} '{self.field_name}'"
        if name != self.field_name:
            place = f"feature '{name}' of {place}"
        if self.what == OUTLIER:
            usual = self.expected.ranges[self.feature]
            return (
                f"{place} is {self.worst:.4g} in {self._samples(batch_size)}, where 99.9% of the values lie within "
                f"{usual.shoulder:.4g} of {usual.middle:.4g}"
            )
        count = "1 value that is" if self.values == 1 else f"{self.values} values that are"
        mask = f" under its mask '{self.expected.layout.mask}'" if self.what == COVERED else ""
        return f"{place} has {count} not finite{mask}, in {self._samples(batch_size)}"

    def _samples(self, batch_size: int | None) -> str:
        shown = ", ".join(map(str, self.samples))
        total = len(self.samples) + self.more_samples
        text = f"sample {shown}" if total == 1 else f"samples {shown}"
        if self.more_samples:
            text = f"{total} samples, the first {shown}"
        return text if batch_size is None else f"{text} (batch {self.samples[0] // batch_size} of an epoch)"

    def add(self, bad: Tensor, values: Tensor, numbers: Tensor) -> None:
        """Count ``bad[B, P]`` among ``values[B, P]`` of the samples ``numbers[B]``."""
        found = numbers[bad.any(dim=1).nonzero().flatten().cpu()].tolist()
        room = MAX_SAMPLES - len(self.samples)
        self.samples += found[:room]
        self.more_samples += len(found[room:])
        self.values += int(bad.sum())
        if self.what == OUTLIER:
            middle = self.expected.ranges[self.feature].middle
            self.worst = max((self.worst, *values[bad].tolist()), key=lambda value: abs(value - middle))


def told(flaws: Sequence[Flaw], params: Params) -> str:
    """The first few flaws of a split, and how many more there are."""
    split = flaws[0].split
    batch_size = None if params.shuffle or split != TRAINING else params.batch_size
    shown = "; ".join(flaw.sentence(batch_size) for flaw in flaws[:MAX_SENTENCES])
    more = len(flaws) - MAX_SENTENCES
    return f"in the {split} data, {shown}" + (f"; and so have {more} more features" if more > 0 else "")


def rule_of(flaws: Iterable[Flaw]) -> str:
    """Code of the rule that flaws which do harm fall under: PF305 is for what is not finite itself."""
    return "PF108" if all(flaw.what == OUTLIER for flaw in flaws) else "PF305"


def advice(flaws: Sequence[Flaw]) -> str:
    """What can be done about flaws of a field."""
    expected, what = flaws[0].expected, {flaw.what for flaw in flaws}
    if what == {COVERED}:
        return "The model does not leave out what is under the mask: 0 times NaN is NaN; put zeros there"
    text = "Drop these samples, or correct or impute the values"
    if expected.role == INPUT and expected.layout.mask is None:
        text += (
            f"; if they are padding or missing, name the mask that says so in model.fields.{expected.layout.field}.mask"
        )
    return text


def find_flaws(split: str, source: Source, looked_at: tuple[Tensor, Batch], expected: Iterable[Expected]) -> list[Flaw]:
    """Flaws of a split, field by field: of all samples in memory, else of those that are loaded already.

    ``looked_at`` are their numbers and the batch they make. Values under a mask do not count, but for NaN and infinity,
    which a model must leave out: multiplied by 0 they are NaN still.
    """
    flaws: dict[tuple[str, str, int], Flaw] = {}
    expectations = list(expected)
    for numbers, batch in _chunks(source, looked_at, [item.layout.field for item in expectations]):
        for item in expectations:
            for what, feature, bad, values in _bad_values(batch, item):
                key = (item.layout.field, what, feature)
                flaws.setdefault(key, Flaw(split, what, item, feature)).add(bad, values, numbers)
    order = {item.layout.field: index for index, item in enumerate(expectations)}
    kinds = (NOT_FINITE, OUTLIER, COVERED)
    return sorted(flaws.values(), key=lambda flaw: (order[flaw.field_name], kinds.index(flaw.what), flaw.feature))


def by_field(flaws: Iterable[Flaw]) -> dict[tuple[str, str], list[Flaw]]:
    """Flaws by (split, field)."""
    grouped: dict[tuple[str, str], list[Flaw]] = {}
    for flaw in flaws:
        grouped.setdefault((flaw.split, flaw.field_name), []).append(flaw)
    return grouped


def _chunks(source: Source, looked_at: tuple[Tensor, Batch], fields: Sequence[str]) -> Iterator[tuple[Tensor, Batch]]:
    if not isinstance(source, InMemory):
        yield looked_at
        return
    widest = max((source.tensors[name][0].numel() for name in fields), default=1)
    for numbers in torch.arange(len(source)).split(max(1, CHUNK_VALUES // max(1, widest))):
        start, stop = int(numbers[0]), int(numbers[-1]) + 1
        yield numbers, {name: tensor[start:stop] for name, tensor in source.tensors.items()}


def _bad_values(batch: Mapping[str, Tensor], expected: Expected) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """``(what, feature, bad[B, P], values[B, P])`` of every feature with bad values."""
    values = expected.layout.by_feature(dict(batch))
    low, high = _bounds(expected, values)
    good = (values >= low) & (values <= high)  # False for NaN, too
    if bool(good.all()):
        return
    finite, valid = values.isfinite(), expected.layout.valid(dict(batch))
    counted = torch.ones_like(good[..., :1]) if valid is None else valid
    found = {NOT_FINITE: ~finite & counted, OUTLIER: finite & ~good & counted, COVERED: ~finite & ~counted}
    for what, bad in found.items():
        for feature in bad.any(dim=0).any(dim=0).nonzero().flatten().tolist():
            yield what, feature, bad[..., feature], values[..., feature]


def _bounds(expected: Expected, values: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of each feature that is no flaw, so that infinity always is one."""
    dtype = values.dtype if values.is_floating_point() else torch.float64
    limit = torch.finfo(dtype).max
    bounds = [[usual.low, usual.high] for usual in expected.ranges]
    low, high = torch.tensor(bounds, dtype=torch.float64).clamp(-limit, limit).to(values.device, dtype).unbind(dim=1)
    return low, high
